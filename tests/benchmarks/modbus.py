"""Modbus: the relay's own way beside the plain asyncio pymodbus loop that reads the same blocks, in the same run.

``python -m tests.benchmarks.modbus [--seconds 4] [--rounds 3]``

- 200 units at 1 s, and unthrottled;
- 400 devices with addresses of their own that answer after 20 ms, at 1 s;
- 60 units behind one address that answers after 20 ms, one at a time: 50 reads a second are the physical limit.

The relay's own way is all of it: sampler, hard deadline, connector, eight signals with quality, unit and range, and
the reading on disk with an fsync. The yardstick keeps its connections open for ever, reads the same block, turns the
same registers into the same eight values by pymodbus' own conversion - no quality, range or reason - and throws them
away. Two more sides tell where time goes: our connector alone, and the yardstick without the conversion.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from shared.relay.messages import Device
from tests.benchmarks.plant import Read, line, load_now, measured_plain, measured_relay, rounds, say, serving
from tests.benchmarks.wire import run_loop

MODULE = "tests.benchmarks.modbus"
WARM_UP = 2.0
START, COUNT = 0, 24
SIGNALS: dict[str, Any] = {
    "temperature.deck1": {"at": "holding:0:int16", "scale": 0.1, "digits": 1, "invalid": [32767]},
    "temperature.deck2": {"at": "holding:1:int16", "scale": 0.1, "digits": 1, "invalid": [32767]},
    "temperature.deck3": {"at": "holding:2:int16", "scale": 0.1, "digits": 1, "invalid": [32767]},
    "temperature.setpoint": {"at": "holding:6:float32:CDAB"},
    "door.open": "holding:9:bit0",
    "status": {"at": "holding:12", "map": {"1012": "baking"}},
    "energy.kwh": {"at": "holding:16:uint32", "scale": 0.001},
    "time.remaining": "holding:23",
}
SHARE = 0.7
"""Of the yardstick's reads a second, unthrottled."""


@dataclass(frozen=True)
class Load:
    """What is read how often."""

    devices: int
    period: float
    """0: as fast as it goes."""
    shared: bool
    """All behind one address."""
    port: int = 0
    seconds: float = 4.0

    def host(self, number: int) -> str:
        """The address of this device."""
        return "127.0.0.1" if self.shared else f"127.7.{number // 200}.{number % 200 + 1}"

    def device(self, number: int) -> Device:
        """As it is assigned to a relay."""
        return Device(
            equipment_id=f"oven-{number}",
            name="Oven",
            protocol="modbus",
            endpoint=self.host(number),
            port=self.port,
            iot_config={"signals": SIGNALS, "unit": number % 247 + 1},
            poll_interval_seconds=1,
            timeout_seconds=10.0,
        )


# One side, in a process of its own ---------------------------------------------------------------------------------


async def _side(side: str, load: Load) -> None:
    if side == "relay":
        devices = [load.device(number) for number in range(load.devices)]
        say(await measured_relay(devices, load.period, warm_up=WARM_UP, seconds=load.seconds))
        return
    read = {"connector": _connector, "plain": _plain, "raw": _raw}[side](load)
    reads = [await read(number) for number in range(load.devices)]
    say(await measured_plain(reads, load.period, warm_up=WARM_UP, seconds=load.seconds))


Prepare = Callable[[int], Awaitable[Read]]


def _connector(load: Load) -> Prepare:
    """Ours without sampler and spool."""
    from shared.clock import SystemClock
    from shared.connectors import Connectors
    from shared.outgoing.http import OutgoingHttp
    from shared.outgoing.targets import TargetPolicy

    connectors = Connectors(OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True)), SystemClock())

    async def prepare(number: int) -> Read:
        device = load.device(number)
        config = {"endpoint": device.endpoint, "port": device.port, "additional_config": device.iot_config}
        connector = connectors.open(protocol="modbus", equipment_id=device.equipment_id, config=config)

        async def read() -> bool:
            return (await connector.get_current_reading()).error_code is None

        return read

    return prepare


def _clients(load: Load) -> Callable[[int], Awaitable[Any]]:
    from pymodbus.client import AsyncModbusTcpClient

    kept: list[AsyncModbusTcpClient] = []

    async def client(number: int) -> AsyncModbusTcpClient:
        if not kept or not load.shared:
            kept.append(AsyncModbusTcpClient(load.host(number), port=load.port))
            await kept[-1].connect()
        return kept[-1]

    return client


