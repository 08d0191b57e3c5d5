"""Whoever may send to the queue speaks for no relay: what it did not sign is given up, counted, told once a day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import ManualClock
from shared.errors import InvalidInput, Unavailable
from shared.messaging import Outgoing
from shared.metrics import RELAY_BATCHES_DOUBTED
from shared.relay.hub_registry import KEY_KEPT, KEY_OVERLAP
from shared.relay.messages import pack
from shared.relay.signing import SIGNATURE, SigningKey, claim, key_of
from tests.unit.relay.conftest import ANNA, Hub
from tests.unit.relay.test_hub_intake import DRAINED, beside, readings_of

OTHER = "ob_" + "0" * 16 + "_" + "x" * 43


async def put(hub: Hub, body: bytes, message_id: str, properties: Mapping[str, str]) -> None:
    """Straight into the queue, past the door."""
    await hub.house.queue.send("relay-ingest", [Outgoing(body, message_id, properties=properties)])


async def dead(hub: Hub) -> list[str]:
    return [letter.message.message_id for letter in await hub.house.receiver.dead_letters("relay-ingest", 100)]


async def told(hub: Hub) -> list[dict[str, Any]]:
    entries = (await hub.api.get("/api/v1/audit?stream=relay:hall-1")).json()["entries"]
    return [e["after"] for e in entries if e["action"] == "relay.batch_not_believed"]


async def doubted(hub: Hub) -> dict[str, Any]:
    found: dict[str, Any] = (await hub.api.get("/api/v1/relays/hall-1")).json()["batches_not_believed"]
    return found


async def test_what_the_relay_signs_is_taken(hub: Hub, drain: Callable[..., Any]) -> None:
    await hub.machine("OVEN-1")
    body = pack(hub.batch(hub.reading("OVEN-1")))
    await put(hub, body, "a", {SIGNATURE: key_of(hub.token).sign(body)})
    assert not (await drain(queues=DRAINED)).failures
    assert len(await readings_of(hub.house, "OVEN-1")) == 1
    assert (await doubted(hub))["count"] == 0


@pytest.mark.parametrize(
    ("reason", "signed"),
    [
        ("unsigned", lambda hub, body: {}),
        ("unsigned", lambda hub, body: {SIGNATURE: "v2.nonsense"}),
        ("forged", lambda hub, body: {SIGNATURE: SigningKey(key_of(hub.token).id, b"guessed").sign(body)}),
        ("forged", lambda hub, body: {SIGNATURE: key_of(hub.token).sign(body + b" ")}),
        ("unknown_key", lambda hub, body: {SIGNATURE: key_of(OTHER).sign(body)}),
    ],
)
async def test_what_it_did_not_sign_is_not(
    hub: Hub, drain: Callable[..., Any], reason: str, signed: Callable[[Hub, bytes], Mapping[str, str]]
) -> None:
    measured: list[str] = []

    def heard(value: float, attributes: Mapping[str, str]) -> None:
        measured.append(attributes["reason"])

    RELAY_BATCHES_DOUBTED.listeners.append(heard)
    try:
        await hub.machine("OVEN-1")
        body = pack(hub.batch(hub.reading("OVEN-1")))
        await put(hub, body, "a", signed(hub, body))
        done = await drain(queues=DRAINED)
    finally:
        RELAY_BATCHES_DOUBTED.listeners.remove(heard)
    assert len(done.failures) == 10, "delivered as often as the queue does"
    assert await dead(hub) == ["a"]
    assert await readings_of(hub.house, "OVEN-1") == []
    shown = await doubted(hub)
    assert (shown["count"], shown["last_reason"]) == (1, reason)
    assert await told(hub) == [{"reason": reason, "message_id": "a"}]
    assert measured == [reason], "counted once"


async def test_a_relay_cannot_speak_for_another(hub: Hub, drain: Callable[..., Any]) -> None:
    _, other = await hub.house.relays.create("hall-2", name="x", site=None, caller=ANNA)
    await hub.machine("OVEN-1")
    body = pack(hub.batch(hub.reading("OVEN-1")))
    await put(hub, body, "a", {SIGNATURE: key_of(other).sign(body)})
    await drain(queues=DRAINED)
    assert await readings_of(hub.house, "OVEN-1") == []
    assert (await doubted(hub))["last_reason"] == "unknown_key"


async def test_a_flood_is_counted_and_told_once_a_day(hub: Hub, drain: Callable[..., Any]) -> None:
    body = pack(hub.batch(hub.reading("OVEN-1")))
    for n in range(5):
        await put(hub, body, f"m{n}", {})
    await drain(queues=DRAINED)
    assert (await doubted(hub))["count"] == 5
    assert len(await told(hub)) == 1
    hub.clock.advance(86_400)
    await put(hub, body, "next day", {})
    await drain(queues=DRAINED)
    assert (await doubted(hub))["count"] == 6
    assert len(await told(hub)) == 2


class TestRotation:
    async def test_both_keys_are_good_for_a_while(self, hub: Hub, drain: Callable[..., Any]) -> None:
        await hub.machine("OVEN-1")
        old, new = key_of(hub.token), key_of((await hub.house.relays.rotate("hall-1", ANNA))[1])

        async def send(key: SigningKey, n: int) -> int:
            body = pack(hub.batch(hub.reading("OVEN-1", -n), first=n))
            await put(hub, body, f"m{n}", {SIGNATURE: key.sign(body)})
            return n

        await send(old, 1)
        await send(new, 2)
        await drain(queues=DRAINED)
        assert len(await readings_of(hub.house, "OVEN-1")) == 2
        await send(old, 3)
        hub.clock.advance(KEY_OVERLAP.total_seconds() + 1)
        assert not (await drain(queues=DRAINED)).failures, "it came in time, only nobody read it"
        await send(old, 4)
        await send(new, 5)
        await drain(queues=DRAINED)
        assert await dead(hub) == ["m4"]
        assert (await doubted(hub))["last_reason"] == "old_key"
        assert len(await readings_of(hub.house, "OVEN-1")) == 4

    async def test_a_stolen_token_is_worth_nothing_at_once(self, hub: Hub, drain: Callable[..., Any]) -> None:
        answer = await hub.api.post("/api/v1/relays/hall-1/token", json={"overlap_seconds": 0})
        assert answer.status == 200, answer.body
        hub.clock.advance(1)
        body = pack(hub.batch(hub.reading("OVEN-1")))
        await put(hub, body, "a", {SIGNATURE: key_of(hub.token).sign(body)})
        await drain(queues=DRAINED)
        assert await dead(hub) == ["a"]
        assert (await hub.api.post("/api/v1/relays/hall-1/token", json={"overlap_seconds": -1})).status == 400

    async def test_a_token_that_was_revoked_by_itself(self, hub: Hub, drain: Callable[..., Any]) -> None:
        await hub.house.access.revoke(key_of(hub.token).id, caller=ANNA)
        hub.clock.advance(1)
        body = pack(hub.batch(hub.reading("OVEN-1")))
        await put(hub, body, "a", {SIGNATURE: key_of(hub.token).sign(body)})
        await drain(queues=DRAINED)
        assert (await doubted(hub))["last_reason"] == "old_key"

    async def test_old_keys_leave_the_vault(self, hub: Hub, clock: ManualClock) -> None:
        async def names() -> set[str]:
            return {s.name for s in await hub.house.vault.list() if s.name.startswith("relay-key-")}

        first = f"relay-key-{key_of(hub.token).id}"
        assert await names() == {first}
        await hub.house.relays.rotate("hall-1", ANNA)
        assert len(await names()) == 2
        clock.advance((KEY_OVERLAP + KEY_KEPT + timedelta(seconds=1)).total_seconds())
        await hub.house.relays.rotate("hall-1", ANNA)
        assert first not in await names()
        await hub.house.relays.delete("hall-1", ANNA)
        assert await names() == set()

    async def test_a_relay_from_before_there_were_keys(self, hub: Hub, drain: Callable[..., Any]) -> None:
        await hub.machine("OVEN-1")
        key = key_of(hub.token)
        await hub.house.relays.keys.forget(key.id)
        stored = await hub.house.store.read("relays", ("hall-1",), "hall-1")
        await hub.house.store.replace(
            "relays", {k: v for k, v in stored.document.items() if k != "keys"}, etag=stored.etag
        )
        body = pack(hub.batch(hub.reading("OVEN-1")))
        answer = await hub.relay.post("/api/v1/relays/hall-1/readings", body=body)
        assert answer.status == 202, answer.body
        assert not (await drain(queues=DRAINED)).failures
        assert len(await readings_of(hub.house, "OVEN-1")) == 1


async def test_a_vault_that_is_away_gives_nothing_up(
    hub: Hub, drain: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.machine("OVEN-1")
    body = pack(hub.batch(hub.reading("OVEN-1")))
    elsewhere = beside(hub.house)

    async def away(name: str) -> Any:
        raise Unavailable("The vault is away.")

    monkeypatch.setattr(elsewhere.vault, "get", away)
    with pytest.raises(Unavailable):
        await elsewhere.relay_hub.intake.arrived(
            body, message_id="a", signature=key_of(hub.token).sign(body), enqueued_at=hub.clock.now()
        )
    assert (await doubted(hub))["count"] == 0


async def test_a_store_that_is_away_for_long_gives_nothing_up(
    hub: Hub, drain: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.machine("OVEN-1")
    body = pack(hub.batch(hub.reading("OVEN-1")))
    await put(hub, body, "a", {SIGNATURE: key_of(hub.token).sign(body)})

    async def away(*_: Any) -> Any:
        raise Unavailable("The store is away.")

    with monkeypatch.context() as outage:
        outage.setattr(hub.house.store, "read", away)
        for _ in range(30):  # half an hour
            await drain(queues=DRAINED)
            hub.clock.advance(61)
    assert not (await drain(queues=DRAINED)).failures
    assert await dead(hub) == []
    assert len(await readings_of(hub.house, "OVEN-1")) == 1


async def test_how_it_hears_of_commands(hub: Hub) -> None:
    answer = await hub.api.patch("/api/v1/relays/hall-1", json={"commands_by": "queue"})
    assert answer.status == 400, "an embedded queue is none that a relay could reach"
    assert answer.json()["problems"][0]["field"] == "commands_by"
    answer = await hub.api.patch("/api/v1/relays/hall-1", json={"name": "Hall one", "site": None})
    assert (answer.status, answer.json()["name"], answer.json()["site"]) == (200, "Hall one", None)
    entries = (await hub.api.get("/api/v1/audit?stream=relay:hall-1")).json()["entries"]
    assert [e["before"]["name"] for e in entries if e["action"] == "relay.changed"] == ["Madrid, hall 1"]
    assert (await hub.api.patch("/api/v1/relays/hall-9", json={"name": "x"})).status == 404


@given(st.binary(), st.binary())
def test_a_signature_is_of_one_body(body: bytes, other: bytes) -> None:
    key = key_of(OTHER)
    made = claim(key.sign(body))
    assert made is not None
    assert key.signed(made, body)
    assert key.signed(made, other) is (body == other)
    assert key.value.hex() not in key.sign(body)


@given(st.text())
def test_anything_may_stand_in_the_property(text: str) -> None:
    assert claim(text) is None or text.startswith("v1.")


def test_no_token() -> None:
    with pytest.raises(InvalidInput) as raised:
        key_of("ob_secret")
    assert "secret" not in raised.value.detail
