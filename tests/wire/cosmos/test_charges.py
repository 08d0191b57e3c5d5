"""What requests cost, and where keys live."""

from __future__ import annotations

from typing import Any

import pytest
from azure.cosmos.partition_key import PartitionKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.cosmos import CosmosServer, charges
from tests.wire.cosmos.conftest import Sdk, call
from tests.wire.cosmos.indexing import DEFAULT_POLICY, IndexingPolicy
from tests.wire.cosmos.partitions import UNDEFINED_COMPONENT, component, effective_key, ranges
from tests.wire.cosmos.protocol import CosmosError


def test_the_anchors_of_the_model() -> None:
    assert charges.point_read(1024) == 1
    assert charges.point_read(100 * 1024) == 10
    assert charges.insert(1024, 0) == 5.5
    assert charges.insert(900, 3) == 6.5
    assert 12 <= charges.insert(900, 25) <= 15
    assert charges.replace(900, 3) == 13
    assert charges.query(charges.Load()) == 2.3
    assert charges.query(charges.Load(partitions=3)) == 6.9


async def test_every_answer_says_what_it_cost(sdk: Sdk, server: CosmosServer) -> None:
    readings = sdk.container("readings")
    reading = {"id": "r:1", "equipmentId": "E", "day": "d", "ts": "t", "values": {"a": 1, "b": 2}}
    with server.counting() as count:
        await call(readings.create_item(reading))
        await call(readings.read_item("r:1", ["E", "d"]))
        await call(readings.replace_item("r:1", reading))
        await call(readings.patch_item("r:1", ["E", "d"], [{"op": "set", "path": "/v", "value": 1}]))
        batch = await call(readings.execute_item_batch([("read", ("r:1",)), ("upsert", (reading,))], ["E", "d"]))
        await call(readings.delete_item("r:1", ["E", "d"]))
    # Three indexed values and the id, which is always indexed.
    insert = round(5.5 + 4 / 3, 2)
    expected = [insert, 1.0, 2 * insert, 2 * insert, 1 + 2 * insert, insert]
    assert [entry.charge for entry in count.data] == pytest.approx(expected, abs=0.02)
    assert count.charge == pytest.approx(sum(expected), abs=0.05)
    assert sum(one["requestCharge"] for one in batch) == pytest.approx(1 + 2 * insert, abs=0.02)
    assert count.by_operation()["readings", "create"] == 1
    assert (count.entries[-1].method, count.entries[-1].container, count.entries[-1].item_id) == (
        "DELETE",
        "readings",
        "r:1",
    )


async def test_the_client_sees_charge_session_and_activity(sdk: Sdk) -> None:
    equipment = sdk.container("equipment")
    await call(equipment.create_item({"id": "a"}))
    headers = (await call(equipment.read_item("a", "a"))).get_response_headers()
    assert float(headers["x-ms-request-charge"]) == 1.0
    assert headers["x-ms-session-token"].startswith("0:-1#")
    assert len(headers["x-ms-activity-id"]) == 36
    assert headers["etag"].startswith('"')


async def test_a_page_costs_its_own_documents(sdk: Sdk, server: CosmosServer) -> None:
    server.seed("readings", ({"id": f"r{n:03d}", "equipmentId": "E", "day": "d", "ts": f"{n:03d}"} for n in range(500)))
    costs = []
    for text in (
        "SELECT TOP 1 * FROM c ORDER BY c.ts DESC",
        "SELECT TOP 100 * FROM c ORDER BY c.ts DESC",
        "SELECT * FROM c",
    ):
        with server.counting() as count:
            await sdk.query(sdk.container("readings"), text, "E", "d")
        costs.append(count.charge)
    assert 2.3 < costs[0] < 3
    assert costs[0] < costs[1] < costs[2]


# the index


def test_the_longest_rule_decides() -> None:
    policy = IndexingPolicy(
        {
            "includedPaths": [{"path": "/*"}, {"path": "/meta/site/?"}, {"path": '/"a.b"/*'}],
            "excludedPaths": [{"path": "/meta/*"}, {"path": '/"_etag"/?'}],
        }
    )
    served = {("x",): True, ("meta", "x"): False, ("meta", "site"): True, ("a.b", "c"): True, ("_etag",): False}
    assert {path: policy.serves(path) for path in served} == served
    assert policy.terms({"x": [1, 2], "meta": {"site": 1, "y": 2}, "z": {}}) == 3
    assert IndexingPolicy(DEFAULT_POLICY).serves(("anything", "deep"))
    none = IndexingPolicy({"indexingMode": "none"})
    assert none.serves(("id",))
    assert not none.serves(("x",))


# where keys live

SCALARS = (
    st.text(max_size=40)
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False).filter(bool)
    | st.booleans()
    | st.none()
)


@given(st.lists(SCALARS, min_size=1, max_size=3))
@settings(deadline=None)
def test_keys_are_hashed_as_the_client_hashes_them(values: list[Any]) -> None:
    """The client sends such hashes for a prefix of a hierarchical key; its function is private and may move."""
    paths = [f"/p{n}" for n in range(len(values))]
    theirs = PartitionKey(path=paths)._get_effective_partition_key_string(values)
    assert effective_key(tuple(component(value) for value in values)) == theirs


def test_what_is_not_there_has_a_hash_too() -> None:
    theirs = PartitionKey(path="/pk")._get_effective_partition_key_string([{}])  # type: ignore[list-item]
    assert effective_key((UNDEFINED_COMPONENT,)) == theirs


@given(st.integers(1, 16), st.text())
@settings(deadline=None)
def test_every_key_lives_in_one_partition(count: int, value: str) -> None:
    parts = ranges(count)
    assert (parts[0].low, parts[-1].high) == ("", "FF")
    assert [part.low for part in parts[1:]] == [part.high for part in parts[:-1]]
    assert sum(part.holds(effective_key((component(value),))) for part in parts) == 1


def test_what_cannot_be_a_key() -> None:
    for value in ([1], {"a": 1}, "x" * 2049):
        with pytest.raises(CosmosError):
            component(value)
