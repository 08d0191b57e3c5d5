"""One route template (``api/v1/equipment/{id:length(32)}/{*rest}``) and matching a path against it.

Contract: ASP.NET Core's ``TemplateParser`` and ``TemplateMatcher``, which the Functions host uses
(``reference/functions-runtime.md`` 3.1): literals are compared without case, an empty segment never matches, a
trailing slash is ignored, trailing parameters may be optional or have a default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from local.route_constraints import Constraint, UnknownConstraint, constraint

__all__ = ["BadTemplate", "Parameter", "Segment", "Template", "parse_template"]


class BadTemplate(ValueError):
    """The host could not build a route of this text. The message says why."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """``{name:constraint=default?}``."""

    name: str
    constraints: tuple[Constraint, ...] = ()
    optional: bool = False
    default: str | None = None
    catch_all: bool = False

    def takes(self, value: str) -> bool:
        """Do all constraints hold?"""
        return all(check(value) for check in self.constraints)


@dataclass(frozen=True, slots=True)
class Segment:
    """What stands between two slashes: one literal, one parameter, or a mixture (``v{version}.{format}``)."""

    literal: str | None = None
    """Lower case; set when the whole segment is literal."""
    parameter: Parameter | None = None
    """Set when the whole segment is one parameter."""
    mixtures: tuple[re.Pattern[str], ...] = ()
    """Set otherwise, tried in this order; the groups are the first parameters of ``mixed``."""
    mixed: tuple[Parameter, ...] = ()

    @property
    def can_be_absent(self) -> bool:
        """May the path end before it?"""
        p = self.parameter
        return p is not None and (p.optional or p.catch_all or p.default is not None)


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed route template."""

    text: str
    segments: tuple[Segment, ...]

    def match(self, parts: Sequence[str]) -> dict[str, str] | None:
        """The route values for a path split at its slashes (decoded, no trailing slash), or ``None``."""
        values: dict[str, str] = {}
        given = len(parts)
        for i, segment in enumerate(self.segments):
            if i >= given:
                if not _absent(segment, values):
                    return None
                continue
            if segment.parameter is not None and segment.parameter.catch_all:
                return _catch(segment.parameter, "/".join(parts[i:]), values)
            if not _take(segment, parts[i], values):
                return None
        return values if given <= len(self.segments) else None


def _absent(segment: Segment, values: dict[str, str]) -> bool:
    if not segment.can_be_absent or segment.parameter is None:
        return False
    p = segment.parameter
    if p.default is not None:
        values[p.name] = p.default
        return p.takes(p.default)
    return p.optional or not p.constraints


def _catch(parameter: Parameter, rest: str, values: dict[str, str]) -> dict[str, str] | None:
    if not parameter.takes(rest):
        return None
    values[parameter.name] = rest
    return values


def _take(segment: Segment, text: str, values: dict[str, str]) -> bool:
    if not text:
        return False
    if segment.literal is not None:
        return text.lower() == segment.literal
    if segment.parameter is not None:
        values[segment.parameter.name] = text
        return segment.parameter.takes(text) if segment.parameter.constraints else True
    found = next((m for pattern in segment.mixtures if (m := pattern.fullmatch(text)) is not None), None)
    if found is None:
        return False
    for parameter, value in zip(segment.mixed, found.groups(), strict=False):
        if not parameter.takes(value):
            return False
        values[parameter.name] = value
    return True


def parse_template(text: str) -> Template:
    """Parse a route.

    Raises:
        BadTemplate: braces that do not close, a name given twice, an optional parameter in the middle, an
            unknown constraint.
    """
    if text.startswith("~"):
        raise BadTemplate("a route may not begin with `~`")
    texts = _split(text.strip("/")) if text.strip("/") else []
    segments = tuple(_segment(s, last=i == len(texts) - 1) for i, s in enumerate(texts))
    names: set[str] = set()
    for segment in segments:
        for parameter in (segment.parameter, *segment.mixed):
            if parameter is None:
                continue
            if parameter.name.lower() in names:
                raise BadTemplate(f"the parameter {{{parameter.name}}} stands twice in it")
            names.add(parameter.name.lower())
    return Template(text, segments)


def _split(text: str) -> list[str]:
    """At the slashes outside braces; a regex constraint may hold one."""
    found: list[str] = []
    depth = start = 0
    for i, char in enumerate(text):
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
        elif char == "/" and depth == 0:
            found.append(text[start:i])
            start = i + 1
    found.append(text[start:])
    if depth != 0:
        raise BadTemplate("its braces do not close")
    if "" in found:
        raise BadTemplate("it has an empty segment (`//`)")
    return found


