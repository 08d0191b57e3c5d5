"""Account, databases and containers, through the SDK."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
from azure.cosmos import CosmosClient, PartitionKey
from azure.cosmos.exceptions import (
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from shared.topology import topology
from tests.wire.cosmos import CosmosServer
from tests.wire.cosmos.conftest import Sdk, call, rows, settled, sync_client


async def test_a_wrong_key_is_refused(server: CosmosServer) -> None:
    other = base64.b64encode(b"another key").decode()
    with pytest.raises(CosmosHttpResponseError, match="The wrong key is being used") as refused:
        CosmosClient(server.endpoint, other, enable_endpoint_discovery=False)
    assert refused.value.status_code == 401


async def test_databases_are_made_once(sdk: Sdk) -> None:
    made = await call(sdk.client.create_database("second"))
    assert (await call(made.read()))["id"] == "second"
    with pytest.raises(CosmosResourceExistsError):
        await call(sdk.client.create_database("second"))
    await call(sdk.client.create_database_if_not_exists("second"))
    await call(sdk.client.create_database_if_not_exists("third"))
    assert {d["id"] for d in await rows(sdk.client.list_databases())} == {"ovenbridge", "second", "third"}
    await call(sdk.client.delete_database("third"))
    with pytest.raises(CosmosResourceNotFoundError):
        await call(sdk.client.get_database_client("third").read())


async def test_the_topology_stands_as_the_deployment_makes_it(sdk: Sdk) -> None:
    for spec in topology().containers.values():
        read = await call(sdk.container(spec.name).read())
        assert read["partitionKey"]["paths"] == [f"/{name}" for name in spec.partition_key]
        assert read["partitionKey"]["kind"] == ("MultiHash" if len(spec.partition_key) > 1 else "Hash")
        assert read.get("defaultTtl") == spec.ttl_seconds
        included = {entry["path"] for entry in read["indexingPolicy"]["includedPaths"]}
        assert included == {f"/{name}/?" for name in (*spec.partition_key, *spec.indexed) if name != "id"}
        assert read["indexingPolicy"]["excludedPaths"] == [{"path": "/*"}]


async def test_a_definition_is_kept_and_given_back(sdk: Sdk) -> None:
    composite = [[{"path": "/a", "order": "ascending"}, {"path": "/b", "order": "descending"}]]
    made = await sdk.make(
        "defined",
        ["/stream", "/meta/site"],
        default_ttl=60,
        unique_key_policy={"uniqueKeys": [{"paths": ["/a", "/b"]}]},
        indexing_policy={"includedPaths": [{"path": "/*"}], "excludedPaths": [], "compositeIndexes": composite},
    )
    read = await call(made.read())
    assert read["defaultTtl"] == 60
    assert read["uniqueKeyPolicy"] == {"uniqueKeys": [{"paths": ["/a", "/b"]}]}
    assert read["indexingPolicy"]["compositeIndexes"] == composite
    assert read["partitionKey"] == {"paths": ["/stream", "/meta/site"], "kind": "MultiHash", "version": 2}
    with pytest.raises(CosmosResourceExistsError):
        await sdk.make("defined")


async def test_throughput_can_be_read_back(sdk: Sdk) -> None:
    made = await sdk.make("paid", offer_throughput=400)
    assert (await call(made.get_throughput())).offer_throughput == 400


async def test_a_container_is_redefined(sdk: Sdk) -> None:
    made = await sdk.make("changing", default_ttl=60)
    await call(sdk.database.replace_container(made, PartitionKey(path="/pk"), default_ttl=120))
    assert (await call(made.read()))["defaultTtl"] == 120
    with pytest.raises(CosmosHttpResponseError, match="partition key cannot be changed"):
        await call(sdk.database.replace_container(made, PartitionKey(path="/other")))


async def test_containers_are_listed_and_found(sdk: Sdk) -> None:
    await sdk.make("one-more")
    listed = {c["id"] for c in await rows(sdk.database.list_containers())}
    assert listed == {*topology().containers, "one-more"}
    found = await rows(
        sdk.database.query_containers(
            "SELECT * FROM c WHERE c.id = @id", parameters=[{"name": "@id", "value": "one-more"}]
        )
    )
    assert [c["id"] for c in found] == ["one-more"]


async def test_a_deleted_container_is_gone_with_all_in_it(sdk: Sdk) -> None:
    made = await sdk.make("passing")
    await call(made.create_item({"id": "a", "pk": "p"}))
    await call(sdk.database.delete_container("passing"))
    for attempt in (
        made.read,
        lambda: made.read_item("a", "p"),
        lambda: made.upsert_item({"id": "a", "pk": "p"}),
        lambda: sdk.database.delete_container("passing"),
    ):
        with pytest.raises(CosmosResourceNotFoundError):
            await call(attempt())


async def test_an_item_in_no_container_says_so_by_its_sub_status(sdk: Sdk) -> None:
    with pytest.raises(CosmosResourceNotFoundError) as refused:
        await call(sdk.container("nowhere").read_item("a", "p"))
    assert refused.value.status_code == 404
    with pytest.raises(CosmosResourceNotFoundError):
        await call(
            sdk.client.get_database_client("nowhere").get_container_client("readings").read_item("a", ["p", "d"])
        )


async def test_a_container_made_anew_is_told_from_the_old_one(sdk: Sdk, server: CosmosServer) -> None:
    made = await sdk.make("twice")
    await call(made.create_item({"id": "a", "pk": "p"}))
    with sync_client(server.endpoint, server.key) as other:
        database = other.get_database_client("ovenbridge")
        database.delete_container("twice")
        database.create_container("twice", PartitionKey(path="/other"))
    # The SDK still knows the old key path; it learns of the new one by 400/1024 or 400/1001 and tries again.
    await call(made.create_item({"id": "b", "other": "q"}))
    assert (await call(made.read_item("b", "q")))["id"] == "b"


async def test_a_bad_definition_is_refused(sdk: Sdk) -> None:
    with pytest.raises(CosmosHttpResponseError, match="mandatory indexing path") as refused:
        await sdk.make("bad", indexing_policy={"includedPaths": [{"path": "/a/?"}], "excludedPaths": []})
    assert refused.value.status_code == 400
    with pytest.raises(CosmosHttpResponseError, match="ttl '0' is invalid"):
        await sdk.make("bad", default_ttl=0)


async def test_what_is_not_served_is_refused(sdk: Sdk) -> None:
    with pytest.raises(CosmosHttpResponseError, match="is not served by this server"):
        await rows(sdk.container("readings").scripts.list_stored_procedures())
    with pytest.raises(CosmosHttpResponseError, match="change feed is not served"):
        await rows(sdk.container("readings").query_items_change_feed(start_time="Beginning"))


async def test_stopped_and_started_it_has_its_documents(clock: object) -> None:
    server = CosmosServer()
    with server:
        server.create_topology()
        server.seed("equipment", [{"id": "a"}])
        port = server.port
    with server:
        assert server.port == port
        with sync_client(server.endpoint, server.key) as client:
            read = client.get_database_client("ovenbridge").get_container_client("equipment").read_item("a", "a")
    assert read["id"] == "a"


async def test_a_taken_port_is_told(server: CosmosServer) -> None:
    with pytest.raises(OSError, match="in use"):
        CosmosServer(port=server.port).start()


@pytest.mark.process
def test_it_runs_as_a_process_of_its_own() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.wire.cosmos", "--database", "bakery"], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        with settled(CosmosClient.from_connection_string(process.stdout.readline().strip())) as client:
            container = client.get_database_client("bakery").get_container_client("equipment")
            container.create_item({"id": "a"})
            assert container.read_item("a", "a")["id"] == "a"
        process.terminate()
        assert process.wait(10) == 0
