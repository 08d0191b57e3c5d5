"""What every document store promises: queries, pages and buckets."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.clock import ManualClock, iso
from shared.errors import InvalidInput
from shared.storage import (
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
    every,
)

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
DAY = ("oven-1", "2026-11-21")


async def ids(store: DocumentStore, container: str, query: Query, partition: PartitionKey | None = None) -> list[str]:
    """All pages."""
    return [i.document["id"] async for i in every(store, container, query, partition=partition)]


async def fill(store: DocumentStore, container: str, documents: Sequence[Document]) -> None:
    await asyncio.gather(*(store.create(container, d) for d in documents))


def reading(n: int, *, equipment: str = "oven-1", day: str = "2026-11-21", **more: Any) -> Document:
    ts = iso(START + timedelta(seconds=30 * n))
    return {"id": f"r{n:04}", "equipmentId": equipment, "day": day, "ts": ts, **more}


def delivery(n: int, **more: Any) -> Document:
    return {"id": f"d:{n:03}", "callbackId": f"cb-{n % 3}", "status": "pending", "eventType": "E", **more}


# Conditions ----------------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "text": "b",
    "other": "c",
    "empty": "",
    "one": 1,
    "float": 1.0,
    "half": 0.5,
    "minus": -3,
    "true": True,
    "false": False,
    "null": None,
    "object": {"a": 1},
    "list": [1],
}

CONDITIONS: list[tuple[Condition, set[str]]] = [
    (Equals("p", "b"), {"text"}),
    (Equals("p", 1), {"one", "float"}),
    (Equals("p", 1.0), {"one", "float"}),
    (Equals("p", True), {"true"}),
    (Equals("p", False), {"false"}),
    (Equals("p", None), {"null"}),
    (Equals("p", 0), set()),
    (Equals("p", ""), {"empty"}),
    (In("p", ("b", 1, None, True)), {"text", "one", "float", "null", "true"}),
    (In("p", ()), set()),
    (Range("p", ge="b"), {"text", "other"}),
    (Range("p", gt="b"), {"other"}),
    (Range("p", le="b"), {"text", "empty"}),
    (Range("p", lt="b"), {"empty"}),
    (Range("p", gt="", lt="c"), {"text"}),
    (Range("p", ge=0.5), {"one", "float", "half"}),
    (Range("p", gt=0.5), {"one", "float"}),
    (Range("p", le=0.5), {"half", "minus"}),
    (Range("p", ge=-3, lt=1), {"half", "minus"}),
    (Range("p", ge=-3, lt="c"), set()),
    (Range("p", gt="", le=1), set()),
    (IsDefined("p"), set(VALUES)),
    (IsDefined("p", False), {"absent"}),
]


@pytest.mark.parametrize("path", ["name", "unindexed", "deep.er"])
@pytest.mark.parametrize(("condition", "expected"), CONDITIONS, ids=lambda v: repr(v) if not isinstance(v, set) else "")
async def test_conditions_compare_as_json_does(
    store: DocumentStore, path: str, condition: Any, expected: set[str]
) -> None:
    """``name`` is an indexed property, the others are not: the same words mean the same."""
    for name, value in VALUES.items():
        body = {"deep": {"er": value}} if path == "deep.er" else {path: value}
        await store.create("equipment", {"id": name, **body})
    await store.create("equipment", {"id": "absent"})
    moved = type(condition)(path, *[getattr(condition, f) for f in condition.__slots__ if f != "path"])
    assert set(await ids(store, "equipment", Query((moved,)))) == expected


async def test_conditions_are_all_met(store: DocumentStore) -> None:
    await fill(
        store, "deliveries", [delivery(n, status="pending" if n % 2 else "done", createdAt=n) for n in range(20)]
    )
    found = await ids(
        store,
        "deliveries",
        Query((Equals("status", "pending"), Range("createdAt", ge=5, lt=15), Equals("id", "d:007"))),
    )
    assert found == ["d:007"]


@pytest.mark.parametrize(
    "query",
    [
        Query(limit=0),
        Query(limit=1001),
        Query(limit=True),
        Query((In("status", tuple(range(101))),)),
        Query((Equals("a'b", 1),)),
        Query((Equals("", 1),)),
        Query((Range("status"),)),
        Query((Range("status", ge=True),)),
        Query((Equals("status", [1]),)),  # type: ignore[arg-type]
    ],
    ids=repr,
)
async def test_queries_that_are_none(store: DocumentStore, query: Query) -> None:
    with pytest.raises(InvalidInput):
        await store.query("deliveries", query, partition=("cb-1",))


async def test_in_takes_a_hundred(store: DocumentStore) -> None:
    await fill(store, "deliveries", [delivery(n) for n in range(120)])
    query = Query((In("id", tuple(f"d:{n:03}" for n in range(100))),))
    assert len(await ids(store, "deliveries", query)) == 100


# Partitions ----------------------------------------------------------------------------------------------------------


async def test_a_partition_a_prefix_or_all(store: DocumentStore) -> None:
    documents = [
        reading(n, equipment=e, day=d)
        for n, (e, d) in enumerate([("a", "1"), ("a", "2"), ("a", "12"), ("ab", "1"), ("b", "1")])
    ]
    await fill(store, "readings", documents)

    async def found(partition: PartitionKey | None, *where: Condition) -> set[str]:
        return set(await ids(store, "readings", Query(where), partition))

    assert await found(("a", "1")) == {"r0000"}
    assert await found(("a",)) == {"r0000", "r0001", "r0002"}
    assert await found(None) == {f"r000{n}" for n in range(5)}
    assert await found(("a",), Equals("day", "2")) == {"r0001"}
    assert await found(None, Equals("equipmentId", "a"), Equals("day", "2")) == {"r0001"}
    assert await found(None, Equals("equipmentId", "a")) == {"r0000", "r0001", "r0002"}
    assert await found(None, Equals("day", "1")) == {"r0000", "r0003", "r0004"}
    assert await found(("a",), In("day", ("1", "12", "3"))) == {"r0000", "r0002"}
    assert await found(("a",), Range("day", ge="12", lt="2")) == {"r0002"}
    assert await found(("a",), Range("day", gt="1", le="2")) == {"r0001", "r0002"}
    assert await found(("a",), Range("day", gt="12")) == {"r0001"}
    assert await found(("a",), Range("day", lt="12")) == {"r0000"}
    assert await found(("a",), Equals("day", "1"), Equals("equipmentId", "b")) == set()


async def test_a_contradiction_finds_nothing(store: DocumentStore) -> None:
    await store.create("deliveries", delivery(1))
    assert await ids(store, "deliveries", Query((Equals("callbackId", "cb-2"),)), ("cb-1",)) == []
    assert await ids(store, "deliveries", Query((Equals("callbackId", "cb-1"), Equals("callbackId", "x")))) == []


async def test_a_key_that_is_none(store: DocumentStore) -> None:
    for key in [(), ("a", "b", "c"), ("",), (7,)]:
        with pytest.raises(InvalidInput):
            await store.query("readings", Query(), partition=key)  # type: ignore[arg-type]


# Order and pages -----------------------------------------------------------------------------------------------------


async def test_order_both_ways_ties_by_id(store: DocumentStore) -> None:
    documents = [reading(n // 3, id=f"x{(n * 7) % 30:02}") for n in range(30)]
    documents = [{**d, "id": f"x{(n * 7) % 30:02}"} for n, d in enumerate(documents)]
    await fill(store, "readings", documents)
    expected = [d["id"] for d in sorted(documents, key=lambda d: (d["ts"], d["id"]))]
    for limit in (1, 2, 7, 30, 100):
        assert await ids(store, "readings", Query(order_by="ts", limit=limit), DAY) == expected
        backwards = Query(order_by="ts", descending=True, limit=limit)
        assert await ids(store, "readings", backwards, DAY) == expected[::-1]


async def test_the_latest_is_the_first_of_the_descending(store: DocumentStore) -> None:
    await fill(store, "readings", [reading(n) for n in range(50)])
    page = await store.query("readings", Query(order_by="ts", descending=True, limit=1), partition=DAY)
    assert [i.document["id"] for i in page.items] == ["r0049"]
    assert page.continuation is not None


async def test_order_over_a_prefix(store: DocumentStore) -> None:
    documents = [reading(n, day=f"2026-11-2{n % 3}") for n in range(30)]
    await fill(store, "readings", documents)
    days = In("day", ("2026-11-20", "2026-11-21"))
    expected = [d["id"] for d in documents if d["day"] != "2026-11-22"]
    for limit in (3, 1000):
        query = Query((days,), order_by="ts", limit=limit)
        assert await ids(store, "readings", query, ("oven-1",)) == expected
        downwards = Query((days,), order_by="ts", descending=True, limit=limit)
        assert await ids(store, "readings", downwards, ("oven-1",)) == expected[::-1]
        one = Query((Equals("day", "2026-11-22"),), order_by="ts", limit=limit)
        assert await ids(store, "readings", one, ("oven-1",)) == [d["id"] for d in documents[2::3]]


@pytest.mark.parametrize("order", ["ts", "id", "day"])
async def test_the_same_place_in_several_partitions(store: DocumentStore, order: str) -> None:
    """The partition decides in the end."""
    documents = [{**reading(0, day=day), "id": name} for day in ("1", "2", "3") for name in ("a", "b")]
    await fill(store, "readings", documents)
    expected = [(d["id"], d["day"]) for d in documents]
    if order != "day":
        expected.sort()
    for descending in (False, True):
        for limit in (1, 2, 4, 100):
            query = Query((In("day", ("3", "1", "2")),), order_by=order, descending=descending, limit=limit)
            found = [item.document async for item in every(store, "readings", query, partition=("oven-1",))]
            assert [(d["id"], d["day"]) for d in found] == (expected[::-1] if descending else expected)


async def test_documents_without_the_ordered_property_come_too(store: DocumentStore) -> None:
    documents = [delivery(3 * n, **({"createdAt": f"t{n:02}"} if n % 2 else {})) for n in range(12)]
    await fill(store, "deliveries", documents)
    for limit in (1, 4, 100):
        query = Query(order_by="createdAt", limit=limit)
        upwards = await ids(store, "deliveries", query, ("cb-0",))
        assert sorted(upwards) == sorted(d["id"] for d in documents)
        assert upwards[6:] == [d["id"] for d in documents if "createdAt" in d], "absent comes first"
        downwards = Query(order_by="createdAt", descending=True, limit=limit)
        assert await ids(store, "deliveries", downwards, ("cb-0",)) == upwards[::-1]


async def test_nothing_is_ordered_across_partitions_or_without_an_index(store: DocumentStore) -> None:
    with pytest.raises(InvalidInput):
        await store.query("readings", Query(order_by="ts"))
    with pytest.raises(InvalidInput):
        await store.query("readings", Query(order_by="values"), partition=DAY)
    for where in ((), (Range("day", ge="2026-11-20"),), (IsDefined("day"),)):
        with pytest.raises(InvalidInput) as caught:
            await store.query("readings", Query(where, order_by="ts"), partition=DAY[:1])
        assert caught.value.problems[0].field == "order_by"


async def test_an_order_over_no_partition_is_empty(store: DocumentStore) -> None:
    await store.create("readings", reading(1))
    page = await store.query("readings", Query((In("day", ()),), order_by="ts"), partition=DAY[:1])
    assert (page.items, page.continuation) == ([], None)


@pytest.mark.parametrize(
    ("where", "partition"),
    [
        ((), None),
        ((), ("cb-1",)),
        ((Equals("status", "pending"),), None),
        ((Equals("status", "pending"),), ("cb-1",)),
        ((Equals("status", "pending"), Range("nextAttemptAt", le="2026-11-21T10:30:00.000Z")), None),
        ((Equals("status", "pending"), Range("nextAttemptAt", le="2026-11-21T10:30:00.000Z")), ("cb-1",)),
        ((In("status", ("pending", "failed")),), None),
        ((IsDefined("nextAttemptAt", False),), None),
        ((Range("createdAt", ge="2026-11-21T10:10:00.000Z"),), None),
        ((Range("createdAt", ge="2026-11-21T10:10:00.000Z"),), ("cb-1",)),
        ((Equals("eventType", "B"),), None),
        ((Equals("target.origin", "http://a"),), ("cb-1",)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("descending", [False, True])
async def test_pages_give_everything_once(
    store: DocumentStore, where: tuple[Condition, ...], partition: PartitionKey | None, descending: bool
) -> None:
    documents = []
    for n in range(90):
        moment = iso(START + timedelta(minutes=n // 2))
        more: dict[str, Any] = {"nextAttemptAt": moment} if n % 5 else {}
        status = ("pending", "failed", "done")[n % 7 % 3]
        documents.append(
            delivery(
                n,
                createdAt=moment,
                status=status,
                eventType="AB"[n % 2],
                target={"origin": f"http://{'ab'[n % 4 // 2]}"},
                **more,
            )
        )
    await fill(store, "deliveries", documents)
    whole = await ids(store, "deliveries", Query(where, limit=1000, descending=descending), partition)
    assert len(set(whole)) == len(whole) > 5
    for limit in (1, 3, 10):
        paged = await ids(store, "deliveries", Query(where, limit=limit, descending=descending), partition)
        assert sorted(paged) == sorted(whole)


async def test_the_last_page_says_so(store: DocumentStore) -> None:
    await fill(store, "readings", [reading(n) for n in range(10)])
    page = await store.query("readings", Query(order_by="ts", limit=10), partition=DAY)
    assert (len(page.items), page.continuation) == (10, None)
    page = await store.query("readings", Query(limit=5), partition=("nobody", "x"))
    assert (page.items, page.continuation) == ([], None)


async def test_paging_goes_on_while_others_write(store: DocumentStore) -> None:
    """What was there from beginning to end is seen once; what comes and goes may or may not be seen."""
    await fill(store, "readings", [reading(2 * n) for n in range(100)])
    continuation, seen = None, []
    for step in range(1000):
        query = Query(order_by="ts", limit=7, continuation=continuation)
        page = await store.query("readings", query, partition=DAY)
        seen += [i.document["id"] for i in page.items]
        await store.create("readings", reading(2 * step + 1))
        await store.delete("readings", DAY, f"r{2 * step + 1:04}")
        await store.create("readings", reading(2 * step + 1, tags=["late"]))
        continuation = page.continuation
        if continuation is None:
            break
    old = [f"r{2 * n:04}" for n in range(100)]
    assert [i for i in seen if i in set(old)] == old
    assert len(set(seen)) == len(seen)


async def test_a_continuation_belongs_to_its_query(store: DocumentStore) -> None:
    await fill(store, "readings", [reading(n) for n in range(10)])
    page = await store.query("readings", Query(order_by="ts", limit=3), partition=DAY)
    mine = page.continuation
    foreign: list[tuple[Query, PartitionKey | None]] = [
        (Query(order_by="ts", limit=3, continuation=mine), ("oven-2", "2026-11-21")),
        (Query((In("day", ("2026-11-21",)),), order_by="ts", limit=3, continuation=mine), ("oven-1",)),
        (Query(order_by="ts", descending=True, continuation=mine), DAY),
        (Query(continuation=mine), DAY),
        (Query((Equals("ts", "x"),), order_by="ts", continuation=mine), DAY),
        (Query(order_by="ts", continuation=""), DAY),
        (Query(order_by="ts", continuation="nonsense"), DAY),
        (Query(order_by="ts", continuation="ä" * 10), DAY),
        (Query(order_by="ts", continuation="W10"), DAY),
        (Query(order_by="ts", continuation=(mine or "")[:-4]), DAY),
    ]
    for query, partition in foreign:
        with pytest.raises(InvalidInput) as caught:
            await store.query("readings", query, partition=partition)
        assert caught.value.problems[0].field == "continuation"
    rest = await store.query("readings", Query(order_by="ts", limit=100, continuation=mine), partition=DAY)
    assert len(rest.items) == 7, "another limit is the same query"


async def test_select_fetches_some_properties(store: DocumentStore) -> None:
    await store.create("readings", reading(1, values={"a": 1}, other=2))
    page = await store.query("readings", Query(select=("other", "absent")), partition=DAY)
    assert page.items[0].document == {"id": "r0001", "equipmentId": "oven-1", "day": "2026-11-21", "other": 2}
    assert page.items[0].etag == (await store.read("readings", DAY, "r0001")).etag


async def test_every_stops_where_it_is_told(store: DocumentStore) -> None:
    await fill(store, "readings", [reading(n) for n in range(20)])
    found = [i async for i in every(store, "readings", Query(limit=3), partition=DAY, at_most=10)]
    assert len(found) == 10


# Buckets -------------------------------------------------------------------------------------------------------------


async def test_buckets_sum_up_numbers(store: DocumentStore) -> None:
    documents = []
    for n in range(40):
        values: dict[str, Any] = {"temperature.core": {"v": 20 + n * 0.5}, "humidity": {"v": n if n % 2 else None}}
        if n % 10 == 0:
            values = {"temperature.core": {"v": "broken"}, "humidity": {"v": True}}
        documents.append(reading(n, values=values))
    documents.append(reading(0, equipment="oven-2", values={"temperature.core": {"v": 9999}}))
    await fill(store, "readings", documents)
    query = BucketQuery(
        "ts",
        iso(START + timedelta(seconds=60)),
        iso(START + timedelta(seconds=1080)),
        300,
        {"core": ("values", "temperature.core", "v"), "humidity": ("values", "humidity", "v"), "no": ("values", "x")},
    )
    got = await store.buckets("readings", query, partition=DAY)
    expected = []
    for bucket in range(4):
        for series, path in (("core", "temperature.core"), ("humidity", "humidity")):
            numbers = []
            for n in range(2, 36):
                value = documents[n]["values"][path]["v"]
                if n * 30 // 300 == bucket and isinstance(value, int | float) and not isinstance(value, bool):
                    numbers.append(value)
            if numbers:
                start = iso(START + timedelta(seconds=300 * bucket))
                expected.append((start, series, min(numbers), max(numbers), len(numbers), statistics.fmean(numbers)))
    assert [(b.start, b.series, b.minimum, b.maximum, b.count) for b in got] == [e[:5] for e in expected]
    assert [b.average for b in got] == pytest.approx([e[5] for e in expected])


async def test_buckets_of_a_prefix_and_of_nothing(store: DocumentStore, clock: ManualClock) -> None:
    await fill(store, "readings", [reading(n, day=f"d{n % 2}", values={"a": n}, ttl=60) for n in range(10)])
    query = BucketQuery("ts", iso(START), iso(START + timedelta(hours=1)), 3600, {"a": ("values", "a")})
    (bucket,) = await store.buckets("readings", query, partition=("oven-1",))
    assert (bucket.minimum, bucket.maximum, bucket.average, bucket.count) == (0, 9, 4.5, 10)
    (bucket,) = await store.buckets("readings", query, partition=("oven-1", "d1"))
    assert bucket.count == 5
    assert await store.buckets("readings", query, partition=("nobody",)) == []
    clock.advance(60)
    assert await store.buckets("readings", query, partition=("oven-1",)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": 0},
        {"seconds": 1.5},
        {"start": "yesterday"},
        {"value_paths": {}},
        {"value_paths": {"a": ()}},
        {"value_paths": {"a": ('x"y',)}},
        {"value_paths": {"a": "text"}},
        {"time_path": "a'b"},
    ],
    ids=repr,
)
async def test_bucket_queries_that_are_none(store: DocumentStore, change: dict[str, Any]) -> None:
    good: dict[str, Any] = {"time_path": "ts", "start": iso(START), "end": iso(START), "seconds": 60}
    query = BucketQuery(**{**good, "value_paths": {"a": ("a",)}, **change})
    with pytest.raises(InvalidInput):
        await store.buckets("readings", query, partition=DAY)
