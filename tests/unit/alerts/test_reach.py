"""HACCP: judged once, at the end of the cycle."""

from __future__ import annotations

from collections.abc import Sequence

from shared.alerts.model import Gate, Rule
from shared.alerts.state import RuleState, from_document, rewind, to_document
from shared.alerts.transition import Happening, Transition
from shared.signals import Quality, Reading, SignalValue, Value
from tests.unit.alerts.readings import at, failed, reading, replay, rule

CORE = "temperature.core"


def core(hold: float = 0.0, **fields: object) -> Rule:
    return rule("reach", CORE, limit=74.0, hold_seconds=hold, gap_seconds=100.0, **fields)


def step(seconds: float, status: str, value: Value | SignalValue = None, batch: str | None = None) -> Reading:
    values: dict[str, Value | SignalValue] = {"status": status}
    if value is not None:
        values[CORE] = value
    if batch is not None:
        values["batch.id"] = batch
    return reading(seconds, values)


def bake(*values: Value | SignalValue, start: int = 0, batch: str | None = None) -> list[Reading]:
    """Idle, then a reading every 30 s while running, then idle."""
    running = [step(start + 30 * (i + 1), "running", v, batch) for i, v in enumerate(values)]
    return [step(start, "idle", 20), *running, step(start + 30 * (len(values) + 1), "idle", 70)]


def judged(by: Rule, readings: Sequence[Reading]) -> list[Transition]:
    return replay(by, readings)[1]


def test_reached() -> None:
    (one,) = judged(core(), bake(20, 60, 74, 73))
    assert one.happening is Happening.REACHED


def test_not_reached_is_raised_at_the_end_and_only_there() -> None:
    (one,) = judged(core(), bake(20, 60, 73.9, 70, batch="B-12"))
    assert one.happening is Happening.RAISED
    assert (one.at, one.since, one.value, one.batch) == (at(150), at(30), 73.9, "B-12")


def test_it_must_be_held() -> None:
    assert judged(core(45.0), bake(20, 74, 75, 73, 74, 75))[0].happening is Happening.RAISED
    assert judged(core(45.0), bake(20, 74, 75, 76, 70))[0].happening is Happening.REACHED
    assert judged(core(15.0), bake(20, 75, 70))[0].happening is Happening.RAISED, "one reading shows no duration"


def test_bad_data_and_silence_break_the_hold() -> None:
    lost = SignalValue(None, Quality.BAD, "probe unplugged")
    (one,) = judged(core(60.0), bake(74, 75, lost, 75, 76))
    assert (one.happening, one.bad_readings) == (Happening.RAISED, 1)
    silent = [step(0, "idle"), step(30, "running", 75), step(330, "running", 75), step(360, "idle")]
    assert judged(core(60.0), silent)[0].happening is Happening.RAISED
    broken = [step(0, "idle"), step(30, "running", 75), failed(60), step(90, "running", 75), step(120, "idle")]
    assert judged(core(60.0), broken)[0].happening is Happening.RAISED


def test_what_is_not_shown_is_not_reached() -> None:
    lost = SignalValue(None, Quality.BAD, "probe unplugged")
    (one,) = judged(core(), bake(lost, lost, lost))
    assert one.happening is Happening.RAISED
    assert one.note == "no usable value in the whole cycle"
    assert one.value is None


def test_the_next_batch_ends_the_cycle_and_does_not_heal_it() -> None:
    readings = [step(0, "idle"), step(30, "running", 70, "A"), step(60, "running", 75, "B"), step(90, "idle")]
    first, second = judged(core(), readings)
    assert (first.happening, first.batch) == (Happening.RAISED, "A")
    assert (second.happening, second.batch) == (Happening.REACHED, "B")


def test_two_cycles_that_fail_are_two_alerts() -> None:
    happened = judged(core(), [*bake(20, 60), *bake(20, 60, start=1000)])
    assert len({t.opened_at for t in happened}) == 2


def test_a_start_that_was_broken_off_is_not_judged() -> None:
    assert judged(core(settle_seconds=120.0), bake(20, 21)) == []
    assert len(judged(core(settle_seconds=60.0), bake(20, 21, 22))) == 1


def test_a_short_closing_of_the_gate_does_not_end_it() -> None:
    flicker = [
        step(0, "idle"),
        step(30, "running", 60),
        step(60, "idle"),
        step(90, "running", 75),
        step(120, "idle"),
        step(240, "idle"),
    ]
    (one,) = judged(core(off_delay_seconds=60.0), flicker)
    assert (one.happening, one.since, one.at) == (Happening.REACHED, at(30), at(240))


def test_a_gate_of_its_own() -> None:
    by = core(when=(Gate("cycle.stage", ("baking",)),))
    stages = [("preheat", 20), ("baking", 60), ("baking", 70), ("cooling", 90)]
    readings = [reading(30 * i, {"cycle.stage": s, CORE: v, "status": "running"}) for i, (s, v) in enumerate(stages)]
    (one,) = judged(by, readings)
    assert (one.happening, one.value) == (Happening.RAISED, 70)


def test_seen_from_the_middle_it_says_so() -> None:
    (one,) = judged(core(), [step(0, "running", 60), step(30, "idle")])
    assert one.note == "the beginning of the cycle was not seen"


def test_a_restart_in_the_middle_and_a_replay_give_the_same() -> None:
    readings = bake(20, 60, 75, 76, 77, 70)
    for cut in range(len(readings) + 1):
        state, before = replay(core(45.0), readings[:cut])
        revived = from_document(to_document(state))
        assert revived == state
        assert before + replay(core(45.0), readings[cut:], revived)[1] == judged(core(45.0), readings)
        back = rewind(core(45.0), state)
        if back is not None:
            again, _ = replay(core(45.0), [r for r in readings[:cut] if r.at >= back[1]], back[0])
            assert again == state


def test_late_and_duplicate_readings_move_nothing() -> None:
    readings = bake(20, 60, 70)
    doubled = [r for one in readings for r in (one, one, step(-1, "running", 99))]
    assert judged(core(), doubled) == judged(core(), readings)
    assert replay(core(), doubled)[0] == replay(core(), readings)[0]


def test_no_signal_no_cycle() -> None:
    assert replay(core(), [reading(0, humidity=3)]) == (RuleState(), [])
