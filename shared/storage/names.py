"""Checks of what callers name: ids, partition keys, paths. The same for every store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from shared.errors import InvalidInput
from shared.storage.port import PartitionKey
from shared.topology import ContainerSpec

__all__ = ["check_id", "check_partition", "check_prefix", "partition_of", "path_keys", "series_keys"]

MAX_ID = 255
MAX_LEVEL = 1024
MAX_DEPTH = 16

_ID = re.compile(r"[^/\\?#\x00-\x1f\ud800-\udfff]{1,255}")
_DOTS = (".", "..")
"""Clients take these out of the path of an address."""
_LEVEL = re.compile(r"[^\x00-\x1f\ud800-\udfff]{1,1024}")
_KEY = re.compile(r"[A-Za-z0-9_:@$+-]{1,128}")
_SERIES_KEY = re.compile(r"[^\"\\\x00-\x1f\ud800-\udfff]{1,128}")


def check_id(value: object) -> str:
    """An id that every store can hold.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value) or value in _DOTS:
        raise InvalidInput(
            f"An id is a text of 1 to {MAX_ID} characters without / \\ ? # and control characters, and not . or ..",
            field="id",
        )
    return value


def check_partition(spec: ContainerSpec, partition: PartitionKey) -> PartitionKey:
    """The whole key.

    Raises:
        InvalidInput: too few or too many levels, or a level that is no text.
    """
    if len(partition) != len(spec.partition_key):
        raise _wrong_levels(spec)
    return check_prefix(spec, partition)


def check_prefix(spec: ContainerSpec, partition: PartitionKey) -> PartitionKey:
    """The key or its first levels.

    Raises:
        InvalidInput: no level or too many, or a level that is no text.
    """
    levels = spec.partition_key
    if not 1 <= len(partition) <= len(levels):
        raise _wrong_levels(spec)
    for name, value in zip(levels, partition, strict=False):
        if not isinstance(value, str) or not _LEVEL.fullmatch(value):
            raise InvalidInput(
                f"{name} is part of the partition key: a text of 1 to {MAX_LEVEL} characters.", field=name
            )
    return partition


def partition_of(spec: ContainerSpec, document: Mapping[str, Any]) -> PartitionKey:
    """The key that a document names.

    Raises:
        InvalidInput: a level is missing, or is no text.
    """
    return check_partition(spec, tuple([document.get(level) for level in spec.partition_key]))  # type: ignore[misc]


def _wrong_levels(spec: ContainerSpec) -> InvalidInput:
    levels = spec.partition_key
    return InvalidInput(
        f"The partition key of {spec.name} has {len(levels)} level(s): {', '.join(levels)}.", field=levels[0]
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


def series_keys(name: str, keys: Any) -> tuple[str, ...]:
    """The keys of a series in a bucket query: they may hold dots and any letters.

    Raises:
        InvalidInput: it is no sequence of property names.
    """
    if isinstance(keys, str) or not keys or not all(isinstance(k, str) and _SERIES_KEY.fullmatch(k) for k in keys):
        raise InvalidInput(f"The path of the series {name} is a sequence of property names.", field="value_paths")
    return tuple(keys)
