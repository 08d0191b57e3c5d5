"""OAuth2 tokens of systems of record: client credentials, or a refresh token. One token per connection, kept until it
runs out or is refused; one fetch at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from shared.clock import Clock
from shared.ids import digest_id
from shared.json_text import canonical
from shared.outgoing.http import OutgoingHttp
from shared.platforms.records.answers import NOT_DONE, parsed, retry_after, short

__all__ = ["NoToken", "Token", "Tokens"]

UNSAID_LIFETIME = timedelta(minutes=5)
LONGEST_LIFETIME = timedelta(hours=24)
MAX_TOKENS = 200


class NoToken(Exception):
    """The token service gave none; ``sentence`` says what to do."""

    def __init__(self, sentence: str, *, status: int | None = None, pause: float | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status
        self.pause = pause


@dataclass(frozen=True, slots=True)
class Token:
    """A token and what was said beside it."""

    value: str = field(repr=False)
    good_until: datetime
    said: Mapping[str, Any] = field(repr=False)


class Tokens:
    """The tokens of this process."""

    def __init__(self, http: OutgoingHttp, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._known: dict[str, Token] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(
        self, url: str, form: Mapping[str, str], *, timeout_seconds: float, refused: str | None = None
    ) -> Token:
        """The token for these credentials. ``refused``: one that was refused just now; it is not given again.

        Raises:
            NoToken: the service refused.
            OutgoingError: it did not answer.
        """
        key = digest_id(url, canonical(dict(form)))
        async with self._locks.setdefault(key, asyncio.Lock()):
            token = self._known.get(key)
            if token is not None and token.value != refused and self._clock.now() < token.good_until:
                return token
            if len(self._known) >= MAX_TOKENS:
                self._known.clear()
            token = self._known[key] = await self._fetch(url, form, timeout_seconds)
            return token

    async def _fetch(self, url: str, form: Mapping[str, str], timeout_seconds: float) -> Token:
        asked = self._clock.now()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        answer = await self._http.send(
            "POST", url, headers=headers, content=urlencode(form).encode(), timeout_seconds=timeout_seconds
        )
        said = parsed(answer)
        said = said if isinstance(said, dict) else {}
        if answer.status != 200:
            word = short(said.get("error"))[:60]
            sentence = f"The token service answered {answer.status}" + (f" ({word})" if word else "")
            pause = retry_after(answer.headers, asked) if answer.status in NOT_DONE else None
            raise NoToken(f"{sentence}: check client id, secret and their rights.", status=answer.status, pause=pause)
        value = said.get("access_token")
        if not isinstance(value, str) or not 0 < len(value) <= 16_384 or not value.isascii() or not value.isprintable():
            raise NoToken("The token service answered without an access_token: check its address.")
        return Token(value, asked + _lifetime(said.get("expires_in")), said)


def _lifetime(told: Any) -> timedelta:
    try:
        seconds = float(told)
    except (TypeError, ValueError):
        return UNSAID_LIFETIME
    if not seconds > 0:
        return UNSAID_LIFETIME
    whole = min(timedelta(seconds=min(seconds, 1e6)), LONGEST_LIFETIME)
    return whole - min(timedelta(minutes=1), whole / 10)
