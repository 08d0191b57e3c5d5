"""Writing anchors and seals: what they hold, that nothing is missed, crashes at every step, clocks that are wrong."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.audit.anchor import Anchor, Head, Seal
from shared.audit.anchoring import Anchoring
from shared.audit.shelf import AnchorShelf
from shared.blobs import BlobStore
from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.services import Services
from shared.storage import DocumentStore, Page, PartitionKey, Query, Range

ACTOR = {"id": "token:1", "name": "Anna", "how": "api_token"}
HOUR = 3600.0


@pytest.fixture
def shelf(house: Services) -> AnchorShelf:
    return AnchorShelf(house.anchor_blobs)


async def add(house: Services, stream: str, count: int = 1) -> None:
    for _ in range(count):
        await house.audit.append(stream, actor=ACTOR, action="equipment.changed", target="x")


async def anchors(shelf: AnchorShelf) -> list[Anchor]:
    found = await shelf.anchors((await shelf.contents()).anchors)
    assert all(isinstance(anchor, Anchor) for anchor in found)
    return [anchor for anchor in found if isinstance(anchor, Anchor)]


async def seals(shelf: AnchorShelf) -> list[Seal]:
    found = await shelf.seals((await shelf.contents()).seals)
    return [seal for seal in found if isinstance(seal, Seal)]


async def told(shelf: AnchorShelf) -> list[dict[str, int]]:
    return [{head.stream: head.seq for head in anchor.heads} for anchor in await anchors(shelf)]


async def test_an_anchor_holds_what_moved_and_the_hash_of_the_one_before(house: Services, clock: ManualClock) -> None:
    await add(house, "token", 3)
    await add(house, "equipment:A", 2)
    assert await house.anchoring.anchor() == 1
    clock.advance(HOUR)
    await add(house, "token", 1)
    assert await house.anchoring.anchor() == 1
    first = await house.anchor_blobs.read("anchor-000000001.json")
    second = json.loads(await house.anchor_blobs.read("anchor-000000002.json"))
    entry = (await house.audit.entries(stream="token", limit=1)).entries[0]
    assert second == {
        "kind": "anchor",
        "version": 1,
        "number": 2,
        "at": "2026-11-21T11:00:00.000Z",
        "since": "2026-11-21T09:45:00.000Z",
        "previous": hashlib.sha256(first).hexdigest(),
        "heads": [{"stream": "token", "seq": 4, "hash": entry.hash, "at": "2026-11-21T11:00:00.000Z"}],
    }
    told_first = json.loads(first)
    assert (told_first["previous"], told_first["since"]) == ("0" * 64, None)
    assert [(head["stream"], head["seq"]) for head in told_first["heads"]] == [("equipment:A", 2), ("token", 3)]


async def test_in_a_quiet_hour_nothing_is_written(house: Services, clock: ManualClock, shelf: AnchorShelf) -> None:
    assert await house.anchoring.anchor() == 0
    await add(house, "token")
    await house.anchoring.anchor()
    for _ in range(3):
        assert await house.anchoring.anchor() == 0
        clock.advance(HOUR)
    assert await told(shelf) == [{"token": 1}]


async def test_hours_and_days_that_were_missed_are_made_good(
    house: Services, clock: ManualClock, shelf: AnchorShelf
) -> None:
    await add(house, "token")
    await house.anchoring.anchor()
    for n in range(60):
        clock.advance(HOUR)
        await add(house, f"equipment:{n % 7}")
    await house.anchoring.anchor()
    assert (await told(shelf))[1] == {"equipment:0": 9, "equipment:1": 9, "equipment:2": 9, "equipment:3": 9} | {
        f"equipment:{n}": 8 for n in (4, 5, 6)
    }


async def test_only_what_was_written_lately_is_read(house: Services, clock: ManualClock) -> None:
    """Reading the whole log every hour would cost more than all the rest."""
    for _ in range(40):
        await add(house, "token")
        clock.advance(HOUR)
    await house.anchoring.anchor()
    clock.advance(HOUR)
    await add(house, "equipment:A")
    seen = Recorded(house.store)
    await Anchoring(seen, AnchorShelf(house.anchor_blobs), clock).anchor()  # type: ignore[arg-type]
    assert [query.where for query in seen.queries] == [[Range("at", ge="2026-11-23T01:45:00.000Z")]]
    assert [query.select for query in seen.queries] == [("stream", "seq", "hash", "at")]
    assert seen.items == 1


async def test_two_instances_at_once_write_one(house: Services, clock: ManualClock, shelf: AnchorShelf) -> None:
    for turn in range(3):
        await add(house, f"equipment:{turn}")
        both = [Anchoring(house.store, AnchorShelf(house.anchor_blobs), clock) for _ in range(4)]
        await asyncio.gather(*(one.anchor() for one in both))
        clock.advance(HOUR)
    assert await told(shelf) == [{"equipment:0": 1}, {"equipment:1": 1}, {"equipment:2": 1}]
    await asyncio.gather(*(one.seal() for one in both))
    assert [seal.through for seal in await seals(shelf)] == [3]


async def test_one_that_comes_second_adds_what_the_first_did_not_see(
    house: Services, clock: ManualClock, shelf: AnchorShelf
) -> None:
    """Between the first one's look and its write another entry is made, and the second sees that one, too."""
    await add(house, "token")
    between = Interrupted(house.anchor_blobs)

    async def meanwhile() -> None:
        await add(house, "equipment:A")
        await house.anchoring.anchor()

    between.before_create = meanwhile
    await Anchoring(house.store, AnchorShelf(between), clock).anchor()
    assert await told(shelf) == [{"equipment:A": 1, "token": 1}]
    await add(house, "token")
    await house.anchoring.anchor()
    assert (await told(shelf))[1:] == [{"token": 2}]


