"""A relay at work: its loops, kept running; and what is wrong with it, in words.

What if the process dies here? What was read is on disk, what there is to do is on disk; the next process goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.callbacks.carrying import Carrier
from shared.clock import Clock, iso
from shared.errors import OvenbridgeError, Unavailable
from shared.relay.messages import Assignments, Device
from shared.relay.plant_assignments import KeptAssignments
from shared.relay.plant_calls import SiteCalls
from shared.relay.plant_certificates import CertificateWatch
from shared.relay.plant_commands import CommandLoop
from shared.relay.plant_delivery import SiteDelivery
from shared.relay.plant_heartbeat import HeartbeatLoop
from shared.relay.plant_hub_link import HubLink
from shared.relay.plant_inbound import FetchLan, PlantInbound, PlantInboundSources
from shared.relay.plant_latest import LatestReadings
from shared.relay.plant_machine import Plant
from shared.relay.plant_sampler import Sampler
from shared.relay.plant_secrets import SiteSecrets
from shared.relay.plant_sender import Sender
from shared.relay.plant_spool import NEARLY_FULL, Spool
from shared.relay.plant_spool_inbound import InboundSpool
from shared.relay.uplink import Uplink, UplinkError

if TYPE_CHECKING:
    from shared.connectors import Connectors
    from shared.outgoing.http import OutgoingHttp
    from shared.secrets import Vault

__all__ = ["PlantRelay", "RelayIdentity", "Trouble"]

log = logging.getLogger("ovenbridge.relay")

ASSIGNMENTS_SECONDS = 15.0
"""How often the hub is asked whether there is something else to do."""


@dataclass(frozen=True, slots=True)
class RelayIdentity:
    """Which relay this is, and where it keeps things."""

    relay_id: str
    folder: Path
    spool_max_bytes: int
    spool_max_days: float
    missing: tuple[str, ...] = ()
    """Settings without which it cannot work."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong."""

    problem: str
    """In full; it may name machines and addresses."""
    advice: str
    """For anybody."""
    blocking: bool
    """It cannot do its work like this."""


@dataclass(slots=True)
class _Works:
    """What exists once the relay has begun."""

    spool: Spool
    sampler: Sampler
    sender: Sender
    heartbeat: HeartbeatLoop
    commands: CommandLoop
    inbound: PlantInbound
    loops: dict[str, Callable[[], Awaitable[None]]]

    def links(self, other: HubLink) -> tuple[HubLink, ...]:
        """Every way of talking to the hub."""
        return (self.sender.link, self.heartbeat.link, self.commands.link, self.inbound.link, other)


