"""Memory of the relay: 250 devices read every second over Modbus and OPC UA, each reading through the spool.

``python -m tests.benchmarks.relay_memory [--seconds 60]``; ``make soak`` takes ten minutes.

The process is the relay's own: sampler, connectors, spool; what it reads is taken out of the spool as the sender does
it, packed, and acknowledged, so that the file does not grow. Resident memory is looked at from outside once a second.
Limits: 200 MB at any time; flat, which is: between the first and the last third of the time after the warm-up, medians,
less than 4 MB more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import subprocess
import sys
import time

from shared.relay.messages import Device
from tests.benchmarks import modbus, opc_ua
from tests.benchmarks.plant import load_now, serving, the_plant
from tests.benchmarks.wire import ROOT, cpu_seconds, resident_mb, run_loop

MODULE = "tests.benchmarks.relay_memory"
MODBUS, OPC_UA = 200, 50
WARM_UP = 15.0
"""Until every module is loaded, every session open and the caches have their size."""
MOST_MB = 200.0
FLAT_MB = 4.0


def devices(modbus_port: int, opc_ua_port: int) -> list[Device]:
    """Of both kinds."""
    lines = modbus.Load(MODBUS, 1.0, shared=False, port=modbus_port)
    servers = opc_ua.Load(OPC_UA, 1.0, port=opc_ua_port)
    ua = [servers.device(n).model_copy(update={"equipment_id": f"combi-{n}"}) for n in range(OPC_UA)]
    return [*(lines.device(n) for n in range(MODBUS)), *ua]


async def _relay(modbus_port: int, opc_ua_port: int, seconds: float) -> None:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    from shared.relay.plant_batches import Batches

    async with the_plant(devices(modbus_port, opc_ua_port), 1.0) as seen:
        seen.keeps_marks = False
        batches = Batches(seen.spool, "hall-1")
        print("reading", flush=True)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            while (outgoing := await batches.next()) is not None:
                await seen.spool.acknowledge(outgoing.batch)
            await asyncio.sleep(1.0)
    print(json.dumps({"reads": seen.reads, "failed": len(seen.failures)}), flush=True)


def main(seconds: float) -> int:
    """Measure and print; 1 where a limit is missed."""
    print(f"Memory of a relay with {MODBUS} Modbus and {OPC_UA} OPC UA devices at 1 s, {seconds:g} s, {load_now()}")
    with serving("tests.benchmarks.modbus_farm") as lines, serving("tests.benchmarks.opc_ua_farm") as servers:
        told = [lines, servers, str(WARM_UP + seconds)]
        command = [sys.executable, "-m", MODULE, "--relay", *told]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as relay:
            assert relay.stdout is not None
            relay.stdout.readline()
            time.sleep(WARM_UP)
            cpu, since = cpu_seconds(relay.pid), time.monotonic()
            sizes: list[float] = []
            while time.monotonic() < since + seconds and relay.poll() is None:
                sizes.append(resident_mb(relay.pid))
                time.sleep(1.0)
            share = (cpu_seconds(relay.pid) - cpu) / (time.monotonic() - since)
            said = json.loads(relay.stdout.readline() or "{}")
    third = max(1, len(sizes) // 3)
    first, last = statistics.median(sizes[:third]), statistics.median(sizes[-third:])
    print(
        f"  {said.get('reads', 0)} readings, {said.get('failed', 0)} failed, {100 * share:.0f} % of a core; resident "
        f"{first:.1f} MB in the first third, {last:.1f} in the last, {max(sizes):.1f} at most"
    )
    missed = [
        what
        for what, true in (
            (f"under {MOST_MB:g} MB", max(sizes) < MOST_MB),
            (f"flat: at most {FLAT_MB:g} MB more at the end", last - first < FLAT_MB),
            ("every read answered", said.get("failed") == 0),
        )
        if not true
    ]
    for what in missed:
        print(f"  MISSED: {what}")
    print(f"  at the end {load_now()}")
    return 1 if missed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--relay", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.relay:
        modbus_at, opc_ua_at, length = given.relay
        run_loop(lambda: _relay(int(modbus_at), int(opc_ua_at), float(length)))
    else:
        sys.exit(main(given.seconds))
