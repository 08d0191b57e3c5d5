"""The simulated oven: bounded, deterministic, and an oven."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.bakery.physics import STAGES, OvenSimulation


def state(oven: OvenSimulation) -> dict[str, object]:
    return {f.name: getattr(oven, f.name) for f in fields(oven) if f.name not in ("_random", "_rest")}


@given(st.integers(0, 2**32), st.lists(st.floats(0, 700), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_the_pieces_in_which_time_passes_do_not_matter(seed: int, pieces: list[float]) -> None:
    at_once, in_pieces = OvenSimulation(seed, drifts=True), OvenSimulation(seed, drifts=True)
    for piece in pieces:
        in_pieces.advance(piece)
    at_once.advance(in_pieces.seconds)
    assert state(at_once) == state(in_pieces)


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_stays_within_what_an_oven_can(seed: int) -> None:
    oven = OvenSimulation(seed, drifts=True)
    energy, seen = oven.energy, set()
    for _ in range(6 * 60):
        oven.advance(60)
        seen.add(oven.stage)
        assert 20 <= oven.temperature <= 330
        assert 0 <= oven.humidity <= 100
        assert 0 <= oven.steam <= 100
        assert oven.core is None or 20 <= oven.core <= 100
        assert oven.progress is None or 0 <= oven.progress <= 100
        assert oven.minutes_left is None or 0 <= oven.minutes_left <= 60
        assert oven.energy > energy
        energy = oven.energy
    assert seen <= set(STAGES)
    assert {"idle", "preheating", "baking"} <= seen


def until(oven: OvenSimulation, stage: str) -> None:
    for _ in range(20_000):
        if oven.stage == stage:
            return
        oven.advance(1)
    pytest.fail(f"never {stage}")


def test_a_bake_is_a_bake() -> None:
    oven = OvenSimulation(3)
    until(oven, "preheating")
    cold = oven.temperature
    until(oven, "loading")
    assert oven.temperature > cold
    hot, damp = oven.temperature, oven.humidity
    oven.advance(60)
    assert oven.door_open
    assert oven.temperature < hot - 20, "an open door costs heat"
    until(oven, "baking")
    assert oven.core is not None
    assert oven.core < 30
    assert oven.batch_name == f"{oven.recipe.name} - Batch #{oven.batch_number}"
    oven.advance(180)
    assert oven.humidity > damp + 20, "steam"
    until(oven, "unloading")
    assert oven.core is not None
    assert oven.core >= oven.recipe.core_target - 3, "baked through"


def test_holds_its_set_point() -> None:
    oven = OvenSimulation(5)
    until(oven, "baking")
    oven.advance(oven.recipe.seconds * 0.25)
    assert abs(oven.temperature - oven.set_point) < 6


def test_a_drifting_thermostat_overheats_and_is_put_right() -> None:
    oven = OvenSimulation(11, drifts=True)
    worst = 0.0
    for _ in range(4 * 3600):
        oven.advance(1)
        if oven.stage == "baking":
            worst = max(worst, oven.temperature - oven.set_point)
    assert 15 < worst < 60
    assert OvenSimulation(11).drift == 0


def test_pinned() -> None:
    oven = OvenSimulation(1)
    oven.pinned = 260.0
    oven.advance(30)
    assert oven.temperature == 260.0
