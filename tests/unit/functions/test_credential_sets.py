"""One account for many machines: made once, changed once, sent to one address only, shown to nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api

SECRET = "vendor-secret-one"
OTHER = "vendor-secret-two"


@dataclass
class Vendor:
    """A vendor's cloud: one account, many ovens."""

    url: str = ""
    accepts: str = SECRET
    seen: list[str] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        key = request.headers.get("Authorization", "")
        self.seen.append(key)
        if key != f"Bearer {self.accepts}":
            return web.json_response({}, status=401)
        return web.json_response({"temperature": 180, "status": "running"})


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    made = Vendor()
    runner = web.ServerRunner(web.Server(made.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def put(api: Api, vendor: Vendor, secret: str = SECRET, **changes: object) -> int:
    body = {"name": "Vendor account", "endpoint": vendor.url, "credentials": {"token": secret}, **changes}
    return (await api.put("/api/v1/credential-sets/vendor-madrid", json=body)).status


async def connect(api: Api, oven: str, vendor: Vendor, credentials: dict[str, str]) -> dict[str, object]:
    await api.post("/api/v1/equipment", json={"id": oven, "name": oven})
    iot = {"protocol": "rest_api", "endpoint": vendor.url, "credentials": credentials}
    answer = await api.post(f"/api/v1/equipment/{oven}/iot-config", json=iot)
    said: dict[str, object] = answer.json()
    return said


async def test_many_ovens_one_account_one_change(api: Api, house: Services, vendor: Vendor, clock: ManualClock) -> None:
    assert await put(api, vendor) == 201
    for oven in ("a", "b", "c"):
        assert (await connect(api, oven, vendor, {"set": "vendor-madrid"}))["success"] is True
    shown = (await api.get("/api/v1/equipment/a")).json()
    assert (shown["iot_credential_set"], shown["iot_credentials_set"]) == ("vendor-madrid", True)
    assert (await api.get("/api/v1/credential-sets/vendor-madrid")).json()["used_by"] == ["a", "b", "c"]
    assert [s.name for s in await house.vault.list()] == ["set-vendor-madrid"], "no copies"

    vendor.accepts = OTHER
    assert await put(api, vendor, OTHER) == 200
    clock.advance(601)
    for oven in ("a", "b", "c"):
        assert (await api.post(f"/api/v1/equipment/{oven}/test-connection")).json()["success"] is True
    assert vendor.seen[-1] == f"Bearer {OTHER}"


async def test_the_values_come_back_nowhere(api: Api, house: Services, vendor: Vendor) -> None:
    await put(api, vendor)
    await connect(api, "a", vendor, {"set": "vendor-madrid"})
    said = [
        (await api.get(route)).body.decode()
        for route in (
            "/api/v1/credential-sets",
            "/api/v1/credential-sets/vendor-madrid",
            "/api/v1/equipment/a",
            "/api/v1/audit?limit=100",
        )
    ]
    assert not [text for text in said if SECRET in text]
    actions = [
        e["action"] for e in (await api.get("/api/v1/audit?stream=credential_set:vendor-madrid")).json()["entries"]
    ]
    assert actions == ["credential_set.created"]


async def test_a_set_never_leaves_its_address(api: Api, vendor: Vendor) -> None:
    await put(api, vendor)
    await api.post("/api/v1/equipment", json={"id": "thief", "name": "thief"})
    iot = {"protocol": "rest_api", "endpoint": "http://127.0.0.1:9", "credentials": {"set": "vendor-madrid"}}
    refused = await api.post("/api/v1/equipment/thief/iot-config", json=iot)
    assert refused.status == 400
    assert refused.json()["problems"][0]["field"] == "credentials.set"
    assert (await api.post("/api/v1/equipment/thief/test-connection", json=iot)).status == 400
    moved = await put(api, vendor, endpoint="http://127.0.0.1:9")
    assert moved == 409, "its values would go there"
    # Kept credentials do not follow a machine to another address either.
    await connect(api, "a", vendor, {"set": "vendor-madrid"})
    change = {"iot_endpoint": "http://127.0.0.1:9"}
    assert (await api.patch("/api/v1/equipment/a", json=change)).status == 400
    assert vendor.seen


@pytest.mark.parametrize("credentials", [{"set": "none-such"}, {"set": "vendor-madrid", "token": "x"}, {"set": "A b"}])
async def test_a_wrong_name_is_told(api: Api, vendor: Vendor, credentials: dict[str, str]) -> None:
    await put(api, vendor)
    said = await connect(api, "a", vendor, credentials)
    assert said["problems"][0]["field"] == "credentials.set"  # type: ignore[index]


async def test_a_set_in_use_stays(api: Api, house: Services, vendor: Vendor) -> None:
    await put(api, vendor)
    await connect(api, "a", vendor, {"set": "vendor-madrid"})
    refused = await api.delete("/api/v1/credential-sets/vendor-madrid")
    assert refused.status == 409
    assert "used by a" in refused.json()["detail"]
    assert (await connect(api, "a", vendor, {"token": SECRET}))["success"] is True
    assert (await api.get("/api/v1/equipment/a")).json()["iot_credential_set"] is None
    assert (await api.delete("/api/v1/credential-sets/vendor-madrid")).status == 204
    assert not [s for s in await house.vault.list() if s.name.startswith("set-")]
    assert (await api.get("/api/v1/credential-sets/vendor-madrid")).status == 404


async def test_the_machine_goes_and_the_set_stays(
    api: Api, house: Services, vendor: Vendor, clock: ManualClock
) -> None:
    await put(api, vendor)
    await connect(api, "a", vendor, {"set": "vendor-madrid"})
    assert (await api.delete("/api/v1/equipment/a")).status == 204
    clock.advance(7200)
    await house.equipment.sweep_credentials()
    assert [s.name for s in await house.vault.list()] == ["set-vendor-madrid"]


@pytest.mark.parametrize(
    ("change", "field"),
    [({"credentials": {}}, "credentials"), ({"endpoint": "no address"}, "endpoint"), ({"port": 0}, "port")],
)
async def test_bad_input(api: Api, vendor: Vendor, change: dict[str, object], field: str) -> None:
    body = {"endpoint": vendor.url, "credentials": {"token": "x"}, **change}
    refused = await api.put("/api/v1/credential-sets/x", json=body)
    assert refused.status == 400
    assert refused.json()["problems"][0]["field"] == field
    assert (await api.put("/api/v1/credential-sets/UPPER", json={**body, "credentials": {"t": "x"}})).status == 400
