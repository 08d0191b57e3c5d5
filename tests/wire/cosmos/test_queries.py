"""Queries through the SDK: scope, order, limits, aggregates, pages, the index, several physical partitions."""

from __future__ import annotations

from typing import Any

import pytest
from azure.cosmos.exceptions import CosmosHttpResponseError

from tests.wire.cosmos import CosmosServer
from tests.wire.cosmos.conftest import Sdk, call, pages, rows, sync_client

COMPOSITE = {
    "includedPaths": [{"path": "/*"}],
    "excludedPaths": [],
    "compositeIndexes": [[{"path": "/pk", "order": "ascending"}, {"path": "/n", "order": "descending"}]],
}


@pytest.fixture
async def numbers(sdk: Sdk, server: CosmosServer) -> Any:
    """Sixty documents in three partitions: n from 0 to 59, the partition by n modulo 3."""
    container = await sdk.make("numbers", indexing_policy=COMPOSITE)
    server.seed("numbers", ({"id": f"i{n:02d}", "pk": f"p{n % 3}", "n": n, "half": n / 2} for n in range(60)))
    return container


# scope


async def test_a_key_narrows_with_and_without_parameters(sdk: Sdk, numbers: Any) -> None:
    assert len(await sdk.query(numbers, "SELECT * FROM c", "p1")) == 20
    assert await sdk.query(numbers, "SELECT VALUE c.n FROM c WHERE c.n < @n", "p1", n=8) == [1, 4, 7]


async def test_across_partitions(sdk: Sdk, numbers: Any) -> None:
    assert await sdk.query(numbers, "SELECT VALUE c.n FROM c WHERE c.n < 4") == [0, 1, 2, 3]
    assert await sdk.query(numbers, "SELECT VALUE c.n FROM c WHERE c.pk = @pk AND c.n < 4", pk="p0") == [0, 3]


async def test_neither_key_nor_leave_to_cross(server: CosmosServer) -> None:
    """Only the sync client can ask so: the other always gives leave."""
    with sync_client(server.endpoint, server.key) as client:
        container = client.get_database_client("ovenbridge").get_container_client("equipment")
        with pytest.raises(CosmosHttpResponseError, match="Cross partition query is required but disabled") as refused:
            list(container.query_items("SELECT * FROM c"))
    assert refused.value.status_code == 400


# order


async def test_one_field_in_a_partition(sdk: Sdk, numbers: Any, server: CosmosServer) -> None:
    assert await sdk.query(numbers, "SELECT VALUE c.n FROM c WHERE c.n < 8 ORDER BY c.n DESC", "p1") == [7, 4, 1]
    assert server.cross_partition_orders == []


async def test_one_field_across_goes_by_the_plan_and_is_noted(sdk: Sdk, numbers: Any, server: CosmosServer) -> None:
    text = "SELECT c.n, c.half AS h FROM c WHERE c.n < 3 ORDER BY c.n DESC"
    with server.counting() as count:
        assert await sdk.query(numbers, text) == [{"n": 2, "h": 1.0}, {"n": 1, "h": 0.5}, {"n": 0, "h": 0.0}]
    assert server.cross_partition_orders == [("numbers", text)]
    assert [entry.status for entry in count.data] == [400, 200]
    assert [entry.operation for entry in count.entries].count("query_plan") == 1


async def test_two_fields_want_a_composite_index(sdk: Sdk, numbers: Any) -> None:
    for text in ("ORDER BY c.pk, c.n DESC", "ORDER BY c.pk DESC, c.n"):
        assert len(await sdk.query(numbers, f"SELECT * FROM c {text}", "p1")) == 20
        assert len(await sdk.query(numbers, f"SELECT * FROM c {text}")) == 60
    assert await sdk.query(numbers, "SELECT VALUE c.n FROM c WHERE c.n < 4 ORDER BY c.pk, c.n DESC") == [3, 0, 1, 2]
    for text in ("ORDER BY c.pk, c.n", "ORDER BY c.n, c.pk DESC", "ORDER BY c.half, c.n"):
        for key in ((), ("p1",)):
            with pytest.raises(CosmosHttpResponseError, match="does not have a corresponding composite index") as no:
                await sdk.query(numbers, f"SELECT * FROM c {text}", *key)
            assert no.value.status_code == 400


