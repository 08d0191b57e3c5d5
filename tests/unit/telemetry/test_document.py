from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import json_text
from shared.signals import Quality, Reading, SignalValue
from shared.telemetry.document import from_document, to_document

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)).map(
    lambda m: m.replace(microsecond=m.microsecond // 1000 * 1000)
)
numbers = st.floats(-1000, 1000).map(lambda f: round(f, 3))
good = st.builds(
    SignalValue,
    value=numbers | st.text(max_size=10) | st.booleans(),
    unit=st.sampled_from(["", "C", "%"]),
    raw=st.none() | numbers,
    source_time=st.none() | moments,
)
bad = st.builds(SignalValue, value=st.none(), quality=st.just(Quality.BAD), reason=st.text(min_size=1, max_size=20))
readings = st.builds(
    Reading,
    equipment_id=st.just("oven-1"),
    at=moments,
    values=st.dictionaries(st.sampled_from(["temperature.cabinet", "humidity", "status"]), good | bad),
    quality=st.sampled_from(Quality),
    reason=st.none() | st.text(min_size=1, max_size=20),
    source=st.sampled_from(["poll", "relay", "push"]),
    response_ms=st.none() | st.floats(0, 1000).map(lambda f: round(f, 1)),
    received_at=moments,
)


@given(readings)
def test_a_reading_comes_back_as_it_was(reading: Reading) -> None:
    assert from_document(json_text.load(json_text.dump(to_document(reading)))) == reading


def test_a_bad_value_has_no_value_in_the_document() -> None:
    sentinel = SignalValue(3276.7, Quality.BAD, "sensor sentinel 32767", "C")
    document = to_document(Reading("oven-1", NOON, {"temperature.cabinet": sentinel}, Quality.BAD))
    assert document["values"]["temperature.cabinet"] == {"q": "bad", "bad": 1, "why": "sensor sentinel 32767"}
    assert "failed" not in document, "the machine did answer"


def test_a_failed_read_is_counted_apart() -> None:
    document = to_document(Reading("oven-1", NOON, {}, Quality.BAD, "Refused.", error_code="cannot_connect"))
    assert (document["failed"], document["code"], document["why"]) == (1, "cannot_connect", "Refused.")
    assert "values" not in document


def test_what_goes_without_saying_is_left_out_and_comes_back() -> None:
    at = NOON - timedelta(seconds=2)
    values = {
        "temperature.core": SignalValue(72.5, unit="C", source_time=at),
        "humidity": SignalValue(65, unit="%", source_time=at),
        "fan": SignalValue(2, unit="level", source_time=at),
    }
    document = to_document(Reading("oven-1", NOON, values, received_at=NOON))
    assert document["st"] == "2026-11-21T11:59:58.000Z"
    assert document["values"] == {
        "temperature.core": {"v": 72.5},
        "humidity": {"v": 65},
        "fan": {"v": 2, "u": "level"},
    }
    assert from_document(document).values == values


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_cannot_hold_is_no_value(number: float) -> None:
    document = to_document(Reading("oven-1", NOON, {"moisture": SignalValue(number, unit="%")}))
    assert from_document(document).values["moisture"].quality is Quality.BAD
    assert "v" not in document["values"]["moisture"]


def test_a_usual_reading_is_lean() -> None:
    values = {
        "temperature.cabinet": SignalValue(181.3, unit="C"),
        "temperature.core": SignalValue(72.1, unit="C"),
        "humidity": SignalValue(65.0, unit="%"),
        "energy.kwh": SignalValue(12.5, unit="kWh"),
        "door.open": SignalValue(False),
        "status": SignalValue("running"),
        "cycle.stage": SignalValue("baking"),
        "cycle.progress": SignalValue(45.0, unit="%"),
    }
    size = len(json_text.dump(to_document(Reading("horno-1", NOON, values, response_ms=12.3, received_at=NOON))))
    assert size < 400, f"{size} bytes; the Cosmos costs are reckoned with 584"


def test_ids_tell_the_same_reading_from_another() -> None:
    first = Reading("oven-1", NOON, {})
    same = Reading("oven-1", NOON, {}, reason="again")
    later = Reading("oven-1", NOON + timedelta(milliseconds=1), {})
    relayed = Reading("oven-1", NOON, {}, source="relay")
    ids = [to_document(r)["id"] for r in (first, same, later, relayed)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
