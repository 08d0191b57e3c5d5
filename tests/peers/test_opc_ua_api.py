"""From nothing to a read oven over the API, as an engineer does it: save, compare, trust both ways, discover, read."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from shared.services import Services
from tests.api import Api
from tests.peers.conftest import ScriptedServer

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("opcua")]

PATH = "/api/v1/equipment/combi-2"


@pytest.fixture
async def saved(opc_ua_peer: ScriptedServer, house: Services, api: Api) -> dict[str, Any]:
    """What saving answered; the server trusts us already, and we do not trust the server."""
    ours = await house.opc_ua_application.certificate()
    await opc_ua_peer.tell("trusted", server="kitchen", der=base64.b64encode(ours.certificate.der).decode())
    await api.post("/api/v1/equipment", json={"id": "combi-2", "name": "Combi 2"})
    body = {
        "protocol": "opc_ua",
        "endpoint": "opc.tcp://localhost/OPCUA/ConnectedCooking",
        "port": opc_ua_peer.ready["kitchen"],
        "credentials": {"username": "baker", "password": "rye & salt"},
    }
    answer = await api.post(f"{PATH}/iot-config", json=body)
    assert answer.status == 200
    result: dict[str, Any] = answer.json()["connection_test_result"]
    return result


async def test_from_nothing_to_a_read_oven(saved: dict[str, Any], house: Services, api: Api) -> None:
    # Saving tests the connection, which says whose certificate is not known.
    assert (saved["success"], saved["status"]) == (False, "tls_failed")
    fingerprint = saved["server_certificate"]["fingerprint"]
    assert fingerprint in saved["error_details"]

    # A person compares, and trusts.
    trusted = await api.post(f"{PATH}/trust-certificate", json={"fingerprint": fingerprint.upper()})
    assert trusted.status == 200, trusted.json()
    assert trusted.json()["connection_test_result"]["success"] is True
    assert "Nothing is mapped yet" in trusted.json()["connection_test_result"]["error_details"]
    page = await house.audit.entries(stream="equipment:combi-2", limit=2)
    assert [entry.action for entry in page.entries] == ["equipment.changed", "equipment.certificate_trusted"]
    assert page.entries[1].after == {"server_cert": fingerprint}

    # What there is, ready for iot-config; the credentials stay.
    found = (await api.post(f"{PATH}/discover")).json()
    assert [(d["name"], d["profile"]) for d in found["devices"]] == [
        ("CombiSteamerDevice_9002", "opc30200-combi"),
        ("DeckOven_1", "opc30200-oven"),
    ]
    ready = found["devices"][0]["iot_config"]
    assert ready["additional_config"]["server_cert"] == fingerprint
    answer = (await api.post(f"{PATH}/iot-config?require_connection=true", json=ready)).json()
    tested = answer["connection_test_result"]
    assert (tested["success"], tested["error_details"]) == (True, None)
    assert tested["signals"]["temperature.cabinet"]["value"] == 181.3
    assert tested["signals"]["temperature.core"]["value"] == 68.0


async def test_another_fingerprint_than_the_servers_is_not_trusted(saved: dict[str, Any], api: Api) -> None:
    answer = await api.post(f"{PATH}/trust-certificate", json={"fingerprint": "ab" * 32})
    assert answer.status == 409
    assert "Nothing was trusted" in answer.json()["detail"]
    assert saved["server_certificate"]["fingerprint"] in answer.json()["detail"]
    assert "server_cert" not in (await api.get(PATH)).json()["iot_config"]


async def test_a_sha1_thumbprint_is_refused_with_the_reason(saved: dict[str, Any], api: Api) -> None:
    thumbprint = saved["server_certificate"]["thumbprint_sha1"]
    answer = await api.post(f"{PATH}/trust-certificate", json={"fingerprint": thumbprint})
    assert answer.status == 400
    assert "SHA-256" in answer.json()["detail"]


async def test_discover_before_anything_is_saved(opc_ua_peer: ScriptedServer, house: Services, api: Api) -> None:
    await api.post("/api/v1/equipment", json={"id": "combi-2", "name": "Combi 2"})
    body = {
        "protocol": "opc_ua",
        "endpoint": "127.0.0.1",
        "port": opc_ua_peer.ready["plain"],
        "additional_config": {"security_policy": "None"},
    }
    answer = await api.post(f"{PATH}/discover", json=body)
    assert answer.status == 200, answer.json()
    nodes = {node["at"]: node for node in answer.json()["nodes"]}
    assert nodes["nsu=http://peer.example/machine/;s=Machine.Temperature"]["unit"] == "C"
    assert (await api.get(PATH)).json()["iot_protocol"] is None


async def test_discover_without_trust_is_a_conflict_that_says_so(saved: dict[str, Any], api: Api) -> None:
    answer = await api.post(f"{PATH}/discover")
    assert answer.status == 409
    assert "is not trusted here yet" in answer.json()["detail"]
