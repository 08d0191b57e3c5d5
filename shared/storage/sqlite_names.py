"""Checks of what callers name: ids, partition keys, paths."""

from __future__ import annotations

import re
from functools import lru_cache

from shared.errors import InvalidInput
from shared.storage.port import PartitionKey
from shared.storage.sqlite_schema import SEPARATOR, Table

__all__ = ["check_id", "partition_text", "path_keys", "prefix_text"]

MAX_ID = 255
MAX_LEVEL = 1024
MAX_DEPTH = 16

_ID = re.compile(r"[^/\\?#\x00-\x1f\ud800-\udfff]{1,255}")
_LEVEL = re.compile(r"[^\x00-\x1f\ud800-\udfff]{1,1024}")
_KEY = re.compile(r"[A-Za-z0-9_:@$+-]{1,128}")


def check_id(value: object) -> str:
    """An id that every store can hold.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidInput(
            f"An id is a text of 1 to {MAX_ID} characters without / \\ ? # and control characters.", field="id"
        )
    return value


def partition_text(table: Table, partition: PartitionKey) -> str:
    """The whole key in its text form.

    Raises:
        InvalidInput: too few or too many levels, or a level that is no text.
    """
    if len(partition) != len(table.spec.partition_key):
        raise _wrong_levels(table)
    return prefix_text(table, partition)


def prefix_text(table: Table, partition: PartitionKey) -> str:
    """The key or its first levels in text form.

    Raises:
        InvalidInput: no level or too many, or a level that is no text.
    """
    levels = table.spec.partition_key
    if not 1 <= len(partition) <= len(levels):
        raise _wrong_levels(table)
    for name, value in zip(levels, partition, strict=False):
        if not isinstance(value, str) or not _LEVEL.fullmatch(value):
            raise InvalidInput(
                f"{name} is part of the partition key: a text of 1 to {MAX_LEVEL} characters.", field=name
            )
    return SEPARATOR.join(partition) if len(partition) > 1 else partition[0]


def _wrong_levels(table: Table) -> InvalidInput:
    levels = table.spec.partition_key
    return InvalidInput(
        f"The partition key of {table.spec.name} has {len(levels)} level(s): {', '.join(levels)}.", field=levels[0]
    )


def path_keys(path: object) -> tuple[str, ...]:
    """The keys of a dotted path.

    Raises:
        InvalidInput: it is no path.
    """
    return _split(path if isinstance(path, str) else "")


@lru_cache(maxsize=1_024)
def _split(path: str) -> tuple[str, ...]:
    keys = path.split(".")
    if len(keys) > MAX_DEPTH or not all(_KEY.fullmatch(key) for key in keys):
        raise InvalidInput(
            "A path is made of names of letters, digits and _ : @ $ + - joined by dots, such as target.origin.",
            field="path",
        )
    return tuple(keys)
