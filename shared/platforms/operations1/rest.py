"""The REST API of Operations1: every request with its version, pages with an end, refusals in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from shared import json_text
from shared.errors import InvalidInput, NotFound, OvenbridgeError, TooManyRequests, Unavailable
from shared.outgoing.http import OutgoingAnswer, OutgoingError, OutgoingHttp
from shared.platforms.connections import PlatformConnection, Secrets
from shared.platforms.operations1.connection import RestOptions

__all__ = ["OrdersPage", "PlatformRefused", "RestClient", "Unsure"]

MAX_ANSWER_BYTES = 8_000_000
LONGEST_PAUSE = 900.0
SAID = 300
"""So much of the platform's own words is shown."""

Params = Mapping[str, str | int | Sequence[str]]


class PlatformRefused(OvenbridgeError):
    """The platform says no to us; the sentence says what to do."""

    status = 502
    title = "The platform refused"


class Unsure(Unavailable):
    """No answer, or one that does not say whether it was done."""


class Connections(Protocol):
    """Where connections and their secrets are kept."""

    async def credentials(self, connection: PlatformConnection, *, fresh: bool = False) -> Secrets: ...
    async def note(self, connection: PlatformConnection, error: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class OrdersPage:
    """Some of a list."""

    items: list[dict[str, Any]]
    total: int | None
    """How many there are; ``None``: it does not say."""
    complete: bool
    """Were all fetched?"""


class RestClient:
    """Asks the API."""

    def __init__(self, http: OutgoingHttp, connections: Connections) -> None:
        self._http = http
        self._connections = connections

    async def try_out(self, connection: PlatformConnection, credentials: Secrets) -> tuple[OrdersPage, float]:
        """One small page of orders with these credentials, and how many milliseconds it took."""
        options = RestOptions.model_validate(connection.options)
        answer = await self._ask(options, credentials, "GET", "/orders", {"pageIndex": 0, "pageSize": 10})
        return _page(_checked(answer, options)), answer.elapsed_ms

    async def orders(self, connection: PlatformConnection, filters: Params, *, at_most: int) -> OrdersPage:
        """Orders that match, ``at_most`` so many."""
        return await self._list(connection, "/orders", filters, at_most)

    async def report(self, connection: PlatformConnection, report_id: str) -> dict[str, Any]:
        """One report. Raises ``NotFound``."""
        found = await self.call(connection, "GET", f"/reports/{quote(report_id, safe='')}")
        if not isinstance(found, dict):
            raise PlatformRefused("It answered something that is no report.")
        return found

    async def create_order(self, connection: PlatformConnection, order: Mapping[str, Any]) -> dict[str, Any]:
        """Post an order, once. Raises ``Unsure`` where nobody can say whether it was made."""
        made = await self.call(connection, "POST", "/orders", body=order)
        if not isinstance(made, dict):
            raise Unsure("It answered something that is no order; look whether it was made.")
        return made

    async def call(
        self,
        connection: PlatformConnection,
        method: str,
        path: str,
        params: Params | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """One request; a refused token is looked up anew, once.

        Raises:
            PlatformRefused, NotFound, InvalidInput: no, and why.
            TooManyRequests: not so fast.
            Unavailable: it is away. ``Unsure``: and may have done it.
        """
        if not connection.enabled:
            raise PlatformRefused(f"The connection {connection.id} is switched off (enabled).")
        options = RestOptions.model_validate(connection.options)
        answer = await self._asked(connection, options, method, path, params, body)
        try:
            found = _checked(answer, options)
        except (PlatformRefused, Unavailable) as error:
            await self._connections.note(connection, error.detail)
            raise
        await self._connections.note(connection, None)
        return found

    # Inside ------------------------------------------------------------------------------------------------------

    async def _asked(
        self,
        connection: PlatformConnection,
        options: RestOptions,
        method: str,
        path: str,
        params: Params | None,
        body: Mapping[str, Any] | None,
    ) -> OutgoingAnswer:
        credentials = await self._connections.credentials(connection)
        try:
            answer = await self._ask(options, credentials, method, path, params, body)
            if answer.status == 401:
                fresh = await self._connections.credentials(connection, fresh=True)
                if fresh.get("token") != credentials.get("token"):
                    answer = await self._ask(options, fresh, method, path, params, body)
        except Unavailable as error:
            await self._connections.note(connection, error.detail)
            raise
        return answer

    async def _list(self, connection: PlatformConnection, path: str, filters: Params, at_most: int) -> OrdersPage:
        options = RestOptions.model_validate(connection.options)
        size = max(10, min(options.page_size, at_most))
        items: list[dict[str, Any]] = []
        total: int | None = None
        for index in range(options.max_pages):
            params = {**filters, "pageIndex": index, "pageSize": size}
            page = _page(await self.call(connection, "GET", path, params))
            items += page.items
            total = page.total
            reached = total is not None and (index + 1) * size >= total
            if not page.items or reached or (total is None and len(page.items) < size):
                return OrdersPage(items[:at_most], total, len(items) <= at_most)
            if len(items) >= at_most:
                break
        return OrdersPage(items[:at_most], total, False)

    async def _ask(
        self,
        options: RestOptions,
        credentials: Secrets,
        method: str,
        path: str,
        params: Params | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> OutgoingAnswer:
        headers = {
            "Accept": "application/json",
            "Accept-Version": options.accept_version,
            "Authorization": f"Bearer {credentials.get('token', '')}",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            return await self._http.send(
                method,
                options.root + path + _query(params, options),
                headers=headers,
                content=b"" if body is None else json_text.dump(dict(body)),
                timeout_seconds=options.timeout_seconds,
                max_answer_bytes=MAX_ANSWER_BYTES,
                once=method != "GET",
            )
        except OutgoingError as error:
            if error.kind == "unsafe":
                raise PlatformRefused(error.detail) from error
            never_left = error.kind in ("dns", "refused", "unreachable", "tls")
            if method == "GET" or never_left:
                raise Unavailable(f"Operations1 cannot be reached: {error.detail}") from error
            raise Unsure(f"Nobody knows whether Operations1 did it: {error.detail}") from error


def _query(params: Params | None, options: RestOptions) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in (params or {}).items():
        if isinstance(value, str | int):
            pairs.append((name, str(value)))
        elif options.lists == "commas":
            pairs.append((name, ",".join(value)))
        else:
            pairs += [(name, one) for one in value]
    return f"?{urlencode(pairs)}" if pairs else ""


def _page(body: Any) -> OrdersPage:
    items = body.get("items") if isinstance(body, dict) else body
    if not isinstance(items, list):
        raise PlatformRefused("It answered something that is no list; is options.base_url that of the REST API?")
    total = body.get("totalItemCount") if isinstance(body, dict) else None
    return OrdersPage([one for one in items if isinstance(one, dict)], total if isinstance(total, int) else None, True)


def _checked(answer: OutgoingAnswer, options: RestOptions) -> Any:
    body = _body(answer)
    code = body.get("errorCode") if isinstance(body, dict) else None
    if code == "PG3":
        raise PlatformRefused(
            f"Operations1 does not take the Accept-Version {options.accept_version} (PG3): set options.accept_version "
            "to the date of a version that it still has, such as 2026-05-18; its changelog lists them."
        )
    if 200 <= answer.status < 300:
        if answer.truncated or body is None:
            raise Unsure("Operations1 answered something that is no JSON, or far too much of it.")
        return body
    raise _refusal(answer, _words(body), options)


def _refusal(answer: OutgoingAnswer, said: str, options: RestOptions) -> OvenbridgeError:
    status = answer.status
    if status == 401:
        return PlatformRefused(
            "Operations1 refuses the token: it has ended, or belongs to another tenant. Make a new one under System "
            "Settings > Users > New API user account, and give it to the connection."
        )
    if status == 403:
        return PlatformRefused(f"The API user of this token may not do this; give it the right in Operations1.{said}")
    if status == 404:
        return NotFound(
            f"Operations1 has nothing there{said or '.'} Is the tenant {options.tenant} spelt as in its address?"
        )
    if status == 429:
        pause = _pause(answer)
        return TooManyRequests(f"Operations1 asks for a pause of {pause:g} s.", retry_after=pause)
    if 300 <= status < 400:
        return PlatformRefused(
            f"It answered {status}, a redirect, which is never followed: write the final address into options.base_url."
        )
    if status in (500, 502, 504):
        return Unsure(f"Operations1 answered {status}.{said}")
    if status >= 500:
        return Unavailable(f"Operations1 answered {status}.{said}", retry_after=_pause(answer))
    return InvalidInput(f"Operations1 does not take it ({status}).{said}", field="body")


def _body(answer: OutgoingAnswer) -> Any:
    try:
        return json_text.load_foreign(answer.body)
    except InvalidInput:
        return None


def _words(body: Any) -> str:
    said = body.get("message") if isinstance(body, dict) else None
    if not isinstance(said, str) or not said.strip():
        return ""
    printable = "".join(c if c.isprintable() else " " for c in said[:SAID]).strip()
    return f" It says: {printable}"


def _pause(answer: OutgoingAnswer) -> float:
    said = next((v for k, v in answer.headers.items() if k.lower() == "retry-after"), "")
    return max(1.0, min(float(said), LONGEST_PAUSE)) if said.isascii() and said.isdecimal() else 30.0
