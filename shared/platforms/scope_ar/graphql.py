"""The GraphQL API: one question with one answer, within bounds, with every failure as a sentence.

A good status says little: ``errors`` may stand beside 200, with part of the data. A token that is refused is renewed
once, and the question asked once more. Who asks us to come less often, or is down, is left alone until then, by all
questions of the connection.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared import json_text
from shared.clock import Clock
from shared.errors import Conflict, InvalidInput, OvenbridgeError, Unavailable
from shared.outgoing.failures import OutgoingError
from shared.platforms.scope_ar.options import ConnectionOptions, checked
from shared.platforms.scope_ar.sign_in import CredentialsRefused, Tokens
from shared.platforms.scope_ar.translate import nodes_of
from shared.platforms.scope_ar.webhook import error_messages

if TYPE_CHECKING:
    from shared.outgoing.answer import OutgoingAnswer
    from shared.outgoing.http import OutgoingHttp
    from shared.platforms.connections import PlatformConnection, PlatformConnections, Secrets

__all__ = ["GraphAnswer", "GraphPage", "GraphQl", "NotReadable"]

MAX_ANSWER_BYTES = 8_388_608
AGAIN_WITHIN = 5.0
"""So many seconds a question waits by itself before it is asked again; longer pauses are its asker's."""
TRIES = 3
SAID_NOTHING = (0.5, 2.0)
"""Pauses where no Retry-After says how long."""
DOWN_FOR = 30.0
LONGEST_PAUSE = 3_600.0
MOST_CONNECTIONS = 1_000


class NotReadable(OvenbridgeError):
    """The token may not read it. Asking again does not help; rights in the CMS do."""

    status = 502
    title = "Not readable"


@dataclass(frozen=True, slots=True)
class GraphAnswer:
    """What was answered."""

    data: Mapping[str, Any]
    """May be a part only, where there are problems."""
    problems: tuple[str, ...]
    """The sentences of ``errors``."""
    asked_at: datetime
    """Before the question was sent: what was changed later may be missing."""
    elapsed_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class GraphPage:
    """One page of a connection (GraphQL's word for a list)."""

    nodes: Sequence[Mapping[str, Any]]
    end_cursor: str | None
    """Where to go on; ``None``: the end."""
    problems: tuple[str, ...]
    asked_at: datetime
    dropped: int = 0
    """So many nodes were counted and not shown: the token may not read them."""


class GraphQl:
    """Asks, for all connections."""

    def __init__(self, http: OutgoingHttp, connections: PlatformConnections, clock: Clock) -> None:
        self._http = http
        self._connections = connections
        self._clock = clock
        self._tokens = Tokens(http, clock)
        self._away: dict[str, tuple[datetime, str]] = {}

    async def ask(self, connection: PlatformConnection, query: str, variables: Mapping[str, Any]) -> GraphAnswer:
        """Ask one question.

        Raises:
            Conflict: the connection is switched off.
            InvalidInput: the query cannot be answered as it is written; the sentence has the API's words.
            CredentialsRefused: no token is accepted.
            Unavailable: not now; ``retry_after`` says when.
        """
        if not connection.enabled:
            raise Conflict(f"The connection {connection.id} is switched off.")
        try:
            answer = await self.ask_with(
                connection, await self._connections.credentials(connection), query, variables, renew=True
            )
        except (CredentialsRefused, Unavailable, InvalidInput) as error:
            await self._connections.note(connection, error.detail)
            raise
        await self._connections.note(connection, None)
        return answer

    async def ask_with(
        self,
        connection: PlatformConnection,
        secrets: Secrets,
        query: str,
        variables: Mapping[str, Any],
        *,
        renew: bool = False,
    ) -> GraphAnswer:
        """The same with credentials at hand, noting nothing. ``renew``: look for newer credentials after a refusal."""
        options = checked(ConnectionOptions, connection.options)
        self._let_alone(connection)
        asked_at = self._clock.now()
        token = await self._tokens.token(connection, options, secrets)
        answer = await self._send(connection, options, secrets, token, query, variables)
        if answer.status == 401:
            if renew:
                secrets = await self._connections.credentials(connection, fresh=True)
            token = await self._tokens.token(connection, options, secrets, refused=token)
            asked_at = self._clock.now()
            answer = await self._send(connection, options, secrets, token, query, variables)
        return _understood(answer, connection, asked_at)

    async def pages(
        self,
        connection: PlatformConnection,
        query: str,
        variables: Mapping[str, Any],
        path: Sequence[str],
        *,
        after: str | None = None,
        at_most: int | None = None,
    ) -> AsyncIterator[GraphPage]:
        """All pages of a list, one after the other.

        Args:
            connection: whom to ask.
            query: with ``$first`` and ``$after``, and with ``pageInfo { hasNextPage endCursor }``.
            variables: the others.
            path: where the list is in the data, e.g. ``("scenarioSessions",)``.
            after: the cursor to go on from.
            at_most: so many pages; default: the connection's ``max_pages``.

        Raises:
            NotReadable: the list is null, and errors say why.
            As :meth:`ask`.
        """
        options = checked(ConnectionOptions, connection.options)
        seen = {after}
        for _ in range(at_most or options.max_pages):
            given = {**variables, "first": options.page_size, "after": after}
            answer = await self.ask(connection, query, declared(query, given))
            found: Any = answer.data
            for name in path:
                found = found.get(name) if isinstance(found, Mapping) else None
            nodes = nodes_of(found)
            if nodes is None:
                raise NotReadable(_not_shown(".".join(path), answer.problems))
            after = next_cursor(found)
            yield GraphPage(nodes, after, answer.problems, answer.asked_at, hidden(found))
            if after is None or after in seen:
                return
            seen.add(after)

    # Inside ------------------------------------------------------------------------------------------------------

    def _let_alone(self, connection: PlatformConnection) -> None:
        away = self._away.get(connection.id)
        if away is not None:
            rest = (away[0] - self._clock.now()).total_seconds()
            if rest > 0:
                raise Unavailable(away[1], retry_after=rest)
            del self._away[connection.id]

    async def _send(
        self,
        connection: PlatformConnection,
        options: ConnectionOptions,
        secrets: Secrets,
        token: str,
        query: str,
        variables: Mapping[str, Any],
    ) -> OutgoingAnswer:
        """One question, asked again after a short pause where that is what is wanted."""
        url, content = _request(options, query, variables)
        headers = _headers(options, secrets, token)
        for number in range(TRIES):
            try:
                answer = await self._http.send(
                    "POST",
                    url,
                    headers=headers,
                    content=content,
                    timeout_seconds=options.timeout_seconds,
                    max_answer_bytes=MAX_ANSWER_BYTES,
                )
            except OutgoingError as error:
                raise self._down(connection, f"The API did not answer: {error.detail}", DOWN_FOR) from error
            if answer.status != 429 and answer.status < 500:
                return answer
            pause = _pause(answer, self._clock.now())
            short = SAID_NOTHING[min(number, 1)] if pause is None else pause
            if number + 1 == TRIES or short > AGAIN_WITHIN:
                what = "asks us to come less often" if answer.status == 429 else "is not well"
                raise self._down(connection, f"The API {what} ({answer.status}).", DOWN_FOR if pause is None else pause)
            await asyncio.sleep(short)
        raise AssertionError("every try returns or raises")

    def _down(self, connection: PlatformConnection, sentence: str, seconds: float) -> Unavailable:
        if len(self._away) >= MOST_CONNECTIONS:
            self._away.clear()
        self._away[connection.id] = (self._clock.now() + timedelta(seconds=seconds), sentence)
        return Unavailable(sentence, retry_after=max(seconds, 1.0))


