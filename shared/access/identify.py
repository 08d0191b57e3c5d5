"""Who is calling.

In this order: an API token that is presented must be right (a wrong one never falls back to anything); then whoever
signed in with Entra, where the platform vouches for it; then the developer, on a loopback host in developer mode; then
the holder of a function key, on routes where the host checked it. Elsewhere ``X-MS-CLIENT-PRINCIPAL`` headers are not
read: anybody can send them where the platform does not strip them.
"""

from __future__ import annotations

import hmac
import logging
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta

from shared.access.developer import refuse_strangers
from shared.access.entra import PRINCIPAL, platform_strips_headers, principal
from shared.access.issued import Issued, IssuedToken, IssuedTokens, as_api_token, parse_issued
from shared.access.model import Caller, Role
from shared.access.tokens import ApiToken, ApiTokens, parse_token
from shared.access.wrong_tokens import WrongTokens
from shared.audit import AuditLog
from shared.clock import Clock
from shared.errors import NotFound, OvenbridgeError, Unauthorized
from shared.settings import Settings
from shared.storage import DocumentStore

__all__ = ["DEVELOPER", "KEY_HOLDER", "Access"]

log = logging.getLogger("ovenbridge.access")

DEVELOPER = Caller(id="developer", name="the developer", roles=frozenset({Role.ADMIN}), how="loopback")
KEY_HOLDER = Caller(id="key", name="a holder of the function key", roles=frozenset({Role.VIEWER}), how="function_key")
"""A function key says which application calls, not who: it is good for reading and no more."""

CACHE_FOR = timedelta(seconds=30)
"""How long another instance may go on believing a token that was revoked here."""
CACHED_TOKENS = 1_000
USE_NOTED_EVERY = timedelta(minutes=5)

Known = tuple[datetime, ApiToken, Caller]
"""When it was read, and what."""

KEY_HEADER = "x-api-key"
"""Where an API token may stand too: a proxy or the platform may claim ``Authorization`` for itself."""

WRONG_CLIENT = (
    "These are no client credentials of ours: the client id is the id of an API token, the client secret that token."
)
WRONG_ACCESS = "The access token is not valid: it is unknown or has expired, or its client was revoked. Fetch another."
WRONG = "The API token is not valid: it is unknown, expired or revoked. Ask an administrator for a new one."


