"""One line an hour in every machine's connection log: how often it was read, how often not, how fast it answered.

Reckoned from what is stored - response times from the readings, failures from the log itself - so it is the same
whoever reckons it, and written under a name made of the hour, so that doing it twice leaves one.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shared.collection.connection_log import LogEntry
from shared.collection.health import ConnectionHealth
from shared.errors import NotFound

if TYPE_CHECKING:
    from shared.equipment.registry import EquipmentRegistry
    from shared.telemetry.readings import Readings

__all__ = ["ConnectionSummary"]

log = logging.getLogger("ovenbridge.polling")

AT_A_TIME = 8
"""Machines reckoned at once: polls go on meanwhile and want the store too."""

MOST_FAILURES = 1_000
"""Counted exactly up to here; a machine polled every ten seconds fails 360 times an hour at most."""


class ConnectionSummary:
    """Writes the hourly lines and clears away what is left of machines that are gone."""

    def __init__(self, readings: Readings, equipment: EquipmentRegistry, health: ConnectionHealth) -> None:
        self._readings = readings
        self._equipment = equipment
        self._health = health

    async def write(self, now: datetime, *, hours: int = 1) -> int:
        """Sum up the last whole hours, as many as asked for; how many lines were written.

        Raises:
            Unavailable: the store is away; what was written stays, the next run goes on.
        """
        machines = [machine.id for machine in await self._equipment.watched()]
        this_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        written = 0
        for back in range(hours, 0, -1):
            start = this_hour - timedelta(hours=back)
            for first in range(0, len(machines), AT_A_TIME):
                part = machines[first : first + AT_A_TIME]
                written += sum(await asyncio.gather(*(self._sum_up(machine, start) for machine in part)))
        await self._clear_away(set(machines))
        return written

    async def _sum_up(self, equipment_id: str, start: datetime) -> bool:
        end = start + timedelta(hours=1)
        times = await self._readings.response_times(equipment_id, start, end)
        page = await self._health.log(equipment_id, start, end, MOST_FAILURES)
        failures = [entry for entry in page.entries if entry.event_type in ("connection_lost", "poll_failed")]
        answered = times.count if times is not None else 0
        # Some failures come with an answer: the device spoke, and we could not use what it said.
        polls = answered + sum(1 for failure in failures if failure.response_time_ms is None)
        if polls == 0:
            return False
        summary: dict[str, float] = {"polls": polls, "failures": len(failures)}
        if times is not None:
            summary["min_response_time_ms"] = round(times.minimum, 1)
            summary["avg_response_time_ms"] = round(times.average, 1)
            summary["max_response_time_ms"] = round(times.maximum, 1)
        entry = LogEntry(
            "hourly_summary",
            end - timedelta(milliseconds=1),
            "connected" if polls > len(failures) else failures[0].connection_status,
            response_time_ms=summary.get("avg_response_time_ms"),
            data_points_received=polls - len(failures),
            summary=summary,
        )
        return await self._health.enter(equipment_id, entry)

    async def _clear_away(self, polled: set[str]) -> None:
        for equipment_id in await self._health.statuses():
            if equipment_id in polled:
                continue
            try:
                await self._equipment.get(equipment_id)
            except NotFound:
                log.info("%s is gone; its connection state is cleared away", equipment_id)
                await self._health.remove(equipment_id)
