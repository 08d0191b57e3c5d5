"""Wachtel REMOTE: the guide's fields, every path of them configurable, and nothing claimed that nobody has verified."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from shared.clock import ManualClock
from shared.connectors import ConnectorFactory
from shared.connectors.profiles import fields, profile_of
from shared.errors import InvalidInput
from shared.services import Services
from shared.signals import Quality, Reading
from tests.api import Api
from tests.unit.connectors.vendor import Vendor

GUIDE: dict[str, Any] = {
    "credentials": {"username": "bakery-username", "password": "bakery-password"},
    "additional_config": {"oven_id": "oven-serial-number", "deck_count": 3},
}
ANSWER = {
    "device": {"serial": "oven-serial-number", "mode": "baking"},
    "decks": {"deck1": 231.5, "deck2": 228.0, "deck3": 0},
    "cabinet": {"actual": 230, "wanted": 235},
    "meter": {"kWh": 12.5},
    "measuredAt": "2026-11-21T10:59:00",
    "operating_hours": 8123,
    "door_status": "closed",
}
ADDRESSES = {
    "temperature": "cabinet.actual",
    "temperature_setpoint": "cabinet.wanted",
    "temperature_zones": "decks",
    "energy_consumption_kwh": "meter.kWh",
    "operational_status": "device.mode",
    "timestamp": "measuredAt",
}


async def read(clock: ManualClock, document: Any, **options: Any) -> tuple[Reading, Vendor]:
    async def answering(request: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    async with Vendor(clock, answering).serve() as vendor:
        config = GUIDE | {"additional_config": {**GUIDE["additional_config"], **options}}
        connector = vendor.open(protocol="wachtel", **config)
        return await connector.get_current_reading(), vendor


async def test_every_path_of_the_guides_fields_is_configurable(clock: ManualClock) -> None:
    reading, vendor = await read(
        clock,
        ANSWER,
        data_endpoint="/plants/1/ovens/{oven_id}",
        field_addresses=ADDRESSES,
        timestamp_zone="Europe/Berlin",
    )
    assert vendor.asked == ["GET /plants/1/ovens/oven-serial-number"]
    assert vendor.headers[0]["authorization"].startswith("Basic ")
    assert {key: value.value for key, value in reading.values.items()} == {
        "temperature.deck1": 231.5,
        "temperature.deck2": 228.0,
        "temperature.deck3": 0,
        "temperature.cabinet": 230,
        "temperature.setpoint": 235,
        "energy.kwh": 12.5,
        "status": "baking",
        "door.open": False,
        "operating_hours": 8123,
    }
    times = {value.source_time for value in reading.values.values()}
    assert {time and time.isoformat() for time in times} == {"2026-11-21T09:59:00+00:00"}
    assert reading.quality is Quality.GOOD


async def test_all_of_them_at_another_place_are_the_same(clock: ManualClock) -> None:
    flat: dict[str, Any] = {spec.at: 1 + number for number, spec in enumerate(fields().signals.values())}
    flat |= {"temperature_zones": {"core": 72}, "timestamp": "2026-11-21T09:59:00Z", "door_status": "open"}
    moved = {name: f"machine['live values'].{name}" for name in flat}
    plain, _ = await read(clock, flat, data_endpoint="/")
    nested, _ = await read(clock, {"machine": {"live values": flat}}, data_endpoint="/", field_addresses=moved)
    assert nested.values == plain.values
    assert len(plain.values) == 16


async def test_decks_as_a_list(clock: ManualClock) -> None:
    reading, _ = await read(clock, {"t": [231, 228]}, data_endpoint="/", field_addresses={"temperature_zones": "t"})
    assert {key: value.value for key, value in reading.values.items()} == {
        "temperature.deck1": 231,
        "temperature.deck2": 228,
    }


async def test_a_field_that_is_not_where_it_was_said_to_be(clock: ManualClock) -> None:
    reading, _ = await read(
        clock, ANSWER, data_endpoint="/", field_addresses={"humidity": "cabinet.rh", "temperature": "cabinet.actual"}
    )
    assert reading.values["humidity"].reason == "`cabinet` has no `rh`; there are actual, wanted"
    assert reading.values["temperature.cabinet"].value == 230
    reading, _ = await read(clock, {"other": {}}, data_endpoint="/", field_addresses={"humidity": "cabinet.rh"})
    assert (reading.quality, reading.error_code) == (Quality.BAD, "unexpected_answer")


async def test_without_a_path_it_says_what_is_missing(clock: ManualClock) -> None:
    reading, vendor = await read(clock, ANSWER)
    assert (reading.error_code, vendor.asked) == ("not_supported", [])
    assert "support@wachtel.de" in (reading.reason or "")


@pytest.mark.parametrize(
    ("addresses", "field", "says"),
    [
        ({"temp": "x"}, "additional_config.field_addresses.temp", "temperature_zones"),
        ({"humidity": "x..y"}, "additional_config.field_addresses.humidity", "['odd key']"),
        ({"humidity": "{serial}"}, "additional_config.field_addresses.humidity", "no value"),
    ],
)
def test_refused(addresses: dict[str, str], field: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ConnectorFactory.check(
            "wachtel", {"endpoint": "https://x.example", "additional_config": {"field_addresses": addresses}}
        )
    assert (refused.value.problems[0].field, says in refused.value.detail) == (field, True), refused.value.detail


def test_a_mapping_and_moved_fields_exclude_each_other() -> None:
    options = {"field_addresses": {"humidity": "x"}, "signals": {"humidity": "x"}}
    with pytest.raises(InvalidInput, match="no effect beside signals"):
        ConnectorFactory.check("wachtel", {"endpoint": "https://x.example", "additional_config": options})


async def test_it_is_called_unverified_where_it_is_configured(api: Api, house: Services, clock: ManualClock) -> None:
    profile = profile_of("wachtel_remote")
    assert profile is not None
    assert profile.note.startswith("Wachtel REMOTE is unverified")

    async def answering(request: web.Request) -> web.StreamResponse:
        return web.json_response({"humidity": 55})

    async with Vendor(clock, answering).serve() as vendor:
        assert (await api.post("/api/v1/equipment", json={"id": "oven-1", "name": "Deck oven"})).status == 201
        config = {"protocol": "wachtel", "endpoint": vendor.url, "additional_config": {"data_endpoint": "/x"}}
        saved = (await api.post("/api/v1/equipment/oven-1/iot-config", json=config)).json()
        assert saved["unverified"] == profile.note
        assert saved["connection_test_result"]["success"]
        assert profile.note in saved["connection_test_result"]["error_details"]
        tested = (await api.post("/api/v1/equipment/oven-1/test-connection")).json()
        assert (tested["success"], tested["unverified"]) == (True, profile.note)
        proposed = (await api.post("/api/v1/equipment/oven-1/test-connection", json=config)).json()
        assert proposed["unverified"] == profile.note
        can = (await api.get("/api/v1/equipment/oven-1/capabilities")).json()
        assert can["unverified"] == profile.note
        plain = await api.post("/api/v1/equipment/oven-1/test-connection", json=config | {"protocol": "rest_api"})
        assert "unverified" not in plain.json()
        assert plain.json()["error_details"] is None
