"""Whatever is asked, Cosmos DB and the embedded store give the same answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.azure_identity import AzureIdentity
from shared.clock import ManualClock
from shared.sqlite_file import SqliteFile
from shared.storage import (
    Bucket,
    BucketQuery,
    Condition,
    Document,
    DocumentStore,
    Equals,
    In,
    IsDefined,
    PartitionKey,
    Query,
    Range,
)
from shared.storage.cosmos import CosmosStore
from shared.storage.sqlite import SqliteStore
from tests.wire.cosmos import CosmosServer
from tests.wire.cosmos_backend import DATABASE, connection_to


@dataclass
class Both:
    """The two stores, and a loop to use them in."""

    runner: asyncio.Runner
    server: CosmosServer
    cosmos: DocumentStore
    sqlite: DocumentStore
    round: int = 0


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder: Path = tmp_path_factory.mktemp("sameness")
    clock = ManualClock(datetime(2026, 11, 21, 10, tzinfo=UTC))
    with CosmosServer(clock=clock, physical_partitions=3) as server, asyncio.Runner() as runner:
        server.create_topology(DATABASE)
        server.page_limit = 4
        cosmos = CosmosStore(connection_to(server), AzureIdentity(), database=DATABASE, clock=clock)

        async def made() -> DocumentStore:
            return SqliteStore(SqliteFile.open(folder / "ovenbridge.db"), clock)

        sqlite = runner.run(made())
        yield Both(runner, server, cosmos, sqlite)
        runner.run(cosmos.close())
        runner.run(sqlite.close())


DAYS = ("1", "2", "3")
TIMES = st.integers(0, 5).map(lambda n: f"2026-11-21T10:0{n}:00.000Z")
VALUES = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, "a", "b", ""])

DOCUMENT = st.fixed_dictionaries(
    {"day": st.sampled_from(DAYS)},
    optional={"ts": TIMES, "p": VALUES, "deep": st.fixed_dictionaries({}, optional={"er": VALUES})},
)
DOCUMENTS = st.lists(DOCUMENT, min_size=8, max_size=25) | st.lists(DOCUMENT, max_size=8)
PATHS = st.sampled_from(["ts", "p", "deep.er", "day", "id"])
SCALARS = VALUES | TIMES | st.sampled_from(DAYS)
BOUNDS = st.integers(-2, 2) | st.sampled_from(["", "a", "2"]) | TIMES
CONDITIONS = st.one_of(
    st.builds(Equals, PATHS, SCALARS),
    st.builds(In, PATHS, st.lists(SCALARS, max_size=3).map(tuple)),
    st.builds(IsDefined, PATHS, st.booleans()),
    st.builds(Range, PATHS, ge=BOUNDS),
    st.builds(Range, PATHS, gt=BOUNDS, le=BOUNDS),
    st.builds(Range, PATHS, lt=BOUNDS),
)
WHERE: st.SearchStrategy[tuple[Condition, ...]] = st.lists(CONDITIONS, max_size=2).map(tuple)
FEWER = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def filled(both: Both, documents: list[dict[str, Any]]) -> str:
    """A machine of its own for each round: its documents are all that counts. Ids come again on other days."""
    both.round += 1
    machine = f"oven-{both.round}"
    whole: list[Document] = [
        {"id": f"x{n % 4}", "equipmentId": machine, **document} for n, document in enumerate(documents)
    ]
    assert await both.cosmos.create_each("readings", whole) == await both.sqlite.create_each("readings", whole)
    return machine


async def pages(store: DocumentStore, query: Query, partition: PartitionKey) -> list[Document]:
    found: list[Document] = []
    continuation = None
    for _ in range(60):
        asked = Query(query.where, query.order_by, query.descending, query.limit, continuation, query.select)
        page = await store.query("readings", asked, partition=partition)
        found += [item.document for item in page.items]
        continuation = page.continuation
        if continuation is None:
            return found
    raise AssertionError("no end")


@FEWER
@given(documents=DOCUMENTS, where=WHERE, limit=st.integers(1, 9), day=st.sampled_from([None, *DAYS]))
def test_conditions(both: Both, documents: list[dict[str, Any]], where: Any, limit: int, day: str | None) -> None:
    async def run() -> None:
        machine = await filled(both, documents)
        partition = (machine,) if day is None else (machine, day)
        ours = await pages(both.cosmos, Query(where, limit=limit), partition)
        theirs = await pages(both.sqlite, Query(where, limit=limit), partition)
        assert sorted(ours, key=str) == sorted(theirs, key=str)

    both.runner.run(run())


@FEWER
@given(
    documents=DOCUMENTS,
    where=st.just(()) | WHERE,
    limit=st.sampled_from([1, 2, 3, 7]),
    order=st.sampled_from(["ts", "id", "day"]),
    descending=st.booleans(),
    days=st.sampled_from([DAYS, ("2", "1"), ("1",)]),
    select=st.sampled_from([None, (), ("p",)]),
)
def test_orders(
    both: Both,
    documents: list[dict[str, Any]],
    where: Any,
    limit: int,
    order: str,
    descending: bool,
    days: tuple[str, ...],
    select: Any,
) -> None:
    async def run() -> None:
        machine = await filled(both, documents)
        query = Query((In("day", days), *where), order, descending, limit, select=select)
        ours = await pages(both.cosmos, query, (machine,))
        assert ours == await pages(both.sqlite, query, (machine,))
        if len(days) == 1:
            query = Query(where, order, descending, limit, select=select)
            assert await pages(both.cosmos, query, (machine, *days)) == await pages(
                both.sqlite, query, (machine, *days)
            )

    both.runner.run(run())
    assert both.server.cross_partition_orders == []


@FEWER
@given(documents=DOCUMENTS, seconds=st.sampled_from([60, 120, 7]), prefix=st.booleans(), last=TIMES)
def test_buckets(both: Both, documents: list[dict[str, Any]], seconds: int, prefix: bool, last: str) -> None:
    query = BucketQuery("ts", "2026-11-21T10:01:00Z", last, seconds, {"p": ("p",), "er": ("deep", "er"), "no": ("x",)})

    async def run() -> tuple[list[Bucket], list[Bucket]]:
        machine = await filled(both, documents)
        partition = (machine,) if prefix else (machine, "1")
        return (
            await both.cosmos.buckets("readings", query, partition=partition),
            await both.sqlite.buckets("readings", query, partition=partition),
        )

    ours, theirs = both.runner.run(run())
    assert [(b.start, b.series, b.minimum, b.maximum, b.count) for b in ours] == [
        (b.start, b.series, b.minimum, b.maximum, b.count) for b in theirs
    ]
    assert [b.average for b in ours] == pytest.approx([b.average for b in theirs])
