"""Who may call in: hook sources, each with a secret path and, if the sender can sign or sign in, secrets for that.

Which options and secrets a source may have is its kind's business (``kinds.py``); here they are kept.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared import json_text
from shared.audit import AuditLog
from shared.clock import Clock, iso
from shared.errors import Conflict, InvalidInput, NotFound, OvenbridgeError, PreconditionFailed, Unavailable
from shared.inbox.kinds import SourceKeys
from shared.inbox.source import NO_HASH, HookSource, NewHookSource, token_hash
from shared.secrets import Vault
from shared.storage import Document, DocumentStore, Equals, PatchOperation, Query, SetPath, Stored

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
MAX_TRIES = 10
USE_NOTED_EVERY = timedelta(minutes=5)


class HookSources:
    """The sources of this deployment."""

    def __init__(self, store: DocumentStore, vault: Vault, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._audit = audit
        self._clock = clock
        self._cache: OrderedDict[str, tuple[datetime, HookSource | None]] = OrderedDict()
        self._keys: dict[str, tuple[datetime, str]] = {}
        self._noted: OrderedDict[str, datetime] = OrderedDict()
        self._broker_errors: dict[str, str | None] = {}

    async def create(
        self,
        wanted: NewHookSource,
        *,
        caller: Caller,
        signing_secret: str | None = None,
        credentials: Mapping[str, str] | None = None,
        broker_credentials: Mapping[str, str] | None = None,
    ) -> tuple[HookSource, str]:
        """Create a source. The second value is the token of its path: shown once, stored hashed.

        Its kind has checked ``wanted.options`` and the secrets.

        Raises:
            Conflict: there is one with this id.
            InvalidInput: its address would have expired already.
        """
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
            "options": dict(wanted.options),
            "secretRef": _ref(wanted.id, "secret") if signing_secret else None,
            "credentialsRef": _ref(wanted.id, "login") if credentials else None,
            "tokenHash": token_hash(token),
            "expiresAt": iso(wanted.expires_at) if wanted.expires_at else None,
            "createdAt": iso(now),
            "createdBy": caller.id,
        }
        if wanted.broker is not None:
            document["broker"] = dict(wanted.broker)
        if wanted.relay_id is not None:
            document["relayId"] = wanted.relay_id
        if broker_credentials:
            document["brokerRef"] = _ref(wanted.id, "broker")
        async with self._recorded(wanted.id, "hook.created", caller, after=_said(document)):
            await self._keep(document["secretRef"], signing_secret)
            await self._keep(document["credentialsRef"], _packed(credentials))
            await self._keep(document.get("brokerRef"), _packed(broker_credentials))
            try:
                await self._store.create(CONTAINER, document)
            except Conflict as err:
                await self._forget(document["secretRef"], document["credentialsRef"], document.get("brokerRef"))
                raise Conflict(f"There is a hook source {wanted.id} already; choose another id.") from err
        self._cache.pop(wanted.id, None)
        return HookSource.from_document(document), token

    async def get(self, id: str) -> HookSource:
        """One source. Raises ``NotFound``."""
        return HookSource.from_document((await self._read(id)).document)

    async def _read(self, id: str) -> Stored:
        try:
            return await self._store.read(CONTAINER, (id,), id)
        except NotFound as err:
            raise NotFound("There is no such hook source.") from err

    async def list(self, *, limit: int = 100, continuation: str | None = None) -> tuple[list[HookSource], str | None]:
        """A page of all sources, in no particular order."""
        page = await self._store.query(CONTAINER, Query(limit=limit, continuation=continuation))
        return [HookSource.from_document(item.document) for item in page.items], page.continuation

    async def of_kind(self, kind: str) -> Sequence[HookSource]:
        """All sources of a kind, at most a thousand."""
        page = await self._store.query(CONTAINER, Query((Equals("platform", kind),), limit=1000))
        return [HookSource.from_document(item.document) for item in page.items]

    async def of_relay(self, relay_id: str) -> Sequence[HookSource]:
        """All sources whose messages come in at this relay, at most a thousand."""
        page = await self._store.query(CONTAINER, Query((Equals("relayId", relay_id),), limit=1000))
        return [HookSource.from_document(item.document) for item in page.items]

    async def broker_credentials(self, source: HookSource) -> Mapping[str, str]:
        """What its broker is asked with. Raises ``InvalidInput`` (they are lost), ``Unavailable``."""
        if source.broker_ref is None:
            return {}
        try:
            found: dict[str, str] = json_text.load((await self._vault.get(source.broker_ref)).value)
        except NotFound as err:
            said = f"The vault has lost the broker's credentials of {source.id}: delete this source and make it anew."
            raise InvalidInput(said, field="broker") from err
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
                SetPath("tokenHash", token_hash(token)),
                SetPath("oldTokenHash", source.token_hash if keep else None),
                SetPath("oldTokenUntil", until),
                SetPath("rotatedAt", iso(now)),
                SetPath("expiresAt", said["expiresAt"]),
                SetPath("revokedAt", None),
                SetPath("kept", {}),
            ]
            kept = (await self._read(id)).document.get("kept", {})
            stored = await self._store.patch(CONTAINER, (id,), id, changes)
            await self._forget(*(one["ref"] for one in kept.values()))
        self._cache.pop(id, None)
        return HookSource.from_document(stored.document), token

    async def kept_token(self, id: str, keeper: str, *, caller: Caller) -> str:
        """A token of its path that we hand out ourselves, the same whenever it is asked for: for registering somewhere
        without a person. It lies in the vault. Rotating the source makes another one of it.

        Args:
            id: of the source.
            keeper: who asks; each has a token of its own.
            caller: who that is, for the audit log.

        Raises:
            NotFound: there is no such source.
            Unavailable: the vault is away, or too many others change the source at once.
        """
        for _ in range(MAX_TRIES):
            stored = await self._read(id)
            kept = stored.document.get("kept", {})
            if keeper in kept:
                return await self._secret(kept[keeper]["ref"], self._clock.now())
            token, ref = secrets.token_urlsafe(TOKEN_BYTES), _ref(id, "kept")
            changed = {**stored.document, "kept": {**kept, keeper: {"ref": ref, "hash": token_hash(token)}}}
            async with self._recorded(id, "hook.address_kept", caller, after={"keeper": keeper}):
                await self._vault.set(ref, token)
                try:
                    await self._store.replace(CONTAINER, changed, etag=stored.etag)
                except PreconditionFailed:
                    await self._vault.delete(ref)
                    continue
            self._cache.pop(id, None)
            return token
        raise Unavailable("Too many others change this hook source at once. Try again.", retry_after=1.0)

    async def change(self, id: str, fields: Mapping[str, Any], *, caller: Caller) -> HookSource:
        """Change a source in place; its address and secrets stay.

        Args:
            id: of the source.
            fields: of the stored form: ``name``, ``eventName``, ``equipmentId``, ``identicalWithinSeconds``,
                ``options`` (whole, checked by its kind).
            caller: who does it.

        Raises:
            NotFound: there is no such source.
        """
        stored = await self._read(id)
        before = {name: stored.document.get(name) for name in fields}
        async with self._recorded(id, "hook.changed", caller, before=before, after=dict(fields)):
            changes = [SetPath(name, value) for name, value in fields.items()]
            stored = await self._store.patch(CONTAINER, (id,), id, changes)
        self._cache.pop(id, None)
        return HookSource.from_document(stored.document)

    async def give_secrets(
        self,
        id: str,
        *,
        signing_secret: str | None,
        credentials: Mapping[str, str] | None,
        keep_old_seconds: int,
        caller: Caller,
    ) -> HookSource:
        """Give a source other secrets; those before them count on for a while.

        ``None`` leaves that one as it is. Its kind has checked them.

        Raises:
            NotFound: there is no such source.
        """
        source = await self.get(id)
        until = iso(self._clock.now() + timedelta(seconds=keep_old_seconds)) if keep_old_seconds else None
        changes: list[PatchOperation] = [SetPath("oldSecretsUntil", until)]
        given: list[tuple[str, str]] = []
        for name, secret, ref in (
            ("secret", signing_secret, source.secret_ref),
            ("credentials", _packed(credentials), source.credentials_ref),
        ):
            if secret is None:
                continue
            new = _ref(id, name)
            given.append((new, secret))
            changes += [
                SetPath(f"{name}Ref", new),
                SetPath(f"old{name.capitalize()}Ref", ref if keep_old_seconds else None),
            ]
        said = {"oldSecretsUntil": until, "signing": signing_secret is not None, "credentials": credentials is not None}
        async with self._recorded(id, "hook.secrets_changed", caller, after=said):
            for ref, secret in given:
                await self._vault.set(ref, secret)
            stored = await self._store.patch(CONTAINER, (id,), id, changes)
            now = HookSource.from_document(stored.document)
            kept = {now.secret_ref, now.credentials_ref, now.old_secret_ref, now.old_credentials_ref}
            was = (source.secret_ref, source.credentials_ref, source.old_secret_ref, source.old_credentials_ref)
            await self._forget(*(ref for ref in was if ref not in kept))
        self._cache.pop(id, None)
        return now

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
        document = (await self._read(id)).document
        source = HookSource.from_document(document)
        async with self._recorded(id, "hook.deleted", caller, before={"name": source.name, "kind": source.kind}):
            await self._store.delete(CONTAINER, (id,), id)
            await self._forget(source.secret_ref, source.credentials_ref, source.broker_ref)
            await self._forget(source.old_secret_ref, source.old_credentials_ref)
            await self._forget(*(one["ref"] for one in document.get("kept", {}).values()))
        self._cache.pop(id, None)

    async def admit(self, id: str, token: str) -> HookSource | None:
        """The source, if the token is its own. An unknown id takes the same steps as a wrong token."""
        now = self._clock.now()
        known = self._cache.get(id)
        if known is None or now - known[0] >= CACHE_FOR:
            known = await self._look_up(id, now)
        source = known[1]
        if source is None:
            hmac.compare_digest(token_hash(token), NO_HASH)
            return None
        if source.relay_id is not None or not source.opens(token, now):
            return None
        await self._note_use(source, now)
        return source

    async def keys(self, source: HookSource) -> SourceKeys:
        """What its sender signs or signs in with. Raises ``Unavailable`` when the vault is away, or somebody else just
        gives it other secrets: the sender tries again."""
        now = self._clock.now()
        old_counts = source.old_secrets_until is not None and now < source.old_secrets_until
        signing = (source.secret_ref, source.old_secret_ref if old_counts else None)
        logins = (source.credentials_ref, source.old_credentials_ref if old_counts else None)
        try:
            return SourceKeys(
                tuple([await self._secret(ref, now) for ref in signing if ref is not None]),
                tuple([json_text.load(await self._secret(ref, now)) for ref in logins if ref is not None]),
            )
        except NotFound as err:
            self._cache.pop(source.id, None)
            said = f"The secrets of the hook source {source.id} are being changed, or lost: then give it others."
            raise Unavailable(said, retry_after=2.0) from err

    async def _secret(self, ref: str, now: datetime) -> str:
        known = self._keys.get(ref)
        if known is None or now - known[0] >= SECRET_CACHE_FOR:
            secret = await self._vault.get(ref)
            if len(self._keys) >= CACHED:
                self._keys.clear()
            known = self._keys[ref] = (now, secret.value)
        return known[1]

    async def _keep(self, ref: str | None, secret: str | None) -> None:
        if ref is not None and secret is not None:
            await self._vault.set(ref, secret)

    async def _forget(self, *refs: str | None) -> None:
        for ref in filter(None, refs):
            await self._vault.delete(ref)
            self._keys.pop(ref, None)

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


def _ref(id: str, what: str) -> str:
    """A name of its own: creating an id that exists must not touch the secrets of the source that has it."""
    return f"hook-{id}-{what}-{secrets.token_hex(4)}"


def _packed(credentials: Mapping[str, str] | None) -> str | None:
    return json_text.dump(dict(credentials)).decode() if credentials else None


def _said(document: Document) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "tokenHash" and not key.endswith("Ref")} | {
        "signed": document["secretRef"] is not None
    }
