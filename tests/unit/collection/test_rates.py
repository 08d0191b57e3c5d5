"""``max_rate``: what changes faster than it can is doubted, and what really moved is not for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.collection.rates import RateLimits, limits_of
from shared.connectors.mapping import SignalSpec
from shared.equipment.model import Equipment
from shared.services import Services
from shared.signals import Quality, Reading, SignalValue
from tests.unit.collection.plant import Plant

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SIGNALS: dict[str, Any] = {"temperature.deck1": {"at": "x", "max_rate": 60}, "humidity": "y"}


def machine(name: str = "oven-1", *, updated: int = 0, **config: Any) -> Equipment:
    then = NOON + timedelta(seconds=updated)
    return Equipment(name, name, then, then, protocol="modbus", iot_config={"signals": SIGNALS} | config)


def reading(at: float, value: Any, *, quality: Quality = Quality.GOOD, of: str = "oven-1") -> Reading:
    values = {"temperature.deck1": SignalValue(value, quality, unit="C"), "humidity": SignalValue(at, unit="%")}
    return Reading(of, NOON + timedelta(seconds=at), values, quality)


def qualities(limits: RateLimits, *steps: tuple[float, Any]) -> list[str]:
    return [
        limits.judged(machine(), reading(at, value)).values["temperature.deck1"].quality.value for at, value in steps
    ]


def test_a_spike_is_doubted_and_what_follows_it_is_not() -> None:
    limits = RateLimits()
    assert qualities(limits, (0, 180), (10, 190), (20, 900), (30, 192)) == ["good", "good", "uncertain", "good"]


def test_it_says_why_and_keeps_the_value() -> None:
    limits = RateLimits()
    limits.judged(machine(), reading(0, 180))
    found = limits.judged(machine(), reading(10, 200))
    value = found.values["temperature.deck1"]
    assert (value.value, value.unit, found.quality) == (200, "C", Quality.UNCERTAIN)
    assert (value.reason or "").startswith("it changed by 20 C in 10 s, faster than it can (60 a minute)")
    assert found.values["humidity"].quality is Quality.GOOD


def test_what_really_moved_is_believed_as_soon_as_it_could_have() -> None:
    assert qualities(RateLimits(), (0, 100), (10, 200), (60, 200), (100, 200), (101, 200)) == [
        "good",
        "uncertain",
        "uncertain",
        "good",
        "good",
    ]


def test_the_limit_itself_is_still_possible() -> None:
    assert qualities(RateLimits(), (0, 0.1), (1, 1.1), (2, 2.1), (3, 3.2)) == ["good", "good", "good", "uncertain"]


def test_late_and_repeated_readings_are_not_judged_and_move_nothing() -> None:
    assert qualities(RateLimits(), (100, 180), (100, 180), (50, 900), (110, 181)) == ["good"] * 4


def test_a_repeated_spike_is_doubted_again() -> None:
    assert qualities(RateLimits(), (0, 180), (10, 900), (10, 900)) == ["good", "uncertain", "uncertain"]


@pytest.mark.parametrize("quality", [Quality.BAD, Quality.UNCERTAIN])
def test_values_that_are_doubted_already_are_left_alone_and_are_no_measure(quality: Quality) -> None:
    limits = RateLimits()
    limits.judged(machine(), reading(0, 180))
    said = reading(10, None if quality is Quality.BAD else 900, quality=quality)
    assert limits.judged(machine(), said) is said
    assert qualities(limits, (20, 185)) == ["good"]


@pytest.mark.parametrize("value", [True, "hot", None])
def test_what_is_no_number_has_no_rate(value: Any) -> None:
    assert qualities(RateLimits(), (0, 180), (10, value), (20, 185)) == ["good"] * 3


def test_another_configuration_begins_anew() -> None:
    limits = RateLimits()
    limits.judged(machine(), reading(0, 180))
    found = limits.judged(machine(updated=5), reading(10, 900))
    assert found.quality is Quality.GOOD


def test_each_machine_has_its_own_and_memory_is_bounded() -> None:
    limits = RateLimits(most=2)
    for name in ("a", "b"):
        limits.judged(machine(name), reading(0, 180, of=name))
    assert limits.judged(machine("a"), reading(10, 900, of="a")).quality is Quality.UNCERTAIN
    limits.judged(machine("c"), reading(10, 180, of="c"))  # b is forgotten
    assert limits.judged(machine("b"), reading(20, 900, of="b")).quality is Quality.GOOD
    assert len(limits._machines) == 2


@pytest.mark.parametrize(
    ("config", "limits"),
    [
        ({"signals": {"temperature": {"at": "x", "max_rate": 9, "unit": "F"}}}, {"temperature.cabinet": 5.0}),
        ({"signals": {"temperature.a": {"at": "x", "max_rate": 18}}, "temperature_unit": "F"}, {"temperature.a": 10.0}),
        ({"signals": {"speed": {"at": "x", "max_rate": 18, "unit": "F"}}}, {"speed": 18.0}),
        ({"signals": {"speed": "x", "other": {"at": "y"}}}, {}),
        ({"signals": None}, {}),
        ({}, {}),
    ],
)
def test_limits_are_in_the_unit_of_readings(config: dict[str, Any], limits: dict[str, float]) -> None:
    assert limits_of(config) == limits


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_is_a_number_above_nothing(rate: float) -> None:
    with pytest.raises(ValueError, match="max_rate"):
        SignalSpec(at="x", max_rate=rate)


@given(st.lists(st.floats(-60, 60), min_size=1, max_size=30), st.floats(0.01, 600))
def test_who_keeps_to_the_limit_is_never_doubted(rates: list[float], seconds: float) -> None:
    limits, value, at = RateLimits(), 100.0, 0.0
    steps: list[tuple[float, float]] = []
    for rate in rates:
        steps.append((at, value))
        at, value = at + seconds, value + rate * 0.999 * seconds / 60
    assert set(qualities(limits, *steps)) == {"good"}


async def test_what_is_stored_and_judged_by_rules_is_what_was_doubted(house: Services) -> None:
    plant = Plant(house)
    for at, value in ((0, 180), (10, 900)):
        await plant.ingest.take(machine(), reading(at - 20_000, value))
    stored = await house.readings.latest("oven-1")
    assert stored is not None
    assert stored.values["temperature.deck1"].quality is Quality.UNCERTAIN
    assert stored.values["temperature.deck1"].value == 900
