"""What the service refuses of a query that parses, and what of it the index serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.wire.cosmos.indexing import IndexingPolicy
from tests.wire.cosmos.protocol import bad_request
from tests.wire.cosmos.sql.functions import AGGREGATES
from tests.wire.cosmos.sql.lexer import query_error
from tests.wire.cosmos.sql.syntax import (
    Binary,
    Call,
    Expr,
    Member,
    Name,
    Query,
    Subquery,
    children,
    property_path,
    walk,
)

__all__ = ["Shape", "conjuncts", "shape_of"]

_INDEXABLE = frozenset({"IS_DEFINED", "STARTSWITH", "ENDSWITH", "CONTAINS", "STRINGEQUALS", "ARRAY_CONTAINS"})


@dataclass(frozen=True, slots=True)
class Shape:
    """What kind of query it is."""

    aggregates: bool
    plain: bool
    """FROM names the documents themselves, so that a row is a document."""


def shape_of(query: Query, policy: IndexingPolicy | None) -> Shape:
    """Raises 400 for a query that the service refuses; ``policy`` ``None``: it is a subquery."""
    selected = [query.value] if query.value is not None else [item.expr for item in query.select or ()]
    aggregates = any(_is_aggregate(node) for expr in selected for node in walk(expr))
    if query.select is None and len(query.sources) != 1:
        raise query_error("SC2040", "'SELECT *' is only valid with a single input set.", *_ends(query))
    if query.where is not None and any(_is_aggregate(node) for node in walk(query.where)):
        raise query_error("SC2106", "An aggregate may not appear in the WHERE clause.", *_ends(query))
    if query.top is not None and query.limit is not None:
        raise query_error("SC2202", "TOP cannot be used together with OFFSET and LIMIT.", *_ends(query))
    if aggregates or query.group:
        _check_groups(query, selected)
    if query.order and policy is not None:
        _check_order(query, policy, aggregates)
    return Shape(aggregates, len(query.sources) == 1 and query.sources[0].root)


def _ends(query: Query) -> tuple[int, int]:
    return query.span.start, query.span.end


def _is_aggregate(node: Expr) -> bool:
    return isinstance(node, Call) and node.name in AGGREGATES


def _check_groups(query: Query, selected: list[Expr]) -> None:
    groups = {_key(expr) for expr in query.group}
    for expr in selected:
        for node in _outside(expr, groups):
            if isinstance(node, Name | Member):
                raise query_error(
                    "SC2102",
                    f"Property reference '{_text(query, node)}' is invalid in the select list because it is not "
                    "contained in an aggregate function or the GROUP BY clause.",
                    node.span.start,
                    node.span.end,
                )
    if query.select is None:
        raise query_error("SC2102", "'SELECT *' is invalid with GROUP BY.", *_ends(query))


def _key(expr: Expr) -> object:
    """``c.a`` and ``c["a"]`` are the same; other expressions when their trees are."""
    path = property_path(expr)
    return path if path is not None else expr


def _text(query: Query, node: Expr) -> str:
    return query.text[node.span.start : node.span.end]


def _outside(node: Expr, groups: set[object]) -> Iterator[Expr]:
    """The nodes that are in no aggregate and are nothing grouped by."""
    if _is_aggregate(node) or _key(node) in groups:
        return
    if isinstance(node, Name | Member):
        yield node
        return
    for child in children(node):
        yield from _outside(child, groups)


def _check_order(query: Query, policy: IndexingPolicy, aggregates: bool) -> None:
    if query.group or aggregates:
        raise query_error("SC2203", "ORDER BY cannot be used together with GROUP BY or aggregates.", *_ends(query))
    if len(query.sources) > 1:
        raise bad_request("Order-by over correlated collections is not supported.")
    order: list[tuple[tuple[str, ...], bool]] = []
    for item in query.order:
        path = property_path(item.expr)
        if path is None or not path[1]:
            raise bad_request(
                "Unsupported ORDER BY clause. ORDER BY item expression could not be mapped to a document path."
            )
        order.append((path[1], item.descending))
    policy.check_order(order)


def conjuncts(query: Query, policy: IndexingPolicy) -> Iterator[tuple[Expr, list[str]]]:
    """The conditions that all must hold, each with the properties for which documents must be read."""
    pending = [query.where] if query.where is not None else []
    root = query.sources[0].alias if query.sources else ""
    while pending:
        node = pending.pop(0)
        if isinstance(node, Binary) and node.operator == "AND":
            pending[:0] = [node.left, node.right]
        else:
            yield node, sorted(set(_read(node, root, policy)))


def _read(node: Expr, root: str, policy: IndexingPolicy) -> Iterator[str]:
    if isinstance(node, Subquery):
        return  # over arrays inside the documents: judged as served
    path = property_path(node)
    if path is not None:
        alias, names = path
        if alias == root and names and not policy.serves(names):
            yield "/" + "/".join(names)
        return
    if isinstance(node, Call) and node.name not in _INDEXABLE:
        for inner in walk(node):
            found = property_path(inner)
            if found is not None and found[0] == root and found[1]:
                yield f"{node.name}(/{'/'.join(found[1])})"
        return
    for child in children(node):
        yield from _read(child, root, policy)
