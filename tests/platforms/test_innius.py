"""The whole story over real sockets, both ways: an oven crosses a limit and a receiver is told, signed; and a signed
event comes three times with the process killed in between, and is one alert.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.faults.host_process import HostProcess, running
from tests.unit.callbacks.receiver import Notification, receiving

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

ENVIRONMENT = {"ALLOW_PRIVATE_TARGETS": "true", "ALLOW_HTTP_TARGETS": "true"}
TRN = "trn:acme::machine:m-1"
ALERTS = "/api/v1/equipment/iot-alerts?status=all"


async def made(host: HostProcess, path: str, wanted: dict[str, Any]) -> Any:
    status, said = await host.call("POST", path, json=wanted)
    assert status in (200, 201, 202), said
    return said


async def until(host: HostProcess, path: str, right: Callable[[Any], bool]) -> Any:
    """Ask until it is so."""
    async with asyncio.timeout(40):
        while True:
            status, said = await host.call("GET", path)
            if status == 200 and right(said):
                return said
            await asyncio.sleep(0.05)


def believed(public: str, call: Notification) -> bool:
    """Verified as a receiver of innius's webhooks does."""
    key = serialization.load_der_public_key(base64.b64decode(public))
    assert isinstance(key, rsa.RSAPublicKey)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
    key.verify(base64.b64decode(call.headers["x-innius-validation"]), call.body, pss, hashes.SHA256())
    return True


async def test_an_oven_crosses_a_limit_and_a_receiver_is_told(tmp_path: Path) -> None:
    temperature = 180.0
    async with receiving() as oven, receiving() as client:
        oven.answer = lambda _: web.json_response({"temperature": temperature})
        async with running(tmp_path, env=ENVIRONMENT) as host:
            config: dict[str, Any] = {"data_endpoint": "/oven", "signals": {"temperature.core": "temperature"}}
            machine = {"id": "OVEN-1", "name": "Oven 1", "iot_protocol": "custom", "iot_endpoint": oven.url}
            await made(host, "/api/v1/equipment", machine | {"iot_config": config, "poll_interval_seconds": 10})
            rule = {"equipment_id": "OVEN-1", "kind": "high", "signal": "temperature.core", "limit": 200}
            await made(host, "/api/v1/alert-rules", rule | {"severity": "critical"})
            wanted: dict[str, Any] = {"url": client.url + "/i", "events": ["SensorStateChange", "MachineStateChange"]}
            wanted |= {"machinetrn": TRN, "machinetrns": {"OVEN-1": TRN}}
            webhook = await made(host, "/api/v1/webhooks", wanted)
            live = "/api/v1/equipment/OVEN-1/realtime-data"
            await until(host, live, lambda said: (said["temperature_zones"] or {}).get("core") == 180.0)
            assert client.seen == []

            temperature = 231.5
            async with asyncio.timeout(40):
                while len(client.ids()) < 2:
                    client.arrived.clear()
                    await client.arrived.wait()
            await host.end()
    told = {call.headers["x-innius-event"]: call for call in client.seen}
    assert all(believed(webhook["public_key"], call) for call in client.seen)
    sensor = told["SensorStateChange"].json()
    assert sensor == {
        "sensorid": "temperature.core",
        "machinetrn": TRN,
        "conversationid": sensor["conversationid"],
        "status": 2,
        "previousValue": 180.0,
        "currentValue": 231.5,
    }
    assert told["MachineStateChange"].json()["status"] == 2


async def test_a_signed_event_three_times_and_a_kill_make_one_alert(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    async def post(host: HostProcess, path: str, status: int) -> int:
        body = {"sensorid": "s-1", "machinetrn": TRN, "conversationid": "c", "status": status, "currentValue": 9.5}
        raw = json.dumps(body).encode()
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH)
        validation = base64.b64encode(key.sign(raw, pss, hashes.SHA256())).decode()
        headers = {"X-Innius-Event": "SensorStateChange", "X-innius-validation": validation}
        return (await host.call("POST", path, data=raw, headers=headers))[0]

    async with running(tmp_path, env=ENVIRONMENT) as host:
        await made(host, "/api/v1/equipment", {"id": "OVEN-1", "name": "Oven 1"})
        options = {"public_keys": [base64.b64encode(der).decode()], "machines": {TRN: "OVEN-1"}, "retry_seconds": 60}
        source = await made(host, "/api/v1/hook-sources", {"id": "plant", "kind": "innius", "options": options})
        path = "/api/hooks/" + str(source["url"]).partition("/api/hooks/")[2]
        assert await post(host, path, 2) == 202
        await host.end(signal.SIGKILL)

    async with running(tmp_path, env=ENVIRONMENT) as host:
        assert await post(host, path, 2) == 200
        assert await post(host, path, 2) == 200
        found = await until(host, ALERTS, lambda said: said["alerts"])
        (alert,) = found["alerts"]
        assert (alert["status"], alert["severity"], alert["signal"]) == ("active", "critical", "s-1")
        inbox = (await host.call("GET", "/api/v1/inbox?source=plant"))[1]["messages"]
        assert [(one["verdict"], one["duplicates"]) for one in inbox] == [("verified", 2)]
        assert await post(host, path, 0) == 202
        found = await until(host, ALERTS, lambda said: said["alerts"][0]["status"] == "resolved")
        assert len(found["alerts"]) == 1
        await host.end()
