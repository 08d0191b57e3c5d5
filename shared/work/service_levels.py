"""Service levels of calls for help: how long it took to answer and to resolve, and whether that was soon enough.

A call counts from when help was asked for: ``requested_at`` that its link carried, else when its alert was raised; else
nobody knows how long it waited, and its resolution counts from its beginning. A job is a work order: from the first
request to the end of its last call.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.clock import iso, parse_iso
from shared.errors import InvalidInput, NotFound
from shared.work.sessions import RecordQuestion

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.access import Caller
    from shared.audit.log import AuditLog
    from shared.clock import Clock
    from shared.storage import Document, DocumentStore
    from shared.work.sessions import Sessions

__all__ = ["ANY", "Group", "GroupBy", "ServiceLevels", "ServiceTargets", "Target", "quantile"]

GroupBy = Literal["job_type", "work_order_id", "equipment_id", "site", "connection", "day"]
CONTAINER, NAME = "workMarks", "service-levels"
ANY = "*"
MAX_CALLS = 20_000
MAX_GROUPS = 1_000
_STORED = {"equipment_id": "equipmentId", "site": "site", "work_order_id": "workOrderId", "connection": "account"}


class Target(BaseModel):
    """How soon is soon enough."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    job_type: str = Field(ANY, min_length=1, max_length=100, description="`*`: every other.")
    answer_seconds: float | None = Field(None, gt=0, le=31_536_000, description="From the request to the answer.")
    resolution_seconds: float | None = Field(None, gt=0, le=31_536_000, description="From the request to the end.")


class ServiceTargets(BaseModel):
    """The targets, and where a call says what kind of job it is."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    job_type_key: str = Field(
        "job_type", min_length=1, max_length=100, description="Key of the external data that the link carried."
    )
    targets: tuple[Target, ...] = Field((), max_length=200)

    @field_validator("targets")
    @classmethod
    def _each_once(cls, value: tuple[Target, ...]) -> tuple[Target, ...]:
        names = [one.job_type.lower() for one in value]
        if len(set(names)) < len(names):
            raise ValueError("a job type has one target")
        return value

    def of(self, job_type: str | None) -> Target | None:
        """The target of a job type; ``None``: there is none."""
        by_name = {one.job_type.lower(): one for one in self.targets}
        return by_name.get((job_type or ANY).lower()) or by_name.get(ANY)


@dataclass(frozen=True, slots=True)
class _Call:
    """What is measured of a call."""

    group: str | None
    job: str | None
    requested: datetime | None
    began: datetime
    ended: datetime | None
    answer: float | None
    resolution: float | None
    target: Target | None


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of one group."""

    key: str | None
    calls: int
    going_on: int
    answer: dict[str, Any]
    resolution: dict[str, Any]
    jobs: dict[str, Any]


