"""At the door: whose path is it, is the signature right, and into the inbox with it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from shared.clock import Clock
from shared.errors import NotFound, Unauthorized
from shared.inbox.model import Verdict
from shared.inbox.service import Accepted, Inbox
from shared.inbox.signature import why_not_genuine
from shared.inbox.sources import HookSource, HookSources
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
    clock: Clock

    async def receive(self, source_id: str, token: str, raw: bytes, headers: Mapping[str, str]) -> Accepted:
        """Take one message; durable when it returns.

        Raises:
            NotFound: there is no such path; it does not say whether the source or the token is wrong.
            Unauthorized: the path is right and the signature is not. The message is kept, without effect.
        """
        source = await self.sources.admit(source_id, token)
        if source is None:
            WEBHOOK_REJECTED.record(1, reason="address")
            raise NotFound("There is nothing here. Check the address: it is shown once, when a hook source is created.")
        key = await self.sources.signing_key(source)
        reason = None if key is None else why_not_genuine(key, headers, raw, self.clock.now())
        verdict: Verdict = "unsigned" if key is None else "verified" if reason is None else "rejected"
        dedupe_key, within = _sameness(source, headers, raw)
        accepted = await self.inbox.accept(
            source.id,
            raw,
            headers,
            dedupe_key=dedupe_key,
            within_seconds=within,
            verdict=verdict,
            event=headers.get("webhook-event", "")[:100] or source.event_name,
            reason=reason,
            equipment_id=source.equipment_id,
        )
        mark(source=source.id, inbox_id=accepted.id, webhook_id=headers.get("webhook-id", "")[:MAX_ID], verdict=verdict)
        if reason is not None:
            WEBHOOK_REJECTED.record(1, reason="signature")
            log.warning("A message for the hook source %s was rejected: %s", source.id, reason)
            raise Unauthorized(reason)
        return accepted


def _sameness(source: HookSource, headers: Mapping[str, str], raw: bytes) -> tuple[str | None, int | None]:
    """What makes it the same message if it comes again, and for how long."""
    given = headers.get("webhook-id", "")
    if 0 < len(given) <= MAX_ID:
        return f"id:{given}", None
    if source.identical_within_seconds:
        return f"body:{hashlib.sha256(raw).hexdigest()}", source.identical_within_seconds
    return None, None
