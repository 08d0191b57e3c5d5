"""The API of a FORCE Bridge server, as far as we speak it: calls with a token, pages, errors in words.

Links of its answers name the server as it sees itself, often ``localhost``: of a link only path and query are taken.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from shared import json_text
from shared.clock import Clock, iso, parse_iso
from shared.errors import InvalidInput, NotFound, RelaySilent
from shared.outgoing.answer import OutgoingAnswer
from shared.outgoing.failures import OutgoingError
from shared.outgoing.http import OutgoingHttp
from shared.platforms.connections import PlatformConnection, Secrets
from shared.platforms.force_bridge.options import ForceOptions, read_options
from shared.platforms.force_bridge.refusals import ForceAway, ForceRefused, away, refused
from shared.platforms.force_bridge.tokens import Tokens

__all__ = ["ForceApi", "Via", "number"]

log = logging.getLogger("ovenbridge.force_bridge")

MAX_ANSWER = 4_194_304
MAX_PAGES = 1_000
PAGE = 100
TRIES = 3
"""With a refused token: as often as their own client."""
_VERSIONED = re.compile(r"/api/v\d+/(.*)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?\d{1,300}([.,]\d{1,300})?([eE][+-]?\d{1,3})?")

Credentials = Callable[[PlatformConnection, bool], Awaitable[Secrets]]
"""Of a connection; ``True``: from the vault, not from memory."""


class Via(Protocol):
    """A relay's way to a server on its own network."""

    async def __call__(
        self,
        relay_id: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
        *,
        timeout_seconds: float,
        ca_pem: str | None,
    ) -> OutgoingAnswer: ...