async def test_no_order_by_what_is_not_indexed(sdk: Sdk) -> None:
    readings = sdk.container("readings")
    key = ("E1", "2026-11-21")
    for path in ("values", "_lsn", "ts2"):
        with pytest.raises(CosmosHttpResponseError, match="specified order-by item is excluded") as refused:
            await sdk.query(readings, f'SELECT * FROM c ORDER BY c["{path}"]', *key)
        assert refused.value.status_code == 400
    for path in ("ts", "id", "day", "_ts"):
        assert await sdk.query(readings, f"SELECT * FROM c ORDER BY c.{path}", *key) == []
    with pytest.raises(CosmosHttpResponseError, match="could not be mapped to a document path"):
        await sdk.query(readings, "SELECT * FROM c ORDER BY LOWER(c.ts)", *key)


async def test_types_have_their_order(sdk: Sdk) -> None:
    mixed = await sdk.make("mixed")
    values: list[Any] = ["b", 2, None, True, "a", 1.5, False, [1], {"x": 1}]
    for number, value in enumerate(values):
        await call(mixed.create_item({"id": f"{number}", "pk": "p", "v": value}))
    await call(mixed.create_item({"id": "absent", "pk": "p"}))
    found = await sdk.query(mixed, "SELECT c.v FROM c ORDER BY c.v", "p")
    assert found == [{}, *({"v": v} for v in (None, False, True, 1.5, 2, "a", "b", [1], {"x": 1}))]


# limits


async def test_offset_and_limit(sdk: Sdk, numbers: Any) -> None:
    text = "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 2 LIMIT 3"
    assert await sdk.query(numbers, text, "p1") == [7, 10, 13]
    assert await sdk.query(numbers, text) == [2, 3, 4]
    assert len(await sdk.query(numbers, "SELECT * FROM c OFFSET 58 LIMIT 10")) == 2
    assert await sdk.query(numbers, "SELECT * FROM c OFFSET @o LIMIT @l", "p1", o=19, l=5) != []
    assert await sdk.query(numbers, "SELECT * FROM c OFFSET 20 LIMIT 5", "p1") == []


async def test_top(sdk: Sdk, numbers: Any) -> None:
    assert await sdk.query(numbers, "SELECT TOP 2 VALUE c.n FROM c ORDER BY c.n DESC", "p1") == [58, 55]
    assert len(await sdk.query(numbers, "SELECT TOP @n * FROM c", n=7)) == 7
    assert await sdk.query(numbers, "SELECT TOP 0 * FROM c", "p1") == []
    with pytest.raises(CosmosHttpResponseError):
        await sdk.query(numbers, "SELECT TOP 1 * FROM c OFFSET 1 LIMIT 1", "p1")


async def test_a_limit_holds_over_all_pages(sdk: Sdk, numbers: Any, server: CosmosServer) -> None:
    server.page_limit = 2
    assert await sdk.query(numbers, "SELECT TOP 5 VALUE c.n FROM c ORDER BY c.n", "p1") == [1, 4, 7, 10, 13]
    assert await sdk.query(numbers, "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 3 LIMIT 5", "p1") == [
        10,
        13,
        16,
        19,
        22,
    ]
    assert await sdk.query(numbers, "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 3 LIMIT 5") == [3, 4, 5, 6, 7]


# aggregates


@pytest.mark.parametrize(
    ("aggregate", "inside", "across"),
    [
        ("COUNT(1)", 20, 60),
        ("AVG(c.n)", 29.5, 29.5),
        ("MIN(c.n)", 1, 0),
        ("MAX(c.n)", 58, 59),
        ("SUM(c.half)", 295, 885),
        ("COUNT(c.absent)", 0, 0),
    ],
)
async def test_one_value(sdk: Sdk, numbers: Any, aggregate: str, inside: float, across: float) -> None:
    assert await sdk.query(numbers, f"SELECT VALUE {aggregate} FROM c", "p1") == [inside]
    assert await sdk.query(numbers, f"SELECT VALUE {aggregate} FROM c") == [across]


