"""A query request: which documents it may see, what is refused, one page and the way to the next."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.wire.cosmos import charges
from tests.wire.cosmos.containers import Container, Item
from tests.wire.cosmos.partitions import Key, key_from_header, ranges
from tests.wire.cosmos.protocol import Answer, Call, CosmosError, bad_request, json_bytes
from tests.wire.cosmos.sql.evaluator import Compiler
from tests.wire.cosmos.sql.execution import run
from tests.wire.cosmos.sql.parser import parse
from tests.wire.cosmos.sql.plan import plan, servable
from tests.wire.cosmos.sql.syntax import Query

__all__ = ["Observed", "Queries"]

_DEFAULT_PAGE, _LARGEST_PAGE = 100, 1000
_EVERYTHING = "SELECT * FROM c"


@dataclass(slots=True)
class Observed:
    """Queries that the product must not send, as (container, text)."""

    cross_partition_orders: list[tuple[str, str]] = field(default_factory=list)
    cross_partition_groups: list[tuple[str, str]] = field(default_factory=list)
    prefix_orders: list[tuple[str, str]] = field(default_factory=list)
    """ORDER BY under a prefix of a hierarchical key: where the prefix lies on several physical partitions, the client
    gives them one after the other and merges nothing."""
    scans: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    """With the properties they filter by without an index."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which documents: those of a key (or prefix), of a range of hashes, or of one physical partition."""

    key: Key | None = None
    low: str = ""
    high: str = "FF"
    across: bool = False
    """Nothing narrows it: the gateway asks all partitions."""
    prefix: bool = False
    """It is part of a hierarchical key."""

    def holds(self, item: Item) -> bool:
        return (self.key is None or item.key[: len(self.key)] == self.key) and self.low <= item.place < self.high


