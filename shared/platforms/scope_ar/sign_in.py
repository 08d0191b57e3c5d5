"""Tokens: one that was given, or one for a user name and a password, good for 30 days or until somebody signs out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared import json_text
from shared.clock import Clock
from shared.errors import InvalidInput, OvenbridgeError, Unavailable
from shared.ids import digest_id
from shared.outgoing.failures import OutgoingError
from shared.platforms.scope_ar.options import ConnectionOptions
from shared.single_flight import SingleFlight

if TYPE_CHECKING:
    from shared.outgoing.http import OutgoingHttp
    from shared.platforms.connections import PlatformConnection, Secrets

__all__ = ["CredentialsRefused", "Tokens", "sign_in_url"]

KEPT = timedelta(days=29)
REFUSED_FOR = timedelta(minutes=5)
"""So long a refused password is not tried again: accounts get locked."""
MOST = 200
PATH = "/api/v2/users/sign_in.json"


class CredentialsRefused(OvenbridgeError):
    """The platform refuses *our* credentials: whoever calls us has done nothing wrong."""

    status = 502
    title = "Credentials refused"


def sign_in_url(options: ConnectionOptions) -> str:
    """Where a user signs in."""
    if options.sign_in_url is not None:
        return options.sign_in_url
    parts = urlsplit(options.url)
    return f"{parts.scheme}://{parts.netloc}{PATH}"


class Tokens:
    """Tokens in memory, by credentials; one sign-in at a time for each."""

    def __init__(self, http: OutgoingHttp, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._tokens: dict[str, tuple[datetime, str]] = {}
        self._refused: dict[str, tuple[datetime, str]] = {}
        self._flights: SingleFlight[str] = SingleFlight()

    async def token(
        self,
        connection: PlatformConnection,
        options: ConnectionOptions,
        secrets: Secrets,
        *,
        refused: str | None = None,
    ) -> str:
        """The token to use now. ``refused``: the one that was just refused; it is never given again.

        Raises:
            CredentialsRefused: there is none, or the user name and password are refused.
            Unavailable: the sign-in did not answer.
        """
        if token := secrets.get("token"):
            if token == refused:
                raise CredentialsRefused(
                    f"The API refuses the token of the connection {connection.id}: give it another one."
                )
            return token
        if not secrets.get("username"):
            raise CredentialsRefused(f"The connection {connection.id} has neither a token nor a user name.")
        key = digest_id(sign_in_url(options), secrets["username"], secrets.get("password", ""))
        now = self._clock.now()
        known = self._tokens.get(key)
        if known is not None and known[1] != refused and now - known[0] < KEPT:
            return known[1]
        no = self._refused.get(key)
        if no is not None and now - no[0] < REFUSED_FOR:
            raise CredentialsRefused(no[1])
        return await self._flights.join(key, lambda: self._sign_in(key, options, secrets))

    async def _sign_in(self, key: str, options: ConnectionOptions, secrets: Secrets) -> str:
        now = self._clock.now()
        body = {"user": {"username": secrets["username"], "password": secrets.get("password", "")}}
        try:
            answer = await self._http.send(
                "POST",
                sign_in_url(options),
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                content=json_text.dump(body),
                timeout_seconds=options.timeout_seconds,
            )
        except OutgoingError as error:
            raise Unavailable(f"The sign-in did not answer: {error.detail}", retry_after=60) from error
        if answer.status in (400, 401, 403, 422):
            sentence = f"The sign-in refuses the user name or the password ({answer.status}): give them again."
            _bounded(self._refused)[key] = (now, sentence)
            raise CredentialsRefused(sentence)
        if answer.status not in (200, 201):
            raise Unavailable(f"The sign-in answered {answer.status}; check sign_in_url.", retry_after=60)
        token = _auth_token(answer.body)
        self._refused.pop(key, None)
        _bounded(self._tokens)[key] = (now, token)
        return token


def _bounded(kept: dict[str, tuple[datetime, str]]) -> dict[str, tuple[datetime, str]]:
    if len(kept) >= MOST:
        kept.clear()
    return kept


def _auth_token(raw: bytes) -> str:
    try:
        body: Any = json_text.load_foreign(raw)
    except InvalidInput:
        body = None
    for place in (body, body.get("user") if isinstance(body, dict) else None):
        token = place.get("auth_token") if isinstance(place, dict) else None
        if isinstance(token, str) and 0 < len(token) <= 4_096 and token.isascii() and token.isprintable():
            return token
    raise Unavailable("The sign-in answered without an auth_token; check sign_in_url.", retry_after=60)
