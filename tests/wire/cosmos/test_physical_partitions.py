"""Several physical partitions: what the client merges, and what it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.cosmos.aio import CosmosClient as AioClient
from azure.cosmos.exceptions import CosmosHttpResponseError

from tests.wire.cosmos import CosmosServer
from tests.wire.cosmos.conftest import pages, rows


@pytest.fixture
async def spread() -> AsyncIterator[tuple[CosmosServer, Any]]:
    """Four physical partitions, two hundred logical ones."""
    with CosmosServer(physical_partitions=4) as server:
        server.create_topology()
        server.seed(
            "readings",
            (
                {"id": f"r{n:03d}", "equipmentId": f"E{n % 20}", "day": f"d{n % 10}", "ts": f"{n:03d}"}
                for n in range(400)
            ),
        )
        async with AioClient(server.endpoint, server.key) as client:
            yield server, client.get_database_client("ovenbridge").get_container_client("readings")


async def test_the_client_merges_what_several_partitions_give(spread: tuple[CosmosServer, Any]) -> None:
    server, readings = spread
    found = await rows(readings.query_items("SELECT VALUE c.ts FROM c ORDER BY c.ts DESC"))
    assert found == [f"{n:03d}" for n in reversed(range(400))]
    text = "SELECT TOP 5 VALUE c.ts FROM c WHERE c.ts > '100' ORDER BY c.ts"
    assert await rows(readings.query_items(text)) == ["101", "102", "103", "104", "105"]
    text = "SELECT VALUE c.ts FROM c ORDER BY c.ts OFFSET 10 LIMIT 3"
    assert await rows(readings.query_items(text)) == ["010", "011", "012"]
    assert await rows(readings.query_items("SELECT VALUE COUNT(1) FROM c")) == [400]
    assert await rows(readings.query_items("SELECT VALUE MAX(c.ts) FROM c WHERE c.ts < '3'")) == ["299"]
    assert len(await rows(readings.query_items("SELECT DISTINCT VALUE c.day FROM c"))) == 10
    partitions = {item.place[:1] for item in server._account.databases["ovenbridge"].containers["readings"].items()}
    assert len(partitions) > 2


async def test_prefixes_and_streams_over_several_partitions(spread: tuple[CosmosServer, Any]) -> None:
    _, readings = spread
    found = await rows(readings.query_items("SELECT VALUE c.ts FROM c", partition_key=["E3"]))
    assert sorted(found) == [f"{n:03d}" for n in range(3, 400, 20)]
    found = await pages(readings.query_items("SELECT VALUE c.ts FROM c", max_item_count=30))
    assert sorted(ts for items, _ in found for ts in items) == [f"{n:03d}" for n in range(400)]
    assert (await readings.read_item("r007", ["E7", "d7"]))["ts"] == "007"


async def test_an_ordered_query_across_partitions_cannot_be_resumed(spread: tuple[CosmosServer, Any]) -> None:
    """The client shows a token, but it is the one of whichever partition was asked last: with it rows are lost."""
    _, readings = spread
    by_page = readings.query_items("SELECT VALUE c.ts FROM c ORDER BY c.ts", max_item_count=25).by_page()
    first = [ts async for ts in await anext(by_page)]
    token = by_page.continuation_token
    if token is None:
        return
    found = first
    try:
        for items, _ in await pages(readings.query_items("SELECT VALUE c.ts FROM c ORDER BY c.ts"), token):
            found += items
    except CosmosHttpResponseError as refused:
        found = [refused.status_code]
    assert found != [f"{n:03d}" for n in range(400)]


async def test_an_order_under_a_prefix_is_noted(spread: tuple[CosmosServer, Any]) -> None:
    """Its rows come in order from each physical partition, and the client merges nothing."""
    server, readings = spread
    text = "SELECT VALUE c.ts FROM c ORDER BY c.ts"
    assert len(await rows(readings.query_items(text, partition_key=["E3"]))) == 20
    assert set(server.observed.prefix_orders) == {("readings", text)}
    await rows(readings.query_items(text, partition_key=["E3", "d3"]))
    await rows(readings.query_items("SELECT VALUE c.ts FROM c", partition_key=["E3"]))
    await rows(readings.query_items(text))
    assert set(server.observed.prefix_orders) == {("readings", text)}
    assert server.cross_partition_orders == [("readings", text)]
