"""Signed notifications, believed by the reference library of Standard Webhooks."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from shared.callbacks.signing import MOST_SECRETS, SigningSecret, new_signing_secret, signature
from shared.clock import ManualClock, SystemClock
from shared.errors import InvalidInput
from shared.events import Event
from shared.services import Services
from shared.storage import Query, every
from tests.api import Api, Drained
from tests.unit.callbacks.receiver import Notification, Receiver, receiving

Drain = Callable[..., Awaitable[Drained]]
CALLBACKS = "/api/v1/callbacks"


@pytest.fixture
async def receiver() -> Any:
    async with receiving() as made:
        yield made


@pytest.fixture
def now(clock: ManualClock) -> ManualClock:
    """The library compares the timestamp with the machine's clock."""
    clock.set(SystemClock().now())
    return clock


def believes(secret: str, notification: Notification) -> bool:
    try:
        Webhook(secret).verify(notification.body, notification.headers)
    except WebhookVerificationError:
        return False
    return True


async def register(api: Api, receiver: Receiver, **words: Any) -> dict[str, Any]:
    answer = await api.post(CALLBACKS, json={"event_type": "EXTERNAL", "url": receiver.url + "/in", **words})
    assert answer.status == 201, answer.body
    assert answer.headers["location"].endswith(f"{CALLBACKS}/{answer.json()['id']}")
    said: dict[str, Any] = answer.json()
    return said


async def tell(house: Services, drain: Drain, id: str) -> None:
    await house.events.publish(Event(id, "EXTERNAL", house.clock.now(), data={"ö": "ü"}, name="N", severity="info"))
    assert (await drain()).failures == []


async def test_the_reference_library_believes_it(
    house: Services, api: Api, receiver: Receiver, drain: Drain, now: ManualClock
) -> None:
    made = await register(api, receiver)
    await tell(house, drain, "E1")
    (seen,) = receiver.seen
    assert believes(made["signing_secret"], seen)
    assert not believes(new_signing_secret(), seen)
    assert not believes(made["signing_secret"], Notification(seen.path, seen.headers, seen.body + b" "))
    body = json.loads(seen.body)
    assert (body["type"], body["data"], body["name"], body["object_id"]) == ("EXTERNAL", {"ö": "ü"}, "N", None)


async def test_two_secrets_live_while_one_is_changed(
    house: Services, api: Api, receiver: Receiver, drain: Drain, now: ManualClock
) -> None:
    made = await register(api, receiver)
    await tell(house, drain, "E1")
    answer = await api.post(f"{CALLBACKS}/{made['id']}/secrets", json={"keep_old_seconds": 3600})
    assert answer.status == 200
    new = answer.json()["signing_secret"]
    await tell(house, drain, "E2")
    assert [believes(made["signing_secret"], n) for n in receiver.seen] == [True, True]
    assert [believes(new, n) for n in receiver.seen] == [False, True]
    assert len(receiver.seen[1].headers["webhook-signature"].split(" ")) == 2
    now.advance(3601)
    await tell(house, drain, "E3")
    assert len(receiver.seen[2].headers["webhook-signature"].split(" ")) == 1


async def test_the_old_one_can_end_at_once(
    house: Services, api: Api, receiver: Receiver, drain: Drain, now: ManualClock
) -> None:
    made = await register(api, receiver)
    await tell(house, drain, "E1")
    await api.post(f"{CALLBACKS}/{made['id']}/secrets", json={"keep_old_seconds": 0})
    await tell(house, drain, "E2")
    assert not believes(made["signing_secret"], receiver.seen[1])


async def test_giving_the_same_again_changes_nothing(house: Services, api: Api, receiver: Receiver) -> None:
    made = await register(api, receiver)
    mine = new_signing_secret()
    for _ in range(2):
        answer = await api.post(f"{CALLBACKS}/{made['id']}/secrets", json={"signing_secret": mine})
        assert answer.status == 200
        assert "signing_secret" not in answer.json()
    destination = await house.callbacks.sealed.destination(made["id"])
    assert [one.text for one in destination.signing] == [mine, made["signing_secret"]]


