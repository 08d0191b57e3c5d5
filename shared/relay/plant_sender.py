"""From the spool to the hub, message by message, in order; nothing is forgotten before the hub has it."""

from __future__ import annotations

import asyncio
import logging

from shared.clock import Clock
from shared.errors import Unavailable
from shared.relay.plant_batches import Batches, OutgoingBatch
from shared.relay.plant_hub_link import HubLink
from shared.relay.plant_spool import Spool
from shared.relay.uplink import HubAway, HubRefused, Uplink, UplinkError

__all__ = ["Sender"]

log = logging.getLogger("ovenbridge.relay")

GATHER_SECONDS = 1.0
"""A message leaves at most once a second while little waits: 250 machines at 1 s make one message a second."""
MUCH = 500
"""With so many readings in a message more is waiting, and the next leaves at once."""
DISK_AGAIN_SECONDS = 5.0
MOST_REFUSED = 20
"""Readings set aside in a row. A hub that refuses every one of them is at fault itself, of another version for
instance; then they wait."""


class Sender:
    """Sends as long as :meth:`run` runs."""

    def __init__(
        self, spool: Spool, uplink: Uplink, relay_id: str, clock: Clock, *, gather_seconds: float = GATHER_SECONDS
    ) -> None:
        self._spool = spool
        self._uplink = uplink
        self._batches = Batches(spool, relay_id)
        self._gather = gather_seconds
        self.link = HubLink("sending readings", clock)
        self._refused_in_a_row = 0
        self.sent = 0
        """Readings since the start."""

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._spool.filled.wait()
            try:
                count = await self.send_one()
            except Unavailable as error:
                log.error("The spool cannot be used right now: %s", error.detail)
                await asyncio.sleep(DISK_AGAIN_SECONDS)
            except UplinkError as error:
                await self.link.pause(error)
            else:
                if count < MUCH:
                    await asyncio.sleep(self._gather)

    async def send_one(self) -> int:
        """Send one message; how many readings left (0: nothing waits).

        Raises:
            UplinkError: the hub does not have it; the same message is sent again.
            Unavailable: our disk. The hub may have the message and will then get it again.
        """
        outgoing = await self._batches.next()
        if outgoing is None:
            return 0
        try:
            await self._uplink.send(outgoing.packed, outgoing.message_id)
        except HubRefused as error:
            return await self._refused(outgoing, error)
        self.link.works()
        self._refused_in_a_row = 0
        await self._spool.acknowledge(outgoing.batch)
        self.sent += len(outgoing.batch.bodies)
        return len(outgoing.batch.bodies)

    async def _refused(self, outgoing: OutgoingBatch, error: HubRefused) -> int:
        """Look for the reading that is refused, by halves, and set that one aside: it would hold up all others."""
        if len(outgoing.batch.bodies) > 1:
            self._batches.smaller(outgoing.batch)
            return MUCH  # go on at once
        if self._refused_in_a_row >= MOST_REFUSED:
            raise HubAway(f"The hub refuses every reading, they wait here. {error.detail}") from error
        self._refused_in_a_row += 1
        await self._spool.set_aside(outgoing.batch, error.detail)
        return MUCH
