"""The audit log: who changed what. Append-only, gap-free, a hash chain per stream.

Written by create alone: in Azure the app's identity has no right to replace or delete here. The order of numbers is
kept by the id: whoever comes second with a number gets a conflict, reads what is there and takes the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.audit.browse import AuditFilter, browse_all, browse_stream
from shared.audit.chain import (
    GENESIS,
    Verification,
    check,
    entry_hash,
    entry_id,
    in_order,
    link,
    month_after,
    plain,
    stream_name,
)
from shared.audit.witness import Witness, hold_against
from shared.clock import Clock, iso, month_of, parse_iso
from shared.errors import Conflict, OvenbridgeError, Unavailable
from shared.ids import new_id
from shared.observability import correlation_id
from shared.storage import Document, DocumentStore, Equals, Query, every
from shared.storage.newest import cursor, read_cursor

__all__ = ["AuditEntry", "AuditLog", "AuditPage"]

CONTAINER = "audit"
MAX_TRIES = 50
"""How often a writer takes the next number before it gives up; each conflict means that another one got on."""
KNOWN_STREAMS = 10_000
"""Streams whose newest entry is remembered in this process."""
MAX_ENTRIES = 1_000_000
"""At most so many entries of one stream are verified in one go."""

log = logging.getLogger("ovenbridge.audit")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that somebody did, or was about to do."""

    stream: str
    seq: int
    at: datetime
    actor: Mapping[str, str]
    """``{id, name, how}`` of the caller."""
    action: str
    """``equipment.changed``; with ``.failed`` at the end: the change announced before it did not happen."""
    target: str
    before: Any
    after: Any
    correlation_id: str | None
    hash: str

    @classmethod
    def from_document(cls, document: Document) -> AuditEntry:
        """The entry back from its stored form."""
        return cls(
            stream=document["stream"],
            seq=document["seq"],
            at=parse_iso(document["at"]),
            actor=document["actor"],
            action=document["action"],
            target=document["target"],
            before=document.get("before"),
            after=document.get("after"),
            correlation_id=document.get("correlationId"),
            hash=document["hash"],
        )


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of entries, newest first."""

    entries: list[AuditEntry]
    continuation: str | None


@dataclass(slots=True)
class _Stream:
    """What this process knows of a stream."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    head: Document | None = None
    """The newest entry as far as known; ``None``: not read yet, or empty."""