async def test_another_process_signs_with_the_new_one_too(
    house: Services, api: Api, receiver: Receiver, drain: Drain, now: ManualClock
) -> None:
    made = await register(api, receiver)
    await tell(house, drain, "E1")
    sealed, registry = house.callbacks.sealed, house.callbacks
    # What this process remembers is of before the change, which another one made.
    remembered = dict(sealed._cached)
    answer = await api.post(f"{CALLBACKS}/{made['id']}/secrets", json={"keep_old_seconds": 0})
    sealed._cached.clear()
    sealed._cached.update(remembered)
    assert registry.sealed.known(made["id"]) is not None
    await tell(house, drain, "E2")
    assert believes(answer.json()["signing_secret"], receiver.seen[1])


async def test_dying_before_the_vault_has_it_leaves_the_old_one(
    house: Services, api: Api, receiver: Receiver, drain: Drain, now: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await register(api, receiver)

    async def dies(*_: Any) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(house.callbacks.sealed, "keep", dies)
        assert (await api.post(f"{CALLBACKS}/{made['id']}/secrets", json={})).status == 500
    await tell(house, drain, "E1")
    assert believes(made["signing_secret"], receiver.seen[0])
    again = await api.post(f"{CALLBACKS}/{made['id']}/secrets", json={})
    await tell(house, drain, "E2")
    assert believes(again.json()["signing_secret"], receiver.seen[1])
    assert believes(made["signing_secret"], receiver.seen[1])


async def test_secrets_are_shown_once_and_written_nowhere(
    house: Services, api: Api, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    made = await register(api, receiver)
    changed = (await api.post(f"{CALLBACKS}/{made['id']}/secrets")).json()
    later = await api.get(f"{CALLBACKS}/{made['id']}")
    stored = [str(s.document) for c in ("callbacks", "audit") async for s in every(house.store, c, Query(limit=1000))]
    for text in (later.body.decode(), caplog.text, *stored):
        assert made["signing_secret"][6:] not in text
        assert changed["signing_secret"][6:] not in text


@pytest.mark.parametrize("secret", ["x", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", "c2hvcnQ="])
async def test_what_is_no_secret_is_refused(api: Api, receiver: Receiver, secret: str) -> None:
    answer = await api.post(CALLBACKS, json={"event_type": "EXTERNAL", "url": receiver.url, "signing_secret": secret})
    assert answer.status in (400, 422)
    assert "whsec_" in answer.json()["detail"]


async def test_a_callback_of_our_own_can_be_deleted(api: Api, receiver: Receiver) -> None:
    made = await register(api, receiver, label="ERP", severities=["critical"], sites=["Madrid"])
    shown = (await api.get(f"{CALLBACKS}/{made['id']}")).json()
    assert (shown["label"], shown["severities"], shown["sites"], shown["dialect"]) == (
        "ERP",
        ["critical"],
        ["Madrid"],
        "standard",
    )
    assert (await api.delete(f"{CALLBACKS}/{made['id']}")).status == 204
    assert (await api.get(f"{CALLBACKS}/{made['id']}")).status == 404


def test_at_most_so_many_sign() -> None:
    from shared.callbacks.signing import followed_by

    signing: tuple[SigningSecret, ...] = ()
    for number in range(9):
        signing = followed_by(signing, new_signing_secret(), float(number), 3600)
    assert len(signing) == MOST_SECRETS
    assert len(signature(signing, "id", "1", b"{}", timedelta(seconds=9).total_seconds()).split(" ")) == MOST_SECRETS


def test_a_key_has_its_length() -> None:
    from shared.callbacks.signing import secret_key

    with pytest.raises(InvalidInput):
        secret_key("whsec_" + "QQ==")
