"""What goes wrong on purpose, and what the SDK makes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError
from azure.cosmos.aio import CosmosClient as AioClient
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceExistsError

from tests.wire.cosmos import CosmosServer, Fault
from tests.wire.cosmos.conftest import Sdk, call, sync_client

DOCUMENT = {"id": "a", "name": "Stikken"}


@pytest.fixture
async def hasty(server: CosmosServer) -> AsyncIterator[Any]:
    """The equipment container, by a client that tries nothing twice."""
    once: dict[str, Any] = {
        "retry_throttle_total": -1,
        "retry_total": 0,
        "retry_connect": 0,
        "retry_read": 0,
        "retry_status": 0,
        "enable_endpoint_discovery": False,
    }
    async with AioClient(server.endpoint, server.key, **once) as client:
        yield client.get_database_client("ovenbridge").get_container_client("equipment")


async def test_a_throttle_is_waited_out_by_the_client(sdk: Sdk, server: CosmosServer) -> None:
    server.fail(Fault(operation="create", status=429, retry_after_ms=5, times=3))
    with server.counting() as count:
        await call(sdk.container("equipment").create_item(DOCUMENT))
    assert [(entry.status, entry.charge > 0) for entry in count.data] == [(429, False)] * 3 + [(201, True)]


async def test_a_throttle_that_does_not_end(sdk: Sdk, server: CosmosServer) -> None:
    server.fail(Fault(operation="create", status=429, retry_after_ms=1, times=None))
    with server.counting() as count, pytest.raises(CosmosHttpResponseError, match="Request rate is large") as refused:
        await call(sdk.container("equipment").create_item(DOCUMENT))
    assert (refused.value.status_code, refused.value.sub_status) == (429, 3200)
    assert refused.value.headers["x-ms-retry-after-ms"] == "1"
    assert count.calls == 10
    server.heal()
    await call(sdk.container("equipment").create_item(DOCUMENT))


@pytest.mark.parametrize("status", [408, 410, 429, 449, 500, 503])
async def test_each_status_reaches_the_caller(hasty: Any, server: CosmosServer, status: int) -> None:
    await hasty.read()
    server.answer_next([status] * 20, operation="upsert")
    with pytest.raises(CosmosHttpResponseError) as refused:
        await hasty.upsert_item(DOCUMENT)
    assert refused.value.status_code == status
    assert server.documents("equipment") == []


async def test_a_list_of_statuses_one_after_the_other(server: CosmosServer, hasty: Any) -> None:
    await hasty.read()
    server.answer_next([429, 503], operation="create")
    for expected in (429, 503):
        with pytest.raises(CosmosHttpResponseError) as refused:
            await hasty.create_item(DOCUMENT)
        assert refused.value.status_code == expected
    await hasty.create_item(DOCUMENT)


async def test_only_what_fits_goes_wrong(server: CosmosServer, hasty: Any) -> None:
    fault = server.fail(Fault(operation="create", container="equipment", item_id="b", status=503, times=None))
    await hasty.create_item(DOCUMENT)
    with pytest.raises(CosmosHttpResponseError):
        await hasty.create_item({"id": "b"})
    server.heal(fault)
    await hasty.create_item({"id": "b"})
    server.fail(Fault(operation="read", skip=2, status=500, substatus=7))
    for _ in range(2):
        await hasty.read_item("a", "a")
    with pytest.raises(CosmosHttpResponseError) as refused:
        await hasty.read_item("a", "a")
    assert refused.value.sub_status == 7


async def test_a_cut_before_leaves_nothing(server: CosmosServer, hasty: Any) -> None:
    await hasty.read()
    server.fail(Fault(operation="create", cut="before"))
    with server.counting() as count, pytest.raises((ServiceRequestError, ServiceResponseError)):
        await hasty.create_item(DOCUMENT)
    assert [(entry.status, entry.charge) for entry in count.data] == [(0, 0.0)]
    assert server.documents("equipment") == []
    await hasty.create_item(DOCUMENT)


async def test_a_cut_after_leaves_the_write_without_an_answer(server: CosmosServer, hasty: Any) -> None:
    await hasty.read()
    server.fail(Fault(operation="create", cut="after"))
    with server.counting() as count, pytest.raises((ServiceRequestError, ServiceResponseError)):
        await hasty.create_item(DOCUMENT)
    assert [(entry.status, entry.charge > 5) for entry in count.data] == [(0, True)]
    assert [document["id"] for document in server.documents("equipment")] == ["a"]
    with pytest.raises(CosmosResourceExistsError):
        await hasty.create_item(DOCUMENT)


async def test_a_truncated_answer(server: CosmosServer, hasty: Any) -> None:
    await hasty.create_item({**DOCUMENT, "text": "x" * 10_000})
    server.fail(Fault(operation="read", truncate=True))
    with pytest.raises(AzureError):
        await hasty.read_item("a", "a")
    assert len((await hasty.read_item("a", "a"))["text"]) == 10_000


async def test_a_truncated_answer_to_the_sync_client(server: CosmosServer) -> None:
    with sync_client(server.endpoint, server.key, retry_read=0, retry_total=0) as client:
        container = client.get_database_client("ovenbridge").get_container_client("equipment")
        container.create_item({**DOCUMENT, "text": "x" * 10_000})
        server.fail(Fault(operation="read", truncate=True, times=None))
        with pytest.raises(AzureError):
            container.read_item("a", "a")


async def test_a_delay_holds_up_one_request_and_no_other(server: CosmosServer, hasty: Any) -> None:
    for name in "ab":
        await hasty.create_item({"id": name})
    server.fail(Fault(operation="read", item_id="a", delay_seconds=0.3))
    began = time.monotonic()
    slow = asyncio.create_task(hasty.read_item("a", "a"))
    await hasty.read_item("b", "b")
    assert not slow.done()
    await slow
    assert time.monotonic() - began >= 0.3


async def test_a_refused_connection_after_stop(server: CosmosServer, hasty: Any) -> None:
    await hasty.read()
    server.stop()
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        await hasty.read_item("a", "a")
    server.start()
    await hasty.create_item(DOCUMENT)


async def test_a_stale_key_range_is_gone(server: CosmosServer, sdk: Sdk) -> None:
    """410 with sub-status 1002 is taken by the client for a split: it reads the ranges anew and asks again."""
    server.fail(Fault(operation="query", status=410, times=1))
    assert await sdk.query(sdk.container("equipment"), "SELECT * FROM c") == []
    assert any(entry.operation == "pkranges" for entry in server.journal.entries)
