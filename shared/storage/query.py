"""A small typed query that every store compiles. No SQL text leaves ``storage/``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Bucket", "BucketQuery", "Condition", "Equals", "In", "IsDefined", "Query", "Range", "Scalar"]

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Equals:
    """The property has this value. ``path`` is dotted: ``status``, ``target.origin``."""

    path: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class In:
    """The property has one of these values (at most 100)."""

    path: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The property lies between: ``ge``/``gt`` lower bound, ``le``/``lt`` upper bound, each optional."""

    path: str
    ge: str | float | None = None
    gt: str | float | None = None
    le: str | float | None = None
    lt: str | float | None = None


@dataclass(frozen=True, slots=True)
class IsDefined:
    """The property is present (whatever its value, ``null`` included), or absent."""

    path: str
    defined: bool = True


Condition = Equals | In | Range | IsDefined


@dataclass(frozen=True, slots=True)
class Query:
    """Documents of one container that meet all conditions.

    Ordered queries and their continuation work inside one partition, or over partitions that are named: a prefix of a
    hierarchical key whose last level stands in ``where`` as ``Equals`` or ``In``. Across partitions the stream is
    unordered. Cosmos gives no continuation for a sorted cross-partition query, so no store offers one.
    """

    where: Sequence[Condition] = ()
    order_by: str | None = None
    """One indexed property that holds texts, or numbers, in all documents that have it; those without it come first
    (last if descending). Documents with equal values are ordered by ``id``."""
    descending: bool = False
    limit: int = 100
    """Page size, 1 to 1,000."""
    continuation: str | None = None
    """Opaque; from the page before, for the same query."""
    select: Sequence[str] | None = None
    """Top-level properties to fetch; ``None``: the whole document. ``id`` and the partition key always come."""


@dataclass(frozen=True, slots=True)
class BucketQuery:
    """Numbers of one partition, summed up by time bucket: what a chart needs."""

    time_path: str
    """An ISO 8601 text property as written by ``clock.iso``."""
    start: str
    end: str
    """``start`` inclusive, ``end`` exclusive, both ISO."""
    seconds: int
    """Length of a bucket; buckets are aligned to the epoch."""
    value_paths: dict[str, Sequence[str]] = field(default_factory=dict)
    """Name of a series -> path as a sequence of keys (keys may hold dots: ``("values", "temperature.core", "v")``).
    Only numbers count; a missing, null or non-numeric value is left out."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One series in one bucket."""

    start: str
    """ISO time of the bucket's beginning."""
    series: str
    minimum: float
    maximum: float
    average: float
    count: int
