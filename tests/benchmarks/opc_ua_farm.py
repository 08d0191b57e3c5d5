"""OPC UA devices: one asyncua server that listens on all of 127.0.0.0/8, an address for each device.

``python -m tests.benchmarks.opc_ua_farm [--devices 50]``; says its port, then serves until its input ends. One server
for all of them: fifty in Python would need a gigabyte. Whoever connects finds every device; each has eight values, of
which three change with time.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import sys

from asyncua import ua
from asyncua.server.server import Server

from tests.benchmarks.wire import run_loop

NAMESPACE = "urn:ovenbridge:farm"
VALUES = ("deck1", "deck2", "deck3", "setpoint", "door", "status", "energy", "remaining")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=50)
    devices = parser.parse_args().devices
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        port = probe.getsockname()[1]
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://0.0.0.0:{port}/farm")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    changing = []
    for number in range(devices):
        for name in VALUES:
            value = False if name == "door" else 3 if name == "status" else 180.0
            node = await server.nodes.objects.add_variable(
                ua.NodeId(ua.String(f"oven-{number}/{name}"), ua.Int16(index)), name, value
            )
            if name.startswith("deck"):
                changing.append(node.nodeid)
    async with server:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        done = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        turn = 0
        while not done.done():
            turn += 1
            warmer = ua.DataValue(ua.Variant(180.0 + turn % 16 / 10, ua.VariantType.Double))
            for one in changing:
                await server.write_attribute_value(one, warmer)
            await asyncio.wait({done}, timeout=1.0)


if __name__ == "__main__":
    run_loop(main)
