"""`/api/v1/equipment[/{id}]` as a person with curl uses it."""

from __future__ import annotations

from typing import Any

import pytest

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api, ApiAnswer

EQUIPMENT = "/api/v1/equipment"

OVEN: dict[str, Any] = {
    "id": "horno-1",
    "name": "Horno Principal #1",
    "site": "madrid",
    "type": "deck_oven",
    "manufacturer": "Salva",
    "model": "Modulram",
    "serial_number": "SN-4711",
    "firmware_version": "3.2",
    "location": "Hall 2, line 1",
    "profile": "deck_oven",
    "iot_protocol": "rest_api",
    "iot_endpoint": "http://127.0.0.1:9",
    "iot_config": {"data_endpoint": "/ovens/{equipment_id}", "signals": {"temperature.deck1": "t1"}},
    "supports_humidity": True,
    "poll_interval_seconds": 15,
    "temperature_zones": 3,
}


async def create(api: Api, **changes: Any) -> ApiAnswer:
    answer = await api.post(EQUIPMENT, json=OVEN | changes)
    assert answer.status == 201, answer.body
    return answer


async def test_a_machine_has_all_the_guides_fields(api: Api) -> None:
    created = await create(api)
    assert created.headers["location"] == "http://127.0.0.1:7071/api/v1/equipment/horno-1"
    assert created.json() == OVEN | {
        "iot_enabled": True,
        "iot_port": None,
        "iot_credential_set": None,
        "iot_credentials_set": False,
        "iot_credentials_set_at": None,
        "iot_connection_status": "unknown",
        "iot_connection_since": None,
        "iot_last_connected": None,
        "iot_last_error": None,
        "supports_realtime": True,
        "supports_energy_monitoring": False,
        "supports_remote_control": False,
        "shared": False,
        "polled_from": "cloud",
        "relay_id": None,
        "relay_credential_ref": None,
        "created_at": "2026-11-21T10:00:00.000Z",
        "updated_at": "2026-11-21T10:00:00.000Z",
    }
    read = await api.get(f"{EQUIPMENT}/horno-1")
    assert read.json() == created.json()
    assert read.headers["etag"] == created.headers["etag"]


async def test_a_machine_needs_a_name_and_nothing_else(api: Api) -> None:
    answer = await api.post(EQUIPMENT, json={"name": "Proofer"})
    assert answer.status == 201
    body = answer.json()
    assert len(body["id"]) == 32
    assert (body["iot_enabled"], body["poll_interval_seconds"], body["temperature_zones"]) == (False, 30, 1)


