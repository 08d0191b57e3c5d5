"""Subscriptions of flows: callbacks of the dialect ``flat``.

A flow that is saved subscribes again, and nobody says whether it takes its old subscription back before or after
(reference/azure.md section 8, point 8); an answer that got lost makes it ask twice. So a callback belongs to the
address of a flow, its trigger and its filters, and each asking gets a name of its own for it. Only the newest name
takes it away: whatever the order, the flow is told once of each event, and what already waits for it is not lost.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from shared.access import Caller
from shared.callbacks.model import ANY, Callback, NewCallback, State
from shared.callbacks.registry import Callbacks
from shared.errors import Conflict, InvalidInput, NotFound
from shared.ids import digest_id, new_id
from shared.platforms.power_automate.flat import DIALECT
from shared.platforms.power_automate.forms import Subscribe
from shared.platforms.power_automate.triggers import TRIGGERS, Trigger

__all__ = ["Flow", "Subscriptions", "severities_from", "subscription_id", "trigger_of"]

SEVERITIES = ("info", "warning", "critical")
MOST = 10_000
TRIES = 5


@dataclass(frozen=True, slots=True)
class Flow:
    """Which flow asks, as far as the platform tells."""

    name: str | None = None
    environment: str | None = None


class Subscriptions:
    """Who wants a flow started."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks
        self._one_at_a_time = asyncio.Lock()

    async def subscribe(self, trigger: Trigger, asked: Subscribe, flow: Flow, caller: Caller) -> tuple[str, Callback]:
        """Subscribe; the next event is told already when this returns. The subscription's id comes first.

        Raises:
            InvalidInput, UnsafeTarget: naming the field.
            Conflict: there are too many, or the same one is being taken away this moment.
            Unavailable: store or vault are away.
        """
        wanted = _wanted(trigger, asked, flow)
        async with self._one_at_a_time:
            callback = await self._made_or_handed_over(wanted, caller)
        if callback.state is State.DISABLED:
            # The flow was switched off and is back.
            callback = await self._callbacks.enable(callback.id, caller=caller)
        return subscription_id(callback), callback

    async def _made_or_handed_over(self, wanted: NewCallback, caller: Caller) -> Callback:
        for _ in range(TRIES):
            known = await self._known(wanted.about["fingerprint"])
            if known is None:
                return await self._callbacks.create(wanted, caller=caller)
            try:
                return await self._callbacks.hand_over(known.id, wanted.about, caller=caller)
            except (Conflict, NotFound):
                continue  # it was taken away, or disabled, since we looked
        raise Conflict("The same subscription is being changed by others; try again.")

    async def unsubscribe(self, id: str, caller: Caller) -> None:
        """Take it away. One that is gone, or was handed on to a newer asking, is no error."""
        callback_id, _, holder = id.partition("-")
        try:
            callback = await self._callbacks.get(callback_id)
            if callback.dialect == DIALECT and callback.about.get("holder") == holder:
                await self._callbacks.delete(callback_id, caller=caller, when={"about.holder": holder})
        except NotFound:
            return
        except Conflict:
            # Either somebody else takes it away, or it was handed on since we looked: both are what is wanted.
            if await self._still_held(callback_id, holder):
                raise

    async def _still_held(self, callback_id: str, holder: str) -> bool:
        try:
            return (await self._callbacks.get(callback_id)).about.get("holder") == holder
        except NotFound:
            return False

    async def get(self, id: str) -> Callback:
        """One subscription, by any name it was given. Raises ``NotFound``."""
        try:
            callback = await self._callbacks.get(id.partition("-")[0])
        except NotFound:
            callback = None
        if callback is None or callback.dialect != DIALECT:
            raise NotFound(f"There is no subscription {id[:80]}; the flow that had it was changed or deleted.")
        return callback

    async def list(self, *, offset: int, limit: int) -> tuple[list[Callback], int]:
        """Subscriptions of flows, oldest first, and how many there are."""
        page = await self._callbacks.list(offset=offset, limit=limit, dialect=DIALECT)
        return page.items, page.total

    async def test(self, id: str, caller: Caller) -> str:
        """Send a test notification; the id of its delivery. Raises ``NotFound``, ``Conflict``."""
        callback = await self.get(id)
        return await self._callbacks.test(callback.id, caller=caller)

    async def _known(self, fingerprint: str) -> Callback | None:
        page = await self._callbacks.list(limit=MOST, dialect=DIALECT)
        return next((c for c in page.items if c.about.get("fingerprint") == fingerprint), None)


def subscription_id(callback: Callback) -> str:
    """Its newest name."""
    return f"{callback.id}-{callback.about['holder']}"


def severities_from(lowest: str | None) -> tuple[str, ...]:
    """This one and what is worse; empty: whatever it is."""
    return () if lowest is None else SEVERITIES[SEVERITIES.index(lowest) :]


def trigger_of(key: str) -> Trigger:
    """Raises ``NotFound``."""
    found = TRIGGERS.get(key)
    if found is None:
        raise NotFound(f"There is no trigger {key[:80]}; choose of {', '.join(TRIGGERS)}.")
    return found


def _wanted(trigger: Trigger, asked: Subscribe, flow: Flow) -> NewCallback:
    if asked.minimum_severity is not None and not trigger.by_severity:
        raise InvalidInput(
            f'minimum_severity: "{trigger.summary}" has no severity to choose by; leave it out.',
            field="minimum_severity",
        )
    if asked.event_type is not None and trigger.event_type is not None:
        raise InvalidInput(f'event_type: "{trigger.summary}" is of one type already; leave it out.', field="event_type")
    filters = (asked.equipment_id or "", asked.minimum_severity or "", asked.site or "", asked.event_type or "")
    about: dict[str, Any] = {
        "trigger": trigger.key,
        "holder": new_id()[:16],
        "fingerprint": digest_id(asked.callback_url, trigger.key, *filters),
        "label": flow.name,
        "environment": flow.environment,
        "minimumSeverity": asked.minimum_severity,
    }
    return NewCallback(
        event_type=trigger.event_type or asked.event_type or ANY,
        url=asked.callback_url,
        object_ids=() if asked.equipment_id is None else (asked.equipment_id,),
        severities=severities_from(asked.minimum_severity),
        sites=() if asked.site is None else (asked.site,),
        dialect=DIALECT,
        ends_when_missing=True,
        about={name: value for name, value in about.items() if value is not None},
    )
