"""OPC UA against the library's own server in this process, for what node-opcua does not do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager
from asyncua.ua.ua_binary import struct_to_binary, uatcp_to_binary

from shared.clock import SystemClock
from shared.connectors import Connector, Connectors, opc_ua_kept
from shared.connectors.opc_ua_session import bounded
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.signals import Quality
from tests.peers.certificates import user_pair

# One server for all: building its address space takes seconds.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("asyncua")]

BOGUS = user_pair("server")[0]
"""A certificate that no server has; given whole, so nobody has to be asked for it."""
MACHINE = "http://machine.example/"


class Passwords(UserManager):
    """What came in from people who wanted in."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        self.seen.append(password)
        return User(role=UserRole.User) if password in (None, "geheim") else None


class Machine:
    """A server without security, with one temperature."""

    def __init__(self) -> None:
        self.passwords = Passwords()
        self.server = Server(user_manager=self.passwords)
        self.port = 0

    async def start(self) -> None:
        await self.server.init()
        self.server.set_endpoint("opc.tcp://127.0.0.1:0/")
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await self.server.register_namespace(MACHINE)
        node = ua.NodeId(ua.String("T"), ua.Int16(index))
        await self.server.nodes.objects.add_variable(node, "T", 181.5)
        await self.server.start()
        self.port = self.server.bserver._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started() -> AsyncIterator[Machine]:
    machine = Machine()
    await machine.start()
    yield machine
    await machine.server.stop()


@pytest.fixture
def machine(started: Machine) -> Machine:
    started.passwords.seen.clear()
    return started


@pytest_asyncio.fixture(loop_scope="module")
async def connectors() -> AsyncIterator[Connectors]:
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
    yield Connectors(http, SystemClock())
    await http.close()


def opened(connectors: Connectors, port: int, credentials: dict[str, str] | None = None, **options: Any) -> Connector:
    config = {
        "endpoint": "127.0.0.1",
        "port": port,
        "credentials": credentials or {},
        "additional_config": {
            "security_policy": "None",
            "timeout": 5.0,
            "signals": {"temperature.cabinet": f"nsu={MACHINE};s=T"},
            **options,
        },
    }
    return connectors.open(protocol="opc_ua", equipment_id="oven-1", config=config)


async def test_it_is_read(machine: Machine, connectors: Connectors) -> None:
    reading = await opened(connectors, machine.port).get_current_reading()
    assert (reading.values["temperature.cabinet"].value, reading.quality) == (181.5, Quality.GOOD)


async def test_a_namespace_that_moved_is_followed(machine: Machine, connectors: Connectors) -> None:
    reader = opened(connectors, machine.port)
    assert (await reader.get_current_reading()).quality is Quality.GOOD
    known = connectors._opc_ua.namespaces
    url = next(iter(known))
    known[url] = (*known[url][:2], "http://was.here.before/", MACHINE)  # as it was before an update
    assert (await reader.get_current_reading()).values["temperature.cabinet"].value == 181.5
    assert known[url].index(MACHINE) == 2
    await reader.close()


def _open(machine: Machine) -> list[Any]:
    server: Any = machine.server
    return [one for one in server.bserver.clients if one.transport is not None and not one.transport.is_closing()]


async def _left(machine: Machine) -> None:
    """The server hears of it a moment later."""
    async with asyncio.timeout(8):
        while _open(machine):  # noqa: ASYNC110 - the library says nothing
            await asyncio.sleep(0.01)


async def test_a_device_that_is_read_often_keeps_its_session(machine: Machine, connectors: Connectors) -> None:
    await _left(machine)
    reader = opened(connectors, machine.port)
    await reader.get_current_reading()
    await _left(machine)  # read for the first time: nobody knows whether it comes again soon
    await reader.get_current_reading()
    [kept] = _open(machine)
    for _ in range(3):
        assert (await reader.get_current_reading()).values["temperature.cabinet"].value == 181.5
        assert _open(machine) == [kept]
    kept.transport.abort()
    reading = await reader.get_current_reading()
    assert (reading.values["temperature.cabinet"].value, reading.error_code) == (181.5, None), "replaced as a whole"
    assert kept not in _open(machine)
    await reader.close()
    await _left(machine)


async def test_a_kept_session_that_falls_silent_costs_no_reading(machine: Machine, connectors: Connectors) -> None:
    reader = opened(connectors, machine.port, timeout=2.0)
    await reader.get_current_reading()
    await reader.get_current_reading()
    [kept] = _open(machine)
    kept.transport.pause_reading()  # as behind a cable that was pulled
    reading = await reader.get_current_reading()
    assert (reading.values["temperature.cabinet"].value, reading.error_code) == (181.5, None)
    kept.transport.abort()
    await _left(machine)  # and none is kept for a while, should the server be one that dislikes it
    assert (await reader.get_current_reading()).error_code is None
    await _left(machine)
    await reader.close()


async def test_a_kept_session_is_replaced_in_time_and_left_when_idle(
    machine: Machine, connectors: Connectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opc_ua_kept, "OLDEST_SECONDS", 0.0)
    reader = opened(connectors, machine.port)
    await reader.get_current_reading()
    seen = set()
    for _ in range(3):
        await reader.get_current_reading()
        seen |= set(_open(machine))
    assert len(seen) >= 3, "each is too old for the next read"
    monkeypatch.setattr(opc_ua_kept, "OLDEST_SECONDS", 45.0)
    monkeypatch.setattr(opc_ua_kept, "KEEP_SECONDS", 0.5)
    await reader.close()
    idle = opened(connectors, machine.port)
    await idle.get_current_reading()
    await idle.get_current_reading()
    assert _open(machine)
    await _left(machine)
    await idle.close()


