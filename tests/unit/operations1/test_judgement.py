"""A value is given, or it is said why not. Never an old one as fresh, never 0 for nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.platforms.operations1.judgement import TagAnswer, judge
from shared.platforms.operations1.profile import TagSource
from shared.signals import Quality, Reading, SignalValue

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def source(**more: Any) -> TagSource:
    return TagSource(equipment_id="OVEN-1", signal="temperature.core", **more)


def reading(value: SignalValue | None = None, *, seconds_ago: float = 10, reason: str | None = None) -> Reading:
    values = {"temperature.core": value} if value is not None else {}
    quality = value.quality if value is not None else Quality.BAD
    return Reading("OVEN-1", NOW - timedelta(seconds=seconds_ago), values, quality, reason)


def ask(value: SignalValue, *, seconds_ago: float = 10, accept_uncertain: bool = True, **more: Any) -> TagAnswer:
    newest = reading(value, seconds_ago=seconds_ago)
    return judge(source(**more), newest, (value, newest.at), NOW, accept_uncertain=accept_uncertain)


def test_a_good_value_is_given_with_its_age() -> None:
    assert ask(SignalValue(93.456, unit="C"), seconds_ago=12.5) == TagAnswer(93.456, "C", Quality.GOOD, 12.5, None)


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(93.456, 1, 93.5), (93.456, 0, 93), (93, 1, 93), (True, 0, True), ("baking", 1, "baking"), (0, None, 0)],
)
def test_rounding(value: Any, digits: int | None, expected: Any) -> None:
    given_value = ask(SignalValue(value), digits=digits).value
    assert given_value == expected
    assert type(given_value) is type(expected)


@pytest.mark.parametrize(("unit", "expected"), [("C", 100.0), ("F", 212.0), ("K", 373.15), (None, 100.0)])
def test_temperatures_are_converted(unit: str | None, expected: float) -> None:
    answer = ask(SignalValue(100.0, unit="C"), unit=unit)
    assert (answer.value, answer.unit) == (expected, unit or "C")


def test_other_units_are_not_guessed() -> None:
    answer = ask(SignalValue(55.0, unit="%"), unit="F")
    assert answer.value is None
    assert "profile wants F" in str(answer.reason)
    assert ask(SignalValue(5.0, unit=""), unit="pcs").unit == "pcs"


@pytest.mark.parametrize(
    ("value", "seconds_ago", "words"),
    [
        (SignalValue(93.0), 301, "5 minutes ago; at most 5 minutes"),
        (SignalValue(93.0), 86_400, "24 hours ago"),
        (SignalValue(93.0), -61, "future"),
        (SignalValue(None, Quality.BAD, "The probe is broken."), 10, "The probe is broken."),
        (SignalValue(0.0, Quality.BAD), 10, "no valid value"),
        (SignalValue(None), 10, "no valid value"),
        (SignalValue(float("nan")), 10, "no valid value"),
        (SignalValue(float("inf")), 10, "no valid value"),
    ],
)
def test_what_is_not_given_is_explained(value: SignalValue, seconds_ago: float, words: str) -> None:
    answer = ask(value, seconds_ago=seconds_ago)
    assert answer.value is None
    assert answer.quality is Quality.BAD
    assert words in str(answer.reason)
    assert "OVEN-1" in str(answer.reason)


def test_no_reading_and_a_failed_one() -> None:
    never = judge(source(), None, None, NOW, accept_uncertain=True)
    assert "has not been read" in str(never.reason)
    failed = judge(source(), reading(reason="It did not answer."), None, NOW, accept_uncertain=True)
    assert "It did not answer." in str(failed.reason)
    assert failed.age_seconds == 10
    other = judge(source(), Reading("OVEN-1", NOW, {"humidity": SignalValue(5.0)}), None, NOW, accept_uncertain=True)
    assert "gives no signal temperature.core" in str(other.reason)


def test_uncertain_values() -> None:
    value = SignalValue(93.0, Quality.UNCERTAIN, "It changes faster than it can.", "C")
    assert ask(value).value == 93.0
    assert ask(value).quality is Quality.UNCERTAIN
    refused = ask(value, accept_uncertain=False)
    assert (refused.value, refused.quality) == (None, Quality.UNCERTAIN)
    assert "faster" in str(refused.reason)


@given(
    age=st.floats(-1e6, 1e6),
    limit=st.integers(1, 86_400),
    quality=st.sampled_from(list(Quality)),
    number=st.none() | st.floats() | st.integers(-(10**6), 10**6),
)
def test_a_value_is_given_only_when_it_is_good_and_young(
    age: float, limit: int, quality: Quality, number: float | None
) -> None:
    answer = ask(SignalValue(number, quality), seconds_ago=age, max_age_seconds=limit, accept_uncertain=False)
    if answer.usable:
        assert quality is Quality.GOOD
        assert -60.001 <= age <= limit + 0.001
        assert answer.value == number
    else:
        assert answer.reason
        assert answer.value is None
