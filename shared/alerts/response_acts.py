"""Doing it: one try of one response, by whichever of the four ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.access import Caller
from shared.alerts.response_call import Calls, repeatable
from shared.alerts.response_model import Response
from shared.alerts.response_ports import Acted, Tasks, Writes
from shared.alerts.response_templates import fill, words_of
from shared.clock import iso, parse_iso
from shared.errors import InvalidInput
from shared.events import Event, EventLog
from shared.events.catalogue import MACHINE, TICKET_REQUESTED
from shared.ids import digest_id
from shared.storage import Document

__all__ = ["Acts", "acting_caller", "facts_of", "safe_to_repeat"]


def facts_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What templates and events may say: the alert's event, and the response."""
    return {
        **record["alert"],
        "site": record.get("site"),
        "rule_id": record["ruleId"],
        "rule_name": record.get("ruleName"),
        "response": record["name"],
        "response_id": record["id"],
    }


def acting_caller(record: Mapping[str, Any]) -> Caller:
    """The rule, as the audit log and what it made name it."""
    rule_id = record["ruleId"]
    return Caller(f"rule:{rule_id}", f"Rule {record.get('ruleName') or rule_id}", frozenset(), "rule")


def safe_to_repeat(response: Response) -> bool:
    """May it be done again although it may have been done?"""
    if response.kind == "call":
        return repeatable(response.action)
    return response.kind in ("task", "ticket")


class Acts:
    """The four ways."""

    def __init__(
        self, writes: Writes, calls: Calls, tasks: Callable[[], Tasks], events: Callable[[], EventLog]
    ) -> None:
        self.calls = calls
        self._writes = writes
        self._tasks = tasks
        self._events = events

    async def do(self, response: Response, record: Document) -> Acted:
        """Try once.

        Raises:
            Unavailable: our own store, vault or queue is away; it was not done, or may be repeated.
        """
        ways = {"write": self._write, "call": self._call, "task": self._task, "ticket": self._ticket}
        return await ways[response.kind](response, record)

    async def _write(self, response: Response, record: Document) -> Acted:
        action = response.action
        return await self._writes.write(
            action.get("equipment_id") or record["equipmentId"],
            action["signal"],
            action["value"],
            reason=f"Response {record['name']} of rule {record['ruleId']} to alert {record['alertId']}"[:500],
            actor=acting_caller(record).actor,
        )

    async def _call(self, response: Response, record: Document) -> Acted:
        try:
            request = await self.calls.request(response, facts_of(record))
        except InvalidInput as error:
            return Acted("failed", error.detail)
        return await self.calls.send(request, again=repeatable(response.action))

    async def _task(self, response: Response, record: Document) -> Acted:
        said = task_of(response, record, parse_iso(record["dueAt"]))
        task_id = digest_id("task", record["id"]).upper()
        try:
            await self._tasks().make(task_id, said=said, caller=acting_caller(record))
        except InvalidInput as error:
            return Acted("failed", error.detail)
        return Acted("done", f"Task {task_id} was made: {said['title']}", {"task_id": task_id})

    async def _ticket(self, response: Response, record: Document) -> Acted:
        event = ticket_of(response, record, parse_iso(record["dueAt"]))
        await self._events().publish(event)
        said = f"A ticket was asked for: {event.data['title']}"
        return Acted("done", said, {"ticket_id": event.id})


def task_of(response: Response, record: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """The task's fields, filled in."""
    words, action = words_of(facts_of(record)), response.action
    due = action.get("due_minutes")
    text = action.get("description")
    said = {
        "title": fill(action["title"], words, most=200, one_line=True) or response.name,
        "description": fill(text, words, most=4_000).strip() if text is not None else None,
        "assignee": action.get("assignee"),
        "kind": action.get("kind"),
        "priority": action.get("priority", "normal"),
        "equipment_id": record["equipmentId"],
        "alert_id": record["alertId"],
        "due_at": iso(at + timedelta(minutes=due)) if due is not None else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def ticket_of(response: Response, record: Mapping[str, Any], at: datetime) -> Event:
    """The event that asks for a ticket: the same id whenever it is told."""
    facts, action = facts_of(record), response.action
    words = words_of(facts)
    event_id = digest_id("ticket", record["id"]).upper()
    text = action.get("description")
    own = {
        "ticket_id": event_id,
        "title": fill(action["title"], words, most=200, one_line=True) or response.name,
        "description": fill(text, words, most=4_000) if text is not None else None,
        "priority": action.get("priority", "normal"),
    }
    return Event(
        id=event_id,
        type=TICKET_REQUESTED,
        timestamp=at,
        object_type=MACHINE,
        object_id=record["equipmentId"],
        name=record.get("ruleName"),
        data={**{k: v for k, v in facts.items() if k != "site"}, **own},
        severity=record["alert"].get("severity"),
        site=record.get("site"),
        correlation_id=record.get("correlationId"),
    )
