"""From messages to readings."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import iso
from shared.connectors.mqtt_plan import MqttPlan, plan
from shared.connectors.mqtt_readings import fetched, may_have_lost
from shared.connectors.mqtt_session import Arrival
from shared.connectors.profiles import profile_of
from shared.outgoing.targets import TargetPolicy
from shared.signals import Quality, Reading
from shared.telemetry.document import reading_id

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
TOPIC = "oven/7"
SIGNALS: dict[str, Any] = {"temperature.deck1": {"at": "temp", "unit": "C"}, "door.open": "door"}


def planned(**options: Any) -> MqttPlan:
    profile = profile_of("mqtt")
    assert profile is not None
    given = {"path": TOPIC, "signals": SIGNALS, "timestamp_at": "ts"} | options
    config = {"endpoint": "mqtt://10.0.0.2", "additional_config": given}
    return plan(config, profile, "oven-7", TargetPolicy(allow_private=True, allow_http=True))


def came(payload: Any, topic: str = TOPIC, *, retained: bool = False, again: bool = False) -> Arrival:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Arrival(topic, raw, retained, again, 1)


def said(seconds: float, temp: Any = 180, door: Any = "open") -> Arrival:
    return came({"ts": iso(NOW + timedelta(seconds=seconds)), "temp": temp, "door": door})


def readings(*arrivals: Arrival, waited: str | None = None, **options: Any) -> list[Reading]:
    return list(fetched(arrivals, planned(**options), "oven-7", NOW, waited=waited).readings)


def ids(found: list[Reading]) -> list[str]:
    return [reading_id(r.source, r.at) for r in found]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["ts", "temp", "door", "x"]), inner),
    max_leaves=8,
)
PAYLOADS = st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode()))
ARRIVALS = st.builds(
    Arrival, st.sampled_from([TOPIC, "oven/8", "oven", ""]), PAYLOADS, st.booleans(), st.booleans(), st.integers(0, 9)
)


@given(st.lists(ARRIVALS, max_size=6), st.booleans(), st.sampled_from([None, "it may have waited"]))
def test_whatever_comes_every_reading_is_honest(arrivals: list[Arrival], partial: bool, waited: str | None) -> None:
    found = readings(*arrivals, waited=waited, partial_messages=partial)
    assert len(set(ids(found))) == len(found)
    for reading in found:
        assert NOW - timedelta(days=31) <= reading.at <= NOW + timedelta(minutes=5)
        assert reading.source.startswith("mqtt-")
        assert not set(reading_id(reading.source, reading.at)) & set("/\\?#")
        assert set(reading.values) <= set(SIGNALS)
        assert reading.received_at == NOW
        for value in reading.values.values():
            assert value.quality is Quality.GOOD or value.reason
            assert (value.value is None) == (value.quality is Quality.BAD)


@given(
    st.lists(st.tuples(st.integers(-86_400_000, 60_000), st.integers(0, 300)), min_size=1, max_size=30),
    st.data(),
)
def test_a_message_with_a_time_is_the_same_reading_whenever_it_comes(
    messages: list[tuple[int, int]], data: st.DataObject
) -> None:
    arrivals = [said(ms / 1000, temp) for ms, temp in messages]
    whole = readings(*arrivals)
    assert len(whole) == len(set(messages))
    assert [r.at for r in whole] == sorted(r.at for r in whole)
    cut = data.draw(st.integers(0, len(arrivals)))
    back = data.draw(st.integers(0, cut))
    first, rest = readings(*arrivals[:cut]), readings(*arrivals[back:])
    assert set(ids(first)) | set(ids(rest)) == set(ids(whole)), (
        "also when it comes a second time, later, in other company"
    )


def test_the_time_of_a_reading_is_the_message_s_own() -> None:
    (reading,) = readings(said(-90, 181.5))
    assert (reading.at, reading.received_at) == (NOW - timedelta(seconds=90), NOW)
    assert reading.values["temperature.deck1"].source_time == reading.at
    assert reading.values["door.open"].value is True


def test_two_messages_of_one_instant_are_two_readings() -> None:
    assert len(set(ids(readings(said(0, 180), said(0, 181))))) == 2


@pytest.mark.parametrize("seconds", [-40 * 86_400, 301, 86_400])
def test_a_clock_that_was_never_set_is_not_believed(seconds: float) -> None:
    (reading,) = readings(said(seconds))
    value = reading.values["temperature.deck1"]
    assert reading.at == NOW
    assert (value.value, value.quality) == (180, Quality.UNCERTAIN)
    assert "set its clock" in str(value.reason)
    assert value.source_time == NOW + timedelta(seconds=seconds)


def test_a_time_that_is_missing_is_told() -> None:
    found = fetched([came({"temp": 180, "door": "open"})], planned(), "oven-7", NOW)
    (reading,) = found.readings
    assert (reading.at, reading.quality) == (NOW, Quality.UNCERTAIN)
    assert "timestamp_at" in str(reading.values["door.open"].reason)
    assert "timestamp_at" in str(found.hint)


def test_messages_without_times_are_one_reading_of_now() -> None:
    arrivals = [came({"temp": t, "door": d}) for t, d in ((180, "open"), (181, "closed"))]
    (reading,) = readings(*arrivals, timestamp_at=None)
    assert (reading.at, reading.quality) == (NOW, Quality.GOOD)
    assert (reading.values["temperature.deck1"].value, reading.values["door.open"].value) == (181, False)


@pytest.mark.parametrize(
    ("how", "waited", "words"),
    [
        ({"retained": True}, None, "retained"),
        ({"again": True}, None, "a second time"),
        ({}, "it may have waited", "it may have waited"),
    ],
)
def test_a_value_of_unknown_age_is_uncertain(how: dict[str, Any], waited: str | None, words: str) -> None:
    (reading,) = readings(came({"temp": 180, "door": "x"}, **how), waited=waited, timestamp_at=None)
    value = reading.values["temperature.deck1"]
    assert (value.value, value.quality) == (180, Quality.UNCERTAIN)
    assert words in str(value.reason)
    assert reading.values["door.open"].quality is Quality.BAD, "and a bad one stays bad"


@pytest.mark.parametrize(
    ("payload", "value"),
    [(b"185.3", 185.3), (b" 185.3\n", 185.3), (b'"185.3"', 185.3), (b"1e2", 100), (b"0x20", None), (b"open", None)],
)
def test_plain_numbers(payload: bytes, value: float | None) -> None:
    (reading,) = readings(came(payload), timestamp_at=None, signals={"temperature.deck1": "$"})
    assert reading.values["temperature.deck1"].value == value


@pytest.mark.parametrize("payload", [b"open", b" OPEN", b'"open"', b"1", b"true"])
def test_plain_texts(payload: bytes) -> None:
    (reading,) = readings(came(payload), timestamp_at=None, signals={"door.open": "$"})
    assert reading.values["door.open"].value is True


def test_signals_of_topics_of_their_own() -> None:
    signals = {"temperature.deck1": "@oven/+/temp", "door.open": "@oven/7/door state", "status": "state"}
    found = readings(
        came(b"180", "oven/7/temp"),
        came({"state": "open"}, "oven/7/door"),
        came({"state": "baking"}, TOPIC),
        came(b"99", "other/7/temp"),
        signals=signals,
        timestamp_at=None,
    )
    (reading,) = found
    assert {key: value.value for key, value in reading.values.items()} == {
        "temperature.deck1": 180,
        "door.open": True,
        "status": "baking",
    }


def test_what_a_message_leaves_out_is_missing_unless_it_may() -> None:
    arrival = came({"ts": iso(NOW), "temp": 180})
    (whole,) = readings(arrival)
    assert whole.values["door.open"].quality is Quality.BAD
    assert "has no `door`" in str(whole.values["door.open"].reason)
    (partial,) = readings(arrival, partial_messages=True)
    assert set(partial.values) == {"temperature.deck1"}
    assert readings(came({"ts": iso(NOW)}), partial_messages=True) == []


def test_a_message_with_none_of_the_signals_is_a_reading_that_says_so() -> None:
    (reading,) = readings(came({"other": 1}))
    assert (reading.quality, reading.error_code, reading.at) == (Quality.BAD, "unexpected_answer", NOW)
    assert "A message cannot be used: None of the 2 mapped signals" in str(reading.reason)


def test_without_a_mapping_the_guides_names_are_read() -> None:
    payload = {"timestamp": iso(NOW - timedelta(seconds=5)), "temperature": 180, "door_status": "closed"}
    (reading,) = readings(came(payload), signals=None, timestamp_at=None)
    assert reading.at == NOW - timedelta(seconds=5)
    assert {k: v.value for k, v in reading.values.items()} == {"temperature.cabinet": 180, "door.open": False}


def test_messages_that_are_none_of_ours_are_left() -> None:
    found = fetched([came({"temp": 1}, "oven/8")], planned(), "oven-7", NOW)
    assert found.readings == ()
    assert "still subscribed" in str(found.hint)
    assert readings(came(b"")) == [], "a retained message was removed"


# A full queue --------------------------------------------------------------------------------------------------------


def times(count: int, gap: float, newest_age: float) -> list[datetime]:
    return [NOW - timedelta(seconds=newest_age + gap * n) for n in range(count)]


@pytest.mark.parametrize(
    ("count", "gap", "newest_age", "told"),
    [
        (100, 2, 3_600, True),
        (100, 2, 61, True),
        (100, 2, 59, False),
        (100, 30, 299, False),
        (100, 30, 301, True),
        (9, 2, 3_600, False),
        (0, 1, 0, False),
    ],
)
def test_messages_that_are_missing_at_the_end_are_noticed(
    count: int, gap: float, newest_age: float, told: bool
) -> None:
    found = may_have_lost(times(count, gap, newest_age), NOW)
    assert (found is not None) is told
    if told:
        assert "max_queued_messages" in str(found)
