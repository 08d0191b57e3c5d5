"""One check for each row at which the ready-made server of npm (@vercel/cosmosdb-server 1.0.1) fails."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core import MatchConditions
from azure.cosmos import CosmosClient
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)
from azure.cosmos.partition_key import NonePartitionKeyValue

from tests.wire.cosmos import CosmosServer
from tests.wire.cosmos.conftest import Sdk, call


@pytest.fixture
async def keyed(sdk: Sdk) -> Any:
    container = await sdk.make("keyed", unique_key_policy={"uniqueKeys": [{"paths": ["/a", "/b"]}]}, default_ttl=100)
    await call(container.create_item({"id": "1", "pk": "p", "a": 1, "b": 1, "isOpen": True, "who": "Ada"}))
    await call(container.create_item({"id": "1", "pk": "q", "a": 1, "b": 1, "isOpen": False, "who": "Bob"}))
    return container


async def test_a_query_with_a_key_sees_that_partition(sdk: Sdk, keyed: Any) -> None:
    assert await sdk.query(keyed, "SELECT VALUE c.who FROM c", "q") == ["Bob"]


async def test_an_absent_id_and_a_wrong_key_are_404(keyed: Any) -> None:
    for name, key in (("2", "p"), ("1", "r")):
        with pytest.raises(CosmosResourceNotFoundError):
            await call(keyed.read_item(name, key))


async def test_etags_are_quoted(keyed: Any) -> None:
    etag = (await call(keyed.read_item("1", "p")))["_etag"]
    assert etag[0] == etag[-1] == '"'


async def test_if_none_match_counts(keyed: Any) -> None:
    with pytest.raises(CosmosHttpResponseError) as refused:
        await call(keyed.upsert_item({"id": "1", "pk": "p"}, match_condition=MatchConditions.IfMissing))
    assert refused.value.status_code in (409, 412)
    etag = (await call(keyed.read_item("1", "p")))["_etag"]
    assert not await call(keyed.read_item("1", "p", etag=etag, match_condition=MatchConditions.IfModified))


async def test_a_patch_predicate_keeps_its_case(keyed: Any) -> None:
    change, predicate = [{"op": "set", "path": "/n", "value": 1}], "FROM c WHERE c.isOpen = true AND c.who = 'Ada'"
    assert (await call(keyed.patch_item("1", "p", change, filter_predicate=predicate)))["n"] == 1
    with pytest.raises(CosmosAccessConditionFailedError):
        await call(keyed.patch_item("1", "q", change, filter_predicate=predicate))


async def test_a_unique_key_of_two_paths_is_one(keyed: Any) -> None:
    await call(keyed.create_item({"id": "2", "pk": "p", "a": 1, "b": 2}))
    with pytest.raises(CosmosResourceExistsError):
        await call(keyed.create_item({"id": "3", "pk": "p", "a": 1, "b": 2}))


async def test_every_level_of_a_key_counts(sdk: Sdk) -> None:
    for day in "12":
        await call(sdk.container("readings").create_item({"id": "r", "equipmentId": "E", "day": day}))
    assert await sdk.query(sdk.container("readings"), "SELECT VALUE c.day FROM c", "E", "2") == ["2"]


async def test_a_nested_key_is_read(sdk: Sdk) -> None:
    nested = await sdk.make("nested", "/meta/site")
    await call(nested.create_item({"id": "a", "meta": {"site": "s"}}))
    assert (await call(nested.read_item("a", "s")))["id"] == "a"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("SELECT VALUE c.who FROM c OFFSET 0 LIMIT 1", ["Ada"]),
        ("SELECT c.isOpen, COUNT(1) AS n FROM c GROUP BY c.isOpen", [{"isOpen": True, "n": 1}]),
        ("SELECT DISTINCT VALUE c.a FROM c", [1]),
        ("SELECT VALUE c.who LIKE 'A%' FROM c", [True]),
        ("SELECT VALUE STARTSWITH(c.who, 'ADA', true) FROM c", [True]),
        ("SELECT VALUE CONTAINS(c.who, 'DA', true) FROM c", [True]),
        ("SELECT VALUE GetCurrentDateTime() > '2026' FROM c", [True]),
        ("SELECT VALUE DateTimeBin('2026-11-21T10:07:00Z', 'hour') FROM c", ["2026-11-21T10:00:00.0000000Z"]),
    ],
)
async def test_the_query_engine_knows(sdk: Sdk, keyed: Any, text: str, result: list[Any]) -> None:
    assert await sdk.query(keyed, text, "p") == result


async def test_a_batch_of_every_kind_is_atomic(keyed: Any) -> None:
    etag = (await call(keyed.read_item("1", "p")))["_etag"]
    fine: list[Any] = [
        ("read", ("1",)),
        ("replace", ("1", {"id": "1", "pk": "p", "n": 1}), {"if_match_etag": etag}),
        ("patch", ("1", [{"op": "incr", "path": "/n", "value": 1}])),
        ("delete", ("1",)),
        ("create", ({"id": "4", "pk": "p"},)),
    ]
    with pytest.raises(CosmosBatchOperationError):
        await call(keyed.execute_item_batch([("create", ({"id": "5", "pk": "p"},)), ("read", ("absent",))], "p"))
    with pytest.raises(CosmosResourceNotFoundError):
        await call(keyed.read_item("5", "p"))
    assert [one["statusCode"] for one in await call(keyed.execute_item_batch(fine, "p"))] == [200, 200, 200, 204, 201]


async def test_documents_expire(keyed: Any, server: CosmosServer) -> None:
    server.advance(101)
    with pytest.raises(CosmosResourceNotFoundError):
        await call(keyed.read_item("1", "p"))


def test_not_any_key_opens(server: CosmosServer) -> None:
    with pytest.raises(CosmosHttpResponseError) as refused:
        CosmosClient(server.endpoint, "bm8ga2V5IG9mIG91cnM=")
    assert refused.value.status_code == 401


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_limits_offers_partition_deletes_sessions_and_missing_keys(sdk: Sdk, keyed: Any) -> None:
    with pytest.raises(CosmosHttpResponseError) as refused:
        await call(keyed.create_item({"id": "big", "pk": "p", "a": "x" * 2_200_000}))
    assert refused.value.status_code == 413
    paid = await sdk.make("paid", offer_throughput=400)
    assert (await call(paid.get_throughput())).offer_throughput == 400
    made = await call(keyed.create_item({"id": "none"}))
    assert "x-ms-session-token" in made.get_response_headers()
    assert (await call(keyed.read_item("none", NonePartitionKeyValue)))["id"] == "none"
    await call(keyed.delete_all_items_by_partition_key("p"))
    assert await sdk.query(keyed, "SELECT * FROM c", "p") == []


async def test_throttles_can_be_had(sdk: Sdk, server: CosmosServer, keyed: Any) -> None:
    server.answer_next([429], operation="read")
    assert (await call(keyed.read_item("1", "p")))["id"] == "1"
    assert [entry.status for entry in server.journal.of(["read"])] == [429, 200]
