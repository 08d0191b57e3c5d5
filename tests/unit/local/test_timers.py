"""Timer functions: order, past due, state on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from azure.functions.timer import TimerRequest

from local.functions import TimerFunction
from local.running import Running
from local.timers import Timer
from shared.clock import ManualClock, iso

HOURLY = "0 0 * * * *"
EVERY_SECOND = "* * * * * *"

Run = tuple[str, bool]


class Bench:
    """Runs a timer over a clock that moves only when the timer sleeps."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.folder = folder
        self.clock = clock
        self.runs: list[Run] = []
        self.requests: list[TimerRequest] = []

    async def until(
        self,
        runs: int,
        schedule: str = HOURLY,
        *,
        work: Callable[[], Awaitable[None]] | None = None,
        on_startup: bool = False,
        monitor: bool = True,
    ) -> list[Run]:
        """Let it run until there were so many runs; when each began, and whether it was past due."""
        enough = asyncio.Event()
        self.runs = []

        async def handler(timer: TimerRequest) -> None:
            self.requests.append(timer)
            self.runs.append((iso(self.clock.now())[11:19], timer.past_due))
            if len(self.runs) >= runs:
                enough.set()
            if work is not None:
                await work()

        async def sleep(seconds: float) -> None:
            self.clock.advance(seconds)
            await asyncio.sleep(0)

        function = TimerFunction("Nightly", handler, [], "timer", schedule, on_startup, monitor)
        timer = Timer(function, self.folder, self.clock, Running(None), sleep)
        await timer.recall()
        task = asyncio.create_task(timer.run())
        async with asyncio.timeout(10):
            await enough.wait()
        timer.stop(task)
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()
        return self.runs


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock) -> Bench:
    return Bench(tmp_path, clock)


async def test_it_runs_by_its_schedule(bench: Bench) -> None:
    assert await bench.until(3) == [("11:00:00", False), ("12:00:00", False), ("13:00:00", False)]


async def test_runs_follow_each_other_and_missed_ticks_are_skipped(bench: Bench) -> None:
    async def long() -> None:
        bench.clock.advance(2.5)

    assert await bench.until(3, EVERY_SECOND, work=long) == [
        ("10:00:01", False),
        ("10:00:04", False),
        ("10:00:07", False),
    ]


async def test_a_failure_does_not_stop_the_schedule(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("on purpose")

    assert len(await bench.until(3, work=fail)) == 3
    assert "Nightly failed" in caplog.text


async def test_one_past_due_run_after_downtime(bench: Bench) -> None:
    await bench.until(1)
    bench.clock.set(datetime(2026, 11, 22, 5, 30, tzinfo=UTC))
    assert await bench.until(2) == [("05:30:00", True), ("06:00:00", False)]
    status = bench.requests[1].schedule_status
    assert status["Last"].startswith("2026-11-21T11:00:00")
    assert status["Next"].startswith("2026-11-21T12:00:00")


async def test_a_short_stop_is_not_past_due(bench: Bench) -> None:
    await bench.until(1)
    bench.clock.advance(600)
    assert await bench.until(1) == [("12:00:00", False)]


async def test_a_changed_schedule_begins_anew(bench: Bench) -> None:
    await bench.until(1)
    bench.clock.set(datetime(2026, 11, 22, 5, 30, tzinfo=UTC))
    assert await bench.until(1, "0 45 * * * *") == [("05:45:00", False)]


@pytest.mark.parametrize(("schedule", "monitor"), [(EVERY_SECOND, True), (HOURLY, False)])
async def test_without_a_monitor_nothing_is_kept(bench: Bench, schedule: str, monitor: bool) -> None:
    await bench.until(1, schedule, monitor=monitor)
    bench.clock.set(datetime(2026, 11, 22, 5, 30, tzinfo=UTC))
    assert [past_due for _, past_due in await bench.until(1, schedule, monitor=monitor)] == [False]
    assert list(bench.folder.iterdir()) == []


async def test_run_on_startup(bench: Bench) -> None:
    assert await bench.until(2, on_startup=True) == [("10:00:00", False), ("11:00:00", False)]


@pytest.mark.parametrize("content", ["{", "[]", '{"schedule": 1}', '{"schedule": "x", "last": null, "next": "soon"}'])
async def test_a_broken_state_begins_anew(bench: Bench, content: str, caplog: pytest.LogCaptureFixture) -> None:
    (bench.folder / "nightly.json").write_text(content)
    assert await bench.until(1) == [("11:00:00", False)]
    assert "begun anew" in caplog.text
