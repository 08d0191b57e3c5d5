"""The route table: which function answers a method and a path.

As in the Functions host, functions stand in the order of their names without case, and the first whose template
and methods fit answers; a literal has no precedence over a parameter. The table is a tree over the segments so that
a request only meets the few routes that can match, and these are then tried in that order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from local.functions import HttpFunction
from local.route_template import Template, parse_template

__all__ = ["Match", "Route", "RouteTable", "path_parts"]


@dataclass(frozen=True, slots=True)
class Route:
    """A function with its parsed template. ``order`` is its place in the table."""

    order: int
    function: HttpFunction
    template: Template


@dataclass(frozen=True, slots=True)
class Match:
    """The function that answers, with the values of its route parameters."""

    function: HttpFunction
    params: dict[str, str]


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    other: _Node | None = None
    """Whatever is no literal: a parameter or a mixture."""
    ends: list[Route] = field(default_factory=list)
    rest: list[Route] = field(default_factory=list)
    """Catch-alls that begin here."""


def path_parts(path: str) -> list[str]:
    """The decoded segments of a raw path. ``%2F`` stays as it is, one slash at the end is ignored."""
    path = path.removeprefix("/").removesuffix("/")
    if not path:
        return []
    parts = path.split("/")
    if "%" in path:
        return [unquote(p.replace("%2F", "%252F").replace("%2f", "%252f")) for p in parts]
    return parts


class RouteTable:
    """All HTTP functions of an app, ready to be asked."""

    def __init__(self, functions: Iterable[HttpFunction]) -> None:
        """Raises ``BadTemplate`` for a route the host could not build; ``check`` finds these first."""
        ordered = sorted(functions, key=lambda f: f.name.lower())
        self.routes = tuple(Route(i, f, parse_template(f.route)) for i, f in enumerate(ordered))
        self._root = _Node()
        for route in self.routes:
            self._plant(route)

    def find(self, method: str, path: str) -> Match | None:
        """Who answers? ``method`` in upper case, ``path`` raw, without the query."""
        parts = path_parts(path)
        for route in self._candidates(parts):
            methods = route.function.methods
            if methods is not None and method not in methods:
                continue
            if (params := route.template.match(parts)) is not None:
                return Match(route.function, params)
        return None

    def methods(self, path: str) -> list[str]:
        """The methods some function takes at this path, for a helpful 404; ``*`` stands for any."""
        parts = path_parts(path)
        found: set[str] = set()
        for route in self._candidates(parts):
            if route.template.match(parts) is not None:
                found |= route.function.methods if route.function.methods is not None else {"*"}
        return sorted(found)

    def _plant(self, route: Route) -> None:
        node = self._root
        for segment in route.template.segments:
            if segment.can_be_absent:
                node.ends.append(route)
            if segment.parameter is not None and segment.parameter.catch_all:
                node.rest.append(route)
                return
            if segment.literal is not None:
                node = node.literals.setdefault(segment.literal, _Node())
            else:
                if node.other is None:
                    node.other = _Node()
                node = node.other
        node.ends.append(route)

    def _candidates(self, parts: Sequence[str]) -> list[Route]:
        found: list[Route] = []
        nodes = [self._root]
        for part in parts:
            below: list[_Node] = []
            for node in nodes:
                found += node.rest
                if (child := node.literals.get(part) or node.literals.get(part.lower())) is not None:
                    below.append(child)
                if node.other is not None:
                    below.append(node.other)
            nodes = below
            if not nodes:
                break
        else:
            for node in nodes:
                found += node.ends
        if len(found) > 1:
            found.sort(key=_order)
        return found


def _order(route: Route) -> int:
    return route.order
