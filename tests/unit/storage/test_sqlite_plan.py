"""Every query that a room asks is served by an index, whatever the size of the table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from shared.messaging import sqlite_table
from shared.storage import BucketQuery, Equals, In, IsDefined, PartitionKey, Query, Range, sqlite_writes
from shared.storage.sqlite_buckets import compile_buckets
from shared.storage.sqlite_query import PageStatements, compile_query, continuation_of
from shared.storage.sqlite_schema import Table, create_tables
from shared.topology import topology

TABLES = {name: Table.of(spec) for name, spec in topology().containers.items()}
DUE = (Equals("status", "pending"), Range("nextAttemptAt", le="2026-11-21T10:00:00.000Z"))
DAY = ("oven-1", "2026-11-21")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with sqlite3.connect(":memory:") as made:
        create_tables(made, list(TABLES.values()))
        sqlite_table.create_tables(made)
    yield made
    made.close()


def explain(connection: sqlite3.Connection, sql: str, values: int) -> str:
    rows = connection.execute("EXPLAIN QUERY PLAN " + sql, ["1"] * values).fetchall()
    return "; ".join(row[3] for row in rows)


def plans(connection: sqlite3.Connection, page: PageStatements) -> list[str]:
    return [explain(connection, s.sql, len(s.values) + 1) for s in page.statements]


CASES: list[tuple[str, Query, PartitionKey | None, str]] = [
    ("readings", Query(order_by="ts"), DAY, "doc_readings_in_ts (pk=?)"),
    ("readings", Query(order_by="ts", descending=True, limit=1), DAY, "doc_readings_in_ts (pk=?)"),
    (
        "readings",
        Query((Range("ts", ge="a", lt="b"),), order_by="ts"),
        DAY,
        "doc_readings_in_ts (pk=? AND x_ts>? AND x_ts<?)",
    ),
    (
        "batches",
        Query((Range("startedAt", ge="a", lt="b"),), order_by="startedAt", descending=True),
        ("oven-1",),
        "doc_batches_in_startedAt (pk=? AND x_startedAt>? AND x_startedAt<?)",
    ),
    (
        "batches",
        Query((Equals("status", "running"), Range("startedAt", ge="a", lt="b")), order_by="startedAt", descending=True),
        ("oven-1",),
        "doc_batches_in_status_startedAt (pk=? AND x_status=? AND x_startedAt>? AND x_startedAt<?)",
    ),
    ("batches", Query((Equals("batchId", "x"),), limit=1), None, "doc_batches_all_batchId (x_batchId=?)"),
    (
        "batches",
        Query((Range("startedAt", ge="a", lt="b"),)),
        None,
        "doc_batches_all_startedAt (x_startedAt>? AND x_startedAt<?)",
    ),
    (
        "sessions",
        Query((Equals("kind", "session"), Equals("workOrderId", "WO-1"), Range("happenedAt", ge="a", lt="b"))),
        None,
        "doc_sessions_all_workOrderId_happenedAt (x_workOrderId=? AND x_happenedAt>? AND x_happenedAt<?)",
    ),
    (
        "sessions",
        Query((Equals("kind", "call"), Range("happenedAt", ge="a", lt="b"))),
        None,
        "doc_sessions_all_kind_happenedAt (x_kind=? AND x_happenedAt>? AND x_happenedAt<?)",
    ),
    ("batches", Query((Equals("workOrderId", "x"),)), None, "doc_batches_all_workOrderId (x_workOrderId=?)"),
    (
        "deliveries",
        Query(DUE),
        None,
        "doc_deliveries_all_status_nextAttemptAt (x_status=? AND x_nextAttemptAt>? AND x_nextAttemptAt<?)",
    ),
    (
        "deliveries",
        Query(DUE),
        ("cb",),
        "doc_deliveries_in_status_nextAttemptAt (pk=? AND x_status=? AND x_nextAttemptAt>? AND x_nextAttemptAt<?)",
    ),
    (
        "deliveries",
        Query(DUE, order_by="nextAttemptAt"),
        ("cb",),
        "doc_deliveries_in_status_nextAttemptAt (pk=? AND x_status=? AND x_nextAttemptAt>? AND x_nextAttemptAt<?)",
    ),
    ("deliveries", Query(order_by="createdAt", descending=True), ("cb",), "doc_deliveries_in_createdAt (pk=?)"),
    (
        "deliveries",
        Query((Range("createdAt", ge="a", lt="b"),)),
        None,
        "doc_deliveries_all_createdAt (x_createdAt>? AND x_createdAt<?)",
    ),
    ("alerts", Query((IsDefined("unpublished"),)), None, "doc_alerts_all_unpublished (x_unpublished>?)"),
    ("alerts", Query((Equals("unpublished", True),)), None, "doc_alerts_all_unpublished (x_unpublished=?)"),
    (
        "alerts",
        Query((In("status", ("active", "acknowledged")),)),
        None,
        "doc_alerts_all_status_triggeredAt (x_status=?)",
    ),
    ("connections", Query((IsDefined("backoffUntil"),)), None, "doc_connections_all_backoffUntil (x_backoffUntil>?)"),
    ("equipment", Query((Equals("iotEnabled", True),)), None, "doc_equipment_all_iotEnabled (x_iotEnabled=?)"),
    ("audit", Query(order_by="seq", descending=True, limit=1), ("s", "2026-11"), "doc_audit_in_seq (pk=?)"),
    ("audit", Query((Range("at", ge="a", lt="b"),)), None, "doc_audit_all_at (x_at>? AND x_at<?)"),
    (
        "inbound",
        Query((Equals("equipmentId", "o"), Range("receivedAt", ge="a"))),
        None,
        "doc_inbound_all_equipmentId_receivedAt (x_equipmentId=? AND x_receivedAt>?",
    ),
    (
        "events",
        Query((Equals("type", "ALERT_RAISED"),), order_by="ts"),
        ("2026-11-21T10",),
        "doc_events_in_type_ts (pk=? AND x_type=?)",
    ),
]


@pytest.mark.parametrize(("container", "query", "partition", "expected"), CASES, ids=lambda v: str(v)[:60])
def test_the_index_and_no_sort(
    connection: sqlite3.Connection, container: str, query: Query, partition: PartitionKey | None, expected: str
) -> None:
    (plan,) = plans(connection, compile_query(TABLES[container], query, partition, 0))
    assert expected in plan
    assert "SCAN" not in plan
    sort = plan.replace("USE TEMP B-TREE FOR RIGHT PART OF ORDER BY", "")  # among equals only, in runs
    assert "TEMP B-TREE" not in sort or "In(" in repr(query)


@pytest.mark.parametrize(("container", "query", "partition", "expected"), CASES, ids=lambda v: str(v)[:60])
def test_so_do_the_pages_that_follow(
    connection: sqlite3.Connection, container: str, query: Query, partition: PartitionKey | None, expected: str
) -> None:
    table = TABLES[container]
    first = compile_query(table, query, partition, 0)
    columns = first.statements[0].sql.split(" FROM ")[0].count(",") - 1
    token = continuation_of(first.fingerprint, ["5"] * columns)
    following = Query(query.where, query.order_by, query.descending, query.limit, token)
    page = compile_query(table, following, partition, 0)
    assert len(page.statements) >= columns
    for plan in plans(connection, page):
        assert "SCAN" not in plan
        assert "SEARCH" in plan


def test_a_whole_container_is_walked_by_rowid(connection: sqlite3.Connection) -> None:
    (plan,) = plans(connection, compile_query(TABLES["deliveries"], Query(), None, 0))
    assert plan == "SCAN doc_deliveries", "in its own order, without a sort"


def test_some_days_of_an_oven(connection: sqlite3.Connection) -> None:
    query = Query((In("day", ("1", "2")), Range("ts", ge="a", lt="b")), order_by="ts")
    (plan,) = plans(connection, compile_query(TABLES["connectionLogs"], query, ("oven-1",), 0))
    assert "SEARCH" in plan
    assert "(pk=?" in plan


def test_buckets_read_their_time_only(connection: sqlite3.Connection) -> None:
    query = BucketQuery("ts", "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z", 60, {"a": ("a",), "b": ("b",)})
    statement = compile_buckets(TABLES["readings"], query, DAY, 0)
    plan = explain(connection, statement.sql, len(statement.values))
    assert "doc_readings_in_ts (pk=? AND x_ts>? AND x_ts<?)" in plan


@pytest.mark.parametrize("size", [1, 16, 128])
def test_writes_find_their_rows(connection: sqlite3.Connection, size: int) -> None:
    statements = [
        (sqlite_writes._select("doc_readings", size), 2 * size),
        (sqlite_writes._remove("doc_readings", size), 2 * size),
        (sqlite_table._count(size), 4 * size),
        (sqlite_table._remove(size), 2 * size + 1),
    ]
    for sql, values in statements:
        plan = explain(connection, sql, values)
        assert "SEARCH" in plan
        for scanned in ("SCAN t", "SCAN m", "SCAN doc_readings", "SCAN queue_messages"):
            assert scanned not in plan


def test_purging_finds_its_rows(connection: sqlite3.Connection) -> None:
    sql = "DELETE FROM doc_readings WHERE number IN (SELECT number FROM doc_readings WHERE purge <= ? LIMIT 9)"
    assert "USING COVERING INDEX doc_readings_purge (purge<?)" in explain(connection, sql, 1)


def test_every_index_is_over_indexed_properties() -> None:
    for table in TABLES.values():
        for index in table.indexes:
            assert set(index.properties) <= set(table.properties), f"{index.name}: see infra/topology.json"
