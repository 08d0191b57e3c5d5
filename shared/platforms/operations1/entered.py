"""What people entered: values of interactions by their tags, found anywhere in a payload.

Where an entered value stands is not published. It is looked for in the object that has the tag, under names that a
profile or a source may choose.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from shared.platforms.operations1.payload import MAX_NAME, objects
from shared.signals import Value

__all__ = ["VALUE_FIELDS", "as_number", "entered_values"]

VALUE_FIELDS = ("value", "enteredValue", "currentValue", "result")
MAX_VALUES = 1_000
MAX_TEXT = 1_000
_NUMBER = re.compile(r"[+-]?\d{1,15}([.,]\d{1,15})?")
_DEEP = 2
"""``{"value": {"value": 5}}``: so far inside."""


def entered_values(
    payload: dict[str, Any], fields: Sequence[str] = VALUE_FIELDS, *, told_by_webhook: bool = False
) -> dict[str, Value]:
    """The entered values by the names of their tags; archived tags and what nobody entered are left out.

    Args:
        payload: an envelope, a report, a step.
        fields: where the value may stand, the first that is there.
        told_by_webhook: only of tags that a webhook is switched on for: the others did not cause the message.
    """
    found: dict[str, Value] = {}
    for node in objects(payload):
        tags = node.get("interactionTags")
        if not isinstance(tags, list) or not tags:
            continue
        value = _value(node, fields, _DEEP)
        if value is None:
            continue
        for tag in tags:
            if not isinstance(tag, dict) or tag.get("archived") is True:
                continue
            if told_by_webhook and tag.get("sendWebhook") is False:
                continue
            name = tag.get("name")
            if isinstance(name, str) and 0 < len(name) <= MAX_NAME and len(found) < MAX_VALUES:
                found.setdefault(name, value)
    return found


def as_number(value: Value) -> float | None:
    """A number, also one written as text with a point or a comma; ``None``: it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e300 and math.isfinite(value) else None
    text = value.strip()
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def _value(node: dict[str, Any], fields: Sequence[str], deep: int) -> Value:
    for field in fields:
        if field not in node:
            continue
        value = node[field]
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict):
            value = _value(value, fields, deep - 1) if deep else None
        if isinstance(value, bool | int | float):
            return value
        if isinstance(value, str) and value.strip():
            return value.strip()[:MAX_TEXT]
    return None
