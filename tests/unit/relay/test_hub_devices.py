"""A plant's machine over the equipment API: the relay's answer in the words of the guide, or a 504 with since when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.connectors import ConnectionTest
from shared.connectors.base import ServerCertificate
from shared.connectors.discovery import DiscoveredDevice, DiscoveredNode, Discovery
from shared.json_text import dump
from shared.relay import answers
from shared.relay.messages import Command, Heartbeat
from shared.signals import Quality, SignalValue
from tests.unit.relay.conftest import Hub, beat

OVEN = "/api/v1/equipment/OVEN-1"
WORKS = ConnectionTest(
    True,
    "connected",
    8.5,
    ("temperature",),
    None,
    {
        "temperature.deck": SignalValue(180.5, unit="C"),
        "humidity": SignalValue(None, Quality.BAD, "No such register.", unit="%"),
    },
)
FAILS = ConnectionTest(False, "timeout", None, (), "The device did not answer within 10 s.")


@pytest.fixture
async def plant(hub: Hub) -> Hub:
    """A machine of a relay that is there."""
    await hub.machine("OVEN-1")
    await hub.house.relay_hub.watch.heard("hall-1", Heartbeat.model_validate(beat(hub.clock.now())))
    return hub


async def while_the_relay(hub: Hub, does: Callable[[Command], dict[str, Any]], call: Any) -> tuple[Any, Command]:
    """Make a call while the relay fetches one command and answers it."""
    asked = asyncio.create_task(call)
    waiting = asyncio.create_task(hub.relay.get("/api/v1/relays/hall-1/commands?wait=5"))
    done, _ = await asyncio.wait({asked, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if asked in done:
        waiting.cancel()
        raise AssertionError(f"nobody asked the relay: {asked.result().body!r}")
    command = Command.model_validate(waiting.result().json()["commands"][0])
    body = {"id": command.id, "ok": True, "at": "2026-11-21T10:00:00Z"} | does(command)
    answered = await hub.relay.post(f"/api/v1/relays/hall-1/commands/{command.id}/answer", body=dump(body))
    assert answered.status == 204, answered.body
    return await asked, command


def finds(result: ConnectionTest) -> Callable[[Command], dict[str, Any]]:
    return lambda _: {"body": answers.test_body(result)}


async def test_its_answer_is_the_answer(plant: Hub) -> None:
    answer, command = await while_the_relay(plant, finds(WORKS), plant.api.post(f"{OVEN}/test-connection"))
    assert answer.status == 200
    body = answer.json()
    assert (body["success"], body["response_time_ms"], body["supported_features"]) == (True, 8.5, ["temperature"])
    assert body["signals"]["temperature.deck"]["value"] == 180.5
    assert body["signals"]["humidity"]["reason"] == "No such register."
    assert (command.kind, command.equipment_id, command.actor["id"]) == ("test_connection", "OVEN-1", "developer")
    assert command.body["device"]["endpoint"] == "http://10.20.0.5:8080", "the relay need not have heard of it yet"
    log = (await plant.api.get(f"{OVEN}/connection-log")).json()["events"]
    assert [e["event_type"] for e in log] == ["connection_test"]


async def test_a_device_that_fails_is_a_finding(plant: Hub) -> None:
    answer, _ = await while_the_relay(plant, finds(FAILS), plant.api.post(f"{OVEN}/test-connection"))
    assert (answer.status, answer.json()["status"]) == (200, "timeout")
    assert "10 s" in answer.json()["error_details"]


async def test_what_the_relay_could_not_do_is_said(plant: Hub) -> None:
    error = {"ok": False, "error": {"code": "no_credentials", "detail": "deck-password is not in the vault here."}}
    answer, _ = await while_the_relay(plant, lambda _: error, plant.api.post(f"{OVEN}/test-connection"))
    assert answer.json()["error_details"] == "deck-password is not in the vault here."


async def test_an_answer_of_another_kind(plant: Hub) -> None:
    answer, _ = await while_the_relay(plant, lambda _: {"body": {"x": 1}}, plant.api.post(f"{OVEN}/test-connection"))
    assert answer.status == 502


async def test_before_saving_without_credentials(plant: Hub) -> None:
    config = {"protocol": "rest_api", "endpoint": "http://10.20.0.6", "additional_config": {"signals": {"a": "b"}}}
    call = plant.api.post(f"{OVEN}/test-connection", json=config)
    answer, command = await while_the_relay(plant, finds(WORKS), call)
    assert answer.status == 200
    assert command.body["device"]["endpoint"] == "http://10.20.0.6"
    config["credentials"] = {"username": "baker", "password": "Gl0tt3rb0ck"}
    for path in ("test-connection", "discover"):
        refused = await plant.api.post(f"{OVEN}/{path}", json=config)
        assert (refused.status, refused.json()["problems"][0]["field"]) == (400, "credentials")


@pytest.mark.parametrize("path", ["test-connection", "discover"])
async def test_a_silent_relay_is_a_504_that_says_since_when(plant: Hub, path: str) -> None:
    plant.clock.advance(600)
    answer = await plant.api.post(f"{OVEN}/{path}")
    assert answer.status == 504
    assert answer.json()["type"] == "urn:ovenbridge:problem:relay-silent"
    assert "hall-1" in answer.json()["detail"]
    assert "2026-11-21T10:00:00.000Z" in answer.json()["detail"]


async def test_saving_does_not_depend_on_the_relay(plant: Hub) -> None:
    config = {"protocol": "rest_api", "endpoint": "http://10.20.0.6", "additional_config": {"signals": {"a": "b"}}}
    answer, _ = await while_the_relay(plant, finds(WORKS), plant.api.post(f"{OVEN}/iot-config", json=config))
    assert answer.json()["connection_test_result"]["success"] is True
    plant.clock.advance(600)
    answer = await plant.api.post(f"{OVEN}/iot-config", json=config | {"endpoint": "http://10.20.0.7"})
    assert answer.status == 200
    assert answer.json()["connection_test_result"]["status"] == "relay_silent"
    assert (await plant.api.get(OVEN)).json()["iot_endpoint"] == "http://10.20.0.7"
    required = await plant.api.post(f"{OVEN}/iot-config?require_connection=true", json=config)
    assert required.status == 409
    assert (await plant.api.get(OVEN)).json()["iot_endpoint"] == "http://10.20.0.7"


async def test_discovering(plant: Hub) -> None:
    device = DiscoveredDevice("Combi 1", "CombiSteamerDeviceType", "opc30200-combi", "ns=1;i=1", {"a": {"at": "x"}})
    found = Discovery((device,), (DiscoveredNode("ns=1;i=2", "Objects/x", "Double", 1.5, "C"),), ("Stopped early.",))
    answer, command = await while_the_relay(
        plant, lambda _: {"body": answers.discovery_body(found)}, plant.api.post(f"{OVEN}/discover")
    )
    assert answer.status == 200, answer.body
    body = answer.json()
    assert body["devices"][0]["iot_config"]["additional_config"]["signals"] == {"a": {"at": "x"}}
    assert (body["nodes"][0]["value"], body["notes"]) == (1.5, ["Stopped early."])
    assert command.body["seconds"] == pytest.approx(27)


async def test_capabilities_asked_now(plant: Hub) -> None:
    answer, _ = await while_the_relay(plant, finds(WORKS), plant.api.get(f"{OVEN}/capabilities?refresh=true"))
    assert (answer.json()["source"], answer.json()["temperature_zones"]) == ("device", ["deck"])


async def test_a_silent_relay_is_no_fault_of_ours(plant: Hub, caplog: pytest.LogCaptureFixture) -> None:
    plant.clock.advance(600)
    await plant.api.post(f"{OVEN}/test-connection")
    said = [r for r in caplog.records if "silent since" in r.getMessage()]
    assert [(r.levelname, r.exc_info) for r in said] == [("WARNING", None)]


# Certificates --------------------------------------------------------------------------------------------------------

CERTIFICATE = ServerCertificate("ab" * 32, "cd" * 20, "CN=Combi", datetime(2030, 1, 1, tzinfo=UTC), False)
OPC_UA: dict[str, Any] = {
    "iot_protocol": "opc_ua",
    "iot_endpoint": "opc.tcp://10.20.0.5:4840",
    "iot_config": {"signals": {"temperature.deck": "ns=2;s=t"}},
}


async def trusting(plant: Hub, fingerprint: str) -> tuple[Any, list[str]]:
    """Ask to trust this one, while the server on site shows :data:`CERTIFICATE`; what the relay was asked."""
    kinds: list[str] = []

    async def relay() -> None:
        while True:
            given = await plant.relay.get("/api/v1/relays/hall-1/commands?wait=5")
            for one in given.json()["commands"]:
                command = Command.model_validate(one)
                kinds.append(command.kind)
                said = (
                    answers.certificate_body(CERTIFICATE) if command.kind == "certificate" else answers.test_body(WORKS)
                )
                body = {"id": command.id, "ok": True, "at": "2026-11-21T10:00:00Z", "body": said}
                await plant.relay.post(f"/api/v1/relays/hall-1/commands/{command.id}/answer", body=dump(body))

    working = asyncio.create_task(relay())
    answer = await plant.api.post("/api/v1/equipment/COMBI/trust-certificate", json={"fingerprint": fingerprint})
    working.cancel()
    await asyncio.wait({working})
    return answer, kinds


async def test_only_the_certificate_that_is_seen_on_site_is_trusted(plant: Hub) -> None:
    await plant.machine("COMBI", **OPC_UA)
    answer, kinds = await trusting(plant, "ef" * 32)
    assert (answer.status, kinds) == (409, ["certificate"])
    assert "the server shows the certificate abab" in answer.json()["detail"]
    machine, _ = await plant.house.equipment.get("COMBI")
    assert "server_cert" not in machine.iot_config
    answer, kinds = await trusting(plant, "ab" * 32)
    assert (answer.status, kinds) == (200, ["certificate", "test_connection"]), answer.body
    body = answer.json()
    assert (body["compared"], body["server_certificate"]["subject"]) == (True, "CN=Combi")
    assert body["connection_test_result"]["success"]
    machine, _ = await plant.house.equipment.get("COMBI")
    assert machine.iot_config["server_cert"] == "ab" * 32


async def test_nothing_is_trusted_unseen(plant: Hub) -> None:
    await plant.machine("COMBI", **OPC_UA)
    plant.clock.advance(181)
    answer = await plant.api.post("/api/v1/equipment/COMBI/trust-certificate", json={"fingerprint": "ab" * 32})
    assert (answer.status, "silent since" in answer.json()["detail"]) == (504, True)
    machine, _ = await plant.house.equipment.get("COMBI")
    assert "server_cert" not in machine.iot_config


async def test_a_test_that_removes_the_credentials_does_not_take_them_along(plant: Hub) -> None:
    """Else they would be sent to whatever address the test names."""
    await plant.machine("OVEN-9", iot_credentials={"username": "baker", "password": "Gl0tt3rb0ck"})
    proposed = {"protocol": "rest_api", "endpoint": "http://10.66.6.6", "credentials": None}
    call = plant.api.post("/api/v1/equipment/OVEN-9/test-connection", json=proposed)
    _, command = await while_the_relay(plant, finds(WORKS), call)
    assert command.body["device"]["endpoint"] == "http://10.66.6.6"
    assert command.body["device"]["credential_ref"] is None
