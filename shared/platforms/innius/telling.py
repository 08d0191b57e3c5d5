"""Telling our own webhooks: a subscriber of all events, and the timer behind it.

Events of ours only say *look at this machine*; what is told follows from what is so (``standing.py``). Written down
first, told second: who dies in between leaves it in the machine's document, and the next look, at the latest the
timer's, carries it out. Tasks are told as they happen: their events hold everything.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, NotFound, OvenbridgeError, PreconditionFailed, Unavailable
from shared.events import Event
from shared.events import catalogue as ours
from shared.ids import new_id
from shared.platforms.innius.looking import Looking
from shared.platforms.innius.standing import Standing, events_between
from shared.platforms.innius.tasks import task_event
from shared.platforms.innius.webhooks import DIALECT, concerns, wants
from shared.storage import Document, DocumentStore, Equals, IsDefined, Query, Stored, every

if TYPE_CHECKING:
    from shared.callbacks.model import Callback
    from shared.callbacks.registry import Callbacks
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry

__all__ = ["Telling"]

CONTAINER = "webhookStates"
KIND = "machine"
MAX_TRIES = 10
AT_ONCE = 500
"""Machines looked at per round of the timer."""

LOOKS = frozenset(
    {
        ours.ALERT_RAISED,
        ours.ALERT_ACKNOWLEDGED,
        ours.ALERT_RESOLVED,
        ours.ALERT_SHELVED,
        ours.EQUIPMENT_CONNECTION_CHANGED,
    }
)
TASKS = frozenset({ours.TASK_CREATED, ours.TASK_STATUS_CHANGED, ours.TASK_ASSIGNED})

log = logging.getLogger("ovenbridge.innius")

Webhooks = Sequence["Callback"]


class Telling:
    """Implements ``events.Subscriber``; costs nothing while nobody is registered."""

    def __init__(
        self,
        store: DocumentStore,
        callbacks: Callable[[], Callbacks],
        equipment: Callable[[], EquipmentRegistry],
        looking: Looking,
        clock: Clock,
    ) -> None:
        self._store = store
        self._callbacks = callbacks
        self._equipment = equipment
        self._looking = looking
        self._clock = clock

    async def accept(self, event: Event) -> int:
        """What follows from an event of ours, told; for how many receivers. Idempotent.

        Raises:
            Unavailable: publish it again.
        """
        if event.type not in LOOKS and event.type not in TASKS:
            return 0
        webhooks = await self._callbacks().registered_for(DIALECT)
        if not webhooks:
            return 0
        if event.type in TASKS:
            return await self._tell([task_event(event)], webhooks, await self._shared(event.object_id))
        return await self._look(event.object_id, webhooks, event) if event.object_id is not None else 0

    async def begin(self, webhook: Callback) -> None:
        """Look at what it is to be told of, so that what changes from now on is news. The timer makes up for it."""
        try:
            for equipment_id in webhook.object_filter:
                await self._look(equipment_id, await self._callbacks().registered_for(DIALECT))
            if not webhook.object_filter:
                await self.round()
        except OvenbridgeError as error:
            log.warning("What webhook %s is to be told of is looked at later: %s", webhook.id, error.detail)

    async def round(self) -> int:
        """For the timer: machines whose mapping changed, machines that are gone, what was left untold. How many were
        looked at."""
        webhooks = await self._callbacks().registered_for(DIALECT)
        if not webhooks:
            return 0
        due = [s.document["equipmentId"] async for s in self._left_untold()]
        known = {s.document["equipmentId"]: s.document async for s in self._known()}
        machines: set[str] = set()
        continuation: str | None = None
        while True:
            page = await self._equipment().list(limit=1000, continuation=continuation)
            machines |= {machine.id for machine in page.equipment}
            due += [machine.id for machine in page.equipment if _is_due(machine, known.get(machine.id), webhooks)]
            continuation = page.continuation
            if continuation is None:
                break
        due += [name for name in known if name not in machines]
        chosen = list(dict.fromkeys(due))[:AT_ONCE]
        for equipment_id in chosen:
            try:
                await self._look(equipment_id, webhooks)
            except OvenbridgeError as error:
                log.warning("Webhooks are not told of %s yet: %s", equipment_id, error.detail)
        return len(chosen)

    # One machine -------------------------------------------------------------------------------------------------

    async def _look(self, equipment_id: str, webhooks: Webhooks, event: Event | None = None) -> int:
        told = 0
        for _ in range(MAX_TRIES):
            stored = await self._read(equipment_id)
            machine = await self._machine(equipment_id)
            if machine is None and stored is None:
                return told
            shared = machine.shared if machine is not None else bool(stored and stored.document.get("shared"))
            concerned = _concerned(webhooks, equipment_id, shared=shared)
            if not concerned:
                # Whoever registers for it later begins anew.
                await self._forget(stored)
                return told
            if stored is not None and "unfinished" in stored.document:
                told += await self._finish(stored, concerned, shared)
                continue
            written = await self._write(equipment_id, machine, stored, concerned, event)
            if written is None:
                continue
            if "unfinished" in written.document:
                told += await self._finish(written, concerned, shared)
                if machine is None:
                    continue
            elif machine is None:
                await self._forget(written)
            return told
        raise Unavailable("Too many others look at this machine at once. Try again.", retry_after=1.0)

    async def _write(
        self,
        equipment_id: str,
        machine: Equipment | None,
        stored: Stored | None,
        concerned: Webhooks,
        event: Event | None,
    ) -> Stored | None:
        """Write down what is so with what follows; ``None``: somebody else was faster."""
        known: Document = {} if stored is None else stored.document
        begun = _begun(concerned)
        connection = await self._looking.connection(equipment_id, known.get("connection"), event)
        truth = await self._looking.truth(machine, connection)
        current = stored is not None and parse_iso(known["seenAt"]) >= begun
        before = Standing.of(known) if current else await self._looking.as_of(begun, machine, truth)
        after, told = events_between(before, truth)
        if machine is not None:
            told = [(name, await self._looking.with_values(machine, name, body)) for name, body in told]
        now = self._clock.now()
        document: Document = {
            "id": f"innius:{equipment_id}",
            "kind": KIND,
            "equipmentId": equipment_id,
            "seenAt": iso(now),
            "machineChangedAt": iso(machine.updated_at) if machine is not None else None,
            "shared": machine.shared if machine is not None else known.get("shared", False),
            "connection": connection,
            **after.stored(),
        }
        if current and not told and {**document, "seenAt": known["seenAt"]} == known:
            return stored
        if told:
            document["unfinished"] = [_event(equipment_id, name, body, now).to_document() for name, body in told]
        try:
            if stored is None:
                return await self._store.create(CONTAINER, document)
            return await self._store.replace(CONTAINER, document, etag=stored.etag)
        except (Conflict, PreconditionFailed, NotFound):
            return None

    async def _finish(self, stored: Stored, concerned: Webhooks, shared: bool) -> int:
        """Tell what is written down, then take it off."""
        document = stored.document
        events = [Event.from_document(one) for one in document["unfinished"]]
        told = await self._tell(events, concerned, shared)
        rest = {name: value for name, value in document.items() if name != "unfinished"}
        try:
            await self._store.replace(CONTAINER, rest, etag=stored.etag)
        except (PreconditionFailed, NotFound):
            log.debug("What is told of %s was written by somebody else.", document["equipmentId"])
        return told

    async def _forget(self, stored: Stored | None) -> None:
        if stored is None:
            return
        try:
            await self._store.delete(CONTAINER, (stored.document["id"],), stored.document["id"], etag=stored.etag)
        except (PreconditionFailed, NotFound):
            log.debug("What was told of %s is looked at by somebody else.", stored.document["equipmentId"])

    async def _tell(self, events: Sequence[Event], webhooks: Webhooks, shared: bool) -> int:
        told = 0
        for event in events:
            wanted = [one for one in webhooks if wants(one, event.type, event.object_id, shared=shared)]
            told += await self._callbacks().tell(event, wanted)
        return told

    async def _read(self, equipment_id: str) -> Stored | None:
        try:
            return await self._store.read(CONTAINER, (f"innius:{equipment_id}",), f"innius:{equipment_id}")
        except NotFound:
            return None

    async def _machine(self, equipment_id: str) -> Equipment | None:
        try:
            return (await self._equipment().get(equipment_id))[0]
        except NotFound:
            return None

    async def _shared(self, equipment_id: str | None) -> bool:
        machine = await self._machine(equipment_id) if equipment_id is not None else None
        return machine is not None and machine.shared

    def _left_untold(self) -> AsyncIterator[Stored]:
        query = Query((IsDefined("unfinished"),), limit=100, select=("equipmentId",))
        return every(self._store, CONTAINER, query, at_most=AT_ONCE)

    def _known(self) -> AsyncIterator[Stored]:
        wanted = ("equipmentId", "machineChangedAt", "seenAt")
        return every(self._store, CONTAINER, Query((Equals("kind", KIND),), limit=1000, select=wanted))


def _concerned(webhooks: Webhooks, equipment_id: str, *, shared: bool) -> Webhooks:
    """Who may be told of this machine at all."""
    return [one for one in webhooks if concerns(one, equipment_id, shared=shared)]


def _begun(concerned: Webhooks) -> datetime:
    """When the first of them registered: news is what came after."""
    return min(webhook.created_at for webhook in concerned)


def _is_due(machine: Equipment, known: Document | None, webhooks: Webhooks) -> bool:
    """Was it changed since it was looked at, or looked at before anybody registered for it?"""
    concerned = _concerned(webhooks, machine.id, shared=machine.shared)
    if not concerned:
        return known is not None
    if known is None or known.get("machineChangedAt") != iso(machine.updated_at):
        return True
    return bool(known["seenAt"] < iso(_begun(concerned)))


def _event(equipment_id: str, name: str, body: Mapping[str, Any], now: datetime) -> Event:
    """Written down before it is told, with its id: told twice, it is one."""
    return Event(
        id=new_id(),
        type=name,
        timestamp=now,
        object_type=ours.MACHINE,
        object_id=equipment_id,
        name=name,
        data=dict(body),
    )
