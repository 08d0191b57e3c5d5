"""Carrying out responses: what happens to one message of the queue.

The document is the authority, the message only wakes. In this order, each step durable before the next:

1. *claim*: ``running``, with a lease, so that two who were woken do not both do it;
2. the audit entry that says what is about to be done;
3. *acting*: from here on it may have been done;
4. doing it;
5. the audit entry that says what became of it;
6. the end, or the next try, in the document; then the event or the message that follows.

Dead after 1 or 2: done by whoever is woken when the lease is over. Dead after 3: tasks and tickets are done again under
the same id, which makes one; so is a call that is repeatable; a write or another call is *unknown*, left to a person.
Dead after 6: ``wakeAt`` is still there, so the sweep brings the message or the event.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.alerts import lifecycle
from shared.alerts.model import AlertState, Kind
from shared.alerts.response_acts import Acts, acting_caller, facts_of, safe_to_repeat
from shared.alerts.response_checks import ResponseChecks
from shared.alerts.response_model import SETTLED, Response, ResponseStatus, Trigger
from shared.alerts.response_ports import Acted
from shared.alerts.response_records import QUEUE, Budget, ResponseRecords, parse_wake, response_view, wake, wake_at
from shared.alerts.rules import AlertRules
from shared.alerts.sentences import duration
from shared.audit.log import AuditLog
from shared.clock import Clock, compact, iso, parse_iso
from shared.errors import NotFound, OvenbridgeError, Unavailable
from shared.events import Event, EventLog
from shared.events.catalogue import ALERT_RESPONSE_FAILED, MACHINE
from shared.ids import digest_id, new_id
from shared.messaging import Outgoing, Queue
from shared.metrics import ALERT_RESPONSES
from shared.storage import Document, DocumentStore, Stored

if TYPE_CHECKING:
    from shared.alerts.service import Alerts
    from shared.equipment.registry import EquipmentRegistry

__all__ = ["MAX_ATTEMPTS", "ResponseWork"]

MAX_ATTEMPTS = 5
PAUSES = (15.0, 60.0, 300.0, 900.0)
"""Seconds between tries, unless a receiver asks for more."""
LEASE_SECONDS = 120.0
"""Longer than any try: a write through a relay has half a minute at most."""
EARLY_SECONDS = 2.0
"""Clocks differ by so much."""
LATE_WRITE_SECONDS = 600.0
"""An order to a machine is not given later than this: what was right then may hurt now."""
GIVE_UP_SECONDS = 86_400.0
SWEEP_AFTER_SECONDS = 60.0
SWEPT = 500

log = logging.getLogger("ovenbridge.responses")


class _Later(Exception):
    """Not now."""

    def __init__(self, at: datetime) -> None:
        self.at = at


class _Skip(Exception):
    """Not at all, on purpose."""


class _TooLate(Exception):
    """Not any more, and somebody should know."""


class ResponseWork:
    """Does what was planned."""

    def __init__(
        self,
        store: DocumentStore,
        queue: Queue,
        rules: AlertRules,
        checks: ResponseChecks,
        equipment: EquipmentRegistry,
        acts: Acts,
        audit: AuditLog,
        clock: Clock,
        *,
        alerts: Callable[[], Alerts],
        events: Callable[[], EventLog],
    ) -> None:
        self._records = ResponseRecords(store)
        self.budget = Budget(store, clock)
        self._queue = queue
        self._rules = rules
        self._checks = checks
        self._equipment = equipment
        self._acts = acts
        self._audit = audit
        self._clock = clock
        self._alerts = alerts
        self._events = events

    async def handle(self, body: bytes) -> None:
        """Handle one message; returning settles it.

        Raises:
            InvalidInput: the message is none of ours.
            Unavailable: store, vault or queue are away; the message comes again.
        """
        called = parse_wake(body)
        stored = await self._records.read(called.equipment_id, called.response_id)
        if stored is None:
            log.warning("A message names a response that is not there (any more): %s", called.response_id)
            return
        message = await self._advance(stored)
        if message is not None:
            await self._queue.send(QUEUE, [message])

    async def sweep(self) -> int:
        """Wake what is overdue because its message, or the process, got lost; how many."""
        now = self._clock.now()
        found = await self._records.overdue(now - timedelta(seconds=SWEEP_AFTER_SECONDS), SWEPT)
        if found:
            log.info("%d responses to alerts are overdue and are woken.", len(found))
            await self._queue.send(QUEUE, [wake(response, suffix=f"sweep-{compact(now)}") for response in found])
        return len(found)

    async def of_alert(self, alert_id: str) -> list[dict[str, Any]]:
        """The responses of an alert, as the API shows them."""
        equipment_id, _ = lifecycle.place_of(alert_id)
        return [response_view(one) for one in await self._records.of_alert(equipment_id, alert_id)]

    # One message -------------------------------------------------------------------------------------------------

    async def _advance(self, stored: Stored) -> Outgoing | None:
        """Bring one response a step on; the message to send then."""
        record = stored.document
        if record["status"] in SETTLED:
            await self._tell(stored)
            return None
        now = self._clock.now()
        if parse_iso(record["wakeAt"]) > now + timedelta(seconds=EARLY_SECONDS):
            return wake_at(record)  # too early, or somebody is at it: its lease is not over
        if record["status"] == ResponseStatus.RUNNING and (lost := self._lost(record)) is not None:
            return await self._settle(stored, lost)
        try:
            response = await self._due(record, now)
        except _Later as later:
            put_off = await self._records.write(
                stored, status=ResponseStatus.PENDING.value, dueAt=iso(later.at), wakeAt=iso(later.at)
            )
            return None if put_off is None else wake_at(put_off.document)
        except _Skip as skip:
            await self._end(stored, ResponseStatus.SKIPPED, str(skip))
            return None
        except _TooLate as too_late:
            await self._end(stored, ResponseStatus.FAILED, str(too_late))
            return None
        return await self._try(stored, response)

    def _lost(self, record: Document) -> Acted | None:
        """Whoever was at it died, or was cut off from the store. ``None``: it may be done again."""
        response = Response.read(record["doing"])
        if record.get("acting") and not safe_to_repeat(response):
            return Acted(
                "unknown",
                "The process ended while this was being done, so nobody knows whether it was. It is not repeated by "
                f"itself: look at {'the machine' if response.kind == 'write' else 'the receiver'}.",
            )
        if record["attempts"] >= MAX_ATTEMPTS:
            return Acted("failed", f"It was begun {MAX_ATTEMPTS} times and never came to an end; the log says why.")
        return None

    async def _due(self, record: Document, now: datetime) -> Response:
        """What is to be done, by the rule as it is now. Raises ``_Later``, ``_Skip``, ``_TooLate``, ``Unavailable``."""
        late = (now - parse_iso(record["dueAt"])).total_seconds()
        if late > GIVE_UP_SECONDS:
            raise _TooLate(f"It could not be done for {duration(late)}, and is given up.{_last(record)}")
        response, cooldown = await self._response(record)
        try:
            alert = await self._alerts().get(record["alertId"])
        except NotFound:
            raise _Skip("The alert is not there any more.") from None
        if response.on is Trigger.UNACKNOWLEDGED_FOR:
            _still_unseen(alert, now)
        if response.kind == "write":
            _still_right(alert, response, record, late)
        if record["attempts"] == 0:
            target = response.action.get("equipment_id") if response.kind == "write" else None
            key = f"{record['ruleId']}:{response.name}"
            refusal = await self.budget.take(target or record["equipmentId"], key, record["id"], cooldown)
            if refusal is not None:
                raise _Skip(refusal)
        return response

    async def _response(self, record: Document) -> tuple[Response, float]:
        equipment_id, rule_id = record["ruleId"].split(":", 1)
        try:
            machine, _ = await self._equipment.get(equipment_id)
            rule = (await self._rules.get(equipment_id, rule_id, machine.profile)).rule
        except NotFound:
            raise _Skip("The machine or the rule was removed before it was done.") from None
        response = next((one for one in rule.responses if one.name == record["name"]), None)
        if response is None or response.kind != record["kind"] or response.on.value != record["on"]:
            raise _Skip("The rule has no such response any more.")
        if not rule.enabled or not response.enabled:
            raise _Skip(f"The {'response' if rule.enabled else 'rule'} was disabled before it was done.")
        return response, rule.response_cooldown_seconds

    # Doing it ----------------------------------------------------------------------------------------------------

    async def _try(self, stored: Stored, response: Response) -> Outgoing | None:
        now = self._clock.now()
        claimed = await self._records.write(
            stored,
            status=ResponseStatus.RUNNING.value,
            attempts=stored.document["attempts"] + 1,
            claim=new_id(),
            acting=None,
            doing=response.as_written(),
            begunAt=iso(now),
            wakeAt=iso(now + timedelta(seconds=LEASE_SECONDS)),
        )
        if claimed is None:
            return None  # somebody else has it
        record = claimed.document
        await self._note(record, "begun", {"attempt": record["attempts"], "does": response.as_written()})
        problem = await self._checks.problem(response, record["equipmentId"])
        if problem is not None:
            return await self._settle(claimed, Acted("failed", problem))
        acting = await self._records.write(claimed, acting=True)
        if acting is None:
            return None
        return await self._settle(acting, await self._act(response, acting.document))

    async def _act(self, response: Response, record: Document) -> Acted:
        try:
            return await self._acts.do(response, record)
        except Unavailable as error:
            # Writes answer by themselves; tasks, tickets and what a call needs before it is made may be repeated.
            return Acted("again", error.detail, retry_after=error.retry_after)

    async def _settle(self, stored: Stored, acted: Acted) -> Outgoing | None:
        """Write down what became of it. The message for the next try, if there is one."""
        record = stored.document
        try:
            await self._note(record, acted.outcome, {"attempt": record["attempts"], "outcome": acted.detail})
        except OvenbridgeError as error:
            # It happened, and its entry `begun` stands: that it is known must not be lost with this one.
            log.error("Cannot note what became of %s: %s", record["id"], error.detail)
        if acted.outcome == "again":
            if record["attempts"] < MAX_ATTEMPTS:
                return await self._again(stored, acted)
            acted = replace(
                acted, outcome="failed", detail=f"{acted.detail} That was the last of {MAX_ATTEMPTS} tries."
            )
        await self._end(stored, ResponseStatus(acted.outcome), acted.detail, acted.result)
        return None

    async def _again(self, stored: Stored, acted: Acted) -> Outgoing | None:
        pause = max(PAUSES[min(stored.document["attempts"], len(PAUSES)) - 1], acted.retry_after or 0.0)
        pending = await self._written(
            stored,
            status=ResponseStatus.PENDING.value,
            outcome=acted.detail,
            result=acted.result,
            wakeAt=iso(self._clock.now() + timedelta(seconds=pause)),
        )
        return None if pending is None else wake_at(pending.document)

    async def _end(self, stored: Stored, status: ResponseStatus, outcome: str, result: Any = None) -> None:
        owes = status in (ResponseStatus.FAILED, ResponseStatus.UNKNOWN)
        log.log(
            logging.WARNING if owes else logging.INFO,
            "Response %s is %s: %s",
            stored.document["id"],
            status.value,
            outcome,
        )
        ended = await self._written(
            stored,
            status=status.value,
            outcome=outcome,
            result=result,
            endedAt=iso(self._clock.now()),
            untold=True if owes else None,
            wakeAt=iso(self._clock.now()) if owes else None,
        )
        if ended is not None:
            ALERT_RESPONSES.record(1, action=ended.document["kind"], outcome=status.value)
            await self._tell(ended)

    async def _written(self, stored: Stored, **changes: Any) -> Stored | None:
        """Write what became of our try, also over the word of somebody who had given us up in the meantime."""
        written = await self._records.write(stored, **changes)
        if written is not None or stored.document.get("claim") is None:
            return written
        again = await self._records.read(stored.document["equipmentId"], stored.document["id"])
        if again is None or again.document.get("claim") != stored.document["claim"]:
            log.warning("Response %s was taken over by somebody else.", stored.document["id"])
            return None
        return await self._records.write(again, **changes)

    # Telling -----------------------------------------------------------------------------------------------------

    async def _note(self, record: Document, what: str, after: dict[str, Any]) -> None:
        await self._audit.append(
            f"alert:{record['equipmentId']}",
            actor=acting_caller(record).actor,
            action=f"alert_response.{NOTED[what]}",
            target=record["id"],
            after=after,
        )

    async def _tell(self, stored: Stored) -> None:
        """Tell of a failure that was not told yet; what cannot be told now keeps its mark, and the sweep comes."""
        record = stored.document
        if not record.get("untold"):
            return
        try:
            await self._events().publish(_failure(record))
        except OvenbridgeError as error:
            log.warning("Telling of response %s failed and will be repeated: %s", record["id"], error.detail)
            return
        await self._records.write(stored, untold=None, wakeAt=None)


NOTED = {"begun": "begun", "done": "done", "again": "not_done", "failed": "failed", "unknown": "unknown"}


def _failure(record: Document) -> Event:
    """The same id for the same end: found unknown and then told better it is two."""
    said = {k: v for k, v in facts_of(record).items() if k != "site"}
    own = {
        "action": record["kind"],
        "outcome": record["status"],
        "detail": record["outcome"],
        "attempts": record["attempts"],
    }
    return Event(
        id=digest_id("response", record["id"], record["status"]).upper(),
        type=ALERT_RESPONSE_FAILED,
        timestamp=parse_iso(record["endedAt"]),
        object_type=MACHINE,
        object_id=record["equipmentId"],
        name=record.get("ruleName"),
        data={**said, **own},
        severity=record["alert"].get("severity"),
        site=record.get("site"),
        correlation_id=record.get("correlationId"),
    )


def _still_unseen(alert: Document, now: datetime) -> None:
    """Raises ``_Skip`` when somebody has seen it or it is over, ``_Later`` when it is shelved."""
    if alert.get("acknowledgedAt") is not None:
        raise _Skip(f"{alert['acknowledgedBy']} had acknowledged the alert at {alert['acknowledgedAt']}.")
    if lifecycle.state_of(alert) is not AlertState.ACTIVE_UNACKNOWLEDGED:
        raise _Skip(f"The alert was over at {alert.get('resolvedAt')}.")
    until = alert.get("shelvedUntil")
    if until is not None and parse_iso(until) > now:
        raise _Later(parse_iso(until))


def _last(record: Document) -> str:
    """What the try before ended with."""
    return f" The last try: {record['outcome']}" if record.get("outcome") else ""


def _still_right(alert: Document, response: Response, record: Document, late: float) -> None:
    """Raises ``_Skip``, ``_TooLate`` when an order to a machine would not be right any more."""
    if late > LATE_WRITE_SECONDS:
        raise _TooLate(
            f"It could not be done for {duration(late)}, and nothing is written to a machine later than "
            f"{duration(LATE_WRITE_SECONDS)}.{_last(record)}"
        )
    over = not lifecycle.is_active(alert) and alert["kind"] != Kind.REACH
    if over and response.on is not Trigger.RESOLVED and response.on is not Trigger.ACKNOWLEDGED:
        raise _Skip(f"The alert was over at {alert.get('resolvedAt')}, before anything was written.")
