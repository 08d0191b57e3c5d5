"""`.../iot-config`, `.../test-connection`, `.../capabilities` as a person with curl uses them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import Unavailable
from shared.services import Services
from tests.api import Api, ApiAnswer, Drained
from tests.unit.equipment.bench import ANSWER, SECRET, Oven, basic, everything_in, oven

PATH = "/api/v1/equipment/horno-1"
CREDENTIALS = {"username": "baker", "password": SECRET}


@pytest.fixture
async def machine(api: Api) -> str:
    """A registered machine without IoT."""
    answer = await api.post("/api/v1/equipment", json={"id": "horno-1", "name": "Horno Principal #1"})
    assert answer.status == 201
    return "horno-1"


@pytest.fixture
async def there() -> AsyncIterator[Oven]:
    """An oven that lets the user `baker` in."""
    async with oven(password=SECRET) as made:
        yield made


def config(there: Oven, **changes: Any) -> dict[str, Any]:
    """The guide's request body."""
    port = there.there.port
    return {
        "protocol": "rest_api",
        "endpoint": "http://127.0.0.1/api/v1",
        "port": port,
        "credentials": CREDENTIALS,
        "additional_config": {"unit_id": "12345", "data_endpoint": "/units/{unit_id}"},
        "supports_realtime": True,
        "poll_interval_seconds": 30,
    } | changes


async def configure(api: Api, there: Oven, query: str = "", **changes: Any) -> ApiAnswer:
    return await api.post(f"{PATH}/iot-config{query}", json=config(there, **changes))


async def test_the_guides_request_gives_the_guides_answer(api: Api, machine: str, there: Oven) -> None:
    answer = await configure(api, there)
    assert answer.status == 200, answer.body
    body = answer.json()
    result = body.pop("connection_test_result")
    assert body == {"success": True, "message": "IoT configuration saved successfully", "equipment_id": "horno-1"}
    assert (result["success"], result["status"]) == (True, "connected")
    assert result["response_time_ms"] > 0
    assert there.there.lines(0)[0] == "GET /api/v1/units/12345 HTTP/1.1"
    saved = (await api.get(PATH)).json()
    assert (saved["iot_protocol"], saved["iot_enabled"], saved["iot_credentials_set"]) == ("rest_api", True, True)
    assert saved["iot_credentials_set_at"] == "2026-11-21T10:00:00.000Z"
    assert saved["iot_connection_status"] == "connected"


async def test_a_machine_just_configured_is_read_at_once(
    api: Api, machine: str, there: Oven, drain: Callable[..., Awaitable[Drained]]
) -> None:
    await configure(api, there)
    await drain(queues=("poll-batches",))
    live = (await api.get(f"{PATH}/realtime-data")).json()
    assert (live["quality"], live["age_seconds"]) == ("good", 0.0), "nobody waits half a minute for the first reading"


