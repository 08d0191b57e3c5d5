"""Patches and transactional batches, through the SDK."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceNotFoundError,
)

from tests.wire.cosmos.conftest import Sdk, call, rows
from tests.wire.cosmos.test_documents import status_of

START: dict[str, Any] = {"id": "a", "pk": "p", "n": 1, "isOpen": True, "who": "Müller", "list": [1, 2], "in": {"x": 1}}


@pytest.fixture
async def keyed(sdk: Sdk) -> Any:
    container = await sdk.make("keyed")
    await call(container.create_item(START))
    return container


@pytest.mark.parametrize(
    ("operation", "name", "after"),
    [
        ({"op": "add", "path": "/new", "value": {"deep": 1}}, "new", {"deep": 1}),
        ({"op": "add", "path": "/list/0", "value": 0}, "list", [0, 1, 2]),
        ({"op": "add", "path": "/list/-", "value": 3}, "list", [1, 2, 3]),
        ({"op": "set", "path": "/list/0", "value": 9}, "list", [9, 2]),
        ({"op": "set", "path": "/in/y", "value": 2}, "in", {"x": 1, "y": 2}),
        ({"op": "replace", "path": "/n", "value": 5}, "n", 5),
        ({"op": "incr", "path": "/n", "value": 2.5}, "n", 3.5),
        ({"op": "incr", "path": "/absent", "value": 2}, "absent", 2),
        ({"op": "remove", "path": "/in/x"}, "in", {}),
        ({"op": "remove", "path": "/list/0"}, "list", [2]),
        ({"op": "move", "from": "/in/x", "path": "/x"}, "x", 1),
        ({"op": "set", "path": "/a~1b", "value": 1}, "a/b", 1),
    ],
)
async def test_each_operation(keyed: Any, operation: dict[str, Any], name: str, after: Any) -> None:
    assert (await call(keyed.patch_item("a", "p", [operation])))[name] == after
    assert (await call(keyed.read_item("a", "p")))[name] == after


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ({"op": "replace", "path": "/absent", "value": 5}, "absent"),
        ({"op": "remove", "path": "/absent"}, "absent"),
        ({"op": "set", "path": "/absent/x", "value": 1}, "absent"),
        ({"op": "incr", "path": "/who", "value": 1}, "no number"),
        ({"op": "incr", "path": "/n", "value": "1"}, "needs a number"),
        ({"op": "set", "path": "/n"}, "needs a value"),
        ({"op": "set", "path": "n", "value": 1}, "begins with a slash"),
        ({"op": "test", "path": "/n", "value": 1}, "unknown"),
        ({"op": "set", "path": "/pk", "value": "q"}, "partition key"),
        ({"op": "set", "path": "/id", "value": "b"}, "system property"),
        ({"op": "set", "path": "/_etag", "value": "b"}, "system property"),
        ({"op": "remove", "path": "/list/7"}, "list"),
    ],
)
async def test_what_no_patch_may_do(keyed: Any, operation: dict[str, Any], said: str) -> None:
    fine = {"op": "set", "path": "/before", "value": 1}
    with pytest.raises(CosmosHttpResponseError, match=said) as refused:
        await call(keyed.patch_item("a", "p", [fine, operation]))
    assert refused.value.status_code == 400
    assert "before" not in await call(keyed.read_item("a", "p"))
    assert await rows(keyed.query_items("SELECT VALUE IS_DEFINED(c.before) FROM c", partition_key="p")) == [False]


async def test_ten_operations_and_no_more(keyed: Any) -> None:
    operations = [{"op": "set", "path": f"/f{n}", "value": n} for n in range(11)]
    with pytest.raises(CosmosHttpResponseError, match="can't exceed '10'") as refused:
        await call(keyed.patch_item("a", "p", operations))
    assert refused.value.status_code == 400
    assert (await call(keyed.patch_item("a", "p", operations[:10])))["f9"] == 9


async def test_a_patch_of_nothing(keyed: Any) -> None:
    for name, key in (("b", "p"), ("a", "q")):
        with pytest.raises(CosmosResourceNotFoundError):
            await call(keyed.patch_item(name, key, [{"op": "set", "path": "/n", "value": 1}]))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("FROM c WHERE c.isOpen = true", True),
        ("from c where c.isOpen = false", False),
        ("FROM c WHERE c.who = 'Müller'", True),
        ("FROM c WHERE c.who = 'müller'", False),
        ("FROM c WHERE c.isopen = true", False),
        ("FROM x WHERE x.n < 2 AND IS_DEFINED(x.who)", True),
        ('FROM c WHERE c["in"]["x"] = 1', True),
    ],
)
async def test_a_patch_under_a_condition(keyed: Any, condition: str, holds: bool) -> None:
    change = [{"op": "incr", "path": "/n", "value": 1}]
    if holds:
        assert (await call(keyed.patch_item("a", "p", change, filter_predicate=condition)))["n"] == 2
        return
    with pytest.raises(CosmosAccessConditionFailedError) as refused:
        await call(keyed.patch_item("a", "p", change, filter_predicate=condition))
    assert status_of(refused) == (412, 1110)
    assert (await call(keyed.read_item("a", "p")))["n"] == 1


async def test_the_condition_is_about_this_document_alone(keyed: Any) -> None:
    await call(keyed.create_item({**START, "pk": "q", "n": 100}))
    with pytest.raises(CosmosAccessConditionFailedError):
        await call(
            keyed.patch_item(
                "a", "p", [{"op": "incr", "path": "/n", "value": 1}], filter_predicate="FROM c WHERE c.n=100"
            )
        )


# batches


async def test_a_batch_of_several(keyed: Any) -> None:
    done = await call(
        keyed.execute_item_batch(
            [
                ("create", ({"id": "b", "pk": "p"},)),
                ("upsert", ({"id": "c", "pk": "p"},)),
                ("read", ("a",)),
                ("patch", ("a", [{"op": "incr", "path": "/n", "value": 1}])),
            ],
            "p",
        )
    )
    assert [one["statusCode"] for one in done] == [201, 201, 200, 200]
    assert done[3]["resourceBody"]["n"] == 2
    assert done[0]["eTag"] == done[0]["resourceBody"]["_etag"]
    assert all(one["requestCharge"] > 0 for one in done)


async def test_a_batch_that_deletes(keyed: Any) -> None:
    done = await call(
        keyed.execute_item_batch(
            [
                ("create", ({"id": "b", "pk": "p"},)),
                ("upsert", ({"id": "c", "pk": "p"},)),
                ("replace", ("a", {"id": "a", "pk": "p", "n": 5})),
                ("delete", ("b",)),
            ],
            "p",
        )
    )
    assert [one["statusCode"] for one in done] == [201, 201, 200, 204]


@pytest.mark.parametrize(
    ("failing", "status"),
    [
        (("create", ({"id": "a", "pk": "p"},)), 409),
        (("read", ("absent",)), 404),
        (("replace", ("absent", {"id": "absent", "pk": "p"})), 404),
        (("delete", ("absent",)), 404),
        (("replace", ("a", {"id": "a", "pk": "p"}), {"if_match_etag": '"stale"'}), 412),
        (("delete", ("a",), {"if_match_etag": '"stale"'}), 412),
        (("patch", ("a", [{"op": "set", "path": "/n", "value": 1}]), {"filter_predicate": "FROM c WHERE c.n=9"}), 412),
        (("create", ({"id": "x", "pk": "other"},)), 400),
    ],
)
async def test_a_batch_that_fails_leaves_nothing(keyed: Any, failing: Any, status: int) -> None:
    before = await call(keyed.read_item("a", "p"))
    failing = copy.deepcopy(failing)  # the client takes its options apart
    with pytest.raises(CosmosBatchOperationError) as refused:
        await call(
            keyed.execute_item_batch(
                [
                    ("create", ({"id": "b", "pk": "p"},)),
                    ("patch", ("a", [{"op": "incr", "path": "/n", "value": 1}])),
                    failing,
                    ("create", ({"id": "c", "pk": "p"},)),
                ],
                "p",
            )
        )
    assert refused.value.error_index == 2
    assert refused.value.status_code == status
    assert [one["statusCode"] for one in refused.value.operation_responses] == [424, 424, status, 424]
    assert await call(keyed.read_item("a", "p")) == before
    for name in "bc":
        with pytest.raises(CosmosResourceNotFoundError):
            await call(keyed.read_item(name, "p"))


async def test_every_level_of_the_key_must_fit(sdk: Sdk) -> None:
    reading = {"id": "r", "equipmentId": "E", "day": "2026-11-20"}
    with pytest.raises(CosmosBatchOperationError) as refused:
        await call(sdk.container("readings").execute_item_batch([("create", (reading,))], ["E", "2026-11-21"]))
    assert refused.value.operation_responses[0]["subStatusCode"] == 1001


async def test_a_patch_beyond_two_megabytes(keyed: Any) -> None:
    for name in ("one", "two", "three"):
        change = [{"op": "set", "path": f"/{name}", "value": "x" * 900_000}]
        if name != "three":
            await call(keyed.patch_item("a", "p", change))
            continue
        with pytest.raises(CosmosHttpResponseError) as refused:
            await call(keyed.patch_item("a", "p", change))
    assert refused.value.status_code == 413
    assert "three" not in await call(keyed.read_item("a", "p"))


async def test_a_rolled_back_partition_that_was_empty(sdk: Sdk, keyed: Any) -> None:
    with pytest.raises(CosmosBatchOperationError):
        await call(keyed.execute_item_batch([("create", ({"id": "b", "pk": "new"},)), ("read", ("absent",))], "new"))
    assert await sdk.query(keyed, "SELECT VALUE c.id FROM c") == ["a"]


async def test_later_operations_see_the_earlier_ones(keyed: Any) -> None:
    done = await call(
        keyed.execute_item_batch(
            [("create", ({"id": "b", "pk": "p"},)), ("delete", ("b",)), ("create", ({"id": "b", "pk": "p", "v": 2},))],
            "p",
        )
    )
    assert [one["statusCode"] for one in done] == [201, 204, 201]
    assert (await call(keyed.read_item("b", "p")))["v"] == 2


async def test_a_hundred_operations_and_no_more(keyed: Any) -> None:
    operations = [("create", ({"id": f"x{n}", "pk": "p"},)) for n in range(101)]
    with pytest.raises(CosmosHttpResponseError, match="more operations") as refused:
        await call(keyed.execute_item_batch(operations, "p"))
    assert refused.value.status_code == 400
    assert len(await call(keyed.execute_item_batch(operations[:100], "p"))) == 100


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_batch_over_two_megabytes(keyed: Any) -> None:
    operations = [("create", ({"id": f"x{n}", "pk": "p", "text": "x" * 600_000},)) for n in range(4)]
    with pytest.raises(CosmosHttpResponseError) as refused:
        await call(keyed.execute_item_batch(operations, "p"))
    assert refused.value.status_code == 413
