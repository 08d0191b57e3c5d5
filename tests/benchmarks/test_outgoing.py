"""The way out stays cheap: guarded against the fastest plain program and against httpx, in one run."""

from __future__ import annotations

import pytest

from tests.benchmarks.outgoing import OURS, YARDSTICK, measure


@pytest.mark.quiet
@pytest.mark.process
def test_vetting_and_limits_cost_less_than_httpx_alone() -> None:
    # The best of three: a noisy neighbour can slow one run down, never make the code faster than it is.
    runs = [measure(600) for _ in range(3)]
    best: dict[str, float] = {}
    for row in (row for run in runs for row in run if row.concurrency == 64):
        best[row.way] = min(best.get(row.way, row.cpu_us), row.cpu_us)
    assert best[OURS] <= 3 * best[YARDSTICK], best
    assert best[OURS] < best["httpx.AsyncClient over httpx-aiohttp"], best
