"""Compiles the typed query to SQL. Values are always bound; names come from the topology or are checked paths."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from shared import json_text
from shared.clock import iso, parse_iso
from shared.errors import InvalidInput
from shared.storage.port import PartitionKey
from shared.storage.query import BucketQuery, Condition, Equals, In, IsDefined, Query, Range, Scalar
from shared.storage.sqlite_changes import partition_text, path_keys
from shared.storage.sqlite_schema import SEPARATOR, Table, column_value

__all__ = ["Statement", "compile_buckets", "compile_query", "continuation_of"]

MAX_LIMIT = 1000
MAX_IN = 100


@dataclass(slots=True)
class Statement:
    """SQL with its values."""

    sql: str
    values: list[Any]
    fingerprint: str = ""
    """What a continuation of this query is bound to."""


class _Property:
    """A property inside SQL: an indexed column, a key column, or looked up in the body."""

    def __init__(self, table: Table, path: str) -> None:
        keys = path_keys(path)
        self.path = path
        self.column: str | None = None
        if path == "id":
            self.column = "id"
        elif path in table.columns:
            self.column = f'"x_{path}"'
        elif table.spec.partition_key == (path,):
            self.column = "pk"
        place = "$" + "".join(f'."{key}"' for key in keys)
        self.value = self.column or f"json_extract(CAST(body AS TEXT), '{place}')"
        self.kind = f"json_type(CAST(body AS TEXT), '{place}')"

    def equals(self, value: Scalar) -> tuple[str, list[Any]]:
        if self.column:
            return f"{self.column} = ?", [column_value(value)]
        if value is None or isinstance(value, bool):
            return f"{self.kind} = ?", [{None: "null", True: "true", False: "false"}[value]]
        kinds = "= 'text'" if isinstance(value, str) else "IN ('integer', 'real')"
        return f"({self.value} = ? AND {self.kind} {kinds})", [column_value(value)]

    def any_of(self, values: tuple[Scalar, ...]) -> tuple[str, list[Any]]:
        if self.column:
            return f"{self.column} IN ({', '.join('?' * len(values))})", [column_value(v) for v in values]
        parts = [self.equals(value) for value in values]
        return "(" + " OR ".join(p for p, _ in parts) + ")", [v for _, bound in parts for v in bound]

    def compare(self, operator: str, bound: str | float) -> tuple[str, list[Any]]:
        """Never between types: SQLite would order numbers before text before blobs."""
        if isinstance(bound, bool) or not isinstance(bound, str | int | float):
            raise InvalidInput("A range has texts or numbers as bounds.", field=self.path)
        sql = f"{self.value} {operator} ?"
        if not self.column:
            sql += f" AND {self.kind} " + ("= 'text'" if isinstance(bound, str) else "IN ('integer', 'real')")
        elif operator.startswith(">"):
            sql += f" AND {self.value} < " + ("x''" if isinstance(bound, str) else "''")
        elif isinstance(bound, str):
            sql += f" AND {self.value} >= ''"
        return sql, [column_value(bound)]

    def defined(self, wanted: bool) -> tuple[str, list[Any]]:
        return f"{self.column or self.kind} IS {'NOT ' if wanted else ''}NULL", []


def _condition(table: Table, condition: Condition) -> tuple[str, list[Any]]:
    item = _Property(table, condition.path)
    if isinstance(condition, Equals):
        return item.equals(condition.value)
    if isinstance(condition, In):
        if len(condition.values) > MAX_IN:
            raise InvalidInput(f"At most {MAX_IN} values may be asked for at once.", field=condition.path)
        return item.any_of(condition.values) if condition.values else ("0", [])
    if isinstance(condition, IsDefined):
        return item.defined(condition.defined)
    return _range(item, condition)


def _range(item: _Property, condition: Range) -> tuple[str, list[Any]]:
    parts: list[str] = []
    values: list[Any] = []
    for operator, bound in ((">=", condition.ge), (">", condition.gt), ("<=", condition.le), ("<", condition.lt)):
        if bound is None:
            continue
        sql, bound_values = item.compare(operator, bound)
        parts.append(sql)
        values += bound_values
    if not parts:
        raise InvalidInput("A range needs a bound.", field=condition.path)
    return "(" + " AND ".join(parts) + ")", values


def _partition(table: Table, query: Query | None, partition: PartitionKey | None) -> tuple[str, list[Any], bool]:
    """Condition on the partition; whether it is a single one."""
    if partition is None:
        return "", [], False
    levels = table.spec.partition_key
    whole = list(partition)
    if query is not None:
        known = {c.path: c.value for c in query.where if isinstance(c, Equals) and isinstance(c.value, str)}
        while len(whole) < len(levels) and levels[len(whole)] in known:
            whole.append(known[levels[len(whole)]])  # type: ignore[arg-type] - only texts are in there
    text = partition_text(table, tuple(whole), prefix=True)
    if len(whole) == len(levels):
        return "pk = ?", [text], True
    return "pk >= ? AND pk < ?", [text + SEPARATOR, text + chr(ord(SEPARATOR) + 1)], False


def compile_query(table: Table, query: Query, partition: PartitionKey | None, now: int) -> Statement:
    """One page, and one row more to know whether there is a next.

    Raises:
        InvalidInput: the query is none, or the continuation is not of this query.
    """
    if isinstance(query.limit, bool) or not isinstance(query.limit, int) or not 1 <= query.limit <= MAX_LIMIT:
        raise InvalidInput(f"limit is a whole number from 1 to {MAX_LIMIT}.", field="limit")
    where, values, single = _partition(table, query, partition)
    clauses = [where] if where else []
    for condition in query.where:
        sql, bound = _condition(table, condition)
        clauses.append(sql)
        values += bound
    order = _order(table, query, partition)
    fingerprint = _fingerprint(table, query, partition)
    if query.continuation is not None:
        sql, bound = _after(order, query.descending, _decode(query.continuation, fingerprint, len(order)))
        clauses.append(sql)
        values += bound
    clauses.append("(expires_at IS NULL OR expires_at > ?)")
    values.append(now)
    direction = " DESC" if query.descending else ""
    sql = (
        f'SELECT etag, body, {", ".join(order)} FROM "{table.name}" WHERE {" AND ".join(clauses)} '  # noqa: S608 - checked names, bound values
        f"ORDER BY {', '.join(name + direction for name in order)} LIMIT {query.limit + 1}"
    )
    return Statement(sql, values, fingerprint)


def _order(table: Table, query: Query, partition: PartitionKey | None) -> list[str]:
    if query.order_by is None:
        return ["number"] if partition is None else ["pk", "id"]
    if partition is None:
        raise InvalidInput("order_by works inside a partition; give one, or leave the order out.", field="order_by")
    item = _Property(table, query.order_by)
    if item.column is None:
        raise InvalidInput(
            f"{query.order_by} is not indexed in {table.spec.name}, so nothing can be ordered by it. "
            "Add it to infra/topology.json.",
            field="order_by",
        )
    return [item.column, "id"] if item.column != "id" else ["id", "pk"]


def _after(order: list[str], descending: bool, last: list[Any]) -> tuple[str, list[Any]]:
    operator = "<" if descending else ">"
    if last[0] is None:  # absent sorts first
        if descending:
            return f"({order[0]} IS NULL AND {order[1]} < ?)", last[1:]
        return f"({order[0]} IS NOT NULL OR {order[1]} > ?)", last[1:]
    sql = f"({', '.join(order)}) {operator} ({', '.join('?' * len(order))})"
    if descending and order[0].startswith('"x_'):
        sql = f"({sql} OR {order[0]} IS NULL)"
    return sql, last


def _fingerprint(table: Table, query: Query, partition: PartitionKey | None) -> str:
    asked = repr((table.name, tuple(query.where), query.order_by, query.descending, partition))
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def continuation_of(fingerprint: str, last: list[Any]) -> str:
    """The opaque text that leads to the page behind this row."""
    plain = [fingerprint, [{"b": v.decode()} if isinstance(v, bytes) else v for v in last]]
    return base64.urlsafe_b64encode(json_text.dump(plain)).decode().rstrip("=")


def _decode(text: str, fingerprint: str, length: int) -> list[Any]:
    try:
        whose, last = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        values = [v["b"].encode() if isinstance(v, dict) else v for v in last]
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error) as err:
        raise InvalidInput("The continuation is not one of ours; ask without it.", field="continuation") from err
    if whose != fingerprint or len(values) != length or any(isinstance(v, list) for v in values):
        raise InvalidInput("The continuation belongs to another query; ask without it.", field="continuation")
    return values


def compile_buckets(table: Table, query: BucketQuery, partition: PartitionKey, now: int) -> Statement:
    """One grouped statement over all series; rows of (bucket number, series, min, max, average, count).

    Raises:
        InvalidInput: no length, no series, times that are none.
    """
    if isinstance(query.seconds, bool) or not isinstance(query.seconds, int) or query.seconds < 1:
        raise InvalidInput("A bucket lasts a whole number of seconds, at least 1.", field="seconds")
    if not query.value_paths:
        raise InvalidInput("Name at least one series.", field="value_paths")
    bounds = []
    for field, moment in (("start", query.start), ("end", query.end)):
        try:
            bounds.append(iso(parse_iso(moment)))
        except (ValueError, TypeError) as err:
            raise InvalidInput(f"{field} is no ISO 8601 time.", field=field) from err
    where, values, _ = _partition(table, None, partition)
    time = _Property(table, query.time_path)
    rows = (
        f"SELECT CAST(strftime('%s', {time.value}) AS INTEGER) / {query.seconds} AS bucket, CAST(body AS TEXT) AS body "  # noqa: S608
        f'FROM "{table.name}" WHERE {where} AND {time.value} >= ? AND {time.value} < ? '
        "AND (expires_at IS NULL OR expires_at > ?)"
    )
    values += [*bounds, now]
    series = list(query.value_paths.items())
    wanted: list[Any] = []
    for name, keys in series:
        if not keys or not all(isinstance(k, str) and k and '"' not in k and "\\" not in k for k in keys):
            raise InvalidInput(f"The path of the series {name} is none.", field="value_paths")
        wanted += [name, "$" + "".join(f'."{key}"' for key in keys)]
    listed = ", ".join("(?, ?)" for _ in series)
    sql = (
        f"WITH rows AS MATERIALIZED ({rows}), series(name, path) AS (VALUES {listed}) "  # noqa: S608
        "SELECT bucket, name, min(value), max(value), avg(value), count(*) FROM ("
        "SELECT bucket, name, json_extract(body, path) AS value, json_type(body, path) AS kind FROM rows, series) "
        "WHERE kind IN ('integer', 'real') GROUP BY bucket, name ORDER BY bucket, name"
    )
    return Statement(sql, values + wanted)