class Access:
    """Identifies callers, and owns the API tokens."""

    def __init__(self, store: DocumentStore, settings: Settings, audit: AuditLog, clock: Clock) -> None:
        self.tokens = ApiTokens(store, audit, clock)
        self._issued = IssuedTokens(store, clock, seconds=settings.access_token_seconds)
        self._known_issued: OrderedDict[str, IssuedToken] = OrderedDict()
        # WEBSITE_HOSTNAME: we run in Azure, whatever the other settings claim.
        self._developer = (
            settings.access_mode == "developer" and settings.serves_loopback and not settings.website_hostname
        )
        self._settings = settings
        self._entra = platform_strips_headers(settings)
        self._clock = clock
        self._cache: OrderedDict[str, Known] = OrderedDict()
        self._noted: dict[str, datetime] = {}
        self._wrong = WrongTokens()

    async def identify(self, headers: Mapping[str, str], *, key_checked: bool) -> Caller | None:
        """The caller, or ``None``: nobody we know.

        Args:
            headers: of the call; names are looked up in lower case.
            key_checked: the host let only holders of a function key through.

        Raises:
            Unauthorized: a credential was presented and is wrong.
            Forbidden: a browser page from elsewhere calls, or an account of another organisation.
            TooManyRequests: too many wrong credentials.
        """
        vouched_for = self._entra and PRINCIPAL in headers
        presented = _presented_token(headers, anything=not vouched_for)
        if presented is not None:
            return await self._token_holder(presented, headers)
        if vouched_for:
            return principal(headers, self._settings)
        if self._developer:
            refuse_strangers(headers)
            return DEVELOPER
        return KEY_HOLDER if key_checked else None

    def presented(self, headers: Mapping[str, str]) -> str | None:
        """The API token that this call carries, right or wrong; for who has identified the caller already."""
        return _presented_token(headers, anything=True)

    async def revoke(self, id: str, *, caller: Caller) -> None:
        """Revoke a token and forget it here at once. Raises ``NotFound``."""
        await self.tokens.revoke(id, caller=caller)
        self._cache.pop(id, None)

    async def issue(self, client_id: str, client_secret: str, headers: Mapping[str, str]) -> Issued:
        """A short-lived access token for an API token: its id is the client id, the token itself the secret.

        Raises:
            Unauthorized: it is no such client, or the secret is wrong.
            TooManyRequests: too many wrong ones.
        """
        parsed = parse_token(as_api_token(client_id, client_secret))
        if parsed is None or parsed[0] != client_id:
            address, now = _address(headers), self._clock.now()
            self._wrong.refuse_if_wild(address, now)
            self._wrong.count(address, client_id[:64], now)
            raise Unauthorized(WRONG_CLIENT)
        token, caller = await self._proven(parsed, headers)
        if token.relay_id is not None:
            raise Unauthorized("A relay's token is good for that relay's own routes and no client of this.")
        issued = await self._issued.issue(token)
        log.info("An access token was issued for %s", caller.id)
        return issued

    async def _token_holder(self, presented: str, headers: Mapping[str, str]) -> Caller:
        parsed = parse_token(presented)
        if parsed is not None:
            return (await self._proven(parsed, headers))[1]
        issued = parse_issued(presented)
        if issued is not None:
            return await self._issued_holder(issued, headers)
        raise Unauthorized("Send `Authorization: Bearer <API token>`; an API token of Ovenbridge begins with `ob_`.")

    async def _proven(self, parsed: tuple[str, str], headers: Mapping[str, str]) -> tuple[ApiToken, Caller]:
        """The API token whose id and secret these are. Raises ``Unauthorized``, ``TooManyRequests``."""
        token_id, secret_hash = parsed
        now = self._clock.now()
        address = _address(headers)
        known = await self._known(token_id, address, now)
        if known is None or not _right(known[1], secret_hash, now):
            self._wrong.count(address, token_id, now)
            raise Unauthorized(WRONG)
        await self._note_use(known[1], now)
        return known[1], known[2]

    async def _issued_holder(self, parsed: tuple[str, str], headers: Mapping[str, str]) -> Caller:
        """Whose access token this is: it opens what the API token behind it opens now."""
        issued_id, secret_hash = parsed
        now = self._clock.now()
        address = _address(headers)
        issued = self._known_issued.get(issued_id)
        if issued is None:
            self._wrong.refuse_if_wild(address, now)
            issued = await self._issued.get(issued_id)
            if issued is not None:
                self._known_issued[issued_id] = issued
                if len(self._known_issued) > CACHED_TOKENS:
                    self._known_issued.popitem(last=False)
        client = None
        if issued is not None and issued.right(secret_hash, now):
            client = await self._known(issued.client_id, address, now)
        if client is None or not client[1].usable(now):
            self._wrong.count(address, issued_id, now)
            raise Unauthorized(WRONG_ACCESS)
        await self._note_use(client[1], now)
        return client[2]

    async def _known(self, token_id: str, address: str, now: datetime) -> Known | None:
        known = self._cache.get(token_id)
        if known is None or now - known[0] >= CACHE_FOR:
            if known is None:
                self._wrong.refuse_if_wild(address, now)
            known = await self._look_up(token_id, now)
        return known

    async def _look_up(self, token_id: str, now: datetime) -> Known | None:
        try:
            token = await self.tokens.get(token_id)
        except NotFound:
            self._cache.pop(token_id, None)
            return None
        caller = _caller(token)
        # Remembered even if this caller's secret is wrong: the next wrong one then costs no read.
        known = self._cache[token_id] = (now, token, caller)
        self._cache.move_to_end(token_id)
        if len(self._cache) > CACHED_TOKENS:
            self._cache.popitem(last=False)
        return known

    async def _note_use(self, token: ApiToken, now: datetime) -> None:
        last = max(filter(None, (token.last_used_at, self._noted.get(token.id))), default=None)
        if last is not None and now - last < USE_NOTED_EVERY:
            return
        self._noted[token.id] = now
        if len(self._noted) > CACHED_TOKENS:
            del self._noted[next(iter(self._noted))]
        try:
            await self.tokens.note_use(token, now)
        except OvenbridgeError as error:
            # Nice to know, never worth refusing a call that is in order.
            log.warning("Cannot note the last use of token %s: %s", token.id, error.detail)


def _caller(token: ApiToken) -> Caller:
    if token.relay_id is not None:
        # No roles, whatever the document says: a relay does nothing but its own work.
        return Caller(id=f"relay:{token.relay_id}", name=token.name, roles=frozenset(), how="relay_token")
    return Caller(id=f"token:{token.id}", name=token.name, roles=token.roles, how="api_token")


def _right(token: ApiToken, secret_hash: str, now: datetime) -> bool:
    return hmac.compare_digest(token.secret_hash, secret_hash) and token.usable(now)


def _presented_token(headers: Mapping[str, str], *, anything: bool) -> str | None:
    """What was presented as an API token. Where the platform vouches for the caller, an ``Authorization`` that is none
    of ours is the Entra token which it has checked; elsewhere it is a wrong credential (``anything``)."""
    if key := headers.get(KEY_HEADER):
        return key.strip()
    presented = headers.get("authorization")
    if not presented:
        return None
    scheme, _, credential = presented.partition(" ")
    token = credential.strip() if scheme.lower() == "bearer" else ""
    return token if anything or token.startswith("ob_") else None


def _address(headers: Mapping[str, str]) -> str:
    """Where the call came from, as the last proxy saw it (what stands before that is the caller's own word)."""
    return headers.get("x-forwarded-for", "").rpartition(",")[2].strip()[:64] or "direct"
