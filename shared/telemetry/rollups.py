"""Hourly sums: small, kept for years, written once when the hour is over.

A mark in the same container says up to which hour all machines are done. It moves only after the last machine of an
hour, so a run that dies is repeated; what it had written is met again as "done already".

Readings that come after their hour was summed up (a relay that was cut off) leave a mark too, and the next run sums
that hour up anew. The mark is renewed by every such reading and removed under its etag, so that a reading which comes
while its hour is being summed up is not forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.clock import Clock, day_of, iso, month_of, parse_iso
from shared.errors import Conflict, NotFound, PreconditionFailed
from shared.signals import Reading
from shared.storage import Document, DocumentStore, Query, Range, every
from shared.telemetry.buckets import Tally
from shared.telemetry.span import at_hour, months_of

__all__ = ["Rollups", "summary_of"]

CONTAINER = "rollups"

CATCH_UP = timedelta(days=3)
"""Hours that were missed longer ago stay as single readings only."""

AT_ONCE = 8
"""Machines summed up at the same time."""

LATE = timedelta(hours=1, minutes=4)
"""After the beginning of an hour; from then on it may be summed up already."""

MOST_LATE = 10_000
"""Hours summed up anew in one run; the rest follows an hour later."""

# Names that no machine can have.
_DONE = ":done"
_LATE = ":late"


@dataclass(frozen=True, slots=True)
class Rollups:
    """Writing and reading them."""

    store: DocumentStore
    clock: Clock

    async def roll_up(self, equipment_ids: Iterable[str], hour: datetime) -> int:
        """Sum this hour up for these machines; how many were written now. A machine without readings has none."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(equipment_id: str) -> bool:
            async with places:
                return await self._roll_up(equipment_id, at_hour(hour))

        return sum(await asyncio.gather(*(one(equipment_id) for equipment_id in equipment_ids)))

    async def catch_up(self, equipment_ids: Sequence[str]) -> int:
        """Sum up all hours that are over and not done; how many sums were written."""
        now = at_hour(self.clock.now())
        hour = max(await self.done_until() or now - CATCH_UP, now - CATCH_UP)
        written = 0
        while hour < now:
            written += await self.roll_up(equipment_ids, hour)
            hour += timedelta(hours=1)
            await self.store.upsert(
                CONTAINER, {"id": _DONE, "equipmentId": _DONE, "month": _DONE, "ts": iso(hour), "ttl": -1}
            )
        return written + await self._sum_up_anew()

    async def came_late(self, reading: Reading) -> None:
        """Mark the hour of this reading if it may be summed up already. Call it after the reading was recorded."""
        hour = at_hour(reading.at)
        if self.clock.now() - hour < LATE:
            return
        await self.store.upsert(
            CONTAINER,
            {
                "id": f"{reading.equipment_id}:{_name(hour)}",
                "equipmentId": _LATE,
                "month": _LATE,
                "ts": iso(hour),
                "machine": reading.equipment_id,
            },
        )

    async def done_until(self) -> datetime | None:
        """Hours before this one are summed up, as far as they had readings."""
        try:
            stored = await self.store.read(CONTAINER, (_DONE, _DONE), _DONE)
        except NotFound:
            return None
        return parse_iso(stored.document["ts"])

    async def add_to(
        self, tally: Tally, equipment_id: str, start: datetime, end: datetime, signals: Sequence[str] | None
    ) -> None:
        """Add the hours that begin in ``start <= t < end`` up."""
        async for document in self._documents(equipment_id, start, end):
            at = parse_iso(document["ts"])
            tally.failed(at, document.get("failed", 0))
            for signal, part in document["signals"].items():
                if signals is None or signal in signals:
                    count = part.get("n", 0)
                    if count:
                        tally.numbers(at, signal, part["min"], part["max"], part["avg"], count)
                    tally.bad(at, signal, part.get("bad", 0))

    async def _documents(self, equipment_id: str, start: datetime, end: datetime) -> AsyncIterator[Document]:
        for month in months_of(start, end):
            query = Query((Range("ts", ge=iso(start), lt=iso(end)),), order_by="ts", limit=1000)
            async for item in every(self.store, CONTAINER, query, partition=(equipment_id, month)):
                yield item.document

    async def _sum_up_anew(self) -> int:
        done = 0
        late = every(self.store, CONTAINER, Query(limit=500), partition=(_LATE, _LATE), at_most=MOST_LATE)
        for mark in [item async for item in late]:
            document = mark.document
            done += await self._roll_up(document["machine"], parse_iso(document["ts"]), anew=True)
            with suppress(NotFound, PreconditionFailed):  # renewed meanwhile: the next run
                await self.store.delete(CONTAINER, (_LATE, _LATE), document["id"], etag=mark.etag)
        return done

    async def _roll_up(self, equipment_id: str, hour: datetime, *, anew: bool = False) -> bool:
        query = Query((Range("ts", ge=iso(hour), lt=iso(hour + timedelta(hours=1))),), order_by="ts", limit=1000)
        partition = (equipment_id, day_of(hour))
        readings = [item.document async for item in every(self.store, "readings", query, partition=partition)]
        if not readings:
            return False
        document: Document = {
            "id": f"h:{_name(hour)}",
            "equipmentId": equipment_id,
            "month": month_of(hour),
            "ts": iso(hour),
            **summary_of(readings),
        }
        if anew:
            await self.store.upsert(CONTAINER, document)
            return True
        try:
            await self.store.create(CONTAINER, document)
        except Conflict:
            return False
        return True


def _name(hour: datetime) -> str:
    """``20261121T10``"""
    return iso(hour)[:13].replace("-", "")


def summary_of(readings: Sequence[Document]) -> dict[str, Any]:
    """What is kept of stored readings in order of time: ``reads``, ``failed`` (as a whole), and per signal ``n``
    numbers with ``min``, ``max``, ``avg`` and ``last``, ``bad`` values, and ``last`` of texts and flags too.

    It works on the stored form: a thousand ovens have some hundred thousand readings an hour.
    """
    parts: dict[str, dict[str, Any]] = {}
    numbers: dict[str, list[float]] = {}
    for reading in readings:
        for signal, stored in reading.get("values", {}).items():
            part = parts.get(signal)
            if part is None:
                part, numbers[signal] = parts.setdefault(signal, {}), []
            if "bad" in stored or "v" not in stored:
                part["bad"] = part.get("bad", 0) + 1
                continue
            value = part["last"] = stored["v"]
            if isinstance(value, int | float) and not isinstance(value, bool):
                numbers[signal].append(value)
    for signal, found in numbers.items():
        if found:
            low, high = min(found), max(found)
            average = min(max(sum(found) / len(found), low), high)
            parts[signal] |= {"n": len(found), "min": low, "max": high, "avg": average}
    body: dict[str, Any] = {"reads": len(readings), "signals": parts}
    failed = sum(1 for reading in readings if "failed" in reading)
    return body | ({"failed": failed} if failed else {})
