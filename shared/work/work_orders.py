"""Everything that is known of a work order, from wherever it came: the order itself lives in another system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.errors import InvalidInput, NotFound
from shared.inbox.service import InboxFilter
from shared.work.sessions import RecordQuestion
from shared.work.tasks import TaskFilter

if TYPE_CHECKING:
    from shared.inbox.model import InboundMessage
    from shared.inbox.service import Inbox
    from shared.storage import Document
    from shared.work.batches import Batches
    from shared.work.sessions import Sessions
    from shared.work.tasks import Tasks

__all__ = ["WorkOrder", "WorkOrders"]

AT_MOST = 200
"""So many of each are given; ``truncated`` says where there are more."""
MAX_ALERTS = 50


class _Alerts(Protocol):
    async def get(self, alert_id: str) -> Document: ...


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """What is known of one."""

    id: str
    sessions: Sequence[Document]
    """Newest first, as everything here."""
    calls: Sequence[Document]
    tasks: Sequence[Document]
    batches: Sequence[Document]
    alerts: Sequence[Document]
    """Those that its sessions, calls and tasks name."""
    messages: Sequence[InboundMessage]
    """Of the last week."""
    truncated: tuple[str, ...]

    @property
    def machines(self) -> dict[str, str | None]:
        """Ids of the machines it was about, with their names."""
        found: dict[str, str | None] = {}
        for one in (*self.sessions, *self.calls, *self.tasks, *self.batches):
            name = one.get("equipmentId")
            if name is not None and found.get(name) is None:
                found[name] = one.get("equipmentName")
        return found


class WorkOrders:
    """Gathers it."""

    def __init__(self, sessions: Sessions, tasks: Tasks, batches: Batches, alerts: _Alerts, inbox: Inbox) -> None:
        self._sessions = sessions
        self._tasks = tasks
        self._batches = batches
        self._alerts = alerts
        self._inbox = inbox

    async def get(self, work_order_id: str) -> WorkOrder:
        """Everything about an order. Raises ``NotFound``: nothing names it."""
        records = await self._sessions.list(RecordQuestion(work_order_id=work_order_id), limit=AT_MOST)
        tasks = await self._tasks.list(TaskFilter((), work_order_id=work_order_id), limit=AT_MOST)
        batches, more_batches = await self._batches.of_work_order(work_order_id, AT_MOST)
        messages, more_messages = await self._inbox.list(InboxFilter(work_order_id=work_order_id), limit=AT_MOST)
        if not (records.records or tasks.tasks or batches or messages):
            raise NotFound(
                f"Nothing names the work order {work_order_id[:100]}: no session, call, task, batch or message."
            )
        return WorkOrder(
            id=work_order_id,
            sessions=[one for one in records.records if one["kind"] == "session"],
            calls=[one for one in records.records if one["kind"] == "call"],
            tasks=tasks.tasks,
            batches=batches,
            alerts=await self._alerts_of((*records.records, *tasks.tasks)),
            messages=messages,
            truncated=tuple(
                name
                for name, more in (
                    ("sessions", records.continuation),
                    ("tasks", tasks.continuation),
                    ("batches", more_batches),
                    ("messages", more_messages),
                )
                if more
            ),
        )

    async def _alerts_of(self, documents: Iterable[Document]) -> list[Document]:
        names = dict.fromkeys(one["alertId"] for one in documents if one.get("alertId"))
        found = []
        for name in list(names)[:MAX_ALERTS]:
            try:
                found.append(await self._alerts.get(name))
            except (NotFound, InvalidInput):
                continue  # a name that somebody wrote into a link need not be one of ours
        return found