async def test_one_that_comes_second_still_tells_what_only_it_knows(
    house: Services, clock: ManualClock, shelf: AnchorShelf
) -> None:
    await add(house, "token")
    between = Interrupted(house.anchor_blobs)
    between.before_create = house.anchoring.anchor
    only = Head(stream="equipment:OLD", seq=3, hash="a" * 64, at="2020-01-01T00:00:00.000Z")
    assert await Anchoring(house.store, AnchorShelf(between), clock).anchor(also=[only]) == 1
    assert await told(shelf) == [{"token": 1}, {"equipment:OLD": 3}]


async def test_an_answer_that_got_lost_makes_no_second_anchor(
    house: Services, clock: ManualClock, shelf: AnchorShelf
) -> None:
    await add(house, "token")
    assert await Anchoring(house.store, AnchorShelf(Repeats(house.anchor_blobs)), clock).anchor() == 1
    await Anchoring(house.store, AnchorShelf(Repeats(house.anchor_blobs)), clock).seal()
    assert (len(await anchors(shelf)), len(await seals(shelf))) == (1, 1)


@pytest.mark.parametrize("lost", range(16))
async def test_dying_at_any_step_loses_nothing_and_repeats_nothing(
    house: Services, clock: ManualClock, shelf: AnchorShelf, lost: int
) -> None:
    """The process ends before its n-th call to the blobs, or right after it; then another one runs."""
    await add(house, "token", 2)
    await house.anchoring.anchor()
    await house.anchoring.seal()
    clock.advance(24 * HOUR)
    await add(house, "equipment:A")
    for after in (False, True):
        dying = Anchoring(house.store, AnchorShelf(Dies(house.anchor_blobs, lost, after=after)), clock)
        try:
            await dying.anchor()
            await dying.seal()
        except Killed:
            pass
    await house.anchoring.anchor()
    await house.anchoring.seal()
    assert await told(shelf) == [{"token": 2}, {"equipment:A": 1}]
    assert [[a.number for a in seal.anchors] for seal in await seals(shelf)] == [[1], [2]]
    assert (await house.audit_proof.evidence()).first_break is None


