"""What relays send is taken once: whatever comes twice, late, from a stranger, or dies on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.equipment import EquipmentChange
from shared.errors import InvalidInput, Unavailable
from shared.relay.messages import ReadingBatch, pack
from shared.services import Services
from shared.settings import Settings
from shared.signals import Quality, Reading, SignalValue
from shared.storage import Query, every
from shared.telemetry.document import to_document
from tests.api import Api
from tests.unit.relay.conftest import ANNA, Hub, beat

HOT = {"signal": "temperature.deck", "kind": "high", "limit": 250, "on_delay_seconds": 0, "severity": "critical"}
DRAINED = ("relay-ingest",)


async def readings_of(house: Services, equipment_id: str) -> list[Reading]:
    now = house.clock.now()
    page = await house.readings.history(equipment_id, now - timedelta(days=2), now + timedelta(days=1), 1000)
    return page.readings


def beside(house: Services, store: Any = None) -> Services:
    """Another process over the same store and queue."""
    other = Services(house.settings, house.clock)
    other.__dict__ |= {"_file": house._file, "store": store or house.store}
    return other


async def rule(hub: Hub, equipment_id: str) -> None:
    answer = await hub.api.post("/api/v1/alert-rules", json=HOT | {"equipment_id": equipment_id})
    assert answer.status == 201, answer.body


async def alerts(house: Services) -> list[tuple[str, str]]:
    found = [s.document async for s in every(house.store, "alerts", Query(limit=1000))]
    return sorted((a["alertType"], a["state"]) for a in found)


async def send(hub: Hub, batch: ReadingBatch) -> Any:
    return await hub.relay.post("/api/v1/relays/hall-1/readings", body=pack(batch))


async def test_from_the_door_into_the_history(hub: Hub, drain: Callable[..., Any]) -> None:
    await hub.machine("OVEN-1")
    sent = replace(
        hub.reading("OVEN-1", -3600),
        values={
            "temperature.deck": SignalValue(180.5, unit="C", raw=356.9, raw_unit="F"),
            "temperature.core": SignalValue(None, Quality.BAD, "The probe is broken.", unit="C"),
            "humidity": SignalValue(99.0, Quality.UNCERTAIN, "Out of range.", unit="%"),
        },
        quality=Quality.BAD,
        response_ms=12.5,
    )
    batch = hub.batch(sent)
    answer = await send(hub, batch)
    assert (answer.status, answer.json()) == (202, {"message_id": batch.message_id, "last_seq": 1})
    assert await readings_of(hub.house, "OVEN-1") == [], "not before the queue gives it out"
    assert not (await drain(queues=DRAINED)).failures
    assert await readings_of(hub.house, "OVEN-1") == [replace(sent, received_at=hub.clock.now())]


async def test_a_batch_twice_changes_nothing(hub: Hub, drain: Callable[..., Any]) -> None:
    await hub.machine("OVEN-1")
    await rule(hub, "OVEN-1")
    batch = hub.batch(hub.reading("OVEN-1", -2, 260), hub.reading("OVEN-1", -1, 270))
    for _ in range(2):
        assert (await send(hub, batch)).status == 202
    assert (await drain(queues=DRAINED)).handled == 1, "the queue dropped the id that it had seen"
    before = await everything(hub.house)
    hub.clock.advance(5)
    await hub.house.relay_hub.intake.take(pack(batch))
    assert await everything(hub.house) == before
    assert len(await readings_of(hub.house, "OVEN-1")) == 2


async def test_what_comes_late_moves_no_alert(hub: Hub) -> None:
    await hub.machine("OVEN-1")
    await rule(hub, "OVEN-1")
    take = hub.house.relay_hub.intake.take
    await take(pack(hub.batch(hub.reading("OVEN-1", -10, 260), first=50, priority="alarm")))
    assert ("temperature_deviation", "active_unacknowledged") in await alerts(hub.house)
    before = await alerts(hub.house)
    status = await hub.house.health.status("OVEN-1")
    backlog = [hub.reading("OVEN-1", -100 + n, 180 if n % 2 else 300) for n in range(40)]
    await take(pack(hub.batch(*backlog)))
    assert await alerts(hub.house) == before
    assert await hub.house.health.status("OVEN-1") == status
    assert len(await readings_of(hub.house, "OVEN-1")) == 41, "kept they are, all of them"


async def test_in_the_order_of_the_relay_for_each_machine(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    machines = [f"OVEN-{n}" for n in range(12)]
    for machine in machines:
        await hub.machine(machine)
    taken: dict[str, list[float]] = {}
    original = type(hub.house.ingest).take

    async def noting(self: Any, equipment: Any, reading: Reading) -> None:
        await original(self, equipment, reading)
        value = reading.values["temperature.deck"].value
        assert isinstance(value, float)
        taken.setdefault(equipment.id, []).append(value)

    monkeypatch.setattr(type(hub.house.ingest), "take", noting)
    readings = [hub.reading(m, -60 + n, float(n)) for n in range(5) for m in machines]
    await hub.house.relay_hub.intake.take(pack(hub.batch(*readings)))
    assert taken == {machine: [0.0, 1.0, 2.0, 3.0, 4.0] for machine in machines}


async def test_a_machine_that_fails_brings_the_whole_message_again(
    hub: Hub, drain: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for machine in ("OVEN-1", "OVEN-2"):
        await hub.machine(machine)
    original = type(hub.house.ingest).take
    failing = ["OVEN-1"]

    async def sometimes(self: Any, equipment: Any, reading: Reading) -> None:
        if equipment.id in failing:
            failing.remove(equipment.id)
            raise Unavailable("The store is busy.")
        await original(self, equipment, reading)

    monkeypatch.setattr(type(hub.house.ingest), "take", sometimes)
    await send(hub, hub.batch(hub.reading("OVEN-1"), hub.reading("OVEN-2"), hub.reading("NOBODY")))
    done = await drain(queues=DRAINED)
    assert (done.handled, len(done.failures)) == (2, 1)
    assert [len(await readings_of(hub.house, m)) for m in ("OVEN-1", "OVEN-2")] == [1, 1]
    assert (await hub.house.relays.get("hall-1")).refused.count == 1


class TestRefused:
    async def test_machines_of_others_are_refused_counted_and_audited_once(self, hub: Hub) -> None:
        await hub.house.relays.create("hall-2", name="x", site=None, caller=ANNA)
        await hub.machine("OVEN-1")
        await hub.machine("OVEN-2", "hall-2")
        await hub.machine("OVEN-3", None, iot_endpoint="http://127.0.0.1:9")
        strangers = ("OVEN-2", "OVEN-3", "NOBODY", "a/b")
        for n in range(2):
            batch = hub.batch(
                hub.reading("OVEN-1", -10 + n), *(hub.reading(s, -10 + n) for s in strangers), first=1 + 10 * n
            )
            for _ in range(2):  # each comes twice
                await hub.house.relay_hub.intake.take(pack(batch))
        assert len(await readings_of(hub.house, "OVEN-1")) == 2
        for stranger in ("OVEN-2", "OVEN-3", "NOBODY"):
            assert await readings_of(hub.house, stranger) == []
        shown = (await hub.api.get("/api/v1/relays/hall-1")).json()["readings_refused"]
        assert (shown["count"], shown["last_reason"]) == (8, "not_assigned")
        entries = (await hub.api.get("/api/v1/audit?stream=relay:hall-1")).json()["entries"]
        named = [e["after"]["equipment_id"] for e in entries if e["action"] == "relay.readings_refused"]
        assert sorted(named) == sorted(strangers)

    async def test_a_machine_that_was_just_given_to_it_is_taken(self, hub: Hub) -> None:
        await hub.machine("OVEN-1", None, iot_endpoint="http://127.0.0.1:9")
        elsewhere = beside(hub.house)
        assert (await elsewhere.equipment.known("OVEN-1")).polled_from == "cloud"
        await hub.house.equipment.change("OVEN-1", EquipmentChange.model_validate({"relay_id": "hall-1"}), ANNA)
        await elsewhere.relay_hub.intake.take(pack(hub.batch(hub.reading("OVEN-1"))))
        assert len(await readings_of(hub.house, "OVEN-1")) == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"ts": "yesterday"},
            {"ts": None},
            {"values": {"t": 1}},
            {"values": {"t": {"v": {"deep": 1}}}},
            {"values": {"t": {"v": "x" * 5_000}}},
            {"values": []},
            {"q": "splendid"},
            {"ms": "fast"},
            {"equipmentId": 7},
        ],
    )
    async def test_what_is_no_reading_keeps_nothing_else_back(self, hub: Hub, change: dict[str, Any]) -> None:
        await hub.machine("OVEN-1")
        broken = to_document(hub.reading("OVEN-1", -1)) | change
        batch = hub.batch(hub.reading("OVEN-1"), hub.reading("OVEN-1", 1))
        mixed = batch.model_copy(update={"readings": (broken, *batch.readings)})
        await hub.house.relay_hub.intake.take(pack(mixed))
        assert len(await readings_of(hub.house, "OVEN-1")) == 2
        refused = (await hub.house.relays.get("hall-1")).refused
        assert (refused.count, refused.last_reason) == (1, "unreadable")

    async def test_a_relay_that_is_gone(self, hub: Hub) -> None:
        await hub.house.relays.delete("hall-1", ANNA)
        await hub.house.relay_hub.intake.take(pack(hub.batch(hub.reading("OVEN-1"))))

    async def test_a_clock_that_is_ahead(self, hub: Hub) -> None:
        await hub.machine("OVEN-1")
        batch = hub.batch(hub.reading("OVEN-1"), hub.reading("OVEN-1", 400))
        answer = await send(hub, batch)
        assert answer.status == 409, "the relay keeps it"
        assert "clock" in answer.json()["detail"]
        await hub.house.relay_hub.intake.take(pack(batch))  # straight into the queue, past the door
        assert len(await readings_of(hub.house, "OVEN-1")) == 1
        assert (await hub.house.relays.get("hall-1")).refused.last_reason == "future"

    async def test_a_clock_that_was_wrong_for_a_minute_holds_nothing_up(
        self, hub: Hub, drain: Callable[..., Any]
    ) -> None:
        """Its readings of 2031 stand before all others on its disk: they must not be waited for until 2031."""
        await hub.machine("OVEN-1")
        wrong, soon = hub.reading("OVEN-1", 5 * 365 * 86_400), hub.reading("OVEN-1", 600)
        batch = hub.batch(wrong, hub.reading("OVEN-1", -1))
        beats, ahead = "/api/v1/relays/hall-1/heartbeat", timedelta(days=5 * 365)
        for at in (None, hub.clock.now() + ahead):  # nobody knows; it is wrong still
            if at is not None:
                assert (await hub.relay.post(beats, json=dict(beat(at)))).status == 204
            assert (await send(hub, batch)).status == 409, "the relay keeps it"
        assert (await hub.relay.post(beats, json=dict(beat(hub.clock.now())))).status == 204
        assert (await send(hub, hub.batch(soon))).status == 409, "that moment comes"
        assert (await send(hub, batch)).status == 202
        assert not (await drain(queues=DRAINED)).failures
        assert len(await readings_of(hub.house, "OVEN-1")) == 1
        refused = (await hub.house.relays.get("hall-1")).refused
        assert (refused.count, refused.last_reason) == (1, "future")


class TestDoor:
    async def test_only_batches_of_its_own(self, hub: Hub) -> None:
        batch = hub.batch(hub.reading("OVEN-1"), relay_id="hall-2")
        answer = await send(hub, batch)
        assert answer.status == 400
        assert answer.json()["problems"][0]["field"] == "relay_id"
        assert (await hub.api.post("/api/v1/relays/hall-1/readings", body=pack(batch))).status == 403

    async def test_too_large_or_broken(self, hub: Hub) -> None:
        path = "/api/v1/relays/hall-1/readings"
        assert (await hub.relay.post(path, body=b" " * (200 * 1024 + 1))).status == 413
        for broken in (b"{}", b"\x1f\x8bnonsense", b""):
            assert (await hub.relay.post(path, body=broken)).status == 400

    async def test_never_202_before_it_is_durable(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        async def away(*_: Any) -> None:
            raise Unavailable("The queue is away.")

        monkeypatch.setattr(hub.house.queue, "send", away)
        assert (await send(hub, hub.batch(hub.reading("OVEN-1")))).status == 503

    async def test_a_message_that_is_no_batch_ends_among_the_dead_letters(
        self, hub: Hub, drain: Callable[..., Any]
    ) -> None:
        from shared.messaging import Outgoing

        with pytest.raises(InvalidInput):
            await hub.house.relay_hub.intake.take(b"{}")
        await hub.house.queue.send("relay-ingest", [Outgoing(b"{}", "nonsense")])
        await drain(queues=DRAINED)
        assert len(await hub.house.receiver.dead_letters("relay-ingest", 10)) == 1


# Dying ---------------------------------------------------------------------------------------------------------------

WRITES = ("create", "create_each", "replace", "upsert", "patch", "delete", "batch")


class Died(BaseException):
    """The process dies here."""


class Dying:
    """A store whose process dies before or after its n-th write."""

    def __init__(self, inner: Any, at: int, *, after: bool) -> None:
        self._inner = inner
        self._at = at
        self._after = after
        self.writes = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in WRITES:
            return method

        async def write(*args: Any, **kwargs: Any) -> Any:
            self.writes += 1
            if self.writes > self._at or (self.writes == self._at and not self._after):
                raise Died
            done = await method(*args, **kwargs)
            if self.writes >= self._at:
                raise Died
            return done

        return write


async def everything(house: Services) -> dict[str, list[Any]]:
    """What a batch leaves behind. Events are told apart by their id: subscribers do so, too."""
    found: dict[str, list[Any]] = {}
    for container in ("readings", "alerts", "alertStates", "connections", "connectionLogs", "events", "deliveries"):
        documents = [s.document async for s in every(house.store, container, Query(limit=1000))]
        found[container] = sorted({d.get("eventId", d["id"]) for d in documents})
        if container in ("readings", "alerts"):
            found[container] = sorted((d["id"], d.get("state"), str(d.get("values"))) for d in documents)
    relay = await house.relays.get("hall-1")
    found["refused"] = [relay.refused.count, relay.refused.machines]
    return found


async def plant(folder: Path, clock: ManualClock) -> tuple[Hub, bytes]:
    """A hub with a batch that raises and ends an alert, loses a connection, and brings a stranger's reading."""
    settings = Settings(data_dir=folder, allow_private_targets=True, allow_http_targets=True)
    house = Services(settings, clock)
    await house.relays.create("hall-1", name="x", site=None, caller=ANNA)
    hub = Hub(house, clock, Api(), "")
    await hub.machine("OVEN-1")
    await hub.machine("OVEN-2")
    failed = Reading("OVEN-2", clock.now(), {}, Quality.BAD, "No answer.", "timeout", source="relay")
    batch = hub.batch(
        hub.reading("OVEN-2", -30),
        hub.reading("OVEN-1", -20, 180),
        replace(failed, at=clock.now() - timedelta(seconds=20)),
        replace(failed, at=clock.now() - timedelta(seconds=19)),
        replace(failed, at=clock.now() - timedelta(seconds=18)),
        hub.reading("OVEN-1", -10, 180),
        hub.reading("NOBODY", -5),
    )
    return hub, pack(batch)


