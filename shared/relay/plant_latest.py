"""The newest of every machine and signal: what a worker asks for on site. In memory, and now and then on disk.

What if the process dies here? The next one answers with what was written last, at most a quarter of a minute older than
what was known, each value with the time at which it was read: nothing old gets a new time. It is not worth an fsync for
every reading: the readings themselves are safe in the spool.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.errors import InvalidInput
from shared.json_text import dump, load_foreign
from shared.signals import Reading, SignalValue
from shared.telemetry.document import from_document, to_document

__all__ = ["EVERY_SECONDS", "LatestReadings"]

log = logging.getLogger("ovenbridge.relay")

EVERY_SECONDS = 15.0
"""Between two writes, if there is something new: 250 machines of eight signals are 300 KB."""

Values = dict[str, tuple[SignalValue, datetime]]


class LatestReadings:
    """Of the machines that are assigned now. Answers like ``shared.telemetry.Readings``, as far as it goes."""

    def __init__(self, path: Path | None = None) -> None:
        """``path``: of the file in which they are kept; ``None``: in memory alone."""
        self._path = path
        self._readings: dict[str, Reading] = {}
        self._values: dict[str, Values] = {}
        self._changed = False
        self._problem = ""

    def note(self, reading: Reading) -> None:
        """A machine was read, or could not be."""
        self._changed = True
        self._readings[reading.equipment_id] = reading
        values = self._values.setdefault(reading.equipment_id, {})
        for key, value in reading.values.items():
            values[key] = (value, reading.at)

    def keep_only(self, equipment_ids: Collection[str]) -> None:
        """Forget machines that are no longer read here."""
        for gone in self._readings.keys() - set(equipment_ids):
            del self._readings[gone]
            self._values.pop(gone, None)
            self._changed = True

    async def latest(self, equipment_id: str) -> Reading | None:
        """The newest reading, a failed one included."""
        return self._readings.get(equipment_id)

    async def latest_value(self, equipment_id: str, signal: str) -> tuple[SignalValue, datetime] | None:
        """The newest value of a signal, whatever its quality, and when it was read."""
        return self._values.get(equipment_id, {}).get(signal)

    # On disk -----------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """What was kept before this start. What has been read since stays."""
        if self._path is None:
            return
        for reading, values in await asyncio.to_thread(_read, self._path):
            if reading.equipment_id not in self._readings:
                self._readings[reading.equipment_id] = reading
                self._values[reading.equipment_id] = values

    async def run(self) -> None:
        """Keep them until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.keep()

    async def keep(self) -> None:
        """Write them if there is something new. A disk that cannot take them is said once, and asked again."""
        if self._path is None or not self._changed:
            return
        self._changed = False
        # Copied here: the machines go on being read while a thread writes.
        known = [(reading, dict(self._values.get(name, {}))) for name, reading in self._readings.items()]
        try:
            await asyncio.to_thread(_write, self._path, known)
        except OSError as error:
            self._changed = True
            if error.strerror != self._problem:
                log.error("The last values cannot be kept for after a restart: %s", error.strerror)
            self._problem = error.strerror or "?"
        else:
            self._problem = ""


def _write(path: Path, known: list[tuple[Reading, Values]]) -> None:
    """The whole file or none of it."""
    data = dump({"v": 1, "machines": [_machine(reading, values) for reading, values in known]})
    new = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _machine(reading: Reading, values: Values) -> dict[str, Any]:
    """The newest reading, and the values that are older than it, each set of one time as a reading of its own."""
    older: dict[datetime, dict[str, SignalValue]] = {}
    for key, (value, at) in values.items():
        if at != reading.at:
            older.setdefault(at, {})[key] = value
    before = [to_document(Reading(reading.equipment_id, at, found)) for at, found in older.items()]
    return {"latest": to_document(reading), "before": before}


def _read(path: Path) -> list[tuple[Reading, Values]]:
    """Nothing, where there is no file or none that can be used: then every machine has to be read once first."""
    try:
        said = load_foreign(path.read_bytes())
        if not isinstance(said, dict) or said.get("v") != 1:
            raise InvalidInput("it is of another version")
        return [_known(machine) for machine in said["machines"]]
    except FileNotFoundError:
        return []
    except (OSError, InvalidInput, KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        log.error("The last values kept in %s cannot be used: %s", path.name, error)
        return []


def _known(machine: dict[str, Any]) -> tuple[Reading, Values]:
    latest = from_document(machine["latest"])
    values: Values = {}
    for reading in (*map(from_document, machine["before"]), latest):
        values |= {key: (value, reading.at) for key, value in reading.values.items()}
    return latest, values
