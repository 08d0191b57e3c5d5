"""Compiles the typed query to Cosmos SQL. Pure; values are always parameters, names are always quoted.

How an order is served: ``ORDER BY`` over one indexed property, inside one partition. Equal values get their order by
``id`` from us (``cosmos_order``), so that no container needs a composite index that ends with the id: every such index
would be paid for with every write.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.clock import iso, parse_iso
from shared.errors import InvalidInput
from shared.storage.names import path_keys, series_keys
from shared.storage.port import PartitionKey
from shared.storage.query import BucketQuery, Condition, Equals, In, IsDefined, Query, Range, Scalar
from shared.topology import ContainerSpec

__all__ = ["Binder", "Statement", "bucket_statement", "check_limit", "condition_sql", "conditions", "head", "quoted"]

MAX_LIMIT = 1000
MAX_IN = 100
MAX_SERIES = 100

NEVER = "false"


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its parameters, as the SDK takes them."""

    text: str
    parameters: list[dict[str, Any]]


@dataclass(slots=True)
class Binder:
    """Gives values their names."""

    parameters: list[dict[str, Any]] = field(default_factory=list)

    def name(self, value: Scalar) -> str:
        """The parameter that stands for this value."""
        name = f"@p{len(self.parameters)}"
        self.parameters.append({"name": name, "value": value})
        return name

    def statement(self, text: str) -> Statement:
        """The whole."""
        return Statement(text, self.parameters)


def quoted(text: str) -> str:
    """A text literal or a quoted name of Cosmos SQL: JSON's own form, in ASCII."""
    return json.dumps(text)


def property_sql(keys: Sequence[str]) -> str:
    """``c["target"]["origin"]``"""
    return "c" + "".join(f"[{quoted(key)}]" for key in keys)


def check_limit(limit: object) -> None:
    """Raises ``InvalidInput`` when it is no page size."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput(f"limit is a whole number from 1 to {MAX_LIMIT}.", field="limit")


def conditions(bind: Binder, where: Sequence[Condition], spec: ContainerSpec, key: PartitionKey) -> list[str]:
    """The conditions in SQL, without those that the partition key says already.

    Raises:
        InvalidInput: one of them is none.
    """
    fixed = dict(zip(spec.partition_key, key, strict=False))
    return [condition_sql(bind, c) for c in where if not _is_said(c, fixed)]


def _is_said(condition: Condition, fixed: dict[str, str]) -> bool:
    known = fixed.get(condition.path)
    if known is None:
        return False
    if isinstance(condition, In):
        return known in condition.values
    return isinstance(condition, Equals) and condition.value == known


def condition_sql(bind: Binder, condition: Condition) -> str:
    """One condition in SQL. Cosmos compares as JSON does: never between types."""
    place = property_sql(path_keys(condition.path))
    if isinstance(condition, Equals):
        value = _comparable(condition.value, condition.path)
        return f"{place} = {bind.name(value)}" if _finite(value) else NEVER
    if isinstance(condition, In):
        return _any_of(bind, place, condition)
    if isinstance(condition, IsDefined):
        return f"IS_DEFINED({place})" if condition.defined else f"NOT IS_DEFINED({place})"
    return _range(bind, place, condition)


def _comparable(value: Scalar, path: str) -> Scalar:
    if value is not None and not isinstance(value, str | int | float):
        raise InvalidInput("Only texts, numbers, true, false and null can be compared.", field=path)
    return value


def _finite(value: Scalar) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _any_of(bind: Binder, place: str, condition: In) -> str:
    if len(condition.values) > MAX_IN:
        raise InvalidInput(f"At most {MAX_IN} values may be asked for at once.", field=condition.path)
    values = [value for v in condition.values if _finite(value := _comparable(v, condition.path))]
    return f"{place} IN ({', '.join(bind.name(value) for value in values)})" if values else NEVER


def _range(bind: Binder, place: str, condition: Range) -> str:
    parts: list[str] = []
    for operator, bound in ((">=", condition.ge), (">", condition.gt), ("<=", condition.le), ("<", condition.lt)):
        if bound is None:
            continue
        if isinstance(bound, bool) or not isinstance(bound, str | int | float) or not _finite(bound):
            raise InvalidInput("A range has texts or numbers as bounds.", field=condition.path)
        parts.append(f"{place} {operator} {bind.name(bound)}")
    if not parts:
        raise InvalidInput("A range needs a bound.", field=condition.path)
    return " AND ".join(parts)


def head(spec: ContainerSpec, query: Query, top: int | None = None) -> str:
    """``SELECT ... FROM c``. With ``select``, what is ordered by comes too; the caller drops it."""
    first = "SELECT" if top is None else f"SELECT TOP {top:d}"
    if query.select is None:
        return f"{first} * FROM c"
    names = ["id", *spec.partition_key, *query.select, "_etag"]
    if query.order_by is not None:
        names.append(path_keys(query.order_by)[0])
    fields = ", ".join(f"{quoted(name)}: c[{quoted(name)}]" for name in dict.fromkeys(names))
    return f"{first} VALUE {{{fields}}} FROM c"


def bucket_statement(query: BucketQuery) -> Statement:
    """Time and values of the documents between: ``{"t": ..., "s0": ..., "s1": ...}``.

    They are summed up by us. Cosmos has to load every document in either case (values are not indexed), so that a
    GROUP BY would save no request units; the SDK lists it among what it does not support, groups may be split over
    pages, and over a prefix of a key it would be one across partitions.

    Raises:
        InvalidInput: no length, no series, times that are none.
    """
    if isinstance(query.seconds, bool) or not isinstance(query.seconds, int) or query.seconds < 1:
        raise InvalidInput("A bucket lasts a whole number of seconds, at least 1.", field="seconds")
    if not 1 <= len(query.value_paths) <= MAX_SERIES:
        raise InvalidInput(f"Name 1 to {MAX_SERIES} series.", field="value_paths")
    bind = Binder()
    between = Range(query.time_path, ge=_time("start", query.start), lt=_time("end", query.end))
    where = condition_sql(bind, between)
    fields = [f'"t": {property_sql(path_keys(query.time_path))}']
    for number, (name, keys) in enumerate(query.value_paths.items()):
        fields.append(f'"s{number}": {property_sql(series_keys(name, keys))}')
    return bind.statement(f"SELECT VALUE {{{', '.join(fields)}}} FROM c WHERE {where}")  # noqa: S608 - quoted names


def _time(name: str, text: str) -> str:
    try:
        return iso(parse_iso(text))
    except (ValueError, TypeError, AttributeError) as err:
        raise InvalidInput(f"{name} is no ISO 8601 time.", field=name) from err
