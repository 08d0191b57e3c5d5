"""Sessions and calls out of the GraphQL API into our records: asked for by id, joined, with their captures.

Both ways lead here: a webhook that points at something, and whoever looks for what no webhook told of
(:meth:`ScopeSessions.upsert_session`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.errors import InvalidInput, Unavailable
from shared.platforms.scope_ar.graphql import GraphAnswer, GraphQl, NotReadable, declared, next_cursor
from shared.platforms.scope_ar.options import ConnectionOptions, References, checked
from shared.platforms.scope_ar.sign_in import CredentialsRefused
from shared.platforms.scope_ar.translate import SOURCE, captures_in, found_record, kind_of_type, nodes_of
from shared.work.captures import Captures, rules_for
from shared.work.sessions import Sessions
from shared.work.sessions_found import FoundCapture, Kind, record_id

if TYPE_CHECKING:
    from shared.platforms.connections import PlatformConnection, PlatformConnections
    from shared.storage import Document

__all__ = ["Fetched", "ScopeSessions", "Upserted"]

_PAGED = {"steps": "after", "events": "eventsAfter"}
"""Lists inside a session that may have more pages, and the variable of each."""

log = logging.getLogger("ovenbridge.scope_ar")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A node as the API gives it now."""

    node: Mapping[str, Any] | None
    """``None``: the platform has it no longer."""
    kind: Kind | None
    """``None``: it is neither a session nor a call."""
    asked_at: datetime
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Upserted:
    """What became of it."""

    record: Document
    outcome: str
    """``created``, ``changed``, ``same`` or ``older``."""
    captures_waiting: int = 0
    """Files that could not be copied yet: do it again."""