class Queries:
    """Queries over containers."""

    def __init__(self, now: Callable[[], float], physical_partitions: int) -> None:
        self.now, self.physical = now, physical_partitions
        self.observed = Observed()
        self.page_limit: int | None = None
        """No page is longer than this, whatever the client asks: the service cuts pages when it likes."""

    def query(self, call: Call, container: Container) -> Answer:
        """One page of a query. Raises 400."""
        text, parameters = _read(call)
        tree = parse(text)
        scope = self._scope(call, container)
        if scope.across:
            self._across(call, container, tree)
        elif tree.order and scope.prefix:
            self.observed.prefix_orders.append((container.name, tree.text))
        return self._page(call, container, scope, tree, parameters)

    def feed(self, call: Call, container: Container) -> Answer:
        """One page of all documents."""
        if call.header("a-im"):
            raise bad_request("The change feed is not served by this server.")
        return self._page(call, container, self._scope(call, container), parse(_EVERYTHING), {})

    def plan(self, call: Call, container: Container) -> Answer:
        """The plan of a query."""
        text, parameters = _read(call)
        tree = parse(text)
        run(tree, [], container.policy, parameters, self.now, page_size=1)
        compiler = Compiler(parameters, self.now, lambda query, compiler: lambda row: [])
        made = plan(tree, parameters, compiler, call.header("x-ms-cosmos-supported-query-features") or "")
        return Answer.of(200, made, charge=charges.METADATA)

    def holds(self, container: Container, item: Item, condition: str) -> bool:
        """Does this document meet a patch condition, ``FROM c WHERE ...``?"""
        page = run(parse(f"SELECT VALUE 1 {condition}"), [item], container.policy, {}, self.now, page_size=1)
        return bool(page.values)

    def _across(self, call: Call, container: Container, tree: Query) -> None:
        if not call.flag("x-ms-documentdb-query-enablecrosspartition"):
            raise bad_request(
                "Cross partition query is required but disabled. Please set x-ms-documentdb-query-enablecrosspartition "
                "to true, specify x-ms-documentdb-partitionkey, or revise your query to avoid this exception."
            )
        if tree.order:
            self.observed.cross_partition_orders.append((container.name, tree.text))
        if tree.group:
            self.observed.cross_partition_groups.append((container.name, tree.text))
        if not servable(tree):
            raise CosmosError(
                400,
                "BadRequest",
                "The provided cross partition query can not be directly served by the gateway. This is a first chance "
                "(internal) exception that all newer clients will know how to handle gracefully. This exception is "
                "traced, but unless you see it bubble up as an exception (which only happens on older SDK clients), "
                "then you can safely ignore this message.",
                substatus=1004,
            )

    def _scope(self, call: Call, container: Container) -> _Scope:
        given = call.header("x-ms-documentdb-partitionkey")
        if given is not None:
            key = key_from_header(given, len(container.paths))
            return _Scope(key=key, prefix=len(key) < len(container.paths))
        low, high = call.header("x-ms-start-epk"), call.header("x-ms-end-epk")
        range_id = call.header("x-ms-documentdb-partitionkeyrangeid")
        if range_id is None:
            return _Scope(low=low or "", high=high or "FF", across=low is None)
        for candidate in ranges(self.physical):
            if candidate.id == range_id.rpartition(",")[2]:
                bounds = max(low or "", candidate.low), min(high or "FF", candidate.high)
                return _Scope(low=bounds[0], high=bounds[1], prefix=low is not None)
        raise CosmosError(410, "Gone", "The requested resource is no longer available at the server.", substatus=1002)

    def _items(self, container: Container, scope: _Scope) -> list[Item]:
        if scope.key is not None and len(scope.key) == len(container.paths):
            return list(container.items(scope.key))
        return sorted((i for i in container.items() if scope.holds(i)), key=lambda item: item.number)

    def _page(self, call: Call, container: Container, scope: _Scope, tree: Query, parameters: dict[str, Any]) -> Answer:
        mark = _mark(container, tree.text, parameters)
        page = run(
            tree,
            self._items(container, scope),
            container.policy,
            parameters,
            self.now,
            page_size=self._page_size(call),
            position=_position(call.header("x-ms-continuation"), mark),
        )
        if page.scanned:
            self.observed.scans.append((container.name, tree.text, tuple(page.scanned)))
        page.load.partitions = self.physical if scope.across else 1
        body = {"_rid": container.rid, "Documents": page.values, "_count": len(page.values)}
        headers = {"x-ms-item-count": str(len(page.values))}
        if page.position is not None:
            headers["x-ms-continuation"] = base64.b64encode(json_bytes([mark, page.position])).decode()
        return Answer(200, json_bytes(body), charges.query(page.load), headers=headers)

    def _page_size(self, call: Call) -> int:
        text = call.header("x-ms-max-item-count")
        try:
            wanted = int(text) if text is not None else _DEFAULT_PAGE
        except ValueError as error:
            raise bad_request(f"x-ms-max-item-count '{text}' is invalid: give a whole number, or -1.") from error
        if wanted == 0 or wanted < -1:
            raise bad_request(f"x-ms-max-item-count '{text}' is invalid: give a whole number, or -1.")
        wanted = _LARGEST_PAGE if wanted == -1 else wanted
        return wanted if self.page_limit is None else min(wanted, self.page_limit)


def _read(call: Call) -> tuple[str, dict[str, Any]]:
    payload = call.json()
    text = payload.get("query") if isinstance(payload, dict) else None
    if not isinstance(text, str):
        raise bad_request("The request payload is invalid: it needs the text of a query.")
    parameters: dict[str, Any] = {}
    for entry in payload.get("parameters") or []:
        if not isinstance(entry, dict) or not str(entry.get("name", "")).startswith("@") or "value" not in entry:
            raise bad_request("The query parameters are invalid: each needs a name beginning with @ and a value.")
        parameters[entry["name"]] = entry["value"]
    return text, parameters


def _mark(container: Container, text: str, parameters: dict[str, Any]) -> str:
    return hashlib.blake2b(json_bytes([container.rid, text, parameters]), digest_size=9).hexdigest()


def _position(token: str | None, mark: str) -> list[Any] | None:
    if not token:
        return None
    try:
        found, position = orjson.loads(base64.b64decode(token, validate=True))
    except (ValueError, TypeError, binascii.Error) as error:
        raise bad_request(f"Invalid Continuation Token '{token[:64]}'.") from error
    if found != mark or not isinstance(position, list):
        raise bad_request("Invalid Continuation Token: it belongs to another query.")
    return position
