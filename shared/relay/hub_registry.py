"""The relays that are registered, and their tokens.

What if the process dies here? Registering: the document first, then the token; a relay without one is given one by
rotating. Rotating: the new token first, then every other token of the relay is revoked; one whose secret was never
seen, because the process died before it answered, goes with the next rotation. Deleting: the tokens first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shared.clock import Clock
from shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from shared.relay.hub_model import Relay
from shared.storage import DocumentStore, Query, Stored, every

if TYPE_CHECKING:
    from shared.access.identify import Access
    from shared.access.model import Caller
    from shared.audit.log import AuditLog

__all__ = ["RelayPage", "Relays"]

CONTAINER = "relays"
ATTEMPTS = 8
"""Tries to change a relay that others change at the same time."""
MOST = 1_000
"""Relays of a deployment that a timer looks at."""


@dataclass(frozen=True, slots=True)
class RelayPage:
    """A page of relays, in no particular order."""

    relays: list[Relay]
    continuation: str | None


class Relays:
    """Registers relays, gives out their tokens, keeps what is known of them."""

    def __init__(self, store: DocumentStore, access: Access, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._access = access
        self._audit = audit
        self._clock = clock

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

    async def create(self, relay_id: str, *, name: str, site: str | None, caller: Caller) -> tuple[Relay, str]:
        """Register a relay. The second value is its token: shown once, kept nowhere.

        Raises:
            Conflict: there is one with this id.
        """
        relay = Relay(id=relay_id, name=name, site=site, created_at=self._clock.now(), created_by=caller.id)
        if await self.exists(relay_id):
            raise _exists(relay_id)
        async with self._recorded(relay_id, "relay.created", caller, after={"name": name, "site": site}):
            try:
                await self._store.create(CONTAINER, relay.to_document())
            except Conflict:
                raise _exists(relay_id) from None
        return await self._give_token(relay, caller)

    async def rotate(self, relay_id: str, caller: Caller) -> tuple[Relay, str]:
        """Give it a new token; the old one stops working at once here, within half a minute in other processes.

        Raises:
            NotFound: there is no such relay.
        """
        relay = await self.get(relay_id)
        async with self._recorded(relay_id, "relay.token_rotated", caller):
            return await self._give_token(relay, caller)

    async def delete(self, relay_id: str, caller: Caller) -> None:
        """Forget a relay; its tokens stop working. The caller has seen to it that no machine is assigned to it.

        Raises:
            NotFound: there is no such relay.
        """
        relay = await self.get(relay_id)
        before = {"name": relay.name, "site": relay.site}
        async with self._recorded(relay_id, "relay.deleted", caller, before=before):
            await self._revoke_all(relay_id, caller, but=None)
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

    async def _give_token(self, relay: Relay, caller: Caller) -> tuple[Relay, str]:
        token, secret = await self._access.tokens.create(
            name=f"relay {relay.id}", roles=(), expires_at=None, caller=caller, relay_id=relay.id
        )
        _, after = await self.change(relay.id, lambda r: replace(r, token_id=token.id))
        await self._revoke_all(relay.id, caller, but=token.id)
        return after, secret

    async def _revoke_all(self, relay_id: str, caller: Caller, *, but: str | None) -> None:
        for token in await self._access.tokens.of_relay(relay_id):
            if token.id != but:
                await self._access.revoke(token.id, caller=caller)

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
