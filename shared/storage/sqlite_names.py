"""Partition keys as one text: what stands in the column ``pk``."""

from __future__ import annotations

from functools import lru_cache

from shared.storage.names import check_partition, check_prefix
from shared.storage.port import PartitionKey
from shared.storage.sqlite_schema import SEPARATOR, Table

__all__ = ["partition_text", "prefix_text"]


def partition_text(table: Table, partition: PartitionKey) -> str:
    """The whole key in its text form.

    Raises:
        InvalidInput: too few or too many levels, or a level that is no text.
    """
    try:
        return _known(table, partition)
    except TypeError:  # not hashable: no key, most likely
        return _joined(check_partition(table.spec, partition))


@lru_cache(maxsize=4_096)
def _known(table: Table, partition: PartitionKey) -> str:
    return _joined(check_partition(table.spec, partition))


def prefix_text(table: Table, partition: PartitionKey) -> str:
    """The key or its first levels in text form.

    Raises:
        InvalidInput: no level or too many, or a level that is no text.
    """
    return _joined(check_prefix(table.spec, partition))


def _joined(partition: PartitionKey) -> str:
    return SEPARATOR.join(partition) if len(partition) > 1 else partition[0]
