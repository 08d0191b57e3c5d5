"""Judging readings: delays, deadband, gates, quality, in event time."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from shared.alerts.evaluation import evaluate, judge_by_clock, withdraw
from shared.alerts.model import Direction, Gate, Kind
from shared.alerts.state import RuleState
from shared.signals import Quality, SignalValue, Value
from tests.unit.alerts.readings import (
    CABINET,
    at,
    bad,
    cabinet,
    cleared,
    failed,
    raised,
    reading,
    replay,
    rule,
    seconds_of,
)

RUNNING = (Gate("status", ("running",)),)


class TestLimits:
    def test_high_is_raised_above_the_limit_and_not_at_it(self) -> None:
        _, happened = replay(rule("high", limit=250.0), [cabinet(0, 250), cabinet(10, 250.1)])
        assert seconds_of(raised(happened)) == [10]
        assert happened[0].value == 250.1
        assert happened[0].opened_at == at(10)

    def test_low_is_raised_below_the_limit(self) -> None:
        _, happened = replay(rule("low", limit=57.0), [cabinet(0, 57), cabinet(10, 56.9), cabinet(20, 57)])
        assert seconds_of(raised(happened)) == [10]
        assert seconds_of(cleared(happened)) == [20]

    def test_deadband_keeps_it_raised_until_the_value_came_back_through_it(self) -> None:
        high = rule("high", limit=250.0, deadband=5.0)
        _, happened = replay(high, [cabinet(i * 10, v) for i, v in enumerate((251, 249, 251, 246, 245.1, 245))])
        assert seconds_of(raised(happened)) == [0]
        assert seconds_of(cleared(happened)) == [50]

    def test_on_delay_counts_the_time_of_the_readings(self) -> None:
        high = rule("high", limit=250.0, on_delay_seconds=60.0)
        _, happened = replay(high, [cabinet(s, 260) for s in (0, 30, 59)])
        assert happened == []
        _, happened = replay(high, [cabinet(s, 260) for s in (0, 30, 60)])
        assert seconds_of(happened) == [60]
        assert happened[0].since == at(0)

    def test_a_value_within_limits_restarts_the_on_delay(self) -> None:
        high = rule("high", limit=250.0, on_delay_seconds=60.0)
        _, happened = replay(high, [cabinet(0, 260), cabinet(50, 240), cabinet(60, 260), cabinet(110, 260)])
        assert happened == []

    def test_a_dip_into_the_deadband_does_not_restart_it_but_raises_nothing_either(self) -> None:
        high = rule("high", limit=250.0, deadband=5.0, on_delay_seconds=60.0)
        _, happened = replay(high, [cabinet(0, 251), cabinet(60, 248), cabinet(70, 251)])
        assert seconds_of(happened) == [70]

    def test_off_delay_must_pass_before_it_clears(self) -> None:
        high = rule("high", limit=250.0, off_delay_seconds=60.0)
        steps = [cabinet(0, 260), cabinet(10, 240), cabinet(40, 260), cabinet(50, 240), cabinet(100, 240)]
        _, happened = replay(high, [*steps, cabinet(110, 240)])
        assert seconds_of(cleared(happened)) == [110]
        assert cleared(happened)[0].since == at(50)

    def test_the_peak_is_the_worst_value_while_it_was_raised(self) -> None:
        steps = [cabinet(0, 251), cabinet(10, 287), cabinet(20, 260), cabinet(30, 200)]
        _, happened = replay(rule("high", limit=250.0), steps)
        assert cleared(happened)[0].peak == 287
        _, happened = replay(rule("low", limit=50.0), [cabinet(0, 40), cabinet(10, 12), cabinet(20, 60)])
        assert cleared(happened)[0].peak == 12


class TestQuality:
    def test_bad_data_neither_raises_nor_clears(self) -> None:
        high = rule("high", limit=250.0)
        for nothing in (bad(10), failed(10), cabinet(10, "n/a"), cabinet(10, True), cabinet(10, float("nan"))):
            assert replay(high, [cabinet(0, 240), nothing])[1] == []
            state, happened = replay(high, [cabinet(0, 260), nothing])
            assert len(happened) == 1
            assert state.memory.opened_at == at(0)

    def test_bad_data_restarts_both_delays(self) -> None:
        on = rule("high", limit=250.0, on_delay_seconds=60.0)
        _, happened = replay(on, [cabinet(0, 260), bad(30), cabinet(60, 260), cabinet(110, 260), cabinet(120, 260)])
        assert seconds_of(happened) == [120]
        off = rule("high", limit=250.0, off_delay_seconds=60.0)
        steps = [cabinet(0, 260), cabinet(10, 240), failed(40), cabinet(70, 240), cabinet(120, 240), cabinet(130, 240)]
        _, happened = replay(off, steps)
        assert seconds_of(cleared(happened)) == [130]

    def test_bad_readings_inside_an_alert_are_counted(self) -> None:
        _, happened = replay(
            rule("high", limit=250.0), [bad(0), cabinet(10, 260), bad(20), failed(30), cabinet(40, 240)]
        )
        assert cleared(happened)[0].bad_readings == 2

    def test_an_uncertain_value_counts_and_says_so(self) -> None:
        odd = SignalValue(900.0, Quality.UNCERTAIN, "above its plausible range")
        _, happened = replay(rule("high", limit=250.0), [cabinet(0, odd)])
        assert happened[0].quality is Quality.UNCERTAIN

    def test_a_signal_that_is_not_mentioned_is_no_news(self) -> None:
        high = rule("high", limit=250.0, on_delay_seconds=60.0)
        state, _ = replay(high, [cabinet(0, 260), reading(30, humidity=40)])
        assert state.last_at == at(0)
        _, happened = replay(high, [cabinet(0, 260), reading(30, humidity=40), cabinet(60, 260)])
        assert seconds_of(happened) == [60]


class TestOrder:
    def test_duplicates_and_late_readings_move_nothing(self) -> None:
        high = rule("high", limit=250.0, deadband=5.0)
        state, _ = replay(high, [cabinet(0, 240), cabinet(30, 260)])
        for again in (cabinet(30, 260), cabinet(30, 100), cabinet(29.9, 100), cabinet(0, 240)):
            assert evaluate(high, state, again) == (state, ())

    def test_a_late_reading_does_not_complete_a_delay(self) -> None:
        high = rule("high", limit=250.0, on_delay_seconds=60.0)
        _, happened = replay(high, [cabinet(100, 260), cabinet(0, 260), cabinet(40, 260), cabinet(159, 260)])
        assert happened == []


class TestGate:
    def test_it_is_judged_only_while_the_gate_is_open(self) -> None:
        low = rule("low", limit=150.0, when=RUNNING)
        _, happened = replay(
            low, [reading(0, {CABINET: 20}, status="idle"), reading(10, {CABINET: 20}, status="Running ")]
        )
        assert seconds_of(happened) == [10]

    def test_a_closing_gate_ends_the_alert_after_the_off_delay(self) -> None:
        low = rule("low", limit=150.0, when=RUNNING, off_delay_seconds=20.0)
        steps = [(0, "running"), (10, "idle"), (20, "idle"), (30, "idle")]
        _, happened = replay(low, [reading(s, {CABINET: 20}, status=status) for s, status in steps])
        assert seconds_of(cleared(happened)) == [30]

    def test_any_of_several_gates(self) -> None:
        gates = (Gate("status", ("running", "baking")), Gate("door.open", (True,)))
        high = rule("high", limit=1.0, when=gates)
        cases: list[tuple[dict[str, Value | SignalValue], int]] = [
            ({"status": "baking"}, 1),
            ({"status": "off", "door.open": True}, 1),
            ({"status": "off", "door.open": 1}, 0),
            ({"status": "off"}, 0),
        ]
        for values, expected in cases:
            _, happened = replay(high, [reading(0, {CABINET: 2, **values})])
            assert len(happened) == expected, values

    def test_it_is_not_judged_while_something_forbids_it(self) -> None:
        low = rule("low", limit=150.0, when=RUNNING, unless=(Gate("context.operating_state", ("DOWNTIME",)),))
        steps: list[dict[str, Value | SignalValue]] = [
            {"status": "running", "context.operating_state": "DOWNTIME"},
            {"status": "running", "context.operating_state": "PRODUCTION"},
            {"status": "running", "context.operating_state": "downtime "},
            {"status": "idle", "context.operating_state": "PRODUCTION"},
            {"status": "running"},
        ]
        _, happened = replay(low, [reading(s * 10, {CABINET: 20, **values}) for s, values in enumerate(steps)])
        assert seconds_of(raised(happened)) == [10, 40], "what is not mentioned holds nothing back"
        assert seconds_of(cleared(happened)) == [20]

    def test_it_has_time_to_settle_after_what_forbade_it(self) -> None:
        down = (Gate("context.operating_state", ("DOWNTIME",)),)
        low = rule("low", limit=150.0, unless=down, settle_seconds=100.0)
        steps = [(0, "DOWNTIME"), (10, "PRODUCTION"), (100, "PRODUCTION"), (110, "PRODUCTION")]
        _, happened = replay(low, [reading(s, {CABINET: 20, "context.operating_state": word}) for s, word in steps])
        assert seconds_of(raised(happened)) == [110]

    def test_an_unknown_gate_is_bad_data_and_an_unmentioned_one_stays_as_it_was(self) -> None:
        high = rule("high", limit=250.0, when=RUNNING, on_delay_seconds=60.0)
        opened = reading(0, {CABINET: 260}, status="running")
        unknown = reading(30, {CABINET: 260, "status": SignalValue(None, Quality.BAD, "lost")})
        _, happened = replay(high, [opened, unknown, reading(60, {CABINET: 260}, status="running")])
        assert happened == []
        _, happened = replay(high, [opened, cabinet(30, 260), cabinet(60, 260)])
        assert seconds_of(happened) == [60]

    def test_an_unknown_gate_does_not_end_an_alert(self) -> None:
        low = rule("low", limit=150.0, when=RUNNING)
        lost = SignalValue(None, Quality.BAD, "lost")
        steps = [reading(0, {CABINET: 20}, status="running"), reading(30, {CABINET: 20, "status": lost})]
        state, happened = replay(low, steps)
        assert (len(happened), state.memory.bad_readings) == (1, 1)

    def test_settle_time_spares_the_preheat_and_finds_the_burner_failure(self) -> None:
        """Measured example: without settling a deviation fires during every preheat."""

        def day(burner_fails: bool) -> list[float]:
            deviation = rule("deviation", limit=20.0, when=RUNNING, settle_seconds=1800.0, deadband=5.0)
            steps = []
            for s in range(0, 5400, 30):
                warm = min(200.0, 20 + s * 0.13)
                value = warm if not burner_fails or s < 3600 else max(20.0, 200 - (s - 3600) * 0.1)
                steps.append(reading(s, {CABINET: value, "temperature.setpoint": 200.0}, status="running"))
            return seconds_of(raised(replay(deviation, steps)[1]))

        assert day(burner_fails=False) == []
        (when,) = day(burner_fails=True)
        assert 3600 < when < 4000

    def test_no_delay_begins_while_settling(self) -> None:
        low = rule("low", limit=150.0, when=RUNNING, settle_seconds=100.0, on_delay_seconds=60.0)
        _, happened = replay(low, [reading(s, {CABINET: 20}, status="running") for s in range(0, 200, 20)])
        assert seconds_of(happened) == [160]


class TestDeviation:
    def test_both_directions_and_one(self) -> None:
        def fires(direction: Direction, value: float) -> bool:
            deviation = rule("deviation", limit=10.0, direction=direction)
            return bool(replay(deviation, [reading(0, {CABINET: value, "temperature.setpoint": 200.0})])[1])

        assert [fires(Direction.BOTH, v) for v in (189, 190, 210, 211)] == [True, False, False, True]
        assert [fires(Direction.ABOVE, v) for v in (150, 211)] == [False, True]
        assert [fires(Direction.BELOW, v) for v in (150, 211)] == [True, False]

    def test_a_zones_own_set_point_goes_before_the_machines(self) -> None:
        deviation = rule("deviation", limit=10.0)
        values = {CABINET: 180.0, f"{CABINET}.setpoint": 180.0, "temperature.setpoint": 250.0}
        assert replay(deviation, [reading(0, values)])[1] == []
        named = rule("deviation", limit=10.0, setpoint_signal="temperature.setpoint")
        assert replay(named, [reading(0, values)])[1][0].setpoint == 250.0

    def test_a_step_of_the_set_point_gets_its_settle_time(self) -> None:
        deviation = rule("deviation", limit=10.0, settle_seconds=600.0)
        steps = [(0, 180, 180), (900, 180, 180), (930, 180, 230), (1500, 215, 230), (1560, 215, 230)]
        readings = [reading(s, {CABINET: v, "temperature.setpoint": sp}) for s, v, sp in steps]
        assert seconds_of(replay(deviation, readings)[1]) == [1560]

    def test_a_step_ends_a_delay_that_runs(self) -> None:
        deviation = rule("deviation", limit=10.0, settle_seconds=60.0, on_delay_seconds=100.0)
        steps = [(0, 200, 200), (60, 215, 200), (90, 215, 150), (150, 215, 150), (200, 215, 150), (250, 215, 150)]
        readings = [reading(s, {CABINET: v, "temperature.setpoint": sp}) for s, v, sp in steps]
        assert seconds_of(replay(deviation, readings)[1]) == [250]

    def test_no_set_point_no_judgement(self) -> None:
        deviation = rule("deviation", limit=10.0)
        assert replay(deviation, [cabinet(0, 500)])[1] == []
        lost = SignalValue(None, Quality.BAD, "lost")
        assert replay(deviation, [reading(0, {CABINET: 500.0, "temperature.setpoint": lost})])[1] == []


class TestRate:
    def test_change_per_minute_over_the_window(self) -> None:
        rate = rule("rate", limit=10.0, window_seconds=60.0)
        calm = [cabinet(s, 100 + s * 9 / 60) for s in range(0, 300, 10)]
        assert replay(rate, calm)[1] == []
        fast = [cabinet(s, 100 + s * 11 / 60) for s in range(0, 300, 10)]
        _, happened = replay(rate, fast)
        assert seconds_of(happened) == [60]
        assert happened[0].value == pytest.approx(11)

    def test_noise_is_smaller_over_a_window(self) -> None:
        rate = rule("rate", limit=15.0, window_seconds=60.0)
        jitter = [cabinet(s, 200 + (1.5 if s % 20 else -1.5)) for s in range(0, 600, 10)]
        assert replay(rate, jitter)[1] == []

    def test_one_direction_only(self) -> None:
        falling = [cabinet(s, 200 - s) for s in range(0, 200, 10)]
        assert replay(rule("rate", limit=30.0, direction=Direction.ABOVE), falling)[1] == []
        assert replay(rule("rate", limit=30.0, direction=Direction.BELOW), falling)[1] != []


class TestStates:
    def test_door_open_for_longer(self) -> None:
        door = rule("equals", "door.open", equals=(True,), on_delay_seconds=300.0)
        opened = [reading(s, {"door.open": True}) for s in (0, 150, 299)]
        assert replay(door, opened)[1] == []
        _, happened = replay(door, [*opened, reading(300, {"door.open": True}), reading(310, {"door.open": False})])
        assert seconds_of(happened) == [300, 310]

    @pytest.mark.parametrize(
        ("value", "wanted", "same"),
        [
            ("Error", "error", True),
            (" ERROR ", "error", True),
            (1, 1.0, True),
            (1, True, False),
            (True, 1, False),
            ("1", 1, False),
            ("on", "off", False),
        ],
    )
    def test_what_equals_what(self, value: object, wanted: object, same: bool) -> None:
        equals = rule("equals", "mode", equals=(wanted,))
        assert bool(replay(equals, [reading(0, {"mode": value})])[1]) is same  # type: ignore[dict-item]

    def test_equipment_error(self) -> None:
        error = rule("equipment_error", "status", equals=("error", "fault"))
        _, happened = replay(error, [reading(s, status=v) for s, v in ((0, "running"), (10, "Fault"), (20, "idle"))])
        assert seconds_of(happened) == [10, 20]

    def test_bad_is_about_a_signal_of_a_machine_that_answers(self) -> None:
        quality = rule("bad", on_delay_seconds=60.0)
        _, happened = replay(quality, [bad(0), failed(30), bad(60), cabinet(90, 1)])
        assert seconds_of(happened) == [60, 90]
        assert happened[0].note == "sensor sentinel 32767"
        assert replay(quality, [failed(0), failed(60), failed(120)])[1] == []

    def test_bad_without_a_signal_looks_at_all(self) -> None:
        assert raised(replay(rule("bad", None), [bad(0, "humidity")])[1])


class TestConnection:
    def test_so_many_failures_and_so_long(self) -> None:
        lost = rule("connection_lost", None, failures=3, on_delay_seconds=60.0)
        assert replay(lost, [failed(0), failed(100)])[1] == []
        assert replay(lost, [failed(0), failed(10), failed(20), failed(50)])[1] == []
        _, happened = replay(lost, [failed(0), failed(10), failed(60, "No route to 10.0.0.5.")])
        assert seconds_of(happened) == [60]
        assert (happened[0].failures, happened[0].note, happened[0].since) == (3, "No route to 10.0.0.5.", at(0))

    def test_one_good_read_ends_it_and_starts_the_count_anew(self) -> None:
        lost = rule("connection_lost", None, failures=2, on_delay_seconds=0.0)
        _, happened = replay(lost, [failed(0), cabinet(10, 1), failed(20), cabinet(30, 1), failed(40), failed(50)])
        assert seconds_of(happened) == [50]
        _, happened = replay(lost, [failed(0), failed(10), failed(20), bad(30)])
        assert seconds_of(cleared(happened)) == [30]
        assert cleared(happened)[0].failures == 3


class TestStale:
    stale = rule("stale", None, after_seconds=100.0)

    def test_only_the_clock_raises_and_only_a_reading_clears(self) -> None:
        state, happened = replay(self.stale, [cabinet(0, 1), failed(500)])
        assert happened == []
        assert state.memory.last_ok == at(0)
        assert judge_by_clock(self.stale, state, at(100), at(0)) == (state, ())
        state, happened2 = judge_by_clock(self.stale, state, at(101), at(0))
        assert seconds_of(happened2) == [101]
        assert judge_by_clock(self.stale, state, at(500), at(0)) == (state, ())
        state, happened = replay(self.stale, [failed(510), cabinet(520, 1)], state)
        assert seconds_of(cleared(happened)) == [520]

    def test_a_relays_backlog_does_not_end_it(self) -> None:
        state, _ = judge_by_clock(self.stale, RuleState(), at(200), at(0))
        state, happened = replay(self.stale, [cabinet(s, 1) for s in (30, 60, 199)], state)
        assert happened == []
        assert cleared(replay(self.stale, [cabinet(200, 1)], state)[1])

    def test_of_one_signal(self) -> None:
        of_signal = rule("stale", CABINET, after_seconds=100.0)
        state, _ = replay(of_signal, [cabinet(0, 1), reading(50, humidity=3), bad(60)])
        assert state.memory.last_ok == at(0)


def test_withdrawing_a_rule_ends_its_alert() -> None:
    state, _ = replay(rule("high", limit=250.0), [cabinet(0, 260)])
    state, happened = withdraw(state, at(30), "The rule was removed.")
    assert state == RuleState()
    assert [(t.at, t.opened_at, t.note) for t in happened] == [(at(30), at(0), "The rule was removed.")]
    assert withdraw(RuleState(), at(0), "x") == (RuleState(), ())


def noisy_hour() -> list[float]:
    """One hour at the limit: 10 s samples, sigma 2 °C."""
    chance = random.Random(2026)
    return [250 + chance.gauss(0, 2) for _ in range(360)]


@pytest.mark.parametrize(
    ("fields", "least", "most"),
    [
        ({}, 60, 120),
        ({"deadband": 5.0}, 1, 8),
        ({"deadband": 5.0, "on_delay_seconds": 60.0, "off_delay_seconds": 60.0}, 1, 1),
    ],
    ids=["naive", "deadband", "deadband and delays"],
)
def test_an_hour_at_the_limit(fields: dict[str, Any], least: int, most: int) -> None:
    """The measured example: 89 alarms naively, 4 with a deadband of 5, 1 (that stays) with delays of 60 s."""
    state, happened = replay(
        rule("high", limit=250.0, **fields), [cabinet(10 * i, v) for i, v in enumerate(noisy_hour())]
    )
    count = len(raised(happened))
    print(f"{fields or 'naive'}: raised {count} times")
    assert least <= count <= most
    if "on_delay_seconds" in fields:
        assert state.memory.opened_at is not None


@pytest.mark.benchmark
def test_evaluations_per_second() -> None:
    """Printed, as a ratio to the least that could be done: comparing two numbers out of the same readings."""
    readings = [reading(10 * i, {CABINET: 180.0 + i % 60}, status="running") for i in range(20_000)]
    high = rule(Kind.HIGH, limit=250.0, deadband=5.0, on_delay_seconds=60.0, when=RUNNING)
    began = time.process_time()
    replay(high, readings)
    took = time.process_time() - began
    began = time.process_time()
    over = 0
    for one in readings:
        value = one.values[CABINET].value
        over += isinstance(value, float) and value > 250.0
    least = time.process_time() - began
    print(f"evaluations/s: {len(readings) / took:,.0f} ({took / least:.1f} times a bare comparison)")
    assert over == 0
    assert took < 60 * least
