"""Reads and writes a device over Modbus TCP or RTU: wait for the line, connect, read, disconnect, in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from shared.clock import iso
from shared.connectors.base import Capabilities, ConnectionTest, Connector, Setup
from shared.connectors.deadline import Deadline
from shared.connectors.features import capabilities_of, features_of
from shared.connectors.mapping import canonical_key
from shared.connectors.modbus_errors import too_late
from shared.connectors.modbus_line import Line, lines
from shared.connectors.modbus_plan import ModbusPlan, ModbusSignal, plan
from shared.connectors.modbus_talk import Talk, read_signals
from shared.connectors.modbus_writing import words_of, write_signal
from shared.connectors.values import worst
from shared.errors import DeviceError, DeviceTimeout, InvalidInput
from shared.signals import Quality, Reading, SignalValue, Value

__all__ = ["ModbusConnector", "check", "connector"]

R = TypeVar("R")


def check(setup: Setup) -> None:
    """Raise ``InvalidInput`` for a configuration that cannot work."""
    plan(setup.config, setup.profile, setup.equipment_id, setup.http.targets)


def connector(setup: Setup) -> Connector:
    """A connector for this device. Raises ``InvalidInput``."""
    return ModbusConnector(setup, plan(setup.config, setup.profile, setup.equipment_id, setup.http.targets))


class ModbusConnector(Connector):
    """One unit on a line. Cheap to make: lines belong to the process."""

    def __init__(self, setup: Setup, plan: ModbusPlan) -> None:
        self._setup = setup
        self._plan = plan
        self._known_line: Line | None = None
        self._last: dict[str, tuple[Any, SignalValue]] = {}

    async def test_connection(self) -> ConnectionTest:
        """Read the values now, also of a unit that is left alone at the moment."""
        reading = await self._read(insist=True)
        if reading.error_code is not None:
            return ConnectionTest(False, reading.error_code, reading.response_ms, (), reading.reason, reading.values)
        failed = [key for key, value in reading.values.items() if value.quality is Quality.BAD]
        hint = (
            f"{len(failed)} of {len(reading.values)} signals have no value; the first: {failed[0]}." if failed else None
        )
        return ConnectionTest(True, "connected", reading.response_ms, features_of(reading.values), hint, reading.values)

    async def get_current_reading(self) -> Reading:
        """Read the values once."""
        return await self._read(insist=False)

    async def get_capabilities(self) -> Capabilities:
        """The mapping's signals, and whether they can be read now."""
        reading = await self._read(insist=True)
        found = capabilities_of((signal.key for signal in self._plan.signals), reading)
        return replace(found, supports_remote_control=any(signal.spec.writable for signal in self._plan.signals))

    async def write(self, key: str, value: Value) -> SignalValue:
        """Write one signal and read it back. Never repeated by itself. See :meth:`Connector.write`."""
        signal = self._writable(key)
        words = words_of(signal, value, self._plan.options.temperature_unit)
        return await self._converse(self._line(), lambda talk: write_signal(talk, signal, words))

    async def close(self) -> None:
        """Close the pool if it was made for this connector alone. Lines close by themselves."""
        if self._setup.owns_http:
            await self._setup.http.close()

    async def _read(self, *, insist: bool) -> Reading:
        line = self._line()
        begun = self._setup.clock.now()
        try:
            if not insist:
                self._respect_quarantine(line)
            return await self._converse(line, self._reading)
        except DeviceError as err:
            return Reading(
                self._setup.equipment_id,
                begun,
                {},
                Quality.BAD,
                err.detail,
                err.code,
                retry_after_seconds=err.retry_after,
            )

    async def _reading(self, talk: Talk) -> Reading:
        # Behind a busy line it is read later than it was asked for.
        begun, started = self._setup.clock.now(), talk.line.now
        values = await read_signals(talk)
        elapsed = (talk.line.now - started) * 1000
        quality = worst([value.quality for value in values.values()])
        return Reading(self._setup.equipment_id, begun, values, quality, response_ms=round(elapsed, 3))

    def _line(self) -> Line:
        line = self._known_line
        if line is None or not line.serves(asyncio.get_running_loop()):
            line = self._known_line = lines().of(self._plan.place.line)
        return line

    async def _converse(self, line: Line, speak: Callable[[Talk], Awaitable[R]]) -> R:
        """Have the line for ourselves, within the deadline. Raises ``DeviceError``."""
        options = self._plan.options
        waiting = True
        try:
            with Deadline(options.timeout):
                await line.take()
                waiting = False
                try:
                    return await speak(Talk(self._plan, line, self._setup.http.targets, self._setup.clock, self._last))
                finally:
                    line.leave(keep_open=options.keep_open)
        except TimeoutError:
            raise too_late(self._plan, waiting=waiting) from None

    def _respect_quarantine(self, line: Line) -> None:
        seconds = line.units.blocked_seconds(self._plan.unit, line.now)
        if seconds <= 0:
            return
        health = line.units.of(self._plan.unit)
        since = iso(health.silent_since) if health.silent_since is not None else "some time"
        until = iso(self._setup.clock.now() + timedelta(seconds=seconds))
        raise DeviceTimeout(
            f"{self._plan.where} has not answered since {since}. So that it does not delay the other units of its "
            f"line, it is asked again only after {until}. Is it on, and its unit number right?"
        )

    def _writable(self, key: str) -> ModbusSignal:
        wanted = canonical_key(key)
        found = next((signal for signal in self._plan.signals if signal.key == wanted), None)
        if found is None:
            raise InvalidInput(f"{key[:100]} is no signal of this device.", field="signal")
        if not found.spec.writable:
            raise InvalidInput(
                f"{key} cannot be written: its mapping does not say writable, which its engineer decides.",
                field="signal",
            )
        return found
