"""Modbus: our connector beside the plain asyncio pymodbus loop that reads the same blocks, in the same run.

``python -m tests.benchmarks.modbus [--seconds 15]``

- 200 units at 1 s, and unthrottled;
- 400 devices with addresses of their own that answer after 20 ms, at 1 s;
- 60 units behind one address that answers after 20 ms, one at a time: 50 reads a second are the physical limit.

Both are driven by a plain fixed-rate loop; ours connects, keeps and closes as it does everywhere, and makes a reading
of eight signals with quality and unit. The yardstick keeps its connections open for ever and throws the registers away;
a second one connects for every read, as one may have to. Devices run in a process of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from tests.benchmarks.wire import ROOT, run_loop

Side = Literal["ours", "plain", "decoding", "reconnecting"]
WARM_UP = 4.0
START, COUNT = 0, 24
SIGNALS = {
    "temperature.deck1": {"at": "holding:0:int16", "scale": 0.1, "digits": 1, "invalid": [32767]},
    "temperature.deck2": {"at": "holding:1:int16", "scale": 0.1, "digits": 1, "invalid": [32767]},
    "temperature.deck3": {"at": "holding:2:int16", "scale": 0.1, "digits": 1, "invalid": [32767]},
    "temperature.setpoint": {"at": "holding:6:float32:CDAB"},
    "door.open": "holding:9:bit0",
    "status": {"at": "holding:12", "map": {"1012": "baking"}},
    "energy.kwh": {"at": "holding:16:uint32", "scale": 0.001},
    "time.remaining": "holding:23",
}


@dataclass(frozen=True)
class Result:
    """What one side reached."""

    reads: int
    failed: int
    seconds: float
    cpu: float
    """Share of one core."""
    p50: float
    """Seconds between two reads of one device."""
    p99: float
    worst: float

    @property
    def rate(self) -> float:
        """Reads a second."""
        return self.reads / self.seconds


@dataclass(frozen=True)
class Load:
    """What is read how often."""

    devices: int
    period: float
    """0: as fast as it goes."""
    shared: bool
    """All behind one address."""

    def host(self, number: int) -> str:
        """The address of this device."""
        return "127.0.0.1" if self.shared else f"127.7.{number // 200}.{number % 200 + 1}"


# One side, in a process of its own ---------------------------------------------------------------------------------


async def _side(side: Side, load: Load, port: int, seconds: float) -> None:
    read = {"ours": _ours, "plain": _plain, "decoding": _decoding, "reconnecting": _reconnecting}[side](load, port)
    reads = [await read(number) for number in range(load.devices)]
    marks: list[list[float]] = [[] for _ in reads]
    failed = 0
    loop = asyncio.get_running_loop()
    begin = loop.time() + 0.2
    ends = begin + WARM_UP + seconds

    async def poll(number: int) -> None:
        nonlocal failed
        at = begin + load.period * number / load.devices
        while at < ends:
            await asyncio.sleep(max(0.0, at - loop.time()))
            failed += not await reads[number]()
            marks[number].append(loop.time())
            # Fixed rate; what was missed is skipped.
            at = max(at + load.period, loop.time() - load.period) if load.period else loop.time()

    polls = [asyncio.create_task(poll(number)) for number in range(load.devices)]
    await asyncio.sleep(begin + WARM_UP - loop.time())
    cpu, since = time.process_time(), loop.time()
    await asyncio.sleep(ends - loop.time())
    cpu, until = time.process_time() - cpu, loop.time()
    await asyncio.gather(*polls)
    counted = [[mark for mark in of_one if since <= mark < until] for of_one in marks]
    gaps = sorted(after - before for of_one in counted for before, after in pairwise(of_one))
    share = (cpu / (until - since), gaps[len(gaps) // 2], gaps[int(0.99 * len(gaps))], gaps[-1])
    found = Result(sum(map(len, counted)), failed, until - since, *share)
    sys.stdout.write(json.dumps(found.__dict__) + "\n")


Read = Callable[[], Awaitable[bool]]


def _ours(load: Load, port: int) -> Callable[[int], Awaitable[Read]]:
    from shared.clock import SystemClock
    from shared.connectors import Connectors
    from shared.outgoing.http import OutgoingHttp
    from shared.outgoing.targets import TargetPolicy

    connectors = Connectors(OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True)), SystemClock())

    async def prepare(number: int) -> Read:
        options: dict[str, Any] = {"signals": SIGNALS, "unit": number % 247 + 1}
        config = {"endpoint": load.host(number), "port": port, "additional_config": options}
        connector = connectors.open(protocol="modbus", equipment_id=f"oven-{number}", config=config)

        async def read() -> bool:
            return (await connector.get_current_reading()).error_code is None

        return read

    return prepare


def _plain(load: Load, port: int) -> Callable[[int], Awaitable[Read]]:
    from pymodbus.client import AsyncModbusTcpClient

    shared: list[AsyncModbusTcpClient] = []

    async def prepare(number: int) -> Read:
        if not shared or not load.shared:
            client = AsyncModbusTcpClient(load.host(number), port=port)
            await client.connect()
            shared.append(client)
        client = shared[-1]

        async def read() -> bool:
            answer = await client.read_holding_registers(START, count=COUNT, device_id=number % 247 + 1)
            return not answer.isError()

        return read

    return prepare


def _decoding(load: Load, port: int) -> Callable[[int], Awaitable[Read]]:
    """What a person would write: the same values by pymodbus' own conversion, without quality, range or reason."""
    from pymodbus.client import AsyncModbusTcpClient

    async def prepare(number: int) -> Read:
        client = AsyncModbusTcpClient(load.host(number), port=port)
        await client.connect()
        convert, kinds = client.convert_from_registers, client.DATATYPE

        async def read() -> bool:
            answer = await client.read_holding_registers(START, count=COUNT, device_id=number % 247 + 1)
            if answer.isError():
                return False
            words = list(answer.registers)
            values = [convert(words[at : at + 1], kinds.INT16) * 0.1 for at in range(3)]  # type: ignore[operator]
            values.append(convert(words[6:8], kinds.FLOAT32, word_order="little"))
            values.append(convert(words[16:18], kinds.UINT32) * 0.001)  # type: ignore[operator]
            return len([*values, words[9] & 1, words[12], words[23]]) == len(SIGNALS)

        return read

    return prepare


