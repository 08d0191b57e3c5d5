"""Deadbands, the longest silence, and what overtakes history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.relay.messages import Device
from shared.relay.plant_reporting import MAX_SILENCE_SECONDS, Reporting
from shared.relay.plant_spool import ALARM, HISTORY
from shared.signals import Quality, Reading, SignalValue, Value

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)


def device(signals: Any, interval: int = 1) -> Device:
    return Device(
        equipment_id="oven-1",
        name="Oven",
        protocol="rest_api",
        iot_config={"signals": signals},
        poll_interval_seconds=interval,
        timeout_seconds=5,
    )


BANDED = {"temperature": {"at": "t", "deadband": 0.5}, "status": "s"}


def reading(seconds: float, temperature: float | None = 180.0, status: Value = "baking") -> Reading:
    values = {
        "temperature.cabinet": SignalValue(
            temperature, Quality.GOOD if temperature is not None else Quality.BAD, unit="C"
        ),
        "status": SignalValue(status),
    }
    return Reading("oven-1", AT + timedelta(seconds=seconds), values)


def failure(seconds: float) -> Reading:
    return Reading(
        "oven-1", AT + timedelta(seconds=seconds), {}, Quality.BAD, "It is away.", error_code="cannot_connect"
    )


def told(signals: Any, *readings: Reading, interval: int = 1) -> list[int | None]:
    reporting = Reporting(device(signals, interval))
    lanes: list[int | None] = []
    for one in readings:
        lane = reporting.lane(one)
        if lane is not None:
            reporting.last = one
        lanes.append(lane)
    return lanes


def test_without_a_deadband_every_reading_is_told() -> None:
    assert told({"temperature": "t"}, reading(0), reading(1), reading(2)) == [HISTORY] * 3


def test_changes_below_the_deadband_are_not_told() -> None:
    assert told(BANDED, reading(0, 180.0), reading(1, 180.4), reading(2, 179.6), reading(3, 180.5)) == [
        HISTORY,
        None,
        None,
        HISTORY,
    ]


def test_a_slow_drift_is_told() -> None:
    lanes = told(BANDED, *(reading(n, 180 + n * 0.1) for n in range(21)))
    assert [n for n, lane in enumerate(lanes) if lane is not None] == [0, 5, 10, 15, 20]


def test_the_longest_silence() -> None:
    lanes = told(BANDED, *(reading(n) for n in range(125)))
    assert [n for n, lane in enumerate(lanes) if lane is not None] == [0, 60, 120]


def test_after_a_step_back_of_the_clock_it_is_told() -> None:
    assert told(BANDED, reading(0), reading(-3600)) == [HISTORY, HISTORY]


def test_a_slow_machine_is_told_every_time() -> None:
    assert told(BANDED, reading(0), reading(89.9), reading(180), interval=90) == [HISTORY] * 3


def test_a_signal_without_a_deadband_is_told_when_it_changes() -> None:
    lanes = told({**BANDED, "count": "c"}, reading(0), reading(1, status="idle"), reading(2, status="idle"))
    assert lanes == [HISTORY, ALARM, None]


def test_failing_and_coming_back_overtake_history() -> None:
    assert told(BANDED, reading(0), failure(1), failure(2), reading(3)) == [HISTORY, ALARM, HISTORY, ALARM]
    assert told({}, failure(0)) == [ALARM]


def test_a_sensor_that_breaks_overtakes_history() -> None:
    assert told(BANDED, reading(0), reading(1, None), reading(2, None), reading(3)) == [HISTORY, ALARM, None, ALARM]


@pytest.mark.parametrize("key", ["door.open", "alarm.smoke", "status"])
def test_a_change_of_state_overtakes_history(key: str) -> None:
    def state(seconds: int, value: Value) -> Reading:
        return Reading("oven-1", AT + timedelta(seconds=seconds), {key: SignalValue(value)})

    assert told({}, state(0, True), state(1, True), state(2, False)) == [HISTORY, HISTORY, ALARM]


def test_a_deadband_in_fahrenheit_is_one_of_fahrenheit() -> None:
    signals = {"temperature": {"at": "t", "unit": "F", "deadband": 1.8}}
    assert told(signals, reading(0, 180.0), reading(1, 180.9), reading(2, 181.0)) == [HISTORY, None, HISTORY]


@pytest.mark.parametrize("signals", [None, [], {"a": None}, {"a": {"deadband": "wide"}}, {"a": {"deadband": True}}])
def test_a_broken_mapping_is_not_our_complaint(signals: Any) -> None:
    assert told(signals, reading(0), reading(1)) == [HISTORY, HISTORY]


@given(st.lists(st.floats(-50, 400), min_size=1, max_size=80), st.floats(0.1, 20))
def test_nobody_is_ever_further_from_what_was_told_than_the_deadband(values: list[float], band: float) -> None:
    reporting = Reporting(device({"temperature": {"at": "t", "deadband": band}}))
    known: float | None = None
    for n, value in enumerate(values):
        one = reading(n / 10, value)
        if reporting.lane(one) is not None:
            reporting.last, known = one, value
        assert known is not None
        assert abs(known - value) < band + 1e-6
    assert MAX_SILENCE_SECONDS == 60
