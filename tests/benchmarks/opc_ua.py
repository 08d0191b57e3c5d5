"""OPC UA: the relay's own way beside the plain asyncio asyncua loop that reads the same nodes, in the same run.

``python -m tests.benchmarks.opc_ua [--seconds 4] [--rounds 3]``: 50 devices at 1 s, and unthrottled.

The relay's own way is all of it: sampler, hard deadline, connector, eight signals with quality, unit, range and source
time, the server's namespaces checked with every read, and the reading on disk with an fsync. The yardstick keeps its
sessions open for ever, reads the same eight nodes in one request (``read_attributes``), looks at their status codes and
throws the values away. A third side connects for every read, as one has to where nothing is to be kept.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from shared.relay.messages import Device
from tests.benchmarks.opc_ua_farm import NAMESPACE, VALUES
from tests.benchmarks.plant import Read, line, load_now, measured_plain, measured_relay, rounds, say, serving
from tests.benchmarks.wire import run_loop

MODULE = "tests.benchmarks.opc_ua"
WARM_UP = 4.0
SHARE = 0.7
"""Of the yardstick's reads a second, unthrottled."""
_MAPPING: dict[str, Any] = {
    "temperature.deck1": {"at": "deck1", "digits": 1, "min": 0, "max": 400},
    "temperature.deck2": {"at": "deck2", "digits": 1, "min": 0, "max": 400},
    "temperature.deck3": {"at": "deck3", "digits": 1, "min": 0, "max": 400},
    "temperature.setpoint": {"at": "setpoint"},
    "door.open": {"at": "door"},
    "status": {"at": "status", "map": {"3": "baking"}},
    "energy.kwh": {"at": "energy"},
    "time.remaining": {"at": "remaining"},
}


@dataclass(frozen=True)
class Load:
    """What is read how often."""

    devices: int
    period: float
    """0: as fast as it goes."""
    port: int = 0
    seconds: float = 4.0

    def host(self, number: int) -> str:
        """The address of this device."""
        return f"127.8.0.{number + 1}"

    def device(self, number: int) -> Device:
        """As it is assigned to a relay."""
        signals = {
            key: {**spec, "at": f"nsu={NAMESPACE};s=oven-{number}/{spec['at']}"} for key, spec in _MAPPING.items()
        }
        return Device(
            equipment_id=f"oven-{number}",
            name="Oven",
            protocol="opc_ua",
            endpoint=f"opc.tcp://{self.host(number)}:{self.port}/farm",
            iot_config={"signals": signals, "security_policy": "None"},
            poll_interval_seconds=1,
            timeout_seconds=20.0,
        )


# One side, in a process of its own ---------------------------------------------------------------------------------


async def _side(side: str, load: Load) -> None:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    if side == "relay":
        devices = [load.device(number) for number in range(load.devices)]
        say(await measured_relay(devices, load.period, warm_up=WARM_UP, seconds=load.seconds))
        return
    read = {"plain": _plain, "anew": _anew}[side](load)
    reads = [await read(number) for number in range(load.devices)]
    say(await measured_plain(reads, load.period, warm_up=WARM_UP, seconds=load.seconds))


Prepare = Callable[[int], Awaitable[Read]]


def _nodes(number: int, index: int) -> list[Any]:
    from asyncua import ua

    return [ua.NodeId(ua.String(f"oven-{number}/{name}"), ua.Int16(index)) for name in VALUES]


def _plain(load: Load) -> Prepare:
    """Sessions kept, by asyncua's own client."""
    from asyncua.client.client import Client
    from asyncua.ua.attribute_ids import AttributeIds

    async def prepare(number: int) -> Read:
        client = Client(f"opc.tcp://{load.host(number)}:{load.port}/farm", timeout=20)
        await client.connect()
        nodes = _nodes(number, await client.get_namespace_index(NAMESPACE))
        session: Any = client.uaclient.session

        async def read() -> bool:
            answers = await session.read_attributes(nodes, AttributeIds.Value)
            return all(answer.StatusCode.is_good() and answer.Value is not None for answer in answers)

        return read

    return prepare


def _anew(load: Load) -> Prepare:
    """A connection and a session for every read."""
    from asyncua.client.client import Client
    from asyncua.ua.attribute_ids import AttributeIds

    async def prepare(number: int) -> Read:
        index: list[int] = []

        async def read() -> bool:
            async with Client(f"opc.tcp://{load.host(number)}:{load.port}/farm", timeout=20) as client:
                if not index:
                    index.append(await client.get_namespace_index(NAMESPACE))
                session: Any = client.uaclient.session
                answers = await session.read_attributes(_nodes(number, index[0]), AttributeIds.Value)
                return all(answer.StatusCode.is_good() for answer in answers)

        return read

    return prepare


# All of it ---------------------------------------------------------------------------------------------------------

_NAMES = {
    "relay": "Ovenbridge, sampler to disk",
    "plain": "plain asyncua, sessions kept",
    "anew": "plain asyncua, connecting anew",
}


def main(seconds: float, count: int) -> int:
    """Measure and print; 1 where a budget is missed."""
    missed: list[str] = []

    def check(true: bool, what: str) -> None:
        if not true:
            missed.append(what)

    print(f"OPC UA: medians of {count} rounds of {seconds:g} s, sides taking turns, {load_now()}")
    with serving("tests.benchmarks.opc_ua_farm") as port:
        for period, sides in ((1.0, ("relay", "plain", "anew")), (0.0, ("relay", "plain"))):
            print("50 devices every second" if period else "50 devices, as fast as it goes", flush=True)
            load = Load(50, period, int(port), seconds)
            found = rounds(MODULE, sides, asdict(load), count=count)
            for side, result in found.items():
                print(line(_NAMES[side], result), flush=True)
            ours, plain = found["relay"], found["plain"]
            if period:
                check(ours.p99 <= 1.05 and not ours.failed, "50 devices: period p99 within 5 %")
                continue
            print(
                f"  {100 * ours.rate / plain.rate:.0f} % of the yardstick's reads a second; processor time of a read "
                f"{ours.cpu_us / plain.cpu_us:.2f} times its"
            )
            check(
                ours.rate >= SHARE * plain.rate, f"unthrottled: at least {SHARE:.0%} of the yardstick's reads a second"
            )
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
