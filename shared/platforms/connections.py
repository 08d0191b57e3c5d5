"""Connections to platforms: where a platform's own API is, how it is spoken to, and with which credentials.

What a connection needs is its platform's business (:class:`Platform`); here it is kept, changed, tested and audited.
Credentials belong to the address that they were given for and never go to another one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from shared import json_text
from shared.audit.log import AuditLog
from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, Unavailable
from shared.secrets import Vault
from shared.storage import Document, DocumentStore, Equals, Query, SetPath, Stored, every

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from shared.access import Caller

__all__ = ["ConnectionCheck", "NewConnection", "Platform", "PlatformConnection", "PlatformConnections", "Secrets"]

CONTAINER = "platformConnections"
CREDENTIALS_FOR = timedelta(minutes=10)
KNOWN_FOR = timedelta(seconds=10)
NOTED_EVERY = timedelta(minutes=5)
CACHED = 1_000
CHANGED_AGAIN_SECONDS = 2.0

Secrets = Mapping[str, str]
"""Credentials by their names, such as ``token`` or ``client_secret``."""
Connections = list["PlatformConnection"]


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """What came of trying a connection."""

    success: bool
    sentence: str
    """For people: what answered, or what to do."""
    response_ms: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewConnection:
    """A connection that is wanted."""

    id: str
    platform: str
    name: str
    options: Mapping[str, Any]
    credentials: Secrets = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlatformConnection:
    """A connection without its secrets."""

    id: str
    platform: str
    name: str
    options: Mapping[str, Any]
    """As the platform checked them, with defaults."""
    address: str
    """``https://api.operations1.app``: where its credentials may be sent."""
    credential_ref: str | None
    enabled: bool
    created_at: datetime
    changed_at: datetime
    changed_by: str
    last_ok_at: datetime | None
    last_error: str | None
    last_error_at: datetime | None

    @classmethod
    def from_document(cls, document: Document) -> PlatformConnection:
        """The connection back from its stored form."""

        def moment(name: str) -> datetime | None:
            return parse_iso(document[name]) if document.get(name) else None

        return cls(
            id=document["id"],
            platform=document["platform"],
            name=document["name"],
            options=document["options"],
            address=document["address"],
            credential_ref=document.get("credentialRef"),
            enabled=document.get("enabled", True),
            created_at=parse_iso(document["createdAt"]),
            changed_at=parse_iso(document["changedAt"]),
            changed_by=document["changedBy"],
            last_ok_at=moment("lastOkAt"),
            last_error=document.get("lastError"),
            last_error_at=moment("lastErrorAt"),
        )


class Platform(Protocol):
    """What a platform says about connections to it. Registered by name in ``services.py``."""

    async def check(self, options: Mapping[str, Any], credentials: Secrets | None) -> tuple[dict[str, Any], str]:
        """The options with their defaults, and the address (``scheme://host[:port]``) that credentials may go to.
        ``credentials``: ``None`` where those that are kept stay.

        Raises:
            InvalidInput, UnsafeTarget: they cannot work; names ``options.<field>`` or ``credentials.<field>``.
        """
        ...

    async def test(self, connection: PlatformConnection, credentials: Secrets) -> ConnectionCheck:
        """Ask the platform something harmless. Never raises for what the platform answers."""
        ...


