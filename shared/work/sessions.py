"""Sessions and calls: what people did with instructions or with a helper's voice, for which order and with which oven.

One record per session or call, whoever tells of it and however often: found by its platform's id, joined to its work
order, machine, batch and alert by what its link carried. What carried nothing is kept all the same. Told after it is
written: as events, and to those who follow every revision (systems of record).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, NotFound, OvenbridgeError, PreconditionFailed, Unavailable
from shared.events import Event, EventLog
from shared.events.catalogue import CALL_RECORDED, MACHINE, NONE, SESSION_RECORDED
from shared.ids import digest_id
from shared.storage import Condition, Document, DocumentStore, Equals, IsDefined, Query, SetPath, Stored, every
from shared.storage.newest import NewestFirst
from shared.work.sessions_found import FoundRecord, Kind
from shared.work.sessions_model import capture_noted, merged
from shared.work.sessions_readings import oven_meanwhile

if TYPE_CHECKING:
    from shared.equipment.registry import EquipmentRegistry
    from shared.telemetry.readings import Readings

__all__ = ["CONTAINER", "RecordPage", "RecordQuestion", "RecordSubscriber", "Sessions", "Taken"]

CONTAINER = "sessions"
MAX_TRIES = 20
AT_MOST = 200
"""Records told of per tick."""
KEPT = timedelta(days=3_660)
CLOCKS_DIFFER = timedelta(hours=1)

Outcome = Literal["created", "changed", "same", "older"]

log = logging.getLogger("ovenbridge.sessions")


class RecordSubscriber(Protocol):
    """Somebody who follows every revision of every record. Plugged in by ``Platforms.on_session``."""

    async def accept(self, record: Document) -> None:
        """Take the record as it is now, durably when this returns; quick, without a call to another system.

        Idempotent by ``(record["id"], record["revision"])``: after a crash the same comes again. A revision may be
        skipped where a newer one came at once, and an older one never comes after a newer one that was taken by
        somebody who compares revisions. Raising any ``OvenbridgeError`` has it handed over again within a minute.
        """
        ...


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of what was found."""

    record: Document
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RecordQuestion:
    """Which records; ``None``: any."""

    kind: Kind | None = None
    work_order_id: str | None = None
    equipment_id: str | None = None
    batch_id: str | None = None
    alert_id: str | None = None
    state: str | None = None
    ended: bool | None = None
    source: str | None = None
    since: datetime | None = None
    """Begun at or after (first heard of, where nobody knows when it began)."""
    until: datetime | None = None

    def conditions(self) -> list[Condition]:
        """As the store takes them."""
        wanted = {
            "kind": self.kind,
            "workOrderId": self.work_order_id,
            "equipmentId": self.equipment_id,
            "batchId": self.batch_id,
            "alertId": self.alert_id,
            "state": self.state,
            "ended": self.ended,
            "source": self.source,
        }
        return [Equals(path, value) for path, value in wanted.items() if value is not None]


@dataclass(frozen=True, slots=True)
class RecordPage:
    """A page of records, newest beginning first."""

    records: list[Document]
    continuation: str | None


