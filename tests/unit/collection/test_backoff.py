"""How long a failing device is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.collection.backoff import LONGEST, pause_seconds

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def pause(failures: int, *, code: str = "timeout", interval: int = 30, asked: float | None = None, n: int = 0) -> float:
    return pause_seconds(
        f"oven-{n}", NOON, failures=failures, interval_seconds=interval, error_code=code, retry_after=asked
    )


@given(st.integers(1, 10_000), st.integers(10, 300), st.integers(0, 1000))
def test_never_longer_than_five_minutes(failures: int, interval: int, n: int) -> None:
    assert 0 <= pause(failures, interval=interval, n=n) <= LONGEST


def test_doubles_and_is_spread_over_its_whole_length() -> None:
    for failures, top in ((1, 30), (2, 60), (3, 120), (4, 240), (5, 300), (50, 300)):
        pauses = [pause(failures, n=n) for n in range(500)]
        assert top * 0.97 < max(pauses) <= top
        assert min(pauses) < top * 0.03
        assert abs(sum(pauses) / 500 - top / 2) < top * 0.05


def test_a_slow_poller_is_not_polled_faster_for_failing() -> None:
    assert max(pause(20, interval=3600, n=n) for n in range(200)) > 3000


def test_refused_credentials_wait_minutes_from_the_start() -> None:
    first = [pause(1, code="authentication_failed", interval=10, n=n) for n in range(200)]
    assert 150 <= min(first) < max(first) <= 300
    assert 1800 <= pause(30, code="authentication_failed") <= 3600


def test_retry_after_is_honoured_up_to_an_hour() -> None:
    assert pause(1, asked=120) == 120
    assert pause(1, asked=10**9) == 3600
    assert pause(9, asked=0.001) == pause(9)


def test_the_same_failure_gives_the_same_pause_and_another_one_another() -> None:
    def at(seconds: int) -> float:
        return pause_seconds(
            "oven", NOON + timedelta(seconds=seconds), failures=4, interval_seconds=30, error_code="timeout"
        )

    assert at(0) == at(0)
    assert at(0) != at(1)
