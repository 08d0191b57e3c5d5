"""Reading one device under a hard deadline. Whatever goes wrong with the device is a reading with quality bad."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.clock import Clock
from shared.collection.backoff import AUTHENTICATION_FAILED
from shared.collection.status import failed
from shared.errors import DeviceError, InvalidInput, NotFound, OvenbridgeError, Unavailable
from shared.signals import Quality, Reading, SignalValue

if TYPE_CHECKING:
    from shared.connectors import Connector, Connectors
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry

__all__ = ["DeviceReader", "Keep", "Read"]

log = logging.getLogger("ovenbridge.polling")

GRACE_SECONDS = 1.0
"""So long a cancelled read may take to let go of its connection. Then it is left behind."""


Keep = Callable[["Equipment", list[Reading]], Awaitable[None]]
"""Makes readings durable: :meth:`Ingest.keep`."""


@dataclass(frozen=True, slots=True)
class Read:
    """What came of one visit to a device."""

    reading: Reading
    kept: bool = False
    """The readings themselves are stored already, and this one only says what the visit found: now, and with the newest
    value of every signal."""


class DeviceReader:
    """Opens a connector, reads, closes: connect-read-disconnect, in at most ``deadline_seconds``."""

    def __init__(
        self, equipment: EquipmentRegistry, connectors: Connectors, clock: Clock, *, deadline_seconds: float
    ) -> None:
        self._equipment = equipment
        self._connectors = connectors
        self._clock = clock
        self._deadline = deadline_seconds
        self._left_behind: set[asyncio.Task[Read]] = set()

    async def read(self, equipment: Equipment, keep: Keep, on_abandoned: Callable[[], None] = lambda: None) -> Read:
        """What the device says now; or what has waited for us at its broker, which is given to ``keep``.

        The deadline is never longer than the poll interval, so that two reads of a device cannot overlap.

        Raises:
            Unavailable: our own vault or store is away; that says nothing about the device.
        """
        at = self._clock.now()
        return await self._in_time(equipment, asyncio.create_task(self._read(equipment, keep)), at, on_abandoned)

    async def _in_time(
        self, equipment: Equipment, task: asyncio.Task[Read], at: datetime, on_abandoned: Callable[[], None]
    ) -> Read:
        deadline = min(self._deadline, float(equipment.poll_interval_seconds))
        try:
            done, _ = await asyncio.wait({task}, timeout=deadline)
            if not done:
                # Not asyncio.timeout: it would wait for as long as the read takes to unwind, and that is not ours.
                task.cancel()
                done, _ = await asyncio.wait({task}, timeout=GRACE_SECONDS)
                if not done:
                    self._leave_behind(equipment, task)
                    on_abandoned()
                elif not task.cancelled():
                    task.exception()  # looked at: how it ended no longer matters
                reason = f"The device did not answer within {deadline:g} s."
                return Read(_bad(equipment, at, reason, "timeout"))
            return task.result()
        except asyncio.CancelledError:
            task.cancel()
            raise
        except Unavailable:
            raise
        except DeviceError as error:
            refused = _bad(equipment, at, error.detail, error.code)
            return Read(replace(refused, retry_after_seconds=error.retry_after))
        except (InvalidInput, NotFound) as error:
            reason = f"Its IoT configuration cannot be used: {error.detail}"
            return Read(_bad(equipment, at, reason, "invalid_configuration"))
        except OvenbridgeError as error:
            return Read(_bad(equipment, at, error.detail, "device_error"))
        except Exception as error:
            # Whatever a connector stumbles over must end as a reading of this device, not as the end of the batch.
            log.exception("Reading %s failed unexpectedly", equipment.id)
            reason = f"Reading it failed unexpectedly ({type(error).__name__}); the log of {at:%H:%M:%S} UTC says more."
            return Read(_bad(equipment, at, reason, "internal_error"))

    async def _read(self, equipment: Equipment, keep: Keep) -> Read:
        config = await self._equipment.connector_config(equipment)
        read = await self._read_once(equipment, config, keep)
        if read.reading.error_code != AUTHENTICATION_FAILED:
            return read
        # The credentials may have been changed in the vault since we cached them. If they were not, a second try
        # with the same ones would only bring the account closer to being locked.
        fresh = await self._equipment.connector_config(equipment, fresh=True)
        return read if fresh == config else await self._read_once(equipment, fresh, keep)

    async def _read_once(self, equipment: Equipment, config: dict[str, Any], keep: Keep) -> Read:
        connector = self._connectors.open(protocol=equipment.protocol or "", equipment_id=equipment.id, config=config)
        try:
            if connector.acknowledges:
                return await self._take_queue(equipment, connector, keep)
            return Read(await connector.get_current_reading())
        finally:
            await connector.close()

    async def _take_queue(self, equipment: Equipment, connector: Connector, keep: Keep) -> Read:
        """Store, then acknowledge, and again. If we die in between, the messages come again, as the same readings."""
        taken: list[Reading] = []
        more = True
        while more:  # bounded by the connector, in messages and in time
            readings = await connector.get_readings()
            if readings and not taken and readings[0].source == "poll":
                return Read(readings[0])  # no message of a queue, but the attempt itself: it failed
            await keep(equipment, readings)
            taken += readings
            more = await connector.acknowledge()
        newest: dict[str, SignalValue] = {}
        for reading in taken:
            newest |= reading.values
        found = Reading(equipment.id, self._clock.now(), newest)
        if taken and all(failed(reading) for reading in taken):
            found = replace(found, quality=Quality.BAD, reason=taken[-1].reason, error_code=taken[-1].error_code)
        return Read(found, kept=True)

    def _leave_behind(self, equipment: Equipment, task: asyncio.Task[Read]) -> None:
        log.error("A read of %s does not end although it was cancelled; it is left behind", equipment.id)
        self._left_behind.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Read]) -> None:
        self._left_behind.discard(task)
        if not task.cancelled():
            task.exception()


def _bad(equipment: Equipment, at: datetime, reason: str, code: str) -> Reading:
    return Reading(equipment.id, at, {}, quality=Quality.BAD, reason=reason, error_code=code)
