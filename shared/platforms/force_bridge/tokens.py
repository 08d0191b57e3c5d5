"""Access tokens of FORCE Bridge servers: one per connection, fetched when first needed and when one is refused."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

from shared import json_text
from shared.clock import Clock
from shared.errors import InvalidInput
from shared.ids import digest_id
from shared.outgoing.answer import OutgoingAnswer
from shared.platforms.force_bridge.options import ForceOptions
from shared.platforms.force_bridge.refusals import ForceRefused, refused

__all__ = ["Ask", "Tokens"]

SCOPE = "read write"
UNSAID_SECONDS = 300.0
KEPT = 500
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}")

Ask = Callable[[str, str, Mapping[str, str], bytes], Awaitable[OutgoingAnswer]]
"""Method, URL, headers, body."""


@dataclass(frozen=True, slots=True, repr=False)
class _Token:
    header: str
    """``bearer ...``: what goes into ``Authorization``."""
    good_until: datetime


class Tokens:
    """In memory, by a digest of what they depend on. One fetch at a time for each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, _Token] = {}
        self._fetching: dict[str, asyncio.Lock] = {}

    async def header(
        self, options: ForceOptions, credentials: Mapping[str, str], ask: Ask, *, refused: str | None = None
    ) -> str:
        """The value of ``Authorization``. ``refused``: the one that was just refused; it is not given again.

        Raises:
            ForceAway, ForceRefused: no token could be fetched.
        """
        key = _key(options, credentials)
        lock = self._fetching.setdefault(key, asyncio.Lock())
        async with lock:
            known = self._known.get(key)
            if known is not None and known.header != refused and self._clock.now() < known.good_until:
                return known.header
            fetched = await _fetch(options, credentials, ask, self._clock.now())
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[key] = fetched
        return fetched.header


def _key(options: ForceOptions, credentials: Mapping[str, str]) -> str:
    parts = (options.token_address, options.dialect, options.ffauth_by)
    return digest_id(*parts, credentials.get("client_id", ""), credentials.get("client_secret", ""))


async def _fetch(options: ForceOptions, credentials: Mapping[str, str], ask: Ask, now: datetime) -> _Token:
    client_id, secret = credentials.get("client_id", ""), credentials.get("client_secret", "")
    url = options.token_address
    headers = {"Accept": "*/*", "Content-Type": "application/x-www-form-urlencoded"}
    form = {"grant_type": "client_credentials", "scope": SCOPE}
    method = "POST"
    if options.dialect == "oauth_token":
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    else:
        form = {"client_id": client_id, "client_secret": secret, **form}
    body = urlencode(form).encode()
    if options.dialect == "ffauth" and options.ffauth_by == "url":
        method, body = "GET", b""
        url = f"{url}?{urlencode(form, quote_via=quote)}"
        del headers["Content-Type"]
    answer = await ask(method, url, headers, body)
    if answer.status != 200:
        # The words of the answer may repeat what was sent.
        plain = OutgoingAnswer(answer.status, answer.headers, b"", answer.elapsed_ms)
        raise refused(plain, "No access token could be fetched")
    return _read(answer.body, now)


def _read(body: bytes, now: datetime) -> _Token:
    try:
        said = json_text.load_foreign(body)
    except InvalidInput:
        said = None
    value = said.get("access_token") if isinstance(said, dict) else None
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ForceRefused(
            "The token service answered without an access_token: check options.dialect and options.token_url.",
            answered=200,
        )
    kind = said.get("token_type")
    seconds = _seconds(said.get("expires_in"))
    name = kind if isinstance(kind, str) and _TYPE.fullmatch(kind) else "Bearer"
    return _Token(f"{name} {value}", now + timedelta(seconds=seconds - min(60.0, seconds * 0.1)))


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return UNSAID_SECONDS
    return min(seconds, 86_400.0) if seconds > 0 else UNSAID_SECONDS
