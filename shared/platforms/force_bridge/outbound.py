"""What we tell FORCE Bridge: tickets that alerts ask for, and events of ours as EXTERNAL ones.

A document says what is to be told before anything is; the queue only wakes. What if the process dies here?

- before the document: whoever published the event publishes it again, and the document has its id from the event;
- after it: the message, or the sweep, wakes it;
- while it is being told: the lease runs out. A ticket carries our id, so it is looked for before it is posted a second
  time. An event cannot be looked for; it may be told twice, and carries ``eventId`` for whoever minds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared import json_text
from shared.access.model import system
from shared.clock import Clock, compact, iso, parse_iso
from shared.errors import Conflict, InvalidInput, NotFound, OvenbridgeError, PreconditionFailed
from shared.events import Event
from shared.events.catalogue import TICKET_REQUESTED
from shared.ids import digest_id, new_id
from shared.messaging import Outgoing, Queue
from shared.platforms.connections import PlatformConnection, PlatformConnections
from shared.platforms.force_bridge.api import ForceApi
from shared.platforms.force_bridge.options import ForceOptions, TicketOptions, read_options
from shared.platforms.force_bridge.platform import NAME
from shared.platforms.force_bridge.refusals import ForceRefused
from shared.storage import Document, DocumentStore, Query, Range, Stored, every

__all__ = ["QUEUE", "Outbound"]

log = logging.getLogger("ovenbridge.force_bridge")

CONTAINER = "platformCalls"
QUEUE = "platform-calls"
CALLER = system("call_platform")
KNOWN_FOR = timedelta(seconds=10)
LEASE = timedelta(seconds=150)
"""Longer than a try: three calls with their tokens."""
PAUSES = (10.0, 30.0, 120.0, 600.0, 1_800.0)
GIVE_UP = timedelta(hours=24)
SWEEP_AFTER = timedelta(seconds=60)
SWEPT = 500
LOOKED_THROUGH = 500
"""Tickets, newest first, among which one of ours is looked for."""
MAX_TITLE = 200
MAX_TEXT = 3_500


class Alerts(Protocol):
    """Where a ticket came from."""

    async def comment(self, alert_id: str, *, caller: Any, comment: str) -> Document: ...


class Outbound:
    """Plans, tells, tells again. A subscriber of all events."""

    def __init__(
        self,
        store: DocumentStore,
        queue: Queue,
        connections: Callable[[], PlatformConnections],
        api: Callable[[], ForceApi],
        clock: Clock,
        *,
        alerts: Callable[[], Alerts],
    ) -> None:
        self._store = store
        self._queue = queue
        self._connections = connections
        self._api = api
        self._clock = clock
        self._alerts = alerts
        self._known: tuple[datetime, list[tuple[PlatformConnection, ForceOptions]]] | None = None

    async def accept(self, event: Event) -> int:
        """Plan what is to be told of it; for how many. Idempotent by the event's id.

        Raises:
            Unavailable: the store or the queue is away; publish again.
        """
        count = 0
        for connection, options in await self._telling():
            ticket = event.type == TICKET_REQUESTED and options.tickets is not None
            if not ticket and event.type not in options.publish:
                continue
            kinds = [kind for kind, wanted in (("ticket", ticket), ("event", event.type in options.publish)) if wanted]
            for kind in kinds:
                await self._plan(connection, kind, event)
                count += 1
        return count

    async def _telling(self) -> list[tuple[PlatformConnection, ForceOptions]]:
        """Connections that want to be told of anything."""
        now = self._clock.now()
        if self._known is None or now - self._known[0] >= KNOWN_FOR:
            found = []
            for one in await self._connections().list(NAME):
                try:
                    options = read_options(one.options)
                except InvalidInput as err:
                    # Written by another version: that must not keep events from everybody else.
                    log.error("The connection %s cannot be used: %s", one.id, err.detail)
                    continue
                if one.enabled and (options.publish or options.tickets):
                    found.append((one, options))
            self._known = (now, found)
        return self._known[1]

    async def _plan(self, connection: PlatformConnection, kind: str, event: Event) -> None:
        now = iso(self._clock.now())
        document: Document = {
            "id": f"force_bridge:{kind}:{digest_id(connection.id, event.id)}",
            "connectionId": connection.id,
            "kind": kind,
            "event": event.to_document(),
            "status": "pending",
            "attempts": 0,
            "plannedAt": now,
            "wakeAt": now,
        }
        try:
            await self._store.create(CONTAINER, document)
        except Conflict:
            return  # planned already; the sweep wakes it if nobody did
        await self._queue.send(QUEUE, [_wake(document)])

    # Telling -----------------------------------------------------------------------------------------------------

    async def handle(self, body: bytes) -> None:
        """One message; returning settles it.

        Raises:
            InvalidInput: it is none of ours. Unavailable: store or vault are away; it comes again.
        """
        try:
            said = json_text.load(body)
            connection_id, name = str(said["connectionId"]), str(said["callId"])
        except (ValueError, KeyError, TypeError) as err:
            raise InvalidInput("A message of this queue cannot be read; look at the dead letters.") from err
        stored = await self._read(connection_id, name)
        if stored is None or stored.document.get("wakeAt") is None:
            return
        now = self._clock.now()
        due = parse_iso(stored.document["wakeAt"])
        if due > now + timedelta(seconds=2):
            await self._queue.send(QUEUE, [_wake(stored.document, at=due)])
            return
        claimed = await self._write(
            stored,
            status="running",
            attempts=stored.document["attempts"] + 1,
            claim=new_id(),
            wakeAt=iso(now + LEASE),
        )
        if claimed is not None:
            await self._try(claimed)

    async def sweep(self) -> int:
        """Wake what is overdue because its message, or the process, got lost; how many."""
        now = self._clock.now()
        query = Query((Range("wakeAt", le=iso(now - SWEEP_AFTER)),), limit=SWEPT)
        found = [stored.document async for stored in every(self._store, CONTAINER, query, at_most=SWEPT)]
        if found:
            await self._queue.send(QUEUE, [_wake(one, suffix=f"sweep-{compact(now)}") for one in found])
        return len(found)

    async def _try(self, stored: Stored) -> None:
        call = stored.document
        try:
            connection = await self._connections().get(call["connectionId"])
        except NotFound:
            await self._write(stored, status="failed", outcome="The connection was removed.", wakeAt=None)
            return
        try:
            options = read_options(connection.options)
            event = Event.from_document(call["event"])
            if call["kind"] == "ticket":
                said = await self._ticket(connection, options, stored, event)
            else:
                said = await self._event(connection, options, event)
        except ForceRefused as err:
            await self._connections().note(connection, err.detail)
            await self._end(stored, "failed", {"outcome": err.detail}, event)
            return
        except OvenbridgeError as err:
            await self._connections().note(connection, err.detail)
            await self._later(stored, err, event)
            return
        await self._connections().note(connection, None)
        await self._end(stored, "done", said, event)

    async def _later(self, stored: Stored, err: OvenbridgeError, event: Event) -> None:
        call, now = stored.document, self._clock.now()
        if now - parse_iso(call["plannedAt"]) >= GIVE_UP:
            await self._end(stored, "failed", {"outcome": f"Given up after a day. The last try: {err.detail}"}, event)
            return
        pause = max(PAUSES[min(call["attempts"], len(PAUSES)) - 1], getattr(err, "retry_after", 0.0))
        due = now + timedelta(seconds=min(pause, PAUSES[-1]))
        written = await self._write(stored, status="pending", outcome=err.detail, wakeAt=iso(due))
        if written is not None:
            await self._queue.send(QUEUE, [_wake(written.document, at=due)])

    async def _end(self, stored: Stored, status: str, said: Mapping[str, Any], event: Event) -> None:
        written = await self._write(stored, status=status, endedAt=iso(self._clock.now()), wakeAt=None, **said)
        if written is None:
            return  # its lease was over and somebody else has it
        if status == "failed":
            log.error("%s of %s was not told: %s", stored.document["kind"], event.id, said.get("outcome"))
        alert = event.data.get("alert_id")
        if stored.document["kind"] == "ticket" and isinstance(alert, str):
            await self._note_on_alert(alert, str(said.get("outcome")))

    async def _note_on_alert(self, alert_id: str, sentence: str) -> None:
        try:
            await self._alerts().comment(alert_id, caller=CALLER, comment=sentence[:1_000])
        except OvenbridgeError as err:
            # The alert may be gone by now; the call's own document tells it all the same.
            log.warning("What became of a ticket is not noted on %s: %s", alert_id, err.detail)

    # What is told ------------------------------------------------------------------------------------------------

    async def _ticket(
        self, connection: PlatformConnection, options: ForceOptions, stored: Stored, event: Event
    ) -> dict[str, Any]:
        ticket_id = str(event.data.get("ticket_id") or event.id)
        if stored.document["attempts"] > 1:
            # A try before may have come through without our hearing of it.
            known = await self._find_ticket(connection, ticket_id)
            if known is not None:
                return _ticket_told(known, connection)
        answer = await self._api().post(connection, "tickets", ticket_body(options, event, ticket_id))
        properties = answer.get("properties") if isinstance(answer, dict) else None
        return _ticket_told(properties if isinstance(properties, dict) else {}, connection)

    async def _find_ticket(self, connection: PlatformConnection, ticket_id: str) -> dict[str, Any] | None:
        count = 0
        async for item in self._api().each(connection, "tickets", "tickets"):
            properties = item.get("properties")
            if isinstance(properties, dict) and ticket_id in str(properties.get("description")):
                return properties
            count += 1
            if count >= LOOKED_THROUGH:
                break
        return None

    async def _event(self, connection: PlatformConnection, options: ForceOptions, event: Event) -> dict[str, Any]:
        await self._api().post(connection, "events", event_body(options, event))
        return {"outcome": f"{connection.name} was told."}

    # The documents -----------------------------------------------------------------------------------------------

    async def _read(self, connection_id: str, name: str) -> Stored | None:
        try:
            return await self._store.read(CONTAINER, (connection_id,), name)
        except NotFound:
            return None

    async def _write(self, stored: Stored, **changes: Any) -> Stored | None:
        """``None`` as a value removes. Answers ``None`` when somebody else was first."""
        changed = {k: v for k, v in {**stored.document, **changes}.items() if v is not None}
        try:
            return await self._store.replace(CONTAINER, changed, etag=stored.etag)
        except (PreconditionFailed, NotFound):
            return None


def ticket_body(options: ForceOptions, event: Event, ticket_id: str) -> dict[str, Any]:
    """Of ``POST tickets``. Our id stands in the description: by it the ticket is found again."""
    form = options.tickets or TicketOptions()
    data = event.data
    text = str(data.get("description") or data.get("message") or "")[:MAX_TEXT]
    link = f"\n{data['url']}" if data.get("url") else ""
    body: dict[str, Any] = {
        "title": str(data.get("title") or data.get("message") or event.name or "Alert")[:MAX_TITLE],
        "description": f"{text}\n\nOvenbridge {ticket_id}{link}".strip(),
        "priority": form.priorities.get(data.get("priority", "normal"), "MEDIUM"),
        "ticketStateId": form.ticket_state,
    }
    workplace = options.workplace_of(event.object_id)
    more = {"ticketClassId": form.ticket_class_id, "workplaceId": workplace}
    return body | {name: value for name, value in more.items() if value is not None}


def event_body(options: ForceOptions, event: Event) -> dict[str, Any]:
    """Of ``POST events``: about the workplace where it is about a machine of one."""
    workplace = options.workplace_of(event.object_id)
    about = {} if workplace is None else {"objectId": workplace, "objectType": "WORKPLACE"}
    return {
        "eventType": "EXTERNAL",
        "eventName": event.type,
        "timestamp": iso(event.timestamp),
        "data": {"eventId": event.id, **event.data},
        **about,
    }


def _ticket_told(properties: Mapping[str, Any], connection: PlatformConnection) -> dict[str, Any]:
    name = properties.get("number") or properties.get("id")
    called = f"Ticket {name}" if isinstance(name, str | int) else "A ticket"
    told: dict[str, Any] = {"outcome": f"{called} was opened at {connection.name}."}
    if isinstance(properties.get("id"), str):
        told["ticket"] = properties["id"][:100]
    return told


def _wake(call: Mapping[str, Any], *, at: datetime | None = None, suffix: str = "") -> Outgoing:
    """The message for the next try. ``suffix`` makes it one that no earlier message can swallow."""
    name = f"{digest_id(call['connectionId'], call['id'])}:{call['attempts']}"
    name += f":{compact(at)}" if at is not None else ""
    name += f":{suffix}" if suffix else ""
    correlation = call["event"].get("correlationId")
    return Outgoing(json_text.dump({"connectionId": call["connectionId"], "callId": call["id"]}), name, at, correlation)
