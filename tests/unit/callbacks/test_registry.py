"""Registrations: what may be registered, who sees it when, what is audited."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.callbacks.model import Credentials, State
from shared.errors import Conflict, InvalidInput, NotFound, Unavailable, UnsafeTarget
from shared.events import Event
from shared.services import Services
from shared.settings import Settings
from shared.storage import Query
from tests.unit.callbacks.conftest import ENGINEER, Stage


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("no url", InvalidInput),
        ("ftp://host/x", InvalidInput),
        ("http:///path", InvalidInput),
        ("http://169.254.169.254/latest", UnsafeTarget),
        ("http://[::ffff:169.254.169.254]/", UnsafeTarget),
        ("http://168.63.129.16/", UnsafeTarget),
        ("https://evil.example\\@127.0.0.1/", InvalidInput),
    ],
)
async def test_targets_that_are_refused(stage: Stage, url: str, kind: type[InvalidInput]) -> None:
    with pytest.raises(kind) as caught:
        await stage.register(url=url)
    assert [p.field for p in caught.value.problems] == ["url"]
    assert (await stage.house.callbacks.list()).total == 0


async def test_private_and_plain_targets_are_refused_where_they_are_off(
    tmp_path_factory: pytest.TempPathFactory, stage: Stage
) -> None:
    house = Services(Settings(data_dir=tmp_path_factory.mktemp("strict")), stage.clock)
    try:
        stage.house = house
        for url in ("http://example.com/", "https://10.0.0.5/", "https://127.0.0.1/"):
            with pytest.raises(UnsafeTarget):
                await stage.register(url=url)
    finally:
        await house.close()


async def test_credentials_in_the_url_and_beside_it_exclude_each_other(stage: Stage) -> None:
    with pytest.raises(InvalidInput, match="use one of them"):
        await stage.register(url="http://u:p@127.0.0.1/", credentials=Credentials(bearer="x"))


async def test_the_next_event_after_registering_is_told(stage: Stage) -> None:
    for n in range(3):
        await stage.register(f"/{n}")
        await stage.publish()
    await stage.settle()
    assert [len(stage.receiver.at(f"/{n}")) for n in range(3)] == [3, 2, 1]


async def test_a_deleted_one_is_told_nothing_more(stage: Stage) -> None:
    callback = await stage.register()
    await stage.publish()
    await stage.settle()
    await stage.house.callbacks.delete(callback.id, caller=ENGINEER)
    await stage.publish()
    await stage.settle()
    assert len(stage.receiver.seen) == 1
    with pytest.raises(NotFound):
        await stage.house.callbacks.delete(callback.id, caller=ENGINEER)


async def test_another_process_sees_it_a_little_later(stage: Stage) -> None:
    from shared.callbacks.registry import Callbacks

    house = stage.house
    other = Callbacks(house.store, house.queue, house.vault, house.audit, house.targets, house.clock)
    assert await other.find("X" * 32) is None
    callback = await stage.register()
    assert await other.find(callback.id) == callback, "asked for by name it is found at once"
    other._directory._refresh_at = 0.0  # some seconds later
    assert [c.id for c in await other._directory.matching(_event())] == [callback.id]


def _event() -> Event:
    return Event(id="X", type="EXTERNAL", timestamp=datetime(2026, 11, 21, tzinfo=UTC))


async def test_what_is_audited(stage: Stage) -> None:
    callback = await stage.register(credentials=Credentials(username="ann", password="hidden"))
    await stage.house.callbacks.delete(callback.id, caller=ENGINEER)
    entries = (await stage.house.audit.entries(stream=f"callback:{callback.id}")).entries
    assert [(e.action, e.actor["id"]) for e in entries] == [("callback.deleted", "test"), ("callback.created", "test")]
    assert "hidden" not in str(entries)
    assert entries[1].after["url"] == callback.url


async def test_a_vault_that_is_away_leaves_nothing_that_works_half(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*args: object, **kwargs: object) -> None:
        raise Unavailable("The vault is away.")

    monkeypatch.setattr(stage.house.vault, "set", away)
    with pytest.raises(Unavailable):
        await stage.register()
    monkeypatch.undo()
    assert (await stage.house.callbacks.list()).total == 0
    await stage.publish()
    stage.clock.advance(700)
    await stage.house.deliveries.sweep()
    assert (await stage.house.store.query("callbacks", Query())).items == []


async def test_a_vault_that_is_away_at_delivery_costs_no_attempt(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    callback = await stage.register(max_retries=0)

    async def away(*args: object, **kwargs: object) -> None:
        raise Unavailable("The vault is away.")

    monkeypatch.setattr(stage.house.vault, "get", away)
    await stage.publish()
    await stage.settle()
    await stage.pass_time(10.1, steps=3)
    assert (await stage.only(callback))["status"] == "pending"
    monkeypatch.undo()
    await stage.pass_time(10.1)
    assert (await stage.only(callback))["status"] == "confirmed"
    assert [t["n"] for t in (await stage.only(callback))["attempts"]] == [1]


async def test_there_is_an_end_to_how_many(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.callbacks import registry

    monkeypatch.setattr(registry, "MAX_CALLBACKS", 2)
    await stage.register()
    await stage.register()
    with pytest.raises(Conflict, match="delete those that nobody needs"):
        await stage.register()


async def test_a_test_goes_to_this_callback_alone(stage: Stage) -> None:
    first, second = await stage.register("/a"), await stage.register("/b")
    sent = await stage.house.callbacks.test(first.id, caller=ENGINEER)
    await stage.settle()
    (seen,) = stage.receiver.seen
    assert (seen.path, seen.webhook_id, seen.json()["properties"]["eventType"]) == ("/a", sent, "TEST")
    await stage.house.callbacks.disable(second.id, "hand", "by hand", caller=ENGINEER)
    with pytest.raises(Conflict):
        await stage.house.callbacks.test(second.id, caller=ENGINEER)
    with pytest.raises(NotFound):
        await stage.house.callbacks.test("nobody", caller=ENGINEER)


async def test_enabling(stage: Stage) -> None:
    callback = await stage.register()
    with pytest.raises(Conflict, match="not disabled"):
        await stage.house.callbacks.enable(callback.id, caller=ENGINEER)
    await stage.house.callbacks.disable(callback.id, "hand", "by hand", caller=ENGINEER)
    await stage.house.callbacks.disable(callback.id, "hand", "again", caller=ENGINEER)
    assert (await stage.house.callbacks.get(callback.id)).disabled_reason == "by hand"
    assert (await stage.house.callbacks.enable(callback.id, caller=ENGINEER)).state is State.ACTIVE


async def test_a_fan_out_to_many(stage: Stage) -> None:
    """More callbacks than one batch holds."""
    for n in range(120):
        await stage.register(f"/{n}")
    await stage.publish()
    await stage.settle()
    assert len(stage.receiver.ids()) == 120
