"""How a callback is doing: degraded when it only fails, healthy again after one yes, remembered over a restart."""

from __future__ import annotations

import pytest

from shared.callbacks.model import Callback
from shared.callbacks.standing import status_of
from shared.clock import iso
from tests.unit.callbacks.conftest import Stage


async def _shown(stage: Stage, callback: Callback) -> Callback:
    return await stage.house.callbacks.get(callback.id)


async def test_never_told(stage: Stage) -> None:
    shown = await _shown(stage, await stage.register())
    assert (status_of(shown), shown.last_triggered_at, shown.last_successful_at) == ("healthy", None, None)


async def test_degraded_after_three_failures_until_one_success(stage: Stage) -> None:
    callback = await stage.register()
    stage.receiver.answer = 500
    await stage.publish()
    await stage.settle()
    began = stage.clock.now()
    await stage.pass_time(10.1)
    assert status_of(await _shown(stage, callback)) == "healthy", "twice may be bad luck"
    await stage.pass_time(10.1)
    shown = await _shown(stage, callback)
    assert (status_of(shown), shown.failing_since, shown.last_successful_at) == ("degraded", began, None)
    assert shown.last_triggered_at == stage.clock.now()
    stage.receiver.answer = 200
    await stage.pass_time(10.1)
    shown = await _shown(stage, callback)
    assert (status_of(shown), shown.last_successful_at) == ("healthy", stage.clock.now())


async def test_a_restart_remembers_what_was_swept(stage: Stage) -> None:
    callback = await stage.register()
    stage.receiver.answer = 500
    await stage.publish()
    await stage.settle()
    await stage.pass_time(10.1, steps=3)
    before = await _shown(stage, callback)
    await stage.house.deliveries.sweep()
    for name in ("callbacks", "deliveries", "events"):
        stage.house.__dict__.pop(name, None)
    assert await _shown(stage, callback) == before
    stage.receiver.answer = 200
    await stage.pass_time(10.1)
    assert status_of(await _shown(stage, callback)) == "healthy"
    await stage.house.deliveries.sweep()
    for name in ("callbacks", "deliveries", "events"):
        stage.house.__dict__.pop(name, None)
    assert status_of(await _shown(stage, callback)) == "healthy"


async def test_it_costs_no_write_per_delivery(stage: Stage) -> None:
    callback = await stage.register()
    before = await stage.house.store.read("callbacks", (callback.id,), callback.id)
    for _ in range(20):
        await stage.publish()
    await stage.settle()
    after = await stage.house.store.read("callbacks", (callback.id,), callback.id)
    assert after.etag == before.etag
    await stage.house.deliveries.sweep()
    swept = await stage.house.store.read("callbacks", (callback.id,), callback.id)
    assert swept.etag != after.etag
    await stage.house.deliveries.sweep()
    again = await stage.house.store.read("callbacks", (callback.id,), callback.id)
    assert again.etag == swept.etag, "nothing new, nothing written"


async def test_notes_of_a_deleted_callback_are_let_go(stage: Stage) -> None:
    from tests.unit.callbacks.conftest import ENGINEER

    callback = await stage.register()
    await stage.publish()
    await stage.settle()
    await stage.house.callbacks.delete(callback.id, caller=ENGINEER)
    await stage.house.deliveries.sweep()
    assert stage.house.callbacks.standing._notes == {}


async def test_a_process_without_a_sweep_writes_it_by_itself(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of several processes runs the timers; the others deliver, too."""
    callback = await stage.register()
    await stage.publish()
    await stage.settle()
    stored = await stage.house.store.read("callbacks", (callback.id,), callback.id)
    assert stored.document.get("lastSuccessfulAt") is None, "not with every delivery"
    monkeypatch.setattr(stage.house.callbacks.standing, "_write_by", 0.0)
    await stage.publish()
    await stage.settle()
    stored = await stage.house.store.read("callbacks", (callback.id,), callback.id)
    assert stored.document["lastSuccessfulAt"] == iso(stage.clock.now())
    assert not stage.house.callbacks.standing.overdue()
