"""The innius REST API: company, machines, sensors, page after page.

A page says with ``next_key`` where the next one begins; ``null`` and ``0`` both say that there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from shared import json_text
from shared.connectors.paths import PathMissing, parse_path
from shared.errors import InvalidInput, NotFound, OvenbridgeError, TooManyRequests, Unavailable
from shared.outgoing.failures import OutgoingError
from shared.platforms.connections import PlatformConnection, Secrets
from shared.platforms.innius.connection import RestOptions

if TYPE_CHECKING:
    from shared.outgoing.http import OutgoingAnswer, OutgoingHttp

__all__ = ["InniusRefused", "InniusRest"]

MAX_ANSWER_BYTES = 4_000_000
MOST_PAGES = 200
MOST_ITEMS = 10_000
MOST_WITH_SENSORS = 100
"""Machines whose sensors are asked for in one go: a call for each."""
SAID = 300

Items = list[dict[str, Any]]


class InniusRefused(OvenbridgeError):
    """innius says no to us, or something that cannot be read; the sentence says what to do."""

    status = 502
    title = "The platform refused"


class Connections(Protocol):
    """Where connections and their secrets are kept."""

    async def credentials(self, connection: PlatformConnection, *, fresh: bool = False) -> Secrets: ...
    async def note(self, connection: PlatformConnection, error: str | None) -> None: ...


class InniusRest:
    """Asks the API."""

    def __init__(self, http: OutgoingHttp, connections: Connections) -> None:
        self._http = http
        self._connections = connections

    async def first_machines(self, connection: PlatformConnection, credentials: Secrets) -> tuple[Items, float]:
        """The first page of machines with these credentials, and how many milliseconds it took."""
        options = RestOptions.model_validate(connection.options)
        answer = await self._ask(options, credentials, _filled(options.machines_path, options), None)
        found, _ = _page(_checked(answer), options)
        return found, answer.elapsed_ms

    async def machines(self, connection: PlatformConnection, *, with_sensors: bool) -> Items:
        """All machines of the company: ``machinetrn``, ``name`` and, if they are wanted, ``sensors``.

        Raises:
            InniusRefused, NotFound: no, and why.
            TooManyRequests, Unavailable: not now.
        """
        options = RestOptions.model_validate(connection.options)
        if not connection.enabled:
            raise InniusRefused(f"The connection {connection.id} is switched off (enabled).")
        try:
            found: Items = []
            for one in await self._all(connection, options, _filled(options.machines_path, options)):
                machine = {"machinetrn": _text(one, options.machine_trn), "name": _text(one, options.name)}
                found.append(machine)
                name = _text(one, options.machine_id) or machine["machinetrn"]
                if with_sensors and name and len(found) <= MOST_WITH_SENSORS:
                    found[-1] = {**machine, "sensors": await self._sensors(connection, options, name)}
        except OvenbridgeError as error:
            await self._connections.note(connection, error.detail)
            raise
        await self._connections.note(connection, None)
        return found

    # Inside ------------------------------------------------------------------------------------------------------

    async def _sensors(self, connection: PlatformConnection, options: RestOptions, machine: str) -> Items:
        items = await self._all(connection, options, _filled(options.sensors_path, options, machine))
        return [{"sensorid": _text(one, options.sensor_id), "name": _text(one, options.name)} for one in items]

    async def _all(self, connection: PlatformConnection, options: RestOptions, path: str) -> Items:
        credentials = await self._connections.credentials(connection)
        found: Items = []
        key: str | None = None
        seen: set[str] = set()
        for _ in range(MOST_PAGES):
            answer = await self._ask(options, credentials, path, key)
            if answer.status == 401 and key is None:
                credentials = await self._connections.credentials(connection, fresh=True)
                answer = await self._ask(options, credentials, path, key)
            items, key = _page(_checked(answer), options)
            found += items
            if key is None:
                return found
            if key in seen or len(found) > MOST_ITEMS:
                break
            seen.add(key)
        raise InniusRefused(
            f"Its pages do not end (next_key comes again, or there are more than {MOST_ITEMS:,} items): compare "
            "options.next_key with an answer of the API."
        )

    async def _ask(self, options: RestOptions, credentials: Secrets, path: str, key: str | None) -> OutgoingAnswer:
        params: dict[str, str | int] = {"limit": options.page_size}
        if key is not None:
            params["start_key"] = key
        headers = {"Accept": "application/json"}
        if token := credentials.get("token"):
            headers[options.auth_header] = f"{options.auth_scheme} {token}".strip()
        url = f"{options.url}{path}{'&' if '?' in path else '?'}{urlencode(params)}"
        try:
            return await self._http.send(
                "GET",
                url,
                headers=headers,
                content=b"",
                timeout_seconds=options.timeout_seconds,
                max_answer_bytes=MAX_ANSWER_BYTES,
            )
        except OutgoingError as error:
            raise Unavailable(f"innius cannot be asked now: {error.detail}") from error


def _filled(path: str, options: RestOptions, machine: str = "") -> str:
    """Names are foreign: percent-encoded whole, so that none of them can change the path."""
    return path.replace("{company_id}", quote(options.company_id, safe="")).replace(
        "{machine}", quote(machine, safe="")
    )


def _checked(answer: OutgoingAnswer) -> Mapping[str, Any]:
    said = _message(answer)
    if answer.status in (401, 403):
        raise InniusRefused(f"innius refuses the token ({answer.status}): give the connection another one.{said}")
    if answer.status == 404:
        raise NotFound(f"innius knows nothing there (404): check company_id and the paths of the connection.{said}")
    if answer.status == 429:
        raise TooManyRequests(f"innius asks for fewer requests (429).{said}", retry_after=60.0)
    if answer.status >= 500:
        raise Unavailable(f"innius is in trouble ({answer.status}); try again later.{said}")
    if not 200 <= answer.status < 300:
        raise InniusRefused(f"innius answered {answer.status}.{said}")
    try:
        body = json_text.load_foreign(answer.body)
    except InvalidInput as err:
        raise InniusRefused("innius answered something that is no JSON: check the connection's url.") from err
    if answer.truncated or not isinstance(body, dict):
        raise InniusRefused("innius answered too much, or no JSON object: check the connection's url and paths.")
    return body


def _message(answer: OutgoingAnswer) -> str:
    """Its own words: errors hold ``message``."""
    try:
        body = json_text.load_foreign(answer.body) if answer.status >= 400 else None
    except InvalidInput:
        return ""
    said = body.get("message") if isinstance(body, dict) else None
    return f" It says: {''.join(c for c in said[:SAID] if c.isprintable())}" if isinstance(said, str) and said else ""


def _page(body: Mapping[str, Any], options: RestOptions) -> tuple[Items, str | None]:
    try:
        found = parse_path(options.items).find(body)
    except PathMissing as err:
        raise InniusRefused(f"innius's answer has no list at options.items: {err}.") from err
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InniusRefused("innius's answer has no list of objects at options.items: compare it with the answer.")
    try:
        key = parse_path(options.next_key).find(body)
    except PathMissing:
        key = None
    ends = key is None or key == "" or (isinstance(key, int | float) and key == 0) or key == "0"
    return found, None if ends or not isinstance(key, str | int | float) else str(key)


def _text(item: Mapping[str, Any], place: str) -> str | None:
    try:
        found = parse_path(place).find(item)
    except PathMissing:
        return None
    return str(found)[:500] if isinstance(found, str | int) and not isinstance(found, bool) else None
