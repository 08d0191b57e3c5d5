"""Is the audit log what was written? The chains and the anchors, held against each other.

``AuditProof`` is what the API, the daily check and the command line ask. The daily check has a bounded amount of work:
the streams that moved lately, and a share of all others that comes round in four weeks.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from shared.audit.anchor import Anchor, Head, Seal
from shared.audit.anchoring import Anchoring
from shared.audit.chain import Break, Verification
from shared.audit.evidence import Evidence, gather
from shared.audit.log import AuditLog
from shared.audit.shelf import AnchorShelf, Unreadable
from shared.clock import Clock, day_of, iso
from shared.metrics import AUDIT_CHAIN_OK

__all__ = ["AuditProof", "DailyCheck"]

ROUND_DAYS = 28
"""In so many days every stream and every anchor is checked at least once."""
LATELY = timedelta(days=2)
"""Streams that were anchored since then are checked every day."""
LATEST_SEALS, LATEST_ANCHORS = 3, 50
"""So many are read for that: what was written since then, and a little more."""
DAILY_SECONDS = 120.0
"""So long a daily check begins with further streams; what is left comes in the next round."""

log = logging.getLogger("ovenbridge.audit")


@dataclass(slots=True)
class DailyCheck:
    """What a daily check found."""

    evidence: Evidence
    streams: int = 0
    entries: int = 0
    left: int = 0
    """Streams that were due and found no time."""
    broken: list[Verification] = field(default_factory=list)
    doubtful: list[Verification] = field(default_factory=list)
    anchored_late: int = 0
    """Streams whose newest entries no anchor held although one should have."""

    @property
    def intact(self) -> bool:
        """Nothing contradicts anything."""
        return not self.broken and self.evidence.first_break is None


class AuditProof:
    """Chains and anchors together."""

    def __init__(self, audit: AuditLog, anchoring: Anchoring, shelf: AnchorShelf, clock: Clock) -> None:
        self._audit = audit
        self._anchoring = anchoring
        self._shelf = shelf
        self._clock = clock

    async def evidence(
        self, *, wanted: Callable[[str], bool] | None = None, opened: Callable[[int], bool] | None = None
    ) -> Evidence:
        """The anchors, checked; with what they say of the ``wanted`` streams (``None``: of all).

        Args:
            wanted: streams, by name.
            opened: seals, by number, whose anchors are opened and held against them; ``None``: all of them.
        """
        return await gather(
            self._shelf,
            wanted=wanted or (lambda _stream: True),
            opened=opened or (lambda _number: True),
        )

    async def verify(
        self, stream: str, *, noted: tuple[int, str] | None = None, evidence: Evidence | None = None
    ) -> Verification:
        """One stream against itself, a note and everything that was anchored of it.

        Raises:
            InvalidInput: no stream can have this name.
            Unavailable: store or anchors are away.
        """
        if evidence is None:
            evidence = await self.evidence(wanted=lambda name: name == stream, opened=lambda _number: False)
        return await self._audit.verify(stream, noted=noted, witnesses=evidence.of(stream))

    async def streams(self, evidence: Evidence) -> list[str]:
        """All streams that the log or an anchor knows, by name. Reads the whole log."""
        return sorted({*await self._audit.streams(), *evidence.witnesses})

    async def anchors(self, *, below: int | None, limit: int) -> tuple[list[Anchor | Unreadable], int | None]:
        """A page of anchors, newest first, and the number to go on below (``None``: that was all)."""
        known = (await self._shelf.contents()).anchors
        page, more = _page(known, below, limit)
        return await self._shelf.anchors(page), more

    async def seals(self, *, below: int | None, limit: int) -> tuple[list[Seal | Unreadable], int | None]:
        """A page of seals, newest first, and the number to go on below (``None``: that was all)."""
        known = (await self._shelf.contents()).seals
        page, more = _page(known, below, limit)
        return await self._shelf.seals(page), more

    async def _moved_since(self, since: str) -> set[str]:
        """Streams that were anchored since then."""
        contents = await self._shelf.contents()
        found: set[str] = set()
        for seal in await self._shelf.seals(contents.seals[-LATEST_SEALS:]):
            if isinstance(seal, Seal) and seal.at >= since:
                found |= {head.stream for head in seal.heads}
        for anchor in await self._shelf.anchors(contents.anchors[-LATEST_ANCHORS:]):
            if isinstance(anchor, Anchor) and anchor.at >= since:
                found |= {head.stream for head in anchor.heads}
        return found

    async def check_daily(self) -> DailyCheck:
        """Check what moved lately and today's share of the rest; record ``audit.chain_ok``; anchor what was missed.

        Raises:
            Unavailable: store or anchors are away; nothing is recorded.
        """
        now = self._clock.now()
        turn = now.toordinal() % ROUND_DAYS
        lately = await self._moved_since(iso(now - LATELY))
        evidence = await self.evidence(
            # Of all others nothing is kept in memory.
            wanted=lambda stream: stream in lately or _bucket(stream) == turn,
            opened=lambda number: number % ROUND_DAYS == turn,
        )
        found = DailyCheck(evidence)
        streams = _in_todays_order(evidence.witnesses, day_of(now))
        late: list[Head] = []
        until = time.monotonic() + DAILY_SECONDS
        for position, stream in enumerate(streams):
            if time.monotonic() > until:
                found.left = len(streams) - position
                break
            verdict = await self.verify(stream, evidence=evidence)
            _count(found, verdict)
            if (head := _missed(verdict, evidence)) is not None:
                late.append(head)
            # Handlers share this loop.
            await asyncio.sleep(0)
        if late:
            found.anchored_late = len(late)
            await self._anchoring.anchor(also=late)
        _tell(found)
        return found


def _in_todays_order(streams: Iterable[str], day: str) -> list[str]:
    """Another one every day: what finds no time today is not what found none yesterday."""
    return sorted(streams, key=lambda stream: hashlib.sha256(f"{day} {stream}".encode()).digest())


def _bucket(stream: str) -> int:
    return int.from_bytes(hashlib.sha256(stream.encode()).digest()[:4], "big") % ROUND_DAYS


def _page(known: list[int], below: int | None, limit: int) -> tuple[list[int], int | None]:
    rest = [number for number in reversed(known) if below is None or number < below]
    return rest[:limit], rest[limit - 1] if len(rest) > limit else None


def _count(found: DailyCheck, verdict: Verification) -> None:
    found.streams += 1
    found.entries += verdict.entries
    if not verdict.intact:
        found.broken.append(verdict)
    elif verdict.doubt is not None:
        found.doubtful.append(verdict)


def _missed(verdict: Verification, evidence: Evidence) -> Head | None:
    """Its newest entry, when it is older than the newest anchor and in none."""
    anchored = verdict.anchored.seq if verdict.anchored else 0
    if not verdict.intact or verdict.head_seq <= anchored or evidence.newest is None:
        return None
    if verdict.head_at >= evidence.newest:
        return None
    return Head(stream=verdict.stream, seq=verdict.head_seq, hash=verdict.head_hash, at=verdict.head_at)


def _tell(found: DailyCheck) -> None:
    AUDIT_CHAIN_OK.record(1.0 if found.intact else 0.0)
    if found.evidence.first_break is not None:
        log.error("The audit anchors do not hold: %s", found.evidence.first_break.detail)
    for verdict in found.broken[:100]:
        log.error("The audit log does not hold, stream %s: %s", verdict.stream, _sentence(verdict.first_break))
    for verdict in found.doubtful[:100]:
        log.warning("The audit log, stream %s: %s", verdict.stream, _sentence(verdict.doubt))
    log.info(
        "Checked the audit log: %s streams, %s entries, %s broken, %s left for later; %s anchors, %s opened",
        found.streams,
        found.entries,
        len(found.broken),
        found.left,
        found.evidence.anchors,
        found.evidence.read,
    )


def _sentence(found: Break | None) -> str:
    return found.detail if found is not None else ""
