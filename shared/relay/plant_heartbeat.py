"""The sign of life, with what waits on the disk; and the upkeep that goes with it."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from shared.clock import Clock
from shared.errors import Unavailable
from shared.relay.messages import CertificateEnd, DevicesSummary, Heartbeat, SpoolSummary
from shared.relay.plant_hub_link import HubLink
from shared.relay.plant_spool import NEARLY_FULL, Spool
from shared.relay.uplink import Uplink, UplinkError
from shared.version import VERSION

__all__ = ["EVERY_SECONDS", "HeartbeatLoop"]

log = logging.getLogger("ovenbridge.relay")

EVERY_SECONDS = 30.0
STEP_SECONDS = 2.0
"""A clock that differs by more from the machine's steady one, between two heartbeats, was set."""


class HeartbeatLoop:
    """Beats as long as :meth:`run` runs."""

    def __init__(
        self,
        spool: Spool,
        uplink: Uplink,
        relay_id: str,
        clock: Clock,
        *,
        devices: Callable[[], DevicesSummary],
        etag: Callable[[], str | None],
        certificates: Callable[[], Awaitable[Sequence[CertificateEnd]]] | None = None,
    ) -> None:
        self._spool = spool
        self._uplink = uplink
        self._relay_id = relay_id
        self._clock = clock
        self._devices = devices
        self._etag = etag
        self._certificates = certificates
        self._started_at = clock.now()
        self._seen: tuple[datetime, float] | None = None
        self._said_full = False
        self.link = HubLink("telling the hub that we are alive", clock)

    async def run(self) -> None:
        """Beat until cancelled. A hub that is away is told again at the next beat, or when another loop finds that it
        is back: an old beat is worth nothing."""
        while True:
            try:
                await self.beat()
            except UplinkError as error:
                self.link.failed(error)
            except Unavailable as error:
                log.error("The spool cannot be looked after right now: %s", error.detail)
            await self.link.rest(EVERY_SECONDS)

    async def beat(self) -> None:
        """One of them.

        Raises:
            UplinkError: the hub does not know of it.
            Unavailable: our own disk cannot be used.
        """
        if self._clock_was_set():
            log.warning("The clock of this machine was set; readings carry its time from now on.")
        else:
            # Not right after a step: a clock that is years ahead would make everything too old at once.
            await self._spool.trim()
        state = await self._spool.state()
        if (state.fill >= NEARLY_FULL) is not self._said_full:
            self._said_full = not self._said_full
            if self._said_full:
                log.error("The spool is %.0f %% full; at 100 %% the oldest history is dropped.", state.fill * 100)
        beat = Heartbeat(
            relay_id=self._relay_id,
            at=self._clock.now(),
            version=VERSION,
            started_at=self._started_at,
            spool=SpoolSummary(readings=max(0, state.readings), bytes=max(0, state.bytes), oldest_at=state.oldest_at),
            devices=self._devices(),
            lost_total=state.lost_total,
            assignments_etag=self._etag(),
            certificates=tuple(await self._certificates()) if self._certificates is not None else (),
        )
        await self._uplink.heartbeat(beat)
        self.link.works()

    def _clock_was_set(self) -> bool:
        now, steady = self._clock.now(), time.monotonic()
        seen, self._seen = self._seen, (now, steady)
        if seen is None:
            return False
        return abs(now - seen[0] - timedelta(seconds=steady - seen[1])) > timedelta(seconds=STEP_SECONDS)