class AuditLog:
    """Writes and checks the chains."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._streams: OrderedDict[str, _Stream] = OrderedDict()

    async def append(
        self,
        stream: str,
        *,
        actor: Mapping[str, str],
        action: str,
        target: str,
        before: Any = None,
        after: Any = None,
    ) -> AuditEntry:
        """Add an entry; durable when it returns.

        Args:
            stream: whose chain, e.g. ``equipment:{id}``.
            actor: ``Caller.actor``.
            action: what is done, e.g. ``equipment.changed``.
            target: what it is done to.
            before: how it was, JSON, without secrets (fields with a secret's name are masked).
            after: how it will be, likewise.

        Raises:
            Unavailable: the store is away, or too many others write to this stream.
        """
        said = {"action": action, "target": target, "before": plain(before), "after": plain(after)}
        known = self._known(stream_name(stream))
        async with known.lock:
            for _ in range(MAX_TRIES):
                head = known.head or await self._read_head(stream)
                document = self._entry_after(head, stream, dict(actor), said)
                known.head = await self._create(document)
                if known.head is not None:
                    return AuditEntry.from_document(known.head)
        raise Unavailable(f"Too many writers add to the audit stream {stream} at once. Try again.", retry_after=1.0)

    @asynccontextmanager
    async def recorded(
        self,
        stream: str,
        *,
        actor: Mapping[str, str],
        action: str,
        target: str,
        before: Any = None,
        after: Any = None,
    ) -> AsyncIterator[AuditEntry]:
        """Around a change: the entry stands before the change happens, so no change goes without one.

        When the body raises, ``<action>.failed`` follows and the error goes on to the caller. If the process dies in
        between, the log tells of a change that may not have happened; the other way round cannot be.
        """
        entry = await self.append(stream, actor=actor, action=action, target=target, before=before, after=after)
        try:
            yield entry
        except Exception as error:
            detail = error.detail if isinstance(error, OvenbridgeError) else "unexpected error"
            said = {"announced": entry.seq, "error": type(error).__name__, "detail": detail}
            try:
                await self.append(stream, actor=actor, action=f"{action}.failed", target=target, after=said)
            except OvenbridgeError as second:
                log.error("Cannot note that entry %s of %s failed: %s", entry.seq, stream, second.detail)
            raise

    async def verify(
        self, stream: str, *, noted: tuple[int, str] | None = None, witnesses: Sequence[Witness] = ()
    ) -> Verification:
        """Recompute the chain of one stream and name the first entry that does not hold.

        Args:
            stream: which.
            noted: number and hash of an entry that somebody wrote down outside; shows a cut-off tail or a chain that
                was written anew from some place on, which the chain alone cannot.
            witnesses: what the anchors hold of it, which shows the same (``AuditProof`` reads them).
        """
        links = in_order(
            [
                link(stream, stored.document)
                async for stored in every(
                    self._store,
                    CONTAINER,
                    Query(limit=1000),
                    partition=(stream_name(stream),),
                    at_most=MAX_ENTRIES,
                )
            ]
        )
        return hold_against(check(stream, links, noted=noted), links, witnesses)

    async def entries(
        self,
        wanted: AuditFilter | None = None,
        *,
        stream: str | None = None,
        limit: int = 100,
        continuation: str | None = None,
    ) -> AuditPage:
        """A page of entries, newest first; of one stream, or of all.

        Raises:
            InvalidInput: the continuation is not ours.
        """
        looked_for = wanted or AuditFilter()
        if stream is None:
            found, place = await browse_all(
                self._store, looked_for, now=self._clock.now(), limit=limit, continuation=continuation
            )
            return AuditPage([AuditEntry.from_document(d) for d in found], place)
        if continuation:
            below = int(read_cursor(continuation, int)[0])
        else:
            head = await self._read_head(stream_name(stream))
            below = head["seq"] + 1 if head else 1
        found, below = await browse_stream(self._store, stream, looked_for, below=below, limit=limit)
        return AuditPage([AuditEntry.from_document(d) for d in found], cursor(below) if below > 1 else None)

    async def streams(self) -> list[str]:
        """All streams, sorted by name. Reads the whole log: for checking all of it, not for everyday use."""
        names = {
            str(stored.document["stream"])
            async for stored in every(self._store, CONTAINER, Query(limit=1000, select=("stream",)), at_most=10**8)
        }
        return sorted(names)

    def _known(self, stream: str) -> _Stream:
        known = self._streams.get(stream)
        if known is None:
            if len(self._streams) >= KNOWN_STREAMS:
                self._forget_some()
            known = self._streams[stream] = _Stream()
        else:
            self._streams.move_to_end(stream)
        return known

    def _forget_some(self) -> None:
        idle = [name for name, known in self._streams.items() if not known.lock.locked()]
        for name in idle[: KNOWN_STREAMS // 10]:
            del self._streams[name]

    def _entry_after(self, head: Document | None, stream: str, actor: dict[str, str], said: dict[str, Any]) -> Document:
        now = iso(self._clock.now())
        seq = head["seq"] + 1 if head else 1
        document: Document = {
            "id": entry_id(stream, seq),
            "stream": stream,
            "month": month_after(head["month"], head["at"]) if head else now[:7],
            "seq": seq,
            # Two writers that say the very same thing in the same millisecond are still two.
            "uid": new_id(),
            "at": now,
            "actor": actor,
            **said,
            "correlationId": correlation_id(),
            "prevHash": head["hash"] if head else GENESIS,
        }
        document["hash"] = entry_hash(document)
        return document

    async def _create(self, document: Document) -> Document | None:
        """Create the entry; ``None``: somebody else has the number."""
        try:
            await self._store.create(CONTAINER, document)
        except Conflict:
            there = await self._entry(document["stream"], document["seq"])
            # A client that repeats a write whose answer got lost meets its own entry.
            return document if there is not None and there["hash"] == document["hash"] else None
        return document

    async def _read_head(self, stream: str) -> Document | None:
        """The newest entry. It stands in this month's partition or its neighbours', or the stream has been quiet."""
        now = self._clock.now()
        months = dict.fromkeys(month_of(now + timedelta(days=days)) for days in (1, 0, -31))
        newest = 0
        for month in sorted(months, reverse=True):
            page = await self._store.query(
                CONTAINER, Query(order_by="seq", descending=True, limit=1), partition=(stream, month)
            )
            if page.items:
                newest = int(page.items[0].document["seq"])
                break
        return await self._last_from(stream, newest)

    async def _last_from(self, stream: str, seq: int) -> Document | None:
        """The last entry at or after ``seq``, found by doubling and halving: numbers have no gaps."""
        low, step = seq, 1
        last = await self._entry(stream, seq) if seq else None
        while (entry := await self._entry(stream, low + step)) is not None:
            low, last, step = low + step, entry, step * 2
        while step > 1:
            step //= 2
            if (entry := await self._entry(stream, low + step)) is not None:
                low, last = low + step, entry
        return last

    async def _entry(self, stream: str, seq: int) -> Document | None:
        page = await self._store.query(CONTAINER, Query((Equals("seq", seq),), limit=1), partition=(stream,))
        return page.items[0].document if page.items else None
