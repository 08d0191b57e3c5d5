"""The registration keeper: what a connection declares is what its FORCE Bridge server has.

The server's own list is the authority: each round pages through it and compares. What if the process dies here?

- after a POST whose answer nobody saw: the next round finds the registration by type, URL and filter, and makes no
  second one;
- two rounds at once: one of them holds the lease of the connection's state document. Should both believe to hold it
  (one slept past its end), the next round finds two of a kind and deletes the younger;
- between making the new one and deleting the old: the next round deletes the old one.

Nothing is deleted but what we made: ids and URLs (as hashes, they are credentials) are noted before each POST.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.access.model import system
from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, NotFound, OvenbridgeError, PreconditionFailed
from shared.events import Event, EventLog
from shared.events.catalogue import CONNECTION, PLATFORM_NOTIFICATIONS_FAILING, PLATFORM_NOTIFICATIONS_RECOVERED
from shared.ids import digest_id, new_id
from shared.platforms.connections import PlatformConnection, PlatformConnections
from shared.platforms.force_bridge.api import ForceApi, quoted
from shared.platforms.force_bridge.options import ForceOptions, read_options
from shared.platforms.force_bridge.platform import NAME
from shared.platforms.force_bridge.refusals import ForceRefused
from shared.platforms.force_bridge.registered import SPELLINGS, Registered, Wanted, compare
from shared.storage import Document, DocumentStore, Stored

__all__ = ["Keeper", "Resync"]

log = logging.getLogger("ovenbridge.force_bridge")

CONTAINER = "keeperStates"
CALLER = system("keep_registrations")
EVERY = timedelta(minutes=5)
RETRY = timedelta(minutes=1)
"""After a round that failed, and between looks at what is declared."""
RESYNC_EVERY = timedelta(hours=1)
LEASE = timedelta(minutes=5)
AT_ONCE = 60
"""Changes a round; the rest has its turn a minute later."""
KEPT_IDS = 2_000


class Addresses(Protocol):
    """Where hook sources take our messages."""

    async def kept_token(self, id: str, keeper: str, *, caller: Any) -> str: ...


class Resync(Protocol):
    """Looks up at the server what we may have missed."""

    async def __call__(self, connection: PlatformConnection, options: ForceOptions) -> None: ...


class Keeper:
    """Keeps the registrations of all connections."""

    def __init__(
        self,
        store: DocumentStore,
        connections: PlatformConnections,
        api: ForceApi,
        sources: Addresses,
        events: Callable[[], EventLog],
        clock: Clock,
        *,
        base_url: str,
        resync: Resync,
    ) -> None:
        self._store = store
        self._connections = connections
        self._api = api
        self._sources = sources
        self._events = events
        self._clock = clock
        self._base_url = base_url
        self._resync = resync

    async def round(self) -> int:
        """Look at every connection that is due; how many were. One that fails does not keep the others from theirs."""
        count = 0
        for connection in await self._connections.list(NAME):
            if not connection.enabled:
                continue
            try:
                count += await self.keep(connection)
            except OvenbridgeError as err:
                log.warning("The registrations of %s could not be looked at: %s", connection.id, err.detail)
                await self._connections.note(connection, err.detail)
            except Exception:
                # A fault of ours at one connection: looked at again when its lease is over.
                log.exception("The registrations of %s could not be looked at", connection.id)
                await self._connections.note(connection, "It failed unexpectedly; the log of the hub has the details.")
        return count

    async def keep(self, connection: PlatformConnection, *, at_once: bool = False) -> bool:
        """One connection; ``False``: it is not due, or somebody else is at it.

        Raises:
            OvenbridgeError: it could not be done now.
        """
        stored = await self._claim(connection, at_once=at_once)
        if stored is None:
            return False
        state = dict(stored.document)
        try:
            options = read_options(connection.options)
            stored, trouble, changed = await self._reconcile(connection, options, stored)
            state = dict(stored.document)
            recovered = state.pop("recovered", False)
            last = state.get("resyncedAt")
            due = last is None or self._clock.now() - parse_iso(last) >= RESYNC_EVERY
            if options.workplaces and (due or changed or recovered or state.get("failed")):
                await self._resync(connection, options)
                state["resyncedAt"] = iso(self._clock.now())
            state |= {"failed": False, "nextAt": iso(self._clock.now() + (RETRY if changed else EVERY))}
        except OvenbridgeError:
            state = dict((await self._read(connection.id) or stored).document)
            state |= {"failed": True, "nextAt": iso(self._clock.now() + RETRY)}
            await self._release(stored, state)
            raise
        await self._release(stored, state)
        await self._connections.note(connection, trouble)
        return True

    # The state document ------------------------------------------------------------------------------------------

    async def _claim(self, connection: PlatformConnection, *, at_once: bool) -> Stored | None:
        now = self._clock.now()
        stored = await self._read(connection.id)
        state: Document = (
            dict(stored.document) if stored is not None else {"id": _name(connection.id), "connectionId": connection.id}
        )
        if state.get("leaseUntil") is not None and now < parse_iso(state["leaseUntil"]):
            return None
        # Another connection of the same name, or other options: what was found out of the one before may not hold.
        revision = digest_id(iso(connection.changed_at), connection.address)
        if state.get("revision") != revision:
            state |= {"revision": revision, "nextAt": None, "heeded": True, "spelling": None}
        if not at_once and state.get("nextAt") is not None and now < parse_iso(state["nextAt"]):
            return None
        state |= {"leaseUntil": iso(now + LEASE), "holder": new_id()}
        try:
            if stored is None:
                return await self._store.create(CONTAINER, state)
            return await self._store.replace(CONTAINER, state, etag=stored.etag)
        except (Conflict, PreconditionFailed):
            return None

    async def _read(self, connection_id: str) -> Stored | None:
        try:
            name = _name(connection_id)
            return await self._store.read(CONTAINER, (name,), name)
        except NotFound:
            return None

    async def _write(self, stored: Stored, state: Document) -> Stored:
        """Raises ``Conflict``: the lease was lost."""
        try:
            return await self._store.replace(CONTAINER, state, etag=stored.etag)
        except PreconditionFailed as err:
            raise Conflict("Somebody else keeps these registrations now.") from err

    async def _release(self, stored: Stored, state: Document) -> None:
        current = await self._read(stored.document["connectionId"])
        if current is None or current.document.get("holder") != stored.document.get("holder"):
            return
        try:
            await self._store.replace(CONTAINER, {**state, "leaseUntil": None}, etag=current.etag)
        except PreconditionFailed:
            return

    # One round ---------------------------------------------------------------------------------------------------

    async def _reconcile(
        self, connection: PlatformConnection, options: ForceOptions, stored: Stored
    ) -> tuple[Stored, str | None, bool]:
        state = dict(stored.document)
        wanted = [
            Wanted(one, await self._address(connection, one.hook_source, one.url)) for one in options.registrations
        ]
        hashes, made = set(state.get("urls", ())), set(state.get("ids", ()))
        if not wanted and not hashes and not made:
            return stored, None, False  # nothing was ever declared: the list need not be asked for
        # A URL with a token of ours nobody else can know; one that a person wrote down they can.
        news = {_hash(want.url) for want in wanted if want.declared.hook_source is not None} - hashes
        if news:
            hashes |= news
            stored = await self._write(stored, {**state, "urls": sorted(hashes)})
        found = await self._listed(connection)
        ours = {one.id: one.id in made or _hash(one.url) in hashes for one in found}
        differences = compare(wanted, found, ours=ours, attempts_heeded=state.get("heeded", True))
        left, changed = AT_ONCE, False
        there = {one.id: one for one in found}
        for want, old in [*((w, None) for w in differences.missing), *differences.drifted]:
            if left <= 0:
                break
            left, changed = left - 1, True
            stored = await self._register(connection, want, stored)
            if old is not None:
                await self._delete(connection, old)
        for one in differences.surplus:
            if left <= 0:
                break
            left, changed = left - 1, True
            await self._delete(connection, one)
        if not wanted and left > 0:
            stored = await self._write(stored, {**stored.document, "urls": [], "ids": []})
        standing = {name: there[name] for name in differences.kept if name in there}
        stored, trouble = await self._judge_health(connection, stored, standing, differences.kept)
        return stored, trouble, changed

    async def _address(self, connection: PlatformConnection, source: str | None, url: str | None) -> str:
        if source is None:
            return url or ""
        token = await self._sources.kept_token(source, connection.id, caller=CALLER)
        return f"{self._base_url}/api/hooks/{source}/{token}"

    async def _listed(self, connection: PlatformConnection) -> list[Registered]:
        items = self._api.each(connection, "callbacks", "callbacks")
        found = {one.id: one async for item in items if (one := Registered.read(item)) is not None}
        return list(found.values())

    async def _register(self, connection: PlatformConnection, want: Wanted, stored: Stored) -> Stored:
        """Make it; where the answer does not repeat the retry count, once more with its other spelling."""
        first = stored.document.get("spelling") or SPELLINGS[0]
        other = next(one for one in SPELLINGS if one != first)
        made = await self._post(connection, want, first)
        stored = await self._made(stored, made.id)
        if made.attempts == want.declared.attempts or not stored.document.get("heeded", True):
            return stored
        again = await self._post(connection, want, other)
        stored = await self._made(stored, again.id)
        if again.attempts == want.declared.attempts:
            stored = await self._write(stored, {**stored.document, "spelling": other})
            await self._delete(connection, made)
            return stored
        log.warning("%s keeps no retry count in either spelling; it goes on with its own.", connection.id)
        stored = await self._write(stored, {**stored.document, "heeded": False})
        await self._delete(connection, again)
        return stored

    async def _post(self, connection: PlatformConnection, want: Wanted, spelling: str) -> Registered:
        answer = await self._api.post(connection, "callbacks", want.body(spelling))
        made = Registered.read(answer)
        if made is None:
            raise ForceRefused(
                "POST callbacks was answered without the id of the registration: is options.base_url right?",
                answered=200,
            )
        log.info("Registered at %s for %s (%s)", connection.id, want.declared.event_type, made.id)
        return made

    async def _made(self, stored: Stored, id: str) -> Stored:
        ids = [*stored.document.get("ids", ()), id][-KEPT_IDS:]
        return await self._write(stored, {**stored.document, "ids": ids})

    async def _delete(self, connection: PlatformConnection, one: Registered) -> None:
        await self._api.delete(connection, f"callbacks/{quoted(one.id)}")
        log.info("Deleted the registration %s for %s at %s", one.id, one.event_type, connection.id)

    # Health ------------------------------------------------------------------------------------------------------

    async def _judge_health(
        self,
        connection: PlatformConnection,
        stored: Stored,
        standing: Mapping[str, Registered],
        kept: Mapping[str, Wanted],
    ) -> tuple[Stored, str | None]:
        """Tell when notifications begin or end to fail; a sentence while they do."""
        now = self._clock.now()
        before: dict[str, Any] = stored.document.get("failing", {})
        failing = {
            one.id: before.get(one.id) or iso(one.successful or one.triggered or now)
            for one in standing.values()
            if one.failing(now)
        }
        for name in sorted(failing.keys() ^ before.keys()):
            if name in failing:
                await self._tell(connection, PLATFORM_NOTIFICATIONS_FAILING, standing[name], failing[name], now)
            elif name in standing:
                await self._tell(connection, PLATFORM_NOTIFICATIONS_RECOVERED, standing[name], before[name], now)
        health = {
            one.id: {
                "eventType": one.event_type,
                "target": kept[one.id].declared.hook_source or "url",
                "lastTriggered": None if one.triggered is None else iso(one.triggered),
                "lastSuccessful": None if one.successful is None else iso(one.successful),
                "failingSince": failing.get(one.id),
            }
            for one in standing.values()
        }
        document = {**stored.document, "failing": failing, "health": health, "lookedAt": iso(now)}
        if any(name in standing for name in before.keys() - failing.keys()):
            document["recovered"] = True
        stored = await self._write(stored, document)
        return stored, _trouble(failing, standing)

    async def _tell(
        self, connection: PlatformConnection, kind: str, one: Registered, since: str, now: datetime
    ) -> None:
        await self._events().publish(
            Event(
                id=digest_id(kind, connection.id, one.id, since).upper(),
                type=kind,
                timestamp=now,
                object_type=CONNECTION,
                object_id=connection.id,
                name=connection.name,
                data={
                    "connection_id": connection.id,
                    "connection_name": connection.name,
                    "platform": connection.platform,
                    "registration_id": one.id,
                    "event_type": one.event_type,
                    "last_triggered_at": None if one.triggered is None else iso(one.triggered),
                    "last_successful_at": None if one.successful is None else iso(one.successful),
                    "url": f"{self._base_url}/api/v1/connections/{connection.id}",
                },
                severity="warning" if kind == PLATFORM_NOTIFICATIONS_FAILING else "info",
            )
        )

    async def health(self, connection_id: str) -> dict[str, Any]:
        """What the last round found, for people."""
        stored = await self._read(connection_id)
        state: Mapping[str, Any] = {} if stored is None else stored.document
        registrations = [
            {
                "id": name,
                "event_type": one["eventType"],
                "target": one["target"],
                "last_triggered_at": one["lastTriggered"],
                "last_successful_at": one["lastSuccessful"],
                "failing_since": one["failingSince"],
            }
            for name, one in sorted(state.get("health", {}).items())
        ]
        return {
            "registrations": registrations,
            "failing": sum(one["failing_since"] is not None for one in registrations),
            "looked_at": state.get("lookedAt"),
            "next_look_at": state.get("nextAt"),
            "looked_up_at": state.get("resyncedAt"),
        }


def _trouble(failing: Mapping[str, str], standing: Mapping[str, Registered]) -> str | None:
    if not failing:
        return None
    since, first = min((moment, standing[name].event_type) for name, moment in failing.items())
    return (
        f"{len(failing)} of {len(standing)} registrations have something to tell that we do not take, the first "
        f"({first}) since {since}. Can the FORCE Bridge server reach us?"
    )


def _hash(url: str) -> str:
    return digest_id("url", url)


def _name(connection_id: str) -> str:
    return f"force_bridge:{connection_id}"