class ServiceLevels:
    """Targets and figures."""

    def __init__(
        self,
        store: DocumentStore,
        sessions: Sessions,
        alert: Callable[[str], Awaitable[Document]],
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._alert = alert
        self._audit = audit
        self._clock = clock

    async def targets(self) -> ServiceTargets:
        """Those that are set."""
        try:
            document = (await self._store.read(CONTAINER, (NAME,), NAME)).document
        except NotFound:
            return ServiceTargets()
        return ServiceTargets.model_validate(document["targets"])

    async def keep(self, targets: ServiceTargets, *, caller: Caller) -> ServiceTargets:
        """Set these in place of those before; figures of the past are judged by them, too."""
        before = await self.targets()
        said = targets.model_dump(mode="json")
        async with self._audit.recorded(
            "service-levels",
            actor=caller.actor,
            action="service_levels.changed",
            target=NAME,
            before=before.model_dump(mode="json"),
            after=said,
        ):
            document = {"id": NAME, "targets": said, "changedAt": iso(self._clock.now())}
            await self._store.upsert(CONTAINER, document)
        return targets

    async def figures(self, since: datetime, until: datetime, group_by: GroupBy) -> tuple[Group, list[Group]]:
        """Of all calls that began in the time, and by group, the largest first.

        Raises:
            InvalidInput: there are too many.
        """
        targets = await self.targets()
        raised: dict[str, datetime | None] = {}
        calls = []
        for record in await self._calls(since, until):
            alert_id = record.get("alertId")
            if alert_id is not None and alert_id not in raised:
                raised[alert_id] = await self._raised(alert_id)
            calls.append(_measured(record, targets, group_by, raised.get(alert_id) if alert_id else None))
        groups: dict[str | None, list[_Call]] = {}
        for call in calls:
            groups.setdefault(call.group, []).append(call)
        if len(groups) > MAX_GROUPS:
            raise InvalidInput(f"That makes {len(groups):,} groups; ask for a shorter time.", field="from")
        found = [_figures(key, of) for key, of in groups.items()]
        found.sort(key=lambda group: (-group.calls, str(group.key)))
        return _figures(None, calls), found

    async def _calls(self, since: datetime, until: datetime) -> list[Document]:
        question = RecordQuestion(kind="call", since=since, until=until)
        found: list[Document] = []
        continuation: str | None = None
        while True:
            page = await self._sessions.list(question, limit=1_000, continuation=continuation)
            found += page.records
            if len(found) > MAX_CALLS:
                raise InvalidInput(f"There are more than {MAX_CALLS:,} calls; ask for a shorter time.", field="from")
            continuation = page.continuation
            if continuation is None:
                return found

    async def _raised(self, alert_id: str) -> datetime | None:
        try:
            return _moment((await self._alert(alert_id)).get("triggeredAt"))
        except NotFound:
            return None


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which a share of them lies, between neighbours in a straight line; ``None``: there are none."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return round(ordered[low] + (ordered[high] - ordered[low]) * (place - low), 3)


def _measured(record: Document, targets: ServiceTargets, group_by: GroupBy, raised: datetime | None) -> _Call:
    external = record.get("externalData") or {}
    told = external.get(targets.job_type_key)
    job_type = str(told)[:100] if isinstance(told, str | int) and not isinstance(told, bool) and told != "" else None
    began = parse_iso(record["happenedAt"])
    ended = _moment(record.get("endedAt")) if record["ended"] else None
    requested = _moment(external.get("requested_at")) or raised
    if requested is not None and requested > began:
        requested = None  # a clock that is wrong, or a link that was made during the call
    answered = _moment((record.get("details") or {}).get("answered_at")) or _moment(record.get("startedAt"))
    if group_by == "job_type":
        group = job_type
    elif group_by == "day":
        group = record["happenedAt"][:10]
    else:
        group = record.get(_STORED[group_by])
    return _Call(
        group,
        record.get("workOrderId"),
        requested,
        began,
        ended,
        _between(requested, answered),
        _between(requested or began, ended),
        targets.of(job_type),
    )


def _figures(key: str | None, calls: Sequence[_Call]) -> Group:
    return Group(
        key,
        len(calls),
        sum(call.ended is None for call in calls),
        _measure((call.answer, call.target.answer_seconds if call.target else None) for call in calls),
        _measure((call.resolution, call.target.resolution_seconds if call.target else None) for call in calls),
        _jobs(calls),
    )


def _measure(pairs: Iterable[tuple[float | None, float | None]]) -> dict[str, Any]:
    known = [(seconds, target) for seconds, target in pairs if seconds is not None]
    seconds = [one for one, _ in known]
    judged = [(one, target) for one, target in known if target is not None]
    met = sum(one <= target for one, target in judged)
    return {
        "measured": len(seconds),
        "median_seconds": quantile(seconds, 0.5),
        "p90_seconds": quantile(seconds, 0.9),
        "met": met,
        "missed": len(judged) - met,
        "met_percent": round(100 * met / len(judged), 1) if judged else None,
    }


def _jobs(calls: Sequence[_Call]) -> dict[str, Any]:
    by_job: dict[str, list[_Call]] = {}
    for call in calls:
        if call.job is not None:
            by_job.setdefault(call.job, []).append(call)
    took = []
    for of in by_job.values():
        ends = [call.ended for call in of if call.ended is not None]
        if len(ends) == len(of):
            first = min(call.requested or call.began for call in of)
            took.append(max(0.0, (max(ends) - first).total_seconds()))
    return {
        "count": len(by_job),
        "resolved": len(took),
        "median_seconds": quantile(took, 0.5),
        "p90_seconds": quantile(took, 0.9),
    }


def _between(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None or end < start:
        return None
    return (end - start).total_seconds()


def _moment(value: Any) -> datetime | None:
    try:
        return parse_iso(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