class PlantRelay:
    """The relay of this process. Nothing happens until :meth:`keep_running`."""

    def __init__(
        self,
        identity: RelayIdentity,
        clock: Clock,
        *,
        connectors: Callable[[], Connectors],
        vault: Callable[[], Vault],
        uplink: Callable[[], Uplink],
        http: Callable[[], OutgoingHttp] | None = None,
        fetcher: Callable[[PlantInbound], FetchLan] | None = None,
        certificates: CertificateWatch | None = None,
    ) -> None:
        """``connectors``, ``vault``, ``uplink``, ``http`` and ``fetcher`` are made when they are needed. Without
        ``http`` no notifications are delivered here, without ``fetcher`` no brokers are asked for any."""
        self._identity = identity
        self._clock = clock
        self._connectors = connectors
        self._vault = vault
        self._make_uplink = uplink
        self._http = http
        self._fetcher = fetcher
        self._certificates = certificates
        self._kept = KeptAssignments(identity.folder / "assignments.json", identity.relay_id)
        self._uplink: Uplink | None = None
        self._works: _Works | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._starting = asyncio.Lock()
        self._closed = False
        self._cannot_start = ""
        self._assignments: Assignments | None = None
        self._link = HubLink("asking for assignments", clock, scout=True)
        self.latest = LatestReadings(identity.folder / "latest.json")

    # Running -----------------------------------------------------------------------------------------------------

    async def keep_running(self) -> None:
        """Start what does not run. Called again and again; harmless while everything runs."""
        if self._identity.missing or self._closed:
            return
        async with self._starting:
            works = self._works or await self._begin()
            if works is None:
                return
            for name, loop in works.loops.items():
                task = self._tasks.get(name)
                if task is not None and not task.done():
                    continue
                if task is not None:
                    error = None if task.cancelled() else task.exception()
                    log.error("The relay's %s ended and is started again", name, exc_info=error)
                # A context of its own: it belongs to no call, and to no trace.
                self._tasks[name] = asyncio.create_task(_forever(loop), name=f"relay {name}", context=Context())

    async def close(self) -> None:
        """Stop everything; what was read is on disk."""
        self._closed = True
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        works, self._works = self._works, None
        if works is not None:
            await works.sampler.close()
            await self.latest.keep()
            await works.spool.close()
            await works.inbound.spool.close()
        if self._uplink is not None:
            await self._uplink.close()

    @property
    def inbound(self) -> PlantInbound:
        """The door for what calls in on site. Raises ``Unavailable``: the relay has not begun, or cannot."""
        if self._works is None:
            detail = self._cannot_start or "The relay is starting: send it again in a few seconds."
            raise Unavailable(detail, retry_after=5.0)
        return self._works.inbound

    async def _begin(self) -> _Works | None:
        identity = self._identity
        try:
            inbound_spool = InboundSpool.open(identity.folder / "inbound.db")
        except OvenbridgeError as error:
            self._say_cannot_start(error)
            return None
        try:
            spool = Spool.open(
                identity.folder / "spool.db",
                self._clock,
                max_bytes=identity.spool_max_bytes,
                max_days=identity.spool_max_days,
            )
        except OvenbridgeError as error:
            await inbound_spool.close()
            self._say_cannot_start(error)
            return None
        self._cannot_start = ""
        uplink = self._uplink = self._make_uplink()
        secrets = SiteSecrets(self._vault(), self._clock)
        plant = Plant(self._connectors(), secrets, spool, self.latest, self._clock)
        sampler = Sampler(plant)
        delivery = None if self._http is None else SiteDelivery(Carrier(self._http()))
        calls = None if self._http is None else SiteCalls(self._http())
        commands = CommandLoop(plant, uplink, self._clock, assigned=self._assigned, delivery=delivery, calls=calls)
        sender = Sender(spool, uplink, identity.relay_id, self._clock)
        heartbeat = HeartbeatLoop(
            spool,
            uplink,
            identity.relay_id,
            self._clock,
            devices=sampler.summary,
            etag=lambda: self.etag,
            certificates=None if self._certificates is None else self._certificates.ends,
        )
        sources = PlantInboundSources(secrets)
        inbound = PlantInbound(inbound_spool, sources, uplink, identity.relay_id, self._clock)
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "assignments": self._follow_assignments,
            "sending": sender.run,
            "heartbeat": heartbeat.run,
            "commands": commands.run,
            "inbound": inbound.run,
            "last values": self.latest.run,
        }
        if self._fetcher is not None:
            fetch = self._fetcher(inbound)
            loops["brokers"] = lambda: inbound.fetch_forever(fetch)
        self._works = works = _Works(spool, sampler, sender, heartbeat, commands, inbound, loops)
        for link in works.links(self._link):
            link.sight = self._link.sight
        await self.latest.load()
        if (kept := await self._kept.load()) is not None:
            log.info("Reading %d machines as assigned last, until the hub says otherwise.", len(kept.devices))
            await self._assign(works, kept)
        return works

    def _say_cannot_start(self, error: OvenbridgeError) -> None:
        if error.detail != self._cannot_start:
            log.error("The relay cannot start: %s", error.detail)
        self._cannot_start = error.detail

    # Assignments -------------------------------------------------------------------------------------------------

    @property
    def etag(self) -> str | None:
        """Of the assignments in force."""
        return None if self._assignments is None else self._assignments.etag

    def _assigned(self, equipment_id: str) -> Device | None:
        devices = () if self._assignments is None else self._assignments.devices
        return next((device for device in devices if device.equipment_id == equipment_id), None)

    def request_profile(self, name: str) -> Mapping[str, Any] | None:
        """A request profile that is answered on site, as the hub stores it."""
        for profile in self._assignments.request_profiles if self._assignments is not None else ():
            if profile.get("id") == name and isinstance(profile.get("profile"), dict):
                return dict(profile["profile"])
        return None

    async def _follow_assignments(self) -> None:
        while True:
            try:
                await self.refresh()
            except UplinkError as error:
                await self._link.pause(error)
            else:
                await asyncio.sleep(ASSIGNMENTS_SECONDS)

    async def refresh(self) -> None:
        """Ask the hub what there is to do, and do that. Raises ``UplinkError``: what was in force stays so."""
        works, uplink = self._works, self._uplink
        if works is None or uplink is None:
            return
        new = await uplink.assignments(self.etag)
        self._link.works()
        if new is None:
            return
        if new.relay_id != self._identity.relay_id:
            log.error("The hub answered with the assignments of relay %s; they are not used.", new.relay_id)
            return
        try:
            await self._kept.keep(new)
        except Unavailable as error:
            # Used all the same: what is read now matters more than what is read after a restart.
            log.error("%s A restart while the hub is away would go back to the ones before.", error.detail)
        await self._assign(works, new)
        log.info("Reading %d machines as the hub says now.", len(new.devices))

    async def _assign(self, works: _Works, assignments: Assignments) -> None:
        works.inbound.sources.assign(assignments.hook_sources)
        await works.sampler.assign(assignments.devices)
        self._assignments = assignments

    # What is wrong -----------------------------------------------------------------------------------------------

    async def troubles(self) -> list[Trouble]:
        """What is wrong, the worst first; empty: nothing."""
        if self._identity.missing:
            # Worded so that no redaction takes a word after a setting's name for a secret.
            said = (
                "Register the relay at the hub (POST /api/v1/relays answers its id and, once, its token), then give it "
                f"the settings that are missing here: {', '.join(self._identity.missing)}."
            )
            return [Trouble(said, said, blocking=True)]
        if self._cannot_start:
            return [Trouble(self._cannot_start, "Check the data folder and the disk of the relay.", blocking=True)]
        works = self._works
        if works is None:  # it begins within seconds
            return []
        try:
            ending = [] if self._certificates is None else self._certificates.warnings()
            certificates = [Trouble(said, said, blocking=False) for said in ending]
            disk = [*await _disk_troubles(works.spool), *_inbound_troubles(works.inbound.spool)]
            return [*disk, *self._hub_troubles(works), *certificates]
        except Unavailable as error:
            return [Trouble(error.detail, "Check the disk of the relay.", blocking=True)]

    def _hub_troubles(self, works: _Works) -> list[Trouble]:
        away = [link for link in works.links(self._link) if link.away_since is not None]
        away.sort(key=lambda one: one.away_since or self._clock.now())
        found: dict[str, Trouble] = {}
        for link in away:
            since = iso(link.away_since or self._clock.now())
            advice = (
                f"The hub is away since {since}; readings wait on this disk. Check the network, HUB_URL and "
                "RELAY_TOKEN."
            )
            # One sentence for each thing that is wrong: its HTTPS, the queue for readings, the queue for commands.
            found.setdefault(link.problem, Trouble(f"The hub is away since {since}: {link.problem}", advice, False))
        return list(found.values())


