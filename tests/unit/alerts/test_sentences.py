"""What an alert says, and what a rule says."""

from __future__ import annotations

import pytest

from shared.alerts.model import Direction, Gate, Kind, Rule
from shared.alerts.sentences import duration, label, message, rule_text
from shared.signals import Quality, Reading, SignalValue
from tests.unit.alerts.readings import CABINET, bad, cabinet, failed, reading, replay, rule


def said(judged: Rule, *readings: Reading) -> str:
    transition = next(t for t in replay(judged, readings)[1] if t.happening.value == "raised")
    return message(judged, transition, "Horno Principal #1")


def test_above() -> None:
    high = rule("high", limit=250.0, on_delay_seconds=60.0)
    assert said(high, cabinet(0, 261), cabinet(60, 262)) == (
        "Horno Principal #1: cabinet 262 °C, limit 250 °C (above for 60 s)"
    )
    assert said(rule("high", limit=250.0), cabinet(0, 262.44)) == "Horno Principal #1: cabinet 262.4 °C, limit 250 °C"


def test_below_in_another_unit() -> None:
    low = rule("low", "humidity", limit=40.0)
    assert said(low, reading(0, humidity=12.5)) == "Horno Principal #1: humidity 12.5 %, limit 40 %"
    fahrenheit = rule("low", limit=250.0, unit="F")
    assert said(fahrenheit, cabinet(0, 100)) == "Horno Principal #1: cabinet 212 °F, limit 482 °F"


def test_deviation_and_rate() -> None:
    deviation = rule("deviation", limit=10.0)
    assert said(deviation, reading(0, {CABINET: 150, "temperature.setpoint": 180.0})) == (
        "Horno Principal #1: cabinet 150 °C, set point 180 °C: 30 °C off, 10 °C allowed"
    )
    falling = [cabinet(s, 200 - s / 5) for s in (0, 30, 60)]
    assert said(rule("rate", limit=5.0), *falling) == (
        "Horno Principal #1: cabinet falls 12 °C per minute, limit 5 °C per minute"
    )


def test_states() -> None:
    door = rule("equals", "door.open", equals=(True,), on_delay_seconds=300.0)
    opened = [reading(s, {"door.open": True}) for s in (0, 300)]
    assert said(door, *opened) == "Horno Principal #1: door open for 5 min"
    fan = rule("equals", "fan_on", equals=(False,))
    assert said(fan, reading(0, {"fan_on": False})) == "Horno Principal #1: fan on is no"
    mode = rule("equals", "mode", equals=(10,))
    assert said(mode, reading(0, mode=10)) == "Horno Principal #1: mode is 10"


def test_data() -> None:
    assert said(rule("bad", "temperature.core"), bad(0, "temperature.core")) == (
        "Horno Principal #1: no usable value of core: sensor sentinel 32767"
    )
    lost = rule("connection_lost", None, failures=2)
    assert said(lost, failed(0), failed(30)) == (
        "Horno Principal #1: cannot be read since 10:00:00 UTC (2 attempts): The device did not answer in time."
    )


def test_an_uncertain_value_says_so() -> None:
    odd = SignalValue(900.0, Quality.UNCERTAIN, "above 400")
    assert said(rule("high", limit=250.0), cabinet(0, odd)).endswith("- the value is uncertain: above 400")


def test_own_words_with_what_was_seen() -> None:
    own = rule("high", limit=250.0, message="{equipment} zu heiß: {value} statt {limit} {nonsense} {0}")
    assert said(own, cabinet(0, 262)) == "Horno Principal #1 zu heiß: 262 °C statt 250 °C {nonsense} {0}"


@pytest.mark.parametrize(
    ("judged", "text"),
    [
        (
            rule("high", limit=250.0, deadband=5.0, on_delay_seconds=60.0, off_delay_seconds=60.0),
            "cabinet above 250 °C; raised after 60 s; over when it is 5 °C inside the limit for 60 s; warning",
        ),
        (
            rule("deviation", limit=10.0, when=(Gate("status", ("running", "baking")),), settle_seconds=1800.0),
            "cabinet more than 10 °C from the set point; while status is running or baking; 30 min to settle; warning",
        ),
        (
            rule("low", limit=150.0, unless=(Gate("context.operating_state", ("DOWNTIME",)),)),
            "cabinet below 150 °C; but not while context operating state is DOWNTIME; warning",
        ),
        (
            rule("reach", "temperature.core", limit=74.0, hold_seconds=15.0),
            "core does not reach 74 °C for 15 s before the cycle ends; warning",
        ),
        (rule("rate", limit=5.0, direction=Direction.ABOVE), "cabinet rises by more than 5 °C per minute; warning"),
        (rule("equals", "door.open", equals=(True,)), "door open is yes; warning"),
        (rule("stale", None, after_seconds=110.0), "no new data for 110 s; warning"),
        (
            rule("connection_lost", None, on_delay_seconds=60.0),
            "the machine cannot be read, 2 times in a row; raised after 60 s; warning",
        ),
    ],
    ids=lambda v: v.kind.value if isinstance(v, Rule) else "",
)
def test_what_a_rule_says(judged: Rule, text: str) -> None:
    assert rule_text(judged) == text


def test_every_kind_has_its_sentences() -> None:
    for kind in Kind:
        assert rule_text(rule(kind, limit=1.0, equals=("x",)))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (60, "60 s"),
        (119, "119 s"),
        (120, "2 min"),
        (150, "2 min 30 s"),
        (3600, "1 h"),
        (4800, "1 h 20 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_labels() -> None:
    assert [label(s) for s in (CABINET, "door.open", "steam_level", None, "temperature.deck1.setpoint")] == [
        "cabinet",
        "door open",
        "steam level",
        "the machine",
        "deck1 setpoint",
    ]