async def test_the_same_id_twice_is_a_conflict_and_changes_nothing(api: Api) -> None:
    await create(api)
    answer = await api.post(EQUIPMENT, json=OVEN | {"name": "Another"})
    assert answer.status == 409
    assert "horno-1" in answer.json()["detail"]
    assert (await api.get(f"{EQUIPMENT}/horno-1")).json()["name"] == OVEN["name"]


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"name": None}, "name", "people recognise"),
        ({"name": "  "}, "name", "people recognise"),
        ({"name": "a\nb"}, "name", "control characters"),
        ({"id": "a/b"}, "id", "pattern"),
        ({"id": "iot-alerts"}, "id", "another id"),
        ({"id": "IOT-Alerts"}, "id", "another id"),
        ({"nmae": "x"}, "nmae", "no such field"),
        ({"poll_interval_seconds": 9}, "poll_interval_seconds", "10"),
        ({"poll_interval_seconds": "30"}, "poll_interval_seconds", "integer"),
        ({"iot_enabled": "yes"}, "iot_enabled", "boolean"),
        ({"iot_port": 0}, "iot_port", "1"),
        ({"iot_port": 70_000}, "iot_port", "65535"),
        ({"iot_protocol": "telnet"}, "iot_protocol", "rest_api"),
        ({"iot_protocol": None}, "iot_protocol", "iot_endpoint needs iot_protocol"),
        ({"iot_endpoint": None}, "iot_endpoint", "is missing"),
        ({"iot_endpoint": "oven-3"}, "iot_endpoint", "no full URL"),
        ({"iot_endpoint": "ftp://oven-3.example.com"}, "iot_endpoint", "ftp://"),
        ({"iot_endpoint": "http://169.254.169.254/latest"}, "iot_endpoint", "never connected to"),
        ({"iot_endpoint": "http://[fe80::1]/"}, "iot_endpoint", "never connected to"),
        ({"iot_endpoint": "http://2130706433/"}, "iot_endpoint", "unusual form"),
        ({"iot_endpoint": "http://u:p@127.0.0.1/"}, "iot_endpoint", "credentials"),
        ({"iot_endpoint": "http://127.0.0.1:8000", "iot_port": 9000}, "iot_port", "contradicts"),
        ({"iot_endpoint": "http://127.0.0.1/?code=abcdef"}, "iot_endpoint", "iot_credentials"),
        ({"iot_config": {"timeout": 0}}, "iot_config.timeout", "0.1"),
        ({"iot_config": {"signals": {"Temp": "x"}}}, "iot_config.signals", "signal key"),
        ({"iot_config": {"password": "x"}}, "iot_config.password", "iot_credentials"),
        ({"iot_config": {"headers": {"X-Api-Key": "x"}}}, "iot_config.headers.X-Api-Key", "iot_credentials"),
        ({"iot_config": {"data_endpoint": "/x?api_key=abc"}}, "iot_config.data_endpoint", "iot_credentials"),
        ({"iot_credentials": {"pasword": "x"}}, "iot_credentials.pasword", "not known"),
        ({"iot_credentials": {"token_url": "http://169.254.169.254/t", "client_id": "a", "client_secret": "b"}},
         "iot_credentials.token_url", "never connected to"),
        ({"iot_connection_status": "connected"}, "iot_connection_status", "read-only"),
        ({"created_at": "2020-01-01"}, "created_at", "read-only"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named_and_nothing_is_stored(
    api: Api, house: Services, change: dict[str, Any], field: str, said: str
) -> None:
    answer = await api.post(EQUIPMENT, json=OVEN | change)
    assert answer.status == 400, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    problems = answer.json()["problems"]
    assert field in [p["field"] for p in problems]
    assert said in answer.json()["detail"] + str(problems)
    assert (await api.get(EQUIPMENT)).json()["equipment"] == []
    assert not await house.vault.list()


async def test_malformed_bodies_are_said_to_be(api: Api) -> None:
    assert (await api.post(EQUIPMENT, body=b"{")).status == 400
    assert (await api.post(EQUIPMENT, body=b"[1]")).status == 400
    assert (await api.post(EQUIPMENT, body=b"")).status == 400
    text = await api.post(EQUIPMENT, body=b"name=x", headers={"content-type": "text/plain"})
    assert text.status == 415
    assert (await api.post(EQUIPMENT, json=OVEN | {"location": "x" * 2_000_000})).status == 413


async def test_unknown_machines_are_not_found(api: Api) -> None:
    for path in ("nobody", "a%20b", "%F0%9F%8D%9E", "x" * 300, "a%3Fb"):
        for method in ("GET", "PATCH", "DELETE"):
            answer = await api.call(method, f"{EQUIPMENT}/{path}", json={} if method == "PATCH" else None)
            assert answer.status == 404, (method, path, answer.body)


async def test_a_patch_changes_what_it_names(api: Api, clock: ManualClock) -> None:
    before = (await create(api)).json()
    clock.advance(60)
    answer = await api.patch(
        f"{EQUIPMENT}/horno-1",
        json={"name": "Horno 1", "location": None, "poll_interval_seconds": None, "iot_config": {"timeout": 5}},
    )
    assert answer.status == 200
    assert answer.json() == before | {
        "name": "Horno 1",
        "location": None,
        "poll_interval_seconds": 30,
        "iot_config": before["iot_config"] | {"timeout": 5},
        "updated_at": "2026-11-21T10:01:00.000Z",
    }
    answer = await api.patch(f"{EQUIPMENT}/horno-1", json={"iot_config": {"timeout": None}})
    assert answer.json()["iot_config"] == before["iot_config"]


async def test_taking_the_protocol_away_switches_iot_off(api: Api) -> None:
    await create(api)
    gone = {"iot_protocol": None, "iot_endpoint": None, "iot_config": None}
    answer = await api.patch(f"{EQUIPMENT}/horno-1", json=gone)
    assert answer.status == 200, answer.body
    assert answer.json()["iot_enabled"] is False
    again = await api.patch(f"{EQUIPMENT}/horno-1", json={k: OVEN[k] for k in gone})
    assert again.json()["iot_enabled"] is True


async def test_put_registers_once_and_replaces(api: Api) -> None:
    body = {k: v for k, v in OVEN.items() if k != "id"}
    first = await api.put(f"{EQUIPMENT}/horno-1", json=body)
    assert (first.status, first.headers["location"][-8:]) == (201, "/horno-1")
    second = await api.put(f"{EQUIPMENT}/horno-1", json=body)
    assert (second.status, second.json()) == (200, first.json())
    third = await api.put(f"{EQUIPMENT}/horno-1", json={"name": "Bare"})
    assert (third.json()["site"], third.json()["iot_protocol"], third.json()["iot_enabled"]) == (None, None, False)
    assert (await api.put(f"{EQUIPMENT}/horno-1", json={"id": "other", "name": "x"})).status == 400
    only_new = {"if-none-match": "*"}
    assert (await api.put(f"{EQUIPMENT}/horno-1", json=body, headers=only_new)).status == 412
    assert (await api.put(f"{EQUIPMENT}/horno-2", json=body, headers=only_new)).status == 201
    assert (await api.put(f"{EQUIPMENT}/horno-3", json=body, headers={"if-match": '"x"'})).status == 412


async def test_a_stale_etag_is_refused_on_every_way_of_change(api: Api) -> None:
    old = {"if-match": (await create(api)).headers["etag"]}
    fresh = await api.patch(f"{EQUIPMENT}/horno-1", json={"site": "lyon"}, headers=old)
    assert fresh.status == 200
    path = f"{EQUIPMENT}/horno-1"
    config = {"protocol": "rest_api", "endpoint": "http://127.0.0.1:9"}
    for answer in (
        await api.patch(path, json={"site": "paris"}, headers=old),
        await api.put(path, json={"name": "x"}, headers=old),
        await api.delete(path, headers=old),
        await api.post(f"{path}/iot-config?test=false", json=config, headers=old),
    ):
        assert answer.status == 412, answer.body
        assert "read it again" in answer.json()["detail"]
    assert (await api.get(path)).json()["site"] == "lyon"
    assert (await api.patch(path, json={}, headers={"if-match": "*"})).status == 200
    current = (await api.get(path)).headers["etag"]
    assert (await api.delete(path, headers={"if-match": current})).status == 204


async def test_nothing_new_is_304_until_configuration_or_connection_change(api: Api, house: Services) -> None:
    path = f"{EQUIPMENT}/horno-1"
    seen = {"if-none-match": (await create(api)).headers["etag"]}
    same = await api.get(path, headers=seen)
    assert (same.status, same.body) == (304, b"")
    assert (await api.get(path, headers={"if-none-match": f'W/{seen["if-none-match"]}, "x"'})).status == 304
    await api.post(f"{path}/test-connection")
    changed = await api.get(path, headers=seen)
    assert changed.status == 200, "the connection status is part of the answer"
    assert changed.json()["iot_connection_status"] == "disconnected"
    assert (await api.patch(path, json={"site": "x"}, headers={"if-match": seen["if-none-match"]})).status == 200


async def test_the_list_is_filtered_and_paged(api: Api) -> None:
    for number in range(7):
        await create(
            api,
            id=f"oven-{number}",
            name=f"Horno {number}",
            site="madrid" if number % 2 else "lyon",
            iot_enabled=number < 5,
            serial_number=f"S-{number}",
        )

    async def ids(query: str) -> set[str]:
        found: list[str] = []
        continuation = ""
        for _ in range(20):
            answer = await api.get(f"{EQUIPMENT}?{query}{continuation}")
            assert answer.status == 200, answer.body
            found += [machine["id"] for machine in answer.json()["equipment"]]
            if answer.json()["continuation"] is None:
                break
            continuation = f"&continuation={answer.json()['continuation']}"
        assert len(found) == len(set(found))
        return {identity.removeprefix("oven-") for identity in found}

    assert await ids("limit=3") == set("0123456")
    assert await ids("site=lyon&limit=1") == set("0246")
    assert await ids("iot_enabled=false") == set("56")
    assert await ids("search=HORNO%203") == {"3"}
    assert await ids("search=s-4&limit=2") == {"4"}
    assert await ids("site=nowhere") == set()
    first = (await api.get(f"{EQUIPMENT}?search=horno%206&limit=1")).json()
    assert len(first["equipment"]) == 1, "a rare match is looked for further than one page of the store"
    await api.post(f"{EQUIPMENT}/oven-2/test-connection")
    assert await ids("connection_status=disconnected&limit=2") == {"2"}
    assert await ids("connection_status=unknown&site=lyon&limit=2") == set("046")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "colour=red", "iot_enabled=maybe", "continuation=rubbish"]
)
async def test_wrong_questions_name_their_parameter(api: Api, query: str) -> None:
    answer = await api.get(f"{EQUIPMENT}?{query}")
    assert answer.status == 400
    assert answer.json()["problems"][0]["field"] == query.partition("=")[0]


