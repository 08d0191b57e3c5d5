"""The log over a real store: sequence, races, restarts, the turn of the month, changes that fail."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.audit import AuditLog
from shared.clock import ManualClock
from shared.errors import Conflict, Unavailable
from shared.observability import bound
from shared.services import Services
from shared.storage import Document, DocumentStore, Query, Stored

ACTOR = {"id": "token:1", "name": "Anna", "how": "api_token"}


async def documents(house: Services, stream: str) -> list[Document]:
    page = await house.store.query("audit", Query(limit=1000), partition=(stream,))
    return sorted((item.document for item in page.items), key=lambda d: d["seq"])


async def add(audit: AuditLog, number: int, stream: str = "token") -> None:
    await audit.append(stream, actor=ACTOR, action="token.created", target=f"token:{number}", after={"n": number})


async def test_an_entry_says_who_what_when(house: Services) -> None:
    with bound("correlation-1"):
        entry = await house.audit.append(
            "equipment:OVEN-1",
            actor=ACTOR,
            action="equipment.changed",
            target="OVEN-1",
            before={"a": 1},
            after={"a": 2},
        )
    (document,) = await documents(house, "equipment:OVEN-1")
    assert document["id"] == "equipment:OVEN-1:000000000001"
    assert (document["month"], document["seq"], document["at"]) == ("2026-11", 1, "2026-11-21T10:00:00.000Z")
    assert (document["actor"], document["action"], document["target"]) == (ACTOR, "equipment.changed", "OVEN-1")
    assert (document["before"], document["after"]) == ({"a": 1}, {"a": 2})
    assert document["prevHash"] == "0" * 64
    assert (entry.hash, entry.correlation_id) == (document["hash"], "correlation-1")


async def test_a_hundred_at_once_stand_in_sequence(house: Services) -> None:
    await asyncio.gather(*(add(house.audit, n) for n in range(100)))
    entries = await documents(house, "token")
    assert [entry["seq"] for entry in entries] == list(range(1, 101))
    assert {entry["after"]["n"] for entry in entries} == set(range(100))
    found = await house.audit.verify("token")
    assert (found.intact, found.entries) == (True, 100)


async def test_two_processes_race_without_gap_or_fork(house: Services, clock: ManualClock) -> None:
    """Each has its own memory of the head; who comes second reads again."""
    logs = [AuditLog(house.store, clock) for _ in range(4)]
    await asyncio.gather(*(add(logs[n % 4], n) for n in range(60)))
    assert [entry["seq"] for entry in await documents(house, "token")] == list(range(1, 61))
    assert (await house.audit.verify("token")).intact


async def test_a_race_at_the_turn_of_the_month_forks_nothing(house: Services) -> None:
    """One clock says November, the other December: they must still meet at one number."""
    late = AuditLog(house.store, ManualClock(datetime(2026, 11, 30, 23, 59, 59, 999_000, tzinfo=UTC)))
    early = AuditLog(house.store, ManualClock(datetime(2026, 12, 1, tzinfo=UTC)))
    await add(late, 0)
    for turn in range(5):
        await asyncio.gather(*(add(one, 10 * turn + n) for n in range(4) for one in (late, early)))
    entries = await documents(house, "token")
    assert [entry["seq"] for entry in entries] == list(range(1, 42))
    assert {entry["month"] for entry in entries} == {"2026-11", "2026-12"}
    assert (await house.audit.verify("token")).intact


@pytest.mark.parametrize("days", [0, 20, 45, 400, 3000])
async def test_a_restart_goes_on_after_any_silence(house: Services, clock: ManualClock, days: int) -> None:
    for n in range(7):
        await add(house.audit, n)
    clock.advance(days * 86_400)
    await add(AuditLog(house.store, clock), 7)
    assert [entry["seq"] for entry in await documents(house, "token")] == list(range(1, 9))
    assert (await house.audit.verify("token")).intact


async def test_streams_are_chains_of_their_own(house: Services) -> None:
    await add(house.audit, 1, "equipment:A")
    await add(house.audit, 1, "equipment:B")
    await add(house.audit, 2, "equipment:A")
    assert await house.audit.streams() == ["equipment:A", "equipment:B"]
    assert (await house.audit.verify("equipment:A")).entries == 2


async def test_tampering_in_the_store_is_found(house: Services) -> None:
    for n in range(5):
        await add(house.audit, n)
    third = (await documents(house, "token"))[2]
    await house.store.replace("audit", {**third, "actor": {**ACTOR, "name": "Somebody else"}})
    found = await house.audit.verify("token")
    assert found.first_break is not None
    assert (found.intact, found.first_break.seq, found.first_break.kind) == (False, 3, "changed")
    await house.store.delete("audit", ("token", third["month"]), third["id"])
    found = await house.audit.verify("token")
    assert found.first_break is not None
    assert (found.first_break.seq, found.first_break.kind) == (3, "missing")


async def test_the_entry_stands_before_the_change(house: Services) -> None:
    seen: list[int] = []
    async with house.audit.recorded("token", actor=ACTOR, action="token.created", target="token:1"):
        seen.append(len(await documents(house, "token")))
    assert seen == [1]
    assert [entry["action"] for entry in await documents(house, "token")] == ["token.created"]


async def test_a_change_that_fails_is_told_too(house: Services) -> None:
    with pytest.raises(Conflict, match="exists"):
        async with house.audit.recorded("token", actor=ACTOR, action="token.created", target="token:1"):
            raise Conflict("It exists already.")
    entries = await documents(house, "token")
    assert [entry["action"] for entry in entries] == ["token.created", "token.created.failed"]
    assert entries[1]["after"] == {"announced": 1, "error": "Conflict", "detail": "It exists already."}


async def test_no_change_without_an_entry(clock: ManualClock) -> None:
    changed = False
    audit = AuditLog(Away(), clock)
    with pytest.raises(Unavailable):
        async with audit.recorded("token", actor=ACTOR, action="token.created", target="token:1"):
            changed = True
    assert not changed


async def test_an_answer_that_got_lost_makes_no_second_entry(house: Services, clock: ManualClock) -> None:
    """A client library repeats a write whose answer it never saw, and meets its own entry."""
    audit = AuditLog(Repeats(house.store), clock)
    await add(audit, 1)
    await add(audit, 2)
    assert [entry["seq"] for entry in await documents(house, "token")] == [1, 2]


async def test_a_writer_that_never_gets_on_says_so(house: Services, clock: ManualClock) -> None:
    audit = AuditLog(AlwaysTaken(house.store), clock)
    with pytest.raises(Unavailable, match="Too many writers"):
        await add(audit, 1)


class Passing:
    """A store that passes everything on to a real one."""

    def __init__(self, real: DocumentStore) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Repeats(Passing):
    """Every create is sent twice."""

    async def create(self, container: str, document: Document) -> Stored:
        await self.real.create(container, document)
        return await self.real.create(container, document)


class AlwaysTaken(Passing):
    """Somebody is always faster."""

    async def create(self, container: str, document: Document) -> Stored:
        raise Conflict("taken")


class Away:
    """A store that is away."""

    def __getattr__(self, name: str) -> Any:
        async def away(*args: Any, **kwargs: Any) -> None:
            raise Unavailable("The store is away.")

        return away
