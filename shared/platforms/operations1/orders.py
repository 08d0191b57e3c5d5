"""Creating orders, each once.

The API has no idempotency key: what makes an order the same is its ``customOrderId``. So whoever wants one looks
whether it is there; and because two of ours may look at the same moment, only who holds the claim may post.

What if the process dies here?

- with the claim, before or after looking: the claim ends by itself within seconds, and the next one looks again.
- after posting: the next one finds it by looking.

An answer that does not say whether it was made (a timeout, a 500) is no reason to post again: the claim stands until
the platform had time to show it, and the next one looks first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.audit.log import AuditLog
from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, NotFound, OvenbridgeError, PreconditionFailed, Unavailable
from shared.ids import digest_id, new_id
from shared.platforms.connections import PlatformConnection
from shared.platforms.operations1.connection import RestOptions
from shared.platforms.operations1.happenings import CONTAINER
from shared.platforms.operations1.rest import RestClient, Unsure
from shared.storage import Document, DocumentStore

__all__ = ["CreatedOrder", "Orders"]

LOOKING = timedelta(seconds=5)
"""Beside the time that a request may take."""
SETTLES = timedelta(seconds=20)
"""So long after an unsure answer the order may not be shown yet."""
WAITS_SECONDS = 5.0
LOOKS_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class CreatedOrder:
    """An order, and whether this call made it."""

    order: Mapping[str, Any]
    """As the platform tells of it."""
    created: bool


class Orders:
    """Creates them."""

    def __init__(self, rest: RestClient, store: DocumentStore, audit: AuditLog, clock: Clock) -> None:
        self._rest = rest
        self._store = store
        self._audit = audit
        self._clock = clock

    async def create(
        self, connection: PlatformConnection, wanted: Mapping[str, Any], *, actor: Mapping[str, str]
    ) -> CreatedOrder:
        """The order with this ``customOrderId``: the one that is there, else a new one.

        Args:
            connection: where.
            wanted: the order as the API takes it.
            actor: who wants it, for the audit log.

        Raises:
            Unavailable: not now, or somebody else is at it; repeating it does no harm.
            OvenbridgeError: as ``RestClient.call``; nothing was made.
        """
        custom = str(wanted["customOrderId"])
        last = asyncio.get_running_loop().time() + WAITS_SECONDS
        while True:
            found = await self._find(connection, custom)
            if found is not None:
                return CreatedOrder(found, False)
            claimed = await self._claim(connection, custom)
            if claimed is not None:
                break
            # Somebody else is at it: what comes of that is to be seen by looking.
            await self._released(connection, custom, last)
        claim, etag = claimed
        try:
            # Somebody may have made it between our look and our claim.
            found = await self._find(connection, custom)
            if found is None:
                etag = await self._hold(connection, claim, etag)
        except OvenbridgeError:
            await self._let_go(claim, etag)
            raise
        if found is not None:
            await self._let_go(claim, etag)
            return CreatedOrder(found, False)
        return CreatedOrder(await self._post(connection, wanted, claim, etag, actor), True)

    async def _post(
        self,
        connection: PlatformConnection,
        wanted: Mapping[str, Any],
        claim: Document,
        etag: str,
        actor: Mapping[str, str],
    ) -> dict[str, Any]:
        custom = wanted["customOrderId"]
        try:
            async with self._audit.recorded(
                f"connection:{connection.id}",
                actor=actor,
                action="order.created",
                target=connection.id,
                after={"customOrderId": custom, "name": wanted.get("name")},
            ):
                made = await self._rest.create_order(connection, wanted)
        except Unsure as error:
            await self._keep_for(claim, etag, SETTLES)
            raise Unavailable(
                f"{error.detail} Nothing is posted again before it was looked for: repeat this in a while.",
                retry_after=SETTLES.total_seconds(),
            ) from error
        except OvenbridgeError:
            await self._let_go(claim, etag)
            raise
        await self._let_go(claim, etag)
        return made

    # Inside ------------------------------------------------------------------------------------------------------

    async def _find(self, connection: PlatformConnection, custom: str) -> dict[str, Any] | None:
        page = await self._rest.orders(connection, {"customOrderIds": [custom]}, at_most=200)
        # A filter that the platform does not understand may be ignored by it: believe only what we see.
        return next((one for one in page.items if str(one.get("customOrderId")) == custom), None)

    async def _claim(self, connection: PlatformConnection, custom: str) -> tuple[Document, str] | None:
        """The right to post it, for some seconds; ``None``: somebody else has it."""
        options = RestOptions.model_validate(connection.options)
        name, now = _name(options, custom), self._clock.now()
        document: Document = {"id": name, "by": new_id(), "until": iso(now + self._lease(options))}
        try:
            stored = await self._store.read(CONTAINER, (name,), name)
            if parse_iso(stored.document["until"]) > now:
                return None
            return document, (await self._store.replace(CONTAINER, document, etag=stored.etag)).etag
        except PreconditionFailed:
            return None
        except NotFound:
            pass
        try:
            return document, (await self._store.create(CONTAINER, document)).etag
        except Conflict:
            return None

    async def _released(self, connection: PlatformConnection, custom: str, last: float) -> None:
        """Wait until nobody has the claim. Raises ``Unavailable``: that takes too long."""
        name = _name(RestOptions.model_validate(connection.options), custom)
        while True:
            try:
                until = parse_iso((await self._store.read(CONTAINER, (name,), name)).document["until"])
            except NotFound:
                return
            left = (until - self._clock.now()).total_seconds()
            if left <= 0:
                return
            if asyncio.get_running_loop().time() >= last:
                raise Unavailable(
                    f"The order {custom[:100]} is being created by somebody else, or was a moment ago: repeat this "
                    f"in {max(1, round(left))} s, and it is looked for first.",
                    retry_after=max(1.0, left),
                )
            await asyncio.sleep(LOOKS_EVERY)

    async def _hold(self, connection: PlatformConnection, claim: Document, etag: str) -> str:
        """Ours for as long as posting may take; who looked for too long has lost it."""
        options = RestOptions.model_validate(connection.options)
        held = {**claim, "until": iso(self._clock.now() + self._lease(options))}
        try:
            return (await self._store.replace(CONTAINER, held, etag=etag)).etag
        except (PreconditionFailed, NotFound) as err:
            raise Unavailable("Somebody else has begun to create this order. Repeat this.", retry_after=2.0) from err

    @staticmethod
    def _lease(options: RestOptions) -> timedelta:
        return timedelta(seconds=options.timeout_seconds) + LOOKING

    async def _keep_for(self, claim: Document, etag: str, span: timedelta) -> None:
        try:
            await self._store.replace(CONTAINER, {**claim, "until": iso(self._clock.now() + span)}, etag=etag)
        except (PreconditionFailed, NotFound):
            return  # it ran out, and somebody else has it

    async def _let_go(self, claim: Document, etag: str) -> None:
        try:
            await self._store.delete(CONTAINER, (claim["id"],), claim["id"], etag=etag)
        except (PreconditionFailed, NotFound):
            return  # likewise


def _name(options: RestOptions, custom: str) -> str:
    return f"order:{digest_id(options.root, custom)}"