async def test_a_password_is_not_sent_in_the_clear(machine: Machine, connectors: Connectors) -> None:
    user = {"username": "baker", "password": "geheim"}
    reading = await opened(connectors, machine.port, user, server_cert="ab" * 32).get_current_reading()
    assert reading.error_code == "tls_failed"
    assert "was not sent" in str(reading.reason)
    assert machine.passwords.seen == []
    allowed = await opened(connectors, machine.port, user, allow_plain_password=True).get_current_reading()
    assert allowed.quality is Quality.GOOD
    assert machine.passwords.seen == ["geheim"]


async def test_without_our_certificate_no_secured_server_is_read(connectors: Connectors) -> None:
    signed: dict[str, Any] = {"security_policy": "Basic256Sha256", "server_cert": BOGUS}
    reading = await opened(connectors, 9, **signed).get_current_reading()
    assert reading.error_code == "not_supported"


async def test_an_address_that_is_not_allowed_is_not_connected_to(machine: Machine) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    http = OutgoingHttp(TargetPolicy(allow_private=False, allow_http=False, resolve=resolve))
    config = {
        "endpoint": "oven.example",
        "port": machine.port,
        "additional_config": {"security_policy": "None", "signals": {"a": "i=2258"}},
    }
    reader = Connectors(http, SystemClock()).open(protocol="opc_ua", equipment_id="oven-1", config=config)
    reading = await reader.get_current_reading()
    assert reading.error_code == "cannot_connect"
    assert "loopback address" in str(reading.reason)
    await http.close()


async def test_the_vetted_address_is_connected_to_and_the_name_stays_in_the_url(machine: Machine) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.9", "127.0.0.1"]  # nothing listens at the first

    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True, resolve=resolve))
    config = {
        "endpoint": "oven.plant.example",
        "port": machine.port,
        "additional_config": {"security_policy": "None", "signals": {"a": "i=2258"}},
    }
    reader = Connectors(http, SystemClock()).open(protocol="opc_ua", equipment_id="oven-1", config=config)
    assert (await reader.get_current_reading()).quality is Quality.GOOD
    assert asked == ["oven.plant.example"]
    await http.close()


async def test_nothing_mapped_is_a_success_with_a_hint_and_no_reading(machine: Machine, connectors: Connectors) -> None:
    reader = opened(connectors, machine.port, signals=None)
    tested = await reader.test_connection()
    assert (tested.success, tested.status) == (True, "connected")
    assert "/oven-1/discover" in str(tested.error_details)
    assert (await reader.get_current_reading()).error_code == "not_supported"


# The deadline ----------------------------------------------------------------------------------------------------


class Stubborn:
    """Work that takes no notice of being cancelled."""

    def __init__(self) -> None:
        self.aborted = 0
        self.release = asyncio.Event()

    def abort(self) -> None:
        self.aborted += 1

    def work(self) -> Coroutine[Any, Any, str]:
        async def never() -> str:
            while not self.release.is_set():
                try:
                    await self.release.wait()
                except asyncio.CancelledError:
                    continue
            return "late"

        return never()


async def test_work_that_cannot_be_cancelled_is_left_behind() -> None:
    stubborn = Stubborn()
    with pytest.raises(TimeoutError):
        await bounded(stubborn.work(), 0.05, stubborn.abort)
    assert stubborn.aborted == 1
    stubborn.release.set()


async def test_who_waits_can_be_cancelled_whatever_the_work_does() -> None:
    stubborn = Stubborn()
    waiting = asyncio.create_task(bounded(stubborn.work(), 60, stubborn.abort))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert stubborn.aborted == 1
    stubborn.release.set()


async def test_what_the_work_raises_comes_out() -> None:
    async def fails() -> None:
        raise ValueError("so")

    with pytest.raises(ValueError, match="so"):
        await bounded(fails(), 1, lambda: None)


async def test_the_reason_of_a_refused_channel_is_kept(connectors: Connectors) -> None:
    """asyncua answers it with an empty AssertionError and keeps the reason to itself."""
    untyped: Any = ua  # asyncua is typed in parts
    kinds = untyped.MessageType
    fault = ua.ServiceFault()
    fault.ResponseHeader.ServiceResult = ua.StatusCode(untyped.StatusCodes.BadTcpServerTooBusy)
    channel = SecureConnection(
        SecurityPolicyNone(),  # type: ignore[no-untyped-call]
        TransportLimits(65_535, 65_535, 0, 0),
    )

    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(uatcp_to_binary(kinds.Acknowledge, ua.Acknowledge()))
        await reader.read(65_536)
        answer = channel.message_to_binary(struct_to_binary(fault), message_type=kinds.SecureOpen, request_id=1)
        writer.write(answer)
        await reader.read(65_536)
        writer.close()

    server = await asyncio.start_server(refuses, "127.0.0.1", 0)
    async with server:
        reading = await opened(connectors, server.sockets[0].getsockname()[1]).get_current_reading()
    assert (reading.error_code, "too busy" in str(reading.reason)) == ("throttled", True), reading.reason