async def test_a_queue_that_is_away_does_not_hide_that_it_was_saved(
    api: Api, house: Services, machine: str, there: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("The queue is away.")

    monkeypatch.setattr(house.queue, "send", away)
    answer = await configure(api, there)
    assert (answer.status, answer.json()["success"]) == (200, True)
    assert (await api.get(PATH)).json()["iot_enabled"] is True


async def test_a_failing_test_is_saved_and_said(api: Api, machine: str, there: Oven) -> None:
    answer = await configure(api, there, credentials={"username": "baker", "password": "wrong-one"})
    assert answer.status == 200
    body = answer.json()
    assert body["success"] is True
    assert body["message"].startswith("IoT configuration saved, but the connection test failed: ")
    result = body["connection_test_result"]
    assert (result["success"], result["status"]) == (False, "authentication_failed")
    assert result["error_details"]
    assert "wrong-one" not in answer.body.decode()
    assert (await api.get(PATH)).json()["iot_protocol"] == "rest_api"


async def test_without_a_test_nothing_is_asked_of_the_oven(api: Api, machine: str, there: Oven) -> None:
    answer = await configure(api, there, "?test=false")
    assert answer.json()["connection_test_result"] is None
    assert "not tested" in answer.json()["message"]
    assert there.asked == 0
    assert (await api.get(PATH)).json()["iot_connection_status"] == "unknown"


async def test_test_before_configure_stores_nothing_that_fails(
    api: Api, house: Services, machine: str, there: Oven
) -> None:
    wrong = {"username": "baker", "password": "wrong-one"}
    answer = await configure(api, there, "?require_connection=true", credentials=wrong)
    assert answer.status == 409
    assert "Not saved" in answer.json()["detail"]
    assert (await api.get(PATH)).json()["iot_protocol"] is None
    assert not await house.vault.list()
    assert [e.action for e in (await house.audit.entries(stream="equipment:horno-1")).entries] == ["equipment.created"]
    assert (await configure(api, there, "?require_connection=true")).status == 200
    assert there.asked == 2, "tested once, not again after saving"
    assert (await configure(api, there, "?require_connection=true&test=false")).status == 400


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"protocol": "telnet"}, "protocol"),
        ({"protocol": None}, "protocol"),
        ({"endpoint": "no url"}, "endpoint"),
        ({"endpoint": "ftp://oven"}, "endpoint"),
        ({"endpoint": "http://169.254.169.254/metadata"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"port": "443"}, "port"),
        ({"credentials": {"usr": "x"}}, "credentials.usr"),
        ({"credentials": "secret"}, "credentials"),
        ({"additional_config": {"token": "x"}}, "additional_config.token"),
        ({"poll_interval_seconds": 1}, "poll_interval_seconds"),
        ({"poll_intervall_seconds": 30}, "poll_intervall_seconds"),
    ],
)
async def test_what_is_wrong_is_named_in_the_guides_words(
    api: Api, house: Services, machine: str, there: Oven, change: dict[str, Any], field: str
) -> None:
    answer = await configure(api, there, **change)
    assert answer.status == 400, answer.body
    assert field in [p["field"] for p in answer.json()["problems"]]
    assert SECRET not in answer.body.decode()
    assert not await house.vault.list()
    assert there.asked == 0


async def test_a_machine_that_is_not_there(api: Api, there: Oven) -> None:
    assert (await api.post("/api/v1/equipment/nobody/iot-config", json=config(there))).status == 404
    assert (await api.post("/api/v1/equipment/nobody/test-connection")).status == 404
    assert (await api.post("/api/v1/equipment/nobody/test-connection", json=config(there))).status == 404
    assert (await api.get("/api/v1/equipment/nobody/capabilities")).status == 404


async def test_credentials_are_in_the_vault_and_nowhere_else(
    api: Api, house: Services, machine: str, there: Oven, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        await configure(api, there),
        await configure(api, there, endpoint="http://127.0.0.1/?password=" + SECRET),
        await configure(api, there, additional_config={"headers": {"authorization": SECRET}}),
        await configure(api, there, credentials={"username": "baker", "password": SECRET, "token": SECRET}),
        await api.patch(PATH, json={"iot_credentials": CREDENTIALS | {"nonsense": SECRET}}),
        await api.post(f"{PATH}/test-connection"),
        await api.post(f"{PATH}/test-connection", json=config(there)),
        await api.get(PATH),
        await api.get("/api/v1/equipment"),
        await api.get(f"{PATH}/capabilities?refresh=true"),
        await api.get(f"{PATH}/connection-log"),
        await api.get("/api/v1/audit"),
    ]
    assert [a.status for a in answers] == [200, 400, 400, 400, 400, 200, 200, 200, 200, 200, 200, 200]
    encoded = basic("baker", SECRET).removeprefix("Basic ")
    for text in [a.body.decode() for a in answers] + [str(a.headers) for a in answers] + [caplog.text]:
        assert SECRET not in text
        assert encoded not in text
    assert SECRET.encode() not in everything_in(house)
    assert basic("baker", SECRET) == there.there.header("authorization")
    (kept,) = await house.vault.list()
    assert SECRET in (await house.vault.get(kept.name)).value


