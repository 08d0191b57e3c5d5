"""Messages of what waits: the words agreed, at most 200 KB, and one reading that cannot leave holds up nobody."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.json_text import load
from shared.relay.messages import MAX_PACKED, Lost, ReadingBatch, pack, unpack
from shared.relay.plant_batches import Batches
from shared.relay.plant_spool import ALARM, Spool
from tests.unit.relay.test_plant_spool import document

CHANCE = random.Random(7)


def incompressible(number: int, size: int) -> dict[str, Any]:
    made = document(number)
    made["values"]["note"] = {"v": base64.b64encode(CHANCE.randbytes(size)).decode()}
    return made


@pytest.fixture
async def spool(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Spool]:
    made = Spool.open(tmp_path / "spool.db", clock, max_bytes=10**8, max_days=30)
    yield made
    await made.close()


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("lane", [0, 1])
async def test_a_message_is_what_the_words_say(spool: Spool, count: int, lane: Any) -> None:
    await spool.put([document(n) for n in range(count)], lane=lane)
    outgoing = await Batches(spool, "plant-1").next()
    assert outgoing is not None
    batch = outgoing.batch
    words = ReadingBatch(
        relay_id="plant-1",
        first_seq=batch.first_seq,
        last_seq=batch.last_seq,
        priority="alarm" if lane == ALARM else "history",
        readings=tuple(load(body) for body in batch.bodies),
        lost=Lost(history=0),
    )
    assert outgoing.packed == pack(words)
    assert outgoing.message_id == words.message_id == unpack(ReadingBatch, outgoing.packed).message_id
    assert list(words.readings) == [document(n) for n in range(count)]


async def test_the_same_batch_is_the_same_message(spool: Spool) -> None:
    await spool.put([document(n) for n in range(5)])
    batches = Batches(spool, "plant-1")
    assert await batches.next() == await batches.next()


async def test_what_does_not_compress_is_cut(spool: Spool) -> None:
    await spool.put([incompressible(n, 15_000) for n in range(40)])
    batches = Batches(spool, "plant-1")
    seen = 0
    while (outgoing := await batches.next()) is not None:
        assert len(outgoing.packed) <= MAX_PACKED
        seen += len(outgoing.batch.bodies)
        await spool.acknowledge(outgoing.batch)
    assert seen == 40


async def test_a_reading_that_fits_into_no_message_is_set_aside(spool: Spool) -> None:
    await spool.put([document(1), incompressible(2, 400_000), document(3)])
    batches = Batches(spool, "plant-1")
    seen: list[str] = []
    while (outgoing := await batches.next()) is not None:
        seen += [load(body)["id"] for body in outgoing.batch.bodies]
        await spool.acknowledge(outgoing.batch)
    assert seen == [document(1)["id"], document(3)["id"]]
    assert (await spool.state()).refused_total == 1
