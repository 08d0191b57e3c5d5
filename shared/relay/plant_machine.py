"""One machine on site: read it under a hard deadline, put what is worth telling on disk. Whatever goes wrong with the
machine is a reading of quality bad."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.clock import Clock
from shared.collection.backoff import AUTHENTICATION_FAILED, pause_seconds
from shared.errors import DeviceError, InvalidInput, OvenbridgeError, Unavailable
from shared.relay.messages import Device
from shared.relay.plant_latest import LatestReadings
from shared.relay.plant_reporting import Reporting
from shared.relay.plant_secrets import SiteSecrets
from shared.relay.plant_spool import ALARM, HISTORY, Spool
from shared.relay.plant_spool_work import Lane
from shared.relay.site_binding import place_of
from shared.signals import Quality, Reading
from shared.storage import Document
from shared.telemetry.document import failed, to_document

if TYPE_CHECKING:
    from shared.connectors import Connector, Connectors

__all__ = ["Machine", "Plant", "config_of"]

log = logging.getLogger("ovenbridge.relay")

GRACE_SECONDS = 0.5
"""So long a cancelled read may take to let go. Then it is left behind."""
MOST_LEFT_BEHIND = 3
MOST_ON_THEIR_WAY = 8
"""Readings of one machine that may wait for the disk at once: many only where it is read many times a second."""
LONGEST_PAUSE = 60.0
"""Seconds. A machine on the plant's own network that comes back is seen within so long; wrong credentials keep the
longer pause, because knocking with them locks accounts."""


async def config_of(device: Device, secrets: SiteSecrets, *, fresh: bool = False) -> dict[str, Any]:
    """The configuration as connectors take it, with the credentials of this site.

    Raises:
        MissingSecret: they are not here, or for another address.
        InvalidInput: it has no address that could be compared.
        Unavailable: the vault is away.
    """
    credentials: dict[str, Any] = {}
    if device.credential_ref is not None:
        place = place_of(device.protocol, device.endpoint, device.port)
        credentials = await secrets.credentials(
            device.credential_ref, place, owner=device.credential_owner, fresh=fresh
        )
    return {
        "endpoint": device.endpoint,
        "port": device.port,
        "credentials": credentials,
        "additional_config": dict(device.iot_config),
    }


@dataclass(frozen=True, slots=True)
class Plant:
    """What all machines share."""

    connectors: Connectors
    secrets: SiteSecrets
    spool: Spool
    latest: LatestReadings
    clock: Clock


class Machine:
    """Visit it from one task; :meth:`close` it at the end."""

    def __init__(self, device: Device, plant: Plant) -> None:
        self.device = device
        self.failing: bool | None = None
        """``None``: not visited yet."""
        self._plant = plant
        self._reporting = Reporting(device)
        self._connector: Connector | None = None
        self._refused: dict[str, Any] | None = None
        self._failures = 0
        self._left_behind: set[asyncio.Task[Reading | None]] = set()
        self._on_their_way: deque[tuple[asyncio.Future[None], Reading | None]] = deque()
        """To the disk, the oldest first; and what was told before each."""

    async def visit(self) -> float:
        """:meth:`look`, and wait until what it said is on disk, or lost."""
        pause = await self.look()
        while self._on_their_way:
            await self._landed()
        return pause

    async def look(self) -> float:
        """Read it once and hand what it said to the spool; how many seconds to leave it alone beyond its period (0:
        sound).

        Does not wait for the disk, but for the oldest of the few readings that may be on their way there: those were
        lost with the process while we waited, too. Never raises for the machine, nor for a full disk: that the spool
        counts and says.
        """
        reading = await self._read_in_time()
        if reading is None:  # its queue was empty, or is stored already
            self.failing, self._failures = False, 0
            return 0.0
        while self._on_their_way and (len(self._on_their_way) >= MOST_ON_THEIR_WAY or self._on_their_way[0][0].done()):
            await self._landed()
        self._tell(reading)
        self.failing = failed(reading)
        if reading.error_code != AUTHENTICATION_FAILED:
            self._refused = None
        if not self.failing:
            self._failures = 0
            return 0.0
        self._failures += 1
        return self._pause(reading)

    async def deserves_a_look(self) -> bool:
        """It refused its credentials, and there are others now: the long pause after that has no more reason."""
        if self._refused is None:
            return False
        try:
            changed = await self._config(fresh=True) != self._refused
        except OvenbridgeError:  # gone, or the vault is away: said at the next visit
            return False
        if changed:
            await self.close()  # the next visit begins with the new ones
        return changed

    @property
    def refused_credentials(self) -> bool:
        """The last visit ended so."""
        return self._refused is not None

    async def close(self) -> None:
        """Let go of the connection."""
        connector, self._connector = self._connector, None
        if connector is not None:
            await connector.close()

    # Reading -----------------------------------------------------------------------------------------------------

    async def _read_in_time(self) -> Reading | None:
        at = self._plant.clock.now()
        if len(self._left_behind) >= MOST_LEFT_BEHIND:
            return self._bad(at, "Earlier reads of it do not end, although they were cancelled.", "timeout")
        task = asyncio.create_task(self._read())
        deadline = self.device.timeout_seconds
        try:
            if await _ends(task, deadline):
                return self._result(task, at)
            # Not asyncio.timeout: that waits for as long as the read takes to unwind, and that is not ours.
            task.cancel()
            done = await _ends(task, GRACE_SECONDS)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            log.error(
                "A read of %s does not end although it was cancelled; it is left behind", self.device.equipment_id
            )
            self._left_behind.add(task)
            task.add_done_callback(self._ended)
        elif not task.cancelled():
            task.exception()  # looked at: how it ended no longer matters
        self._connector = None
        return self._bad(at, f"The device did not answer within {deadline:g} s.", "timeout")

    def _result(self, task: asyncio.Task[Reading | None], at: datetime) -> Reading | None:
        if task.cancelled():  # by its own library; nobody cancelled us
            return self._bad(at, "Reading it was broken off inside; it is tried again.", "internal_error")
        error = task.exception()
        if error is None:
            return task.result()
        self._connector = None
        if isinstance(error, DeviceError):
            return replace(self._bad(at, error.detail, error.code), retry_after_seconds=error.retry_after)
        if isinstance(error, InvalidInput):
            reason = f"Its IoT configuration cannot be used: {error.detail}"
            return self._bad(at, reason, "invalid_configuration")
        if isinstance(error, OvenbridgeError):
            return self._bad(at, error.detail, "device_error")
        log.error("Reading %s failed unexpectedly", self.device.equipment_id, exc_info=error)
        reason = f"Reading it failed unexpectedly ({type(error).__name__}); the log of {at:%H:%M:%S} UTC says more."
        return self._bad(at, reason, "internal_error")

    async def _read(self) -> Reading | None:
        connector = await self._opened()
        if connector.acknowledges:
            return await self._take_queue(connector)
        reading = await connector.get_current_reading()
        if reading.error_code == AUTHENTICATION_FAILED:
            again = await self._with_new_credentials()
            if again is not None:
                reading = await again.get_current_reading()
        return replace(reading, source="relay") if reading.source == "poll" else reading

    async def _opened(self) -> Connector:
        """Kept between visits: what its mapping means is worked out once."""
        if self._connector is None:
            config = await self._config()
            self._connector = self._plant.connectors.open(
                protocol=self.device.protocol, equipment_id=self.device.equipment_id, config=config
            )
        return self._connector

    async def _with_new_credentials(self) -> Connector | None:
        """A connector with other credentials, if somebody has given some since; the same ones are not tried twice."""
        before = self._refused or await self._config()
        self._refused = after = await self._config(fresh=True)
        if after == before:
            return None
        await self.close()
        return await self._opened()

    async def _config(self, *, fresh: bool = False) -> dict[str, Any]:
        return await config_of(self.device, self._plant.secrets, fresh=fresh)

    async def _take_queue(self, connector: Connector) -> Reading | None:
        """Store, then acknowledge, and again. If we die in between, the messages come again as the same readings."""
        try:
            more = True
            while more:  # bounded by the connector, in messages and in time
                readings = await connector.get_readings()
                if readings and readings[0].source == "poll":
                    return replace(readings[0], source="relay")  # the attempt itself: it failed
                try:
                    await self._take(readings)
                except Unavailable:  # our disk, not the machine: said by the spool; they are not acknowledged
                    return None
                more = await connector.acknowledge()
        finally:
            await self.close()
        return None

    # Keeping -----------------------------------------------------------------------------------------------------

    def _tell(self, reading: Reading) -> None:
        """Hand it to the spool, if there is something new in it."""
        self._plant.latest.note(reading)
        lane = self._reporting.lane(reading)
        if lane is None:
            return
        written = self._plant.spool.leave((to_document(reading),), lane=lane)
        self._on_their_way.append((written, self._reporting.last))
        self._reporting.last = reading

    async def _landed(self) -> None:
        """The oldest on its way is on disk, or lost: then it was not told, and what comes is compared with what was."""
        written, told_before = self._on_their_way[0]
        if not written.done():
            await asyncio.wait({written})
        self._on_their_way.popleft()
        if written.cancelled() or written.exception() is not None:  # said and counted by the spool
            self._reporting.last = told_before
            self._on_their_way = deque((later, told_before) for later, _ in self._on_their_way)

    async def _take(self, readings: list[Reading]) -> None:
        """Store what came out of a queue, which has it until then. Raises ``Unavailable``."""
        told_before = self._reporting.last
        chosen: dict[Lane, list[Document]] = {ALARM: [], HISTORY: []}
        for reading in readings:
            self._plant.latest.note(reading)
            lane = self._reporting.lane(reading)
            if lane is not None:
                chosen[lane].append(to_document(reading))
                self._reporting.last = reading
        try:
            for lane, documents in chosen.items():
                if documents:
                    await self._plant.spool.put(documents, lane=lane, comes_again=True)
        except Unavailable:
            self._reporting.last = told_before
            raise

    def _pause(self, reading: Reading) -> float:
        pause = pause_seconds(
            self.device.equipment_id,
            reading.at,
            failures=self._failures,
            interval_seconds=self.device.poll_interval_seconds,
            error_code=reading.error_code,
            retry_after=reading.retry_after_seconds,
        )
        if reading.error_code == AUTHENTICATION_FAILED or reading.retry_after_seconds:
            return pause
        return min(pause, LONGEST_PAUSE)

    def _bad(self, at: datetime, reason: str, code: str) -> Reading:
        return Reading(
            self.device.equipment_id, at, {}, quality=Quality.BAD, reason=reason, error_code=code, source="relay"
        )

    def _ended(self, task: asyncio.Task[Reading | None]) -> None:
        self._left_behind.discard(task)
        if not task.cancelled():
            task.exception()


async def _ends(task: asyncio.Task[Any], seconds: float) -> bool:
    """Has it ended within so many seconds? ``asyncio.wait`` for one, in half the time."""
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake(_: Any = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = loop.call_later(seconds, wake)
    task.add_done_callback(wake)
    try:
        await waiter
    finally:
        timer.cancel()
        task.remove_done_callback(wake)
    return task.done()