def _plain(load: Load) -> Prepare:
    """What a person would write: the same values by pymodbus' own conversion."""
    connected = _clients(load)

    async def prepare(number: int) -> Read:
        client = await connected(number)
        convert, kinds = client.convert_from_registers, client.DATATYPE

        async def read() -> bool:
            answer = await client.read_holding_registers(START, count=COUNT, device_id=number % 247 + 1)
            if answer.isError():
                return False
            words = list(answer.registers)
            values = [convert(words[at : at + 1], kinds.INT16) * 0.1 for at in range(3)]
            values.append(convert(words[6:8], kinds.FLOAT32, word_order="little"))
            values.append(convert(words[16:18], kinds.UINT32) * 0.001)
            return len([*values, words[9] & 1, words[12], words[23]]) == len(SIGNALS)

        return read

    return prepare


def _raw(load: Load) -> Prepare:
    """The registers are thrown away as they came."""
    connected = _clients(load)

    async def prepare(number: int) -> Read:
        client = await connected(number)

        async def read() -> bool:
            answer = await client.read_holding_registers(START, count=COUNT, device_id=number % 247 + 1)
            return not answer.isError()

        return read

    return prepare


# All of it ---------------------------------------------------------------------------------------------------------

_NAMES = {
    "relay": "Ovenbridge, sampler to disk",
    "plain": "plain pymodbus, converting the values",
    "connector": "Ovenbridge's connector alone",
    "raw": "plain pymodbus, registers thrown away",
}


def _measured(load: Load, sides: tuple[str, ...], count: int, answer_ms: float = 0.0) -> dict[str, Any]:
    with serving("tests.benchmarks.modbus_farm", "--answer-ms", str(answer_ms)) as port:
        found = rounds(MODULE, sides, {**asdict(load), "port": int(port)}, count=count)
    for side, result in found.items():
        print(line(_NAMES[side], result), flush=True)
    return found


def main(seconds: float, count: int) -> int:
    """Measure and print; 1 where a budget is missed."""
    missed: list[str] = []

    def check(true: bool, what: str) -> None:
        if not true:
            missed.append(what)

    print(f"Modbus: medians of {count} rounds of {seconds:g} s, sides taking turns, {load_now()}")
    print("200 units every second")
    found = _measured(Load(200, 1.0, shared=False, seconds=seconds), ("relay", "plain"), count)
    check(found["relay"].p99 <= 1.05 and not found["relay"].failed, "200 units: period p99 within 5 %")

    print("200 units, as fast as it goes")
    sides = ("relay", "plain", "connector", "raw")
    found = _measured(Load(200, 0.0, shared=False, seconds=seconds), sides, count)
    ours, plain = found["relay"], found["plain"]
    print(
        f"  {100 * ours.rate / plain.rate:.0f} % of the yardstick's reads a second with all there is, "
        f"{100 * found['connector'].rate / plain.rate:.0f} % the connector alone; processor time of a read "
        f"{ours.cpu_us / plain.cpu_us:.2f} and {found['connector'].cpu_us / plain.cpu_us:.2f} times its"
    )
    check(ours.rate >= SHARE * plain.rate, f"unthrottled: at least {SHARE:.0%} of the yardstick's reads a second")

    print("400 devices with addresses of their own, answering after 20 ms, every second")
    found = _measured(Load(400, 1.0, shared=False, seconds=seconds), ("relay", "plain"), count, answer_ms=20)
    ours, plain = found["relay"], found["plain"]
    check(ours.rate >= 396 and ours.p99 < 1.05, "400 devices: 400 reads/s with a period p99 under 1,050 ms")
    check(ours.cpu - plain.cpu < 0.25, "400 devices: under a quarter of a core more than the yardstick")

    print("60 units behind one address that answers after 20 ms, one at a time (at most 50 reads/s)")
    found = _measured(Load(60, 1.0, shared=True, seconds=2 * seconds), ("relay", "plain"), count, answer_ms=20)
    check(found["relay"].rate >= 40, "one address: at least 40 reads/s")

    for what in missed:
        print(f"  MISSED: {what}")
    print(f"  at the end {load_now()}")
    return 1 if missed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        load = Load(**json.loads(given.side[1]))
        run_loop(lambda: _side(given.side[0], load))
    else:
        sys.exit(main(given.seconds, given.rounds))
