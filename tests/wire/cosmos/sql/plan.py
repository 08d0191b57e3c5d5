"""The query plan: what a client must do itself when a query goes over several partitions.

The gateway serves a plain filter across partitions by itself. For anything that must be merged it answers 400 with
sub-status 1004; the SDK then asks for this plan, sends the rewritten query to every partition and merges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.wire.cosmos.protocol import bad_request, json_bytes
from tests.wire.cosmos.sql.evaluator import Compiler
from tests.wire.cosmos.sql.functions import AGGREGATES
from tests.wire.cosmos.sql.syntax import Call, Expr, Member, Query, walk

__all__ = ["features", "plan", "servable"]

_FILTER = "{documentdb-formattableorderbyquery-filter}"
_AGGREGATE_NAMES = {"COUNT": "Count", "SUM": "Sum", "MIN": "Min", "MAX": "Max", "AVG": "Average"}


def _aggregates(query: Query) -> list[Call]:
    selected = [query.value] if query.value is not None else [item.expr for item in query.select or ()]
    return [node for expr in selected for node in walk(expr) if isinstance(node, Call) and node.name in AGGREGATES]


def servable(query: Query) -> bool:
    """Can the gateway answer it across partitions, without the client's help?"""
    needs_merge = query.order or query.group or query.distinct or query.top or query.limit
    return not (needs_merge or _aggregates(query))


def features(query: Query) -> list[str]:
    """What a client must be able to do."""
    wanted = {
        "Distinct": query.distinct,
        "Top": query.top is not None,
        "OffsetAndLimit": query.limit is not None,
        "OrderBy": len(query.order) == 1,
        "MultipleOrderBy": len(query.order) > 1,
        "GroupBy": bool(query.group),
        "Aggregate": bool(_aggregates(query)),
    }
    return [name for name, needed in wanted.items() if needed]


def plan(query: Query, parameters: Mapping[str, Any], compiler: Compiler, supported: str) -> dict[str, Any]:
    """The plan. Raises 400 when the client lacks a feature."""
    known = {name.strip() for name in supported.split(",")}
    for name in features(query):
        if name not in known:
            raise bad_request(
                "Query contains 1 or more unsupported features. Upgrade your SDK to a version that does support the "
                f"requested features:\r\nQuery contained {name}, which the calling client does not support."
            )
    counts = {
        name: None if node is None else int(compiler.constant(node))
        for name, node in (("top", query.top), ("offset", query.offset), ("limit", query.limit))
    }
    distinct = "None" if not query.distinct else "Ordered" if query.order else "Unordered"
    info: dict[str, Any] = {
        "distinctType": distinct,
        **counts,
        "orderBy": ["Descending" if item.descending else "Ascending" for item in query.order],
        "orderByExpressions": [_text(query, item.expr) for item in query.order],
        "groupByExpressions": [],
        "groupByAliases": [],
        "aggregates": [_AGGREGATE_NAMES[call.name] for call in _aggregates(query)],
        "groupByAliasToAggregateType": {},
        "rewrittenQuery": _rewritten(query, counts),
        "hasSelectValue": query.value is not None,
        "hasNonStreamingOrderBy": False,
        "dCountInfo": None,
    }
    ranges = [{"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}]
    return {"partitionedQueryExecutionInfoVersion": 2, "queryInfo": info, "queryRanges": ranges}


def _text(query: Query, node: Expr) -> str:
    return query.text[node.span.start : node.span.end]


def _rewritten(query: Query, counts: Mapping[str, int | None]) -> str:
    sources = query.text[query.sources[0].span.start : query.sources[-1].span.end] if query.sources else ""
    where = f"({_text(query, query.where)})" if query.where is not None else ""
    head = "SELECT DISTINCT" if query.distinct and not query.order else "SELECT"
    if counts["top"] is not None:
        head += f" TOP {counts['top']}"
    tail = ""
    if counts["limit"] is not None:
        tail = f" OFFSET 0 LIMIT {(counts['offset'] or 0) + counts['limit']}"
    calls = _aggregates(query)
    if query.order:
        root = query.sources[0].alias
        items = ", ".join(f'{{"item": {_text(query, item.expr)}}}' for item in query.order)
        columns = f"{root}._rid, [{items}] AS orderByItems, {_payload(query)} AS payload"
        order = ", ".join(f"{_text(query, i.expr)} {'DESC' if i.descending else 'ASC'}" for i in query.order)
        where = f"{where} AND ({_FILTER})" if where else f"({_FILTER})"
        tail = f" ORDER BY {order}{tail}"
    elif calls:
        columns = f"VALUE [{', '.join(_partial(query, call) for call in calls)}]"
    else:
        columns = _columns(query)
    return f"{head} {columns}{' FROM ' + sources if sources else ''}{' WHERE ' + where if where else ''}{tail}"


def _partial(query: Query, call: Call) -> str:
    argument = _text(query, call.arguments[0])
    if call.name == "AVG":
        return f'{{"item": {{"sum": SUM({argument}), "count": COUNT({argument})}}}}'
    return f'{{"item": {call.name}({argument})}}'


def _columns(query: Query) -> str:
    if query.value is not None:
        return f"VALUE {_text(query, query.value)}"
    if query.select is None:
        return "*"
    return ", ".join(_text(query, item.expr) + (f" AS {item.alias}" if item.alias else "") for item in query.select)


def _payload(query: Query) -> str:
    if query.value is not None:
        return _text(query, query.value)
    if query.select is None:
        return query.sources[0].alias
    entries: list[str] = []
    for at, item in enumerate(query.select, 1):
        key = getattr(item.expr.key, "value", None) if isinstance(item.expr, Member) else None
        name = item.alias or (key if isinstance(key, str) else f"${at}")
        entries.append(f"{json_bytes(name).decode()}: {_text(query, item.expr)}")
    return "{" + ", ".join(entries) + "}"
