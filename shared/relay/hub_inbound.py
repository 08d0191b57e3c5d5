"""What came in at a relay, into the hub's inbox: judged as at the hub's own door, by the time at which it came in."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.clock import Clock
from shared.errors import InvalidInput, NotFound
from shared.inbox.kinds import Kinds
from shared.inbox.service import Inbox
from shared.inbox.source import HookSource
from shared.inbox.sources import HookSources
from shared.relay.messages import InboundBatch, InboundTaken, LanMessage, LanSource, Taken

__all__ = ["RelayInbound"]

log = logging.getLogger("ovenbridge.relay")

OLDEST = timedelta(days=6)
"""The inbox keeps a week. What waited longer in a plant comes in with the oldest time that is still found there."""

MOST_TEXT = 1_000
"""Characters of what a relay says of a broker."""


class RelayInbound:
    """Takes what relays bring, and says who may call in on site."""

    def __init__(self, sources: HookSources, kinds: Kinds, inbox: Inbox, clock: Clock) -> None:
        self._sources = sources
        self._kinds = kinds
        self._inbox = inbox
        self._clock = clock

    async def assigned(self, relay_id: str) -> Sequence[LanSource]:
        """The sources of a relay that are open, by id."""
        now = self._clock.now()
        found = sorted(await self._sources.of_relay(relay_id), key=lambda source: source.id)
        return [_told(source) for source in found if source.is_open(now)]

    async def take(self, relay_id: str, batch: InboundBatch) -> InboundTaken:
        """Take a batch; what is named in the answer is settled for good.

        Raises:
            InvalidInput: it is in the name of another relay.
            Unavailable: store, queue or vault are away; all of it comes again.
        """
        if batch.relay_id != relay_id:
            raise InvalidInput("relay_id differs from the one in the address.", field="relay_id")
        for source_id, problem in batch.brokers.items():
            source = await self._find(source_id, relay_id)
            if source is not None:
                await self._sources.note_broker(source, problem and problem[:MOST_TEXT], used=False)
        return InboundTaken(messages=tuple([await self._one(relay_id, message) for message in batch.messages]))

    async def _one(self, relay_id: str, message: LanMessage) -> Taken:
        source = await self._find(message.source, relay_id)
        if source is None:
            return self._refused(relay_id, message, f"This relay has no hook source {message.source}.")
        now = self._clock.now()
        came = min(message.received_at, now)
        if not _was_open(source, came):
            return self._refused(relay_id, message, f"The hook source {source.id} was closed when it came in.")
        keys = await self._sources.keys(source)
        seen = self._kinds.get(source.kind).look(source, keys, message.body, message.headers, came)
        accepted = await self._inbox.accept(
            source.id,
            message.body,
            message.headers,
            # One that nothing tells from others is told by its id at the relay, which stays the same.
            dedupe_key=seen.dedupe_key or f"relay:{relay_id}:{message.id}",
            within_seconds=seen.within_seconds if seen.dedupe_key else None,
            verdict=seen.verdict,
            event=seen.event,
            reason=seen.reason,
            equipment_id=seen.equipment_id,
            work_order_id=seen.work_order_id,
            came_at=max(came, now - OLDEST),
        )
        await self._sources.note_broker(source, source.broker_error, used=True)
        if seen.verdict == "rejected":
            return Taken(id=message.id, status="rejected", reason=seen.reason or "It is not genuine.")
        return Taken(id=message.id, status="duplicate" if accepted.duplicate else "taken")

    def _refused(self, relay_id: str, message: LanMessage, reason: str) -> Taken:
        log.warning("What relay %s brought for %s is not taken: %s", relay_id, message.source, reason)
        return Taken(id=message.id, status="refused", reason=reason)

    async def _find(self, source_id: str, relay_id: str) -> HookSource | None:
        try:
            source = await self._sources.get(source_id)
        except NotFound:
            return None
        return source if source.relay_id == relay_id else None


def _was_open(source: HookSource, at: datetime) -> bool:
    """What came in before it was closed is taken."""
    revoked = source.revoked_at is not None and at >= source.revoked_at
    return not revoked and (source.expires_at is None or at < source.expires_at)


def _told(source: HookSource) -> LanSource:
    return LanSource(
        id=source.id,
        kind=source.kind,
        token_hash=source.token_hash,
        old_token_hash=source.old_token_hash,
        old_token_until=source.old_token_until,
        expires_at=source.expires_at,
        created_at=source.created_at,
        broker=None if source.broker is None else dict(source.broker),
    )
