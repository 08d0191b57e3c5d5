"""JSON with places for values: ``{"Kerntemperatur": "{core_temp}"}``.

A fixed list of names, replaced in one pass: nothing is evaluated, and no value is ever read as a template. A text that
is one placeholder alone becomes the value itself, so a number stays a number. ``{{`` and ``}}`` are plain braces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["LEFT_OUT", "check_template", "fill", "places_of"]

MAX_NODES = 500
MAX_DEPTH = 20
MAX_TEXT = 20_000

_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_ALONE = re.compile(r"\{([^{}]*)\}")


class _LeftOut:
    """Stands for a member or an element that is not written at all."""


LEFT_OUT = _LeftOut()


def places_of(template: Any) -> Iterator[str]:
    """Every placeholder of a JSON value."""
    for text in _texts(template):
        for found in _PLACE.finditer(text):
            if found[1] is not None:
                yield found[1]


def check_template(template: Any, known: Callable[[str], bool], *, example: str) -> None:
    """Raises ``ValueError``: it is too large, or a placeholder stands for nothing."""
    size = sum(1 for _ in _nodes(template, MAX_DEPTH))
    if size > MAX_NODES or sum(len(text) for text in _texts(template)) > MAX_TEXT:
        raise ValueError(f"a template has at most {MAX_NODES} values and {MAX_TEXT:,} characters of text")
    for name in places_of(template):
        if not known(name):
            raise ValueError(f"{{{name[:60]}}} stands for nothing; write for example {example}, and {{{{ for a brace")


def fill(template: Any, words: Mapping[str, Any]) -> Any:
    """The JSON value with its places filled. A member or element that is :data:`LEFT_OUT` alone is left out."""
    if isinstance(template, str):
        alone = _ALONE.fullmatch(template)
        if alone is not None:
            return words.get(alone[1])
        return _PLACE.sub(lambda found: _said(found, words), template)
    if isinstance(template, Mapping):
        filled = {name: fill(value, words) for name, value in template.items()}
        return {name: value for name, value in filled.items() if value is not LEFT_OUT}
    if isinstance(template, list):
        return [value for value in (fill(one, words) for one in template) if value is not LEFT_OUT]
    return template


def _said(found: re.Match[str], words: Mapping[str, Any]) -> str:
    if found[0] in ("{{", "}}"):
        return found[0][0]
    value = words.get(found[1])
    if value is None or value is LEFT_OUT:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _texts(template: Any) -> Iterator[str]:
    return (node for node in _nodes(template, MAX_DEPTH) if isinstance(node, str))


def _nodes(template: Any, deeper: int) -> Iterator[Any]:
    if deeper == 0:
        raise ValueError(f"a template is nested at most {MAX_DEPTH} deep")
    yield template
    below = template.values() if isinstance(template, Mapping) else template if isinstance(template, list) else ()
    for value in below:
        yield from _nodes(value, deeper - 1)