class ForceApi:
    """Calls servers of FORCE Bridge."""

    def __init__(
        self, http: OutgoingHttp, credentials: Credentials, clock: Clock, *, via: Callable[[], Via | None] | None = None
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._tokens = Tokens(clock)
        self._via = via

    async def get(self, connection: PlatformConnection, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The answer's JSON. ``path``: below the base URL, its parts quoted (:func:`quoted`).

        Raises:
            ForceAway: not now. ForceRefused: no; ``answered`` is the status.
        """
        return await self._call(connection, "GET", _with(path, query), None)

    async def post(self, connection: PlatformConnection, path: str, body: Mapping[str, Any]) -> Any:
        """The answer's JSON; ``None``: it was empty. Raises as :meth:`get`."""
        return await self._call(connection, "POST", path, body)

    async def delete(self, connection: PlatformConnection, path: str) -> bool:
        """``False``: it was gone already. Raises as :meth:`get`."""
        try:
            await self._call(connection, "DELETE", path, None)
        except ForceRefused as err:
            if err.answered in (404, 410):
                return False
            raise
        return True

    async def each(
        self, connection: PlatformConnection, path: str, name: str, query: Mapping[str, Any] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Everything of a collection, page after page. ``name``: under ``_embedded``. Raises as :meth:`get`."""
        limit = PAGE
        place: str | None = _with(path, {"limit": limit, "offset": 0, **(query or {})})
        for _ in range(MAX_PAGES):
            page = await self._call(connection, "GET", place or path, None)
            items = _embedded(page, name)
            for item in items:
                yield item
            place = _next(page, path, query or {}, limit, len(items))
            if place is None:
                return
        raise ForceRefused(f"GET {path}: the list does not end after {MAX_PAGES} pages.", answered=200)

    async def recorded(
        self, connection: PlatformConnection, device_id: str, tag: str, start: datetime, end: datetime
    ) -> list[tuple[datetime, float | None]]:
        """What a device recorded, oldest first. Values come as texts; what is no number is ``None``.

        Raises as :meth:`get`.
        """
        path = f"devices/{quoted(device_id)}/recordedTimeSeries"
        place: str | None = _with(path, {"tag": tag, "startDate": iso(start), "endDate": iso(end), "limit": PAGE})
        found: dict[datetime, float | None] = {}
        for _ in range(MAX_PAGES):
            page = await self._call(connection, "GET", place or path, None)
            properties = page.get("properties") if isinstance(page, dict) else None
            elements = (properties or page or {}).get("elements")
            before = len(found)
            for element in elements if isinstance(elements, list) else ():
                moment = _moment(element.get("timestamp")) if isinstance(element, dict) else None
                if moment is not None:
                    found[moment] = number(element.get("value"))
            place = _followed(page)
            if place is None or len(found) == before:
                break
        return sorted(found.items())

    # One call ----------------------------------------------------------------------------------------------------

    async def _call(
        self, connection: PlatformConnection, method: str, path: str, body: Mapping[str, Any] | None
    ) -> Any:
        options = read_options(connection.options)
        what = f"{method} {path.partition('?')[0]}"
        url = f"{options.base_url}/{path}"
        content = b"" if body is None else json_text.dump(body)
        wrong: str | None = None
        for tried in range(TRIES):
            credentials = await self._credentials(connection, tried > 0)
            token = await self._tokens.header(options, credentials, self._asker(options), refused=wrong)
            headers = {
                "Authorization": token,
                "Accept": "application/hal+json, application/json",
                "Accept-Language": options.accept_language,
            }
            if body is not None:
                headers["Content-Type"] = "application/json"
            answer = await self._send(options, method, url, headers, content)
            if answer.status != 401:
                break
            wrong = token
        if not 200 <= answer.status < 300:
            raise refused(answer, what)
        return _parsed(answer, what)

    def _asker(self, options: ForceOptions) -> Callable[..., Awaitable[OutgoingAnswer]]:
        async def ask(method: str, url: str, headers: Mapping[str, str], content: bytes) -> OutgoingAnswer:
            return await self._send(options, method, url, headers, content)

        return ask

    async def _send(
        self, options: ForceOptions, method: str, url: str, headers: Mapping[str, str], content: bytes
    ) -> OutgoingAnswer:
        if options.via is not None:
            via = self._via() if self._via is not None else None
            if via is None:
                raise ForceRefused("No relay can be asked from here.", answered=0)
            try:
                return await via(
                    options.via,
                    method,
                    url,
                    headers,
                    content,
                    timeout_seconds=options.timeout_seconds,
                    ca_pem=options.ca_certificate,
                )
            except RelaySilent as err:
                raise ForceAway(err.detail, retry_after=30.0) from err
            except NotFound as err:
                raise ForceRefused(
                    f"There is no relay {options.via} any more: name another one in options.via.", answered=0
                ) from err
        try:
            return await self._http.send(
                method,
                url,
                headers=headers,
                content=content,
                timeout_seconds=options.timeout_seconds,
                max_answer_bytes=MAX_ANSWER,
                ca_pem=options.ca_certificate,
                # What makes something must not leave twice by itself: whoever calls looks first.
                once=method == "POST",
            )
        except OutgoingError as err:
            raise away(err) from err


def quoted(part: str) -> str:
    """One part of a path."""
    return quote(part, safe="")


def number(value: Any) -> float | None:
    """A measured value that may come as a text (``"21.5"``, ``"21,5"``); ``None``: it is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        found = float(value)
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        found = float(value.strip().replace(",", "."))
    else:
        return None
    return found if math.isfinite(found) else None


def _with(path: str, query: Mapping[str, Any] | None) -> str:
    return f"{path}?{urlencode({k: v for k, v in query.items() if v is not None}, quote_via=quote)}" if query else path


def _parsed(answer: OutgoingAnswer, what: str) -> Any:
    if not answer.body.strip():
        return None
    if answer.truncated:
        raise ForceRefused(f"{what}: the answer is larger than {MAX_ANSWER:,} bytes.", answered=answer.status)
    try:
        return json_text.load_foreign(answer.body)
    except InvalidInput as err:
        raise ForceAway(
            f"{what}: FORCE Bridge answered {answer.status} with something that is no JSON. Is options.base_url right?",
            retry_after=60.0,
        ) from err


def _embedded(page: Any, name: str) -> list[dict[str, Any]]:
    embedded = page.get("_embedded") if isinstance(page, dict) else None
    items = embedded.get(name) if isinstance(embedded, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _next(page: Any, path: str, query: Mapping[str, Any], limit: int, count: int) -> str | None:
    """As their own client goes on: while offset + limit < total. A list by time has no offset: its link is followed."""
    pagination = page.get("pagination") if isinstance(page, dict) else None
    said = pagination if isinstance(pagination, dict) else {}
    offset, total = said.get("offset"), said.get("total")
    if not isinstance(offset, int) or not isinstance(total, int):
        return _followed(page) if count else None
    given = said.get("limit")
    step = given if isinstance(given, int) and given > 0 else limit
    if offset + step >= total or not count:
        return None
    return _with(path, {"limit": step, "offset": offset + step, **query})


def _followed(page: Any) -> str | None:
    """Path and query of the link to the next page, below the base URL."""
    links = page.get("_links") if isinstance(page, dict) else None
    link = links.get("next") if isinstance(links, dict) else None
    href = link.get("href") if isinstance(link, dict) else None
    if not isinstance(href, str):
        return None
    try:
        parts = urlsplit(href)
    except ValueError:
        return None
    below = _VERSIONED.search(parts.path)
    if below is None or ".." in below[1]:
        return None
    return f"{below[1]}?{parts.query}" if parts.query else below[1]


def _moment(value: Any) -> datetime | None:
    try:
        return parse_iso(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