async def test_the_audit_says_that_credentials_changed_not_which(
    api: Api, house: Services, machine: str, there: Oven
) -> None:
    await configure(api, there)
    await configure(api, there, credentials={"token": "another"}, poll_interval_seconds=60)
    await configure(api, there, credentials=None, poll_interval_seconds=60)
    entries = (await house.audit.entries(stream="equipment:horno-1")).entries[::-1]
    assert [e.action for e in entries[1:]] == ["equipment.iot_configured"] * 3
    assert entries[1].after["credentials_changed"] is True
    assert entries[2].after == {"poll_interval_seconds": 60, "credentials_changed": True}
    assert (entries[3].before, entries[3].after) == (
        {"iot_credentials_set": True},
        {"iot_credentials_set": False, "credentials_changed": True},
    )


async def test_left_out_credentials_stay_and_null_removes_them(
    api: Api, house: Services, machine: str, there: Oven
) -> None:
    await configure(api, there)
    body = {k: v for k, v in config(there, poll_interval_seconds=60).items() if k != "credentials"}
    kept = await api.post(f"{PATH}/iot-config", json=body)
    assert kept.json()["connection_test_result"]["success"] is True
    gone = await configure(api, there, credentials=None)
    assert gone.json()["connection_test_result"]["status"] == "authentication_failed"
    assert (await api.get(PATH)).json()["iot_credentials_set"] is False
    assert not await house.vault.list()


@pytest.mark.parametrize("way", ["iot-config", "test-connection", "require", "patch", "port", "put", "two steps"])
async def test_stored_credentials_never_go_to_another_address(api: Api, machine: str, there: Oven, way: str) -> None:
    """Who may change the address could have the password sent to a listener of their own."""
    await configure(api, there)
    async with oven() as listener:
        body = {k: v for k, v in config(listener).items() if k != "credentials"}
        port = listener.there.port
        if way == "iot-config":
            answer = await api.post(f"{PATH}/iot-config", json=body)
        elif way == "test-connection":
            answer = await api.post(f"{PATH}/test-connection", json=body)
        elif way == "require":
            answer = await api.post(f"{PATH}/iot-config?require_connection=true", json=body)
        elif way == "patch":
            answer = await api.patch(PATH, json={"iot_endpoint": listener.url, "iot_port": None})
        elif way == "port":
            answer = await api.patch(PATH, json={"iot_port": port})
        elif way == "put":
            put = {"name": "x", "iot_protocol": "rest_api", "iot_endpoint": listener.url}
            answer = await api.put(PATH, json=put)
        else:
            nothing = {"iot_protocol": None, "iot_endpoint": None, "iot_port": None, "iot_config": None}
            assert (await api.patch(PATH, json=nothing)).json()["iot_credentials_set"] is False
            await api.patch(PATH, json={"iot_protocol": "rest_api", "iot_endpoint": listener.url})
            answer = await api.post(f"{PATH}/test-connection")
            assert listener.there.header("authorization") is None
            return
        assert answer.status == 400, answer.body
        assert "never sent to another address" in answer.json()["detail"]
        assert answer.json()["problems"][0]["field"] in ("credentials", "iot_credentials")
        assert listener.asked == 0
    assert (await api.post(f"{PATH}/test-connection")).json()["success"] is True, "nothing was changed"


async def test_a_connection_is_tested_before_it_is_saved(api: Api, house: Services, machine: str, there: Oven) -> None:
    answer = await api.post(f"{PATH}/test-connection", json=config(there))
    assert answer.status == 200
    body = answer.json()
    signal = body["signals"]["temperature.core"]
    assert signal == {"value": 72.0, "unit": "C", "quality": "good", "reason": None, "source_time": None}
    assert (body["success"], body["status"], body["error_details"]) == (True, "connected", None)
    assert "temperature" in body["supported_features"]
    assert (await api.get(PATH)).json()["iot_protocol"] is None
    assert not await house.vault.list()
    assert (await api.get(f"{PATH}/connection-log")).json()["events"] == [], "it is not this machine's connection yet"


