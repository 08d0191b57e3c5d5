"""The budget of polling: every poll within its interval + 1 s."""

from __future__ import annotations

import pytest

from tests.benchmarks import polling


@pytest.mark.benchmark
@pytest.mark.process
@pytest.mark.timeout(240)
async def test_a_thousand_ovens_are_polled_on_time() -> None:
    result = await polling.run(devices=1000, interval=10, seconds=30)
    print(result.table())
    assert result.late == 0
    assert result.polls >= 0.98 * result.expected
