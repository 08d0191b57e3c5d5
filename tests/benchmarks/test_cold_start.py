"""Cold start is a tested number: a heavy import at the top of a hot start fails here."""

from __future__ import annotations

import pytest

from tests.benchmarks.cold_start import LIMIT, measure


@pytest.mark.quiet
@pytest.mark.process
def test_indexing_costs_at_most_one_and_a_half_times_its_libraries() -> None:
    result = measure(9)
    assert result.ratio <= LIMIT, f"{result.index:.3f} s of CPU against {result.yardstick:.3f} s"