async def test_the_list_of_alerts_is_not_taken_for_a_machine(api: Api) -> None:
    answer = await api.get(f"{EQUIPMENT}/iot-alerts")
    assert (answer.status, answer.json()["alerts"]) == (200, [])
    assert (await api.get(f"{EQUIPMENT}/IOT-ALERTS")).status == 200, "routes are matched in any case"
    assert (await api.get(f"{EQUIPMENT}/iot-alert")).status == 404
    assert (await api.delete(f"{EQUIPMENT}/iot-alerts")).status == 404


async def test_a_deleted_machine_is_gone_with_its_status(api: Api, house: Services) -> None:
    path = f"{EQUIPMENT}/horno-1"
    await create(api)
    await api.post(f"{path}/test-connection")
    assert (await api.delete(path)).status == 204
    assert (await api.get(path)).status == 404
    assert (await api.get(f"{path}/realtime-data")).status == 404
    assert (await api.delete(path)).status == 404
    assert (await create(api)).json()["iot_connection_status"] == "unknown"


async def test_every_change_is_audited_with_who_and_what(api: Api, house: Services) -> None:
    await create(api)
    await api.patch(f"{EQUIPMENT}/horno-1", json={"site": "lyon", "name": OVEN["name"]})
    await api.patch(f"{EQUIPMENT}/horno-1", json={"iot_endpoint": "ftp://x"})
    await api.delete(f"{EQUIPMENT}/horno-1")
    entries = (await house.audit.entries(stream="equipment:horno-1")).entries[::-1]
    assert [e.action for e in entries] == ["equipment.created", "equipment.changed", "equipment.deleted"]
    assert (entries[1].before, entries[1].after) == ({"site": "madrid"}, {"site": "lyon"})
    assert entries[0].after["serial_number"] == entries[2].before["serial_number"] == "SN-4711"
    assert {e.actor["id"] for e in entries} == {"developer"}
    assert (await house.audit.verify("equipment:horno-1")).intact


async def test_viewers_look_and_engineers_change(house: Services, api: Api) -> None:
    await create(api)
    token = (await api.post("/api/v1/tokens", json={"name": "wall", "roles": ["viewer"]})).json()["token"]
    viewer = Api({"authorization": f"Bearer {token}"})
    path = f"{EQUIPMENT}/horno-1"
    assert (await viewer.get(path)).status == 200
    assert (await viewer.get(EQUIPMENT)).status == 200
    assert (await viewer.get(f"{path}/realtime-data")).status == 200
    assert (await viewer.get(f"{path}/capabilities")).status == 200
    for answer in (
        await viewer.post(EQUIPMENT, json=OVEN),
        await viewer.patch(path, json={}),
        await viewer.put(path, json=OVEN),
        await viewer.delete(path),
        await viewer.post(f"{path}/iot-config", json={}),
        await viewer.post(f"{path}/test-connection"),
        await viewer.get(f"{path}/capabilities?refresh=true"),
    ):
        assert answer.status == 403
