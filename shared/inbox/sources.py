"""Who may call in: hook sources, each with a secret path and, if the sender can sign, a signing secret."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared import json_text
from shared.audit import AuditLog
from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, InvalidInput, NotFound, OvenbridgeError
from shared.inbox.signature import decode_secret
from shared.secrets import Vault
from shared.storage import Document, DocumentStore, Equals, Query, SetPath

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from shared.access import Caller

__all__ = ["HookSource", "HookSources", "NewHookSource"]

log = logging.getLogger("ovenbridge.inbox")

CONTAINER = "hookSources"
TOKEN_BYTES = 16
"""128 bits: the path is a credential."""
CACHE_FOR = timedelta(seconds=10)
SECRET_CACHE_FOR = timedelta(minutes=10)
CACHED = 1_000
USE_NOTED_EVERY = timedelta(minutes=5)
_NO_HASH = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class NewHookSource:
    """A source that is wanted."""

    id: str
    name: str
    kind: str = "generic"
    event_name: str | None = None
    """How its events are called; absent: the source's id."""
    equipment_id: str | None = None
    """The machine that its events are about."""
    identical_within_seconds: int = 0
    """Equal bodies without a ``webhook-id`` within so many seconds are one message; 0: each is a message."""
    expires_at: datetime | None = None
    """From then on its address is closed, until it is rotated; ``None``: never."""
    broker: Mapping[str, Any] | None = None
    """Where its messages are fetched from, if they are: without secrets."""


