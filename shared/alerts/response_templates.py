"""Texts with places for what an alert says: ``{equipment.name} is too hot: {alert.value}``.

A fixed list of names, replaced in one pass: nothing is evaluated, no attribute of anything can be reached, and what a
machine says is never read as a template again. ``{{`` and ``}}`` are plain braces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["NAMES", "fill", "fill_json", "unknown_names", "words_of"]

NAMES: Mapping[str, str] = {
    "alert.id": "alert_id",
    "alert.type": "alert_type",
    "alert.severity": "severity",
    "alert.status": "status",
    "alert.message": "message",
    "alert.signal": "signal",
    "alert.value": "value",
    "alert.unit": "unit",
    "alert.limit": "limit",
    "alert.triggered_at": "triggered_at",
    "alert.url": "url",
    "equipment.id": "equipment_id",
    "equipment.name": "equipment_name",
    "equipment.site": "site",
    "rule.id": "rule_id",
    "rule.name": "rule_name",
    "response.name": "response",
    "response.id": "response_id",
}
"""Placeholders, and the field of the alert's event (and of ours) that stands there."""

_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_ALONE = re.compile(r"\{([^{}]*)\}")


def words_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Values by placeholder, of what is known about an alert and its response."""
    return {name: facts.get(field) for name, field in NAMES.items()}


def unknown_names(template: Any) -> list[str]:
    """Placeholders of a text, or of all texts in a JSON value, that there are none of."""
    if isinstance(template, str):
        return [m[1] for m in _PLACE.finditer(template) if m[1] is not None and m[1] not in NAMES]
    if isinstance(template, Mapping):
        return [name for value in template.values() for name in unknown_names(value)]
    if isinstance(template, list):
        return [name for value in template for name in unknown_names(value)]
    return []


def fill(template: str, words: Mapping[str, Any], *, most: int | None = None, one_line: bool = False) -> str:
    """The text with what stands for each placeholder; a value that is not known is left empty.

    Args:
        template: a text without unknown names.
        words: of :func:`words_of`.
        most: cut to so many characters.
        one_line: line breaks and control characters become spaces.
    """

    def said(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        return _text(words[found[1]])

    text = _PLACE.sub(said, template)
    if one_line:
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def fill_json(template: Any, words: Mapping[str, Any]) -> Any:
    """A JSON value with its texts filled; a text that is one placeholder alone becomes the value itself."""
    if isinstance(template, str):
        alone = _ALONE.fullmatch(template)
        return words[alone[1]] if alone is not None else fill(template, words)
    if isinstance(template, Mapping):
        return {name: fill_json(value, words) for name, value in template.items()}
    if isinstance(template, list):
        return [fill_json(value, words) for value in template]
    return template


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
