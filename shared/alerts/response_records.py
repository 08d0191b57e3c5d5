"""Responses in the store: one document each, beside a budget per machine.

A document says what is to be done before anything is; the queue only wakes. ``wakeAt`` is there as long as something
is left to do, so what lost its message is found by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared import json_text
from shared.alerts.response_model import MAX_PER_HOUR, SETTLED, Response, ResponseStatus
from shared.alerts.sentences import duration
from shared.clock import Clock, compact, iso, parse_iso
from shared.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, Unavailable
from shared.events import Event
from shared.ids import digest_id
from shared.messaging import Outgoing
from shared.storage import Document, DocumentStore, Equals, Query, Range, Stored, every
from shared.tracing import here, properties

__all__ = ["QUEUE", "Budget", "ResponseRecords", "Wake", "parse_wake", "planned", "response_view", "wake"]

CONTAINER = "alertResponses"
QUEUE = "alert-responses"
OCCURRENCE = 1
"""An alert has each of its responses once, also when it is told again after it was shelved."""
BUDGET = "budget"
MAX_TRIES = 20
MAX_OF_ALERT = 100


@dataclass(frozen=True, slots=True)
class Wake:
    """What a message says."""

    equipment_id: str
    response_id: str


def response_id(alert_id: str, name: str) -> str:
    """The same for the same, so that planning it twice makes one."""
    return f"response:{alert_id}:{name}:{OCCURRENCE}"


def planned(event: Event, rule_id: str, response: Response, due: datetime, now: datetime) -> Document:
    """The document of a response that is to be done."""
    alert_id = event.data["alert_id"]
    trace = here()
    return {
        "id": response_id(alert_id, response.name),
        "equipmentId": event.data["equipment_id"],
        "alertId": alert_id,
        "ruleId": rule_id,
        "ruleName": event.name,
        "site": event.site,
        "name": response.name,
        "on": response.on.value,
        "kind": response.kind,
        "status": ResponseStatus.PENDING.value,
        "attempts": 0,
        "plannedAt": iso(now),
        "dueAt": iso(due),
        "wakeAt": iso(due),
        "alert": event.data,
        "correlationId": event.correlation_id,
        "traceparent": trace.traceparent if trace is not None else None,
    }


def wake(response: Mapping[str, Any], *, at: datetime | None = None, suffix: str = "") -> Outgoing:
    """The message for the next try. ``suffix`` makes it one that no earlier message can swallow."""
    body = {"equipmentId": response["equipmentId"], "responseId": response["id"]}
    name = f"{digest_id(response['equipmentId'], response['id'])}:{response['attempts']}"
    message_id = f"{name}:{suffix}" if suffix else name
    trace = properties(response.get("traceparent"))
    return Outgoing(json_text.dump(body), message_id, at, response.get("correlationId"), trace)


def wake_at(response: Mapping[str, Any]) -> Outgoing:
    """A message for when it is due by its document."""
    due = parse_iso(response["wakeAt"])
    return wake(response, at=due, suffix=compact(due))


def parse_wake(body: bytes) -> Wake:
    """Read a message. Raises ``InvalidInput``: it is none of ours (it goes to the dead letters)."""
    try:
        said = json_text.load(body)
        found = Wake(said["equipmentId"], said["responseId"])
    except (ValueError, KeyError, TypeError) as err:
        raise InvalidInput("A message of the response queue cannot be read; look at the dead letters.") from err
    if type(found.equipment_id) is not str or type(found.response_id) is not str:
        raise InvalidInput("A message of the response queue names no response; look at the dead letters.")
    return found


class ResponseRecords:
    """The documents."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    async def plan(self, response: Document) -> None:
        """Store it; it may be there already."""
        try:
            await self._store.create(CONTAINER, response)
        except Conflict:
            return

    async def read(self, equipment_id: str, document_id: str) -> Stored | None:
        """One; ``None``: there is none."""
        try:
            return await self._store.read(CONTAINER, (equipment_id,), document_id)
        except NotFound:
            return None

    async def write(self, stored: Stored, **changes: Any) -> Stored | None:
        """Change it as it was read; ``None`` as a value removes. Answers ``None`` when somebody else was first."""
        changed = {k: v for k, v in {**stored.document, **changes}.items() if v is not None}
        try:
            return await self._store.replace(CONTAINER, changed, etag=stored.etag)
        except (PreconditionFailed, NotFound):
            return None

    async def of_alert(self, equipment_id: str, alert_id: str) -> list[Document]:
        """All of one alert, in the order they were due."""
        query = Query((Equals("alertId", alert_id),), limit=MAX_OF_ALERT)
        page = await self._store.query(CONTAINER, query, partition=(equipment_id,))
        return sorted((s.document for s in page.items), key=lambda r: (r["dueAt"], r["plannedAt"], r["name"]))

    async def overdue(self, before: datetime, at_most: int) -> list[Document]:
        """What should have been woken by then, of all machines."""
        query = Query((Range("wakeAt", le=iso(before)),), limit=at_most)
        return [s.document async for s in every(self._store, CONTAINER, query, at_most=at_most)]


