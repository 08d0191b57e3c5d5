"""Compiles a bucket query: one grouped statement over all series."""

from __future__ import annotations

from typing import Any

from shared.clock import iso, parse_iso
from shared.errors import InvalidInput
from shared.storage.names import series_keys
from shared.storage.port import PartitionKey
from shared.storage.query import BucketQuery, Query, Range
from shared.storage.sqlite_plan import plan, scope_of
from shared.storage.sqlite_query import Property, Statement
from shared.storage.sqlite_schema import Table

__all__ = ["compile_buckets"]

MAX_SERIES = 100


def compile_buckets(table: Table, query: BucketQuery, partition: PartitionKey, now: int) -> Statement:
    """Answers rows of (bucket number, series, minimum, maximum, average, count).

    Raises:
        InvalidInput: no length, no series, times that are none.
    """
    if isinstance(query.seconds, bool) or not isinstance(query.seconds, int) or query.seconds < 1:
        raise InvalidInput("A bucket lasts a whole number of seconds, at least 1.", field="seconds")
    if not 1 <= len(query.value_paths) <= MAX_SERIES:
        raise InvalidInput(f"Name 1 to {MAX_SERIES} series.", field="value_paths")
    times = Range(query.time_path, ge=_time("start", query.start), lt=_time("end", query.end))
    scope = scope_of(table, (), partition)
    index = plan(table, Query((times,)), scope, partition).index
    time = Property(table, query.time_path, scope)
    between, bounds = time.clause(times)
    alive, moment = "", []
    if table.spec.ttl_seconds is not None:
        alive, moment = "AND (expires_at IS NULL OR expires_at > ?)", [now]
    source = f'"{table.name}"' + (f' INDEXED BY "{index.name}"' if index else "")
    rows = (
        f"SELECT CAST(strftime('%s', {time.value}) AS INTEGER) / {query.seconds} AS bucket, "  # noqa: S608 - checked names
        f"CAST(body AS TEXT) AS body FROM {source} WHERE {scope.clause} AND {between} {alive}"
    )
    series: list[Any] = []
    for name, keys in query.value_paths.items():
        series += [name, _json_path(name, keys)]
    sql = (
        f"WITH rows AS ({rows}), series (name, path) AS (VALUES {', '.join(['(?, ?)'] * (len(series) // 2))}) "  # noqa: S608
        "SELECT bucket, name, min(value), max(value), avg(value), count(*) FROM ("
        "SELECT bucket, name, json_extract(body, path) AS value, json_type(body, path) AS kind "
        "FROM rows CROSS JOIN series) WHERE kind IN ('integer', 'real') GROUP BY bucket, name ORDER BY bucket, name"
    )
    return Statement(sql, [*scope.values, *bounds, *moment, *series])


def _time(field: str, text: str) -> str:
    try:
        return iso(parse_iso(text))
    except (ValueError, TypeError, AttributeError) as err:
        raise InvalidInput(f"{field} is no ISO 8601 time.", field=field) from err


def _json_path(name: str, keys: Any) -> str:
    return "$" + "".join(f'."{key}"' for key in series_keys(name, keys))
