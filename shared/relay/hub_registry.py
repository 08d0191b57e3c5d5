"""The relays that are registered, and their tokens.

What if the process dies here? Registering: the document first, then the token; a relay without one is given one by
rotating. Rotating: the new token and the key made of it first, then every other token of the relay is revoked; one
whose secret was never seen, because the process died before it answered, goes with the next rotation. Deleting: the
tokens and keys first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import Clock
from shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from shared.relay.hub_keys import RelayKeys
from shared.relay.hub_model import CommandsBy, Key, Relay
from shared.relay.signing import SigningKey, key_of
from shared.storage import DocumentStore, Query, Stored, every

if TYPE_CHECKING:
    from shared.access.identify import Access
    from shared.access.model import Caller
    from shared.audit.log import AuditLog

__all__ = ["KEY_OVERLAP", "RelayPage", "Relays"]

CONTAINER = "relays"
ATTEMPTS = 8
"""Tries to change a relay that others change at the same time."""
MOST = 1_000
"""Relays of a deployment that a timer looks at."""
KEY_OVERLAP = timedelta(hours=1)
"""So long after a rotation batches in the queue may still be signed with the key of the old token. A relay with the old
token hears within half a minute that the hub refuses it, and keeps its readings from then on."""
KEY_KEPT = timedelta(days=8)
"""So long after its end is a key kept, to judge what came in time: messages wait in the queue for up to seven days."""
MOST_KEYS = 10


@dataclass(frozen=True, slots=True)
class RelayPage:
    """A page of relays, in no particular order."""

    relays: list[Relay]
    continuation: str | None


class Relays:
    """Registers relays, gives out their tokens, keeps what is known of them."""

    def __init__(self, store: DocumentStore, access: Access, audit: AuditLog, clock: Clock, *, keys: RelayKeys) -> None:
        self._store = store
        self._access = access
        self._audit = audit
        self._clock = clock
        self.keys = keys
        self._seen: set[str] = set()
        """Keys that are known to be on record: batches come every second, and each token opens the door by itself."""

    # Reading -----------------------------------------------------------------------------------------------------

    async def get(self, relay_id: str) -> Relay:
        """One relay. Raises ``NotFound``."""
        return Relay.from_document((await self._read(relay_id)).document)

    async def exists(self, relay_id: str) -> bool:
        """Is it registered?"""
        try:
            await self._read(relay_id)
        except NotFound:
            return False
        return True

    async def list(self, *, limit: int = 100, continuation: str | None = None) -> RelayPage:
        """A page of relays. Raises ``InvalidInput`` for a continuation that is not ours."""
        page = await self._store.query(CONTAINER, Query(limit=limit, continuation=continuation))
        return RelayPage([Relay.from_document(item.document) for item in page.items], page.continuation)

    async def every(self) -> tuple[Relay, ...]:
        """All of them, at most 1,000: for the timer."""
        found = [
            Relay.from_document(item.document)
            async for item in every(self._store, CONTAINER, Query(limit=100), at_most=MOST)
        ]
        return tuple(found)

    # Changing ----------------------------------------------------------------------------------------------------

    async def create(
        self, relay_id: str, *, name: str, site: str | None, caller: Caller, commands_by: CommandsBy = "http"
    ) -> tuple[Relay, str]:
        """Register a relay. The second value is its token: shown once, kept nowhere.

        Raises:
            Conflict: there is one with this id.
        """
        now = self._clock.now()
        relay = Relay(relay_id, name, site, created_at=now, created_by=caller.id, commands_by=commands_by)
        if await self.exists(relay_id):
            raise _exists(relay_id)
        async with self._recorded(relay_id, "relay.created", caller, after=_told(relay)):
            try:
                await self._store.create(CONTAINER, relay.to_document())
            except Conflict:
                raise _exists(relay_id) from None
        return await self._give_token(relay, caller, KEY_OVERLAP)

    async def edit(self, relay_id: str, wanted: Callable[[Relay], Relay], caller: Caller) -> Relay:
        """Change its name, its site, or how it hears of commands.

        Raises:
            NotFound: there is no such relay.
        """
        before = await self.get(relay_id)
        after = wanted(before)
        if after == before:
            return before
        async with self._recorded(relay_id, "relay.changed", caller, before=_told(before), after=_told(after)):
            _, changed = await self.change(relay_id, wanted)
        return changed

    async def rotate(self, relay_id: str, caller: Caller, *, overlap: timedelta = KEY_OVERLAP) -> tuple[Relay, str]:
        """Give it a new token; the old one stops working at once here, within half a minute in other processes.

        Args:
            relay_id: whose.
            caller: who wants it.
            overlap: so long is what comes by the queue still believed with the key of the old token.

        Raises:
            NotFound: there is no such relay.
        """
        relay = await self.get(relay_id)
        said = {"overlap_seconds": round(overlap.total_seconds())}
        async with self._recorded(relay_id, "relay.token_rotated", caller, after=said):
            return await self._give_token(relay, caller, overlap)

    async def delete(self, relay_id: str, caller: Caller) -> None:
        """Forget a relay; its tokens stop working. The caller has seen to it that no machine is assigned to it.

        Raises:
            NotFound: there is no such relay.
        """
        relay = await self.get(relay_id)
        before = {"name": relay.name, "site": relay.site}
        async with self._recorded(relay_id, "relay.deleted", caller, before=before):
            await self._revoke_all(relay_id, caller, but=None)
            for key in relay.keys:
                await self.keys.forget(key.id)
            await self._store.delete(CONTAINER, (relay_id,), relay_id)

    async def change(self, relay_id: str, step: Callable[[Relay], Relay]) -> tuple[Relay, Relay]:
        """Read, change, write if nobody else wrote in between; else again. Before and after.

        Raises:
            NotFound: there is no such relay.
            Unavailable: too many others change it.
        """
        for _ in range(ATTEMPTS):
            stored = await self._read(relay_id)
            before = Relay.from_document(stored.document)
            after = step(before)
            if after == before:
                return before, after
            try:
                await self._store.replace(CONTAINER, after.to_document(), etag=stored.etag)
            except PreconditionFailed:
                continue
            return before, after
        raise Unavailable(f"The state of relay {relay_id} is being changed by others; try again.")

    # Inside ------------------------------------------------------------------------------------------------------

    async def signing(self, relay_id: str, token: str) -> SigningKey:
        """The key of a relay that came in by this token, made known if it is not: relays that were registered before
        there were keys have none.

        Raises:
            NotFound: there is no such relay.
            Unavailable: the vault or the store is away.
        """
        key = key_of(token)
        if key.id in self._seen:
            return key
        if await self.keys.find(key.id) is None:
            await self.keys.keep(key)
        if not any(known.id == key.id for known in (await self.get(relay_id)).keys):
            await self.change(relay_id, lambda r: replace(r, keys=_with(r.keys, key.id)))
        if len(self._seen) >= MOST:
            self._seen.clear()
        self._seen.add(key.id)
        return key

    async def ended(self, key: Key) -> datetime | None:
        """From when on batches signed with this key are not believed; ``None``: they are."""
        if key.until is not None:
            return key.until
        try:
            token = await self._access.tokens.get(key.id)
        except NotFound:
            return None  # forgotten after a rotation that was broken off; the key goes with the next one
        return min(filter(None, (token.revoked_at, token.expires_at)), default=None)

    async def _give_token(self, relay: Relay, caller: Caller, overlap: timedelta) -> tuple[Relay, str]:
        token, secret = await self._access.tokens.create(
            name=f"relay {relay.id}", roles=(), expires_at=None, caller=caller, relay_id=relay.id
        )
        key = key_of(secret)
        await self.keys.keep(key)
        now = self._clock.now()
        before, after = await self.change(
            relay.id,
            lambda r: replace(r, token_id=token.id, keys=_replaced(r.keys, key.id, until=now + overlap, now=now)),
        )
        await self._revoke_all(relay.id, caller, but=token.id, keep={known.id for known in after.keys})
        for gone in {known.id for known in before.keys} - {known.id for known in after.keys}:
            await self.keys.forget(gone)
        return after, secret

    async def _revoke_all(self, relay_id: str, caller: Caller, *, but: str | None, keep: Collection[str] = ()) -> None:
        for token in await self._access.tokens.of_relay(relay_id):
            if token.id != but:
                await self._access.revoke(token.id, caller=caller)
            if token.id not in keep:
                await self.keys.forget(token.id)

    def _recorded(
        self, relay_id: str, action: str, caller: Caller, before: Any = None, after: Any = None
    ) -> AbstractAsyncContextManager[object]:
        return self._audit.recorded(
            f"relay:{relay_id}",
            actor=caller.actor,
            action=action,
            target=f"relay:{relay_id}",
            before=before,
            after=after,
        )

    async def _read(self, relay_id: str) -> Stored:
        try:
            return await self._store.read(CONTAINER, (relay_id,), relay_id)
        except NotFound:
            raise NotFound(f"There is no relay {relay_id[:64]}; GET /api/v1/relays lists what there is.") from None


def _exists(relay_id: str) -> Conflict:
    return Conflict(f"There is a relay {relay_id} already: choose another id, or give it a new token.")


def _told(relay: Relay) -> dict[str, Any]:
    """What the audit log says of it."""
    said: dict[str, Any] = {"name": relay.name, "site": relay.site}
    return said if relay.commands_by == "http" else said | {"commands_by": relay.commands_by}


def _with(keys: tuple[Key, ...], key_id: str) -> tuple[Key, ...]:
    return keys if any(key.id == key_id for key in keys) else (*keys, Key(key_id))


def _replaced(keys: tuple[Key, ...], key_id: str, *, until: datetime, now: datetime) -> tuple[Key, ...]:
    """The keys with a new one. Those before it end, none later than it was to end already."""
    ended = (replace(key, until=until if key.until is None else min(until, key.until)) for key in keys)
    kept = [key for key in ended if key.until is not None and now < key.until + KEY_KEPT]
    return (*kept[-MOST_KEYS:], Key(key_id))
