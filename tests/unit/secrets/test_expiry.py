"""Secrets that end soon: who is told of, when, and how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from shared.clock import ManualClock
from shared.metrics import VAULT_EXPIRING
from shared.secrets.expiry import ExpiryWatch
from shared.secrets.file_vault import FileVault
from shared.services import Services

DAY = timedelta(days=1)


@pytest.fixture
async def vault(tmp_path: Path, clock: ManualClock) -> FileVault:
    made = FileVault(tmp_path / "vault", clock)
    for name, left in (("past", -2 * DAY), ("today", DAY / 2), ("soon", 30 * DAY - DAY / 24), ("far", 30 * DAY)):
        await made.set(name, "hunter2-hunter2", expires_at=clock.now() + left)
    await made.set("endless", "hunter2-hunter2")
    return made


async def test_what_ends_within_thirty_days_is_told_of_and_counted(
    vault: FileVault, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    counted: list[float] = []
    VAULT_EXPIRING.listeners.append(listener := lambda value, attributes: counted.append(value))
    try:
        found = await ExpiryWatch(vault, clock).look()
    finally:
        VAULT_EXPIRING.listeners.remove(listener)
    assert [(s.name, s.days) for s in found] == [("past", -2), ("today", 0), ("soon", 29)]
    assert counted == [3]
    told = [record.getMessage() for record in caplog.records]
    assert told == [s.sentence for s in found]
    assert "past in the vault expired on 2026-11-19" in told[0]
    assert "today in the vault expires on 2026-11-21" in told[1]
    assert "hunter2" not in caplog.text


async def test_each_is_told_of_once_a_day(
    vault: FileVault, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    watch = ExpiryWatch(vault, clock)
    await watch.look()
    clock.advance(3600)
    caplog.clear()
    await watch.look()
    assert [r.getMessage().split()[2] for r in caplog.records] == ["far"], "it has come near in the meantime"
    await vault.set("soon", "renewed", expires_at=clock.now() + 10 * DAY)
    caplog.clear()
    await watch.look()
    assert [r.getMessage().split()[2] for r in caplog.records] == ["soon"], "a new version has an end of its own"
    clock.advance(23 * 3600)
    caplog.clear()
    assert len(await watch.look()) == len(caplog.records) == 4
    await vault.set("past", "renewed")
    assert "past" not in [s.name for s in await watch.look()]


async def test_the_list_is_read_at_most_once_an_hour_for_those_who_look(
    vault: FileVault, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = ExpiryWatch(vault, clock)
    before = await watch.known()
    await vault.delete("past")
    assert await watch.known() == before
    clock.advance(3600)
    assert "past" not in [s.name for s in await watch.known()]


async def test_the_timer_tells(
    house: Services, tick: Callable[..., Awaitable[None]], clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await house.vault.set("cb-1", "x", expires_at=clock.now() + 3 * DAY)
    await tick("warn_of_expiry")
    assert "cb-1 in the vault expires on 2026-11-24" in caplog.text