def _reconnecting(load: Load, port: int) -> Callable[[int], Awaitable[Read]]:
    from pymodbus.client import AsyncModbusTcpClient

    async def prepare(number: int) -> Read:
        async def read() -> bool:
            client = AsyncModbusTcpClient(load.host(number), port=port, reconnect_delay=0)
            await client.connect()
            try:
                answer = await client.read_holding_registers(START, count=COUNT, device_id=number % 247 + 1)
            finally:
                client.close()
            return not answer.isError()

        return read

    return prepare


# All of it ---------------------------------------------------------------------------------------------------------


def measure(side: Side, load: Load, *, answer_ms: float = 0.0, seconds: float = 15.0) -> Result:
    """One side against fresh devices."""
    module = [sys.executable, "-m", "tests.benchmarks.modbus_farm", "--answer-ms", str(answer_ms)]
    with subprocess.Popen(module, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as farm:
        assert farm.stdin is not None
        assert farm.stdout is not None
        port = farm.stdout.readline().strip()
        told = [side, load.devices, load.period, int(load.shared), port, seconds]
        command = [sys.executable, "-m", "tests.benchmarks.modbus", "--side", *map(str, told)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        farm.stdin.close()
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    return Result(**json.loads(done.stdout))


def _line(name: str, found: Result) -> str:
    return (
        f"  {name:<34}{found.rate:8.1f} reads/s   {100 * found.cpu:5.1f} % of a core   between two reads of one device "
        f"p50 {found.p50:.3f} p99 {found.p99:.3f} max {found.worst:.3f} s"
        + (f"   {found.failed} FAILED" if found.failed else "")
    )


def main(seconds: float) -> int:
    """Measure and print; 1 where a budget is missed."""
    missed: list[str] = []

    def check(true: bool, what: str) -> None:
        if not true:
            missed.append(what)

    paced = Load(200, 1.0, shared=False)
    print("200 Modbus units every second")
    ours, plain = measure("ours", paced, seconds=seconds), measure("plain", paced, seconds=seconds)
    print(_line("Ovenbridge", ours), _line("plain pymodbus, connections kept", plain), sep="\n")
    check(ours.p99 <= 1.05 and not ours.failed, "200 units: period p99 within 5 %")

    fast = Load(200, 0.0, shared=False)
    print("200 Modbus units, as fast as it goes")
    ours, plain = measure("ours", fast, seconds=seconds), measure("plain", fast, seconds=seconds)
    decoding, again = (measure(side, fast, seconds=seconds) for side in ("decoding", "reconnecting"))
    print(_line("Ovenbridge", ours), _line("plain pymodbus, connections kept", plain), sep="\n")
    print(_line("the same, decoding the values", decoding), _line("connecting anew each time", again), sep="\n")
    print(
        f"  {100 * ours.rate / plain.rate:.0f} % of the reads per second of the yardstick, "
        f"{100 * ours.rate / decoding.rate:.0f} % where it decodes the values too"
    )
    check(ours.rate >= 0.7 * plain.rate, "unthrottled: at least 70 % of the yardstick's reads per second")

    slow = Load(400, 1.0, shared=False)
    print("400 devices with addresses of their own, answering after 20 ms, every second")
    ours, plain = (measure(side, slow, answer_ms=20, seconds=seconds) for side in ("ours", "plain"))
    print(_line("Ovenbridge", ours), _line("plain pymodbus, connections kept", plain), sep="\n")
    check(ours.rate >= 396 and ours.p99 < 1.05, "400 devices: 400 reads/s with a period p99 under 1,050 ms")
    check(ours.cpu - plain.cpu < 0.25, "400 devices: under a quarter of a core more than the yardstick")

    gateway = Load(60, 1.0, shared=True)
    print("60 units behind one address that answers after 20 ms, one at a time (at most 50 reads/s)")
    ours, plain = (measure(side, gateway, answer_ms=20, seconds=seconds) for side in ("ours", "plain"))
    print(_line("Ovenbridge", ours), _line("plain pymodbus, connections kept", plain), sep="\n")
    check(ours.rate >= 40, "one address: at least 40 reads/s")

    for what in missed:
        print(f"  MISSED: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.modbus")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--side", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side, devices, period, shared, port, length = given.side
        load = Load(int(devices), float(period), shared=shared == "1")
        run_loop(lambda: _side(side, load, int(port), float(length)))
    else:
        sys.exit(main(given.seconds))