def _segment(text: str, *, last: bool) -> Segment:
    pieces = _pieces(text)
    if all(isinstance(p, str) for p in pieces):
        literal = "".join(p for p in pieces if isinstance(p, str))
        if "?" in literal:
            raise BadTemplate("a literal may not hold `?`")
        return Segment(literal=literal.lower())
    parameters = [p for p in pieces if isinstance(p, Parameter)]
    for parameter in parameters:
        if parameter.catch_all and not (last and len(pieces) == 1):
            raise BadTemplate(f"the catch-all {{*{parameter.name}}} must be the last segment, alone")
        if parameter.optional and parameter is not pieces[-1]:
            raise BadTemplate(f"the optional {{{parameter.name}?}} must stand at the end of its segment")
    if len(pieces) == 1:
        return Segment(parameter=parameters[0])
    return Segment(mixtures=tuple(_mixtures(pieces)), mixed=tuple(parameters))


def _mixtures(pieces: Sequence[str | Parameter]) -> Iterator[re.Pattern[str]]:
    """Literals and parameters in one segment. ASP.NET matches from the right, so the first parameter takes as much
    as it can and the later ones as little. An optional one at the end may be missing together with its dot."""
    pattern = ""
    for i, piece in enumerate(pieces):
        if isinstance(piece, str):
            pattern += re.escape(piece)
            continue
        if i and isinstance(pieces[i - 1], Parameter):
            raise BadTemplate("two parameters may not touch; put a literal between them")
        pattern += "(.+?)" if "(.+" in pattern else "(.+)"
    yield re.compile(pattern, re.IGNORECASE)
    last = pieces[-1]
    if isinstance(last, Parameter) and last.optional:
        if not pattern.endswith((r"\.(.+?)", r"\.(.+)")):
            raise BadTemplate("an optional parameter inside a segment must follow a dot")
        yield re.compile(pattern[: pattern.rindex(r"\.(.+")], re.IGNORECASE)


def _pieces(text: str) -> list[str | Parameter]:
    found: list[str | Parameter] = []
    literal = ""
    i = 0
    while i < len(text):
        if text[i] == "{" and text[i + 1 : i + 2] != "{":
            end = _closing(text, i + 1)
            if literal:
                found.append(literal)
                literal = ""
            found.append(_parameter(text[i + 1 : end]))
            i = end + 1
            continue
        if text[i] == "}" and text[i + 1 : i + 2] != "}":
            raise BadTemplate("its braces do not close")
        literal += text[i]
        i += 2 if text[i] in "{}" else 1
    if literal:
        found.append(literal)
    return found


def _closing(text: str, start: int) -> int:
    """The single ``}`` that ends the parameter; a doubled one is a brace of a regular expression."""
    i = start
    while i < len(text):
        if text[i] in "{}" and text[i + 1 : i + 2] == text[i]:
            # `}}}` closes: two for the regular expression, one for the parameter.
            i += 2
            continue
        if text[i] == "{":
            raise BadTemplate("a parameter may not hold a single `{`; double it in a regular expression")
        if text[i] == "}":
            return i
        i += 1
    raise BadTemplate("its braces do not close")


def _parameter(text: str) -> Parameter:
    text = text.replace("{{", "{").replace("}}", "}")
    stars = len(text) - len(text.lstrip("*"))
    text = text[stars:]
    name, constraints, default, optional = _take_apart(text)
    if not re.fullmatch(r"[^{}/*?:=]+", name):
        raise BadTemplate(f"`{{{text}}}` has no usable parameter name")
    if optional and (stars or default is not None):
        raise BadTemplate(f"{{{name}}} cannot be optional and have a default or be a catch-all")
    try:
        checks = tuple(constraint(c) for c in constraints)
    except UnknownConstraint as err:
        raise BadTemplate(f"{{{name}}}: {err}") from err
    return Parameter(name, checks, optional, default, catch_all=stars > 0)


def _take_apart(text: str) -> tuple[str, list[str], str | None, bool]:
    """``name:a(1,2):b=default`` or ``name:a?`` into its parts; brackets may hold colons and equal signs."""
    optional = text.endswith("?")
    text = text.removesuffix("?")
    cuts = [i for i, char in enumerate(text) if char in ":=" and not _inside_brackets(text, i)]
    equal = next((i for i in cuts if text[i] == "="), None)
    default = text[equal + 1 :] if equal is not None else None
    head = text[:equal] if equal is not None else text
    colons = [i for i in cuts if text[i] == ":" and (equal is None or i < equal)]
    bounds = [*colons, len(head)]
    name = head[: bounds[0]]
    constraints = [head[a + 1 : b] for a, b in pairwise(bounds)]
    return name, constraints, default, optional


def _inside_brackets(text: str, position: int) -> bool:
    """A bracket closes only before ``:``, ``=`` or the end, so that a regular expression may hold brackets."""
    open_ = False
    for i in range(position):
        if text[i] == "(" and not open_:
            open_ = True
        elif text[i] == ")" and open_ and text[i + 1 : i + 2] in ("", ":", "="):
            open_ = False
    return open_
