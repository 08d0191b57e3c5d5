"""What every document store promises: single documents. Queries are in ``test_document_queries.py``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.errors import Conflict, InvalidInput, NotFound, OvenbridgeError, PreconditionFailed
from shared.storage import (
    BatchOperation,
    Create,
    Delete,
    Document,
    DocumentStore,
    Increment,
    Patch,
    PatchOperation,
    Query,
    RemovePath,
    Replace,
    SetPath,
    Stored,
)

OVEN = ("oven-1",)
DAY = ("oven-1", "2026-11-21")


def rule(id: str = "r1", **more: Any) -> Document:
    return {"id": id, "equipmentId": "oven-1", "kind": "high", **more}


def reading(id: str = "x", **more: Any) -> Document:
    return {"id": id, "equipmentId": "oven-1", "day": "2026-11-21", "ts": "2026-11-21T10:00:00.000Z", **more}


# Create and read -----------------------------------------------------------------------------------------------------


async def test_what_was_created_can_be_read(store: DocumentStore) -> None:
    document = rule(limit=250, deep={"list": [1, 2.5, None, True, "ä\u2028\"'"], "values": {"temperature.core": 1}})
    created = await store.create("alertRules", document)
    read = await store.read("alertRules", OVEN, "r1")
    assert created.document == read.document == document
    assert created.etag == read.etag != ""


async def test_a_second_create_is_a_conflict_and_changes_nothing(store: DocumentStore) -> None:
    first = await store.create("alertRules", rule(limit=1))
    with pytest.raises(Conflict):
        await store.create("alertRules", rule(limit=2))
    assert await store.read("alertRules", OVEN, "r1") == first


async def test_several_are_created_each_by_itself(store: DocumentStore) -> None:
    await store.create("alertRules", rule("r1", limit=1))
    others = [rule("r1", limit=2), rule("r2"), {**rule("r1"), "equipmentId": "oven-2"}, rule("r2", limit=9)]
    assert await store.create_each("alertRules", others) == [False, True, True, False]
    assert (await store.read("alertRules", OVEN, "r1")).document["limit"] == 1
    assert "limit" not in (await store.read("alertRules", OVEN, "r2")).document
    assert (await store.read("alertRules", ("oven-2",), "r1")).document == others[2]
    assert await store.create_each("alertRules", []) == []
    with pytest.raises(InvalidInput):
        await store.create_each("alertRules", [rule("r3"), rule("a/b")])
    with pytest.raises(InvalidInput):
        await store.create_each("alertRules", [rule(f"n{n}") for n in range(101)])


async def test_the_same_id_in_another_partition_is_another_document(store: DocumentStore) -> None:
    await store.create("alertRules", rule())
    await store.create("alertRules", {**rule(), "equipmentId": "oven-2"})
    await store.create("readings", reading())
    await store.create("readings", {**reading(), "day": "2026-11-22"})
    assert (await store.read("readings", ("oven-1", "2026-11-22"), "x")).document["day"] == "2026-11-22"


@pytest.mark.parametrize("id", ["a/b", "a\\b", "a?b", "a#b", "", ".", "..", "x" * 256, "line\nbreak", None, 7])
async def test_ids_that_no_store_can_hold_are_refused(store: DocumentStore, id: Any) -> None:
    with pytest.raises(InvalidInput):
        await store.create("alertRules", {**rule(), "id": id})


@pytest.mark.parametrize("id", ["x" * 255, "d:EVENT:1", "a b", "ofen-ä", "%41", "'; DROP TABLE x; --", "...", ".a"])
async def test_ids_that_every_store_can_hold(store: DocumentStore, id: str) -> None:
    await store.create("alertRules", rule(id))
    assert (await store.read("alertRules", OVEN, id)).document["id"] == id


@pytest.mark.parametrize("key", [None, 7, "", ["oven-1"]])
async def test_a_missing_partition_key_is_refused(store: DocumentStore, key: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        await store.create("alertRules", {**rule(), "equipmentId": key})
    assert caught.value.problems[0].field == "equipmentId"


async def test_a_partial_key_reads_nothing(store: DocumentStore) -> None:
    await store.create("readings", reading())
    for key in [("oven-1",), (), ("oven-1", "2026-11-21", "more")]:
        with pytest.raises(InvalidInput):
            await store.read("readings", key, "x")


@pytest.mark.parametrize("value", [object(), {1, 2}, {1: "key"}, "\ud800", 2**70])
async def test_what_is_no_json_is_refused(store: DocumentStore, value: Any) -> None:
    with pytest.raises(InvalidInput):
        await store.create("alertRules", rule(value=value))
    with pytest.raises(NotFound):
        await store.read("alertRules", OVEN, "r1")


async def test_times_come_back_as_text_from_the_start(store: DocumentStore) -> None:
    created = await store.create("alertRules", rule(at=datetime(2026, 1, 2, 3, tzinfo=UTC)))
    assert created.document["at"] == "2026-01-02T03:00:00Z"
    assert created.document == (await store.read("alertRules", OVEN, "r1")).document


async def test_nothing_there_is_not_found(store: DocumentStore) -> None:
    with pytest.raises(NotFound):
        await store.read("alertRules", OVEN, "r1")
    with pytest.raises(NotFound):
        await store.delete("alertRules", OVEN, "r1")
    with pytest.raises(NotFound):
        await store.replace("alertRules", rule())
    with pytest.raises(NotFound):
        await store.patch("alertRules", OVEN, "r1", [SetPath("limit", 1)])


async def test_an_unknown_container_is_refused(store: DocumentStore) -> None:
    with pytest.raises(InvalidInput):
        await store.create("nothing", rule())
    with pytest.raises(InvalidInput):
        await store.query("nothing", Query())


async def test_what_a_caller_does_to_a_document_does_not_reach_the_store(store: DocumentStore) -> None:
    mine = rule(list=[1])
    created = await store.create("alertRules", mine)
    mine["list"].append(2)
    created.document["list"].append(3)
    first = await store.read("alertRules", OVEN, "r1")
    first.document["list"].append(4)
    assert (await store.read("alertRules", OVEN, "r1")).document["list"] == [1]
    await store.patch("alertRules", OVEN, "r1", [SetPath("limit", 1)])
    assert (await store.read("alertRules", OVEN, "r1")).document["list"] == [1]


async def test_a_large_document(store: DocumentStore) -> None:
    text = "x" * 1_000_000
    await store.create("alertRules", rule(text=text))
    assert (await store.read("alertRules", OVEN, "r1")).document["text"] == text
    with pytest.raises(InvalidInput):
        await store.create("alertRules", rule("r2", text="x" * 2_200_000))


# Etags ---------------------------------------------------------------------------------------------------------------


async def test_every_write_gives_a_new_etag(store: DocumentStore) -> None:
    etags = [
        (await store.create("alertRules", rule())).etag,
        (await store.replace("alertRules", rule())).etag,
        (await store.upsert("alertRules", rule())).etag,
        (await store.patch("alertRules", OVEN, "r1", [SetPath("limit", 1)])).etag,
    ]
    await store.delete("alertRules", OVEN, "r1")
    etags.append((await store.create("alertRules", rule())).etag)
    assert len(set(etags)) == 5


async def test_a_stale_etag_changes_nothing(store: DocumentStore) -> None:
    old = await store.create("alertRules", rule(limit=1))
    new = await store.replace("alertRules", rule(limit=2), etag=old.etag)
    for attempt in (
        store.replace("alertRules", rule(limit=3), etag=old.etag),
        store.patch("alertRules", OVEN, "r1", [SetPath("limit", 3)], etag=old.etag),
        store.delete("alertRules", OVEN, "r1", etag=old.etag),
    ):
        with pytest.raises(PreconditionFailed):
            await attempt
    assert await store.read("alertRules", OVEN, "r1") == new
    await store.delete("alertRules", OVEN, "r1", etag=new.etag)


async def test_an_etag_of_an_earlier_life_is_stale(store: DocumentStore) -> None:
    old = await store.create("alertRules", rule())
    await store.delete("alertRules", OVEN, "r1")
    await store.create("alertRules", rule())
    with pytest.raises(PreconditionFailed):
        await store.replace("alertRules", rule(), etag=old.etag)


async def test_of_many_creates_of_one_id_exactly_one_wins(store: DocumentStore) -> None:
    outcomes = await asyncio.gather(
        *(store.create("alertRules", rule(by=n)) for n in range(50)), return_exceptions=True
    )
    winners = [o for o in outcomes if isinstance(o, Stored)]
    assert len(winners) == 1
    assert all(isinstance(o, Conflict) for o in outcomes if o is not winners[0])
    assert await store.read("alertRules", OVEN, "r1") == winners[0]


async def test_of_many_changes_with_one_etag_exactly_one_wins(store: DocumentStore) -> None:
    etag = (await store.create("alertRules", rule())).etag
    outcomes = await asyncio.gather(
        *(store.replace("alertRules", rule(by=n), etag=etag) for n in range(25)),
        *(store.patch("alertRules", OVEN, "r1", [SetPath("by", n)], etag=etag) for n in range(25)),
        return_exceptions=True,
    )
    assert sum(isinstance(o, Stored) for o in outcomes) == 1
    assert sum(isinstance(o, PreconditionFailed) for o in outcomes) == 49


async def test_counting_with_etags_loses_nothing(store: DocumentStore) -> None:
    await store.create("alertRules", rule(count=0))

    async def add() -> None:
        while True:
            seen = await store.read("alertRules", OVEN, "r1")
            try:
                await store.replace("alertRules", rule(count=seen.document["count"] + 1), etag=seen.etag)
            except PreconditionFailed:
                continue
            return

    await asyncio.gather(*(add() for _ in range(20)))
    assert (await store.read("alertRules", OVEN, "r1")).document["count"] == 20


async def test_a_read_after_a_write_sees_it(store: DocumentStore) -> None:
    async def write_and_look(n: int) -> None:
        await store.create("alertRules", rule(f"r{n}"))
        for value in range(5):
            etag = (await store.patch("alertRules", OVEN, f"r{n}", [SetPath("limit", value)])).etag
            read = await store.read("alertRules", OVEN, f"r{n}")
            assert (read.document["limit"], read.etag) == (value, etag)
        page = await store.query("alertRules", Query(limit=1000), partition=OVEN)
        assert f"r{n}" in [i.document["id"] for i in page.items]
        await store.delete("alertRules", OVEN, f"r{n}")
        with pytest.raises(NotFound):
            await store.read("alertRules", OVEN, f"r{n}")

    await asyncio.gather(*(write_and_look(n) for n in range(30)))


# Upsert and patch ----------------------------------------------------------------------------------------------------


async def test_upsert_creates_and_replaces(store: DocumentStore) -> None:
    await store.upsert("alertRules", rule(a=1))
    await store.upsert("alertRules", rule(b=2))
    assert (await store.read("alertRules", OVEN, "r1")).document == rule(b=2)


async def test_patch_changes_what_it_names(store: DocumentStore) -> None:
    await store.create("alertRules", rule(n=1, f=0.5, gone=1, deep={"a": 1, "b": {"c": [1]}}))
    patched = await store.patch(
        "alertRules",
        OVEN,
        "r1",
        [
            SetPath("deep.b.d", {"e": None}),
            SetPath("fresh", [1]),
            Increment("n"),
            Increment("f", 0.25),
            Increment("new", -3),
            RemovePath("gone"),
            RemovePath("deep.a"),
            SetPath("kind", "low"),
        ],
    )
    expected = rule(n=2, f=0.75, new=-3, fresh=[1], deep={"b": {"c": [1], "d": {"e": None}}}) | {"kind": "low"}
    assert patched.document == expected
    assert await store.read("alertRules", OVEN, "r1") == patched


async def test_patches_of_one_moment_all_count(store: DocumentStore) -> None:
    await store.create("alertRules", rule())
    await asyncio.gather(*(store.patch("alertRules", OVEN, "r1", [Increment("n")]) for _ in range(100)))
    assert (await store.read("alertRules", OVEN, "r1")).document["n"] == 100


@pytest.mark.parametrize(
    "operations",
    [
        [],
        [SetPath(f"p{n}", n) for n in range(11)],
        [SetPath("id", "other")],
        [SetPath("equipmentId", "oven-2")],
        [RemovePath("equipmentId")],
        [Increment("id")],
        [SetPath("absent.child", 1)],
        [SetPath("text.child", 1)],
        [RemovePath("absent")],
        [Increment("text")],
        [Increment("flag")],
        [Increment("n", True)],
        [Increment("n", float("nan"))],
        [Increment("n", 2**62), Increment("n", 2**62), Increment("n", 2**62)],
        [SetPath("", 1)],
        [SetPath("a..b", 1)],
        [SetPath('a"b', 1)],
        [SetPath("a", object())],
    ],
    ids=lambda o: "+".join(f"{type(x).__name__} {x.path}" for x in o)[:40] or "nothing",
)
async def test_a_patch_that_cannot_be_is_refused_whole(store: DocumentStore, operations: list[PatchOperation]) -> None:
    before = await store.create("alertRules", rule(text="t", flag=True, n=1))
    with pytest.raises(InvalidInput):
        await store.patch("alertRules", OVEN, "r1", operations)
    if 0 < len(operations) < 10:
        with pytest.raises(InvalidInput):
            await store.patch("alertRules", OVEN, "r1", [SetPath("touched", 1), *operations])
    assert await store.read("alertRules", OVEN, "r1") == before


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"status": "open"}, True),
        ({"status": "closed"}, False),
        ({"absent": None}, False),
        ({"nothing": None}, True),
        ({"deep.a": 1}, True),
        ({"deep.a": 1.0}, True),
        ({"deep.a": True}, False),
        ({"flag": True}, True),
        ({"flag": 1}, False),
        ({"deep.a.b": 1}, False),
        ({"list": [1, 2]}, True),
        ({"list": [2, 1]}, False),
        ({"deep": {"a": 1}}, True),
        ({"status": "open", "flag": False}, False),
    ],
    ids=str,
)
async def test_patch_when(store: DocumentStore, when: dict[str, Any], holds: bool) -> None:
    before = await store.create("alertRules", rule(status="open", nothing=None, deep={"a": 1}, flag=True, list=[1, 2]))
    if holds:
        await store.patch("alertRules", OVEN, "r1", [SetPath("done", True)], when=when)
        assert (await store.read("alertRules", OVEN, "r1")).document["done"] is True
    else:
        with pytest.raises(PreconditionFailed):
            await store.patch("alertRules", OVEN, "r1", [SetPath("done", True)], when=when)
        assert await store.read("alertRules", OVEN, "r1") == before


async def test_of_many_patches_that_wait_for_a_state_one_wins(store: DocumentStore) -> None:
    await store.create("alertRules", rule(status="pending"))
    outcomes = await asyncio.gather(
        *(store.patch("alertRules", OVEN, "r1", [SetPath("status", n)], when={"status": "pending"}) for n in range(30)),
        return_exceptions=True,
    )
    assert sum(isinstance(o, Stored) for o in outcomes) == 1


# Batches -------------------------------------------------------------------------------------------------------------


async def test_a_batch_does_all_in_order(store: DocumentStore) -> None:
    for n in (1, 2, 3):
        await store.create("alertRules", rule(f"r{n}", n=n))
    results = await store.batch(
        "alertRules",
        OVEN,
        [
            Create(rule("new", n=0)),
            Patch("new", [Increment("n", 5)], when={"n": 0}),
            Replace(rule("r1", n=10)),
            Delete("r2"),
            Create(rule("r2", n=20)),
            Delete("r3"),
        ],
    )
    assert [r and r.document["n"] for r in results] == [0, 5, 10, None, 20, None]
    page = await store.query("alertRules", Query(), partition=OVEN)
    assert {i.document["id"]: i.document["n"] for i in page.items} == {"new": 5, "r1": 10, "r2": 20}
    read = await store.read("alertRules", OVEN, "new")
    assert results[1] is not None
    assert read.etag == results[1].etag


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (Create(rule("there")), Conflict),
        (Replace(rule("absent")), NotFound),
        (Replace(rule("there"), etag="stale"), PreconditionFailed),
        (Patch("absent", [Increment("n")]), NotFound),
        (Patch("there", [Increment("n")], when={"n": 7}), PreconditionFailed),
        (Patch("there", [RemovePath("absent")]), InvalidInput),
        (Delete("absent"), NotFound),
        (Delete("there", etag="stale"), PreconditionFailed),
    ],
    ids=lambda v: repr(v)[:30],
)
async def test_a_batch_does_all_or_nothing(store: DocumentStore, last: Any, error: type[OvenbridgeError]) -> None:
    there = await store.create("alertRules", rule("there", n=1))
    first: list[BatchOperation] = [Create(rule("a")), Patch("a", [Increment("n")]), Create(rule("b"))]
    with pytest.raises(error):
        await store.batch("alertRules", OVEN, [*first, last, Create(rule("c"))])
    page = await store.query("alertRules", Query(), partition=OVEN)
    assert page.items == [there]


async def test_a_batch_stays_in_its_partition(store: DocumentStore) -> None:
    with pytest.raises(InvalidInput):
        await store.batch("alertRules", OVEN, [Create({**rule(), "equipmentId": "oven-2"})])
    for operations in ([], [Create(rule(f"r{n}")) for n in range(101)]):
        with pytest.raises(InvalidInput):
            await store.batch("alertRules", OVEN, operations)
    assert len(await store.batch("alertRules", OVEN, [Create(rule(f"r{n}")) for n in range(100)])) == 100


async def test_failing_neighbours_do_not_undo_each_other(store: DocumentStore) -> None:
    """Whatever is written in the same moment."""
    await store.create("alertRules", rule("there"))
    outcomes = await asyncio.gather(
        *(store.create("alertRules", rule(f"r{n}")) for n in range(20)),
        *(store.create("alertRules", rule("there")) for _ in range(20)),
        *(store.batch("alertRules", OVEN, [Create(rule(f"b{n}")), Delete("absent")]) for n in range(20)),
        return_exceptions=True,
    )
    assert [type(o) for o in outcomes] == [Stored] * 20 + [Conflict] * 20 + [NotFound] * 20
    page = await store.query("alertRules", Query(limit=1000), partition=OVEN)
    assert {i.document["id"] for i in page.items} == {"there", *(f"r{n}" for n in range(20))}


# Time to live --------------------------------------------------------------------------------------------------------


async def test_an_expired_document_is_not_there(store: DocumentStore, clock: ManualClock) -> None:
    await store.create("readings", reading(ttl=60))
    clock.advance(59.999)
    await store.read("readings", DAY, "x")
    clock.advance(0.001)
    for attempt in (
        store.read("readings", DAY, "x"),
        store.replace("readings", reading()),
        store.patch("readings", DAY, "x", [SetPath("a", 1)]),
        store.delete("readings", DAY, "x"),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await store.query("readings", Query(), partition=DAY)).items == []
    assert (await store.query("readings", Query())).items == []
    again = await store.create("readings", reading(again=True))
    assert await store.read("readings", DAY, "x") == again


async def test_a_container_has_a_default(store: DocumentStore, clock: ManualClock) -> None:
    await store.create("readings", reading())
    clock.advance(7_776_000 - 1)
    await store.read("readings", DAY, "x")
    clock.advance(1)
    with pytest.raises(NotFound):
        await store.read("readings", DAY, "x")


async def test_every_write_begins_the_life_anew(store: DocumentStore, clock: ManualClock) -> None:
    await store.create("readings", reading(ttl=60))
    clock.advance(50)
    await store.patch("readings", DAY, "x", [SetPath("a", 1)])
    clock.advance(50)
    assert (await store.read("readings", DAY, "x")).document["a"] == 1
    await store.patch("readings", DAY, "x", [SetPath("ttl", 10)])
    clock.advance(10)
    with pytest.raises(NotFound):
        await store.read("readings", DAY, "x")


async def test_minus_one_lives_for_ever(store: DocumentStore, clock: ManualClock) -> None:
    await store.create("readings", reading(ttl=-1))
    clock.advance(10**9)
    await store.read("readings", DAY, "x")


async def test_without_a_default_a_ttl_means_nothing(store: DocumentStore, clock: ManualClock) -> None:
    await store.create("alertRules", rule(ttl=1))
    clock.advance(10)
    await store.read("alertRules", OVEN, "r1")


@pytest.mark.parametrize("ttl", [0, -2, "60", 1.5, True, 2**31])
async def test_a_ttl_that_is_none_is_refused(store: DocumentStore, ttl: Any) -> None:
    with pytest.raises(InvalidInput):
        await store.create("readings", reading(ttl=ttl))


# Callers that leave --------------------------------------------------------------------------------------------------


async def test_a_cancelled_caller_harms_nobody(store: DocumentStore) -> None:
    tasks = [asyncio.create_task(store.create("alertRules", rule(f"r{n}"))) for n in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(o, Stored) for o in outcomes[1::2])
    assert all(isinstance(o, asyncio.CancelledError) for o in outcomes[::2])
    await store.create("alertRules", rule("after"))
    for n in range(1, 40, 2):
        await store.read("alertRules", OVEN, f"r{n}")


async def test_the_check_says_yes(store: DocumentStore) -> None:
    await store.check()
