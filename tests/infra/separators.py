"""Two things on one line with nothing between them: the parser takes it, the compiler does not."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from tests.infra.parsing import continues
from tests.infra.problem import Place, Problem

__all__ = ["run_together"]

_LISTS = {"object": "properties", "array": "elements", "infrastructure": "declarations"}


def run_together(node: Node, path: str) -> Iterator[Problem]:
    """Properties, elements and declarations that share a line without a comma."""
    what = _LISTS.get(node.type)
    if what is not None:
        yield from _in(node, what, path)
    for child in node.named_children:
        yield from run_together(child, path)


def _in(node: Node, what: str, path: str) -> Iterator[Problem]:
    before: Node | None = None
    for child in node.children:
        if child.type in ("comment", "diagnostic_comment", "{", "}", "[", "]"):
            continue
        if before is not None and "," not in (child.type, before.type) and not continues(before, child):
            line = child.start_point.row
            if line == before.end_point.row:
                instead = "a line of its own" if node.type == "infrastructure" else "a comma, or a line of its own"
                yield Problem(Place(path, line + 1), f"two {what} stand on one line; give each {instead}.")
        before = child