async def test_aggregates_of_what_is_no_number(sdk: Sdk) -> None:
    mixed = await sdk.make("mixed")
    for number, value in enumerate(("b", "a", 3, None)):
        await call(mixed.create_item({"id": f"{number}", "pk": "p", "v": value}))
    assert await sdk.query(mixed, "SELECT COUNT(c.v) AS n, MIN(c.v) AS lo, MAX(c.v) AS hi FROM c", "p") == [
        {"n": 4, "lo": None, "hi": "b"}
    ]
    assert await sdk.query(mixed, "SELECT AVG(c.v) AS a, SUM(c.v) AS s FROM c", "p") == [{}]


async def test_several_in_one_partition(sdk: Sdk, numbers: Any) -> None:
    text = "SELECT COUNT(1) AS n, MIN(c.n) AS lo, MAX(c.n) AS hi, AVG(c.n) + 0.5 AS mean FROM c WHERE c.n < 8"
    assert await sdk.query(numbers, text, "p1") == [{"n": 3, "lo": 1, "hi": 7, "mean": 4.5}]
    with pytest.raises(CosmosHttpResponseError) as refused:
        await sdk.query(numbers, text)
    assert refused.value.status_code == 400


async def test_groups_in_one_partition(sdk: Sdk, numbers: Any, server: CosmosServer) -> None:
    text = "SELECT c.n % 2 AS odd, COUNT(1) AS n, MAX(c.n) AS hi FROM c GROUP BY c.n % 2"
    found = await sdk.query(numbers, text, "p1")
    assert sorted(found, key=lambda g: g["odd"]) == [{"odd": 0, "n": 10, "hi": 58}, {"odd": 1, "n": 10, "hi": 55}]
    with pytest.raises(CosmosHttpResponseError, match="GroupBy, which the calling client does not support") as refused:
        await sdk.query(numbers, text)
    assert refused.value.status_code == 400
    assert server.observed.cross_partition_groups == [("numbers", text)]


async def test_what_is_neither_grouped_nor_summed_up(sdk: Sdk, numbers: Any) -> None:
    for text in (
        "SELECT c.id, COUNT(1) FROM c",
        "SELECT c.id, c.pk FROM c GROUP BY c.pk",
        "SELECT * FROM c GROUP BY c.pk",
        "SELECT COUNT(1) AS n FROM c ORDER BY c.n",
        "SELECT VALUE c.n FROM c WHERE COUNT(1) > 1",
    ):
        with pytest.raises(CosmosHttpResponseError) as refused:
            await sdk.query(numbers, text, "p1")
        assert refused.value.status_code == 400


async def test_a_chart(sdk: Sdk, server: CosmosServer) -> None:
    """Minimum, maximum and mean by five minutes, under a name with a dot."""
    server.seed(
        "readings",
        (
            {
                "id": f"r:{n}",
                "equipmentId": "E1",
                "day": "2026-11-21",
                "ts": f"2026-11-21T10:{n:02d}:30.000Z",
                "values": {"temperature.core": {"v": 70 + n}},
            }
            for n in range(12)
        ),
    )
    at, value = "DateTimeBin(c.ts, 'minute', 5)", 'c["values"]["temperature.core"]["v"]'
    text = f"""SELECT {at} AS start, MIN({value}) AS lo, MAX({value}) AS hi, AVG({value}) AS mean, COUNT({value}) AS n
        FROM c WHERE c.ts >= @a AND c.ts < @b GROUP BY {at}"""
    found = await sdk.query(
        sdk.container("readings"), text, "E1", "2026-11-21", a="2026-11-21T10:00:00.000Z", b="2026-11-21T10:10:00.000Z"
    )
    assert sorted(found, key=lambda bucket: bucket["start"]) == [
        {"start": "2026-11-21T10:00:00.0000000Z", "lo": 70, "hi": 74, "mean": 72, "n": 5},
        {"start": "2026-11-21T10:05:00.0000000Z", "lo": 75, "hi": 79, "mean": 77, "n": 5},
    ]


# pages


