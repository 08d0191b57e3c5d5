"""A relay at work: kept running, going on without its hub, and saying what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.clock import SystemClock, iso
from shared.json_text import dump
from shared.platforms.operations1.local_requests import LocalRequests
from shared.relay.messages import (
    Assignments,
    Command,
    CommandAnswer,
    Heartbeat,
    InboundBatch,
    InboundTaken,
    ReadingBatch,
    unpack,
)
from shared.relay.plant_relay import PlantRelay, RelayIdentity
from shared.relay.plant_start import plant_relay
from shared.relay.uplink import HubAway, HubShut
from shared.secrets.file_vault import FileVault
from shared.settings import Settings
from shared.signals import Reading
from tests.unit.relay.plant_house import Ovens, device


class Hub:
    def __init__(self) -> None:
        self.away: Exception | None = None
        self.assigned = Assignments(relay_id="plant-1", etag="a", devices=(device("oven-1"),))
        self.taken: list[dict[str, Any]] = []
        self.beats: list[Heartbeat] = []

    def _here(self) -> None:
        if self.away is not None:
            raise self.away

    async def assignments(self, etag: str | None) -> Assignments | None:
        self._here()
        return None if etag == self.assigned.etag else self.assigned

    async def send(self, batch: bytes, message_id: str) -> None:
        self._here()
        self.taken += unpack(ReadingBatch, batch).readings

    async def heartbeat(self, beat: Heartbeat) -> None:
        self._here()
        self.beats.append(beat)

    async def commands(self, wait_seconds: float) -> Sequence[Command]:
        self._here()
        await asyncio.Event().wait()
        return ()

    async def answer(self, answer: CommandAnswer) -> None:
        raise NotImplementedError

    async def inbound(self, batch: InboundBatch) -> InboundTaken:
        raise NotImplementedError

    async def close(self) -> None:
        return


class House:
    """Relays over one folder, one after the other, as after restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.ovens = Ovens(self.clock)
        self.ovens.add("oven-1")
        self.hub = Hub()
        self.relays: list[PlantRelay] = []

    def relay(self, **more: Any) -> PlantRelay:
        fields: dict[str, Any] = {"relay_id": "plant-1", "folder": self.folder, "spool_max_bytes": 10**8}
        fields |= {"spool_max_days": 30} | more
        relay = PlantRelay(
            RelayIdentity(**fields),
            self.clock,
            connectors=lambda: self.ovens,  # type: ignore[arg-type,return-value]
            vault=lambda: FileVault(self.folder / "vault", self.clock),
            uplink=lambda: self.hub,
        )
        self.relays.append(relay)
        return relay


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path / "relay")
    yield made
    for relay in made.relays:
        await relay.close()


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - other tasks count
            await asyncio.sleep(0.01)


async def test_it_reads_sends_and_beats(house: House) -> None:
    relay = house.relay()
    await relay.keep_running()
    await until(lambda: bool(house.hub.taken and house.hub.beats))
    assert house.hub.taken[0]["equipmentId"] == "oven-1"
    assert relay.etag == "a"
    assert await relay.troubles() == []


async def test_starting_twice_is_harmless_and_what_died_is_started_again(house: House) -> None:
    relay = house.relay()
    await asyncio.gather(*(relay.keep_running() for _ in range(3)))
    before = dict(relay._tasks)
    await relay.keep_running()
    assert relay._tasks == before
    before["sending"].cancel()
    await asyncio.wait({before["sending"]})
    await relay.keep_running()
    assert relay._tasks["sending"] is not before["sending"]
    assert relay._tasks["heartbeat"] is before["heartbeat"]
    await until(lambda: bool(house.hub.taken))


async def test_after_a_restart_without_the_hub_it_reads_what_it_read(house: House) -> None:
    house.hub.assigned = house.hub.assigned.model_copy(
        update={"request_profiles": ({"id": "core", "profile": {"tags": {}}},)}
    )
    first = house.relay()
    await first.keep_running()
    await until(lambda: bool(house.hub.taken))
    await first.close()
    house.hub.away = HubAway("It is away.")
    read = len(house.ovens.of["oven-1"].times)
    second = house.relay()
    await second.keep_running()
    await until(lambda: len(house.ovens.of["oven-1"].times) >= read + 2)
    assert second.request_profile("core") == {"tags": {}}
    assert second.request_profile("other") is None
    troubles = await second.troubles()
    assert [trouble.blocking for trouble in troubles] == [False]
    assert "The hub is away since" in troubles[0].problem
    assert "It is away." not in troubles[0].advice
    taken = len(house.hub.taken)
    house.hub.away = None
    await until(lambda: len(house.hub.taken) >= taken + 2)
    assert len({reading["id"] for reading in house.hub.taken}) == len(house.hub.taken)


