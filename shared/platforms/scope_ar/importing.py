"""The scheduled import: finds sessions and calls that no webhook brought, and completes those that never ended here.

Webhooks promise nothing, so the list is walked, page after page. A mark says where the walk stands; it moves after all
of a page is recorded, so that a process that dies repeats the page and meets what it had recorded. What is unknown is
counted as missed before it is recorded, and remembered, so that repeating counts nothing twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import Clock, iso, parse_iso
from shared.errors import InvalidInput, NotFound, OvenbridgeError, PreconditionFailed, Unavailable
from shared.ids import digest_id
from shared.metrics import RECORDS_MISSED
from shared.platforms.scope_ar.graphql import NotReadable
from shared.platforms.scope_ar.options import ConnectionOptions, ImportOptions, checked
from shared.platforms.scope_ar.queries import LIST_QUERY
from shared.platforms.scope_ar.sessions import ScopeSessions
from shared.platforms.scope_ar.translate import SOURCE, kind_of_type
from shared.storage import SetPath
from shared.work.sessions import RecordQuestion

if TYPE_CHECKING:
    from shared.platforms.connections import PlatformConnection, PlatformConnections
    from shared.platforms.scope_ar.graphql import GraphPage
    from shared.storage import Document, DocumentStore, Stored
    from shared.work.sessions import Sessions
    from shared.work.sessions_found import Kind

__all__ = ["ImportRun", "SessionImport"]

CONTAINER = "workMarks"
REMEMBERED = 500
"""So many missed ones are remembered, to count none twice."""
OPEN_AT_ONCE = 50
OPEN_LOOKED_AT = 1_000
OPEN_FOR = timedelta(days=90)
"""What has gone on for longer is no longer asked for."""
PROBLEMS = 10
LONGEST_RUN_SECONDS = 240.0
"""Then the rest is left to the next run: a function must not be ended from outside."""

UNEXPECTED = "It failed unexpectedly; the log of the hub has the details."

log = logging.getLogger("ovenbridge.scope_ar")


@dataclass(frozen=True, slots=True)
class ImportRun:
    """What one run did."""

    pages: int
    recorded: int
    missed: int
    completed: int
    whole: bool
    """The walk reached its end."""


class SessionImport:
    """Imports, for all connections."""

    def __init__(
        self,
        store: DocumentStore,
        connections: PlatformConnections,
        scope: ScopeSessions,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._store = store
        self._connections = connections
        self._scope = scope
        self._sessions = sessions
        self._clock = clock

    async def run_due(self) -> int:
        """Import over every connection where it is due; how many. One that fails does not keep the others waiting."""
        done = 0
        for connection in await self._connections.list(SOURCE):
            try:
                done += await self._run_if_due(connection)
            except OvenbridgeError as error:
                log.warning("The import over %s goes on later: %s", connection.id, error.detail)
            except Exception:
                # A fault of ours at one connection; the mark says it.
                log.exception("The import over %s failed unexpectedly", connection.id)
        return done

    async def _run_if_due(self, connection: PlatformConnection) -> bool:
        options = checked(ConnectionOptions, connection.options).imports
        if not connection.enabled or not options.enabled:
            return False
        if not _due(await self.mark(connection.id), options, self._clock.now()):
            return False
        await self.run(connection.id)
        return True

    async def run(self, connection_id: str) -> ImportRun:
        """Go on with the walk, or begin one; bounded in pages.

        Raises:
            NotFound: there is no such connection.
            Unavailable, CredentialsRefused, Conflict, InvalidInput: the API does not let us; the mark says so.
        """
        connection = await self._connections.get(connection_id)
        options = checked(ConnectionOptions, connection.options)
        stored = await self._begin(connection.id, options.imports)
        tally = _Tally()
        try:
            stored = await self._walk(connection, options, stored, tally)
            tally.completed = await self._complete_open(connection, options)
        except OvenbridgeError as error:
            await self._failed(connection.id, options.imports, error)
            raise
        except Exception:
            await self._failed(connection.id, options.imports, OvenbridgeError(UNEXPECTED))
            raise
        whole = stored.document["kind"] is None
        await self._save(
            stored, {"error": None, "retryAt": None, "lastRunAt": iso(self._clock.now()), **_counted(stored, tally)}
        )
        return ImportRun(tally.pages, tally.recorded, tally.missed, tally.completed, whole)

    async def _failed(self, connection_id: str, options: ImportOptions, error: OvenbridgeError) -> None:
        """Say so. A query that cannot be answered waits for the next walk, all the rest for the next tick."""
        now = self._clock.now()
        lasting = isinstance(error, InvalidInput | NotReadable)
        retry = now + timedelta(minutes=options.every_minutes) if lasting else now
        name = _name(connection_id)
        changes = [SetPath("error", error.detail), SetPath("errorAt", iso(now)), SetPath("retryAt", iso(retry))]
        await self._store.patch(CONTAINER, (name,), name, changes)

    async def mark(self, connection_id: str) -> Document:
        """How the import stands; empty: it never ran."""
        try:
            return (await self._store.read(CONTAINER, (_name(connection_id),), _name(connection_id))).document
        except NotFound:
            return {}

    # The walk ----------------------------------------------------------------------------------------------------

    async def _begin(self, connection_id: str, options: ImportOptions) -> Stored:
        """The mark of the walk that is under way, or of a new one."""
        name = _name(connection_id)
        try:
            stored = await self._store.read(CONTAINER, (name,), name)
        except NotFound:
            fresh = {"id": name, "connection": connection_id, "missed": {}, "completed": 0, "known": []}
            stored = await self._store.upsert(CONTAINER, fresh | _start(None, options, self._clock.now()))
        if stored.document["kind"] is None:
            last = stored.document["startedAt"]
            return await self._save(stored, _start(last, options, self._clock.now()))
        return stored

    async def _walk(
        self, connection: PlatformConnection, options: ConnectionOptions, stored: Stored, tally: _Tally
    ) -> Stored:
        until = time.monotonic() + LONGEST_RUN_SECONDS
        for _ in range(options.imports.pages_per_run):
            kind = stored.document["kind"]
            if kind is None or time.monotonic() > until:
                break
            query = _query(options.imports, kind)
            page = None if query is None else await self._page(connection, query, stored.document)
            cursor = None
            if page is not None:
                tally.pages += 1
                stored = await self._take(connection, options, kind, page, stored, tally)
                cursor = page.end_cursor
            stored = await self._save(stored, _moved(stored.document, cursor, self._clock.now()))
        return stored

    async def _page(self, connection: PlatformConnection, query: str, mark: Document) -> GraphPage | None:
        path = (_first_field(query),)
        given = {"since": mark["since"]}
        pages: AsyncIterator[GraphPage] = self._scope.graphql.pages(
            connection, query, given, path, after=mark["cursor"], at_most=1
        )
        async for page in pages:
            return page
        return None

    async def _take(
        self,
        connection: PlatformConnection,
        options: ConnectionOptions,
        kind: Kind,
        page: GraphPage,
        stored: Stored,
        tally: _Tally,
    ) -> Stored:
        """Record what is unknown of a page, and what ended since."""
        now = self._clock.now()
        unknown: list[tuple[str, Kind]] = []
        stale: list[tuple[str, Kind]] = []
        for node in page.nodes:
            found = _listed(node, kind, options.imports, now)
            if found is None:
                continue
            known = await self._scope.known(connection.id, *found)
            if known is None:
                unknown.append(found)
            elif not known["ended"] and _ended(node, options):
                stale.append(found)
        stored = await self._count(stored, connection.id, unknown, tally)
        problems = list(page.problems)
        if page.dropped:
            problems.append(f"{page.dropped} of a page were not shown: the token may not read them.")
        for external_id, what in (*unknown, *stale):
            problem = await self._fetch(connection.id, external_id, what)
            tally.recorded += problem is None
            problems += [problem] if problem is not None else []
        if problems:
            kept = [*stored.document.get("problems", []), *problems][-PROBLEMS:]
            stored = await self._save(stored, {"problems": kept})
        return stored

    async def _count(
        self, stored: Stored, connection_id: str, unknown: Iterable[tuple[str, Kind]], tally: _Tally
    ) -> Stored:
        """Count what was missed, before it is recorded: then it can be counted no more."""
        known = list(stored.document["known"])
        missed = dict(stored.document["missed"])
        fresh = []
        for external_id, kind in unknown:
            name = digest_id(kind, external_id)
            if name not in known:
                fresh.append((name, kind))
        if not fresh:
            return stored
        for name, kind in fresh:
            known.append(name)
            missed[kind] = missed.get(kind, 0) + 1
        saved = await self._save(
            stored, {"known": known[-REMEMBERED:], "missed": missed, "lastMissedAt": iso(self._clock.now())}
        )
        tally.missed += len(fresh)
        for _, kind in fresh:
            RECORDS_MISSED.record(1, kind=kind)
        log.warning("No webhook had told of %d records of %s.", len(fresh), connection_id)
        return saved

    async def _fetch(self, connection_id: str, external_id: str, kind: Kind) -> str | None:
        """Record one as the API has it now; why not, where it alone is the reason."""
        try:
            fetched = await self._scope.fetch_session(connection_id, external_id, kind=kind)
            if fetched.node is None:
                await self._scope.note_gone(connection_id, external_id, kind)
                return None
            if fetched.kind is None:
                return f"{external_id[:100]} is neither a session nor a call."
            await self._scope.upsert_session(
                connection_id,
                fetched.node,
                asked_at=fetched.asked_at,
                kind=fetched.kind,
                external_id=external_id,
                gaps=fetched.gaps,
            )
        except (NotReadable, InvalidInput) as error:
            return error.detail
        except OvenbridgeError:
            raise
        except Exception:
            # Whatever one record holds, the walk is not to end at it for ever.
            log.exception("A record could not be taken: %s", external_id[:100])
            return f"{external_id[:100]} could not be taken: {UNEXPECTED}"
        return None

    # Those that go on --------------------------------------------------------------------------------------------

    async def _complete_open(self, connection: PlatformConnection, options: ConnectionOptions) -> int:
        """Ask for those that go on here and were not asked for lately; how many had ended."""
        now = self._clock.now()
        before = iso(now - timedelta(minutes=options.imports.recheck_minutes))
        waiting = [
            record
            for record in await self._open(now)
            if record["account"] == connection.id and record["asOf"] < before and "goneAt" not in record
        ]
        ended = 0
        for record in sorted(waiting, key=lambda one: str(one["asOf"]))[:OPEN_AT_ONCE]:
            problem = await self._fetch(connection.id, record["externalId"], record["kind"])
            if problem is not None:
                log.warning("%s could not be asked for again: %s", record["id"], problem)
                continue
            ended += bool((await self._sessions.get(record["id"])).document["ended"])
        return ended

    async def _open(self, now: datetime) -> Sequence[Document]:
        question = RecordQuestion(source=SOURCE, ended=False, since=now - OPEN_FOR)
        found: list[Document] = []
        continuation: str | None = None
        while len(found) < OPEN_LOOKED_AT:
            page = await self._sessions.list(question, limit=200, continuation=continuation)
            found += page.records
            continuation = page.continuation
            if continuation is None:
                break
        return found

    async def _save(self, stored: Stored, changes: Mapping[str, Any]) -> Stored:
        """Raises ``Unavailable``: another process imports over this connection just now."""
        try:
            return await self._store.replace(CONTAINER, stored.document | dict(changes), etag=stored.etag)
        except PreconditionFailed:
            raise Unavailable("Another process imports over this connection just now.", retry_after=60.0) from None


class _Tally:
    """Of one run."""

    def __init__(self) -> None:
        self.pages = self.recorded = self.missed = self.completed = 0


def _name(connection_id: str) -> str:
    return f"import:{SOURCE}:{connection_id}"


def _start(last: str | None, options: ImportOptions, now: datetime) -> dict[str, Any]:
    """A walk from the first page. ``since``: for queries that can be told from when on."""
    oldest = now - timedelta(days=options.history_days)
    since = oldest if last is None else max(oldest, parse_iso(last) - timedelta(minutes=options.overlap_minutes))
    return {"kind": "session", "cursor": None, "since": iso(since), "startedAt": iso(now), "problems": []}


def _moved(mark: Document, cursor: str | None, now: datetime) -> dict[str, Any]:
    """After a page: the next one, the next list, or the end of the walk."""
    if cursor is not None and cursor != mark["cursor"]:
        return {"cursor": cursor}
    if mark["kind"] == "session":
        return {"kind": "call", "cursor": None}
    return {"kind": None, "cursor": None, "completeAt": iso(now)}


def _due(mark: Document, options: ImportOptions, now: datetime) -> bool:
    if mark.get("retryAt") is not None and now < parse_iso(mark["retryAt"]):
        return False
    if not mark or mark["kind"] is not None:
        return True
    return now - parse_iso(mark["startedAt"]) >= timedelta(minutes=options.every_minutes)


def _counted(stored: Stored, tally: _Tally) -> dict[str, Any]:
    return {
        "completed": stored.document["completed"] + tally.completed,
        "lastRun": {
            "pages": tally.pages,
            "recorded": tally.recorded,
            "missed": tally.missed,
            "completed": tally.completed,
        },
    }


def _query(options: ImportOptions, kind: str) -> str | None:
    return (options.sessions_query or LIST_QUERY) if kind == "session" else options.calls_query


def _listed(node: Mapping[str, Any], kind: Kind, options: ImportOptions, now: datetime) -> tuple[str, Kind] | None:
    """Which one it is; ``None``: nothing to record, or its webhook may still be under way."""
    external_id = node.get("id")
    if not isinstance(external_id, str) or not 0 < len(external_id) <= 1_024:
        return None
    named = node.get("__typename")
    what = kind if named is None else kind_of_type(named)
    started, ended = _moment(node.get("startedAt")), _moment(node.get("endedAt"))
    if what is None or (started is not None and started < now - timedelta(days=options.history_days)):
        return None
    happened = ended or started
    if happened is not None and happened > now - timedelta(minutes=options.grace_minutes):
        return None
    return external_id, what


def _ended(node: Mapping[str, Any], options: ConnectionOptions) -> bool:
    return node.get("endedAt") is not None or str(node.get("state") or "").lower() in options.ended_states


def _moment(value: Any) -> datetime | None:
    try:
        return parse_iso(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _first_field(query: str) -> str:
    """The name under which a query's answer stands: its alias, or its field."""
    inner = query.partition("{")[2].lstrip()
    name = ""
    for character in inner:
        if not (character.isalnum() or character == "_"):
            break
        name += character
    return name
