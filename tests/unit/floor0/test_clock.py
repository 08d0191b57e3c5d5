from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import ManualClock, SystemClock, compact, day_of, hour_of, iso, month_of, parse_iso

moments = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))


@given(moments, moments)
def test_text_order_is_time_order(a: datetime, b: datetime) -> None:
    a, b = (m.replace(microsecond=m.microsecond // 1000 * 1000) for m in (a, b))
    assert (iso(a) < iso(b)) == (a < b)
    assert (compact(a) < compact(b)) == (a < b)


@given(moments)
def test_iso_comes_back_to_the_millisecond(moment: datetime) -> None:
    assert parse_iso(iso(moment)) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_iso_is_utc_whatever_the_offset() -> None:
    madrid = datetime(2026, 11, 21, 11, 30, tzinfo=timezone(timedelta(hours=1)))
    assert iso(madrid) == "2026-11-21T10:30:00.000Z"
    assert iso(madrid.replace(tzinfo=None)) == "2026-11-21T11:30:00.000Z", "a naive time is UTC"
    assert parse_iso("2026-11-21T11:30:00+01:00") == datetime(2026, 11, 21, 10, 30, tzinfo=UTC)


def test_partition_keys() -> None:
    moment = datetime(2026, 11, 21, 10, 30, 5, 123_000, tzinfo=UTC)
    assert (month_of(moment), day_of(moment), hour_of(moment)) == ("2026-11", "2026-11-21", "2026-11-21T10")
    assert compact(moment) == "20261121T103005123Z"


def test_parse_refuses_what_is_no_time() -> None:
    with pytest.raises(ValueError, match="Invalid isoformat"):
        parse_iso("yesterday")


def test_clocks() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    clock.advance(90)
    assert iso(clock.now()) == "2026-01-01T00:01:30.000Z"
    clock.set(datetime(2025, 1, 1, tzinfo=UTC))
    assert clock.now().year == 2025
    assert SystemClock().now().tzinfo is UTC