@dataclass(frozen=True, slots=True)
class HookSource:
    """Somebody who may call in."""

    id: str
    name: str
    kind: str
    event_name: str | None
    equipment_id: str | None
    identical_within_seconds: int
    secret_ref: str | None
    """Name of the signing secret in the vault; ``None``: the sender does not sign."""
    token_hash: str
    old_token_hash: str | None
    old_token_until: datetime | None
    created_at: datetime
    created_by: str
    rotated_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    """Closed by a person; rotating opens it again at a new address."""
    last_used_at: datetime | None
    """When its address was last used with the right token. Coarse: written at most every few minutes."""
    broker: Mapping[str, Any] | None = None
    """Where its messages are fetched from; ``None``: they are sent to its address."""
    broker_ref: str | None = None
    """Name of the broker's credentials in the vault."""
    broker_error: str | None = None
    """Why the last fetching failed."""

    @classmethod
    def from_document(cls, document: Document) -> HookSource:
        """The source back from its stored form."""

        def moment(name: str) -> datetime | None:
            return parse_iso(document[name]) if document.get(name) else None

        return cls(
            id=document["id"],
            name=document["name"],
            kind=document["platform"],
            event_name=document.get("eventName"),
            equipment_id=document.get("equipmentId"),
            identical_within_seconds=document.get("identicalWithinSeconds", 0),
            secret_ref=document.get("secretRef"),
            token_hash=document["tokenHash"],
            old_token_hash=document.get("oldTokenHash"),
            old_token_until=moment("oldTokenUntil"),
            created_at=parse_iso(document["createdAt"]),
            created_by=document["createdBy"],
            rotated_at=moment("rotatedAt"),
            expires_at=moment("expiresAt"),
            revoked_at=moment("revokedAt"),
            last_used_at=moment("lastUsedAt"),
            broker=document.get("broker"),
            broker_ref=document.get("brokerRef"),
            broker_error=document.get("brokerError"),
        )

    def is_open(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def opens(self, token: str, now: datetime) -> bool:
        """Is this the token of its path, or the one before while that still counts?"""
        given = _hash(token)
        current = hmac.compare_digest(given, self.token_hash)
        old_counts = self.old_token_until is not None and now < self.old_token_until
        old = hmac.compare_digest(given, self.old_token_hash or _NO_HASH)
        return self.is_open(now) and (current or (old and old_counts))


class HookSources:
    """The sources of this deployment."""

    def __init__(self, store: DocumentStore, vault: Vault, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._audit = audit
        self._clock = clock
        self._cache: OrderedDict[str, tuple[datetime, HookSource | None]] = OrderedDict()
        self._keys: dict[str, tuple[datetime, bytes]] = {}
        self._noted: OrderedDict[str, datetime] = OrderedDict()
        self._broker_errors: dict[str, str | None] = {}

    async def create(
        self,
        wanted: NewHookSource,
        *,
        signing_secret: str | None,
        caller: Caller,
        broker_credentials: Mapping[str, str] | None = None,
    ) -> tuple[HookSource, str]:
        """Create a source. The second value is the token of its path: shown once, stored hashed.

        Raises:
            Conflict: there is one with this id.
            InvalidInput: the signing secret is none, or its address would have expired already.
        """
        if signing_secret is not None:
            decode_secret(signing_secret)
        now = self._clock.now()
        _refuse_past(wanted.expires_at, now)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        document: Document = {
            "id": wanted.id,
            "name": wanted.name,
            "platform": wanted.kind,
            "eventName": wanted.event_name,
            "equipmentId": wanted.equipment_id,
            "identicalWithinSeconds": wanted.identical_within_seconds,
            # A name of its own: creating an id that exists must not touch the secret of the source that has it.
            "secretRef": f"hook-{wanted.id}-{secrets.token_hex(4)}" if signing_secret else None,
            "tokenHash": _hash(token),
            "expiresAt": iso(wanted.expires_at) if wanted.expires_at else None,
            "createdAt": iso(now),
            "createdBy": caller.id,
        }
        if wanted.broker is not None:
            document["broker"] = dict(wanted.broker)
        if broker_credentials:
            document["brokerRef"] = f"hook-{wanted.id}-broker-{secrets.token_hex(4)}"
        async with self._recorded(wanted.id, "hook.created", caller, after=_said(document)):
            if signing_secret is not None:
                await self._vault.set(document["secretRef"], signing_secret)
            if broker_credentials:
                await self._vault.set(document["brokerRef"], json_text.dump(dict(broker_credentials)).decode())
            try:
                await self._store.create(CONTAINER, document)
            except Conflict as err:
                for ref in (document["secretRef"], document.get("brokerRef")):
                    if ref is not None:
                        await self._vault.delete(ref)
                raise Conflict(f"There is a hook source {wanted.id} already; choose another id.") from err
        self._cache.pop(wanted.id, None)
        return HookSource.from_document(document), token

    async def get(self, id: str) -> HookSource:
        """One source. Raises ``NotFound``."""
        try:
            stored = await self._store.read(CONTAINER, (id,), id)
        except NotFound as err:
            raise NotFound("There is no such hook source.") from err
        return HookSource.from_document(stored.document)

    async def list(self, *, limit: int = 100, continuation: str | None = None) -> tuple[list[HookSource], str | None]:
        """A page of all sources, in no particular order."""
        page = await self._store.query(CONTAINER, Query(limit=limit, continuation=continuation))
        return [HookSource.from_document(item.document) for item in page.items], page.continuation

    async def of_kind(self, kind: str) -> Sequence[HookSource]:
        """All sources of a kind, at most a thousand."""
        page = await self._store.query(CONTAINER, Query((Equals("platform", kind),), limit=1000))
        return [HookSource.from_document(item.document) for item in page.items]

    async def broker_credentials(self, source: HookSource) -> Mapping[str, str]:
        """What its broker is asked with. Raises ``Unavailable``."""
        if source.broker_ref is None:
            return {}
        found: dict[str, str] = json_text.load((await self._vault.get(source.broker_ref)).value)
        return found

    async def note_broker(self, source: HookSource, error: str | None, *, used: bool) -> None:
        """Its queue was taken, or could not be: written down when that is news."""
        if error != self._broker_errors.get(source.id, source.broker_error):
            try:
                await self._store.patch(CONTAINER, (source.id,), source.id, [SetPath("brokerError", error)])
            except NotFound:
                return  # it was deleted meanwhile
            self._broker_errors[source.id] = error
        if used:
            await self._note_use(source, self._clock.now())

    async def rotate(
        self, id: str, *, keep_old_seconds: int, expires_at: datetime | None = None, caller: Caller
    ) -> tuple[HookSource, str]:
        """Give the source a new path; the old one counts on for a while, unless it was revoked or has expired.

        Raises:
            NotFound: there is no such source.
            InvalidInput: the new path would have expired already.
        """
        source = await self.get(id)
        now = self._clock.now()
        _refuse_past(expires_at, now)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        keep = keep_old_seconds if source.is_open(now) else 0
        until = iso(now + timedelta(seconds=keep)) if keep else None
        said = {"oldTokenUntil": until, "expiresAt": iso(expires_at) if expires_at else None}
        async with self._recorded(id, "hook.rotated", caller, after=said):
            changes = [
                SetPath("tokenHash", _hash(token)),
                SetPath("oldTokenHash", source.token_hash if keep else None),
                SetPath("oldTokenUntil", until),
                SetPath("rotatedAt", iso(now)),
                SetPath("expiresAt", said["expiresAt"]),
                SetPath("revokedAt", None),
            ]
            stored = await self._store.patch(CONTAINER, (id,), id, changes)
        self._cache.pop(id, None)
        return HookSource.from_document(stored.document), token

    async def revoke(self, id: str, *, caller: Caller) -> HookSource:
        """Close its address: at once here, within seconds elsewhere. Doing it twice is no error.

        Raises:
            NotFound: there is no such source.
        """
        source = await self.get(id)
        if source.revoked_at is not None:
            return source
        async with self._recorded(id, "hook.revoked", caller, before={"name": source.name}):
            changes = [SetPath("revokedAt", iso(self._clock.now()))]
            stored = await self._store.patch(CONTAINER, (id,), id, changes)
        self._cache.pop(id, None)
        return HookSource.from_document(stored.document)

    async def delete(self, id: str, *, caller: Caller) -> None:
        """Nobody may call in by it any more: at once here, within seconds elsewhere. Raises ``NotFound``."""
        source = await self.get(id)
        async with self._recorded(id, "hook.deleted", caller, before={"name": source.name, "kind": source.kind}):
            await self._store.delete(CONTAINER, (id,), id)
            if source.secret_ref is not None:
                await self._vault.delete(source.secret_ref)
                self._keys.pop(source.secret_ref, None)
            if source.broker_ref is not None:
                await self._vault.delete(source.broker_ref)
        self._cache.pop(id, None)

    async def admit(self, id: str, token: str) -> HookSource | None:
        """The source, if the token is its own. An unknown id takes the same steps as a wrong token."""
        now = self._clock.now()
        known = self._cache.get(id)
        if known is None or now - known[0] >= CACHE_FOR:
            known = await self._look_up(id, now)
        source = known[1]
        if source is None:
            hmac.compare_digest(_hash(token), _NO_HASH)
            return None
        if not source.opens(token, now):
            return None
        await self._note_use(source, now)
        return source

    async def signing_key(self, source: HookSource) -> bytes | None:
        """The key its sender signs with. Raises ``Unavailable`` when the vault is away: the sender tries again."""
        if source.secret_ref is None:
            return None
        now = self._clock.now()
        known = self._keys.get(source.secret_ref)
        if known is None or now - known[0] >= SECRET_CACHE_FOR:
            secret = await self._vault.get(source.secret_ref)
            if len(self._keys) >= CACHED:
                self._keys.clear()
            known = self._keys[source.secret_ref] = (now, decode_secret(secret.value))
        return known[1]

    async def _note_use(self, source: HookSource, now: datetime) -> None:
        last = max(filter(None, (source.last_used_at, self._noted.get(source.id))), default=None)
        if last is not None and now - last < USE_NOTED_EVERY:
            return
        self._noted[source.id] = now
        if len(self._noted) > CACHED:
            self._noted.popitem(last=False)
        try:
            await self._store.patch(CONTAINER, (source.id,), source.id, [SetPath("lastUsedAt", iso(now))])
        except OvenbridgeError as error:
            # Nice to know, never worth turning a message away.
            log.warning("Cannot note the last use of the hook source %s: %s", source.id, error.detail)

    async def _look_up(self, id: str, now: datetime) -> tuple[datetime, HookSource | None]:
        try:
            source = await self.get(id)
        except NotFound:
            source = None
        known = self._cache[id] = (now, source)
        self._cache.move_to_end(id)
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return known

    def _recorded(
        self, id: str, action: str, caller: Caller, *, before: Any = None, after: Any = None
    ) -> AbstractAsyncContextManager[Any]:
        return self._audit.recorded(
            f"hook:{id}", actor=caller.actor, action=action, target=f"hook:{id}", before=before, after=after
        )


def _refuse_past(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise InvalidInput("It would have expired already; give a time to come, or none.", field="expires_at")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _said(document: Document) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("tokenHash", "secretRef", "brokerRef")} | {
        "signed": document["secretRef"] is not None
    }
