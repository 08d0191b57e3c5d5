"""Sessions and calls as tables for BI tools: asked for over the API, and kept as a file per day.

The file of a day holds every record that changed on that day, as it stood then: nothing that comes late is missed, and
a file never changes once it is written. Who wants the present takes the highest ``revision`` of each ``id``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from shared.clock import Clock
from shared.errors import Conflict, NotFound, OvenbridgeError, Unavailable
from shared.storage import Document, DocumentStore, Equals
from shared.storage.newest import NewestFirst
from shared.tables import Column, Format, render
from shared.work.sessions import CONTAINER
from shared.work.sessions_fields import RECORD_FIELDS

if TYPE_CHECKING:
    from shared.blobs import BlobStore
    from shared.work.sessions_found import Kind

__all__ = ["COLUMNS", "ExportPage", "SessionExport", "row_of"]

By = Literal["started", "changed"]
KEPT: tuple[Format, ...] = ("parquet", "csv")
LOOK_BACK_DAYS = 14
"""Days that are filled in after the app was away."""
MAX_PAGE = 5_000
MAX_DAY = 200_000

COLUMNS: tuple[Column, ...] = (
    Column("id", "text", "The record; one per session or call, in path and references."),
    Column("revision", "integer", "Counts the changes; the highest of an id is the present."),
    Column("kind", "text", "session or call."),
    Column("source", "text", "The platform that told of it."),
    Column("connection", "text", "The connection or hook source it came by."),
    Column("external_id", "text", "The platform's own id."),
    Column("state", "text", "The platform's own word."),
    Column("ended", "truth", "Is it over?"),
    Column("title", "text", "The instructions, or who was called."),
    Column("happened_at", "time", "When it began; when it was first heard of, where nobody knows."),
    Column("started_at", "time", "When it began."),
    Column("ended_at", "time", "When it ended."),
    Column("duration_seconds", "number", "As told, else from begin to end."),
    Column("idle_seconds", "number", "Of these without activity."),
    Column("steps_possible", "integer", "Steps of the instructions."),
    Column("steps_viewed", "integer", "Steps that were looked at."),
    Column("percent_viewed", "number", "0 to 100."),
    Column("work_order_id", "text", "The order it belongs to."),
    Column("equipment_id", "text", "The machine it belongs to."),
    Column("equipment_name", "text", "Its name at that time."),
    Column("site", "text", "Where it stands."),
    Column("batch_id", "text", "The batch it belongs to."),
    Column("alert_id", "text", "The alert it was begun from."),
    Column("people", "text", "Who took part, separated by semicolons."),
    Column("captures", "integer", "Photos and films made during it."),
    Column("gaps", "text", "What could not be seen of it, as a JSON list."),
    Column("external_data", "text", "What its link carried, as JSON."),
    Column("oven", "text", "What the oven did meanwhile, per signal, as JSON."),
    Column("recorded_at", "time", "When it was first recorded here."),
    Column("changed_at", "time", "When this revision was recorded."),
    Column("gone_at", "time", "When the platform no longer had it."),
)
_AS_THEY_ARE = {
    "id": "id",
    **RECORD_FIELDS,
    "connection": "account",
    "ended": "ended",
    "happened_at": "happenedAt",
    "external_data": "externalData",
    "recorded_at": "firstSeenAt",
    "gone_at": "goneAt",
}

log = logging.getLogger("ovenbridge.exports")


@dataclass(frozen=True, slots=True)
class ExportPage:
    """Part of an export."""

    data: bytes
    rows: int
    continuation: str | None


class SessionExport:
    """Exports."""

    def __init__(self, store: DocumentStore, blobs: Callable[[], BlobStore], clock: Clock) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock

    async def page(
        self,
        since: datetime,
        until: datetime,
        form: Format,
        *,
        by: By,
        kind: Kind | None,
        limit: int,
        continuation: str | None,
    ) -> ExportPage:
        """Records that began (or changed) in the time, newest first. Raises ``InvalidInput`` for a continuation that
        is not ours."""
        where = [] if kind is None else [Equals("kind", kind)]
        search = NewestFirst(self._store, CONTAINER, "happenedAt" if by == "started" else "changedAt", where)
        found, place = await search.page(since=since, until=until, limit=limit, continuation=continuation)
        data = render(COLUMNS, map(row_of, found), form, head=continuation is None)
        return ExportPage(data, len(found), place)

    async def keep_days(self) -> list[str]:
        """Write the files of the days that are over and have none; their names.

        Raises:
            Unavailable: the store or the blobs are away; what was written stays, the rest is written next time.
        """
        blobs = self._blobs()
        today = self._clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        written: list[str] = []
        for back in range(LOOK_BACK_DAYS, 0, -1):
            day = today - timedelta(days=back)
            kept = {name async for name in blobs.names(_folder(day))}
            missing = [form for form in KEPT if f"{_folder(day)}{_file(day)}.{form}" not in kept]
            if not missing:
                continue
            try:
                rows = await self._day(day)
            except Unavailable:
                raise
            except OvenbridgeError as error:
                # This day cannot be written, tomorrow neither: the others are not to wait for it.
                log.error("There are no files of %s: %s", f"{day:%Y-%m-%d}", error.detail)
                continue
            for form in missing:
                name = f"{_folder(day)}{_file(day)}.{form}"
                try:
                    await blobs.create(name, render(COLUMNS, rows, form))
                    written.append(name)
                except Conflict:
                    log.info("%s was written by somebody else.", name)
        return written

    async def files(self, month: str | None) -> list[str]:
        """Names of the files, of a month (``2026-11``) or of all."""
        prefix = "sessions/" if month is None else f"sessions/year-{month[:4]}/month-{month[5:]}/"
        return [name async for name in self._blobs().names(prefix)]

    async def file(self, day: date, form: Format) -> bytes:
        """The file of a day. Raises ``NotFound``."""
        try:
            return await self._blobs().read(f"{_folder(day)}{_file(day)}.{form}")
        except NotFound:
            raise NotFound(
                f"There is no {form} file of {day.isoformat()}: it is written in the night after that day."
            ) from None

    async def _day(self, day: datetime) -> list[dict[str, Any]]:
        """Everything that changed on a day, oldest change first."""
        search = NewestFirst(self._store, CONTAINER, "changedAt")
        found: list[Document] = []
        continuation: str | None = None
        while True:
            part, continuation = await search.page(
                since=day, until=day + timedelta(days=1), limit=MAX_PAGE, continuation=continuation
            )
            found += part
            if continuation is None:
                break
            if len(found) > MAX_DAY:
                raise OvenbridgeError(f"More than {MAX_DAY:,} records changed on {day.date()}: export them by hours.")
        return [row_of(record) for record in reversed(found)]


def row_of(record: Document) -> dict[str, Any]:
    """A record as values by column."""
    row: dict[str, Any] = {name: record.get(path) for name, path in _AS_THEY_ARE.items()}
    people = (record.get("details") or {}).get("people")
    row["people"] = "; ".join(str(one) for one in people) if isinstance(people, list) else None
    row["captures"] = len(record.get("captures") or ())
    row["gaps"] = record.get("gaps") or None
    readings: Mapping[str, Any] = record.get("readings") or {}
    row["oven"] = readings.get("signals") or None
    return row


def _folder(day: date) -> str:
    """A month per folder: `=`, as Hive writes it, is no character of a blob's name here."""
    return f"sessions/year-{day:%Y}/month-{day:%m}/"


def _file(day: date) -> str:
    return f"sessions-{day:%Y-%m-%d}"
