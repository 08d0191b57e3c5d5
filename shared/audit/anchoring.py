"""Writing anchors and seals.

Which streams moved is asked of the container's index over ``at``, across partitions: every entry since the last look,
a quarter of an hour overlapping, number, hash and time only. The whole log is read once, for the first anchor.
Estimated from Cosmos DB's list figures, not measured: about 3 RU for each physical partition and 1 RU for every ten
entries; 24 looks and a wide one cost a quiet plant some 80 RU a day, one with a thousand changes a day some 300. Blobs:
two listings, at most 35 reads and one write an hour.

Everything is safe to repeat. What an anchor says follows from the store and the anchors before it, its number makes it
the only one, and creating it is one step: a process that dies before leaves nothing behind, after it nothing undone. Of
two that write at once, one gets a conflict, reads what the other wrote, and finds nothing left to tell.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from shared.audit.anchor import ZERO, Anchor, AnchoredHead, Head, Seal, SealedAnchor
from shared.audit.shelf import AnchorShelf, Contents, Unreadable
from shared.clock import Clock, day_of, iso, parse_iso
from shared.errors import Unavailable
from shared.storage import Condition, DocumentStore, Query, Range, every

__all__ = ["Anchoring"]

CONTAINER = "audit"
OVERLAP = timedelta(minutes=15)
"""A look begins so long before the last one: entries carry the clock of their writer, which may be a little behind, and
arrive after it was read."""
WIDE_OVERLAP = timedelta(days=1)
"""Once a day a look begins so long before, for clocks that are far behind."""
MAX_HEADS = 10_000
"""In one anchor (2 MB); more go into the next ones."""
MAX_TRIES = 200
"""Conflicts with other writers and further anchors, together, in one run."""
REMEMBERED_ANCHORS = 30
"""So many of the newest anchors are read to know what is told already: those of a day."""
SEALS_TO_READ = 5
"""So many are tried to find one that can be read."""

log = logging.getLogger("ovenbridge.audit")


@dataclass(frozen=True, slots=True)
class _Tail:
    """The end of both sequences: what the next anchor and the next seal follow."""

    contents: Contents
    seal: Seal | None
    """The newest that can be read."""
    last_seal: Seal | Unreadable | None
    last_anchor: Anchor | Unreadable | None
    anchors: tuple[Anchor, ...]
    """The newest ones, as far as they can be read."""

    @property
    def next_anchor(self) -> tuple[int, str]:
        """Its number, and the hash of the one before."""
        last = self.last_anchor
        return (last.number + 1, last.sha256 or ZERO) if last else (1, ZERO)

    @property
    def next_seal(self) -> tuple[int, str]:
        """Its number, and the hash of the one before."""
        last = self.last_seal
        return (last.number + 1, last.sha256 or ZERO) if last else (1, ZERO)

    def since(self, now: datetime) -> datetime | None:
        """From when on to look: a little before the last look. ``None``: for everything.

        A look that says it was made later than now was made by a clock that was ahead: it says nothing.
        """
        looks = [parse_iso(look.at) for look in (*self.anchors, *([self.seal] if self.seal else []))]
        past = [at for at in looks if at <= now]
        return max(past) - OVERLAP if past else None

    def known(self) -> dict[str, int]:
        """The newest entry of each stream that was told lately."""
        newest: dict[str, int] = {}
        for head in (*(self.seal.heads if self.seal else ()), *(h for a in self.anchors for h in a.heads)):
            newest[head.stream] = max(newest.get(head.stream, 0), head.seq)
        return newest

    def sealed_on(self, day: str) -> bool:
        """Is there a seal of this day? By equality: a clock that was ahead once must not end sealing for years."""
        return self.seal is not None and self.seal.at[:10] == day


class Anchoring:
    """Notes where the chains stand, where nobody can rewrite it."""

    def __init__(self, store: DocumentStore, shelf: AnchorShelf, clock: Clock) -> None:
        self._store = store
        self._shelf = shelf
        self._clock = clock

    async def anchor(self, *, also: Iterable[Head] = (), widely: bool = False) -> int:
        """Write the heads of all streams that moved since the last look.

        Args:
            also: heads that somebody else found unanchored.
            widely: look a day further back.

        Returns:
            How many anchors were written: 0 when nothing moved.

        Raises:
            Unavailable: the store or the blobs are away. The next run makes good for it.
        """
        tail, now = await self._tail(), self._clock.now()
        since = tail.since(now)
        found = await self._moved(since - WIDE_OVERLAP if since and widely else since)
        for head in also:
            _keep_newest(found, head)
        written = 0
        for _ in range(MAX_TRIES):
            known = tail.known()
            heads = [found[stream] for stream in sorted(found) if found[stream].seq > known.get(stream, 0)]
            if not heads:
                return written
            number, previous = tail.next_anchor
            anchor = Anchor(
                number=number,
                at=iso(now),
                previous=previous,
                since=iso(since) if since else None,
                heads=tuple(heads[:MAX_HEADS]),
            )
            if await self._shelf.add(anchor):
                written += 1
                log.info("Anchor %s of the audit log: %s streams, %s", anchor.name, len(anchor.heads), _digest(anchor))
                # What was written is told; it is not searched for among the newest again.
                found = {head.stream: head for head in heads[MAX_HEADS:]}
                if not found:
                    return written
            tail = await self._tail()
        raise Unavailable("Too many others write anchors at once; the next run goes on.", retry_after=60.0)

    async def seal(self) -> bool:
        """Once a day (UTC): look far back, then gather all anchors since the last seal into one document.

        Raises:
            Unavailable: the store or the blobs are away. The next run makes good for it.
        """
        day = day_of(self._clock.now())
        if (await self._tail()).sealed_on(day):
            return False
        await self.anchor(widely=True)
        for _ in range(MAX_TRIES):
            tail = await self._tail()
            if tail.sealed_on(day):
                return False
            seal = await self._seal_after(tail)
            if await self._shelf.add(seal):
                log.info("Seal %s of the audit log: %s anchors, %s", seal.name, len(seal.anchors), _digest(seal))
                return True
        raise Unavailable("Too many others write seals at once; the next run goes on.", retry_after=60.0)

    async def _seal_after(self, tail: _Tail) -> Seal:
        number, previous = tail.next_seal
        done = tail.seal.through if tail.seal else 0
        anchors = await self._shelf.anchors(n for n in tail.contents.anchors if n > done)
        heads = [
            AnchoredHead(**head.model_dump(), anchor=anchor.number)
            for anchor in anchors
            if isinstance(anchor, Anchor)
            for head in anchor.heads
        ]
        now = iso(self._clock.now())
        return Seal(
            number=number,
            at=now,
            previous=previous,
            through=anchors[-1].number if anchors else done,
            anchors=tuple(_as_sealed(anchor, now) for anchor in anchors),
            heads=tuple(sorted(heads, key=lambda head: (head.stream, head.anchor))),
        )

    async def _tail(self) -> _Tail:
        contents = await self._shelf.contents()
        seals = await self._shelf.seals(reversed(contents.seals[-SEALS_TO_READ:]))
        seal = next((s for s in seals if isinstance(s, Seal)), None)
        newest = await self._shelf.anchors(contents.anchors[-REMEMBERED_ANCHORS:])
        for thing in (*seals, *newest):
            if isinstance(thing, Unreadable):
                log.error("Anchor or seal %s of the audit log cannot be read: %s", thing.number, thing.problem)
        return _Tail(
            contents=contents,
            seal=seal,
            last_seal=seals[0] if seals else None,
            last_anchor=newest[-1] if newest else None,
            anchors=tuple(a for a in newest if isinstance(a, Anchor)),
        )

    async def _moved(self, since: datetime | None) -> dict[str, Head]:
        """The newest entry of each stream, of those written since then."""
        where: list[Condition] = [Range("at", ge=iso(since))] if since else []
        query = Query(where, limit=1000, select=("stream", "seq", "hash", "at"))
        found: dict[str, Head] = {}
        async for stored in every(self._store, CONTAINER, query, at_most=10**8):
            head = _head(stored.document)
            if head is not None:
                _keep_newest(found, head)
        return found


def _keep_newest(found: dict[str, Head], head: Head) -> None:
    there = found.get(head.stream)
    if there is None or there.seq < head.seq:
        found[head.stream] = head


def _head(document: Mapping[str, object]) -> Head | None:
    """``None`` for an entry that was tampered with so that it has no head: verification names it."""
    try:
        return Head.model_validate({name: document.get(name) for name in ("stream", "seq", "hash", "at")})
    except ValidationError:
        log.error("An audit entry has lost its form: %s", document.get("id"))
        return None


def _as_sealed(anchor: Anchor | Unreadable, now: str) -> SealedAnchor:
    if isinstance(anchor, Anchor):
        return SealedAnchor(number=anchor.number, at=anchor.at, since=anchor.since, sha256=anchor.sha256)
    # Sealed as it is found: that it cannot be read is told by verification, now and whenever somebody looks.
    return SealedAnchor(number=anchor.number, at=now, since=None, sha256=anchor.sha256 or ZERO)


def _digest(document: Anchor | Seal) -> str:
    """For the log, which is a second witness."""
    return f"sha256 {hashlib.sha256(document.to_bytes()).hexdigest()}"
