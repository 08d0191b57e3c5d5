"""A combi steamer with an OPC UA server: a process of its own, asyncua's server around the oven's physics.

``python -m local.bakery.combi --port 0`` prints where it listens. It has one device of the type CombiSteamerDeviceType
of OPC 30200, as far as somebody who browses for it looks: namespaces, device set, type, browse names, engineering
units. So it needs no mapping: ``"protocol": "opc30200-combi"`` finds it. No security and no sign-in: it is on loopback.

Faults: ``sensor`` (the core temperature is BadSensorFailure), ``error`` (its mode says so).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.bakery.dialects import core_probe
from local.bakery.faults import FaultPlan
from local.bakery.physics import OvenSimulation
from local.bakery.running import Running, device_parser, fault_kinds, run_device, say_ready, until_told

if TYPE_CHECKING:
    from asyncua.common.node import Node
    from asyncua.server.server import Server
    from asyncua.ua.uatypes import DataValue, Int16, VariantType

__all__ = ["POINTS", "CombiSteamer", "Point", "main"]

DEVICE_INTEGRATION = "http://opcfoundation.org/UA/DI/"
KITCHEN_EQUIPMENT = "http://opcfoundation.org/UA/CommercialKitchenEquipment/"
SAMPLES = "urn:ovenbridge:sample-bakery"
DEVICE_SET = 5001
COMBI_STEAMER_TYPE = 1011
"""Numbers of the two nodes in their namespaces, by the OPC Foundation."""

ERROR_MODE = 10
HOT_AIR_FROM = 200
"""Celsius. Below it the product is steamed as well."""


def mode(oven: OvenSimulation, *, fault: str | None = None) -> int:
    """CombiSteamerMode: 1 on, 2 preheating, 3 standby, 5 combi steaming, 6 hot air, 8 cleaning, 10 error."""
    if fault == "error":
        return ERROR_MODE
    if oven.stage == "baking":
        return 6 if oven.set_point >= HOT_AIR_FROM else 5
    return {"idle": 3, "preheating": 2, "cleaning": 8}.get(oven.stage, 1)


@dataclass(frozen=True, slots=True)
class Point:
    """One variable of the device."""

    name: str
    kind: str
    """Of its OPC UA type: ``Double``."""
    read: Callable[[OvenSimulation], Any]
    unit: str | None = None


POINTS = (
    Point("ActualTemperatureChamber_1", "Double", lambda oven: round(oven.temperature, 1), "°C"),
    Point("SetTemperature", "Double", lambda oven: oven.set_point, "°C"),
    Point("ActualInternalCoreTemperature_1", "Double", lambda oven: core_probe(oven, broken_sensor=False), "°C"),
    Point("SetInternalCoreTemperature_1", "Double", lambda oven: oven.recipe.core_target, "°C"),
    Point("ActualHumidity", "Double", lambda oven: round(oven.humidity, 1), "%"),
    Point("TimeRemainingProgram", "UInt32", lambda oven: round((oven.minutes_left or 0) * 60)),
    Point("SetProcessTimeProgram", "UInt32", lambda oven: round(oven.recipe.seconds)),
    Point("IsDoorOpen", "Boolean", lambda oven: oven.door_open),
    Point("ProgramName", "String", lambda oven: oven.recipe.name),
)
"""Beside the mode."""

_UNITS = {"°C": 4408652, "%": 20529}
"""UnitId after UNECE Recommendation 20."""


class CombiSteamer:
    """The OPC UA face of one simulated oven. Values are computed when they are read."""

    def __init__(self, simulation: OvenSimulation, running: Running) -> None:
        self.simulation = simulation
        self._running = running

    async def add_to(self, server: Server) -> None:
        """Put the device among the server's nodes."""
        from asyncua import ua

        kitchen = ua.Int16(await server.register_namespace(KITCHEN_EQUIPMENT))
        devices = ua.Int16(await server.register_namespace(DEVICE_INTEGRATION))
        own = ua.Int16(await server.register_namespace(SAMPLES))
        kind = await server.nodes.base_object_type.add_object_type(
            ua.NodeId(ua.Int32(COMBI_STEAMER_TYPE), kitchen), ua.QualifiedName("CombiSteamerDeviceType", kitchen)
        )
        device_set = await server.nodes.objects.add_object(
            ua.NodeId(ua.Int32(DEVICE_SET), devices), ua.QualifiedName("DeviceSet", devices)
        )
        device = await device_set.add_object(
            ua.NodeId(ua.String("CombiSteamer"), own), ua.QualifiedName("CombiSteamer", own), kind.nodeid
        )
        inside = await device.add_object(
            ua.NodeId(ua.String("CombiSteamer.Oven"), own), ua.QualifiedName("CombiSteamer", kitchen)
        )
        await self._add(server, inside, Point("CombiSteamerMode", "Int32", self._mode), (own, kitchen))
        for point in POINTS:
            await self._add(server, inside, point, (own, kitchen))

    def _mode(self, oven: OvenSimulation) -> int:
        return mode(oven, fault=self._running.fault())

    async def _add(self, server: Server, inside: Node, point: Point, namespaces: tuple[Int16, Int16]) -> None:
        from asyncua import ua
        from asyncua.ua.attribute_ids import AttributeIds

        own, kitchen = namespaces
        variant = ua.VariantType[point.kind]
        node = await inside.add_variable(
            ua.NodeId(ua.String(f"CombiSteamer.{point.name}"), own),
            ua.QualifiedName(point.name, kitchen),
            point.read(self.simulation),
            varianttype=variant,
        )
        if point.unit is not None:
            told = ua.EUInformation(
                NamespaceUri="http://www.opcfoundation.org/UA/units/un/cefact",
                UnitId=ua.Int32(_UNITS[point.unit]),
                DisplayName=ua.LocalizedText(point.unit),
            )
            where = ua.NodeId(ua.String(f"CombiSteamer.{point.name}.EngineeringUnits"), own)
            await node.add_property(where, ua.QualifiedName("EngineeringUnits", ua.Int16(0)), told)
        server.set_attribute_value_callback(
            node.nodeid, lambda _node, _attribute: self._value(point, variant), AttributeIds.Value
        )

    def _value(self, point: Point, variant: VariantType) -> DataValue:
        from asyncua import ua
        from asyncua.ua.status_codes import StatusCodes

        self._running.catch_up()
        now = ua.DateTime.fromtimestamp(datetime.now(UTC).timestamp(), UTC)
        if self._running.fault() == "sensor" and point.name.startswith("ActualInternalCore"):
            return ua.DataValue(
                ua.Variant(), StatusCode=ua.StatusCode(ua.UInt32(StatusCodes.BadSensorFailure)), SourceTimestamp=now
            )
        return ua.DataValue(ua.Variant(point.read(self.simulation), variant), SourceTimestamp=now)


async def serve(steamer: CombiSteamer, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    from asyncua import ua
    from asyncua.server.server import Server

    logging.getLogger("asyncua").setLevel(logging.ERROR)  # it warns that nothing is encrypted: that is meant so
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_server_name("Ovenbridge sample combi steamer")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await steamer.add_to(server)
    await server.start()
    try:
        say_ready(f"The combi steamer speaks OPC UA on opc.tcp://127.0.0.1:{_port_of(server)}")
        await until_told()
    finally:
        await server.stop()


def _port_of(server: Server) -> int:
    listening: Any = server.bserver
    return int(listening._server.sockets[0].getsockname()[1])


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = device_parser("combi", "One simulated combi steamer with an OPC UA server.", faults="error, sensor")
    given = options.parse_args(arguments)
    simulation = OvenSimulation(given.seed)
    running = Running(simulation, FaultPlan(given.seed, fault_kinds(given.faults)), speed=given.speed)
    return run_device("The combi steamer", given.port, serve(CombiSteamer(simulation, running), given.port))


if __name__ == "__main__":
    sys.exit(main())
