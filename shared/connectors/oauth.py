"""OAuth2 client credentials: one token per set of credentials, fetched once, shared by every device that uses it."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

from shared.clock import Clock
from shared.connectors.credentials import Credentials
from shared.connectors.device_errors import device_error
from shared.errors import DeviceAuthenticationError, DeviceError, DeviceProtocolError, DeviceThrottled
from shared.ids import digest_id
from shared.json_text import canonical, load
from shared.outgoing.answer import OutgoingAnswer
from shared.outgoing.failures import OutgoingError
from shared.outgoing.http import OutgoingHttp

__all__ = ["TokenCache", "TokenRequest"]

MAX_TOKENS = 1_024
UNSAID_LIFETIME_SECONDS = 300.0
"""When the answer names no ``expires_in``."""
MAX_ANSWER_BYTES = 65_536
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Everything a token depends on."""

    url: str
    """Absolute and vetted."""
    credentials: Credentials
    verify: bool
    ca_pem: str | None
    timeout_seconds: float

    @property
    def key(self) -> str:
        """The same for the same credentials; tells nothing about them."""
        given = self.credentials
        parts = (given.client_id, given.client_secret, given.scope, given.client_auth)
        return digest_id(self.url, *(part or "" for part in parts), canonical(given.extra))


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    good_until: datetime


class TokenCache:
    """Tokens by digest of their credentials. One fetch at a time per set of credentials."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, _Token] = {}
        self._fetching: dict[str, asyncio.Task[_Token]] = {}

    async def token(self, request: TokenRequest, http: OutgoingHttp, *, refused: str | None = None) -> str:
        """The token to use now. ``refused``: the one the device just refused; it is never given again.

        Raises:
            DeviceError: the token service did not give one; the sentence says why.
        """
        key = request.key
        known = self._tokens.get(key)
        if known is not None and known.value != refused and self._clock.now() < known.good_until:
            return known.value
        task = self._fetching.get(key)
        if task is None:
            task = asyncio.create_task(_fetch(request, http, self._clock))
            self._fetching[key] = task
            task.add_done_callback(lambda done: self._take(key, done))
        # Shielded: one reader's deadline must not fail the others who wait for the same token.
        return (await asyncio.shield(task)).value

    def _take(self, key: str, task: asyncio.Task[_Token]) -> None:
        self._fetching.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            return
        self._tokens.pop(key, None)
        self._tokens[key] = task.result()
        if len(self._tokens) > MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]


async def _fetch(request: TokenRequest, http: OutgoingHttp, clock: Clock) -> _Token:
    asked = clock.now()
    headers, form = _request_parts(request.credentials)
    try:
        answer = await http.send(
            "POST",
            request.url,
            headers=headers,
            content=urlencode(form).encode(),
            timeout_seconds=request.timeout_seconds,
            max_answer_bytes=MAX_ANSWER_BYTES,
            verify=request.verify,
            ca_pem=request.ca_pem,
        )
    except OutgoingError as err:
        raise device_error(err, prefix="No token could be fetched: ") from err
    if answer.status != 200:
        raise _refusal(answer)
    return _token_in(answer, asked)


def _request_parts(given: Credentials) -> tuple[dict[str, str], dict[str, str]]:
    """RFC 6749 section 4.4.2; the id and secret in the header (2.3.1) or in the body."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    form = {**given.extra, "grant_type": "client_credentials"}
    if given.scope:
        form["scope"] = given.scope
    client_id, secret = given.client_id or "", given.client_secret or ""
    if given.client_auth == "body":
        form |= {"client_id": client_id, "client_secret": secret}
    else:
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    return headers, form


def _refusal(answer: OutgoingAnswer) -> DeviceError:
    word = _parsed(answer).get("error")
    said = (
        f"{answer.status} {word}"
        if isinstance(word, str) and re.fullmatch(r"[a-z_]{1,40}", word)
        else str(answer.status)
    )
    if answer.status in (400, 401, 403):
        return DeviceAuthenticationError(
            f"The token service refused the client credentials ({said}): check client_id, client_secret, scope and "
            "client_auth."
        )
    if answer.status == 429:
        return DeviceThrottled("The token service asks to come less often (429).")
    return DeviceProtocolError(f"The token service answered {said} in place of a token: check token_url.")


def _token_in(answer: OutgoingAnswer, asked: datetime) -> _Token:
    parsed = _parsed(answer)
    value = parsed.get("access_token")
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise DeviceProtocolError("The token service answered without an access_token: check token_url.")
    lifetime = _seconds(parsed.get("expires_in"))
    margin = min(60.0, lifetime * 0.1)
    return _Token(value, asked + timedelta(seconds=lifetime - margin))


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return UNSAID_LIFETIME_SECONDS
    return min(seconds, 86_400.0) if seconds > 0 else UNSAID_LIFETIME_SECONDS


def _parsed(answer: OutgoingAnswer) -> dict[str, Any]:
    try:
        value = load(answer.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