@pytest.mark.parametrize("after", [False, True], ids=["before-the-write", "after-the-write"])
async def test_death_at_every_step_loses_nothing_and_doubles_nothing(
    tmp_path: Path, clock: ManualClock, after: bool
) -> None:
    hub, body = await plant(tmp_path / "undisturbed", clock)
    counted: Any = Dying(hub.house.store, 10_000, after=after)
    await beside(hub.house, counted).relay_hub.intake.take(body)
    wanted = await everything(hub.house)
    await hub.house.close()
    assert len(wanted["readings"]) == 6
    assert counted.writes >= 10
    assert wanted["connectionLogs"]
    assert wanted["events"]
    assert wanted["refused"] == [1, ("NOBODY",)]
    for step in range(1, counted.writes + 1):
        hub, body = await plant(tmp_path / str(step), clock)
        doomed = beside(hub.house, Dying(hub.house.store, step, after=after))
        with pytest.raises(Died):
            await doomed.relay_hub.intake.take(body)
        await beside(hub.house).relay_hub.intake.take(body)
        assert await everything(hub.house) == wanted, f"died at write {step}"
        await hub.house.close()


@pytest.mark.parametrize("broken", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00", "0001-01-01T00:00:00Z"])
async def test_a_time_that_no_calendar_has_costs_its_own_reading_alone(
    hub: Hub, drain: Callable[..., Any], broken: str
) -> None:
    await hub.machine("OVEN-1")
    good = hub.reading("OVEN-1", -5)
    batch = hub.batch(hub.reading("OVEN-1", -10), good)
    batch.readings[0]["ts"] = broken
    answer = await send(hub, batch)
    if answer.status == 409:  # the door saw that it is of the future; the queue has no such door
        await hub.house.relay_hub.intake.take(pack(batch))
    assert not (await drain(queues=DRAINED)).failures
    assert [reading.at for reading in await readings_of(hub.house, "OVEN-1")] == [good.at]
    assert (await hub.house.relays.get("hall-1")).refused.count == 1
