"""`POST /equipment/{id}/write` to an OPC UA server in this process: types, and orders whose answer is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncua import ua
from asyncua.server.server import Server

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api

pytestmark = pytest.mark.xdist_group("asyncua")

OVEN = "/api/v1/equipment/oven-1"
MACHINE = "http://machine.example/"
NODES: dict[str, tuple[Any, ua.VariantType]] = {
    "Setpoint": (356.0, ua.VariantType.Float),
    "Program": (3, ua.VariantType.Int16),
    "Light": (False, ua.VariantType.Boolean),
    "Locked": (5.0, ua.VariantType.Double),
}
SIGNALS: dict[str, Any] = {
    "temperature.setpoint": {"at": f"nsu={MACHINE};s=Setpoint", "unit": "F", "min": 86, "max": 572, "writable": True},
    "program.number": {"at": f"nsu={MACHINE};s=Program", "min": 1, "max": 99, "writable": True},
    "light": {"at": f"nsu={MACHINE};s=Light", "writable": True},
    "locked": {"at": f"nsu={MACHINE};s=Locked", "min": 0, "max": 10, "writable": True},
}


class Line:
    """Between us and the server; it can be told to swallow what the server answers once it was asked to write."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._tasks: set[asyncio.Task[None]] = set()
        self.swallows = False
        self.port = 0

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        mute = asyncio.Event()
        ways = (self._pass(reader, back, mute, watch=True), self._pass(there, writer, mute, watch=False))
        self._tasks |= {asyncio.create_task(way) for way in ways}

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: asyncio.Event, *, watch: bool
    ) -> None:
        try:
            while data := await reader.read(65_536):
                if watch and self.swallows and WRITE_REQUEST in data:
                    mute.set()
                if watch or not mute.is_set():
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass  # one side went
        finally:
            writer.close()


WRITE_REQUEST = bytes((1, 0)) + (673).to_bytes(2, "little")
"""The id of the service (OPC 10000-6), as it stands in the message of a connection without security."""


@pytest.fixture
async def machine() -> AsyncIterator[tuple[Server, Line]]:
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(MACHINE)
    for name, (value, kind) in NODES.items():
        node = await server.nodes.objects.add_variable(ua.NodeId(ua.String(name), ua.Int16(index)), name, value, kind)
        if name != "Locked":
            await node.set_writable()
    await server.start()
    line = Line(server.bserver._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
    await line.start()
    yield server, line
    await line.stop()
    await server.stop()


async def said(server: Server, name: str) -> Any:
    index = await server.get_namespace_index(MACHINE)
    return await server.get_node(ua.NodeId(ua.String(name), ua.Int16(index))).read_value()


async def test_writing_to_a_server(api: Api, house: Services, machine: tuple[Server, Line], clock: ManualClock) -> None:
    server, line = machine
    body = {
        "id": "oven-1",
        "name": "Combi",
        "iot_protocol": "opc_ua",
        "iot_endpoint": f"opc.tcp://127.0.0.1:{line.port}/",
        "iot_config": {"security_policy": "None", "signals": SIGNALS, "timeout": 3},
        "supports_remote_control": True,
    }
    assert (await api.post("/api/v1/equipment", json=body)).status == 201

    async def write(signal: str, value: Any) -> tuple[int, dict[str, Any]]:
        clock.advance(1)
        answer = await api.post(f"{OVEN}/write", json={"signal": signal, "value": value, "reason": "test"})
        return answer.status, answer.json()

    status, told = await write("temperature.setpoint", 200)
    assert (status, told["before"], told["after"], told["verified"], told["unit"]) == (200, 180, 200, True, "C")
    assert await said(server, "Setpoint") == 392.0

    status, told = await write("light", True)
    assert (told["before"], told["after"], await said(server, "Light")) == (False, True, True)

    status, told = await write("program.number", 4.5)
    assert (status, "takes whole numbers" in told["detail"]) == (400, True), told
    assert await said(server, "Program") == 3

    status, told = await write("locked", 6)
    assert (status, told["success"], told["after"]) == (200, False, None)
    assert "Nothing has changed" in told["error_details"]
    assert "may have been" not in told["error_details"]

    line.swallows = True
    status, told = await write("program.number", 7)
    assert (status, told["success"], told["status"]) == (200, False, "timeout"), told
    assert "program.number may have been written all the same" in told["error_details"]
    assert await said(server, "Program") == 7, "and so it was"

    page = await house.audit.entries(stream="equipment:oven-1")
    assert [entry.action for entry in reversed(page.entries) if entry.action.startswith("signal.")] == [
        *("signal.written", "signal.read_back") * 2,
        *("signal.written", "signal.written.failed") * 3,
    ]
