"""Which index serves a query, decided by us and not by SQLite's guesses: the same plan for ten rows and ten million.

The order of an unordered query follows its index, so that no page ever needs a sort.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.storage.port import PartitionKey
from shared.storage.query import Condition, Equals, In, IsDefined, Query, Range
from shared.storage.scope import check_order, fixed_key, ordered_partitions
from shared.storage.sqlite_names import prefix_text
from shared.storage.sqlite_schema import SEPARATOR, Index, Table

__all__ = ["Plan", "Scope", "plan", "scope_of"]

_AFTER = chr(ord(SEPARATOR) + 1)


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of a table that the partition key leaves: nothing said, a prefix, some partitions, one."""

    clause: str
    values: tuple[str, ...]
    key: tuple[str, ...]
    """The levels that are fixed."""
    single: bool
    """It is one partition."""
    prefix: int
    """Characters of the key's text before the first level that is not fixed."""

    @property
    def known(self) -> int:
        """So many levels are fixed."""
        return len(self.key)


def scope_of(table: Table, where: Sequence[Condition], partition: PartitionKey | None) -> Scope:
    """From the partition, and from equalities in ``where`` on the levels that it leaves open."""
    levels = table.spec.partition_key
    key = fixed_key(table.spec, where, partition)
    if not key:
        return Scope("", (), (), False, 0)
    text = prefix_text(table, key)
    if len(key) == len(levels):
        return Scope("pk = ?", (text,), key, True, len(text))
    start = text + SEPARATOR
    if len(key) == len(levels) - 1:
        some = _some_partitions(where, levels[-1], start)
        if some is not None:
            return Scope(*some, key, False, len(start))
    return Scope("pk >= ? AND pk < ?", (start, text + _AFTER), key, False, len(start))


def _some_partitions(where: Sequence[Condition], level: str, start: str) -> tuple[str, tuple[str, ...]] | None:
    """Bounds on the last level of the key, as bounds on its text."""
    for condition in where:
        if condition.path != level:
            continue
        if isinstance(condition, In) and condition.values:
            texts = tuple(start + value for value in condition.values if isinstance(value, str))
            return f"pk IN ({', '.join('?' * len(texts))})", texts
        if isinstance(condition, Range):
            low = next((b for b in (condition.ge, condition.gt) if isinstance(b, str)), "")
            high = next((b for b in (condition.le, condition.lt) if isinstance(b, str)), None)
            end = start[:-1] + _AFTER if high is None else start + high
            return f"pk >= ? AND pk {'<' if high is None else '<='} ?", (start + low, end)
    return None


@dataclass(frozen=True, slots=True)
class Plan:
    """The index to use (``None``: SQLite finds the key's by itself) and the order in which rows come."""

    index: Index | None
    order: tuple[str, ...]


def plan(table: Table, query: Query, scope: Scope, partition: PartitionKey | None) -> Plan:
    """Choose.

    Raises:
        InvalidInput: nothing can be ordered like this.
    """
    equal = {c.path for c in query.where if isinstance(c, Equals)}
    if query.order_by is not None:
        ordered_partitions(table.spec, query.where, partition, scope.key)
        column = _ordering(table, query.order_by, scope)
        index = _best(table, scope, equal, {query.order_by: 2})
        order = (column,) if column == "id" else (column, "id")
        return Plan(index, order if scope.single or "pk" in order else (*order, "pk"))
    ranged = {c.path: 2 if isinstance(c, Range) else 1 for c in query.where if _means_present(c)}
    index = _best(table, scope, equal, ranged)
    if index is not None:
        rest = [name for name in index.properties if name not in equal]
        return Plan(index, (*(f'"x_{name}"' for name in rest), "number"))
    return Plan(None, _unordered(scope))


def _means_present(condition: Condition) -> bool:
    """Only documents with the property can meet it (and it is no equality)."""
    if isinstance(condition, In):
        return bool(condition.values)
    return isinstance(condition, Range) or (isinstance(condition, IsDefined) and condition.defined)


def _unordered(scope: Scope) -> tuple[str, ...]:
    if scope.single:
        return ("id",)
    return ("pk", "id") if scope.known else ("number",)


def _ordering(table: Table, path: str, scope: Scope) -> str:
    check_order(table.spec, path)
    levels = table.spec.partition_key
    if path == "id" or path in levels[: scope.known]:
        return "id"
    return "pk" if path in levels else f'"x_{path}"'


def _best(table: Table, scope: Scope, equal: set[str], then: Mapping[str, int]) -> Index | None:
    """The index with the most leading equalities, then the one that goes on with what is ordered or ranged."""
    found: tuple[int, Index] | None = None
    for index in table.indexes:
        if (index.across and scope.known) or (not index.across and not scope.single):
            continue
        leading = 0
        while leading < len(index.properties) and index.properties[leading] in equal:
            leading += 1
        following = then.get(index.properties[leading], 0) if leading < len(index.properties) else 0
        score = 4 * leading + following
        if score and (found is None or score > found[0]):
            found = score, index
    return None if found is None else found[1]
