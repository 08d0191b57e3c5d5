"""Tasks: something somebody is to do, with a machine, because of an alert, as part of a work order.

A task is made once however often it is asked for: its id is the caller's own, or made of the caller and the key they
gave. Everything done with it is an audit entry before it happens, and told after.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from shared import json_text
from shared.access import Caller
from shared.audit.log import AuditLog
from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, InvalidInput, NotFound, OvenbridgeError, PreconditionFailed, Unavailable
from shared.events import Event, EventLog
from shared.events.catalogue import MACHINE, NONE
from shared.ids import digest_id, new_id
from shared.storage import Condition, Document, DocumentStore, Equals, In, IsDefined, Query, Stored, every
from shared.storage.newest import NewestFirst
from shared.work.task_forms import NewTask, TaskChange, said_of
from shared.work.task_model import FIELDS, OPEN, changed, created

if TYPE_CHECKING:
    from shared.equipment.registry import EquipmentRegistry

__all__ = ["TaskFilter", "TaskPage", "Tasks"]

CONTAINER = "tasks"
KEPT = timedelta(days=3_660)
"""Older tasks are not looked for unless somebody says since when."""
CLOCKS_DIFFER = timedelta(hours=1)
"""What another instance made just now may lie ahead of our clock."""
MAX_TRIES = 20
AT_MOST = 200
"""Tasks told of per tick."""

log = logging.getLogger("ovenbridge.tasks")


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks. Empty or ``None``: all."""

    statuses: tuple[str, ...] = OPEN
    equipment_id: str | None = None
    assignee: str | None = None
    alert_id: str | None = None
    work_order_id: str | None = None
    since: datetime | None = None
    """Made at or after."""

    def conditions(self) -> list[Condition]:
        """As the store takes them."""
        found: list[Condition] = []
        if self.statuses:
            found.append(Equals("status", self.statuses[0]) if len(self.statuses) == 1 else In("status", self.statuses))
        for path, value in (
            ("equipmentId", self.equipment_id),
            ("assignee", self.assignee),
            ("alertId", self.alert_id),
            ("workOrderId", self.work_order_id),
        ):
            if value is not None:
                found.append(Equals(path, value))
        return found


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of tasks, newest first."""

    tasks: list[Document]
    continuation: str | None


class Tasks:
    """What is to be done."""

    def __init__(
        self,
        store: DocumentStore,
        equipment: EquipmentRegistry,
        events: EventLog,
        audit: AuditLog,
        clock: Clock,
        *,
        base_url: str,
    ) -> None:
        self._store = store
        self._equipment = equipment
        self._events = events
        self._audit = audit
        self._clock = clock
        self._base_url = base_url

    async def create(self, form: NewTask, caller: Caller, *, key: str | None = None) -> tuple[Stored, bool]:
        """Make a task; whether it is new.

        Args:
            form: what is to be done.
            caller: who says so.
            key: an ``Idempotency-Key``; with it, or with an id in the form, asking twice makes one.

        Raises:
            InvalidInput: naming the field: there is no such machine; both an id and a key.
            Conflict: the id, or the key, was used for another task.
            Unavailable: nothing is known; ask again in the same words.
        """
        if form.id is not None and key is not None:
            raise InvalidInput("Give either an id or the header Idempotency-Key: both say the same.", field="id")
        said = said_of(form)
        digest = digest_id(json_text.canonical(said))
        task_id = form.id or (new_id() if key is None else digest_id("task", caller.id, key).upper())
        if (known := await self._known(task_id, digest)) is not None:
            return known, False
        if form.equipment_id is not None:
            said |= await self._machine(form.equipment_id)
        return await self._create(task_id, said, caller, digest)

    async def make(self, task_id: str, *, said: Mapping[str, Any], caller: Caller) -> Document:
        """Make a task on the word of an alert's rule: once, however often it is asked for.

        Args:
            task_id: the same for the same response.
            said: title, description, priority, assignee, kind, equipment_id, alert_id, due_at.
            caller: the rule.

        Raises:
            InvalidInput, Unavailable.
        """
        try:
            form = NewTask.model_validate({"id": task_id, **said})
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False, include_context=False)[0]
            raise InvalidInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", field="task") from err
        try:
            stored, _ = await self.create(form, caller)
        except Conflict:
            # Made before, from a template that was filled in otherwise: it is the same task all the same.
            return (await self.get(task_id)).document
        return stored.document

    async def get(self, task_id: str) -> Stored:
        """One task. Raises ``NotFound``."""
        try:
            return await self._store.read(CONTAINER, (task_id,), task_id)
        except (NotFound, InvalidInput):
            raise NotFound(f"There is no task {task_id[:64]}; GET /api/v1/tasks lists what there is.") from None

    async def change(self, task_id: str, form: TaskChange, caller: Caller, *, etag: str | None) -> Stored:
        """Change some fields, add a comment.

        Raises:
            NotFound: there is no such task.
            PreconditionFailed: the etag is stale.
            InvalidInput: the times are the wrong way round.
            Conflict: it has too many comments.
        """
        now = self._clock.now()
        before = await self.get(task_id)
        if etag is not None and etag != before.etag:
            raise PreconditionFailed("The task was changed in the meantime. Read it again, then repeat the change.")
        after = changed(before.document, said_of(form), form.comment, caller, now)
        if after is before.document:
            return before
        start, due = after.get("startAt"), after.get("dueAt")
        if start is not None and due is not None and due < start:
            raise InvalidInput("due_at lies before start_at.", field="due_at")
        async with self._recorded(task_id, before.document, after, caller, form.comment):
            stored = await self._replace(before, after)
        return await self._tell(stored)

    async def report(
        self, task_id: str, *, new: NewTask, said: TaskChange, at: datetime, caller: Caller
    ) -> tuple[Document, str]:
        """What somebody outside says of a task that they keep. Safe to repeat, in any order: of each field their newest
        word counts.

        Args:
            task_id: the same for the same task of theirs.
            new: how it is made if it is unknown here.
            said: what they say of it now.
            at: when they said so.
            caller: who they are.

        Returns:
            The task, and what became of it: ``created``, ``changed``, ``unchanged`` or ``late``.

        Raises:
            InvalidInput: there is no such machine.
            Unavailable: repeat it.
        """
        outcome = "unchanged"
        for _ in range(MAX_TRIES):
            try:
                before = await self.get(task_id)
            except NotFound:
                with suppress(Conflict):
                    await self.create(new.model_copy(update={"id": task_id}), caller)
                    outcome = "created"
                continue
            known: dict[str, str] = before.document.get("toldAt", {})
            asked = {name: v for name, v in said_of(said).items() if known.get(name, "") < iso(at)}
            if not asked:
                again = all(known[name] == iso(at) for name in said_of(said))
                return (await self._tell(before)).document, "unchanged" if again else "late"
            after = changed(before.document, asked, None, caller, self._clock.now())
            differs = after is not before.document
            after = {**after, "toldAt": {**known, **dict.fromkeys(asked, iso(at))}}
            try:
                if not differs:
                    stored = await self._replace(before, after)
                else:
                    async with self._recorded(task_id, before.document, after, caller):
                        stored = await self._replace(before, after)
                    outcome = "created" if outcome == "created" else "changed"
            except PreconditionFailed:
                continue
            return (await self._tell(stored)).document, outcome
        raise Unavailable("Too many others change this task at once. Try again.", retry_after=1.0)

    async def list(self, asked: TaskFilter, *, limit: int = 100, continuation: str | None = None) -> TaskPage:
        """Tasks, newest first. Raises ``InvalidInput`` for a continuation that is not ours."""
        until = self._clock.now() + CLOCKS_DIFFER
        search = NewestFirst(self._store, CONTAINER, "createdAt", asked.conditions())
        found, place = await search.page(
            since=asked.since or until - KEPT, until=until, limit=limit, continuation=continuation
        )
        return TaskPage(found, place)

    async def tell(self) -> int:
        """Tell what a process that died left untold; how many tasks."""
        told = 0
        async for stored in every(
            self._store, CONTAINER, Query((IsDefined("unpublished"),), limit=AT_MOST), at_most=AT_MOST
        ):
            after = await self._tell(stored)
            told += "unpublished" not in after.document
        return told

    # Inside ------------------------------------------------------------------------------------------------------

    async def _machine(self, equipment_id: str) -> dict[str, Any]:
        try:
            machine, _ = await self._equipment.get(equipment_id)
        except NotFound as err:
            raise InvalidInput(
                f"There is no machine {equipment_id}: register it first, or leave equipment_id out.",
                field="equipment_id",
            ) from err
        return {"equipmentName": machine.name, "site": machine.site}

    async def _known(self, task_id: str, digest: str) -> Stored | None:
        try:
            stored = await self._store.read(CONTAINER, (task_id,), task_id)
        except NotFound:
            return None
        if stored.document["askedFor"] != digest:
            raise Conflict(f"There is another task {task_id} already; choose another id or Idempotency-Key.")
        return await self._tell(stored)

    async def _create(self, task_id: str, said: Mapping[str, Any], caller: Caller, digest: str) -> tuple[Stored, bool]:
        task = created(task_id, said, caller, self._clock.now(), digest=digest)
        try:
            async with self._audit.recorded(
                f"task:{task_id}",
                actor=caller.actor,
                action="task.created",
                target=task_id,
                after=_audited(task),
            ):
                stored = await self._store.create(CONTAINER, task)
        except Conflict:
            known = await self._known(task_id, digest)
            if known is None:
                raise Unavailable("This task is being changed by others. Try again.", retry_after=1.0) from None
            return known, False
        return await self._tell(stored), True

    def _recorded(
        self, task_id: str, before: Document, after: Document, caller: Caller, comment: str | None = None
    ) -> AbstractAsyncContextManager[Any]:
        return self._audit.recorded(
            f"task:{task_id}",
            actor=caller.actor,
            action="task.changed",
            target=task_id,
            before=_audited(before),
            after=_audited(after) | ({"comment": comment} if comment else {}),
        )

    async def _replace(self, before: Stored, after: Document) -> Stored:
        try:
            return await self._store.replace(CONTAINER, after, etag=before.etag)
        except PreconditionFailed:
            raise PreconditionFailed(
                "Somebody else changed the task at the same moment. Read it again, then repeat the change."
            ) from None

    async def _tell(self, stored: Stored) -> Stored:
        """Publish what the task owes and take the marks off. What cannot be told now keeps its mark."""
        told: set[str] = set()
        for _ in range(MAX_TRIES):
            if "unpublished" not in stored.document:
                return stored
            try:
                for mark in stored.document["unpublished"]:
                    if mark["key"] not in told:
                        await self._events.publish(self._event(stored.document, mark))
                        told.add(mark["key"])
            except OvenbridgeError as error:
                log.warning("Telling of task %s failed and will be repeated: %s", stored.document["id"], error.detail)
                return stored
            rest = {k: v for k, v in stored.document.items() if k != "unpublished"}
            try:
                return await self._store.replace(CONTAINER, rest, etag=stored.etag)
            except PreconditionFailed:
                stored = await self.get(stored.document["id"])
        return stored

    def _event(self, task: Document, mark: Mapping[str, Any]) -> Event:
        """The event of a mark: the same id whenever it is told."""
        data: dict[str, Any] = {name: task.get(key) for name, key in FIELDS.items()}
        data |= {
            "task_id": task["id"],
            "equipment_name": task.get("equipmentName"),
            "created_at": task["createdAt"],
            "created_by": task["createdBy"],
            "url": f"{self._base_url}/api/v1/tasks/{task['id']}",
        }
        data |= {k: v for k, v in mark.items() if k not in ("type", "key", "at")}
        machine = task.get("equipmentId")
        return Event(
            id=digest_id("task", task["id"], mark["key"]).upper(),
            type=mark["type"],
            timestamp=parse_iso(mark["at"]),
            object_type=MACHINE if machine is not None else NONE,
            object_id=machine,
            name=task["title"],
            data=data,
            site=task.get("site"),
        )


def _audited(task: Document) -> dict[str, Any]:
    return {name: task[key] for name, key in FIELDS.items() if task.get(key) is not None}