async def test_a_worker_is_answered_after_a_restart_with_hub_and_machines_away(house: House) -> None:
    profile = {"tags": {"Core": {"equipment_id": "oven-1", "signal": "temperature.cabinet"}}}
    assigned = {"request_profiles": ({"id": "core", "profile": profile},)}
    house.hub.assigned = house.hub.assigned.model_copy(update=assigned)
    first = house.relay()
    await first.keep_running()
    await until(lambda: bool(house.hub.taken))
    before = await first.latest.latest_value("oven-1", "temperature.cabinet")
    await first.close()
    house.hub.away = HubAway("It is away.")

    async def silent(oven: object) -> Reading:
        await asyncio.Event().wait()
        raise AssertionError

    house.ovens.of["oven-1"].behaviour = silent
    second = house.relay()
    await second.keep_running()
    after = await second.latest.latest_value("oven-1", "temperature.cabinet")
    assert before is not None
    assert after is not None
    assert iso(before[1]) <= iso(after[1]) <= iso(house.clock.now())
    asked = {"progressId": 7, "row": {"entries": [{"interactionTags": [{"name": "Core", "archived": False}]}]}}
    reply = await LocalRequests(second.request_profile, second.latest, house.clock).answer("core", dump(asked))
    assert reply.body == {"Core": after[0].value}


async def test_a_hub_that_does_not_let_it_in_is_said(house: House) -> None:
    house.hub.away = HubShut("The hub answered 401. Check HUB_URL, RELAY_ID and RELAY_TOKEN.")
    relay = house.relay()
    await relay.keep_running()
    await until(lambda: relay._link.away_since is not None)
    assert "401" in (await relay.troubles())[0].problem


async def test_each_way_that_is_shut_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings by one queue, commands by another: both sentences are for whoever has to make them."""

    async def no_queue(*_: Any) -> None:
        raise HubAway("There is no queue relay-ingest.")

    async def no_own_queue(*_: Any) -> None:
        raise HubAway("There is no queue relay-plant-1-commands.")

    monkeypatch.setattr(house.hub, "send", no_queue)
    monkeypatch.setattr(house.hub, "commands", no_own_queue)
    relay = house.relay()
    await relay.keep_running()
    works = relay._works
    assert works is not None
    await until(lambda: works.sender.link.away_since is not None and works.commands.link.away_since is not None)
    troubles = await relay.troubles()
    assert not any(trouble.blocking for trouble in troubles), "it reads on"
    said = " ".join(trouble.problem for trouble in troubles)
    assert "no queue relay-ingest." in said
    assert "no queue relay-plant-1-commands." in said


async def test_assignments_of_another_relay_are_not_followed(house: House) -> None:
    house.hub.assigned = house.hub.assigned.model_copy(update={"relay_id": "plant-2"})
    relay = house.relay()
    await relay.keep_running()
    await relay.refresh()
    assert relay.etag is None


async def test_what_is_missing_is_named(house: House, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, relay_id="plant-1")
    relay = plant_relay(settings, house.clock, connectors=lambda: None, vault=lambda: None, http=lambda: None)  # type: ignore[arg-type,return-value]
    await relay.keep_running()
    [trouble] = await relay.troubles()
    assert trouble.blocking
    assert trouble.advice.endswith("missing here: HUB_URL, RELAY_TOKEN.")
    await relay.close()


async def test_two_relays_in_one_folder(house: House) -> None:
    await house.relay().keep_running()
    second = house.relay()
    await second.keep_running()
    [trouble] = await second.troubles()
    assert trouble.blocking
    assert "in use by another process" in trouble.problem


async def test_a_spool_that_is_nearly_full_and_one_that_dropped(house: House) -> None:
    house.hub.away = HubAway("It is away.")
    relay = house.relay(spool_max_bytes=3_000)
    await relay.keep_running()
    works = relay._works
    assert works is not None
    for n in range(20):
        await works.spool.put([{"id": f"r:{n}:relay", "equipmentId": "oven-9", "ts": f"2026-11-21T10:00:{n:02}.000Z"}])
    said = " ".join(trouble.problem for trouble in await relay.troubles())
    assert "% full" in said
    assert "dropped since the spool was made" in said


@pytest.mark.parametrize(
    "given",
    [
        {"hub_url": "hub.example.com"},
        {"hub_url": "https://user:pw@hub.example.com"},
        {"hub_url": "https://hub.example.com?x=1"},
        {"relay_id": "Plant 1"},
        {"relay_cors_origins": "*"},
        {"relay_cors_origins": "https://a.example/,https://b.example"},
        {"relay_cors_origins": "https://A.example"},
        {"spool_max_mb": 0},
    ],
)
def test_settings_that_cannot_be_used(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        Settings(**given)


def test_settings_are_tidied_and_keep_their_secret() -> None:
    settings = Settings(
        hub_url="https://hub.example.com/",
        relay_token="ob_secret",
        relay_cors_origins=" https://a.example , https://b.example:8443",
    )
    assert settings.hub_url == "https://hub.example.com"
    assert settings.relay_cors_origins == "https://a.example,https://b.example:8443"
    assert "ob_secret" not in repr(settings)
