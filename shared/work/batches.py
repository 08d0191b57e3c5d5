"""Batches: what was baked in which oven, from when to when, and how it went.

One record per batch, whoever tells of it: a person or a system that opens it by the API, or a vendor's documentation
that is imported. Partitioned by oven, in order of their beginning; a batch is found by its id alone, too. What people
do is an audit entry before it happens, and told after.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from shared import json_text
from shared.audit.log import AuditLog
from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, InvalidInput, NotFound, OvenbridgeError, PreconditionFailed, Unavailable
from shared.events import Event, EventLog
from shared.events.catalogue import BATCH_COMPLETED, MACHINE
from shared.ids import digest_id, new_id
from shared.storage import Condition, Document, DocumentStore, Equals, IsDefined, Query, Range, Stored, every
from shared.storage.newest import NewestFirst
from shared.topology import topology
from shared.work.batches_forms import BatchChange, NewBatch, said_of
from shared.work.batches_merge import imported_id, merged
from shared.work.batches_model import FIELDS, BatchStatus, changed, duration, opened

if TYPE_CHECKING:
    from shared.access.model import Caller
    from shared.connectors.rational_batch import FoundBatch
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry

__all__ = ["CONTAINER", "BatchPage", "BatchQuestion", "Batches", "Taken"]

CONTAINER = "batches"
MAX_TRIES = 20
AT_MOST = 200
"""Batches told of per tick."""
CLAIM_SECONDS = 3_600
"""Longer than any call takes between its claim and its record; then the record itself is found."""

FORGOTTEN = timedelta(days=7)

Taken = Literal["created", "changed", "same"]

log = logging.getLogger("ovenbridge.batches")


@dataclass(frozen=True, slots=True)
class BatchQuestion:
    """Which batches."""

    start: datetime
    """Begun at or after."""
    end: datetime
    """Begun before."""
    equipment_id: str | None = None
    status: str | None = None

    def conditions(self) -> list[Condition]:
        """What the store decides, beside the times."""
        return [] if self.status is None else [Equals("status", self.status)]


@dataclass(frozen=True, slots=True)
class BatchPage:
    """A page of batches, newest beginning first."""

    batches: list[Document]
    continuation: str | None


class Batches:
    """What was baked."""

    def __init__(
        self,
        store: DocumentStore,
        equipment: EquipmentRegistry,
        events: EventLog,
        audit: AuditLog,
        clock: Clock,
        *,
        base_url: str,
        retention_days: int,
    ) -> None:
        self._store = store
        self._equipment = equipment
        self._events = events
        self._audit = audit
        self._clock = clock
        self._base_url = base_url
        ttl = retention_days * 86_400
        self._ttl = {} if ttl == topology().containers[CONTAINER].ttl_seconds else {"ttl": ttl}

    # Reading -----------------------------------------------------------------------------------------------------

    async def get(self, batch_id: str) -> Stored:
        """One batch. Raises ``NotFound``."""
        found = await self._find(batch_id)
        if found is None:
            raise NotFound(f"There is no batch {batch_id[:100]}; GET /api/v1/batches lists what there is.")
        return found

    async def of_work_order(self, work_order_id: str, limit: int) -> tuple[list[Document], bool]:
        """Batches that belong to a work order, newest first, and whether there are more."""
        query = Query((Equals("workOrderId", work_order_id),), limit=limit)
        found = [s.document async for s in every(self._store, CONTAINER, query, at_most=limit + 1)]
        found.sort(key=lambda batch: str(batch["startedAt"]), reverse=True)
        return found[:limit], len(found) > limit

    async def list(self, asked: BatchQuestion, *, limit: int = 100, continuation: str | None = None) -> BatchPage:
        """Batches by the time they began, newest first. Raises ``InvalidInput`` for a continuation that is not ours."""
        if asked.equipment_id is None:
            search = NewestFirst(self._store, CONTAINER, "startedAt", asked.conditions())
            found, place = await search.page(since=asked.start, until=asked.end, limit=limit, continuation=continuation)
            return BatchPage(found, place)
        query = Query(
            (*asked.conditions(), Range("startedAt", ge=iso(asked.start), lt=iso(asked.end))),
            order_by="startedAt",
            descending=True,
            limit=limit,
            continuation=continuation,
        )
        page = await self._store.query(CONTAINER, query, partition=(asked.equipment_id,))
        return BatchPage([item.document for item in page.items], page.continuation)

    async def active(self, equipment_id: str) -> Document | None:
        """The newest batch that is open for an oven; one that was forgotten for a week is not what it bakes now."""
        now = self._clock.now()
        asked = BatchQuestion(now - FORGOTTEN, now + timedelta(days=1), equipment_id, BatchStatus.RUNNING)
        page = await self.list(asked, limit=1)
        return page.batches[0] if page.batches else None

    # What people do ----------------------------------------------------------------------------------------------

    async def open(self, form: NewBatch, caller: Caller) -> tuple[Stored, bool]:
        """Open a batch; whether it is new. The same call twice opens one.

        Raises:
            InvalidInput: naming the field: no such machine, or times that cannot be.
            Conflict: the id is another batch's.
        """
        said = said_of(form)
        digest = digest_id(form.equipment_id, json_text.canonical(said))
        batch_id = form.id or new_id()
        if form.id is not None and (known := await self._find(batch_id)) is not None:
            return await self._same(known, digest), False
        machine = await self._machine(form.equipment_id)
        batch = opened(batch_id, {**said, "askedFor": digest}, machine, caller, self._clock.now()) | self._ttl
        if form.id is not None:
            await self._claim(batch_id, machine.id)
        try:
            async with self._audit.recorded(
                f"batch:{machine.id}", actor=caller.actor, action="batch.opened", target=batch_id, after=_audited(batch)
            ):
                stored = await self._store.create(CONTAINER, batch)
        except Conflict:
            return await self._same(await self._store.read(CONTAINER, (machine.id,), batch_id), digest), False
        return await self._tell(stored), True

    async def change(self, batch_id: str, form: BatchChange, caller: Caller, *, etag: str | None) -> Stored:
        """Change what people may change, or close the batch. What is so already is no change.

        Raises:
            NotFound: there is no such batch.
            PreconditionFailed: the etag is stale.
            InvalidInput, Conflict: that cannot be.
        """
        said, now = said_of(form), self._clock.now()
        for _ in range(MAX_TRIES):
            before = await self.get(batch_id)
            if etag is not None and etag != before.etag:
                raise _stale()
            after = changed(before.document, said, caller, now)
            if after is before.document:
                return await self._tell(before)
            try:
                return await self._tell(await self._record_change(before, after, caller))
            except PreconditionFailed:
                if etag is not None:
                    raise _stale() from None
        raise Unavailable("Too many others change this batch at once. Try again.", retry_after=1.0)

    # What imports do ---------------------------------------------------------------------------------------------

    async def take(self, machine: Equipment, found: FoundBatch, *, tell: bool) -> Taken:
        """Record what a vendor tells of a batch; as often as it comes, it is one record, and told once.

        Args:
            machine: the oven.
            found: what came.
            tell: tell subscribers of it even where it is new here (see :func:`merged`).
        """
        batch_id = imported_id(machine.id, found.vendor_id)
        for _ in range(MAX_TRIES):
            before = await self._read(machine.id, batch_id)
            known = None if before is None else before.document
            after = merged(known, found, machine, self._clock.now(), tell=tell)
            if before is not None and after is known:
                return "same"
            try:
                if before is None:
                    stored = await self._store.create(CONTAINER, after | self._ttl)
                else:
                    stored = await self._store.replace(CONTAINER, after | self._ttl, etag=before.etag)
            except (Conflict, PreconditionFailed, NotFound):
                continue
            await self._tell(stored)
            return "created" if before is None else "changed"
        raise Unavailable("Too many others change this batch at once. Try again.", retry_after=1.0)

    async def tell(self) -> int:
        """Tell what a process that died left untold; how many batches."""
        told = 0
        query = Query((IsDefined("unpublished"),), limit=AT_MOST)
        async for stored in every(self._store, CONTAINER, query, at_most=AT_MOST):
            after = await self._tell(stored)
            told += "unpublished" not in after.document
        return told

    # Inside ------------------------------------------------------------------------------------------------------

    async def _find(self, batch_id: str) -> Stored | None:
        page = await self._store.query(CONTAINER, Query((Equals("batchId", batch_id),), limit=1))
        return page.items[0] if page.items else None

    async def _read(self, equipment_id: str, batch_id: str) -> Stored | None:
        try:
            return await self._store.read(CONTAINER, (equipment_id,), batch_id)
        except NotFound:
            return None

    async def _machine(self, equipment_id: str) -> Equipment:
        try:
            return (await self._equipment.get(equipment_id))[0]
        except NotFound:
            raise InvalidInput(
                f"There is no equipment {equipment_id}: register the oven first.", field="equipment_id"
            ) from None

    async def _claim(self, batch_id: str, equipment_id: str) -> None:
        """Of two callers who open one id for two ovens at the same moment one gets it; a partition ends at its oven."""
        place = f":claim:{batch_id}"
        try:
            await self._store.create(
                CONTAINER, {"id": "claim", "equipmentId": place, "for": equipment_id, "ttl": CLAIM_SECONDS}
            )
        except Conflict:
            held = await self._read(place, "claim")
            if held is not None and held.document["for"] != equipment_id:
                raise _other(batch_id, str(held.document["for"])) from None

    async def _same(self, known: Stored, digest: str) -> Stored:
        if known.document.get("askedFor") != digest:
            raise _other(known.document["batchId"], known.document["equipmentId"])
        return await self._tell(known)

    async def _record_change(self, before: Stored, after: Document, caller: Caller) -> Stored:
        closed = after["history"][-1]["action"] == "closed"
        old, new = _audited(before.document), _audited(after)
        names = [name for name in FIELDS if old.get(name) != new.get(name)]
        async with self._audit.recorded(
            f"batch:{after['equipmentId']}",
            actor=caller.actor,
            action="batch.closed" if closed else "batch.changed",
            target=after["batchId"],
            before={name: old.get(name) for name in names},
            after={name: new.get(name) for name in names},
        ):
            return await self._store.replace(CONTAINER, after, etag=before.etag)

    async def _tell(self, stored: Stored) -> Stored:
        """Publish what the batch owes and take the marks off. What cannot be told now keeps its mark."""
        told: set[str] = set()
        for _ in range(MAX_TRIES):
            batch = stored.document
            if "unpublished" not in batch:
                return stored
            try:
                for mark in batch["unpublished"]:
                    if mark["key"] not in told:
                        await self._events.publish(self._event(batch, mark))
                        told.add(mark["key"])
            except OvenbridgeError as error:
                log.warning("Telling of batch %s failed and will be repeated: %s", batch["batchId"], error.detail)
                return stored
            rest = {name: value for name, value in batch.items() if name != "unpublished"}
            try:
                return await self._store.replace(CONTAINER, rest, etag=stored.etag)
            except PreconditionFailed:
                stored = await self._store.read(CONTAINER, (batch["equipmentId"],), batch["id"])
        return stored

    def _event(self, batch: Document, mark: Mapping[str, Any]) -> Event:
        """The event of a mark: the same id whenever it is told."""
        data: dict[str, Any] = {
            "batch_id": batch["batchId"],
            "equipment_id": batch["equipmentId"],
            "equipment_name": batch.get("equipmentName"),
            "product": batch.get("product"),
            "program": batch.get("program"),
            "status": mark["status"],
            "started_at": batch["startedAt"],
            "work_order_id": batch.get("workOrderId"),
            "source": batch["source"],
            "url": f"{self._base_url}/api/v1/batches/{batch['batchId']}",
        }
        if mark["type"] == BATCH_COMPLETED:
            core = batch.get("core", {})
            data |= {
                "ended_at": batch.get("endedAt"),
                "duration_seconds": duration(batch),
                "core_temperature_max": core.get("max"),
                "core_temperature_reached": core.get("reached"),
            }
        return Event(
            id=digest_id("batch", batch["equipmentId"], batch["batchId"], mark["key"]).upper(),
            type=mark["type"],
            timestamp=parse_iso(mark["at"]),
            object_type=MACHINE,
            object_id=batch["equipmentId"],
            name=batch.get("product") or batch.get("program"),
            data=data,
            site=batch.get("site"),
        )


def _audited(batch: Document) -> dict[str, Any]:
    said = {name: batch[key] for name, key in FIELDS.items() if batch.get(key) not in (None, [])}
    return said | {"equipment_id": batch["equipmentId"], "started_at": batch["startedAt"]}


def _other(batch_id: str, equipment_id: str) -> Conflict:
    return Conflict(
        f"There is another batch {batch_id} already (of {equipment_id}): choose another id, or read it and change it."
    )


def _stale() -> PreconditionFailed:
    return PreconditionFailed("The batch was changed in the meantime: read it again, then repeat the change.")
