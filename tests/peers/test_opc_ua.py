"""OPC UA against node-opcua: what is read, from whom, and what is said when it does not work."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from shared.clock import ManualClock, SystemClock
from shared.connectors import Connector, Connectors
from shared.connectors.discovery import Discovery
from shared.connectors.opc_ua import OpcUaConnector
from shared.connectors.opc_ua_address import NodeAddress
from shared.connectors.opc_ua_application import OpcUaApplication
from shared.connectors.opc_ua_browse import Limits
from shared.connectors.opc_ua_devices import discover
from shared.connectors.opc_ua_session import Door
from shared.errors import DeviceError, InvalidInput
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.secrets.file_vault import FileVault
from shared.signals import Quality
from tests.peers.certificates import user_pair
from tests.peers.conftest import ScriptedServer
from tests.peers.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("opcua")]

BAKER = {"username": "baker", "password": "rye & salt"}
PLAIN_PASSWORD = {"allow_plain_password": True}
SECURED = {"security_policy": "Basic256Sha256", "server_cert": "ab" * 32}
MACHINE = "nsu=http://peer.example/machine/;"
COOKING = "nsu=http://connectedcooking.com/OPCUA/;"
COMBI = {
    "temperature.cabinet": f"{COOKING}s=CombiSteamerDevice_9002/CombiSteamer/ActualTemperatureChamber_0",
    "temperature.core": {
        "at": f"{COOKING}s=CombiSteamerDevice_9002/CombiSteamer/ActualInternalCoreTemperature_1",
        "unit": "F",
    },
}


class World:
    """The peer, our connectors, and our certificate."""

    def __init__(self, peer: ScriptedServer, folder: Path) -> None:
        self.peer = peer
        clock = SystemClock()
        self.targets = TargetPolicy(allow_private=True, allow_http=True)
        self.http = OutgoingHttp(self.targets)
        self.vault = FileVault(folder / "vault", clock)
        self.application = OpcUaApplication(self.vault, clock)
        self.connectors = Connectors(self.http, clock, self.application)
        self.pin = ""
        self.opened: list[Connector] = []

    def open(
        self, protocol: str = "opc_ua", *, server: str = "kitchen", port: int | None = None, **given: Any
    ) -> Connector:
        options: dict[str, Any] = given.pop("options", {})
        signals = given.pop("signals", COMBI if protocol == "opc_ua" else None)
        endpoint = given.pop("endpoint", "opc.tcp://localhost/OPCUA/ConnectedCooking")
        base: dict[str, Any] = {"timeout": 5.0}
        if signals is not None:
            base["signals"] = signals
        if server == "kitchen":
            base["server_cert"] = self.pin
            given.setdefault("credentials", BAKER)
        else:
            base["security_policy"] = "None"
        merged = {name: value for name, value in {**base, **options}.items() if value is not None}
        config = {
            "endpoint": endpoint,
            "port": port or self.peer.ready[server],
            "additional_config": merged,
            **given,
        }
        self.opened.append(self.connectors.open(protocol=protocol, equipment_id="oven-1", config=config))
        return self.opened[-1]

    def plain(self, signals: dict[str, Any], **given: Any) -> Connector:
        return self.open(server="plain", signals=signals, **given)


@pytest.fixture
async def world(opc_ua_peer: ScriptedServer, tmp_path: Path) -> AsyncIterator[World]:
    """Trusted on both sides."""
    world = World(opc_ua_peer, tmp_path)
    await trust(world)
    try:
        yield world
    finally:
        for connector in world.opened:
            await connector.close()
        await world.http.close()
        await world.vault.close()


async def trust(world: World) -> None:
    ours = (await world.application.certificate()).certificate.der
    await world.peer.tell("trusted", server="kitchen", der=base64.b64encode(ours).decode())
    world.pin = "0" * 64
    world.pin = (await world.open().shown_certificate()).fingerprint


# What is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"])
@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
async def test_every_policy_in_both_modes_with_a_user_name(world: World, policy: str, mode: str) -> None:
    reading = await world.open(options={"security_policy": policy, "security_mode": mode}).get_current_reading()
    assert (reading.quality, reading.reason) == (Quality.GOOD, None)
    assert reading.values["temperature.cabinet"].value == 181.3
    assert reading.values["temperature.cabinet"].source_time is not None
    core = reading.values["temperature.core"]
    assert (core.value, core.raw, core.raw_unit) == (68.0, 154.4, "F")


async def test_every_kind_of_node_id_and_value(world: World) -> None:
    reading = await world.plain(
        {
            "temperature.cabinet": {"at": f"{MACHINE}s=Machine.Temperature", "min": 0, "max": 400},
            "temperature.f": {"at": f"{MACHINE}s=Machine.{{part}}", "unit": "F"},
            "humidity": "ns=2;s=Machine.Humidity",
            "door.open": f"{MACHINE}s=Machine.Door",
            "program": f"{MACHINE}s=Machine.Program",
            "status": {"at": f"{MACHINE}s=Machine.State", "map": {"3": "baking"}},
            "energy.kwh": f"{MACHINE}s=Machine.Energy",
            "since": f"{MACHINE}s=Machine.Since",
            "recipe": f"{MACHINE}s=Machine.Recipe",
            "by_guid": f"{MACHINE}g=72962B91-FA75-4AE6-8D28-B404DC7DAF63",
            "by_opaque": f"{MACHINE}b=M/RbKBsRVkePCePcx24oRA==",
            "by_number": f"{MACHINE}i=4711",
            "clock": "i=2258",
        },
        options={"part": "Fahrenheit"},
    ).get_current_reading()
    found = {key: value.value for key, value in reading.values.items()}
    assert found.pop("clock") is not None
    assert found == {
        "temperature.cabinet": 181.3,
        "temperature.f": 180.0,
        "humidity": 62,
        "door.open": True,
        "program": "Brezel",
        "status": "baking",
        "energy.kwh": 123456,
        "since": "2026-11-21T09:00:00.000Z",
        "recipe": "Roggenbrot",
        "by_guid": 7.0,
        "by_opaque": 8.0,
        "by_number": 9.0,
    }
    assert reading.quality is Quality.GOOD


async def test_each_value_has_the_quality_and_the_reason_that_the_server_gives_it(world: World) -> None:
    reading = await world.plain(
        {
            "temperature.cabinet": f"{MACHINE}s=Machine.Temperature",
            "temperature.broken": f"{MACHINE}s=Machine.Broken",
            "temperature.doubtful": f"{MACHINE}s=Machine.Doubtful",
            "temperature.hot": {"at": f"{MACHINE}s=Machine.Temperature", "max": 100},
            "gone": f"{MACHINE}s=Machine.Nothing",
            "elsewhere": "nsu=http://other.example/;s=X",
            "folder": f"{MACHINE}s=Machine",
            "list": f"{MACHINE}s=Machine.List",
        }
    ).get_current_reading()
    said = {key: (value.quality.value, value.value, value.reason) for key, value in reading.values.items()}
    assert said["temperature.cabinet"] == ("good", 181.3, None)
    assert said["temperature.broken"] == ("bad", None, "the sensor is broken or not connected (BadSensorFailure)")
    assert said["temperature.doubtful"][:2] == ("uncertain", 77.5)
    assert "out of calibration" in str(said["temperature.doubtful"][2])
    assert said["temperature.hot"][:2] == ("uncertain", 181.3)
    assert "no such node" in str(said["gone"][2])
    assert "no namespace http://other.example/" in str(said["elsewhere"][2])
    assert "not a value" in str(said["folder"][2])
    assert "a list" in str(said["list"][2])
    assert (reading.quality, reading.error_code) == (Quality.BAD, None)


async def test_a_server_that_takes_few_nodes_at_once_is_read_in_parts(world: World) -> None:
    signals = {f"s{n}": COMBI["temperature.cabinet"] for n in range(50)}  # the kitchen takes 20 a request
    reading = await world.open(signals=signals).get_current_reading()
    assert [value.value for value in reading.values.values()] == [181.3] * 50


async def test_none_of_the_nodes_is_there(world: World) -> None:
    reading = await world.plain({"a": f"{MACHINE}s=X", "b": f"{MACHINE}s=Y"}).get_current_reading()
    assert reading.error_code == "unexpected_answer"
    assert "Not one of the 2 mapped signals" in str(reading.reason)


async def test_a_session_is_never_left_open(world: World) -> None:
    signals = {"a": f"{MACHINE}s=Machine.Temperature"}  # the server takes three sessions
    for _ in range(8):
        assert (await world.plain(signals).get_current_reading()).quality is Quality.GOOD
    assert (await world.peer.tell("sessions", server="plain"))["current"] == 0
    often = world.plain(signals)
    for _ in range(8):
        assert (await often.get_current_reading()).quality is Quality.GOOD
        assert (await world.peer.tell("sessions", server="plain"))["current"] <= 1
    assert (await world.peer.tell("sessions", server="plain"))["current"] == 1, "kept: it is read that often"
    await often.close()
    assert (await world.peer.tell("sessions", server="plain"))["current"] == 0


# Profiles and discovery ------------------------------------------------------------------------------------------


async def test_a_combi_steamer_needs_no_mapping(world: World) -> None:
    reading = await world.open("opc30200-combi").get_current_reading()
    found = {key: value.value for key, value in reading.values.items()}
    assert found == {
        "status": "cooking",
        "cycle.stage": "hot_air",
        "temperature.cabinet": 181.3,
        "temperature.setpoint": 180.0,
        "temperature.core": 68.0,
        "humidity": 62,
        "humidity.setpoint": 65,
        "time.remaining": 25.5,
        "program.minutes": 60.0,
        "door.open": False,
        "program.name": "Baguette",
    }
    assert reading.quality is Quality.GOOD


async def test_a_rational_oven_is_read_as_a_combi_steamer(world: World) -> None:
    named = world.open("rational", options={"device": f"{COOKING}s=CombiSteamerDevice_{{n}}", "n": 9002})
    for connector in (world.open("rational"), named):
        reading = await connector.get_current_reading()
        assert (reading.quality, reading.values["temperature.cabinet"].value) == (Quality.GOOD, 181.3)
    tested = await named.test_connection()
    assert (tested.success, "temperature" in tested.supported_features) == (True, True)


async def test_a_deck_oven_needs_no_mapping_and_is_browsed_once(world: World) -> None:
    connector = world.open("opc30200-oven", options={"device": f"{COOKING}s=DeckOven_1"})
    first = await connector.get_current_reading()
    found = {key: value.value for key, value in first.values.items()}
    assert found == {
        "status": "baking",
        "deck2.status": "baking",
        "cycle.stage": "baking",
        "deck2.stage": "baking",
        "temperature.deck1": 221.0,
        "temperature.deck2": 222.0,
        "temperature.deck1.setpoint": 230.0,
        "temperature.deck2.setpoint": 230.0,
        "temperature.deck1.top": 241.0,
        "temperature.deck2.top": 242.0,
        "time.remaining": 10.0,
        "deck2.time_remaining": 20.0,
        "door.open": False,
        "deck2.door_open": True,
    }
    ((shelf, mapping),) = world.connectors._opc_ua.mappings.items()
    world.connectors._opc_ua.mappings[shelf] = mapping[:1]
    assert list((await connector.get_current_reading()).values) == ["status"], "it was not browsed again"


async def test_a_device_whose_nodes_are_gone_is_browsed_again(world: World) -> None:
    connector = world.open("opc30200-combi")
    assert (await connector.get_current_reading()).quality is Quality.GOOD
    ((shelf, mapping),) = world.connectors._opc_ua.mappings.items()
    gone = NodeAddress("s", "CombiSteamerDevice_1", "http://connectedcooking.com/OPCUA/")
    world.connectors._opc_ua.mappings[shelf] = tuple(replace(signal, node=gone) for signal in mapping)
    assert (await connector.get_current_reading()).error_code == "unexpected_answer"
    assert (await connector.get_current_reading()).quality is Quality.GOOD


async def test_two_devices_at_one_server_keep_their_own_nodes(world: World) -> None:
    for device in ("Nothing", "DeckOven_1"):
        reader = world.open("opc30200-oven", options={"device": f"{COOKING}s={device}"})
        reading = await reader.get_current_reading()
        assert (reading.error_code is None) is (device == "DeckOven_1"), reading.reason
    wrong = await world.open("opc30200-oven", options={"device": "nsu=http://else/;s=X"}).get_current_reading()
    assert "no namespace http://else/" in str(wrong.reason)


async def test_discover_answers_a_mapping_that_reads(world: World) -> None:
    found = await world.open(signals=None).discover(20)
    assert [(d.name, d.type, d.profile) for d in found.devices] == [
        ("CombiSteamerDevice_9002", "CombiSteamerDeviceType", "opc30200-combi"),
        ("DeckOven_1", "OvenDeviceType", "opc30200-oven"),
    ]
    combi, oven = found.devices
    assert combi.address == f"{COOKING}s=CombiSteamerDevice_9002"
    assert combi.signals["temperature.core"] == {
        "at": f"{COOKING}s=CombiSteamerDevice_9002/CombiSteamer/ActualInternalCoreTemperature_1",
        "unit": "F",
        "min": 0.0,
        "max": 572.0,
    }
    assert oven.signals["temperature.deck2.top"]["unit"] == "C"
    for device in found.devices:
        signals = {key: dict(options) for key, options in device.signals.items()}
        reading = await world.open(signals=signals).get_current_reading()
        assert (reading.quality, len(reading.values)) == (Quality.GOOD, len(signals))


async def test_discover_lists_values_where_no_type_is_known(world: World) -> None:
    found = await world.plain({}, options={"signals": None}).discover(20)
    assert found.devices == ()
    nodes = {node.at: node for node in found.nodes}
    temperature = nodes[f"{MACHINE}s=Machine.Temperature"]
    assert (temperature.path, temperature.data_type, temperature.value) == ("Machine/Temperature", "Float", 181.3)
    assert (temperature.unit, temperature.writable) == ("C", True)
    assert nodes[f"{MACHINE}s=Machine.Locked"].writable is False
    assert nodes[f"{MACHINE}g=72962B91-FA75-4AE6-8D28-B404DC7DAF63"].value == 7.0
    assert not [at for at in nodes if "nsu" not in at]  # nothing of the server's own


# Writing ---------------------------------------------------------------------------------------------------------


async def test_a_writable_signal_is_written_and_read_back(world: World) -> None:
    connector = world.plain(
        {
            "temperature.setpoint": {"at": f"{MACHINE}s=Machine.Setpoint", "writable": True, "min": 30, "max": 300},
            "locked": {"at": f"{MACHINE}s=Machine.Locked", "writable": True, "min": 0, "max": 10},
            "read_only": f"{MACHINE}s=Machine.Setpoint",
        }
    )
    written = await connector.write("temperature.setpoint", 195.5)
    assert (written.value, written.quality) == (195.5, Quality.GOOD)
    again = await connector.get_current_reading()
    assert again.values["temperature.setpoint"].value == 195.5
    with pytest.raises(InvalidInput, match="above the maximum of 300"):
        await connector.write("temperature.setpoint", 301)
    with pytest.raises(InvalidInput, match="does not say writable"):
        await connector.write("read_only", 100)
    with pytest.raises(DeviceError, match="Nothing has changed"):
        await connector.write("locked", 5)


# Who trusts whom -------------------------------------------------------------------------------------------------


async def test_an_unknown_server_is_named_and_nothing_is_sent_to_it(world: World) -> None:
    tested = await world.open(options={"server_cert": None}).test_connection()
    assert (tested.success, tested.status) == (False, "tls_failed")
    assert tested.server_certificate is not None
    assert tested.server_certificate.fingerprint == world.pin
    assert not tested.server_certificate.trusted
    assert f'/oven-1/trust-certificate {{"fingerprint": "{world.pin}"}}' in str(tested.error_details)


async def test_a_server_that_does_not_trust_us_says_what_to_move_where(world: World) -> None:
    await world.peer.tell("distrust", server="kitchen")
    tested = await world.open().test_connection()
    ours = (await world.application.certificate()).certificate
    assert tested.status == "tls_failed"
    assert "does not trust our certificate yet" in str(tested.error_details)
    assert ours.thumbprint.upper() in str(tested.error_details).replace(":", "")
    # What a person does then: move it from the rejected to the trusted ones.
    assert (await world.peer.tell("trust", server="kitchen"))["moved"] >= 1
    assert (await world.open().test_connection()).success


async def test_a_user_certificate_signs_in(world: World) -> None:
    certificate, key = user_pair("baker")
    der = base64.b64encode(base64.b64decode(re.sub(r"-----[A-Z ]+-----|\s", "", certificate))).decode()
    credentials = {"user_certificate": certificate, "user_private_key": key}
    refused = await world.open(credentials=credentials).test_connection()
    assert refused.status == "authentication_failed"
    assert "trusted user certificates" in str(refused.error_details)
    await world.peer.tell("trusted", server="kitchen", users=True, der=der)
    assert (await world.open(credentials=credentials).test_connection()).success


async def test_a_replaced_certificate_stops_everything_until_it_is_trusted(world: World) -> None:
    connector = world.open()
    assert (await connector.get_current_reading()).quality is Quality.GOOD
    await world.peer.tell("restart", server="kitchen", certificate="second")
    try:
        tested = await connector.test_connection()
        assert tested.status == "tls_failed"
        assert "another certificate than the one that is trusted" in str(tested.error_details)
        assert tested.server_certificate is not None
        changed = tested.server_certificate.fingerprint
        assert changed != world.pin
        both = world.open(options={"server_cert": [world.pin, changed]})
        assert (await both.test_connection()).success
    finally:
        await world.peer.tell("restart", server="kitchen", certificate="first")
    assert (await both.test_connection()).success
    assert (await connector.test_connection()).success


@pytest.mark.parametrize(
    ("given", "status", "sentence"),
    [
        ({"credentials": {**BAKER, "password": "wrong"}}, "authentication_failed", "refuses this user name or"),
        ({"credentials": {}}, "authentication_failed", "anonymous sign-in"),
        ({"options": {"security_policy": "None", **PLAIN_PASSWORD}}, "tls_failed", "not offer the security None"),
        ({"server": "plain", "options": SECURED}, "tls_failed", "It offers: None"),
        ({"server": "plain", "credentials": BAKER, "options": PLAIN_PASSWORD}, "authentication_failed", "anonymous"),
        ({"endpoint": "opc.tcp://127.0.0.1", "port": 9}, "cannot_connect", "Nothing listens"),
        ({"endpoint": "opc.tcp://no-such-oven.invalid"}, "cannot_connect", "not found in the DNS"),
    ],
    ids=["password", "anonymous", "none", "secured", "user", "refused", "dns"],
)  # fmt: skip
async def test_what_is_said_when_a_server_says_no(
    world: World, given: dict[str, Any], status: str, sentence: str
) -> None:
    tested = await world.open(**given).test_connection()
    assert (tested.success, tested.status) == (False, status), tested.error_details
    assert sentence in str(tested.error_details)
    assert "rye & salt" not in str(tested.error_details)


async def test_too_many_sessions_is_a_request_to_come_less_often(world: World) -> None:
    port = world.peer.ready["plain"]
    others = [Door(f"opc.tcp://localhost:{port}", ["127.0.0.1"], port, timeout=4.0) for _ in range(3)]
    try:
        for door in others:
            await door.open_channel()
            await door.create_session()
            await door.activate_session()
        reading = await world.plain({"a": f"{MACHINE}s=Machine.Temperature"}).get_current_reading()
        assert reading.error_code == "throttled"
        assert "no session left" in str(reading.reason)
    finally:
        for door in others:
            await door.leave()
    assert (await world.plain({"a": f"{MACHINE}s=Machine.Temperature"}).get_current_reading()).quality is Quality.GOOD


# Networks and restarts -------------------------------------------------------------------------------------------


async def test_a_black_hole_ends_at_the_deadline_and_the_next_poll_is_well(world: World) -> None:
    async with TcpProxy("127.0.0.1", world.peer.ready["kitchen"]) as proxy:
        connector = world.open(port=proxy.port, options={"timeout": 1.5})
        assert (await connector.get_current_reading()).quality is Quality.GOOD
        await proxy.set("black-hole")
        begun = monotonic()
        lost = await connector.get_current_reading()
        assert (lost.error_code, lost.values) == ("timeout", {})
        assert "says nothing" in str(lost.reason)
        assert monotonic() - begun < 1.5 + 1.0
        await proxy.set("pass")
        back = await connector.get_current_reading()
        assert (back.quality, back.at > lost.at) == (Quality.GOOD, True)


@pytest.mark.parametrize("after", [1, 2, 3, 5])
async def test_a_black_hole_in_the_middle_of_a_poll(world: World, after: int) -> None:
    """The cable is pulled after so many segments from the server: hello, channel, session, sign-in, read, goodbye."""
    async with TcpProxy("127.0.0.1", world.peer.ready["kitchen"]) as proxy:
        connector = world.open(port=proxy.port, options={"timeout": 1.5})
        assert (await connector.get_current_reading()).quality is Quality.GOOD
        proxy.black_hole_after = after
        begun = monotonic()
        reading = await connector.get_current_reading()
        assert monotonic() - begun < 1.5 + 2.5
        if after < 5:
            assert reading.error_code == "timeout", reading
        else:
            assert reading.quality is Quality.GOOD
            await connector.close()  # the session was kept; now only the goodbye is lost
            assert monotonic() - begun < 1.5 + 2.5
        proxy.black_hole_after = None
        await proxy.set("pass")
        assert (await connector.get_current_reading()).quality is Quality.GOOD


@pytest.mark.parametrize(
    ("mode", "code"), [("reset", "cannot_connect"), ("refuse", "cannot_connect"), ("hold", "timeout")]
)
async def test_a_link_that_cuts_refuses_or_stalls(world: World, mode: Any, code: str) -> None:
    async with TcpProxy("127.0.0.1", world.peer.ready["kitchen"]) as proxy:
        connector = world.open(port=proxy.port, options={"timeout": 1.5})
        assert (await connector.get_current_reading()).quality is Quality.GOOD
        await proxy.set(mode)
        lost = await connector.get_current_reading()
        assert lost.error_code == code, lost.reason
        await proxy.set("pass")
        assert (await connector.get_current_reading()).quality is Quality.GOOD


async def test_a_restart_between_two_polls_changes_nothing(world: World) -> None:
    connector = world.open()
    before = await connector.get_current_reading()
    await world.peer.tell("stop", server="kitchen")
    down = await connector.get_current_reading()
    assert down.error_code == "cannot_connect"
    await world.peer.tell("start", server="kitchen")
    after = await connector.get_current_reading()
    assert [r.quality for r in (before, after)] == [Quality.GOOD, Quality.GOOD]
    assert after.values["temperature.cabinet"].value == 181.3


async def test_something_else_at_the_port(world: World) -> None:
    async def http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(http, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        tested = await world.plain({"a": "i=1"}, port=port).test_connection()
    assert tested.status == "unexpected_answer"
    assert "not OPC UA" in str(tested.error_details)


async def test_looking_around_ends_at_its_limits_and_says_so(world: World) -> None:
    connector = world.plain({}, options={"signals": None})
    assert isinstance(connector, OpcUaConnector)

    def looked(**limits: Any) -> Awaitable[Discovery]:
        return connector._talk().run(lambda door: discover(door, Limits(until=monotonic() + 10, **limits)))

    few = await looked(nodes=2)
    assert few.notes == ("Stopped after 2 nodes; there are more.",)
    three = await looked(listed=3)
    assert len(three.nodes) == 3
    assert "the first 3 are listed" in three.notes[0]
    late = await connector._talk().run(lambda door: discover(door, Limits(until=monotonic() - 1)))
    assert late.notes == ("Stopped because the time was up; there is more.",)


async def test_our_certificate_that_ends_soon_is_told_with_every_test(world: World) -> None:
    ours = await world.application.certificate()
    clock = ManualClock(ours.certificate.not_after - timedelta(days=10))
    connectors = Connectors(world.http, clock, OpcUaApplication(world.vault, clock))
    config = {
        "endpoint": "opc.tcp://localhost/OPCUA/ConnectedCooking",
        "port": world.peer.ready["kitchen"],
        "credentials": BAKER,
        "additional_config": {"server_cert": world.pin, "signals": COMBI},
    }
    tested = await connectors.open(protocol="opc_ua", equipment_id="oven-1", config=config).test_connection()
    assert tested.success
    assert "Our own OPC UA certificate expires on" in str(tested.error_details)
