"""`/api/v1/relays`: as people with curl use them, and as a relay does with its token."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest

from local.functions import HttpFunction
from shared.json_text import load
from shared.relay.messages import Assignments, unpack
from tests.api import Api, cloud_functions
from tests.unit.relay.conftest import ANNA, Hub, hub

__all__ = ["hub"]

RELAYS = "/api/v1/relays"
NEW = {"id": "hall-9", "name": "Madrid, hall 9", "site": "madrid"}


async def test_registering_shows_the_token_once(api: Api) -> None:
    made = await api.post(RELAYS, json=NEW)
    assert made.status == 201
    assert made.headers["location"].endswith("/api/v1/relays/hall-9")
    body = made.json()
    assert re.fullmatch(r"ob_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", body["token"])
    assert body["status"] == "never_seen"
    shown = (await api.get(f"{RELAYS}/hall-9")).json()
    assert body == {k: v for k, v in shown.items() if k not in ("equipment", "assignments_in_force")} | {
        "token": body["token"]
    }
    assert (await api.get(RELAYS)).json()["relays"][0]["id"] == "hall-9"
    assert (await api.post(RELAYS, json=NEW)).status == 409


@pytest.mark.parametrize(
    ("wanted", "field"),
    [({"id": "Hall 9"}, "id"), ({"id": "x" * 41}, "id"), ({"name": " "}, "name"), ({"role": "admin"}, "role")],
)
async def test_wrong_wishes(api: Api, wanted: dict[str, Any], field: str) -> None:
    answer = await api.post(RELAYS, json=NEW | wanted)
    assert answer.status == 400
    assert answer.json()["problems"][0]["field"] == field


async def test_a_relay_with_machines_is_not_deleted(hub: Hub) -> None:
    await hub.machine("OVEN-1")
    refused = await hub.api.delete(f"{RELAYS}/hall-1")
    assert refused.status == 409
    assert "OVEN-1" in refused.json()["detail"]
    await hub.house.equipment.delete("OVEN-1", ANNA)
    assert (await hub.api.delete(f"{RELAYS}/hall-1")).status == 204
    assert (await hub.api.get(f"{RELAYS}/hall-1")).status == 404
    assert (await hub.relay.get(f"{RELAYS}/hall-1/assignments")).status == 401


async def test_rotating(hub: Hub) -> None:
    fresh = (await hub.api.post(f"{RELAYS}/hall-1/token")).json()["token"]
    assert (await hub.relay.get(f"{RELAYS}/hall-1/assignments")).status == 401
    hub.token = fresh
    assert (await hub.relay.get(f"{RELAYS}/hall-1/assignments")).status == 200


async def test_assignments_with_their_etag(hub: Hub) -> None:
    await hub.machine("OVEN-1")
    path = f"{RELAYS}/hall-1/assignments"
    answer = await hub.relay.get(path)
    found = unpack(Assignments, answer.body)
    assert [d.equipment_id for d in found.devices] == ["OVEN-1"]
    assert answer.headers["etag"] == f'"{found.etag}"'
    same = await hub.relay.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (same.status, same.body) == (304, b"")
    await hub.machine("OVEN-2")
    assert (await hub.relay.get(path, headers={"If-None-Match": answer.headers["etag"]})).status == 200
    small = await hub.relay.get(path, headers={"Accept-Encoding": "gzip, br"})
    assert small.headers["content-encoding"] == "gzip"
    assert load(gzip.decompress(small.body))["relay_id"] == "hall-1"
    assert (await hub.api.get(path)).status == 200, "an engineer may look"


OPEN_TO_ALL = {"health", "health_ready", "openapi", "receive_hook"}
"""Functions that ask nobody who they are; a relay's token gives nothing there that nobody has."""
TOKEN_ENDPOINT = ("force_access_token", "force_ffauth_token")
"""What comes before an access token: they ask for a client's own id and secret, and a relay's token is none."""

ROUTES = [
    (method, f)
    for f in cloud_functions()
    if isinstance(f, HttpFunction)
    for method in sorted(f.methods or {"GET"})
    if method != "OPTIONS"
]
OWN = ("/assignments", "/readings", "/heartbeat", "/inbound", "/commands", "/answer")


def fitting(parameter: re.Match[str]) -> str:
    """A value of the form that the route asks for."""
    if parameter[0].startswith("{delivery_id"):
        return f"{'0123456789ABCDEF' * 2}-0123456789ABCDEF"
    return ("0123456789ABCDEF" * 8)[: int(parameter[1] or 32)]


async def test_a_relays_token_opens_its_own_routes_and_nothing_else(hub: Hub) -> None:
    await hub.house.relays.create("hall-2", name="Another", site=None, caller=ANNA)
    for method, function in ROUTES:
        await held_to_its_own(hub, method, function)


async def held_to_its_own(hub: Hub, method: str, function: HttpFunction) -> None:
    def path(relay_id: str) -> str:
        route = function.route.replace("{relay_id}", relay_id)
        return "/" + re.sub(r"\{\*?\w+(?::length\((\d+)\))?[^}]*\}", fitting, route)

    body = None if method == "GET" else b"{}"
    others = await hub.relay.call(method, path("hall-2"), body=body)
    if "relays/{relay_id}/" in function.route and function.route.endswith(OWN):
        own = await hub.relay.call(method, path("hall-1") + ("?wait=0" if method == "GET" else ""), body=body)
        assert own.status not in (401, 403), (function.name, own.body)
        assert others.status == 403, function.name
        assert (await Api({"X-Forwarded-For": "1.2.3.4"}).call(method, path("hall-1"), body=body)).status in (401, 403)
        return
    if function.name in OPEN_TO_ALL or function.name.startswith(TOKEN_ENDPOINT):
        nobody = await Api({"X-Forwarded-For": "1.2.3.4"}).call(method, path("hall-2"), body=body)
        assert (others.status, len(others.body)) == (nobody.status, len(nobody.body)), function.name
        return
    assert others.status in (401, 403), (function.name, others.status, others.body)