class Budget:
    """How often something is done to a machine. Taking is idempotent: a response that took its share has it."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def take(self, machine: str, key: str, response: str, cooldown: float) -> str | None:
        """Take one share; a sentence when there is none.

        Args:
            machine: to which something is done.
            key: rule and name of the response: what the cool-down is about.
            response: whose share it is.
            cooldown: seconds.

        Raises:
            Unavailable: the store is away, or too many others take at once.
        """
        for _ in range(MAX_TRIES):
            now = self._clock.now()
            stored = await self._read(machine)
            budget: Document = stored.document if stored is not None else {"id": BUDGET, "equipmentId": machine}
            begun = [one for one in budget.get("begun", []) if _ago(one[0], now) < 3_600]
            last = {k: v for k, v in budget.get("last", {}).items() if _ago(v[0], now) < 86_400}
            if any(one[1] == response for one in begun):
                return None
            if (refusal := _refusal(begun, last.get(key), now, cooldown)) is not None:
                return refusal
            mark = [iso(now), response]
            if await self._write(stored, {**budget, "begun": [*begun, mark], "last": {**last, key: mark}}):
                return None
        raise Unavailable("Too many responses begin on this machine at once. Try again.", retry_after=1.0)

    async def left(self, machine: str) -> int:
        """How many more may begin within this hour."""
        stored = await self._read(machine)
        begun = stored.document.get("begun", []) if stored is not None else []
        return MAX_PER_HOUR - sum(_ago(one[0], self._clock.now()) < 3_600 for one in begun)

    async def _read(self, machine: str) -> Stored | None:
        try:
            return await self._store.read(CONTAINER, (machine,), BUDGET)
        except NotFound:
            return None

    async def _write(self, stored: Stored | None, budget: Document) -> bool:
        try:
            if stored is None:
                await self._store.create(CONTAINER, budget)
            else:
                await self._store.replace(CONTAINER, budget, etag=stored.etag)
        except (Conflict, PreconditionFailed):
            return False
        return True


def _refusal(begun: list[Any], last: list[str] | None, now: datetime, cooldown: float) -> str | None:
    if last is not None and 0 <= _ago(last[0], now) < cooldown:
        until = iso(parse_iso(last[0]) + timedelta(seconds=cooldown))
        return (
            f"This response was begun {duration(_ago(last[0], now))} before on this machine, and its rule lets it be "
            f"done once in {duration(cooldown)} (response_cooldown_seconds): not again until {until}."
        )
    if len(begun) >= MAX_PER_HOUR:
        return (
            f"{MAX_PER_HOUR} responses were begun on this machine within the last hour, which is the most: "
            "an alert that comes and goes needs a deadband or a delay."
        )
    return None


def _ago(moment: str, now: datetime) -> float:
    return (now - parse_iso(moment)).total_seconds()


def response_view(response: Document) -> dict[str, Any]:
    """As the API shows it on its alert."""
    settled = response["status"] in SETTLED
    return {
        "id": response["id"],
        "name": response["name"],
        "on": response["on"],
        "action": response["kind"],
        "status": response["status"],
        "outcome": response.get("outcome"),
        "attempts": response["attempts"],
        "actor": f"rule:{response['ruleId']}",
        "planned_at": response["plannedAt"],
        "due_at": response["dueAt"],
        "begun_at": response.get("begunAt"),
        "ended_at": response.get("endedAt"),
        "next_try_at": None if settled else response.get("wakeAt"),
        "result": response.get("result"),
    }
