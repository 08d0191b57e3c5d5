"""NCRONTAB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.schedule import BadSchedule, parse_schedule

START = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)  # a Saturday


def nexts(text: str, count: int = 3) -> list[str]:
    schedule = parse_schedule(text, now=START)
    moment, found = START, []
    for _ in range(count):
        moment = schedule.next_after(moment)
        found.append(moment.strftime("%m-%d %H:%M:%S"))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/5 * * * * *", ["11-21 10:00:05", "11-21 10:00:10", "11-21 10:00:15"]),
        ("0 */15 * * * *", ["11-21 10:15:00", "11-21 10:30:00", "11-21 10:45:00"]),
        ("*/15 * * * *", ["11-21 10:15:00", "11-21 10:30:00", "11-21 10:45:00"]),
        ("30 0 3 * * *", ["11-22 03:00:30", "11-23 03:00:30", "11-24 03:00:30"]),
        ("0 0 0 1 * MON", ["02-01 00:00:00", "03-01 00:00:00", "11-01 00:00:00"]),  # both must match
        ("0 0 12 * * sat,Sunday", ["11-21 12:00:00", "11-22 12:00:00", "11-28 12:00:00"]),
        ("0 0 12 * * 6-5", ["11-21 12:00:00", "11-27 12:00:00", "11-28 12:00:00"]),  # turned round: 5-6
        ("0 50/5 10 * * *", ["11-21 10:50:00", "11-21 10:55:00", "11-22 10:50:00"]),
        ("0 0 0 1 Jan-mar *", ["01-01 00:00:00", "02-01 00:00:00", "03-01 00:00:00"]),
        ("0 0 0 29 2 *", ["02-29 00:00:00", "02-29 00:00:00", "02-29 00:00:00"]),
    ],
)
def test_occurrences(text: str, expected: list[str]) -> None:
    assert nexts(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * * *",
        "* * 24 * * *",
        "* * * 0 * *",
        "* * * * 13 *",
        "* * * * * 7",
        "0 0 0 ? * *",
        "0 0 0 L * *",
        "0 0 0 * * 1#2",
        "0 0 0 31 2 *",
        "*/0 * * * * *",
        "5- * * * * *",
        "00:05:00",
        "x * * * * *",
        "-1 * * * * *",
    ],
)
def test_what_the_host_could_not_read(text: str) -> None:
    with pytest.raises(BadSchedule):
        parse_schedule(text, now=START)


@pytest.mark.parametrize(
    ("text", "monitored"),
    [("*/5 * * * * *", False), ("0 * * * * *", True), ("0,30 * * * * *", False), ("0 0 3 * * *", True)],
)
def test_only_schedules_of_a_minute_and_longer_are_monitored(text: str, monitored: bool) -> None:
    assert parse_schedule(text, now=START).is_monitored(START) is monitored


@given(
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(0, 23),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
)
def test_a_daily_time_comes_within_a_day_and_only_then(second: int, minute: int, hour: int, start: datetime) -> None:
    moment = start.replace(tzinfo=UTC)
    found = parse_schedule(f"{second} {minute} {hour} * * *", now=moment).next_after(moment)
    assert timedelta(0) < found - moment <= timedelta(days=1)
    assert (found.hour, found.minute, found.second) == (hour, minute, second)
