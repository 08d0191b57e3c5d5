"""API tokens: what they look like, how they are stored, and creating, listing and revoking them.

A token is ``ob_<id>_<secret>``. The id is public and finds the document; of the secret only the SHA-256 is stored,
which is enough for 256 random bits (slow hashes are for passwords that people choose).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.access.model import Caller, Role
from shared.audit import AuditLog
from shared.clock import Clock, iso, parse_iso
from shared.errors import InvalidInput, NotFound
from shared.storage import Document, DocumentStore, Page, Query, SetPath, every

__all__ = ["ApiToken", "ApiTokens", "parse_token"]

CONTAINER = "apiTokens"
STREAM = "token"

_FORM = re.compile(r"ob_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What we know of a token. The secret itself is known to its holder alone."""

    id: str
    name: str
    roles: frozenset[Role]
    secret_hash: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """Coarse: written at most every few minutes."""
    relay_id: str | None = None
    """Of a relay's token: which relay. It has no roles; it opens that relay's own routes and nothing else."""

    @classmethod
    def from_document(cls, document: Document) -> ApiToken:
        """The token back from its stored form."""

        def moment(name: str) -> datetime | None:
            return parse_iso(document[name]) if document.get(name) else None

        return cls(
            id=document["id"],
            name=document["name"],
            roles=frozenset(Role(role) for role in document["roles"]),
            secret_hash=document["secretHash"],
            created_at=parse_iso(document["createdAt"]),
            created_by=document["createdBy"],
            expires_at=moment("expiresAt"),
            revoked_at=moment("revokedAt"),
            last_used_at=moment("lastUsedAt"),
            relay_id=document.get("relayId"),
        )

    def usable(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def parse_token(text: str) -> tuple[str, str] | None:
    """Id and hash of the secret, if the text has the form of one of our tokens."""
    form = _FORM.fullmatch(text)
    return (form[1], hash_secret(form[2])) if form else None


def hash_secret(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


Tokens = list[ApiToken]
# Named here: inside the class `list` is the method.


class ApiTokens:
    """The tokens of this deployment."""

    def __init__(self, store: DocumentStore, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    async def create(
        self,
        *,
        name: str,
        roles: Sequence[Role],
        expires_at: datetime | None,
        caller: Caller,
        relay_id: str | None = None,
    ) -> tuple[ApiToken, str]:
        """Create a token. The second value is the token itself: shown once, kept nowhere.

        Args:
            name: for people.
            roles: what it opens; none for a relay's.
            expires_at: ``None``: never.
            caller: who wants it.
            relay_id: it is this relay's, and opens only that relay's routes.

        Raises:
            InvalidInput: it would have expired already.
        """
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("It would have expired already; give a time to come, or none.", field="expires_at")
        token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        document: Document = {
            "id": token_id,
            "name": name,
            "roles": sorted({role.value for role in roles}),
            "secretHash": hash_secret(secret),
            "createdAt": iso(now),
            "createdBy": caller.id,
            "expiresAt": iso(expires_at) if expires_at else None,
        }
        said = {"name": name, "roles": document["roles"], "expiresAt": document["expiresAt"]}
        if relay_id is not None:
            document["relayId"] = said["relayId"] = relay_id
        async with self._audit.recorded(
            STREAM, actor=caller.actor, action="token.created", target=f"token:{token_id}", after=said
        ):
            await self._store.create(CONTAINER, document)
        return ApiToken.from_document(document), f"ob_{token_id}_{secret}"

    async def get(self, id: str) -> ApiToken:
        """One token. Raises ``NotFound``."""
        try:
            stored = await self._store.read(CONTAINER, (id,), id)
        except NotFound as err:
            raise NotFound("There is no such token.") from err
        return ApiToken.from_document(stored.document)

    async def list(self, *, limit: int = 100, continuation: str | None = None) -> tuple[list[ApiToken], str | None]:
        """A page of all tokens, revoked ones included, in no particular order."""
        page: Page = await self._store.query(CONTAINER, Query(limit=limit, continuation=continuation))
        return [ApiToken.from_document(item.document) for item in page.items], page.continuation

    async def of_relay(self, relay_id: str) -> Tokens:
        """All tokens that a relay ever had and that still work."""
        now = self._clock.now()
        query = Query(limit=1000)
        tokens = [ApiToken.from_document(item.document) async for item in every(self._store, CONTAINER, query)]
        return [token for token in tokens if token.relay_id == relay_id and token.usable(now)]

    async def revoke(self, id: str, *, caller: Caller) -> None:
        """Make a token useless at once in this process, within half a minute in others. Doing it twice is no error.

        Raises:
            NotFound: there is no such token.
        """
        token = await self.get(id)
        if token.revoked_at is not None:
            return
        async with self._audit.recorded(
            STREAM, actor=caller.actor, action="token.revoked", target=f"token:{id}", before={"name": token.name}
        ):
            await self._store.patch(CONTAINER, (id,), id, [SetPath("revokedAt", iso(self._clock.now()))])

    async def note_use(self, token: ApiToken, now: datetime) -> None:
        """Remember when the token was used last."""
        await self._store.patch(CONTAINER, (token.id,), token.id, [SetPath("lastUsedAt", iso(now))])
