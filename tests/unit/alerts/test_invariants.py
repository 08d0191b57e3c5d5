"""What holds for every sequence of readings."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shared.alerts.evaluation import evaluate
from shared.alerts.model import Direction, Gate, Kind, Rule
from shared.alerts.state import RuleState, from_document, rewind, to_document
from shared.signals import Quality, Reading, SignalValue
from tests.unit.alerts.readings import CABINET, at, bad, cabinet, cleared, failed, raised, reading, replay, rule

LIMIT = 250.0
delays = st.sampled_from([0.0, 10.0, 30.0, 60.0, 120.0])
temperatures = st.floats(200, 300).map(lambda v: round(v, 1))


@st.composite
def limit_rules(draw: st.DrawFn) -> Rule:
    return rule(
        draw(st.sampled_from(["high", "low"])),
        limit=LIMIT,
        deadband=draw(st.sampled_from([0.0, 2.0, 5.0, 20.0])),
        on_delay_seconds=draw(delays),
        off_delay_seconds=draw(delays),
    )


@st.composite
def sequences(draw: st.DrawFn) -> list[Reading]:
    """Readings in order, 1 to 90 s apart, some of them bad or failed."""
    made, now = [], 0
    for _ in range(draw(st.integers(0, 40))):
        now += draw(st.sampled_from([1, 10, 10, 10, 30, 90]))
        what = draw(st.integers(0, 9))
        made.append(bad(now) if what == 0 else failed(now) if what == 1 else cabinet(now, draw(temperatures)))
    return made


def beyond(judged: Rule, value: float) -> bool:
    return value > LIMIT if judged.kind is Kind.HIGH else value < LIMIT


def inside(judged: Rule, value: float) -> bool:
    return value <= LIMIT - judged.deadband if judged.kind is Kind.HIGH else value >= LIMIT + judged.deadband


def usable(one: Reading) -> float | None:
    seen = one.values.get(CABINET)
    return seen.value if seen is not None and isinstance(seen.value, float) else None


@given(limit_rules(), sequences())
def test_raised_only_on_a_value_beyond_the_limit_after_the_on_delay(judged: Rule, readings: list[Reading]) -> None:
    by_time = {one.at: one for one in readings}
    for transition in raised(replay(judged, readings)[1]):
        value = usable(by_time[transition.at])
        assert value is not None
        assert beyond(judged, value)
        assert transition.since is not None
        assert (transition.at - transition.since).total_seconds() >= judged.on_delay_seconds
        between = [one for one in readings if transition.since <= one.at <= transition.at]
        values = [usable(one) for one in between]
        assert None not in values, "bad data restarts the delay"
        assert not any(inside(judged, v) for v in values if v is not None)


@given(limit_rules(), sequences())
def test_cleared_only_on_a_value_through_the_deadband_after_the_off_delay(
    judged: Rule, readings: list[Reading]
) -> None:
    by_time = {one.at: one for one in readings}
    for transition in cleared(replay(judged, readings)[1]):
        value = usable(by_time[transition.at])
        assert value is not None
        assert inside(judged, value)
        assert transition.since is not None
        assert (transition.at - transition.since).total_seconds() >= judged.off_delay_seconds
        values = [usable(one) for one in readings if transition.since <= one.at <= transition.at]
        assert None not in values
        assert not any(beyond(judged, v) for v in values if v is not None)


@given(limit_rules(), sequences())
def test_raised_and_cleared_take_turns(judged: Rule, readings: list[Reading]) -> None:
    happened = replay(judged, readings)[1]
    assert [t.happening.value for t in happened] == ["raised", "cleared"] * (len(happened) // 2) + ["raised"] * (
        len(happened) % 2
    )
    assert all(a.opened_at == b.opened_at for a, b in zip(happened[::2], happened[1::2], strict=False))


@given(limit_rules(), sequences(), st.randoms(use_true_random=False))
def test_duplicates_and_late_ones_change_nothing(judged: Rule, readings: list[Reading], chance: random.Random) -> None:
    disturbed: list[Reading] = []
    for one in readings:
        disturbed.append(one)
        disturbed.extend(chance.choice(disturbed) for _ in range(chance.randint(0, 2)))
        disturbed.append(cabinet(-chance.randint(1, 1000), 999.0))
    assert replay(judged, disturbed) == replay(judged, readings)


@given(limit_rules(), sequences(), st.integers(0, 40))
def test_a_process_that_starts_anew_from_the_stored_form_goes_on_the_same(
    judged: Rule, readings: list[Reading], cut: int
) -> None:
    state, before = replay(judged, readings[:cut])
    revived = from_document(to_document(state))
    assert revived == state
    assert before + replay(judged, readings[cut:], revived)[1] == replay(judged, readings)[1]


@given(limit_rules(), sequences())
def test_deadband_never_makes_more_alerts(judged: Rule, readings: list[Reading]) -> None:
    plain = replace(judged, deadband=0.0, on_delay_seconds=0.0, off_delay_seconds=0.0)
    wide = replace(plain, deadband=5.0)
    assert len(raised(replay(wide, readings)[1])) <= len(raised(replay(plain, readings)[1]))


@given(limit_rules(), sequences())
def test_rewinding_and_judging_again_gives_the_same_state(judged: Rule, readings: list[Reading]) -> None:
    state, _ = replay(judged, readings)
    back = rewind(judged, state)
    if back is None:
        assert state.memory.since is None or state.memory.opened_at is not None
        return
    before, start = back
    again, happened = replay(judged, [one for one in readings if one.at >= start], before)
    assert again == state
    assert happened == []


ANY_VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(-500, 500), st.floats(), st.sampled_from(["running", "error", "", "idle"])
)


@st.composite
def any_reading(draw: st.DrawFn) -> Reading:
    signals = draw(st.sets(st.sampled_from([CABINET, "temperature.setpoint", "status", "batch.id", "door.open"])))
    values = {
        s: SignalValue(draw(ANY_VALUE), draw(st.sampled_from(list(Quality))), draw(st.none() | st.just("why")))
        for s in sorted(signals)
    }
    made = reading(draw(st.integers(0, 5000)), dict(values))
    return failed(draw(st.integers(0, 5000))) if draw(st.integers(0, 9)) == 0 else made


@st.composite
def any_rule(draw: st.DrawFn) -> Rule:
    kind = draw(st.sampled_from(list(Kind)))
    return rule(
        kind,
        draw(st.sampled_from([CABINET, "status", "door.open"])),
        limit=draw(st.floats(-100, 300)),
        deadband=draw(st.sampled_from([0.0, 5.0])),
        on_delay_seconds=draw(delays),
        off_delay_seconds=draw(delays),
        when=draw(st.sampled_from([(), (Gate("status", ("running",)),)])),
        settle_seconds=draw(delays),
        direction=draw(st.sampled_from(list(Direction))),
        equals=("error", True, 3),
        after_seconds=100.0,
        hold_seconds=draw(delays),
    )


@given(any_rule(), st.lists(any_reading(), max_size=30))
def test_nothing_a_device_says_breaks_it(judged: Rule, readings: list[Reading]) -> None:
    state = RuleState()
    for one in readings:
        before = state
        state, _ = evaluate(judged, state, one)
        assert state is before or state.last_at == one.at
        assert from_document(to_document(state)).memory.essence() == state.memory.essence()
        assert state.memory.opened_at is None or state.memory.opened_at >= at(0)