async def _disk_troubles(spool: Spool) -> list[Trouble]:
    state = await spool.state()
    found: list[Trouble] = []
    if state.problem:
        advice = "Readings cannot be stored and are lost: make room on the disk of the relay."
        found.append(Trouble(f"{advice} {state.problem}", advice, blocking=True))
    if state.fill >= NEARLY_FULL:
        said = f"The spool is {state.fill:.0%} full; at 100 % the oldest history is dropped. See SPOOL_MAX_MB."
        found.append(Trouble(said, said, blocking=False))
    if state.lost_total:
        said = f"{state.lost_total} readings were dropped since the spool was made."
        found.append(Trouble(said, said, blocking=False))
    if state.refused_total:
        said = f"{state.refused_total} readings were refused by the hub and set aside in the spool."
        found.append(Trouble(said, said, blocking=False))
    return found


def _inbound_troubles(spool: InboundSpool) -> list[Trouble]:
    if spool.fill < NEARLY_FULL:
        return []
    said = (
        f"{spool.waiting:,} messages that came in on site wait for the hub, {spool.fill:.0%} of what may wait; at "
        "100 % their senders are told to try again."
    )
    return [Trouble(said, said, blocking=False)]


async def _forever(loop: Callable[[], Awaitable[None]]) -> None:
    await loop()
