"""The budget of a notification: at most three store calls and one send, counted where Azure would count them."""

from __future__ import annotations

from pathlib import Path

from shared.clock import ManualClock
from tests.benchmarks.azure_cost import of_deliveries, of_polls


async def test_a_notification_costs_three_store_calls_and_one_send(tmp_path: Path, clock: ManualClock) -> None:
    published, delivered = await of_deliveries(tmp_path, clock, callbacks=1)
    of_the_event = published.store.pop(("events", "create")) / published.count
    assert of_the_event == 1, "the log, once per event however many are told"
    assert published.store_calls + delivered.store_calls <= 3
    assert published.queue_sends + delivered.queue_sends <= 1


async def test_the_first_attempts_of_an_event_share_a_send(tmp_path: Path, clock: ManualClock) -> None:
    published, delivered = await of_deliveries(tmp_path, clock, callbacks=3)
    assert published.queue_sends + delivered.queue_sends * 3 <= 1


async def test_a_poll_writes_its_reading_and_nothing_else(tmp_path: Path, clock: ManualClock) -> None:
    cost = await of_polls(tmp_path, clock)
    writes = {key: n for key, n in cost.store.items() if key[1] not in ("read", "query")}
    assert writes == {("readings", "create"): cost.count}
    assert cost.queue_sends == 1, "of a batch of up to fifty machines"
    # Asked by the clock, whatever the number of machines: the planner, and what other systems know of machines.
    by_the_clock = sum(cost.store[name, "query"] for name in ("equipment", "connections", "machineContexts"))
    assert cost.store["machineContexts", "query"] <= cost.count, "at most once per tick and process"
    assert cost.store_calls - by_the_clock / cost.count <= 1.6, cost.lines()
