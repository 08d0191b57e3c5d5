"""`.../realtime-data` and `.../sensor-history` as a person with curl uses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.clock import ManualClock, iso
from shared.services import Services
from shared.signals import Quality, Reading, SignalValue
from tests.api import Api
from tests.unit.collection.plant import Counting
from tests.unit.equipment.bench import ANSWER, oven

PATH = "/api/v1/equipment/horno-1"
NOON = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def machine(api: Api) -> None:
    """A registered machine that is polled every 30 s: its readings are stale after 110 s."""
    body = {
        "id": "horno-1",
        "name": "Horno Principal #1",
        "iot_protocol": "rest_api",
        "iot_endpoint": "http://127.0.0.1:9",
    }
    assert (await api.post("/api/v1/equipment", json=body)).status == 201


def cabinet(at: datetime, value: float = 180.0, core: SignalValue | None = None, **more: SignalValue) -> Reading:
    values = {"temperature.cabinet": SignalValue(value, unit="C"), **more}
    return Reading("horno-1", at, values if core is None else values | {"temperature.core": core})


def failed(at: datetime, code: str = "cannot_connect") -> Reading:
    return Reading("horno-1", at, {}, Quality.BAD, "Nothing listens there.", error_code=code)


async def live(api: Api) -> dict[str, Any]:
    answer = await api.get(f"{PATH}/realtime-data")
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json()
    return body


async def history(api: Api, query: str = "") -> dict[str, Any]:
    answer = await api.get(f"{PATH}/sensor-history?{query}")
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json()
    return body


async def pages(api: Api, query: str) -> list[list[dict[str, Any]]]:
    found: list[list[dict[str, Any]]] = []
    more = ""
    for _ in range(60):
        body = await history(api, query + more)
        found.append(body["readings"])
        if body["continuation"] is None:
            return found
        more = f"&continuation={body['continuation']}"
    raise AssertionError("it does not end")


# Live data ---------------------------------------------------------------------------------------------------------


async def test_the_guides_oven_gives_the_guides_answer(api: Api, house: Services, clock: ManualClock) -> None:
    async with oven(says=ANSWER) as there:
        await api.patch(PATH, json={"iot_endpoint": there.url})
        equipment, _ = await house.equipment.get("horno-1")
        form = await house.equipment.connector_config(equipment)
        connector = house.connectors.open(protocol="rest_api", equipment_id="horno-1", config=form)
        await house.ingest.take(equipment, await connector.get_current_reading())
    clock.advance(12.5)
    body = await live(api)
    signals = body.pop("signals")
    assert body == {
        "equipment_id": "horno-1",
        "equipment_name": "Horno Principal #1",
        "timestamp": "2026-11-21T10:00:00.000Z",
        "connection_status": "connected",
        **ANSWER,
        "motor_speed": None,
        "door_status": None,
        "steam_level": None,
        "product_weight": None,
        "moisture_content": None,
        "setpoints": {},
        "additional": {},
        "age_seconds": 12.5,
        "stale_after_seconds": 110.0,
        "quality": "good",
        "reason": None,
    }
    assert signals["temperature.core"] == {
        "value": 72.0,
        "unit": "C",
        "quality": "good",
        "reason": None,
        "source_time": None,
    }


async def test_without_a_reading_everything_is_null_and_said(api: Api) -> None:
    body = await live(api)
    assert (body["timestamp"], body["temperature"], body["age_seconds"]) == (None, None, None)
    assert (body["connection_status"], body["quality"]) == ("unknown", "bad")
    assert body["reason"] == "There is no reading of today or yesterday."
    await api.patch(PATH, json={"iot_enabled": False})
    assert "iot_enabled is false" in (await live(api))["reason"]


async def test_an_old_value_is_never_served_as_fresh(api: Api, house: Services, clock: ManualClock) -> None:
    status = SignalValue("running")
    equipment, _ = await house.equipment.get("horno-1")
    await house.ingest.take(equipment, cabinet(NOON, status=status))
    clock.advance(110)
    body = await live(api)
    assert (body["temperature"], body["quality"], body["connection_status"]) == (180.0, "good", "connected")
    clock.advance(1)
    body = await live(api)
    assert (body["temperature"], body["temperature_zones"], body["operational_status"]) == (
        None,
        {"cabinet": None},
        None,
    )
    assert (body["quality"], body["age_seconds"], body["timestamp"]) == ("bad", 111.0, "2026-11-21T10:00:00.000Z")
    assert "111 s old" in body["reason"]
    assert body["signals"]["temperature.cabinet"]["value"] is None
    assert body["signals"]["temperature.cabinet"]["quality"] == "bad"
    assert body["connection_status"] == "unknown"
    assert b"180" not in (await api.get(f"{PATH}/realtime-data")).body


async def test_a_failed_read_is_said_with_its_reason(api: Api, house: Services) -> None:
    equipment, _ = await house.equipment.get("horno-1")
    await house.ingest.take(equipment, cabinet(NOON - timedelta(seconds=30)))
    await house.ingest.take(equipment, failed(NOON))
    body = await live(api)
    assert (body["temperature"], body["quality"], body["reason"]) == (None, "bad", "Nothing listens there.")
    assert body["connection_status"] == "disconnected"
    assert body["timestamp"] == iso(NOON)


async def test_one_bad_sensor_does_not_hide_the_others(api: Api, house: Services) -> None:
    bad = SignalValue(None, Quality.BAD, "sensor sentinel 32767", "C")
    doubtful = SignalValue(99.0, Quality.UNCERTAIN, "above its plausible maximum", "%")
    reading = replace(cabinet(NOON, core=bad, humidity=doubtful), quality=Quality.BAD)
    await house.readings.record(reading)
    body = await live(api)
    assert body["temperature_zones"] == {"cabinet": 180.0, "core": None}
    assert (body["humidity"], body["connection_status"]) == (99.0, "connected")
    assert body["reason"] == "temperature.core: sensor sentinel 32767; and 1 more of 3 signals"
    assert body["signals"]["temperature.core"]["reason"] == "sensor sentinel 32767"
    assert body["signals"]["humidity"]["quality"] == "uncertain"


async def test_a_deck_oven_has_the_mean_of_its_decks(api: Api, house: Services) -> None:
    values = {
        "temperature.deck1": SignalValue(200.0, unit="C"),
        "temperature.deck2": SignalValue(230.0, unit="C"),
        "temperature.deck3": SignalValue(None, Quality.BAD, "broken wire", "C"),
        "temperature.core": SignalValue(70.0, unit="C"),
        "temperature.setpoint": SignalValue(220.0, unit="C"),
        "temperature.deck1.setpoint": SignalValue(205.0, unit="C"),
        "door.open": SignalValue(False),
        "fan": SignalValue(3),
    }
    await house.readings.record(Reading("horno-1", NOON, values, Quality.BAD))
    body = await live(api)
    assert body["temperature"] == 215.0
    assert body["temperature_zones"] == {"deck1": 200.0, "deck2": 230.0, "deck3": None, "core": 70.0}
    assert body["setpoints"] == {"temperature": 220.0, "deck1": 205.0}
    assert (body["door_status"], body["additional"]) == ("closed", {"fan": 3})
    mean = body["signals"]["temperature"]
    assert (mean["quality"], mean["reason"]) == ("uncertain", "Mean of 2 of 3 zones; without a value: deck3.")


async def test_live_data_costs_at_most_two_queries(api: Api, house: Services) -> None:
    await house.readings.record(cabinet(NOON))
    await live(api)
    counting = Counting(house.store)
    house.readings._store = counting.store
    house.equipment._store = counting.store
    house.health._store = counting.store
    await live(api)
    assert dict(counting.calls) == {"query": 1}, "machine and connection are remembered"
    for _ in range(3):
        assert (await api.get("/api/v1/equipment/nobody/realtime-data")).status == 404


# History -----------------------------------------------------------------------------------------------------------


async def record(house: Services, *readings: Reading) -> None:
    for one in readings:
        assert await house.readings.record(one)


async def test_the_last_day_by_default_oldest_first(api: Api, house: Services) -> None:
    moments = [NOON - timedelta(hours=25), NOON - timedelta(hours=23), NOON - timedelta(hours=1), NOON]
    await record(house, *(cabinet(at, 100.0 + n, humidity=SignalValue(50)) for n, at in enumerate(moments)))
    body = await history(api)
    assert (body["equipment_id"], body["start"], body["bucket"]) == ("horno-1", "2026-11-20T10:00:00.001Z", None)
    assert [r["reading_time"] for r in body["readings"]] == [iso(at) for at in moments[1:]]
    assert [r["temperature"] for r in body["readings"]] == [101.0, 102.0, 103.0]
    row = body["readings"][0]
    assert (row["humidity"], row["temperature_zones"], row["quality"]) == (50, {"cabinet": 101.0}, "good")
    assert {"operational_status", "cycle_stage", "energy_consumption_kwh", "door_status", "additional"} <= row.keys()
    newest = await history(api, "order=desc&limit=1")
    assert [r["temperature"] for r in newest["readings"]] == [103.0]


async def test_pages_hang_together_while_the_clock_goes_on(api: Api, house: Services, clock: ManualClock) -> None:
    moments = [NOON - timedelta(minutes=97 * n) for n in range(40)]
    await record(house, *(cabinet(at) for at in moments))
    for order, expected in (("asc", moments[::-1]), ("desc", moments)):
        found: list[str] = []
        more = ""
        while True:
            body = await history(api, f"start=2026-11-18T00:00:00Z&limit=7&order={order}{more}")
            assert len(body["readings"]) <= 7
            found += [r["reading_time"] for r in body["readings"]]
            clock.advance(61)
            if body["continuation"] is None:
                break
            more = f"&continuation={body['continuation']}"
        assert found == [iso(at) for at in expected]


async def test_what_was_bad_is_in_the_history_as_bad(api: Api, house: Services) -> None:
    wire = SignalValue(None, Quality.BAD, "broken wire", "C")
    minute = timedelta(minutes=1)
    await record(house, cabinet(NOON - minute, core=wire), failed(NOON))
    one, other = (await history(api))["readings"]
    assert one["signal_quality"] == {"temperature.core": {"quality": "bad", "reason": "broken wire"}}
    assert one["temperature_zones"] == {"cabinet": 180.0, "core": None}
    assert (other["quality"], other["reason"], other["temperature"]) == ("bad", "Nothing listens there.", None)


async def test_chosen_signals_only(api: Api, house: Services) -> None:
    await record(house, cabinet(NOON, humidity=SignalValue(50), fan=SignalValue(2)))
    (row,) = (await history(api, "signals=humidity,fan"))["readings"]
    assert row == {
        "reading_time": iso(NOON),
        "humidity": 50,
        "additional": {"fan": 2},
        "quality": "good",
        "reason": None,
        "signal_quality": {},
    }


async def test_buckets_have_the_guides_names_and_the_numbers(api: Api, house: Services) -> None:
    start = NOON - timedelta(minutes=20)
    for seconds, value in ((0, 180.0), (60, 190.0), (240, 188.0), (900, 200.0)):
        await record(house, cabinet(start + timedelta(seconds=seconds), value, status=SignalValue("running")))
    await record(house, failed(start + timedelta(seconds=120)), failed(start + timedelta(seconds=600)))
    body = await history(api, f"start={iso(start)}&bucket=5m")
    assert [r["reading_time"] for r in body["readings"]] == [
        "2026-11-21T09:40:00.000Z",
        "2026-11-21T09:50:00.000Z",
        "2026-11-21T09:55:00.000Z",
    ], "9:45 is a gap"
    first, lost, last = body["readings"]
    assert (first["temperature"], first["temperature_zones"]) == (186.0, {"cabinet": 186.0})
    assert first["signals"] == {
        "temperature.cabinet": {"min": 180.0, "max": 190.0, "avg": 186.0, "count": 3, "bad_count": 0}
    }
    assert (first["failed_reads"], first["bad_count"]) == (1, 1)
    assert (lost["temperature"], lost["signals"], lost["bad_count"]) == (None, {}, 1)
    assert last["bad_count"] == 0
    newest = await history(api, f"start={iso(start)}&bucket=5m&order=desc&signals=humidity")
    assert [r["reading_time"][11:16] for r in newest["readings"]] == ["09:50", "09:40"], "its failures only"


async def test_buckets_are_whole_and_paged_by_time(api: Api, house: Services) -> None:
    moments = [NOON - timedelta(minutes=7 * n) for n in range(60)]
    await record(house, *(cabinet(at, 100.0 + n) for n, at in enumerate(moments)))
    query = "start=2026-11-21T03:07:00Z&end=2026-11-21T09:58:00Z&bucket=10m"
    whole = await history(api, query)
    assert (whole["start"], whole["end"]) == ("2026-11-21T03:00:00.000Z", "2026-11-21T10:00:00.000Z")
    assert sum(r["signals"]["temperature.cabinet"]["count"] for r in whole["readings"]) == 59, (
        "NOON is not before 10:00"
    )
    for order in ("asc", "desc"):
        parts = await pages(api, f"{query}&limit=5&order={order}")
        assert all(len(part) <= 5 for part in parts)
        rows = [row for part in parts for row in part]
        assert rows == (whole["readings"] if order == "asc" else whole["readings"][::-1])


async def test_years_are_answered_from_hourly_sums(
    api: Api, house: Services, clock: ManualClock, tick: Callable[..., Awaitable[None]]
) -> None:
    for day in range(3):
        for hour in range(4):
            clock.set(NOON + timedelta(days=day, hours=hour, minutes=30))
            await record(house, cabinet(clock.now(), 100.0 + day))
            clock.advance(35 * 60)
            await tick("roll_up_hours")
    clock.set(NOON + timedelta(days=400))
    assert (await history(api, f"start={iso(NOON)}&end={iso(NOON + timedelta(days=3))}"))["readings"] == []
    body = await history(api, f"start={iso(NOON)}&bucket=1d")
    assert [
        (r["reading_time"][:10], r["temperature"], r["signals"]["temperature.cabinet"]["count"])
        for r in body["readings"]
    ] == [
        ("2026-11-21", 100.0, 4),
        ("2026-11-22", 101.0, 4),
        ("2026-11-23", 102.0, 4),
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("start=yesterday", "start"),
        ("start=2026-11-21T10:00:00Z&end=2026-11-21T10:00:00Z", "start"),
        ("start=2026-11-22T10:00:00Z", "start"),
        ("start=2026-01-01T00:00:00Z", "start"),
        ("start=2026-10-01T00:00:00Z&bucket=5m", "start"),
        ("start=2020-01-01T00:00:00Z&bucket=1h", "start"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=5001&bucket=5m", "limit"),
        ("bucket=29s", "bucket"),
        ("bucket=25h", "bucket"),
        ("bucket=2d", "bucket"),
        ("bucket=5", "bucket"),
        ("bucket=5M", "bucket"),
        ("bucket=0m", "bucket"),
        ("bucket=-5m", "bucket"),
        ("signals=,", "signals"),
        ("signals=a%22b", "signals"),
        ("order=up", "order"),
        ("continuation=rubbish", "continuation"),
        ("continuation=WyJ4Il0", "continuation"),
        ("until=2026-11-21", "until"),
    ],
)
async def test_wrong_questions_name_their_parameter(api: Api, query: str, field: str) -> None:
    answer = await api.get(f"{PATH}/sensor-history?{query}")
    assert answer.status == 400, answer.body
    assert answer.json()["problems"][0]["field"] == field


async def test_a_continuation_goes_with_its_question(api: Api, house: Services) -> None:
    await record(house, *(cabinet(NOON - timedelta(minutes=n)) for n in range(5)))
    more = (await history(api, "limit=2"))["continuation"]
    for query in ("order=desc&", "bucket=5m&", "signals=humidity&"):
        answer = await api.get(f"{PATH}/sensor-history?{query}continuation={more}")
        assert (answer.status, answer.json()["problems"][0]["field"]) == (400, "continuation")
    assert (await api.get("/api/v1/equipment/nobody/sensor-history")).status == 404


async def test_times_without_an_offset_are_utc_and_others_are_turned(api: Api, house: Services) -> None:
    await record(house, cabinet(NOON))
    for start, end in (
        ("2026-11-21T09:59:00", "2026-11-21T10:01:00"),
        ("2026-11-21T10:59:00%2B01:00", "2026-11-21T11:01:00%2B01:00"),
    ):
        body = await history(api, f"start={start}&end={end}")
        assert (len(body["readings"]), body["start"]) == (1, "2026-11-21T09:59:00.000Z")


async def test_the_hourly_timer_sweeps_credentials_nobody_names(
    api: Api, house: Services, clock: ManualClock, tick: Callable[..., Awaitable[None]]
) -> None:
    await api.patch(PATH, json={"iot_credentials": {"token": "used"}})
    await house.vault.set("iot-horno-1-0123456789abcdef", "{}")
    await house.vault.set("callback-x", "{}")
    await tick("roll_up_hours")
    assert len(await house.vault.list()) == 3, "it may be about to be used"
    clock.advance(3_700)
    await tick("roll_up_hours")
    names = [s.name for s in await house.vault.list()]
    assert len(names) == 2
    assert "callback-x" in names
    assert "iot-horno-1-0123456789abcdef" not in names


@pytest.mark.parametrize("page", ["sensor-history", "connection-log"])
async def test_the_ends_of_the_calendar(api: Api, page: str) -> None:
    """`9999-12-31` is how some callers write "no end"; the first year has no day before it to begin with."""
    assert (await api.post("/api/v1/equipment", json={"id": "oven-9", "name": "x"})).status == 201
    there = f"/api/v1/equipment/oven-9/{page}"
    for end in ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999Z"):
        assert (await api.get(f"{there}?end={end}")).status == 200
    for end in ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"):
        refused = await api.get(f"{there}?end={end}")
        assert (refused.status, refused.json()["problems"][0]["field"]) == (400, "end")
