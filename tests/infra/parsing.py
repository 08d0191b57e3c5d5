"""tree-sitter, and what its Bicep grammar gets wrong about arrays."""

from __future__ import annotations

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

__all__ = ["continues", "elements", "parse"]

_PARSER = Parser(Language(tree_sitter_bicep.language()))


def parse(text: str) -> Node:
    """The root of the tree."""
    return _PARSER.parse(text.encode()).root_node


def continues(before: Node, node: Node) -> bool:
    """Is this a call's arguments or an index, torn from what stands before it between brackets?"""
    return before.end_byte == node.start_byte and (node.text or b"")[:1] in (b"(", b"[")


def elements(array: Node) -> list[list[Node]]:
    """The elements of an array, each as the pieces that the grammar made of it."""
    found: list[list[Node]] = []
    for child in array.named_children:
        if child.type in ("comment", "diagnostic_comment"):
            continue
        if found and continues(found[-1][-1], child):
            found[-1].append(child)
        else:
            found.append([child])
    return found
