"""Access tokens that a client fetches for its API token (OAuth 2.0, client credentials), for clients that know no
other way in: short-lived, and good for as long as the API token behind them is.

An access token is ``ob_s<id>_<secret>``. Like an API token it is found by its id, and only the hash of its secret is
stored; the store forgets it when it has expired. What it opens is asked of the API token at every use, so revoking that
one ends all that were issued for it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.access.tokens import ApiToken, hash_secret
from shared.clock import Clock, iso, parse_iso
from shared.errors import NotFound
from shared.storage import Document, DocumentStore

__all__ = ["Issued", "IssuedToken", "IssuedTokens", "as_api_token", "parse_issued"]

CONTAINER = "issuedTokens"
_FORM = re.compile(r"ob_s([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Issued:
    """An access token for its holder. It is shown once."""

    token: str
    expires_in: int
    """Seconds."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """What we know of one."""

    id: str
    client_id: str
    """Of the API token it was issued for."""
    secret_hash: str
    expires_at: datetime

    def right(self, secret_hash: str, now: datetime) -> bool:
        """Is it this one, and still good?"""
        return hmac.compare_digest(self.secret_hash, secret_hash) and now < self.expires_at


def parse_issued(text: str) -> tuple[str, str] | None:
    """Id and hash of the secret, if the text has the form of an access token of ours."""
    form = _FORM.fullmatch(text)
    return (form[1], hash_secret(form[2])) if form else None


def as_api_token(client_id: str, client_secret: str) -> str:
    """Client id and secret as the API token they are: the secret is the whole token, or its last part."""
    return f"ob_{client_id}_{client_secret}" if _SECRET.fullmatch(client_secret) else client_secret


class IssuedTokens:
    """Those that were issued."""

    def __init__(self, store: DocumentStore, clock: Clock, *, seconds: int) -> None:
        self._store = store
        self._clock = clock
        self._seconds = seconds

    async def issue(self, client: ApiToken) -> Issued:
        """A new one for this client, which has shown that it is the client. Raises ``Unavailable``."""
        now = self._clock.now()
        expires = now + timedelta(seconds=self._seconds)
        if client.expires_at is not None:
            expires = min(expires, client.expires_at)
        seconds = max(1, int((expires - now).total_seconds()))
        token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        document: Document = {
            "id": token_id,
            "clientId": client.id,
            "secretHash": hash_secret(secret),
            "expiresAt": iso(expires),
            "ttl": seconds + 60,
        }
        await self._store.create(CONTAINER, document)
        return Issued(f"ob_s{token_id}_{secret}", seconds)

    async def get(self, id: str) -> IssuedToken | None:
        """One; ``None``: there is none (any more)."""
        try:
            document = (await self._store.read(CONTAINER, (id,), id)).document
        except NotFound:
            return None
        return IssuedToken(id, document["clientId"], document["secretHash"], parse_iso(document["expiresAt"]))
