"""A deck oven with a Modbus TCP controller: a process of its own, pymodbus' server around the oven's physics.

``python -m local.bakery.deck --port 0`` prints where it listens. Unit 1. Registers count from 0; each can be read as a
holding and as an input register, one alone can be written:

=======  =======  ======================================================================================
address  type     what it says
=======  =======  ======================================================================================
0        int16    set point, 0.1 Celsius; **may be written**, 300 to 3000. Holds until the oven is idle again
10       int16    temperature of the deck, 0.1 Celsius
11       int16    core probe, 0.1 Celsius; 32767: torn off
12       uint16   relative humidity, 0.1 %
13       uint16   stage: 0 idle, 1 preheating, 2 loading, 3 baking, 4 unloading, 5 cleaning
14       uint16   progress of the bake, %
15       uint16   seconds left of the bake
16, 17   uint32   energy since the oven was installed, 0.01 kWh, high word first
18       bits     bit 0: the door is open; bit 1: the heating is on
=======  =======  ======================================================================================

Faults: ``error`` (exception 4, device failure, to every request), ``sensor`` (the core probe is torn off), ``slow``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

from local.bakery.dialects import SENTINEL, core_probe
from local.bakery.faults import FaultPlan
from local.bakery.physics import OvenSimulation
from local.bakery.running import Running, device_parser, fault_kinds, run_device, say_ready, until_told

if TYPE_CHECKING:
    from pymodbus.constants import ExcCodes

__all__ = ["SET_POINT_RANGE", "SIGNALS", "STAGE_CODES", "main", "measured"]

UNIT = 1
FIRST = 10
"""Address of the first measured register."""
SET_POINT_RANGE = (30.0, 300.0)
"""Celsius. The controller refuses the rest."""
SLOW_SECONDS = 3.0
STAGE_CODES = {"idle": 0, "preheating": 1, "loading": 2, "baking": 3, "unloading": 4, "cleaning": 5}

SIGNALS = {
    "temperature.deck1": {"at": "input:10:int16", "scale": 0.1, "digits": 1, "unit": "C", "min": 0, "max": 400},
    "temperature.deck1.setpoint": {
        "at": "holding:0:int16",
        "scale": 0.1,
        "digits": 1,
        "unit": "C",
        "min": SET_POINT_RANGE[0],
        "max": SET_POINT_RANGE[1],
        "writable": True,
    },
    "temperature.core": {"at": "input:11:int16", "scale": 0.1, "digits": 1, "unit": "C", "invalid": [SENTINEL]},
    "humidity": {"at": "input:12", "scale": 0.1, "digits": 1},
    "status": {"at": "input:13", "map": {"0": "idle", "5": "cleaning"} | dict.fromkeys("1234", "running")},
    "cycle.stage": {"at": "input:13", "map": {str(code): stage for stage, code in STAGE_CODES.items()}},
    "cycle.progress": "input:14",
    "time.remaining": {"at": "input:15", "scale": 1 / 60, "digits": 1},
    "energy.kwh": {"at": "input:16:uint32", "scale": 0.01, "digits": 2},
    "door.open": "input:18:bit0",
}
"""The same as a mapping: what is entered as ``signals`` at the hub."""


def measured(oven: OvenSimulation, *, broken_sensor: bool = False) -> list[int]:
    """The registers from address 10 on."""
    core = core_probe(oven, broken_sensor=broken_sensor)
    energy = round(oven.energy * 100)
    return [
        _tenths(oven.temperature),
        SENTINEL if core is None else _tenths(core),
        _tenths(oven.humidity),
        STAGE_CODES[oven.stage],
        round(oven.progress or 0),
        round((oven.minutes_left or 0) * 60),
        energy >> 16 & 0xFFFF,
        energy & 0xFFFF,
        int(oven.door_open) | (oven.power > 0) << 1,
    ]


def _tenths(value: float) -> int:
    return round(value * 10) & 0xFFFF


class DeckController:
    """The Modbus face of one simulated oven."""

    def __init__(self, simulation: OvenSimulation, running: Running) -> None:
        self.simulation = simulation
        self._running = running

    async def answer(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Called by the server before every access: bring the registers up to date, or refuse."""
        from pymodbus.constants import ExcCodes

        fault = self._running.fault()
        if fault == "error":
            return ExcCodes.DEVICE_FAILURE
        if fault == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        self._running.catch_up()
        if written:
            # All measured registers are read-only, so the server lets nothing but the set point come here.
            celsius = written[0] / 10
            if not SET_POINT_RANGE[0] <= celsius <= SET_POINT_RANGE[1]:
                return ExcCodes.ILLEGAL_VALUE
            self.simulation.by_hand = celsius
        values = measured(self.simulation, broken_sensor=fault == "sensor")
        registers[0 - start] = _tenths(self.simulation.set_point)
        registers[FIRST - start : FIRST - start + len(values)] = values
        return None


async def serve(controller: DeckController, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    blocks = [
        SimData(0, values=0, datatype=DataType.REGISTERS),
        SimData(FIRST, values=[0] * len(measured(controller.simulation)), datatype=DataType.REGISTERS, readonly=True),
    ]
    device = SimDevice(UNIT, simdata=blocks, action=controller.answer)
    server = ModbusTcpServer(device, address=("127.0.0.1", port))
    try:
        await server.serve_forever(background=True)
    except RuntimeError as error:  # it does not say why; nearly always somebody else has the port
        raise OSError(str(error)) from error
    try:
        say_ready(f"The deck oven speaks Modbus on modbus+tcp://127.0.0.1:{_port_of(server)}")
        await until_told()
    finally:
        with contextlib.suppress(OSError):
            await server.shutdown()  # type: ignore[no-untyped-call]


def _port_of(server: object) -> int:
    listening = server.transport.sockets[0]  # type: ignore[attr-defined]
    return int(listening.getsockname()[1])


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    given = device_parser("deck", "One simulated deck oven that speaks Modbus TCP.", faults="error, sensor, slow")
    options = given.parse_args(arguments)
    simulation = OvenSimulation(options.seed)
    running = Running(simulation, FaultPlan(options.seed, fault_kinds(options.faults)), speed=options.speed)
    return run_device("The deck oven", options.port, serve(DeckController(simulation, running), options.port))


if __name__ == "__main__":
    sys.exit(main())
