"""Compiles the typed query to SQL. Values are always bound; names come from the topology or are checked paths."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared import json_text
from shared.errors import InvalidInput
from shared.storage.names import path_keys
from shared.storage.port import PartitionKey
from shared.storage.query import Condition, Equals, In, IsDefined, Query, Range, Scalar
from shared.storage.sqlite_plan import Scope, plan, scope_of
from shared.storage.sqlite_schema import Table, column_value

__all__ = ["PageStatements", "Property", "Statement", "compile_query", "continuation_of"]

MAX_LIMIT = 1000
MAX_IN = 100

Clause = tuple[str, list[Any]]
"""SQL and the values bound in it."""


@dataclass(slots=True)
class Statement:
    """SQL with its values."""

    sql: str
    values: list[Any]


@dataclass(slots=True)
class PageStatements:
    """One page: statements to run one after the other until there are enough rows. Each takes the number of rows as
    its last value and answers (etag, body, and the place of the row in the order)."""

    statements: list[Statement]
    fingerprint: str
    """What a continuation of this query is bound to."""


class Property:
    """A property inside SQL: an indexed column, a part of the key, or looked up in the body."""

    def __init__(self, table: Table, path: str, scope: Scope) -> None:
        keys = path_keys(path)
        levels = table.spec.partition_key
        self.path = path
        self.column: str | None = None
        if path == "id":
            self.column = "id"
        elif path in table.properties:
            self.column = f'"x_{path}"'
        elif levels == (path,):
            self.column = "pk"
        elif path == levels[-1] and scope.known == len(levels) - 1:
            self.column = f"substr(pk, {scope.prefix + 1})"
        place = "$" + "".join(f'."{key}"' for key in keys)
        self.value = self.column or f"json_extract(CAST(body AS TEXT), '{place}')"
        self.kind = f"json_type(CAST(body AS TEXT), '{place}')"

    def clause(self, condition: Condition) -> Clause:
        """The condition in SQL."""
        if isinstance(condition, Equals):
            return self._equals(condition.value)
        if isinstance(condition, In):
            return self._any_of(condition.values)
        if isinstance(condition, IsDefined):
            return f"{self.column or self.kind} IS {'NOT ' if condition.defined else ''}NULL", []
        return self._range(condition)

    def _equals(self, value: Scalar) -> Clause:
        if value is not None and not isinstance(value, str | int | float):
            raise InvalidInput("Only texts, numbers, true, false and null can be compared.", field=self.path)
        if self.column:
            return f"{self.column} = ?", [column_value(value)]
        if value is None or isinstance(value, bool):
            return f"{self.kind} = ?", [{None: "null", True: "true", False: "false"}[value]]
        return f"({self.value} = ? AND {self._same_kind(value)})", [column_value(value)]

    def _any_of(self, values: tuple[Scalar, ...]) -> Clause:
        if len(values) > MAX_IN:
            raise InvalidInput(f"At most {MAX_IN} values may be asked for at once.", field=self.path)
        parts = [self._equals(value) for value in values]
        bound = [value for _, one in parts for value in one]
        if not parts:
            return "0", []
        if self.column:
            return f"{self.column} IN ({', '.join('?' * len(parts))})", bound
        return "(" + " OR ".join(sql for sql, _ in parts) + ")", bound

    def _range(self, condition: Range) -> Clause:
        parts: list[str] = []
        values: list[Any] = []
        for operator, bound in ((">=", condition.ge), (">", condition.gt), ("<=", condition.le), ("<", condition.lt)):
            if bound is None:
                continue
            if isinstance(bound, bool) or not isinstance(bound, str | int | float):
                raise InvalidInput("A range has texts or numbers as bounds.", field=self.path)
            parts.append(f"{self.value} {operator} ?")
            values.append(column_value(bound))
            if not self.column:
                parts.append(self._same_kind(bound))
        if not parts:
            raise InvalidInput("A range needs a bound.", field=self.path)
        if self.column:
            parts += self._of_one_kind(condition)
        return "(" + " AND ".join(parts) + ")", values

    def _of_one_kind(self, condition: Range) -> list[str]:
        """Never between types: SQLite orders numbers before text before blobs, JSON does not compare them."""
        bounds = [b for b in (condition.ge, condition.gt, condition.le, condition.lt) if b is not None]
        if len({isinstance(b, str) for b in bounds}) > 1:  # nothing is a text and a number
            return [f"{self.value} >= ''", f"{self.value} < ''"]
        if any(isinstance(b, str) for b in bounds):
            return [f"{self.value} >= ''"] * (condition.ge is None and condition.gt is None) + [
                f"{self.value} < x''"
            ] * (condition.le is None and condition.lt is None)
        return [f"{self.value} < ''"] * (condition.le is None and condition.lt is None)

    def _same_kind(self, value: str | float) -> str:
        return f"{self.kind} " + ("= 'text'" if isinstance(value, str) else "IN ('integer', 'real')")


def compile_query(table: Table, query: Query, partition: PartitionKey | None, now: int) -> PageStatements:
    """One page.

    Raises:
        InvalidInput: the query is none, or the continuation is not of this query.
    """
    if isinstance(query.limit, bool) or not isinstance(query.limit, int) or not 1 <= query.limit <= MAX_LIMIT:
        raise InvalidInput(f"limit is a whole number from 1 to {MAX_LIMIT}.", field="limit")
    scope = scope_of(table, query.where, partition)
    chosen = plan(table, query, scope, partition)
    clauses: list[Clause] = [(scope.clause, list(scope.values))] if scope.clause else []
    fixed = dict(zip(table.spec.partition_key, scope.key, strict=False))
    clauses += [Property(table, c.path, scope).clause(c) for c in query.where if not _is_said(c, fixed)]
    if table.spec.ttl_seconds is not None:
        clauses.append(("(expires_at IS NULL OR expires_at > ?)", [now]))
    fingerprint = _fingerprint(table, query, partition)
    descending = query.descending and query.order_by is not None
    starts: list[Clause] = [("1", [])]
    if query.continuation is not None:
        starts = list(_after(chosen.order, descending, _decode(query.continuation, fingerprint, chosen.order)))
    source = f'"{table.name}"' + (f' INDEXED BY "{chosen.index.name}"' if chosen.index else "")
    order = ", ".join(name + (" DESC" if descending else "") for name in chosen.order)
    head = f"SELECT etag, body, {', '.join(chosen.order)} FROM {source} WHERE "  # noqa: S608 - checked names
    statements = []
    for start in starts:
        parts = [*clauses, start]
        sql = f"{head}{' AND '.join(text for text, _ in parts)} ORDER BY {order} LIMIT ?"
        statements.append(Statement(sql, [value for _, bound in parts for value in bound]))
    return PageStatements(statements, fingerprint)


def _is_said(condition: Condition, fixed: Mapping[str, str]) -> bool:
    """By the key already."""
    return isinstance(condition, Equals) and fixed.get(condition.path, condition) == condition.value


def _after(order: Sequence[str], descending: bool, last: Sequence[Any]) -> Iterator[Clause]:
    """What comes behind this row, as ranges one behind the other: an index finds the beginning of each, where it would
    walk from the very start for one condition joined by OR. An absent value (NULL) comes first, or last if
    descending."""
    for position in range(len(order) - 1, -1, -1):
        equal = [
            f"{name} IS NULL" if value is None else f"{name} = ?"
            for name, value in zip(order[:position], last[:position], strict=True)
        ]
        known = [value for value in last[:position] if value is not None]
        column, value = order[position], last[position]
        if value is not None:
            beyond = f"{column} {'<' if descending else '>'} ?"
            yield " AND ".join([*equal, beyond]), [*known, value]
            if descending and column.startswith('"x_'):
                yield " AND ".join([*equal, f"{column} IS NULL"]), known
        elif not descending:
            yield " AND ".join([*equal, f"{column} IS NOT NULL"]), known


def _fingerprint(table: Table, query: Query, partition: PartitionKey | None) -> str:
    asked = repr((table.name, tuple(query.where), query.order_by, query.descending, partition))
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def continuation_of(fingerprint: str, last: Sequence[Any]) -> str:
    """The opaque text that leads to the page behind this row."""
    plain = [fingerprint, [{"b": value.decode()} if isinstance(value, bytes) else value for value in last]]
    return base64.urlsafe_b64encode(json_text.dump(plain)).decode().rstrip("=")


def _decode(text: str, fingerprint: str, order: Sequence[str]) -> list[Any]:
    try:
        whose, last = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        values = [value["b"].encode() if isinstance(value, dict) else value for value in last]
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise InvalidInput("The continuation is not one of ours; ask without it.", field="continuation") from err
    if whose != fingerprint or len(values) != len(order) or any(isinstance(v, list) for v in values):
        raise InvalidInput("The continuation belongs to another query; ask without it.", field="continuation")
    return values
