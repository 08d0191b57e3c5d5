"""Create, read, upsert, replace, delete, conditions, keys, limits and expiry, through the SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)
from azure.cosmos.partition_key import NonePartitionKeyValue, NullPartitionKeyValue

from shared.clock import ManualClock
from tests.wire.cosmos import CosmosServer
from tests.wire.cosmos.conftest import Sdk, call, rows

READING = {"id": "r:1", "equipmentId": "E1", "day": "2026-11-21", "ts": "2026-11-21T10:00:00.000Z"}
KEY = ["E1", "2026-11-21"]


def status_of(refused: pytest.ExceptionInfo[CosmosHttpResponseError]) -> tuple[int | None, int | None]:
    return refused.value.status_code, refused.value.sub_status


# creating


async def test_what_is_created_comes_back_with_system_properties(sdk: Sdk, clock: ManualClock) -> None:
    made = await call(sdk.container("readings").create_item(READING))
    assert made["_ts"] == int(clock.now().timestamp())
    assert made["_etag"].startswith('"')
    assert made["_etag"].endswith('"')
    assert {"_rid", "_self", "_attachments"} <= made.keys()
    assert READING.items() <= made.items()


async def test_an_id_is_taken_once_in_a_partition(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    await call(readings.create_item(READING))
    with pytest.raises(CosmosResourceExistsError) as refused:
        await call(readings.create_item(READING))
    assert status_of(refused) == (409, 0)
    await call(readings.create_item({**READING, "day": "2026-11-22"}))
    await call(readings.create_item({**READING, "equipmentId": "E2"}))


async def test_an_id_may_be_made_by_the_client(sdk: Sdk) -> None:
    made = await call(sdk.container("equipment").upsert_item({"id": "given"}))
    assert made["id"] == "given"
    keyed = await sdk.make("keyed")
    made = await call(keyed.create_item({"pk": "p"}, enable_automatic_id_generation=True))
    assert len(made["id"]) == 36


async def test_without_an_id_nothing_is_created(sdk: Sdk) -> None:
    keyed = await sdk.make("keyed")
    with pytest.raises(CosmosHttpResponseError, match="required properties - 'id; ' - are missing") as refused:
        await call(keyed.create_item({"pk": "p"}))
    assert status_of(refused) == (400, 0)


@pytest.mark.parametrize("bad", ["a/b", "a\\b", "a?b", "a#b"])
async def test_ids_that_the_client_refuses(sdk: Sdk, bad: str) -> None:
    with pytest.raises(ValueError, match="illegal chars"):
        await call((await sdk.make("keyed")).create_item({"id": bad, "pk": "p"}))


async def test_ids_that_the_server_refuses(sdk: Sdk) -> None:
    keyed = await sdk.make("keyed")
    batch = [("create", ({"id": "a/b", "pk": "p"},))]
    with pytest.raises(CosmosBatchOperationError) as failed:
        await call(keyed.execute_item_batch(batch, "p"))
    assert failed.value.status_code == 400
    with pytest.raises(CosmosHttpResponseError, match="at most 1,023 bytes") as refused:
        await call(keyed.create_item({"id": "x" * 1024, "pk": "p"}))
    assert refused.value.status_code == 400
    await call(keyed.create_item({"id": "x" * 1023, "pk": "p"}))


@pytest.mark.parametrize("name", ["with space", "ünlaut", "a+b=c", "a%2Fb", "r:1|2", "…", "a.b", "'q'", "𝄞"])
async def test_ids_that_are_fine(sdk: Sdk, name: str) -> None:
    keyed = await sdk.make("keyed")
    await call(keyed.create_item({"id": name, "pk": name}))
    assert (await call(keyed.read_item(name, name)))["id"] == name
    await call(keyed.delete_item(name, name))


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_two_megabytes_are_the_limit(sdk: Sdk) -> None:
    keyed = await sdk.make("keyed")
    await call(keyed.create_item({"id": "large", "pk": "p", "text": "x" * 2_000_000}))
    with pytest.raises(CosmosHttpResponseError, match="Request size is too large") as refused:
        await call(keyed.create_item({"id": "larger", "pk": "p", "text": "x" * 2_100_000}))
    assert refused.value.status_code == 413


# reading


async def test_what_is_not_there(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    await call(readings.create_item(READING))
    for name, key in (("r:2", KEY), ("r:1", ["E1", "2026-11-22"]), ("r:1", ["E2", "2026-11-21"])):
        with pytest.raises(CosmosResourceNotFoundError) as refused:
            await call(readings.read_item(name, key))
        assert status_of(refused) == (404, 0)


@pytest.mark.parametrize("key", [1, 1.5, -3, True, False, None, "text", "1"])
async def test_a_key_may_be_any_scalar(sdk: Sdk, key: Any) -> None:
    keyed = await sdk.make("keyed")
    await call(keyed.create_item({"id": "a", "pk": key}))
    assert (await call(keyed.read_item("a", key)))["pk"] == key
    scope: Any = NullPartitionKeyValue if key is None else key  # the sync client takes None for "no key"
    assert [row["id"] for row in await rows(keyed.query_items("SELECT * FROM c", partition_key=scope))] == ["a"]


async def test_keys_of_different_types_are_different(sdk: Sdk) -> None:
    keyed = await sdk.make("keyed")
    for key in (1, "1", True):
        await call(keyed.create_item({"id": "a", "pk": key, "kind": type(key).__name__}))
    assert (await call(keyed.read_item("a", 1)))["kind"] == "int"
    assert (await call(keyed.read_item("a", 1.0)))["kind"] == "int"
    assert (await call(keyed.read_item("a", True)))["kind"] == "bool"
    assert (await call(keyed.read_item("a", "1")))["kind"] == "str"


async def test_a_document_without_the_key(sdk: Sdk) -> None:
    keyed = await sdk.make("keyed")
    await call(keyed.create_item({"id": "a"}))
    assert (await call(keyed.read_item("a", NonePartitionKeyValue)))["id"] == "a"
    with pytest.raises(CosmosResourceNotFoundError):
        await call(keyed.read_item("a", None))


async def test_a_conditional_read(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    made = await call(readings.create_item(READING))

    def if_new() -> dict[str, Any]:
        return {"etag": made["_etag"], "match_condition": MatchConditions.IfModified}

    assert await call(readings.read_item("r:1", KEY, **if_new())) == {}
    await call(readings.upsert_item({**READING, "new": 1}))
    assert (await call(readings.read_item("r:1", KEY, **if_new())))["new"] == 1


async def test_many_are_read_at_once(sdk: Sdk) -> None:
    keyed = await sdk.make("keyed")
    for number in range(5):
        await call(keyed.create_item({"id": f"{number}", "pk": f"p{number % 2}"}))
    for wanted in ([("1", "p1"), ("3", "p1"), ("9", "p1")], [("1", "p1"), ("2", "p0"), ("4", "p1"), ("3", "p1")]):
        found = await call(keyed.read_items(wanted))
        assert sorted(row["id"] for row in found) == [name for name in "123" if name in dict(wanted)]


async def test_the_client_reads_none_at_once_by_a_hierarchical_key(sdk: Sdk) -> None:
    """A fault of the SDK (4.17.1), kept here so that its repair is noticed: for several items of one partition it asks
    ``c.equipmentId = [...]``, which nothing equals. Never use ``read_items`` on such containers."""
    readings = sdk.container("readings")
    for number in range(3):
        await call(readings.create_item({**READING, "id": f"r:{number}"}))
    assert await call(readings.read_items([("r:1", KEY), ("r:2", KEY)])) == []


# writing over


async def test_an_upsert_makes_and_overwrites(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    first = await call(readings.upsert_item(READING))
    second = await call(readings.upsert_item({**READING, "v": 2}))
    assert second["_etag"] != first["_etag"]
    assert second["_rid"] == first["_rid"]
    assert (await call(readings.read_item("r:1", KEY)))["v"] == 2


async def test_a_stale_etag_stops_every_write(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    first = await call(readings.create_item(READING))
    await call(readings.replace_item("r:1", {**READING, "v": 2}))
    stale: dict[str, Any] = {"etag": first["_etag"], "match_condition": MatchConditions.IfNotModified}
    attempts: list[Callable[[], Any]] = [
        lambda: readings.replace_item("r:1", READING, **stale),
        lambda: readings.upsert_item(READING, **stale),
        lambda: readings.delete_item("r:1", KEY, **stale),
        lambda: readings.patch_item("r:1", KEY, [{"op": "set", "path": "/v", "value": 3}], **stale),
    ]
    for attempt in attempts:
        with pytest.raises(CosmosAccessConditionFailedError) as refused:
            await call(attempt())
        assert status_of(refused) == (412, 0)
    assert (await call(readings.read_item("r:1", KEY)))["v"] == 2


async def test_a_current_etag_lets_every_write_through(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    stored = await call(readings.create_item(READING))

    def current() -> dict[str, Any]:
        return {"etag": stored["_etag"], "match_condition": MatchConditions.IfNotModified}

    stored = await call(readings.replace_item("r:1", {**READING, "v": 2}, **current()))
    stored = await call(readings.upsert_item({**READING, "v": 3}, **current()))
    stored = await call(readings.patch_item("r:1", KEY, [{"op": "incr", "path": "/v", "value": 1}], **current()))
    assert stored["v"] == 4
    await call(readings.delete_item("r:1", KEY, **current()))
    with pytest.raises(CosmosResourceNotFoundError):
        await call(readings.read_item("r:1", KEY))


async def test_only_if_missing(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    missing = {"match_condition": MatchConditions.IfMissing}
    await call(readings.upsert_item(READING, **missing))
    with pytest.raises(CosmosHttpResponseError) as refused:
        await call(readings.upsert_item({**READING, "v": 2}, **missing))
    assert refused.value.status_code in (409, 412)
    assert "v" not in await call(readings.read_item("r:1", KEY))


async def test_what_is_not_there_cannot_be_replaced_or_deleted(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    with pytest.raises(CosmosResourceNotFoundError):
        await call(readings.replace_item("r:1", READING))
    with pytest.raises(CosmosResourceNotFoundError):
        await call(readings.delete_item("r:1", KEY))
    await call(readings.create_item(READING))
    await call(readings.delete_item("r:1", KEY))
    with pytest.raises(CosmosResourceNotFoundError):
        await call(readings.delete_item("r:1", KEY))


async def test_a_replace_changes_neither_id_nor_key(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    await call(readings.create_item(READING))
    with pytest.raises(CosmosHttpResponseError) as refused:
        await call(readings.replace_item("r:1", {**READING, "id": "r:2"}))
    assert refused.value.status_code == 400


async def test_the_client_cannot_set_system_properties(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    made = await call(readings.create_item({**READING, "_etag": '"mine"', "_ts": 1, "_rid": "x"}))
    assert made["_etag"] != '"mine"'
    assert made["_ts"] > 1
    assert made["_rid"] != "x"


async def test_no_answer_body_when_none_is_wanted(sdk: Sdk) -> None:
    assert not await call(sdk.container("readings").upsert_item(READING, no_response=True))


# hierarchical keys


async def test_levels_of_a_key_count_together(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    for machine in ("E1", "E2"):
        for day in ("2026-11-20", "2026-11-21"):
            await call(readings.create_item({**READING, "equipmentId": machine, "day": day}))
    whole = await sdk.query(readings, "SELECT c.day FROM c", "E1", "2026-11-21")
    assert whole == [{"day": "2026-11-21"}]
    prefix = await rows(readings.query_items("SELECT c.equipmentId, c.day FROM c", partition_key=["E1"]))
    assert sorted((row["equipmentId"], row["day"]) for row in prefix) == [("E1", "2026-11-20"), ("E1", "2026-11-21")]


async def test_a_point_operation_needs_every_level(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    await call(readings.create_item(READING))
    with pytest.raises(CosmosHttpResponseError) as refused:
        await call(readings.read_item("r:1", ["E1"]))
    assert status_of(refused) == (400, 1001)


async def test_a_nested_key_path(sdk: Sdk) -> None:
    nested = await sdk.make("nested", "/meta/site")
    await call(nested.create_item({"id": "a", "meta": {"site": "Köln"}}))
    assert (await call(nested.read_item("a", "Köln")))["id"] == "a"
    with pytest.raises(CosmosResourceNotFoundError):
        await call(nested.read_item("a", "Bonn"))


async def test_a_partition_is_deleted_whole(sdk: Sdk) -> None:
    keyed = await sdk.make("keyed")
    for number in range(4):
        await call(keyed.create_item({"id": f"{number}", "pk": f"p{number % 2}"}))
    await call(keyed.delete_all_items_by_partition_key("p0"))
    assert [row["id"] for row in await sdk.query(keyed, "SELECT * FROM c")] == ["1", "3"]


# unique keys


async def test_a_unique_key_counts_as_a_whole_in_its_partition(sdk: Sdk) -> None:
    unique = await sdk.make("unique", unique_key_policy={"uniqueKeys": [{"paths": ["/a", "/b"]}]})
    await call(unique.create_item({"id": "1", "pk": "p", "a": 1, "b": 1}))
    await call(unique.create_item({"id": "2", "pk": "p", "a": 1, "b": 2}))
    with pytest.raises(CosmosResourceExistsError, match="Unique index constraint violation"):
        await call(unique.create_item({"id": "3", "pk": "p", "a": 1, "b": 1}))
    with pytest.raises(CosmosResourceExistsError):
        await call(unique.replace_item("2", {"id": "2", "pk": "p", "a": 1, "b": 1}))
    await call(unique.create_item({"id": "3", "pk": "q", "a": 1, "b": 1}))
    await call(unique.replace_item("1", {"id": "1", "pk": "p", "a": 1, "b": 1, "c": 1}))


# expiry


async def test_documents_expire(sdk: Sdk, server: CosmosServer) -> None:
    timed = await sdk.make("timed", default_ttl=60)
    await call(timed.create_item({"id": "default", "pk": "p"}))
    await call(timed.create_item({"id": "short", "pk": "p", "ttl": 10}))
    await call(timed.create_item({"id": "ever", "pk": "p", "ttl": -1}))
    server.advance(11)
    assert [row["id"] for row in await sdk.query(timed, "SELECT * FROM c", "p")] == ["default", "ever"]
    with pytest.raises(CosmosResourceNotFoundError):
        await call(timed.read_item("short", "p"))
    with pytest.raises(CosmosResourceNotFoundError):
        await call(timed.replace_item("short", {"id": "short", "pk": "p"}))
    await call(timed.create_item({"id": "short", "pk": "p"}))
    server.advance(50)
    assert [row["id"] for row in await sdk.query(timed, "SELECT * FROM c", "p")] == ["ever", "short"]


async def test_a_write_begins_a_new_life(sdk: Sdk, clock: ManualClock) -> None:
    timed = await sdk.make("timed", default_ttl=60)
    await call(timed.create_item({"id": "a", "pk": "p"}))
    clock.advance(50)
    await call(timed.patch_item("a", "p", [{"op": "add", "path": "/v", "value": 1}]))
    clock.advance(50)
    assert (await call(timed.read_item("a", "p")))["v"] == 1
    clock.advance(10)
    with pytest.raises(CosmosResourceNotFoundError):
        await call(timed.read_item("a", "p"))


async def test_without_a_default_no_document_expires(sdk: Sdk, server: CosmosServer) -> None:
    audit = sdk.container("audit")
    await call(audit.create_item({"id": "s:1", "stream": "s", "month": "2026-11", "ttl": 1}))
    server.advance(10_000_000)
    assert (await call(audit.read_item("s:1", ["s", "2026-11"])))["ttl"] == 1


async def test_only_those_with_a_ttl_expire_when_the_default_is_off_but_on(sdk: Sdk, server: CosmosServer) -> None:
    timed = await sdk.make("timed", default_ttl=-1)
    await call(timed.create_item({"id": "ever", "pk": "p"}))
    await call(timed.create_item({"id": "short", "pk": "p", "ttl": 5}))
    server.advance(5)
    assert [row["id"] for row in await sdk.query(timed, "SELECT * FROM c", "p")] == ["ever"]


@pytest.mark.parametrize("ttl", [0, -2, "60", True])
async def test_a_ttl_that_is_none_is_refused(sdk: Sdk, ttl: Any) -> None:
    with pytest.raises(CosmosHttpResponseError, match="ttl") as refused:
        await call(sdk.container("readings").create_item({**READING, "ttl": ttl}))
    assert refused.value.status_code == 400
