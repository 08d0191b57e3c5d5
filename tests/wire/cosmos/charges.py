"""What a request costs: the model behind ``x-ms-request-charge``, in one place, in request units (RU).

No figure here was measured against Azure. Anchors, and where each comes from:

=====================================  =======  ===========================================================
a point read of 1 KB, of 100 KB        1, 10    Microsoft, "optimize cost of reads and writes"
an insert of 1 KB, nothing indexed     5.5      the same page
a replace                              2 x      the same page: twice the insert
an insert with three indexed paths     6.5      the planning figure of the architecture notes
an insert with everything indexed      12-15    the same notes; 25 terms give 13.8 here
a query                                2.3      the floor that a query shows; the rest below is inferred
=====================================  =======  ===========================================================

Inferred: how a charge grows between 1 KB and 100 KB (straight), a third of a unit for each indexed term, a delete
at the price of the insert, a patch at the price of a replace, a query's 0.06 for each document it loads plus 0.01 for
each KB of them, one floor for each physical partition asked, and refusals: 1 for what was looked up, none for a
throttle.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["METADATA", "Load", "delete", "insert", "not_modified", "point_read", "query", "replace"]

METADATA = 1.0
"""Reading the account, a database, a container or its key ranges."""

_INSERT = 5.5
_PER_TERM = 1 / 3
_QUERY_FLOOR = 2.3
_PER_LOADED_DOCUMENT = 0.06
_PER_LOADED_KB = 0.01


@dataclass(slots=True)
class Load:
    """What a query had to touch."""

    documents: int = 0
    size: int = 0
    """Bytes of the documents loaded."""
    partitions: int = 1
    """Physical partitions asked."""


def _growth(size: int) -> float:
    """1 up to 1 KB, 10 at 100 KB, straight between and beyond."""
    kilobytes = max(1.0, size / 1024)
    return 1 + 9 * (kilobytes - 1) / 99


def point_read(size: int) -> float:
    """A read by id and key of a document of ``size`` bytes."""
    return round(_growth(size), 2)


def not_modified() -> float:
    """A conditional read that found nothing new."""
    return 1.0


def insert(size: int, terms: int) -> float:
    """A create, or an upsert of something new; ``terms`` indexed values."""
    return round(_INSERT * _growth(size) + _PER_TERM * terms, 2)


def replace(size: int, terms: int) -> float:
    """A replace, a patch, or an upsert over something."""
    return round(2 * insert(size, terms), 2)


def delete(size: int, terms: int) -> float:
    """A delete."""
    return insert(size, terms)


def query(load: Load) -> float:
    """One page of a query."""
    loaded = load.documents * _PER_LOADED_DOCUMENT + load.size / 1024 * _PER_LOADED_KB
    return round(_QUERY_FLOOR * max(1, load.partitions) + loaded, 2)
