"""Reading at a fixed rate, whatever the machines do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from shared.clock import SystemClock
from shared.errors import DeviceConnectionError, InvalidInput
from shared.relay.plant_machine import MOST_ON_THEIR_WAY, Machine, Plant
from shared.relay.plant_sampler import Sampler
from shared.signals import Quality, Reading, SignalValue
from tests.unit.relay.plant_house import Oven, OvenConnector, Ovens, device, plant, sound, waiting

PERIOD = 0.05
HERE = '{"for": ["10.0.0.5"], "credentials": %s}'


@pytest.fixture
def ovens() -> Ovens:
    return Ovens(SystemClock())


@pytest.fixture
async def here(tmp_path: Path, ovens: Ovens) -> AsyncIterator[Plant]:
    made = plant(tmp_path, SystemClock(), ovens)
    yield made
    await made.spool.close()


@pytest.fixture
async def sampler(here: Plant) -> AsyncIterator[Sampler]:
    made = Sampler(here, period=lambda _: PERIOD, chance=lambda: 0.0)
    yield made
    await made.close()


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - other tasks count
            await asyncio.sleep(0.005)


async def raises(oven: Oven) -> Reading:
    raise RuntimeError("a library stumbled")


async def refuses(oven: Oven) -> Reading:
    raise DeviceConnectionError("It is switched off.")


async def misconfigured(oven: Oven) -> Reading:
    raise InvalidInput("endpoint is missing.", field="endpoint")


async def cancels_itself(oven: Oven) -> Reading:
    raise asyncio.CancelledError


async def hangs(oven: Oven) -> Reading:
    await asyncio.Event().wait()
    raise AssertionError


async def hangs_on(oven: Oven) -> Reading:
    for _ in range(400):
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue
    return await sound(oven)


async def test_slots_lie_on_a_fixed_grid(sampler: Sampler, ovens: Ovens) -> None:
    async def takes_a_while(oven: Oven) -> Reading:
        await asyncio.sleep(PERIOD / 2)
        return await sound(oven)

    oven = ovens.add("oven-1", takes_a_while)
    await sampler.assign([device("oven-1")])
    await until(lambda: len(oven.times) >= 20, 20)
    slots = 19 + sampler.stats.skipped
    took = oven.times[19] - oven.times[0]
    assert took < (slots + 1) * PERIOD, "the time of the reads does not add up"


async def test_slots_that_were_missed_are_counted_and_not_caught_up(sampler: Sampler, ovens: Ovens) -> None:
    async def slow_once(oven: Oven) -> Reading:
        if len(oven.times) == 3:
            await asyncio.sleep(PERIOD * 3.5)
        return await sound(oven)

    oven = ovens.add("oven-1", slow_once)
    await sampler.assign([device("oven-1")])
    await until(lambda: len(oven.times) >= 8)
    assert sampler.stats.skipped >= 3
    gaps = [later - earlier for earlier, later in pairwise(oven.times[3:])]
    assert min(gaps) > PERIOD / 2, "no bunch of reads after the pause"


@pytest.mark.parametrize("behaviour", [raises, refuses, misconfigured, cancels_itself, hangs])
async def test_whatever_happens_is_a_bad_reading_and_the_others_go_on(
    sampler: Sampler, here: Plant, ovens: Ovens, behaviour: Callable[..., object]
) -> None:
    bad = ovens.add("bad", behaviour)  # type: ignore[arg-type]
    good = ovens.add("good")
    await sampler.assign([device("bad", timeout_seconds=0.05), device("good")])
    await until(lambda: len(bad.times) >= 2 and len(good.times) >= 8)
    reading = await here.latest.latest("bad")
    assert reading is not None
    assert reading.quality is Quality.BAD
    assert reading.error_code
    assert reading.reason
    assert reading.source == "relay"
    assert sampler.summary().failing == 1
    assert sampler.summary().connected == 1
    bad.behaviour = sound
    machine = sampler.machine("bad")
    assert machine is not None
    assert await machine.visit() == 0.0, "it comes back without a restart"


async def test_a_read_that_does_not_end_is_left_behind(
    here: Plant, ovens: Ovens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.relay.plant_machine.GRACE_SECONDS", 0.01)
    oven = ovens.add("oven-1", hangs_on)
    machine = Machine(device("oven-1", timeout_seconds=0.02), here)
    for _ in range(5):
        await machine.visit()
    assert len(oven.times) == 3, "a bound on what is left behind"
    await until(lambda: not machine._left_behind, 10)
    oven.behaviour = sound
    assert await machine.visit() == 0.0


async def test_back_off_is_of_one_machine(here: Plant, ovens: Ovens) -> None:
    ovens.add("bad", refuses)
    machine = Machine(device("bad"), here)
    pauses = [await machine.visit() for _ in range(12)]
    assert max(pauses) <= 60
    assert max(pauses[6:]) > 1
    good = ovens.add("good")
    sampler = Sampler(here, period=lambda _: PERIOD, chance=lambda: 0.0)
    await sampler.assign([device("bad"), device("good")])
    await until(lambda: len(good.times) >= 10)
    await sampler.close()


async def test_readings_are_on_disk_with_the_time_of_the_attempt(here: Plant, ovens: Ovens) -> None:
    ovens.add("oven-1")
    machine = Machine(device("oven-1"), here)
    before = here.clock.now()
    await machine.visit()
    after = here.clock.now()
    [stored] = await waiting(here.spool)
    reading = await here.latest.latest("oven-1")
    assert reading is not None
    assert before <= reading.at <= after
    assert stored["id"].startswith("r:2")
    assert stored["id"].endswith(":relay")
    await machine.close()


async def test_only_what_changed_is_restarted(sampler: Sampler, ovens: Ovens) -> None:
    same, changed, gone = ovens.add("same"), ovens.add("changed"), ovens.add("gone")
    await sampler.assign([device("same"), device("changed"), device("gone")])
    await until(lambda: all(oven.times for oven in (same, changed, gone)))
    kept = sampler.machine("same")
    new = ovens.add("new")
    await sampler.assign([device("same"), device("changed", port=99), device("new")])
    assert sampler.machine("same") is kept
    assert gone.closed == 1
    await until(lambda: bool(new.times) and len(changed.opened) == 2)
    assert changed.opened[-1]["port"] == 99
    assert len(same.opened) == 1
    read = len(gone.times)
    await until(lambda: len(new.times) >= 4)
    assert len(gone.times) == read


async def test_credentials_come_from_the_site(tmp_path: Path, ovens: Ovens) -> None:
    clock = SystemClock()
    here = plant(
        tmp_path, clock, ovens, {"RELAY_SECRET_OVEN_KEY": '{"for": ["10.0.0.5"], "credentials": {"api_key": "k"}}'}
    )
    oven = ovens.add("oven-1")
    machine = Machine(device("oven-1", endpoint="http://10.0.0.5", credential_ref="oven-key"), here)
    await machine.visit()
    assert oven.opened[0]["credentials"] == {"api_key": "k"}
    lost = Machine(device("oven-1", endpoint="http://10.0.0.5", credential_ref="other-key"), here)
    await lost.visit()
    reading = await here.latest.latest("oven-1")
    assert reading is not None
    assert reading.error_code == "missing_secret"
    assert "`other-key`" in str(reading.reason)
    assert "RELAY_SECRET_OTHER_KEY" in str(reading.reason)
    await here.secrets._vault.set("other-key", HERE % '{"username": "u", "password": "p"}')
    assert await lost.visit() == 0.0
    assert oven.opened[-1]["credentials"] == {"username": "u", "password": "p"}
    await here.spool.close()


async def test_new_credentials_are_tried_at_once_and_old_ones_not_twice(tmp_path: Path, ovens: Ovens) -> None:
    here = plant(tmp_path, SystemClock(), ovens)
    await here.secrets._vault.set("key", HERE % '{"password": "old"}')

    async def asks(oven: Oven) -> Reading:
        if oven.opened[-1]["credentials"]["password"] != "new":
            return Reading(oven.name, oven.clock.now(), {}, Quality.BAD, "No.", error_code="authentication_failed")
        return await sound(oven)

    oven = ovens.add("oven-1", asks)
    machine = Machine(device("oven-1", endpoint="http://10.0.0.5", credential_ref="key"), here)
    assert await machine.visit() > 60, "wrong credentials lock accounts"
    assert len(oven.times) == 1
    await here.secrets._vault.set("key", HERE % '{"password": "new"}')
    assert await machine.visit() == 0.0
    await here.spool.close()


async def test_new_credentials_end_the_long_pause(
    tmp_path: Path, ovens: Ovens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.relay.plant_sampler.LOOK_SECONDS", 0.05)
    here = plant(tmp_path, SystemClock(), ovens)
    await here.secrets._vault.set("key", HERE % '{"password": "old"}')

    async def asks(oven: Oven) -> Reading:
        if oven.opened[-1]["credentials"]["password"] != "new":
            return Reading(oven.name, oven.clock.now(), {}, Quality.BAD, "No.", error_code="authentication_failed")
        return await sound(oven)

    oven = ovens.add("oven-1", asks)
    sampler = Sampler(here, period=lambda _: PERIOD, chance=lambda: 0.0)
    await sampler.assign([device("oven-1", endpoint="http://10.0.0.5", credential_ref="key")])
    await until(lambda: bool(oven.times))
    await asyncio.sleep(0.3)
    assert len(oven.times) == 1, "it is not knocked at with the same ones"
    await here.secrets._vault.set("key", HERE % '{"password": "new"}')
    await until(lambda: len(oven.times) >= 4)
    assert sampler.summary().connected == 1
    await sampler.close()
    await here.spool.close()


async def test_a_full_disk_does_not_stop_the_sampling(sampler: Sampler, here: Plant, ovens: Ovens) -> None:
    oven = ovens.add("oven-1")
    writer = here.spool._file._writer
    writer.execute(f"PRAGMA max_page_count={writer.execute('PRAGMA page_count').fetchone()[0]}")

    async def big(oven: Oven) -> Reading:
        value = SignalValue("x" * 20_000 + str(len(oven.times)))
        return Reading(oven.name, oven.clock.now(), {"note": value})

    oven.behaviour = big
    await sampler.assign([device("oven-1")])
    await until(lambda: len(oven.times) >= 20)
    state = await here.spool.state()
    assert "full" in state.problem
    assert state.lost_total > 3, "but the last few, which are on their way"


async def test_readings_that_stay_within_the_deadband_are_not_stored(here: Plant, ovens: Ovens) -> None:
    async def still(oven: Oven) -> Reading:
        value = 180 + 0.1 * (len(oven.times) % 3) if len(oven.times) < 8 else 185.0
        return Reading(oven.name, oven.clock.now(), {"temperature.cabinet": SignalValue(value, unit="C")})

    ovens.add("oven-1", still)
    signals = {"temperature": {"at": "t", "deadband": 0.5}}
    machine = Machine(device("oven-1", iot_config={"signals": signals}), here)
    for _ in range(9):
        await machine.visit()
    stored = await waiting(here.spool)
    assert [one["values"]["temperature.cabinet"]["v"] for one in stored] == [180.1, 185.0]


async def test_what_could_not_be_stored_was_not_told(here: Plant, ovens: Ovens) -> None:
    async def changed(oven: Oven) -> Reading:
        value = 180.0 if len(oven.times) == 1 else 190.0
        values = {"temperature.cabinet": SignalValue(value, unit="C"), "note": SignalValue("x" * 30_000)}
        return Reading(oven.name, oven.clock.now(), values)

    ovens.add("oven-1", changed)
    signals = {"temperature": {"at": "t", "deadband": 0.5}}
    machine = Machine(device("oven-1", iot_config={"signals": signals}), here)
    await machine.visit()
    writer = here.spool._file._writer
    writer.execute(f"PRAGMA max_page_count={writer.execute('PRAGMA page_count').fetchone()[0]}")
    await machine.visit()
    assert (await here.spool.state()).lost_total == 1
    writer.execute("PRAGMA max_page_count=1000000")
    await machine.visit()
    await machine.visit()
    assert [one["values"]["temperature.cabinet"]["v"] for one in await waiting(here.spool)] == [180.0, 190.0]


async def test_a_machine_is_read_on_while_its_readings_are_on_their_way_to_the_disk(
    here: Plant, ovens: Ovens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.relay.plant_spool.GATHER_SECONDS", 60.0)  # only a full group is written
    monkeypatch.setattr("shared.relay.plant_spool.GATHER_ROWS", MOST_ON_THEIR_WAY + 1)
    oven = ovens.add("oven-1")
    machine = Machine(device("oven-1"), here)
    for _ in range(MOST_ON_THEIR_WAY):
        await asyncio.wait_for(machine.look(), 5)
    one_more = asyncio.create_task(machine.look())
    await until(lambda: len(oven.times) == MOST_ON_THEIR_WAY + 1)
    await asyncio.sleep(0.01)
    assert not one_more.done(), "with so many under way it waits"
    other = Machine(device("oven-2"), here)
    ovens.add("oven-2")
    await other.look()
    await asyncio.wait_for(one_more, 5)
    await here.spool.close()


class BrokerConnector(OvenConnector):
    """Messages wait for it until they are acknowledged."""

    acknowledges = True

    def __init__(self, oven: Oven, queue: list[list[Reading]], log: list[str]) -> None:
        super().__init__(oven)
        self._queue = queue
        self._log = log

    async def get_readings(self) -> list[Reading]:
        self._log.append("read")
        return self._queue[0] if self._queue else []

    async def acknowledge(self) -> bool:
        self._log.append("acknowledged")
        if self._queue:
            self._queue.pop(0)
        return bool(self._queue)


async def test_messages_of_a_broker_are_acknowledged_once_they_are_stored(here: Plant, ovens: Ovens) -> None:
    oven = ovens.add("oven-1")
    now = here.clock.now()

    def message(number: int, size: int = 1) -> Reading:
        values = {"note": SignalValue(str(number) * size)}
        return Reading("oven-1", now + timedelta(seconds=number), values, source=f"m{number}")

    queue, log = [[message(1), message(2)], [message(3, 50_000)]], list[str]()
    ovens.open = lambda **_: BrokerConnector(oven, queue, log)  # type: ignore[method-assign]
    machine = Machine(device("oven-1"), here)
    writer = here.spool._file._writer
    await here.spool.put([])  # its pages are there
    writer.execute(f"PRAGMA max_page_count={writer.execute('PRAGMA page_count').fetchone()[0] + 2}")
    await machine.visit()
    assert log == ["read", "acknowledged", "read"], "what could not be stored comes again"
    assert oven.closed == 1
    assert (await here.spool.state()).lost_total == 0
    writer.execute("PRAGMA max_page_count=1000000")
    assert await machine.visit() == 0.0
    assert queue == []
    assert [one["id"].rpartition(":")[2] for one in await waiting(here.spool)] == ["m1", "m2", "m3"]
    assert machine.failing is False
    assert await machine.visit() == 0.0, "nothing came: no reading, and no failure"
    assert await waiting(here.spool) == []