async def test_a_seal_gathers_the_anchors_of_the_day(house: Services, clock: ManualClock, shelf: AnchorShelf) -> None:
    for _ in range(3):
        await add(house, "token")
        await add(house, "equipment:A")
        await house.anchoring.anchor()
        clock.advance(HOUR)
    assert await house.anchoring.seal() is True
    assert await house.anchoring.seal() is False, "one a day"
    seen = Recorded(house.store)
    assert await Anchoring(seen, shelf, clock).seal() is False  # type: ignore[arg-type]
    assert seen.queries == [], "every other hour looks no further back"
    clock.advance(12 * HOUR)
    assert await house.anchoring.seal() is True, "a quiet day has one, too: somebody looked"
    first, second = await seals(shelf)
    written = await anchors(shelf)
    assert [(a.number, a.sha256) for a in first.anchors] == [(a.number, a.sha256) for a in written]
    assert [(h.stream, h.anchor, h.seq) for h in first.heads] == [
        (stream, n, n) for stream in ("equipment:A", "token") for n in (1, 2, 3)
    ]
    assert (second.anchors, second.heads, second.through, second.previous) == ((), (), 3, first.sha256)


async def test_the_seal_looks_a_day_back_for_clocks_that_are_behind(
    house: Services, clock: ManualClock, shelf: AnchorShelf
) -> None:
    await add(house, "token")
    await house.anchoring.anchor()
    clock.advance(-5 * HOUR)
    await add(house, "equipment:SLOW")
    clock.advance(6 * HOUR)
    await house.anchoring.anchor()
    assert await told(shelf) == [{"token": 1}], "hours behind: an hourly look does not see it"
    await house.anchoring.seal()
    assert (await told(shelf))[1:] == [{"equipment:SLOW": 1}]
    found = await house.audit_proof.verify("equipment:SLOW")
    assert found.doubt is not None
    assert (found.intact, found.doubt.kind, found.doubt.seq) == (True, "backdated", 1)


async def test_a_clock_that_was_ahead_for_a_while_hides_nothing(
    house: Services, clock: ManualClock, shelf: AnchorShelf
) -> None:
    await add(house, "token")
    await house.anchoring.anchor()
    now = clock.now()
    clock.set(datetime(2031, 1, 1, tzinfo=UTC))
    await add(house, "equipment:A")
    await house.anchoring.anchor()
    await house.anchoring.seal()
    clock.set(now)
    for n in range(3):
        clock.advance(HOUR)
        await add(house, f"equipment:{n}")
        await house.anchoring.anchor()
    assert (await told(shelf))[2:] == [{"equipment:0": 1}, {"equipment:1": 1}, {"equipment:2": 1}]
    assert await house.anchoring.seal() is True, "a seal of 2031 does not end sealing until then"
    evidence = await house.audit_proof.evidence()
    assert (evidence.first_break, evidence.doubt and evidence.doubt.kind) == (None, "clock_back")


