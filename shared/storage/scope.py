"""Which partitions a query asks for. The same for every store."""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import InvalidInput
from shared.storage.names import check_prefix
from shared.storage.port import PartitionKey
from shared.storage.query import Condition, Equals, In
from shared.topology import ContainerSpec

__all__ = ["check_order", "fixed_key", "ordered_partitions"]


def fixed_key(spec: ContainerSpec, where: Sequence[Condition], partition: PartitionKey | None) -> PartitionKey:
    """The levels of the key that are fixed: by the partition, and by equalities on the levels that it leaves open.

    Raises:
        InvalidInput: the partition is none.
    """
    levels = spec.partition_key
    key = [] if partition is None else list(check_prefix(spec, partition))
    fixed = {c.path: c.value for c in where if isinstance(c, Equals) and isinstance(c.value, str)}
    while len(key) < len(levels) and fixed.get(levels[len(key)]):
        key.append(str(fixed[levels[len(key)]]))
    return check_prefix(spec, tuple(key)) if key else ()


def ordered_partitions(
    spec: ContainerSpec, where: Sequence[Condition], partition: PartitionKey | None, key: PartitionKey
) -> tuple[PartitionKey, ...]:
    """The partitions of an ordered query, each with its whole key: no store sorts over an unknown number of them.

    Raises:
        InvalidInput: they are not named.
    """
    levels = spec.partition_key
    if partition is None:
        raise InvalidInput("order_by works inside a partition; give one, or leave the order out.", field="order_by")
    if len(key) == len(levels):
        return (key,)
    if len(key) == len(levels) - 1:
        for condition in where:
            if isinstance(condition, In) and condition.path == levels[-1]:
                named = {value: None for value in condition.values if isinstance(value, str) and value}
                return tuple(check_prefix(spec, (*key, value)) for value in named)
    raise InvalidInput(
        f"order_by works inside partitions that are named: give the whole key, or each {levels[-1]} by Equals or In.",
        field="order_by",
    )


def check_order(spec: ContainerSpec, path: str) -> None:
    """Can documents be ordered by this?

    Raises:
        InvalidInput: it is not indexed.
    """
    if path != "id" and path not in spec.partition_key and path not in spec.indexed:
        raise InvalidInput(
            f"{path} is not indexed in {spec.name}: order by one of {', '.join(spec.indexed) or 'id'}.",
            field="order_by",
        )
