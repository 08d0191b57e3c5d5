"""A query over documents: which rows, in what order, one page of them, and what had to be loaded for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.wire.cosmos.charges import Load
from tests.wire.cosmos.indexing import IndexingPolicy
from tests.wire.cosmos.protocol import bad_request
from tests.wire.cosmos.sql.checks import Shape, conjuncts, shape_of
from tests.wire.cosmos.sql.evaluator import GROUP, Compiler, Row, Value
from tests.wire.cosmos.sql.lexer import too_deep
from tests.wire.cosmos.sql.syntax import Expr, Member, Name, Query, SelectItem, Source
from tests.wire.cosmos.sql.values import UNDEFINED, Undefined, freeze, sort_key

__all__ = ["PAGE_BYTES", "Page", "Stored", "run"]

PAGE_BYTES = 4 * 1024 * 1024
"""A page is cut here, whatever the client asks."""


class Stored(Protocol):
    """What is queried: a document, its place in the order of creation, its bytes."""

    @property
    def number(self) -> int:
        """The order of creation."""
        ...

    @property
    def body(self) -> dict[str, Any]:
        """The document."""
        ...

    @property
    def raw(self) -> bytes:
        """The document as JSON."""
        ...


@dataclass(slots=True)
class Page:
    """One page of results."""

    values: list[Any]
    position: list[Any] | None
    """Where to go on; ``None``: that was all."""
    load: Load
    scanned: list[str] = field(default_factory=list)
    """Properties filtered by that no index serves: the documents had to be read."""


def run(
    query: Query,
    items: Iterable[Stored],
    policy: IndexingPolicy,
    parameters: Mapping[str, Any],
    now: Callable[[], float],
    *,
    page_size: int,
    position: list[Any] | None = None,
) -> Page:
    """One page. ``items`` in the order of creation. Raises 400 for what the service would refuse."""
    try:
        shape = shape_of(query, policy)
        compiler = Compiler(parameters, now, _nested)
        return _Run(query, shape, policy, compiler, page_size, position).page(items)
    except RecursionError:
        raise too_deep() from None


class _Run:
    def __init__(
        self,
        query: Query,
        shape: Shape,
        policy: IndexingPolicy,
        compiler: Compiler,
        page_size: int,
        position: list[Any] | None,
    ) -> None:
        self.query, self.shape, self.page_size, self.position = query, shape, page_size, position
        self.sources, inner = _sources(query, compiler, nested=False)
        self.served: list[Value] = []
        self.unserved: list[Value] = []
        self.scanned: list[str] = []
        for condition, paths in conjuncts(query, policy):
            (self.unserved if paths else self.served).append(inner(condition))
            self.scanned.extend(paths)
        self.project = _projection(query, inner)
        self.order = [(inner(item.expr), item.descending) for item in query.order]
        self.group = [inner(expr) for expr in query.group]
        self.skip = _count(compiler, query.offset, "OFFSET") or 0
        limits = [_count(compiler, query.top, "TOP"), _count(compiler, query.limit, "LIMIT")]
        self.limit = min((n for n in limits if n is not None), default=None)
        self.load = Load()

    def page(self, items: Iterable[Stored]) -> Page:
        if self.shape.aggregates or self.query.group:
            values = self._grouped(items)
        elif self.query.distinct or len(self.query.sources) > 1 or not self.shape.plain:
            values = self._listed(items)
        else:
            return self._streamed(items)
        return self._cut(values)

    # a page of whole documents: resumed behind the last one, whatever was written since

    def _streamed(self, items: Iterable[Stored]) -> Page:
        after, taken = self._resume()
        skip = 0 if self.position else self.skip
        left = None if self.limit is None else self.limit - taken
        found: list[tuple[list[Any], Stored, Row]] = []
        more, size = False, 0
        for keys, item, row in self._candidates(items, after):
            if left is not None and len(found) >= left:
                break
            if skip and self._passes(item, row):
                skip -= 1
                continue
            if not self._passes(item, row):
                continue
            if len(found) >= self.page_size or (found and size + len(item.raw) > PAGE_BYTES):
                more = True
                break
            size += len(item.raw)
            found.append((keys, item, row))
        values = [v for _, _, row in found if not isinstance(v := self.project(row), Undefined)]
        position = None
        if more:
            keys, item, _ = found[-1]
            position = [[_packed(key) for key in keys], item.number, taken + len(found)]
        return Page(values, position, self.load, self.scanned)

    def _resume(self) -> tuple[tuple[list[Any], int] | None, int]:
        if self.position is None:
            return None, 0
        keys, number, taken = self.position
        return ([_unpacked(key) for key in keys], number), taken

    def _candidates(
        self, items: Iterable[Stored], after: tuple[list[Any], int] | None
    ) -> Iterator[tuple[list[Any], Stored, Row]]:
        """What the index leads to, in order, behind the position. Equal keys stay in the order of creation."""
        served, values = self.served, [value for value, _ in self.order]
        led: Iterable[tuple[list[Any], Stored, Row]] = (
            ([sort_key(value(row)) for value in values], item, row)
            for item, row in self._sourced(items)
            if not served or all(condition(row) is True for condition in served)
        )
        for at in range(len(self.order) - 1, -1, -1):
            led = sorted(led, key=lambda entry, at=at: entry[0][at], reverse=self.order[at][1])  # type: ignore[misc]
        if after is None:
            return iter(led)
        return (entry for entry in led if self._behind(entry[0], entry[1].number, after))

    def _sourced(self, items: Iterable[Stored]) -> Iterator[tuple[Stored, Row]]:
        if self.shape.plain:
            alias = self.query.sources[0].alias
            return ((item, {alias: item.body}) for item in items)
        return ((item, row) for item in items for row in self.sources({_DOCUMENT: item.body}))

    def _behind(self, keys: list[Any], number: int, after: tuple[list[Any], int]) -> bool:
        for key, before, (_, descending) in zip(keys, after[0], self.order, strict=True):
            if key != before:
                return bool(key < before) if descending else bool(key > before)
        return number > after[1]

    def _passes(self, item: Stored, row: Row) -> bool:
        self.load.documents += 1
        self.load.size += len(item.raw)
        return all(condition(row) is True for condition in self.unserved)

    # everything at once: rows of joins, distinct values, groups

    def _rows(self, items: Iterable[Stored]) -> list[Row]:
        return [row for _, item, row in self._candidates(items, None) if self._passes(item, row)]

    def _listed(self, items: Iterable[Stored]) -> list[Any]:
        values = [v for row in self._rows(items) if not isinstance(v := self.project(row), Undefined)]
        if self.query.distinct:
            values = list({freeze(value): value for value in reversed(values)}.values())[::-1]
        return self._limited(values)

    def _grouped(self, items: Iterable[Stored]) -> list[Any]:
        groups: dict[Any, list[Row]] = {} if self.query.group else {(): []}
        for row in self._rows(items):
            groups.setdefault(tuple(freeze(value(row)) for value in self.group), []).append(row)
        made = [self.project({**(rows[0] if rows else {}), GROUP: rows}) for rows in groups.values()]
        return self._limited([value for value in made if not isinstance(value, Undefined)])

    def _limited(self, values: list[Any]) -> list[Any]:
        return values[self.skip :][: self.limit]

    def _cut(self, values: list[Any]) -> Page:
        start = self.position[0] if self.position else 0
        end = start + self.page_size
        return Page(values[start:end], [end] if len(values) > end else None, self.load, self.scanned)


_DOCUMENT = "\0document"


def _count(compiler: Compiler, node: Expr | None, clause: str) -> int | None:
    if node is None:
        return None
    value = compiler.constant(node)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise bad_request(f"The {clause} clause needs a whole number that is not negative.")
    return value


def _packed(key: tuple[int, Any]) -> list[Any]:
    kind, value = key
    return [kind, value.decode() if isinstance(value, bytes) else value]


def _unpacked(packed: Sequence[Any]) -> tuple[int, Any]:
    kind, value = packed
    return kind, value.encode() if kind > 5 else value


Expand = Callable[[Row], Iterable[Row]]


def _sources(query: Query, compiler: Compiler, *, nested: bool) -> tuple[Expand, Compiler]:
    """FROM and its joins: a row to the rows it makes; and the compiler that knows their aliases."""
    steps: list[Callable[[Row], Iterable[Row]]] = []
    for at, source in enumerate(query.sources):
        if at == 0 and not nested:
            steps.append(_first(source, compiler))
        else:
            steps.append(_step(source, compiler(source.value)))
        compiler = compiler.within(frozenset({source.alias}))

    def expand(row: Row) -> Iterable[Row]:
        rows: Iterable[Row] = (row,)
        for step in steps:
            rows = [made for one in rows for made in step(one)]
        return rows

    return (steps[0] if len(steps) == 1 else expand), compiler


def _first(source: Source, compiler: Compiler) -> Callable[[Row], Iterable[Row]]:
    alias = source.alias
    if source.root:
        return lambda row: ({alias: row[_DOCUMENT]},)
    base = source.value
    while isinstance(base, Member):
        base = base.base
    name = base.name if isinstance(base, Name) else ""
    step = _step(source, compiler.within(frozenset({name}))(source.value))
    return lambda row: ({alias: made[alias]} for made in step({name: row[_DOCUMENT]}))


def _step(source: Source, value: Value) -> Callable[[Row], Iterable[Row]]:
    alias = source.alias

    def each(row: Row) -> Iterable[Row]:
        found = value(row)
        return [{**row, alias: entry} for entry in found] if isinstance(found, list) else ()

    def whole(row: Row) -> Iterable[Row]:
        found = value(row)
        return () if isinstance(found, Undefined) else ({**row, alias: found},)

    return each if source.each else whole


def _projection(query: Query, compiler: Compiler) -> Value:
    if query.value is not None:
        return compiler(query.value)
    if query.select is None:
        alias = query.sources[0].alias
        return lambda row: row.get(alias, UNDEFINED)
    columns = [(name, compiler(item.expr)) for name, item in _named(query.select)]
    return lambda row: {name: v for name, value in columns if not isinstance(v := value(row), Undefined)}


def _named(items: Sequence[SelectItem]) -> list[tuple[str, SelectItem]]:
    """Columns with their names: the alias, else the property's, else ``$1``, ``$2``."""
    named: list[tuple[str, SelectItem]] = []
    unnamed = 0
    for item in items:
        name = item.alias
        if name is None and isinstance(item.expr, Member):
            key = getattr(item.expr.key, "value", None)
            name = key if isinstance(key, str) else None
        if name is None and isinstance(item.expr, Name):
            name = item.expr.name
        if name is None:
            unnamed += 1
            name = f"${unnamed}"
        if any(name == other for other, _ in named):
            raise bad_request(f"'{name}' is a duplicate property name in the select list; give it an alias.")
        named.append((name, item))
    return named


def _nested(query: Query, compiler: Compiler) -> Callable[[Row], list[Any]]:
    """A subquery: the values it makes of a row of the query around it."""
    expand, inner = _sources(query, compiler, nested=True)
    where = inner(query.where) if query.where else None
    project = _projection(query, inner)
    grouped = shape_of(query, None).aggregates

    def values(row: Row) -> list[Any]:
        rows = [made for made in expand(row) if where is None or where(made) is True]
        made = [project({**row, GROUP: rows})] if grouped else [project(one) for one in rows]
        found = [value for value in made if not isinstance(value, Undefined)]
        return list({freeze(v): v for v in reversed(found)}.values())[::-1] if query.distinct else found

    return values