async def test_very_many_streams_go_into_several(
    house: Services, shelf: AnchorShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.audit.anchoring.MAX_HEADS", 4)
    for n in range(10):
        await add(house, f"equipment:{n}")
    assert await house.anchoring.anchor() == 3
    assert [len(heads) for heads in await told(shelf)] == [4, 4, 2]
    for n in range(10):
        assert (await house.audit_proof.verify(f"equipment:{n}")).doubt is None


async def test_what_was_tampered_with_does_not_stop_the_rest(
    house: Services, shelf: AnchorShelf, caplog: pytest.LogCaptureFixture
) -> None:
    await add(house, "token")
    await add(house, "equipment:A")
    page = await house.store.query("audit", Query(), partition=("token",))
    await house.store.replace("audit", {**page.items[0].document, "hash": "none"})
    await house.anchoring.anchor()
    assert await told(shelf) == [{"equipment:A": 1}]
    assert "lost its form" in caplog.text


async def test_an_anchor_that_was_destroyed_does_not_stop_the_next(
    house: Services, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await add(house, "token")
    await house.anchoring.anchor()
    path = tmp_path / "data" / "audit-anchors" / "anchor-000000001.json"
    path.chmod(0o600)
    path.write_bytes(b"{}")
    clock.advance(HOUR)
    await add(house, "equipment:A")
    assert await house.anchoring.anchor() == 1
    assert await house.anchoring.seal() is True
    assert "cannot be read" in caplog.text
    second = Anchor.model_validate_json(await house.anchor_blobs.read("anchor-000000002.json"))
    assert {head.stream for head in second.heads} == {"equipment:A", "token"}, "all are told anew"
    broken = (await house.audit_proof.evidence()).first_break
    assert broken is not None
    assert (broken.kind, broken.anchor) == ("anchor_altered", 1)


async def test_the_log_is_a_second_witness(house: Services, caplog: pytest.LogCaptureFixture) -> None:
    await add(house, "token")
    with caplog.at_level(logging.INFO, "ovenbridge.audit"):
        await house.anchoring.anchor()
        await house.anchoring.seal()
    for name in ("anchor-000000001.json", "seal-000000001.json"):
        assert f"sha256 {hashlib.sha256(await house.anchor_blobs.read(name)).hexdigest()}" in caplog.text


async def test_somebody_who_always_gets_there_first_does_not_keep_us_for_ever(
    house: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.audit.anchoring.MAX_TRIES", 3)
    await add(house, "token")
    with pytest.raises(Unavailable, match="next run"):
        await Anchoring(house.store, TakenShelf(house.anchor_blobs), clock).anchor()


class Recorded:
    """A store that notes its queries."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self.queries: list[Query] = []
        self.items = 0

    async def query(self, container: str, query: Query, *, partition: PartitionKey | None = None) -> Page:
        self.queries.append(query)
        page = await self._store.query(container, query, partition=partition)
        self.items += len(page.items)
        return page


class Through:
    """Blobs behind other blobs."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def create(self, name: str, data: bytes) -> None:
        await self._blobs.create(name, data)

    async def read(self, name: str) -> bytes:
        return await self._blobs.read(name)

    async def names(self, prefix: str = "") -> AsyncIterator[str]:
        async for name in self._blobs.names(prefix):
            yield name

    async def check(self) -> None:
        await self._blobs.check()

    async def close(self) -> None:
        await self._blobs.close()


class Repeats(Through):
    """The answer to a create is lost once, and the client library repeats it."""

    async def create(self, name: str, data: bytes) -> None:
        await self._blobs.create(name, data)
        await self._blobs.create(name, data)


class Interrupted(Through):
    """Something happens before the first create."""

    before_create: Any = None

    async def create(self, name: str, data: bytes) -> None:
        happening, self.before_create = self.before_create, None
        if happening is not None:
            await happening()
        await self._blobs.create(name, data)


class TakenShelf(AnchorShelf):
    """Every number is taken."""

    async def add(self, document: Anchor | Seal) -> bool:
        return False


class Killed(BaseException):
    """The process is gone."""


class Dies(Through):
    """Dies at one of its calls, before or after that has happened."""

    def __init__(self, blobs: BlobStore, at: int, *, after: bool) -> None:
        super().__init__(blobs)
        self._left = at
        self._after = after

    async def _step(self, call: Any) -> Any:
        self._left -= 1
        if self._left == -1 and not self._after:
            raise Killed
        result = await call()
        if self._left == -1:
            raise Killed
        return result

    async def create(self, name: str, data: bytes) -> None:
        await self._step(lambda: self._blobs.create(name, data))

    async def read(self, name: str) -> bytes:
        data: bytes = await self._step(lambda: self._blobs.read(name))
        return data
