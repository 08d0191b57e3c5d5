"""What many tests need: a clock that stands still, a house over a temporary folder, the app's functions to call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import hypothesis
import pytest

from shared import services as services_module
from shared.clock import ManualClock
from shared.services import Services
from shared.settings import Settings
from tests.api import Api, Drained, drain_queues, run_timer

hypothesis.settings.register_profile("again", max_examples=20)
"""For the second Python: what is found there is about the Python, and not about rare examples."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--first-of-each``: of tests with many sets of parameters the first alone."""
    parser.addoption("--first-of-each", action="store_true", help="of tests with many sets of parameters, the first")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long begins first, so that the workers end together."""
    if config.getoption("--first-of-each"):
        first = {item.nodeid.partition("[")[0]: item for item in reversed(items)}
        left_out = [item for item in items if first[item.nodeid.partition("[")[0]] is not item]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if first[item.nodeid.partition("[")[0]] is item]
    items.sort(key=_weight, reverse=True)


def _weight(item: pytest.Item) -> int:
    if item.get_closest_marker("long"):
        return 2
    return 1 if item.get_closest_marker("process") else 0


@pytest.fixture
def clock() -> ManualClock:
    """Stands at 2026-11-21T10:00:00Z until it is moved."""
    return ManualClock(datetime(2026, 11, 21, 10, tzinfo=UTC))


@pytest.fixture
async def house(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Services]:
    """The services over the embedded backends in a temporary folder, as ``services()`` of this test."""
    settings = Settings(
        data_dir=tmp_path / "data",
        allow_private_targets=True,
        allow_http_targets=True,
        access_mode="developer",
        serves_loopback=True,
    )
    built = Services(settings, clock)
    services_module.use(built)
    try:
        yield built
    finally:
        services_module.use(None)
        await built.close()


@pytest.fixture
def api(house: Services) -> Api:
    """``await api.get("/api/v1/equipment")`` calls the function in-process, as the developer on loopback."""
    return Api()


@pytest.fixture
def drain(house: Services) -> Callable[..., Awaitable[Drained]]:
    """``await drain()`` runs queue functions until nothing is due; ``await drain(queues=("poll-batches",))``."""
    return partial(drain_queues, house)


@pytest.fixture
def tick(house: Services) -> Callable[..., Awaitable[None]]:
    """``await tick("plan_polls")`` runs a timer function once."""
    return run_timer