async def test_pages_in_a_partition_and_across(sdk: Sdk, numbers: Any) -> None:
    found = await pages(numbers.query_items("SELECT * FROM c", max_item_count=25, **sdk.scope()))
    assert [len(items) for items, _ in found] == [25, 25, 10]
    assert [token is not None for _, token in found] == [True, True, False]
    found = await pages(numbers.query_items("SELECT * FROM c", max_item_count=8, partition_key="p1"))
    assert [len(items) for items, _ in found] == [8, 8, 4]


@pytest.mark.parametrize("order", ["", " ORDER BY c.n", " ORDER BY c.n DESC", " ORDER BY c.pk, c.n DESC"])
async def test_a_token_leads_on_behind_the_last_document(sdk: Sdk, numbers: Any, order: str) -> None:
    def ask() -> Any:
        return numbers.query_items(f"SELECT VALUE c.n FROM c{order}", max_item_count=7, partition_key="p1")

    (first, token), *_ = await pages(ask())
    everything = await rows(ask())
    await call(numbers.delete_item(f"i{first[0]:02d}", "p1"))
    await call(numbers.delete_item(f"i{first[-1]:02d}", "p1"))
    rest = [n for items, _ in await pages(ask(), token) for n in items]
    assert first + rest == everything


async def test_a_token_of_an_unordered_stream_across(sdk: Sdk, numbers: Any) -> None:
    def ask() -> Any:
        return numbers.query_items("SELECT VALUE c.n FROM c", max_item_count=25, **sdk.scope())

    (first, token), *_ = await pages(ask())
    assert token
    assert first + [n for items, _ in await pages(ask(), token) for n in items] == list(range(60))


@pytest.mark.parametrize("token", ["nonsense", "e30=", "WyJhIiwgWzFdXQ=="])
async def test_a_token_that_is_none(sdk: Sdk, numbers: Any, token: str) -> None:
    with pytest.raises(CosmosHttpResponseError, match="Invalid Continuation Token") as refused:
        await pages(numbers.query_items("SELECT * FROM c", max_item_count=5, partition_key="p1"), token)
    assert refused.value.status_code == 400


async def test_a_token_of_another_query(sdk: Sdk, numbers: Any) -> None:
    (_, token), *_ = await pages(numbers.query_items("SELECT * FROM c", max_item_count=5, partition_key="p1"))
    with pytest.raises(CosmosHttpResponseError, match="belongs to another query"):
        await pages(numbers.query_items("SELECT c.id FROM c", max_item_count=5, partition_key="p1"), token)


async def test_pages_of_a_prefix(sdk: Sdk, server: CosmosServer) -> None:
    server.seed(
        "readings",
        ({"id": f"r:{n}", "equipmentId": f"E{n % 2}", "day": f"d{n % 5}", "ts": f"{n:03d}"} for n in range(40)),
    )

    def ask() -> Any:
        return sdk.container("readings").query_items("SELECT * FROM c", partition_key=["E1"], max_item_count=6)

    (first, token), *_ = await pages(ask())
    assert len(first) == 6
    rest = [row for items, _ in await pages(ask(), token) for row in items]
    assert sorted(row["ts"] for row in first + rest) == [f"{n:03d}" for n in range(1, 40, 2)]


async def test_no_page_is_over_four_megabytes(sdk: Sdk, server: CosmosServer) -> None:
    server.seed("equipment", ({"id": f"e{n}", "text": "x" * 1_500_000} for n in range(5)))
    found = await pages(sdk.container("equipment").query_items("SELECT * FROM c", **sdk.scope()))
    assert [len(items) for items, _ in found] == [2, 2, 1]


async def test_all_items_and_odd_page_sizes(sdk: Sdk, numbers: Any) -> None:
    assert len(await rows(numbers.read_all_items())) == 60
    assert len(await rows(numbers.read_all_items(max_item_count=7))) == 60
    found = await pages(numbers.query_items("SELECT * FROM c", max_item_count=-1, partition_key="p1"))
    assert [len(items) for items, _ in found] == [20]
    with pytest.raises(CosmosHttpResponseError, match="x-ms-max-item-count"):
        await rows(numbers.query_items("SELECT * FROM c", max_item_count=-7, partition_key="p1"))


# the index


