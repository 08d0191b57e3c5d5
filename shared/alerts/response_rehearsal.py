"""Trying a response out: what it would do, said and not done; a call may be sent, marked as a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.access import Caller
from shared.alerts import lifecycle
from shared.alerts.model import Rule, alert_type_of
from shared.alerts.response_acts import Acts, facts_of, task_of, ticket_of
from shared.alerts.response_checks import ResponseChecks
from shared.alerts.response_model import MAX_PER_HOUR, Response, Trigger
from shared.alerts.response_records import Budget, planned
from shared.alerts.units import unit_of
from shared.audit.log import AuditLog
from shared.clock import Clock, iso
from shared.errors import InvalidInput, NotFound
from shared.events import Event
from shared.events.catalogue import ALERT_RAISED, MACHINE
from shared.ids import new_id
from shared.storage import Document

if TYPE_CHECKING:
    from shared.equipment.model import Equipment

__all__ = ["ResponseRehearsal"]

TEST = "Test: nothing is wrong. "


class ResponseRehearsal:
    """Says what would be done."""

    def __init__(
        self, acts: Acts, checks: ResponseChecks, budget: Budget, audit: AuditLog, clock: Clock, *, base_url: str
    ) -> None:
        self._acts = acts
        self._checks = checks
        self._budget = budget
        self._audit = audit
        self._clock = clock
        self._base_url = base_url

    async def rehearse(
        self, rule: Rule, name: str, machine: Equipment, *, send: bool, caller: Caller
    ) -> dict[str, Any]:
        """What this response would do about an alert of this machine now.

        Args:
            rule: whose response.
            name: which.
            machine: whose alert.
            send: make the call, with the header ``X-Ovenbridge-Test: true``.
            caller: who asks.

        Raises:
            NotFound: the rule has no such response.
            InvalidInput: only a call can be sent as a test.
            Unavailable: our own store or vault is away.
        """
        response = next((one for one in rule.responses if one.name == name), None)
        if response is None:
            names = ", ".join(one.name for one in rule.responses) or "none"
            raise NotFound(f"This rule has no response {name[:40]}; it has: {names}.")
        if send and response.kind != "call":
            raise InvalidInput(f"A {response.kind} is only rehearsed; send is for calls.", field="send")
        record = self._record(rule, response, machine)
        problem = await self._checks.problem(response, machine.id)
        does: dict[str, Any] | None = None
        sent: dict[str, Any] | None = None
        if problem is None:
            try:
                does = await self._would_do(response, record)
                sent = await self._send(response, record, caller) if send else None
            except InvalidInput as error:
                problem = error.detail
        target = response.action.get("equipment_id") or machine.id
        return {
            "rule_id": record["ruleId"],
            "response": response.name,
            "on": response.on.value,
            "minutes": response.minutes,
            "action": response.kind,
            "enabled": rule.enabled and response.enabled,
            "ready": problem is None,
            "problem": problem,
            "would_do": does,
            "sent": sent,
            "cooldown_seconds": rule.response_cooldown_seconds,
            "left_this_hour": await self._budget.left(target),
            "most_per_hour": MAX_PER_HOUR,
        }

    async def _would_do(self, response: Response, record: Document) -> dict[str, Any]:
        if response.kind == "write":
            target = response.action.get("equipment_id") or record["equipmentId"]
            return {"equipment_id": target, **{k: response.action[k] for k in ("signal", "value")}}
        if response.kind == "call":
            return (await self._acts.calls.request(response, facts_of(record), test=True)).shown()
        if response.kind == "task":
            return task_of(response, record, self._clock.now())
        event = ticket_of(response, record, self._clock.now())
        return {"event": event.type, **{k: event.data[k] for k in ("title", "description", "priority")}}

    async def _send(self, response: Response, record: Document, caller: Caller) -> dict[str, Any]:
        request = await self._acts.calls.request(response, facts_of(record), test=True)
        async with self._audit.recorded(
            f"rule:{record['equipmentId']}",
            actor=caller.actor,
            action="alert_response.tested",
            target=record["id"],
            after={"method": request.method, "url": request.shown_url},
        ):
            acted = await self._acts.calls.send(request, again=False)
        return {"outcome": acted.outcome, "detail": acted.detail, "result": acted.result}

    def _record(self, rule: Rule, response: Response, machine: Equipment) -> Document:
        """As it would be planned, for an alert that there is not."""
        now = self._clock.now()
        alert_id = lifecycle.alert_id(machine.id, lifecycle.document_id(rule.id, now))
        data = {
            "alert_id": alert_id,
            "equipment_id": machine.id,
            "equipment_name": machine.name,
            "alert_type": alert_type_of(rule).value,
            "severity": rule.severity.value,
            "status": STATUS[response.on],
            "message": f"{TEST}{machine.name}: {rule.name or rule.kind.value}",
            "signal": rule.signal,
            "value": rule.limit if rule.limit is not None else next(iter(rule.equals), None),
            "unit": unit_of(rule),
            "limit": rule.limit,
            "triggered_at": iso(now),
            "url": f"{self._base_url}/api/v1/alerts/{alert_id}",
        }
        event = Event(new_id(), ALERT_RAISED, now, MACHINE, machine.id, rule.name, data, site=machine.site)
        record = planned(event, f"{machine.id}:{rule.id}", response, now, now)
        # Every test is one of its own: a receiver that knows repetitions by their key must not swallow it.
        return {**record, "id": f"test:{new_id()}"}


STATUS = {
    Trigger.RAISED: "active",
    Trigger.UNACKNOWLEDGED_FOR: "active",
    Trigger.ACKNOWLEDGED: "acknowledged",
    Trigger.RESOLVED: "resolved",
}