class ScopeSessions:
    """Fetches and records."""

    def __init__(
        self, graphql: GraphQl, connections: PlatformConnections, sessions: Sessions, captures: Captures
    ) -> None:
        self.graphql = graphql
        self._connections = connections
        self._sessions = sessions
        self._captures = captures

    async def fetch_session(self, connection_id: str, external_id: str, *, kind: Kind = "session") -> Fetched:
        """A session or call by the platform's id, with all its steps.

        Raises:
            NotFound: there is no such connection.
            NotReadable: the token may not read it; noted with the connection.
            InvalidInput, CredentialsRefused, Unavailable, Conflict: as :meth:`GraphQl.ask`.
        """
        connection, options = await self._connection(connection_id)
        query = options.query(kind)
        variables: dict[str, Any] = {"id": external_id, "first": options.page_size, "after": None, "eventsAfter": None}
        first = await self.graphql.ask(connection, query, declared(query, variables))
        node = first.data.get("node", next(iter(first.data.values()), None))
        if node is None:
            if not first.problems:
                return Fetched(None, None, first.asked_at)
            sentence = f"The token may not read {kind} {external_id[:100]}: {'; '.join(first.problems)[:400]}."
            await self._connections.note(connection, sentence)
            log.error("%s Check the rights of the user of the connection %s.", sentence, connection_id)
            raise NotReadable(sentence)
        if not isinstance(node, dict):
            raise InvalidInput("The query's first field is no object: ask for node(id: $id).", field="session_query")
        gaps = [f"The API said: {problem}" for problem in first.problems]
        node, more = await self._whole(connection, options, query, variables, node)
        named = node.get("__typename")
        return Fetched(node, kind if named is None else kind_of_type(named), first.asked_at, (*gaps, *more))

    async def upsert_session(
        self,
        connection_id: str | None,
        node: Mapping[str, Any],
        *,
        asked_at: datetime,
        kind: Kind = "session",
        asked: bool = True,
        account: str = "",
        external_id: str | None = None,
        gaps: Sequence[str] = (),
        references: References | None = None,
        with_captures: bool = True,
    ) -> Upserted:
        """Record a node, once however often it comes; older ones never overwrite newer ones.

        Args:
            connection_id: whose node it is; ``None``: nobody can be asked about it, and ``account`` says whose it is.
            node: as the API (or a subscription's query) gave it; with its ``id`` unless ``external_id`` says it.
            asked_at: taken before the question was sent; of a message: when it came in.
            kind: session or call.
            asked: an answer to a question of ours, not a message.
            account: see above.
            external_id: the id it was asked for by.
            gaps: sentences about what could not be seen.
            references: keys of the external data, where they are not the connection's.
            with_captures: ask for its captures, too, and copy them.

        Raises:
            As :meth:`fetch_session`; ``Unavailable`` also where our own store is away.
        """
        connection, options = None, ConnectionOptions()
        if connection_id is not None:
            connection, options = await self._connection(connection_id)
        found = found_record(
            node,
            kind=kind,
            account=connection_id or account,
            as_of=asked_at,
            asked=asked,
            options=options,
            references=references,
            external_id=external_id,
            gaps=gaps,
        )
        urls: dict[str, str] = {}
        waiting = 0
        if connection is not None and with_captures and options.copy_captures and kind == "session":
            try:
                captures, urls, more = await self._look_for_captures(connection, options, found.external_id)
                found = replace(found, captures=captures, gaps=(*found.gaps, *more))
            except (Unavailable, CredentialsRefused) as error:
                waiting = 1
                found = replace(found, gaps=(*found.gaps, f"Its captures could not be looked for: {error.detail}"))
        taken = await self._sessions.take(found)
        if urls:
            rules = rules_for(
                options.url,
                options.capture_hosts,
                options.capture_types,
                options.max_capture_bytes,
                options.timeout_seconds,
            )
            waiting += await self._captures.copy(taken.record, urls, rules)
        return Upserted(taken.record, taken.outcome, waiting)

    async def known(self, connection_id: str, external_id: str, kind: Kind) -> Document | None:
        """The record as it stands; ``None``: there is none."""
        return await self._sessions.find(record_id(kind, SOURCE, connection_id, external_id))

    async def note_gone(self, connection_id: str, external_id: str, kind: Kind) -> bool:
        """The platform has it no longer; whether we have a record of it."""
        return await self._sessions.note_gone(record_id(kind, SOURCE, connection_id, external_id))

    # Inside ------------------------------------------------------------------------------------------------------

    async def _connection(self, connection_id: str) -> tuple[PlatformConnection, ConnectionOptions]:
        connection = await self._connections.known(connection_id)
        if connection.platform != SOURCE:
            raise InvalidInput(f"The connection {connection_id} is one to {connection.platform}.", field="connection")
        return connection, checked(ConnectionOptions, connection.options)

    async def _whole(
        self,
        connection: PlatformConnection,
        options: ConnectionOptions,
        query: str,
        variables: Mapping[str, Any],
        node: dict[str, Any],
    ) -> tuple[dict[str, Any], list[str]]:
        """The further pages of its lists, joined to the first."""
        whole = dict(node)
        cursors = {variable: next_cursor(node.get(name)) for name, variable in _PAGED.items()}
        gaps: list[str] = []
        for name, variable in _PAGED.items():
            if cursors[variable] is not None and f"${variable}" not in query:
                cursors[variable] = None
                gaps.append(f"Only the first page of its {name} was read: the query has no ${variable}.")
        seen: set[tuple[str | None, ...]] = set()
        pages = 1
        while any(cursors.values()):
            place = tuple(cursors.values())
            if pages >= options.max_pages or place in seen:
                gaps.append(f"Only the first {pages} pages of its steps and events were read (max_pages).")
                break
            seen.add(place)
            pages += 1
            asked = declared(query, {**variables, **{name: value for name, value in cursors.items() if value}})
            answer: GraphAnswer = await self.graphql.ask(connection, query, asked)
            gaps += [f"The API said: {problem}" for problem in answer.problems]
            part = answer.data.get("node", next(iter(answer.data.values()), None))
            if not isinstance(part, dict):
                gaps.append("It was gone before all its pages were read.")
                break
            for name, variable in _PAGED.items():
                if cursors[variable] is not None:
                    nodes = [*(nodes_of(whole.get(name)) or []), *(nodes_of(part.get(name)) or [])]
                    whole[name] = {**whole[name], "nodes": nodes}
                    cursors[variable] = next_cursor(part.get(name))
        return whole, gaps

    async def _look_for_captures(
        self, connection: PlatformConnection, options: ConnectionOptions, external_id: str
    ) -> tuple[tuple[FoundCapture, ...] | None, dict[str, str], list[str]]:
        """Captures, the addresses of their files, and why not all of them are known."""
        found: list[tuple[FoundCapture, str]] = []
        gaps: list[str] = []
        query = options.query("captures")
        path = (_first_field(query),)
        try:
            async for page in self.graphql.pages(connection, query, {"id": external_id}, path):
                found += captures_in(page.nodes)
                gaps += [f"Of its captures the API said: {problem}" for problem in page.problems]
        except (InvalidInput, NotReadable) as error:
            # The session itself is worth more than its photos.
            return None, {}, [f"Its captures could not be looked for: {error.detail}"]
        return tuple(one for one, _ in found), {one.external_id: url for one, url in found}, list(dict.fromkeys(gaps))


def _first_field(query: str) -> str:
    """The name under which a query's answer stands: its alias, or its field."""
    inner = query.partition("{")[2].lstrip()
    name = ""
    for character in inner:
        if not (character.isalnum() or character == "_"):
            break
        name += character
    return name
