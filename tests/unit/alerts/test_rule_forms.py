"""What a caller may write as a rule, and what they are told when it is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.call import parse
from shared.alerts.model import Gate, Kind, Rule
from shared.alerts.presets import PRESETS
from shared.alerts.rule_fields import TAKEN
from shared.alerts.rule_forms import RuleForm, as_written, from_document, read_form, to_document
from shared.errors import InvalidInput

HIGH: dict[str, Any] = {"kind": "high", "signal": "temperature.cabinet", "limit": 250}


def read(body: dict[str, Any], base: Rule | None = None) -> Rule:
    return read_form(parse(RuleForm, body), id="R1", scope="OVEN-1", base=base)


def wrong(body: dict[str, Any], base: Rule | None = None) -> dict[str, str]:
    with pytest.raises(InvalidInput) as error:
        read(body, base)
    return {p.field: p.problem for p in error.value.problems}


def test_the_issues_own_rule() -> None:
    rule = read({**HIGH, "deadband": 5, "on_delay_seconds": 0, "off_delay_seconds": 0, "severity": "critical"})
    assert (rule.kind, rule.signal, rule.limit, rule.deadband) == (Kind.HIGH, "temperature.cabinet", 250.0, 5.0)
    assert (rule.severity, rule.enabled, rule.version, rule.scope) == ("critical", True, 1, "OVEN-1")


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, "kind", "one of high, low"),
        ({"kind": "hot"}, "kind", "'high', 'low'"),
        ({"kind": "high", "signal": "temperature.cabinet"}, "limit", "needs limit"),
        ({"kind": "high", "limit": 250}, "signal", "needs signal"),
        ({**HIGH, "limit": "250"}, "limit", "valid number"),
        ({**HIGH, "limit": True}, "limit", "valid number"),
        ({**HIGH, "limit": 1e30}, "limit", "less than"),
        ({**HIGH, "deadband": -1}, "deadband", "greater than or equal to 0"),
        ({**HIGH, "on_delay_seconds": -1}, "on_delay_seconds", "greater than or equal to 0"),
        ({**HIGH, "off_delay_seconds": 1e7}, "off_delay_seconds", "less than or equal to 604800"),
        ({**HIGH, "limits": 3}, "limits", "no such field"),
        ({**HIGH, "severity": "high"}, "severity", "'info', 'warning' or 'critical'"),
        ({**HIGH, "signal": "temperature/cabinet"}, "signal", "match"),
        ({**HIGH, "unit": "K"}, "unit", "C or F"),
        ({**HIGH, "signal": "humidity", "unit": "F"}, "unit", "temperatures only"),
        ({**HIGH, "equals": "x"}, "equals", "has no equals"),
        ({**HIGH, "settle_seconds": 60}, "settle_seconds", "when the gate opens"),
        ({**HIGH, "when": {"signal": "status"}}, "when.0.equals", "required"),
        (
            {"kind": "reach", "signal": "a", "limit": 1, "unless": {"signal": "b", "equals": 1}},
            "unless",
            "has no unless",
        ),
        ({**HIGH, "when": {"signal": "status", "equals": []}}, "when.0.equals", "at least 1 item"),
        ({"kind": "connection_lost", "signal": "status"}, "signal", "has no signal"),
        ({"kind": "connection_lost", "limit": 3}, "limit", "has no limit"),
        ({"kind": "connection_lost", "failures": 0}, "failures", "greater than or equal to 1"),
        ({"kind": "stale", "on_delay_seconds": 30}, "on_delay_seconds", "has no on_delay_seconds"),
        ({"kind": "equals", "signal": "door.open"}, "equals", "needs equals"),
        ({"kind": "equals", "signal": "mode", "equals": {"a": 1}}, "equals", "a text, a number"),
        ({"kind": "equals", "signal": "mode", "equals": [None]}, "equals", "a text, a number"),
        ({"kind": "equals", "signal": "mode", "equals": [10**400]}, "equals", "a text, a number"),
        ({"kind": "equals", "signal": "mode", "equals": ""}, "equals", "a text, a number"),
        ({"kind": "deviation", "signal": "temperature.core", "limit": 0}, "limit", "above 0"),
        ({"kind": "rate", "signal": "temperature.core", "limit": 5, "deadband": 6}, "deadband", "never clears"),
        ({"preset": "us-food-code-fish"}, "preset", "us-food-code-poultry"),
        ({"preset": "us-food-code-poultry"}, "signal", "needs signal"),
        ({"preset": "us-food-code-poultry", "kind": "high", "signal": "temperature.core"}, "kind", "leave kind out"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(body: dict[str, Any], field: str, says: str) -> None:
    problems = wrong(body)
    found = next(
        (problem for name, problem in problems.items() if name.startswith(field.split(".", maxsplit=1)[0])), None
    )
    assert found is not None, problems
    assert any(says.lower() in problem.lower() for problem in problems.values()), problems


def test_all_problems_are_told_at_once() -> None:
    assert set(wrong({"kind": "connection_lost", "signal": "x", "limit": 3})) == {"signal", "limit"}


def test_a_form_may_send_fields_at_rest() -> None:
    rule = read({"kind": "connection_lost", "deadband": 0, "limit": None, "settle_seconds": 0})
    assert (rule.on_delay_seconds, rule.failures) == (60, 2)


class TestFahrenheit:
    def test_a_limit_is_celsius_inside_and_as_entered_outside(self) -> None:
        rule = read({**HIGH, "limit": 482, "deadband": 9, "unit": "F"})
        assert rule.limit == pytest.approx(250)
        assert rule.deadband == pytest.approx(5)
        written = as_written(rule)
        assert (written["limit"], written["deadband"], written["unit"]) == (482, 9, "F")

    def test_a_deviation_is_a_difference(self) -> None:
        rule = read({"kind": "deviation", "signal": "temperature.core", "limit": 18, "unit": "F"})
        assert rule.limit == pytest.approx(10)
        assert as_written(rule)["limit"] == 18

    def test_a_change_is_in_the_rules_own_unit(self) -> None:
        rule = read({**HIGH, "limit": 482, "unit": "F"})
        assert read({"limit": 500}, rule).limit == pytest.approx(260)
        assert "limit" in wrong({"unit": "C"}, rule)
        assert read({"unit": "C", "limit": 240}, rule).limit == 240

    @given(st.floats(-100, 1000).map(lambda v: round(v, 2)))
    def test_what_is_entered_comes_back(self, limit: float) -> None:
        assert as_written(read({**HIGH, "limit": limit, "unit": "F"}))["limit"] == limit


def test_changing_some_fields_keeps_the_others() -> None:
    rule = read({**HIGH, "deadband": 5, "when": {"signal": "status", "equals": ["running", "baking"]}})
    changed = read({"limit": 260, "deadband": None}, rule)
    assert (changed.limit, changed.deadband, changed.version) == (260, 0, 2)
    assert changed.when == (Gate("status", ("running", "baking")),)
    assert set(wrong({"kind": "low"}, rule)) == {"kind"}
    assert set(wrong({"signal": "temperature.core"}, rule)) == {"signal"}
    assert read({"kind": "high", "limit": 1}, rule).limit == 1


def test_any_of_several_gates() -> None:
    gates = [{"signal": "status", "equals": "running"}, {"signal": "door.open", "equals": [True, 1]}]
    rule = read({**HIGH, "when": gates})
    assert rule.when == (Gate("status", ("running",)), Gate("door.open", (True, 1)))
    assert as_written(rule)["when"] == gates


def test_presets_are_complete_and_may_be_narrowed() -> None:
    for name in PRESETS:
        rule = read({"preset": name, "signal": "temperature.core"})
        assert rule.name == PRESETS[name].meaning
    rule = read({"preset": "us-food-code-poultry", "signal": "temperature.core", "limit": 75, "severity": "warning"})
    assert (rule.kind, rule.limit, rule.severity) == (Kind.REACH, 75, "warning")


BODIES: list[dict[str, Any]] = [
    HIGH,
    {**HIGH, "kind": "low", "deadband": 2, "name": "n", "message": "m"},
    {"kind": "deviation", "signal": "temperature.core", "limit": 5, "direction": "below", "settle_seconds": 600},
    {"kind": "rate", "signal": "humidity", "limit": 5, "window_seconds": 120, "unit": "%"},
    {"kind": "equals", "signal": "mode", "equals": ["Error", 3, True], "off_delay_seconds": 5},
    {"kind": "bad", "on_delay_seconds": 10},
    {**HIGH, "unless": {"signal": "context.operating_state", "equals": "DOWNTIME"}, "settle_seconds": 60},
    {"kind": "stale", "after_seconds": 500},
    {"kind": "reach", "signal": "temperature.core", "limit": 74, "hold_seconds": 15},
    {"kind": "connection_lost", "failures": 5, "enabled": False},
    {"kind": "equipment_error"},
]


@pytest.mark.parametrize("body", BODIES, ids=lambda b: b["kind"])
def test_the_stored_and_the_written_form_say_the_same(body: dict[str, Any]) -> None:
    rule = read(body)
    assert from_document(to_document(rule)) == rule
    written = as_written(rule)
    assert set(written) - {"kind", "severity", "enabled", "name", "message"} == TAKEN[rule.kind]
    again = read({k: v for k, v in written.items() if v is not None})
    assert again == rule or (rule.unit is None and again.unit is not None)


def test_every_kind_has_its_fields() -> None:
    assert set(TAKEN) == set(Kind)
    assert {b["kind"] for b in BODIES} == {k.value for k in Kind}
