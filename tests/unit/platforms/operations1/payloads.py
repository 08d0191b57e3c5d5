"""Webhooks as the field lists have them; ids and names are made up."""

from __future__ import annotations

import copy
import json
from typing import Any


def order_complete(**more: Any) -> dict[str, Any]:
    """The published example's fields: version 2, fullVersion 2.1."""
    data = {
        "id": 4711,
        "templateId": None,
        "name": "Brötchen – Nachtschicht",
        "description": "",
        "comments": "",
        "priority": 5,
        "automaticCompletion": True,
        "state": "done",
        "startDate": None,
        "dueDate": None,
        "assigneeId": None,
        "assigneeUserName": None,
        "canBeTakenOver": False,
        "progressIds": [880011, 880012],
        "completedProgressIds": [880011, 880012],
        "event": None,
    }
    return {"version": 2, "fullVersion": "2.1", "realm": "order.complete", "data": data | more}


def drifted() -> list[dict[str, Any]]:
    """What one and the same ``fullVersion`` has looked like, or may look like: trap 14."""
    older = order_complete(startDate="2026-11-20T04:00:00.000Z")
    person = {"id": 3, "name": None, "comments": "", "startsAt": None, "endsAt": None, "createdBy": 1, "updatedBy": 1}
    later = order_complete(event=person, somethingNew={"deep": [1, {"a": None}]}, priority="5")
    bare = order_complete()
    for name in ("startDate", "dueDate", "assigneeId", "completedProgressIds", "event", "priority"):
        del bare["data"][name]
    return [older, later, bare]


def value_webhook(
    value: Any, *, report: int | None = 880011, version: int = 1, order: int | None = None, **tags: Any
) -> dict[str, Any]:
    """The whole report with one value entered; ``tags``: values of other tags."""
    rows = [{"id": 21, "header": None, "entries": [_entry(211, "core_temp", value)]}]
    rows += [
        {"id": 30 + n, "header": None, "entries": [_entry(300 + n, name, v)]}
        for n, (name, v) in enumerate(tags.items())
    ]
    archived = _entry(999, "core_temp", 1.0)
    archived["interactionTags"][0]["archived"] = True
    rows.insert(0, {"id": 20, "header": None, "entries": [archived]})
    return {
        "version": version,
        "fullVersion": f"{version}.0",
        "realm": "interaction-value-update-v1",
        "data": {
            "id": report,
            "progressId": report,
            "orderId": order,
            "name": "HACCP Kerntemperatur",
            "state": "in-progress",
            "steps": [{"id": 2, "name": "Backen", "rows": rows}],
        },
    }


def _entry(id: int, tag: str, value: Any) -> dict[str, Any]:
    return {
        "id": id,
        "key": tag,
        "mandatory": True,
        "interactionTags": [
            {"id": id + 7000, "name": tag, "interactionType": "numeric", "archived": False, "sendWebhook": True}
        ],
        "value": value,
    }


def text(payload: dict[str, Any]) -> bytes:
    """As it is sent."""
    return json.dumps(payload, ensure_ascii=False).encode()


def shuffled(payload: dict[str, Any]) -> dict[str, Any]:
    """The same with its fields in another order."""
    turned = copy.deepcopy(payload)
    turned["data"] = dict(reversed(turned["data"].items()))
    return dict(reversed(turned.items()))