async def test_the_stored_connection_is_tested_and_logged(api: Api, machine: str, there: Oven) -> None:
    assert (await api.post(f"{PATH}/test-connection")).status == 409, "nothing to test yet"
    await configure(api, there, "?test=false")
    there.says = ANSWER | {"humidity": "wet"}
    body = (await api.post(f"{PATH}/test-connection", json={})).json()
    assert body["success"] is True
    humidity = body["signals"]["humidity"]
    assert (humidity["value"], humidity["quality"]) == (None, "bad")
    assert "wet" in humidity["reason"]
    (event,) = (await api.get(f"{PATH}/connection-log")).json()["events"]
    assert (event["event_type"], event["connection_status"]) == ("connection_test", "connected")
    assert event["data_points_received"] == len(body["signals"]) - 1


async def test_a_hanging_oven_costs_no_more_than_the_deadline(
    api: Api, house: Services, machine: str, there: Oven
) -> None:
    house.settings = house.settings.model_copy(update={"poll_deadline_seconds": 0.2})
    there.hangs = True
    answer = await configure(api, there, additional_config={"timeout": 50})
    result = answer.json()["connection_test_result"]
    assert (result["success"], result["status"]) == (False, "timeout")
    assert 150 < result["response_time_ms"] < 2_000
    assert "0.2 s" in result["error_details"]
    assert (await api.get(f"{PATH}/capabilities?refresh=true")).status == 409


async def test_credentials_lost_from_the_vault_are_said_to_be(
    api: Api, house: Services, machine: str, there: Oven
) -> None:
    await configure(api, there)
    (kept,) = await house.vault.list()
    await house.vault.delete(kept.name)
    body = (await api.post(f"{PATH}/test-connection")).json()
    assert (body["success"], body["status"]) == (False, "invalid_configuration")
    assert "give them again" in body["error_details"]
    assert (await api.patch(PATH, json={"name": "Renamed"})).status == 200
    assert (await configure(api, there)).json()["connection_test_result"]["success"] is True


async def test_capabilities_from_the_configuration_the_last_reading_and_the_machine(
    api: Api, house: Services, machine: str, there: Oven
) -> None:
    signals = {"temperature.deck1": "temperature", "temperature.deck1.setpoint": "sp", "door.open": "door"}
    await configure(api, there, "?test=false", additional_config={"signals": signals})
    first = (await api.get(f"{PATH}/capabilities")).json()
    assert first == {
        "equipment_id": "horno-1",
        "supports_realtime": True,
        "supports_humidity": False,
        "supports_energy_monitoring": False,
        "supports_remote_control": False,
        "temperature_zones": ["deck1"],
        "signals": list(signals),
        "source": "configuration",
        "as_of": None,
    }
    await configure(api, there, "?test=false")
    equipment, _ = await house.equipment.get(machine)
    form = await house.equipment.connector_config(equipment)
    connector = house.connectors.open(protocol="rest_api", equipment_id=machine, config=form)
    reading = replace(await connector.get_current_reading(), equipment_id=machine)
    await house.readings.record(reading)
    seen = (await api.get(f"{PATH}/capabilities")).json()
    assert (seen["source"], seen["supports_humidity"], seen["supports_energy_monitoring"]) == (
        "last_reading",
        True,
        True,
    )
    assert seen["as_of"] == "2026-11-21T10:00:00.000Z"
    there.says = {"temperature": 20}
    fresh = (await api.get(f"{PATH}/capabilities?refresh=true")).json()
    assert (fresh["source"], fresh["supports_humidity"], fresh["temperature_zones"]) == ("device", False, ["cabinet"])