def declared(query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Those that the query declares: a server refuses others."""
    head = query.partition("{")[0]
    names = {word.partition(":")[0].strip(" ,)(") for word in head.split("$")[1:]}
    return {name: value for name, value in variables.items() if name in names}


def next_cursor(connection: Any) -> str | None:
    """Where a list goes on; ``None``: it does not, or does not say."""
    info = connection.get("pageInfo") if isinstance(connection, Mapping) else None
    if not isinstance(info, Mapping) or info.get("hasNextPage") is not True:
        return None
    cursor = info.get("endCursor")
    return cursor if isinstance(cursor, str) and 0 < len(cursor) <= 2_000 else None


def hidden(connection: Any) -> int:
    """How many places of a page were empty: an unauthorised node may be null in it."""
    listed = connection.get("nodes") if isinstance(connection, Mapping) else connection
    return sum(node is None for node in listed) if isinstance(listed, list) else 0


def _request(options: ConnectionOptions, query: str, variables: Mapping[str, Any]) -> tuple[str, bytes]:
    body: dict[str, Any] = {"query": query, "variables": dict(variables)}
    url = options.url
    if options.permalink is not None and options.permalink_in == "body":
        body["permalink"] = options.permalink
    elif options.permalink is not None:
        url += f"{'&' if '?' in url else '?'}permalink={quote(options.permalink, safe='')}"
    return url, json_text.dump(body)


def _headers(options: ConnectionOptions, secrets: Secrets, token: str) -> dict[str, str]:
    scheme = "Bearer" if options.authorization == "bearer" else "Token"
    headers = {
        "Authorization": f"{scheme} token={token}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    if options.extra_header is not None and (value := secrets.get("extra_header")):
        headers[options.extra_header] = value
    return headers


def _understood(answer: OutgoingAnswer, connection: PlatformConnection, asked_at: datetime) -> GraphAnswer:
    if answer.status == 401:
        raise CredentialsRefused(f"The API refuses the credentials of the connection {connection.id}: give them again.")
    if answer.status == 403:
        raise CredentialsRefused(
            f"The API forbids this to the connection {connection.id} (403): check the rights of its user and permalink."
        )
    if answer.truncated:
        raise InvalidInput(f"The answer has over {MAX_ANSWER_BYTES:,} bytes: make page_size smaller.")
    try:
        body: Any = json_text.load_foreign(answer.body)
    except InvalidInput:
        body = None
    if not isinstance(body, dict) or (answer.status != 200 and not body.get("errors")):
        raise InvalidInput(f"What answered {answer.status} is no GraphQL API: check url.", field="options.url")
    problems = error_messages(body.get("errors"))
    data = body.get("data")
    if not isinstance(data, dict):
        raise InvalidInput(f"The query is refused: {'; '.join(problems)[:600] or 'no data came'}.")
    return GraphAnswer(data, problems, asked_at, answer.elapsed_ms)


def _not_shown(what: str, problems: Sequence[str]) -> str:
    return f"{what} is not shown: {'; '.join(problems)[:600] or 'the answer does not say why'}."


def _pause(answer: OutgoingAnswer, now: datetime) -> float | None:
    """Seconds of ``Retry-After`` (a number or a date), bounded; ``None``: it does not say, or nonsense."""
    said = answer.headers.get("Retry-After", "").strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            date = parsedate_to_datetime(said)
            seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_PAUSE) if math.isfinite(seconds) else None
