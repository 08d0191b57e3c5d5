"""Registrations: create, read, delete, disable, enable; and the subscriber of all events.

A registration is written in steps so that a process may die between any two of them: first its document as *preparing*,
then its secrets, then *active*; removal goes the other way. What is left half-way is cleared by the sweep.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from shared.access import Caller
from shared.audit import AuditLog
from shared.callbacks.directory import MAX_CALLBACKS, Directory
from shared.callbacks.document import CONTAINER as DELIVERIES
from shared.callbacks.document import OPEN, delivery_id, discarded
from shared.callbacks.fanout import FanOut, JustMade
from shared.callbacks.model import Callback, NewCallback, State
from shared.callbacks.rotation import Rotation
from shared.callbacks.sealed import Sealed
from shared.callbacks.standing import Standing
from shared.callbacks.target_check import TargetCheck
from shared.clock import Clock, iso
from shared.errors import Conflict, InvalidInput, NotFound, OvenbridgeError, PreconditionFailed
from shared.events import Accepted, Event
from shared.events.catalogue import TEST
from shared.ids import new_id
from shared.messaging import Queue
from shared.observability import correlation_id
from shared.outgoing.targets import Target, TargetPolicy
from shared.secrets import Vault
from shared.storage import DocumentStore, In, Query, SetPath

__all__ = ["Callbacks", "Page"]

CONTAINER = "callbacks"
UNFINISHED_SECONDS = 600.0
"""A registration that is *preparing* for so long was left behind by a process that died."""
DISCARD_AT_ONCE = 1_000
"""Pending notifications that one deletion discards; the rest follow when their turn comes."""

log = logging.getLogger("ovenbridge.callbacks")

Ids = list[str]
# Named here: inside the class `list` is the method.


@dataclass(frozen=True, slots=True)
class Page:
    """A page of registrations, oldest first."""

    items: list[Callback]
    total: int


class Callbacks:
    """Who wants to be told. Implements ``events.Subscriber``."""

    def __init__(
        self,
        store: DocumentStore,
        queue: Queue,
        vault: Vault,
        audit: AuditLog,
        targets: TargetPolicy,
        clock: Clock,
        *,
        knows_relay: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        """``knows_relay``: is there such a relay; ``None``: nothing is delivered through relays."""
        self._store = store
        self._audit = audit
        self._target_check = TargetCheck(targets, knows_relay)
        self._clock = clock
        self._directory = Directory(store)
        self.sealed = Sealed(vault)
        self._rotation = Rotation(store, self.sealed, self._directory, audit, clock)
        self.standing = Standing(store)
        self.just_made = JustMade()
        self._fan_out = FanOut(store, queue, clock, self.just_made)

    # Telling -----------------------------------------------------------------------------------------------------

    async def accept(self, event: Event) -> Accepted:
        """Make a delivery for every callback that wants this event, and wake it with ``finish``.

        Idempotent by the event's id. Should the waking get lost, the sweep finds the deliveries.

        Raises:
            Unavailable: the store is away; publish again.
        """
        wanted = await self._directory.matching(event)
        return await self._fan_out.tell(event, wanted) if wanted else Accepted(0)

    async def registered_for(self, event_type: str) -> Sequence[Callback]:
        """Who is registered for this very type, as this process knows it: for surfaces that choose themselves whom they
        tell."""
        return await self._directory.registered_for(event_type)

    async def tell(self, event: Event, callbacks: Sequence[Callback]) -> int:
        """Tell an event to these alone, whatever they are registered for; for how many a delivery waits. Idempotent by
        the event's id. Raises ``Unavailable``; tell it again."""
        if not callbacks:
            return 0
        accepted = await self._fan_out.tell(event, callbacks)
        if accepted.finish is not None:
            await accepted.finish()
        return accepted.targets

    async def find(self, callback_id: str) -> Callback | None:
        """The registration as this process knows it; ``None``: gone."""
        return self._directory.known(callback_id) or await self._directory.find(callback_id)

    async def test(self, callback_id: str, *, caller: Caller) -> str:
        """Send a notification of type TEST to this callback alone; the id of the delivery.

        Raises:
            NotFound: there is no such callback.
            Conflict: it is disabled.
        """
        callback = await self.get(callback_id)
        if callback.state is State.DISABLED:
            raise Conflict("This callback is disabled; enable it first.")
        event = Event(
            id=new_id(),
            type=TEST,
            timestamp=self._clock.now(),
            data={"message": "A test from Ovenbridge; nothing happened.", "requested_by": caller.name},
            correlation_id=correlation_id(),
        )
        accepted = await self._fan_out.tell(event, [callback])
        if accepted.finish is not None:
            await accepted.finish()
        return delivery_id(callback.id, f"d:{event.id}")

    # Registering -------------------------------------------------------------------------------------------------

    async def create(self, wanted: NewCallback, *, caller: Caller) -> Callback:
        """Register. The next event is told already when this returns.

        Raises:
            InvalidInput, UnsafeTarget: the URL is none we deliver to, or its relay is unknown; names the field.
            Conflict: there are too many.
            Unavailable: store or vault are away.
        """
        wanted, target = await self._target_check.checked(wanted)
        if len(await self._directory.everything()) >= MAX_CALLBACKS:
            raise Conflict(f"There are {MAX_CALLBACKS} callbacks already; delete those that nobody needs.")
        callback = self._new(wanted, target)
        async with self._audit.recorded(
            f"callback:{callback.id}",
            actor=caller.actor,
            action="callback.created",
            target=callback.id,
            after=_for_audit(callback),
        ):
            await self._store.create(CONTAINER, {**callback.to_document(), "state": State.PREPARING.value})
            await self.sealed.seal(
                callback.id, wanted.url, wanted.credentials, wanted.ca_certificate, wanted.signing_secret
            )
            await self._set_state(callback.id, State.PREPARING, State.ACTIVE)
        return callback

    async def get(self, callback_id: str) -> Callback:
        """One registration, as it stands in the store. Raises ``NotFound``."""
        try:
            stored = await self._store.read(CONTAINER, (callback_id,), callback_id)
        except (NotFound, InvalidInput):
            raise NotFound(f"There is no callback {callback_id[:80]}.") from None
        callback = Callback.from_document(stored.document)
        if callback.state not in (State.ACTIVE, State.DISABLED):
            raise NotFound(f"There is no callback {callback_id[:80]}.")
        return self.standing.seen_with(callback)

    async def list(self, *, offset: int = 0, limit: int = 100, dialect: str | None = None) -> Page:
        """Registrations, oldest first; of one dialect, or of all."""
        shown = [
            c
            for c in await self._directory.everything()
            if c.state in (State.ACTIVE, State.DISABLED) and dialect in (None, c.dialect)
        ]
        return Page([self.standing.seen_with(c) for c in shown[offset : offset + limit]], len(shown))

    async def through(self, relay_id: str) -> Ids:
        """The callbacks whose notifications this relay brings, oldest first."""
        everything = await self._directory.everything()
        return [c.id for c in everything if c.deliver_via == relay_id and c.state is not State.DELETING]

    async def pending(self, callback_id: str, at_most: int) -> int:
        """How many notifications wait, counted up to ``at_most`` (1,000 is the most)."""
        query = Query((In("status", OPEN),), limit=at_most, select=("status",))
        return len((await self._store.query(DELIVERIES, query, partition=(callback_id,))).items)

    async def hand_over(self, callback_id: str, about: Mapping[str, str], *, caller: Caller) -> Callback:
        """It belongs to a newer asking for the same: what its surface keeps with it is another. Raises ``NotFound``."""
        callback = await self.get(callback_id)
        async with self._audit.recorded(
            f"callback:{callback.id}",
            actor=caller.actor,
            action="callback.asked_again",
            target=callback.id,
            before={"about": dict(callback.about)},
            after={"about": dict(about)},
        ):
            try:
                await self._set_state(callback.id, callback.state, callback.state, SetPath("about", dict(about)))
            except PreconditionFailed:
                raise Conflict("Somebody else is changing this callback; try again.") from None
        return await self.get(callback.id)

    async def delete(self, callback_id: str, *, caller: Caller, when: Mapping[str, str] | None = None) -> None:
        """Delete it. Notifications that wait are discarded with that reason.

        Raises:
            NotFound: there is no such callback.
            Conflict: somebody else is changing it, or what must hold ``when`` it is deleted does not.
        """
        callback = await self.get(callback_id)
        async with self._audit.recorded(
            f"callback:{callback.id}",
            actor=caller.actor,
            action="callback.deleted",
            target=callback.id,
            before=_for_audit(callback),
        ):
            try:
                await self._set_state(callback.id, callback.state, State.DELETING, when=when)
            except PreconditionFailed:
                raise Conflict("Somebody else is changing this callback; try again.") from None
        try:
            await self._remove(callback.id)
        except OvenbridgeError as error:
            log.warning("Callback %s is deleted; clearing up is left to the sweep: %s", callback.id, error.detail)

    async def disable(self, callback_id: str, reason: str, detail: str, *, caller: Caller) -> None:
        """Tell it nothing more until it is enabled. No error when it is gone or disabled already."""
        callback = await self._directory.find(callback_id)
        if callback is None or callback.state is State.DISABLED:
            return
        async with self._audit.recorded(
            f"callback:{callback_id}",
            actor=caller.actor,
            action="callback.disabled",
            target=callback_id,
            after={"reason": reason, "detail": detail},
        ):
            said = (SetPath("disabledReason", detail), SetPath("disabledAt", iso(self._clock.now())))
            try:
                await self._set_state(callback_id, State.ACTIVE, State.DISABLED, *said)
            except (NotFound, PreconditionFailed):
                log.info("Callback %s was changed by somebody else before it was disabled.", callback_id)

    async def enable(self, callback_id: str, *, caller: Caller) -> Callback:
        """Tell it again. What was discarded meanwhile can be replayed. Raises ``NotFound``, ``Conflict``."""
        callback = await self.get(callback_id)
        if callback.state is State.ACTIVE:
            raise Conflict("This callback is not disabled.")
        async with self._audit.recorded(
            f"callback:{callback_id}", actor=caller.actor, action="callback.enabled", target=callback_id
        ):
            cleared = (SetPath("disabledReason", None), SetPath("disabledAt", None), SetPath("failingSince", None))
            try:
                await self._set_state(callback_id, State.DISABLED, State.ACTIVE, *cleared)
            except PreconditionFailed:
                raise Conflict("Somebody else is changing this callback; try again.") from None
        self.standing.begin_anew(callback_id)
        return await self.get(callback_id)

    async def give_secret(
        self, callback_id: str, secret: str | None, *, keep_old_seconds: int, caller: Caller
    ) -> tuple[Callback, str]:
        """Sign with this secret (``None``: a new one) from now on; those before it sign too for so many seconds.

        Giving the newest one again changes nothing, so that a caller who got no answer can repeat the call.

        Raises:
            NotFound, Unavailable.
            InvalidInput: it is no secret.
            Conflict: somebody else is changing this callback.
        """
        callback = await self.get(callback_id)
        given = await self._rotation.give(callback, secret, keep_old_seconds, caller)
        return await self.get(callback.id), given

    async def write_standing(self) -> None:
        """Write how callbacks are doing, where no sweep of this process does."""
        await self.standing.write({callback.id: callback for callback in await self._directory.everything()})

    # Clearing up -------------------------------------------------------------------------------------------------

    async def tidy(self) -> None:
        """For the sweep: write how callbacks are doing; finish what a process that died left half-way."""
        everything = await self._directory.everything()
        await self.standing.write({callback.id: callback for callback in everything})
        long_ago = self._clock.now() - timedelta(seconds=UNFINISHED_SECONDS)
        for callback in everything:
            unfinished = callback.state is State.PREPARING and callback.created_at < long_ago
            if unfinished or callback.state is State.DELETING:
                await self._remove(callback.id)

    async def _remove(self, callback_id: str) -> None:
        """Discard what waits, forget the secrets, then the document."""
        query = Query((In("status", OPEN),), limit=100, select=("status",))
        for _ in range(DISCARD_AT_ONCE // query.limit):
            page = await self._store.query(DELIVERIES, query, partition=(callback_id,))
            await asyncio.gather(
                *(self._discard(callback_id, s.document["id"], s.document["status"]) for s in page.items)
            )
            if page.continuation is None:
                break
        else:
            return
        await self.sealed.forget(callback_id)
        try:
            await self._store.delete(CONTAINER, (callback_id,), callback_id)
        except NotFound:
            log.debug("Callback %s was removed by somebody else.", callback_id)
        self._directory.changed()

    async def _discard(self, callback_id: str, document_id: str, status: str) -> None:
        operations = discarded("callback_deleted", "The callback was deleted.", self._clock.now())
        try:
            await self._store.patch(DELIVERIES, (callback_id,), document_id, operations, when={"status": status})
        except (NotFound, PreconditionFailed):
            log.debug("Delivery %s was brought on by somebody else; it is looked at again.", document_id)

    async def _set_state(
        self, callback_id: str, before: State, after: State, *more: SetPath, when: Mapping[str, str] | None = None
    ) -> None:
        try:
            await self._store.patch(
                CONTAINER,
                (callback_id,),
                callback_id,
                (SetPath("state", after.value), *more),
                when={"state": before.value, **(when or {})},
            )
        finally:
            self._directory.changed()

    def _new(self, wanted: NewCallback, target: Target) -> Callback:
        return Callback(
            id=new_id(),
            event_type=wanted.event_type,
            event_name=wanted.event_name,
            object_ids=frozenset(wanted.object_ids),
            object_filter=tuple(wanted.object_ids),
            url=target.display if target.userinfo is not None or "?" in wanted.url else wanted.url,
            origin=target.origin,
            authentication="basic" if target.userinfo is not None else wanted.credentials.kind,
            max_retries=wanted.max_retries,
            max_unconfirmed=wanted.max_unconfirmed,
            dialect=wanted.dialect,
            deliver_via=wanted.deliver_via,
            ca_sha256=sha256(wanted.ca_certificate.encode()).hexdigest() if wanted.ca_certificate else None,
            state=State.ACTIVE,
            created_at=self._clock.now(),
            severities=frozenset(wanted.severities),
            sites=frozenset(wanted.sites),
            about=dict(wanted.about),
            ends_when_missing=wanted.ends_when_missing,
        )


def _for_audit(callback: Callback) -> dict[str, Any]:
    shown = callback.to_document()
    del shown["state"]
    return shown
