"""The process dies at every step of an import, of opening and closing a batch: nothing is lost, nothing doubled."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from shared.access import Caller, Role
from shared.callbacks.model import NewCallback
from shared.clock import ManualClock, iso
from shared.equipment import IotConnectionConfig, NewEquipment
from shared.services import Services
from shared.storage import Query, every
from shared.work.batches_forms import BatchChange, NewBatch
from tests.unit.callbacks.conftest import ENGINEER
from tests.unit.callbacks.mortal import CrashNow, Fate, alive
from tests.unit.work.connected_cooking import ConnectedCooking, haccp

pytestmark = pytest.mark.long

ANNA = Caller("token:anna", "Anna", frozenset({Role.OPERATOR}), "api_token")
OVEN = "combi-1"


async def _prepared(folder: Path, clock: ManualClock, cloud: ConnectedCooking) -> None:
    async with alive(folder, clock) as house:
        await house.equipment.create(NewEquipment(id=OVEN, name="Combi", serial_number="E1"), ENGINEER)
        config = IotConnectionConfig.model_validate(cloud.config(batch_page_size=1))
        await house.equipment.configure_iot(OVEN, config, ENGINEER)
        for kind in ("BATCH_STARTED", "BATCH_COMPLETED"):
            await house.callbacks.create(NewCallback(kind, f"{cloud.url}/told"), caller=ENGINEER)


async def _outcome(house: Services) -> tuple[list[tuple[str, str]], list[str], int]:
    """Batches with their status, what was told, and how many notifications wait."""
    found = [s.document async for s in every(house.store, "batches", Query(limit=1000))]
    assert not [d for d in found if "unpublished" in d], "nothing is left to tell"
    records = sorted((d["sourceId"], d["status"]) for d in found if "sourceId" in d)
    events = [s.document async for s in every(house.store, "events", Query(limit=1000))]
    kinds = sorted(e["type"] for e in events if e["type"].startswith("BATCH"))
    waiting = [s.document["id"] async for s in every(house.store, "deliveries", Query(limit=1000))]
    return records, kinds, len([name for name in waiting if name.startswith("d:")])


async def test_death_at_every_step_of_an_import(tmp_path: Path, clock: ManualClock) -> None:
    start = clock.now()
    async with ConnectedCooking().serve() as cloud:
        # One of long ago, which no overlap would bring back; one of now.
        cloud.batches = [haccp("a", "E1", start - timedelta(hours=100)), haccp("b", "E1", start - timedelta(hours=1))]

        async def life(folder: Path, fate: Fate | None) -> None:
            async with alive(folder, clock, fate) as house:
                await house.work.batch_import.run()

        fate = Fate()
        await _prepared(tmp_path / "first", clock, cloud)
        shutil.copytree(tmp_path / "first", tmp_path / "undisturbed")
        await life(tmp_path / "undisturbed", fate)
        async with alive(tmp_path / "undisturbed", clock) as house:
            wanted = await _outcome(house)
        assert wanted[0] == [("a", "completed"), ("b", "completed")]
        assert (len(wanted[1]), wanted[2]) == (2, 2)
        assert {"before store.upsert", "before store.create", "after store.replace"} <= set(fate.passed)
        for point in range(0, fate.points, 2):
            folder = tmp_path / f"{point}"
            shutil.copytree(tmp_path / "first", folder)
            try:
                await life(folder, Fate(point))
                raise AssertionError("it should have died")
            except CrashNow:
                pass
            await life(folder, None)  # due at once: the mark had not moved, or everything was done
            clock.advance(3600)
            await life(folder, None)
            clock.set(start)
            async with alive(folder, clock) as house:
                assert await _outcome(house) == wanted, f"dead at point {point}, {fate.passed[point]}"


async def test_death_at_every_step_of_opening_and_closing(tmp_path: Path, clock: ManualClock) -> None:
    """The caller who got no answer asks again in the same words."""
    form = NewBatch(id="MES-1", equipment_id=OVEN, product="Baguettes", started_at=clock.now())
    closing = BatchChange.model_validate({"status": "completed", "ended_at": iso(clock.now())})

    async def life(folder: Path, fate: Fate | None) -> None:
        async with alive(folder, clock, fate) as house:
            await house.batches.open(form, ANNA)
            await house.batches.change("MES-1", closing, ANNA, etag=None)

    async with ConnectedCooking().serve() as cloud:
        fate = Fate()
        await _prepared(tmp_path / "first", clock, cloud)
        shutil.copytree(tmp_path / "first", tmp_path / "undisturbed")
        await life(tmp_path / "undisturbed", fate)
        assert fate.points > 30
        for point in range(0, fate.points, 2):
            folder = tmp_path / f"{point}"
            shutil.copytree(tmp_path / "first", folder)
            try:
                await life(folder, Fate(point))
                raise AssertionError("it should have died")
            except CrashNow:
                pass
            await life(folder, None)
            async with alive(folder, clock) as house:
                await house.batches.tell()
                stored = await house.batches.get("MES-1")
                assert (stored.document["status"], "unpublished" in stored.document) == ("completed", False)
                _, kinds, waiting = await _outcome(house)
                assert (kinds, waiting) == (["BATCH_COMPLETED", "BATCH_STARTED"], 2), fate.passed[point]
