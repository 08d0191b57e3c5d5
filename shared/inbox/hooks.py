"""At the door: whose path is it, is it genuine, and into the inbox with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from shared.clock import Clock
from shared.errors import NotFound, Unauthorized
from shared.inbox.kinds import Kinds, LooksAtQuery
from shared.inbox.service import Accepted, Inbox
from shared.inbox.sources import HookSources
from shared.metrics import WEBHOOK_REJECTED
from shared.tracing import mark

__all__ = ["Hooks"]

log = logging.getLogger("ovenbridge.inbox")

MAX_ID = 256


@dataclass(frozen=True, slots=True)
class Hooks:
    """Takes what senders post."""

    sources: HookSources
    inbox: Inbox
    kinds: Kinds
    clock: Clock

    async def receive(
        self,
        source_id: str,
        token: str,
        raw: bytes,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
    ) -> Accepted:
        """Take one message; durable when it returns.

        Raises:
            NotFound: there is no such path; it does not say whether the source or the token is wrong.
            Unauthorized: the path is right and the signature is not. The message is kept, without effect.
        """
        source = await self.sources.admit(source_id, token)
        if source is None:
            WEBHOOK_REJECTED.record(1, reason="address")
            raise NotFound("There is nothing here. Check the address: it is shown once, when a hook source is created.")
        keys = await self.sources.keys(source)
        kind, now = self.kinds.get(source.kind), self.clock.now()
        if query and isinstance(kind, LooksAtQuery):
            seen = kind.look_with_query(source, keys, raw, headers, query, now)
        else:
            seen = kind.look(source, keys, raw, headers, now)
        accepted = await self.inbox.accept(
            source.id,
            raw,
            headers,
            dedupe_key=seen.dedupe_key,
            within_seconds=seen.within_seconds,
            verdict=seen.verdict,
            event=seen.event,
            reason=seen.reason,
            equipment_id=seen.equipment_id,
            work_order_id=seen.work_order_id,
        )
        mark(
            source=source.id,
            inbox_id=accepted.id,
            webhook_id=headers.get("webhook-id", "")[:MAX_ID],
            verdict=seen.verdict,
        )
        if seen.verdict == "rejected":
            reason = seen.reason or "The message is not genuine."
            WEBHOOK_REJECTED.record(1, reason="signature")
            log.warning("A message for the hook source %s was rejected: %s", source.id, reason)
            raise Unauthorized(reason)
        return accepted