class PlatformConnections:
    """The connections of this deployment."""

    def __init__(
        self,
        store: DocumentStore,
        vault: Vault,
        audit: AuditLog,
        clock: Clock,
        platforms: Mapping[str, Callable[[], Platform]],
    ) -> None:
        self._store = store
        self._vault = vault
        self._audit = audit
        self._clock = clock
        self._platforms = platforms
        self._known: dict[str, tuple[datetime, PlatformConnection]] = {}
        self._secrets: dict[str, tuple[datetime, Secrets]] = {}
        self._noted: dict[str, tuple[datetime, str | None]] = {}

    def platform(self, name: str) -> Platform:
        """Raises ``InvalidInput``: there is none of this name."""
        if name not in self._platforms:
            there = ", ".join(sorted(self._platforms)) or "none yet"
            raise InvalidInput(f"There is no platform {name[:50]}; there are {there}.", field="platform")
        return self._platforms[name]()

    async def create(self, new: NewConnection, *, caller: Caller) -> PlatformConnection:
        """Make one.

        Raises:
            Conflict: there is one with this id.
            InvalidInput, UnsafeTarget: it cannot work.
        """
        options, address = await self.platform(new.platform).check(new.options, new.credentials)
        now = iso(self._clock.now())
        document: Document = {
            "id": new.id,
            "platform": new.platform,
            "name": new.name,
            "options": options,
            "address": address,
            "credentialRef": _ref(new.id) if new.credentials else None,
            "enabled": True,
            "createdAt": now,
            "changedAt": now,
            "changedBy": caller.id,
        }
        async with self._recorded(new.id, "connection.created", caller, after=_said(document)):
            if new.credentials:
                await self._vault.set(
                    document["credentialRef"], _packed(new.credentials), expires_at=_end_of(new.credentials)
                )
            try:
                await self._store.create(CONTAINER, document)
            except Conflict as err:
                if new.credentials:
                    await self._vault.delete(document["credentialRef"])
                raise Conflict(f"There is a connection {new.id} already; choose another id.") from err
        return PlatformConnection.from_document(document)

    async def get(self, id: str) -> PlatformConnection:
        """One connection, as it stands. Raises ``NotFound``."""
        return PlatformConnection.from_document(await self._read(id))

    async def known(self, id: str) -> PlatformConnection:
        """One connection, at most some seconds old: for every message. Raises ``NotFound``."""
        now = self._clock.now()
        found = self._known.get(id)
        if found is None or now - found[0] >= KNOWN_FOR:
            found = self._known[id] = (now, await self.get(id))
            if len(self._known) > CACHED:
                self._known.pop(next(iter(self._known)))
        return found[1]

    async def list(self, platform: str | None = None) -> Connections:
        """All, or those of a platform, by id."""
        conditions = () if platform is None else (Equals("platform", platform),)
        stored = every(self._store, CONTAINER, Query(conditions, limit=1000))
        return sorted([PlatformConnection.from_document(s.document) async for s in stored], key=lambda one: one.id)

    async def change(
        self,
        id: str,
        *,
        caller: Caller,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
        credentials: Secrets | None = None,
        enabled: bool | None = None,
    ) -> PlatformConnection:
        """Change what is given; ``options`` whole.

        Raises:
            NotFound: there is none.
            InvalidInput, UnsafeTarget: it could not work; or the address is another one and no credentials come along.
            PreconditionFailed: somebody else changed it just now.
        """
        stored = await self._store_read(id)
        document = dict(stored.document)
        before = _said(document)
        checked, address = await self.platform(document["platform"]).check(
            document["options"] if options is None else options, credentials
        )
        if address != document["address"] and document.get("credentialRef") and credentials is None:
            raise InvalidInput(
                f"Its credentials were given for {document['address']} and are not sent to {address}: give them again.",
                field="credentials",
            )
        document |= {"options": checked, "address": address}
        document |= {key: value for key, value in (("name", name), ("enabled", enabled)) if value is not None}
        document |= {"changedAt": iso(self._clock.now()), "changedBy": caller.id}
        old_ref = document.get("credentialRef")
        if credentials is not None:
            document["credentialRef"] = _ref(id) if credentials else None
        after = _said(document) | {"credentials_changed": credentials is not None}
        async with self._recorded(id, "connection.changed", caller, before=before, after=after):
            if credentials:
                await self._vault.set(document["credentialRef"], _packed(credentials), expires_at=_end_of(credentials))
            try:
                await self._store.replace(CONTAINER, document, etag=stored.etag)
            except PreconditionFailed:
                if credentials:
                    await self._vault.delete(document["credentialRef"])
                raise PreconditionFailed("Somebody else has just changed it: read it, then repeat.") from None
            if credentials is not None and old_ref is not None:
                await self._vault.delete(old_ref)
        self._known.pop(id, None)
        return PlatformConnection.from_document(document)

    async def delete(self, id: str, *, caller: Caller) -> None:
        """Forget it with its credentials. Raises ``NotFound``."""
        document = await self._read(id)
        async with self._recorded(id, "connection.deleted", caller, before=_said(document)):
            await self._store.delete(CONTAINER, (id,), id)
            if document.get("credentialRef"):
                await self._vault.delete(document["credentialRef"])
        self._known.pop(id, None)

    async def credentials(self, connection: PlatformConnection, *, fresh: bool = False) -> Secrets:
        """Its credentials; ``fresh``: after the platform refused those that were kept in memory.

        Raises:
            Unavailable: the vault is away, or somebody changes the connection right now: read it anew and try again.
        """
        ref = connection.credential_ref
        if ref is None:
            return {}
        now = self._clock.now()
        known = self._secrets.get(ref)
        if known is None or fresh or now - known[0] >= CREDENTIALS_FOR:
            try:
                secret = await self._vault.get(ref)
            except NotFound as err:
                # Another instance has given it others since we read it, perhaps for another address: whoever asks has
                # to read the connection anew, and none of its work is lost over that.
                self._known.pop(connection.id, None)
                self._secrets.pop(ref, None)
                raise Unavailable(
                    f"The credentials of the connection {connection.id} are being changed. If this lasts, the vault "
                    "has lost them: give them again.",
                    retry_after=CHANGED_AGAIN_SECONDS,
                ) from err
            if len(self._secrets) >= CACHED:
                self._secrets.clear()
            known = self._secrets[ref] = (now, json_text.load(secret.value))
        return known[1]

    async def test(self, id: str) -> ConnectionCheck:
        """Try it now, and note what came of it. Raises ``NotFound``, ``Unavailable``."""
        connection = await self.get(id)
        outcome = await self.platform(connection.platform).test(
            connection, await self.credentials(connection, fresh=True)
        )
        await self.note(connection, None if outcome.success else outcome.sentence, at_once=True)
        return outcome

    async def note(self, connection: PlatformConnection, error: str | None, *, at_once: bool = False) -> None:
        """It worked (``None``), or why not: written down when that is news, and now and then when it is not."""
        now = self._clock.now()
        last = self._noted.get(connection.id)
        if not at_once and last is not None and last[1] == error and now - last[0] < NOTED_EVERY:
            return
        self._noted[connection.id] = (now, error)
        changes = [SetPath("lastError", error), SetPath("lastErrorAt" if error else "lastOkAt", iso(now))]
        try:
            await self._store.patch(CONTAINER, (connection.id,), connection.id, changes)
        except NotFound:
            return  # it was deleted meanwhile

    async def _read(self, id: str) -> Document:
        return (await self._store_read(id)).document

    async def _store_read(self, id: str) -> Stored:
        try:
            return await self._store.read(CONTAINER, (id,), id)
        except NotFound as err:
            raise NotFound(f"There is no connection {id[:64]}; GET /api/v1/connections lists what there is.") from err

    def _recorded(
        self, id: str, action: str, caller: Caller, *, before: Any = None, after: Any = None
    ) -> AbstractAsyncContextManager[Any]:
        return self._audit.recorded(
            f"connection:{id}", actor=caller.actor, action=action, target=id, before=before, after=after
        )


def _ref(id: str) -> str:
    """A name of its own: making an id that exists must not touch the secrets of the one that has it."""
    return f"connection-{id}-{secrets.token_hex(4)}"


def _packed(credentials: Secrets) -> str:
    return json_text.dump(dict(credentials)).decode()


def _end_of(credentials: Secrets) -> datetime | None:
    """When they end, where they say so (``expires_at``): the vault's watch tells of it in time."""
    said = credentials.get("expires_at")
    try:
        return parse_iso(said) if said else None
    except (ValueError, OverflowError):
        return None


def _said(document: Document) -> dict[str, Any]:
    shown = ("name", "platform", "options", "address", "enabled")
    return {key: document.get(key) for key in shown} | {"credentials_set": bool(document.get("credentialRef"))}