async def test_a_filter_by_what_is_not_indexed_is_noted_and_costs_more(sdk: Sdk, server: CosmosServer) -> None:
    server.seed(
        "readings",
        ({"id": f"r{n:03d}", "equipmentId": "E", "day": "d", "ts": f"{n:03d}", "v": n} for n in range(200)),
    )
    readings, costs = sdk.container("readings"), []
    for text in ("c.ts = '007'", "c.v = 7", "c.v = 7 AND c.ts < '100'"):
        with server.counting() as count:
            assert len(await sdk.query(readings, f"SELECT * FROM c WHERE {text}", "E", "d")) == 1
        costs.append(count.charge)
    assert costs[0] < 3 < costs[2] < costs[1]
    assert [(name, paths) for name, _, paths in server.observed.scans] == [("readings", ("/v",))] * 2


async def test_what_counts_as_a_scan(sdk: Sdk, server: CosmosServer) -> None:
    for text in ("c.id = 'a'", "IS_DEFINED(c.ts)", "STARTSWITH(c.ts, '2')", "NOT (c.ts > 'a' OR c.day = 'b')"):
        await sdk.query(sdk.container("readings"), f"SELECT c.v FROM c WHERE {text}", "E", "d")
    assert server.observed.scans == []
    text = 'SELECT * FROM c WHERE LOWER(c.ts) = "a" AND c["in"].v > 1'
    await sdk.query(sdk.container("readings"), text, "E", "d")
    assert [paths for _, _, paths in server.observed.scans] == [("LOWER(/ts)", "/in/v")]


# what auditors ask


async def test_the_auditors_queries(sdk: Sdk, server: CosmosServer) -> None:
    """The four of the architecture notes, word for word."""
    server.seed("audit", ({"id": f"e:{n}", "stream": "equipment:X", "month": "2026-11", "seq": n} for n in (2, 1, 3)))
    found = await sdk.query(
        sdk.container("audit"),
        "SELECT c.seq,c.at,c.actor,c.action,c.before,c.after,c.hash FROM c "
        "WHERE c.stream='equipment:X' AND c.month='2026-11' ORDER BY c.seq",
        "equipment:X",
        "2026-11",
    )
    assert found == [{"seq": 1}, {"seq": 2}, {"seq": 3}]
    server.seed(
        "readings",
        (
            {"id": t, "equipmentId": "E", "day": "d", "ts": t, "temperatureZones": {"core": 70}, "other": 1}
            for t in ("10:02", "10:01", "10:05")
        ),
    )
    found = await sdk.query(
        sdk.container("readings"),
        "SELECT c.ts,c.temperatureZones.core FROM c "
        "WHERE c.equipmentId=@e AND c.day=@d AND c.ts BETWEEN @a AND @b ORDER BY c.ts",
        "E",
        "d",
        e="E",
        d="d",
        a="10:00",
        b="10:02",
    )
    assert found == [{"ts": "10:01", "core": 70}, {"ts": "10:02", "core": 70}]
    opened = {"equipmentId": "E", "openedAt": "2026-11-21T10:00:00.000Z", "severity": "high"}
    server.seed(
        "alerts",
        [
            {**opened, "id": "never"},
            {**opened, "id": "late", "acknowledgedAt": "2026-11-21T10:16:00.000Z"},
            {**opened, "id": "in time", "acknowledgedAt": "2026-11-21T10:15:59.000Z"},
        ],
    )
    found = await sdk.query(
        sdk.container("alerts"),
        "SELECT c.id,c.severity,c.openedAt,c.acknowledgedAt FROM c WHERE c.openedAt>=@from AND "
        "(NOT IS_DEFINED(c.acknowledgedAt) OR DateTimeDiff('minute',c.openedAt,c.acknowledgedAt)>15)",
        **{"from": "2026-11-21"},
    )
    assert [alert["id"] for alert in found] == ["never", "late"]
    server.seed("deliveries", [{"id": "d", "callbackId": "c", "status": "discarded", "createdAt": "2", "eventId": "e"}])
    found = await sdk.query(
        sdk.container("deliveries"),
        "SELECT c.callbackId,c.eventId,c.attempts,c.discardReason FROM c "
        "WHERE c.status='discarded' AND c.createdAt>=@from",
        **{"from": "1"},
    )
    assert found == [{"callbackId": "c", "eventId": "e"}]