class Sessions:
    """The records."""

    def __init__(
        self,
        store: DocumentStore,
        equipment: EquipmentRegistry,
        readings: Readings,
        events: EventLog,
        clock: Clock,
        *,
        base_url: str,
        subscribers: Callable[[], Sequence[RecordSubscriber]],
    ) -> None:
        self._store = store
        self._equipment = equipment
        self._readings = readings
        self._events = events
        self._clock = clock
        self._base_url = base_url
        self._subscribers = subscribers

    async def take(self, found: FoundRecord) -> Taken:
        """Record what a platform tells; as often as it comes, it is one record, and told once.

        Raises:
            Unavailable: nothing is known; give it again.
        """
        for _ in range(MAX_TRIES):
            before = await self._read(found.id)
            known = None if before is None else before.document
            after = merged(known, found, self._clock.now())
            if after is known:
                return Taken((await self._tell(before)).document if before else after, "older")
            new = known is None or after["revision"] != known["revision"]
            if new:
                after |= await self._joined(after)
            try:
                if before is None:
                    stored = await self._store.create(CONTAINER, after)
                else:
                    stored = await self._store.replace(CONTAINER, after, etag=before.etag)
            except (Conflict, PreconditionFailed, NotFound):
                continue
            outcome: Outcome = "created" if before is None else "changed" if new else "same"
            return Taken((await self._tell(stored)).document, outcome)
        raise Unavailable("Too many others change this record at once. Try again.", retry_after=1.0)

    async def note_capture(self, record_id: str, capture_id: str, noted: Mapping[str, Any]) -> Document:
        """Write down what became of a capture: a copy is never taken back.

        Raises:
            NotFound: there is no such record.
        """
        for _ in range(MAX_TRIES):
            before = await self.get(record_id)
            after = capture_noted(before.document, capture_id, noted, self._clock.now())
            if after is before.document:
                return after
            try:
                return (await self._tell(await self._store.replace(CONTAINER, after, etag=before.etag))).document
            except PreconditionFailed:
                continue
        raise Unavailable("Too many others change this record at once. Try again.", retry_after=1.0)

    async def note_gone(self, record_id: str) -> bool:
        """The platform has it no longer. What was recorded stays; whether there is a record."""
        try:
            await self._store.patch(CONTAINER, (record_id,), record_id, [SetPath("goneAt", iso(self._clock.now()))])
        except NotFound:
            return False
        return True

    async def get(self, record_id: str) -> Stored:
        """One record. Raises ``NotFound``."""
        found = await self._read(record_id)
        if found is None:
            raise NotFound(
                f"There is no record {record_id[:64]}; GET /api/v1/sessions and /api/v1/calls list what there is."
            )
        return found

    async def find(self, record_id: str) -> Document | None:
        """One record; ``None``: there is none."""
        found = await self._read(record_id)
        return None if found is None else found.document

    async def list(self, asked: RecordQuestion, *, limit: int = 100, continuation: str | None = None) -> RecordPage:
        """Records, newest first. Raises ``InvalidInput`` for a continuation that is not ours."""
        until = self._clock.now() + CLOCKS_DIFFER
        search = NewestFirst(self._store, CONTAINER, "happenedAt", asked.conditions())
        found, place = await search.page(
            since=asked.since or until - KEPT, until=asked.until or until, limit=limit, continuation=continuation
        )
        return RecordPage(found, place)

    async def tell(self) -> int:
        """Tell what a process that died left untold; how many records."""
        told = 0
        query = Query((IsDefined("unpublished"),), limit=AT_MOST)
        async for stored in every(self._store, CONTAINER, query, at_most=AT_MOST):
            after = await self._tell(stored)
            told += "unpublished" not in after.document
        return told

    # Inside ------------------------------------------------------------------------------------------------------

    async def _read(self, record_id: str) -> Stored | None:
        try:
            return await self._store.read(CONTAINER, (record_id,), record_id)
        except NotFound:
            return None

    async def _joined(self, record: Document) -> dict[str, Any]:
        """What we know of its machine, and what the machine did meanwhile."""
        name = record.get("equipmentId")
        if name is None:
            return {}
        try:
            machine = await self._equipment.known(name)
        except NotFound:
            return {"equipmentName": None, "site": None}  # kept: it may be another system's name of it
        joined: dict[str, Any] = {"equipmentName": machine.name, "site": machine.site}
        if record["ended"] and record.get("startedAt") and record.get("endedAt"):
            joined["readings"] = await oven_meanwhile(
                self._readings, machine.id, record["startedAt"], record["endedAt"]
            )
        return joined

    async def _tell(self, stored: Stored) -> Stored:
        """Publish what the record owes, hand it to who follows it, and take the marks off."""
        told: set[str] = set()
        for _ in range(MAX_TRIES):
            record = stored.document
            if "unpublished" not in record:
                return stored
            try:
                for mark in record["unpublished"]:
                    if mark["change"] is not None and mark["key"] not in told:
                        await self._events.publish(self._event(record, mark))
                        told.add(mark["key"])
                for subscriber in self._subscribers():
                    await subscriber.accept(record)
            except OvenbridgeError as error:
                log.warning("Telling of %s failed and will be repeated: %s", record["id"], error.detail)
                return await self._half_told(stored, told)
            rest = {name: value for name, value in record.items() if name != "unpublished"}
            try:
                return await self._store.replace(CONTAINER, rest, etag=stored.etag)
            except PreconditionFailed:
                stored = await self.get(record["id"])
        return stored

    async def _half_told(self, stored: Stored, told: set[str]) -> Stored:
        """What was published is not published again every minute because somebody else cannot take the record."""
        marks = stored.document["unpublished"]
        left = [mark | {"change": None} if mark["key"] in told else mark for mark in marks]
        if left == marks:
            return stored
        try:
            return await self._store.replace(CONTAINER, {**stored.document, "unpublished": left}, etag=stored.etag)
        except PreconditionFailed:
            return stored

    def _event(self, record: Document, mark: Mapping[str, Any]) -> Event:
        """The event of a mark: the same id whenever it is told."""
        kind = record["kind"]
        machine = record.get("equipmentId")
        data: dict[str, Any] = {
            f"{kind}_id": record["id"],
            "external_id": record["externalId"],
            "source": record["source"],
            "change": mark["change"],
            "state": mark["state"],
            "title": record.get("title"),
            "started_at": record.get("startedAt"),
            "ended_at": record.get("endedAt"),
            "duration_seconds": record.get("durationSeconds"),
            "work_order_id": record.get("workOrderId"),
            "equipment_id": machine,
            "equipment_name": record.get("equipmentName"),
            "batch_id": record.get("batchId"),
            "alert_id": record.get("alertId"),
            "url": f"{self._base_url}/api/v1/{kind}s/{record['id']}",
        }
        if kind == "session":
            data |= {
                "steps_possible": record.get("stepsPossible"),
                "steps_viewed": record.get("stepsViewed"),
                "percent_viewed": record.get("percentViewed"),
            }
        return Event(
            id=digest_id(kind, record["id"], mark["key"]).upper(),
            type=SESSION_RECORDED if kind == "session" else CALL_RECORDED,
            timestamp=parse_iso(mark["at"]),
            object_type=MACHINE if machine is not None else NONE,
            object_id=machine,
            name=record.get("title"),
            data=data,
            site=record.get("site"),
        )
