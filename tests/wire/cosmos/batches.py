"""Transactional batches: all operations of one partition, or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.wire.cosmos import charges
from tests.wire.cosmos.containers import Container, Item, Written, check_match
from tests.wire.cosmos.partitions import Key
from tests.wire.cosmos.patching import patch_parts, patched
from tests.wire.cosmos.protocol import CosmosError, bad_request

__all__ = ["MAX_OPERATIONS", "Condition", "patch", "run_batch"]

MAX_OPERATIONS = 100

Condition = Callable[[Container, Item, str], bool]
"""Does the document meet a patch condition?"""


def patch(container: Container, key: Key, id: str, payload: Any, if_match: str | None, holds: Condition) -> Written:
    """Patch one item. Raises 400, 404, 412; sub-status 1110 when the condition does not hold."""
    operations, condition = patch_parts(payload)
    item = container.find(key, id)
    check_match(item, if_match, None)
    if condition is not None and not holds(container, item, condition):
        raise CosmosError(
            412,
            "PreconditionFailed",
            "One of the specified pre-condition is not met. Learn more: https://aka.ms/CosmosDB/sql/errors/precondition",
            substatus=1110,
        )
    return container.change(item, patched(item.body, operations, container.paths))


def run_batch(container: Container, key: Key, operations: Any, holds: Condition) -> tuple[int, list[dict[str, Any]]]:
    """Status and results: 200 when all went through, else 207 with the partition as it was before. Raises 400."""
    if not isinstance(operations, list) or not operations:
        raise bad_request("The batch request needs at least one operation.")
    if len(operations) > MAX_OPERATIONS:
        raise bad_request(f"Batch request has more operations than what is supported: {MAX_OPERATIONS}.")
    before = dict(container.partitions.get(key, {}))
    results: list[dict[str, Any]] = []
    for at, operation in enumerate(operations):
        try:
            results.append(_result(_run_one(container, key, operation, holds)))
        except CosmosError as error:
            container.restore(key, before)
            failed = [{"statusCode": 424, "requestCharge": 0.0} for _ in operations]
            failed[at] = {"statusCode": error.status, "subStatusCode": error.substatus, "requestCharge": 1.0}
            return 207, failed
    return 200, results


def _run_one(container: Container, key: Key, operation: Any, holds: Condition) -> Written:
    kind = str(operation.get("operationType", "")).lower() if isinstance(operation, dict) else ""
    match, none_match = operation.get("ifMatch"), operation.get("ifNoneMatch")
    body, item_id = operation.get("resourceBody"), str(operation.get("id", ""))
    if kind == "create":
        return container.create(key, body, none_match)
    if kind == "upsert":
        return container.upsert(key, body, match, none_match)
    if kind == "replace":
        return container.replace(key, item_id, body, match)
    if kind == "patch":
        return patch(container, key, item_id, body, match, holds)
    if kind == "delete":
        return container.delete(key, item_id, match)
    if kind == "read":
        item = container.find(key, item_id)
        if none_match == item.etag:
            return Written(304, item, charges.not_modified())
        return Written(200, item, charges.point_read(len(item.raw)))
    raise bad_request(f"The batch operation '{kind}' is unknown.")


def _result(written: Written) -> dict[str, Any]:
    result: dict[str, Any] = {"statusCode": written.status, "requestCharge": written.charge}
    if written.item is not None:
        result["eTag"] = written.item.etag
        if written.status != 304:
            result["resourceBody"] = written.item.body
    return result
