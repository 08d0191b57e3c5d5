"""Reading the log: newest first, page by page, over streams and months."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from shared.audit import AuditFilter, AuditLog, browse
from shared.clock import ManualClock
from shared.errors import InvalidInput
from shared.services import Services
from shared.storage import newest

ANNA = {"id": "token:anna", "name": "Anna", "how": "api_token"}
BEN = {"id": "token:ben", "name": "Ben", "how": "api_token"}


@pytest.fixture
async def start(house: Services, clock: ManualClock) -> datetime:
    """Ninety days of entries in three streams, by two people, two at the same millisecond now and then."""
    begin = clock.now()
    for n in range(60):
        who = ANNA if n % 3 else BEN
        stream = ("token", "equipment:A", "equipment:B")[n % 3]
        await house.audit.append(stream, actor=who, action=f"thing.{n % 2}", target=str(n))
        clock.advance(0 if n % 7 == 0 else 129_600)
    return begin


async def pages(audit: AuditLog, wanted: AuditFilter, *, stream: str | None = None, limit: int = 7) -> list[int]:
    found: list[int] = []
    continuation: str | None = None
    for _ in range(200):
        page = await audit.entries(wanted, stream=stream, limit=limit, continuation=continuation)
        assert len(page.entries) <= limit
        found += [int(entry.target) for entry in page.entries]
        continuation = page.continuation
        if continuation is None:
            return found
    raise AssertionError("never came to an end")


async def test_all_streams_newest_first_without_loss_or_repetition(house: Services, start: datetime) -> None:
    entries = (await house.audit.entries(limit=1000)).entries
    assert sorted(int(e.target) for e in entries) == list(range(60))
    assert [e.at for e in entries] == sorted((e.at for e in entries), reverse=True)
    assert await pages(house.audit, AuditFilter()) == [int(e.target) for e in entries]


async def test_one_stream_newest_first(house: Services, start: datetime) -> None:
    assert await pages(house.audit, AuditFilter(), stream="equipment:A") == list(range(58, 0, -3))
    assert await pages(house.audit, AuditFilter(), stream="nothing:here") == []


@pytest.mark.parametrize("stream", [None, "token"])
async def test_filters(house: Services, start: datetime, stream: str | None) -> None:
    since, until = start + timedelta(days=10), start + timedelta(days=40)
    every = (await house.audit.entries(stream=stream, limit=1000)).entries
    wanted = AuditFilter(actor="token:ben", action="thing.1", since=since, until=until)
    expected = [
        int(e.target) for e in every if e.actor["id"] == "token:ben" and e.action == "thing.1" and since <= e.at < until
    ]
    assert expected, "the test would prove nothing"
    assert await pages(house.audit, wanted, stream=stream, limit=2) == expected


async def test_a_busy_hour_is_read_in_parts(
    house: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest, "MAX_IN_WINDOW", 5)
    for n in range(40):
        clock.advance(0.25)
        await house.audit.append("token", actor=ANNA, action="thing", target=str(n))
    assert await pages(house.audit, AuditFilter(), limit=6) == list(range(39, -1, -1))


async def test_a_search_that_finds_nothing_for_long_goes_on(
    house: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may come back empty with a continuation; the search still reaches what is there."""
    monkeypatch.setattr(newest, "MAX_WINDOWS", 6)
    monkeypatch.setattr(browse, "MAX_RANGES", 2)
    monkeypatch.setattr(browse, "NUMBERS_AT_ONCE", 3)
    since = clock.now()
    await house.audit.append("token", actor=BEN, action="rare", target="1")
    clock.advance(86_400 * 30)
    await asyncio.gather(
        *(house.audit.append("token", actor=ANNA, action="usual", target=str(n)) for n in range(2, 30))
    )
    assert await pages(house.audit, AuditFilter(action="rare"), stream="token") == [1]
    empty = await house.audit.entries(AuditFilter(action="rare", since=since))
    assert (empty.entries, empty.continuation is None) == ([], False)
    assert await pages(house.audit, AuditFilter(action="rare", since=since)) == [1]


@pytest.mark.parametrize("continuation", ["x", "", "bm90", "WzFd" * 3, "WyJhIl0", "WyJhIiwiYiJd", "🥐"])
async def test_a_foreign_continuation_is_refused(house: Services, continuation: str) -> None:
    with pytest.raises(InvalidInput, match="continuation") as refused:
        await house.audit.entries(continuation=continuation or "-")
    assert refused.value.problems[0].field == "continuation"
