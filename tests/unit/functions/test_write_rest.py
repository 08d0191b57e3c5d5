"""`POST /equipment/{id}/write` to a machine behind a vendor's REST interface: the same rules as for every protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api
from tests.unit.connectors.vendor import Vendor

OVEN = "/api/v1/equipment/oven-1"
CONFIG: dict[str, Any] = {
    "path": "/ovens",
    "unit": 7,
    "items": "$",
    "item": {"where": {"id": "{unit}"}},
    "signals": {
        "temperature.setpoint": {
            "at": "setpoint",
            "min": 30,
            "max": 300,
            "writable": True,
            "write": {"path": "/ovens/{unit}", "body": {"setpoint": "{value}"}, "settle": 0},
        },
        "status": {
            "at": "state",
            "map": {"0": "standby", "3": "baking"},
            "writable": True,
            "write": {"method": "POST", "path": "/ovens/{unit}/state", "body": {"state": "{value}"}, "settle": 0},
        },
    },
}


class Ovens:
    """Two ovens of one account."""

    def __init__(self) -> None:
        self.ovens: list[dict[str, Any]] = [{"id": n, "setpoint": 180, "state": 0} for n in (7, 8)]

    async def answering(self, request: web.Request) -> web.StreamResponse:
        if request.method != "GET":
            self.ovens[0] |= await request.json()
            return web.Response(status=204)
        return web.json_response(self.ovens)


@pytest.fixture
def ovens() -> Ovens:
    return Ovens()


@pytest.fixture
async def vendor(api: Api, clock: ManualClock, ovens: Ovens) -> AsyncIterator[Vendor]:
    async with Vendor(clock, ovens.answering).serve() as there:
        for number, unit in ((1, 7), (2, 8)):
            body = {
                "id": f"oven-{number}",
                "name": "Deck oven",
                "iot_protocol": "rest_api",
                "iot_endpoint": there.url,
                "iot_credentials": {"token": "hunter2"},
                "iot_config": CONFIG | {"unit": unit},
                "supports_remote_control": True,
            }
            answer = await api.post("/api/v1/equipment", json=body)
            assert answer.status == 201, answer.body
        yield there


async def test_written_read_back_and_on_record(api: Api, house: Services, vendor: Vendor, ovens: Ovens) -> None:
    order = {"signal": "temperature.setpoint", "value": 200, "expected": 180, "reason": "new recipe"}
    body = (await api.post(f"{OVEN}/write", json=order)).json()
    assert (body["success"], body["before"], body["after"], body["verified"]) == (True, 180, 200, True)
    assert vendor.asked == ["GET /ovens", "PUT /ovens/7", "GET /ovens"]
    assert vendor.headers[1]["authorization"] == "Bearer hunter2"
    page = await house.audit.entries(stream="equipment:oven-1")
    actions = [entry.action for entry in reversed(page.entries)]
    assert actions[-2:] == ["signal.written", "signal.read_back"]


async def test_a_word_of_the_map(api: Api, vendor: Vendor, ovens: Ovens) -> None:
    body = (await api.post(f"{OVEN}/write", json={"signal": "status", "value": "baking", "reason": "go"})).json()
    assert (body["after"], body["verified"], ovens.ovens[0]["state"]) == ("baking", True, 3)
    assert vendor.bodies[1] == b'{"state":3}'


async def test_out_of_range_nobody_is_asked(api: Api, vendor: Vendor) -> None:
    answer = await api.post(f"{OVEN}/write", json={"signal": "temperature.setpoint", "value": 301, "reason": "too hot"})
    assert (answer.status, vendor.asked) == (400, [])


async def test_what_is_replaced_is_what_it_says_now(api: Api, house: Services, vendor: Vendor, ovens: Ovens) -> None:
    """Not what another machine of the account was told a moment ago."""
    tested = await house.equipment.known("oven-2")
    connector = house.connectors.open(
        protocol="rest_api", equipment_id="oven-2", config=await house.equipment.connector_config(tested)
    )
    await connector.get_current_reading()
    ovens.ovens[0]["setpoint"] = 222
    order = {"signal": "temperature.setpoint", "value": 200, "expected": 180, "reason": "new recipe"}
    answer = await api.post(f"{OVEN}/write", json=order)
    assert (answer.status, vendor.orders) == (412, [])
    assert "222" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("write", "field"),
    [
        ({"body": {"set": "{value}", "auth": [{"apiKey": "hunter2"}]}}, "write.body.apiKey"),
        ({"path": "/set?api_key=hunter2", "body": "{value}"}, "write.path"),
    ],
)
async def test_secrets_have_no_place_in_an_order(api: Api, write: dict[str, Any], field: str) -> None:
    signals = {"lamp": {"at": "lamp", "writable": True, "write": write}}
    body = {"name": "Oven", "iot_protocol": "rest_api", "iot_endpoint": "http://127.0.0.1:9"}
    answer = await api.post("/api/v1/equipment", json=body | {"iot_config": {"signals": signals}})
    assert answer.status == 400, answer.body
    assert answer.json()["problems"][0]["field"] == f"iot_config.signals['lamp'].{field}"
    assert b"hunter2" not in answer.body
