"""A proofer that publishes to an MQTT broker: a process of its own, paho's client around the proofer's physics.

``python -m local.bakery.proofer --port 1883`` publishes every five seconds, with QoS 1 and retained, to the topic
``sample-bakery/proofer/1/telemetry``::

    {"ts": "2026-11-21T10:00:00.000Z", "climate": {"temp": 35.1, "rh": 77.6}, "door": "closed", "stage": "proofing",
     "minutes_left": 31.5, "trolleys": 4}

Faults: ``sensor`` (``temp`` is null), ``offline`` (nothing is published).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from datetime import UTC, datetime
from typing import Any

from local.bakery.faults import FaultPlan
from local.bakery.proofing import ProoferSimulation
from local.bakery.running import Running, device_parser, fault_kinds, run_device, say_ready, until_told
from shared.clock import iso

__all__ = ["SIGNALS", "TOPIC", "main", "telemetry"]

TOPIC = "sample-bakery/proofer/1/telemetry"
EVERY_SECONDS = 5.0

SIGNALS = {
    "temperature.cabinet": {"at": "climate.temp", "unit": "C", "min": 0, "max": 80},
    "humidity": {"at": "climate.rh", "min": 0, "max": 100},
    "door.open": {"at": "door", "map": {"open": True, "closed": False}},
    "status": {
        "at": "stage",
        "map": {"empty": "idle", "filling": "running", "proofing": "running", "emptying": "running"},
    },
    "cycle.stage": "stage",
    "time.remaining": "minutes_left",
    "trolleys": "trolleys",
}
"""What is entered as ``signals`` at the hub."""


def telemetry(proofer: ProoferSimulation, at: datetime, *, broken_sensor: bool = False) -> dict[str, Any]:
    """One message."""
    return {
        "ts": iso(at),
        "climate": {
            "temp": None if broken_sensor else round(proofer.temperature, 1),
            "rh": round(proofer.humidity, 1),
        },
        "door": "open" if proofer.door_open else "closed",
        "stage": proofer.stage,
        "minutes_left": round(proofer.minutes_left, 1),
        "trolleys": proofer.trolleys,
    }


async def publish(proofer: ProoferSimulation, running: Running, port: int) -> None:
    """Publish until SIGTERM or SIGINT; a broker that goes away is waited for."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    client = Client(CallbackAPIVersion.VERSION2, client_id="sample-proofer-1", protocol=MQTTProtocolVersion.MQTTv5)
    client.max_queued_messages_set(1_000)
    client.reconnect_delay_set(1, 5)
    await asyncio.to_thread(client.connect, "127.0.0.1", port)
    client.loop_start()
    told = asyncio.create_task(until_told())
    try:
        say_ready(f"The proofer publishes by MQTT to mqtt://127.0.0.1:{port}")
        while not told.done():
            running.catch_up()
            fault = running.fault()
            if fault != "offline":
                message = telemetry(proofer, datetime.now(UTC), broken_sensor=fault == "sensor")
                client.publish(TOPIC, json.dumps(message), qos=1, retain=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(told), EVERY_SECONDS)
    finally:
        client.disconnect()
        client.loop_stop()


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = device_parser(
        "proofer", "One simulated proofer that publishes to an MQTT broker.", faults="offline, sensor"
    )
    given = parser.parse_args(arguments)
    simulation = ProoferSimulation(given.seed)
    running = Running(simulation, FaultPlan(given.seed, fault_kinds(given.faults)), speed=given.speed)
    return run_device("The proofer", given.port, publish(simulation, running, given.port))


if __name__ == "__main__":
    sys.exit(main())
