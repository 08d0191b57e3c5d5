"""Reads a Bicep file into :mod:`tests.infra.syntax`, with tree-sitter. What it cannot read it reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from tree_sitter import Node

from tests.infra import syntax
from tests.infra.parsing import parse
from tests.infra.problem import Place, Problem
from tests.infra.reading_expressions import Expressions
from tests.infra.reading_types import Types
from tests.infra.separators import run_together

__all__ = ["read"]


@lru_cache(maxsize=256)
def read(path: str, text: str) -> tuple[syntax.BicepFile, list[Problem]]:
    """The file and what is wrong with its syntax. ``path`` counts from the root of the repository."""
    root = parse(text)
    file = syntax.BicepFile(path, text)
    reader = _Reader(path, file)
    reader.read_all(root)
    problems = [*_broken(root, path), *run_together(root, path), *reader.problems]
    return file, sorted(set(problems))


def _broken(node: Node, path: str) -> Iterator[Problem]:
    """The places that the parser could not make sense of; of nested ones the outermost."""
    place = Place(path, node.start_point.row + 1)
    if node.is_missing:
        yield Problem(place, f"here a `{node.type}` is missing.")
    elif node.is_error:
        text = " ".join((node.text or b"").decode().split())
        yield Problem(place, f"this cannot be read as Bicep: `{text[:60]}`.")
    elif node.has_error:
        for child in node.children:
            yield from _broken(child, path)


class _Reader:
    def __init__(self, path: str, file: syntax.BicepFile) -> None:
        self._path = path
        self._file = file
        self._types = Types(path)
        self._expressions = Expressions(path, self._resource)
        self.problems: list[Problem] = []

    def read_all(self, root: Node) -> None:
        decorators: tuple[syntax.Decorator, ...] = ()
        for node in root.named_children:
            if node.type == "decorators":
                decorators = self._decorators(node)
                continue
            if node.type == "import_functionality":
                self._file.declarations += self._imports(node)
            elif node.type == "target_scope_assignment":
                self._file.target_scope = self._plain(node)
            elif node.type in ("metadata_declaration", "assert_statement"):
                self._file.loose.append(self._expressions.read(node.named_children[-1]))
            elif (declaration := self._declaration(node, decorators)) is not None:
                self._file.declarations.append(declaration)
            elif node.type not in ("comment", "diagnostic_comment", "ERROR"):
                self._say(node, f"the gate does not know what to make of this ({node.type}).")
            if node.type not in ("comment", "diagnostic_comment"):
                decorators = ()

    def _declaration(self, node: Node, decorators: tuple[syntax.Decorator, ...]) -> syntax.Declaration | None:
        if node.type == "resource_declaration":
            return self._resource(node, decorators)
        if node.type == "module_declaration":
            return self._module(node, decorators)
        place, name = self._place(node), self._name(node)
        match node.type:
            case "variable_declaration":
                return syntax.Variable(place, name, decorators, self._value(node))
            case "parameter_declaration":
                default = self._value(node) if _has(node, "=") else None
                return syntax.Parameter(place, name, decorators, self._types.read(node.named_children[1]), default)
            case "output_declaration":
                kind = self._types.read(node.named_children[1])
                return syntax.Output(place, name, decorators, kind, self._value(node))
            case "type_declaration":
                return syntax.TypeDeclaration(place, name, decorators, self._types.read(node.named_children[-1]))
            case "user_defined_function":
                return self._function(node, place, name, decorators)
        return None

    def _function(
        self, node: Node, place: Place, name: str, decorators: tuple[syntax.Decorator, ...]
    ) -> syntax.Function:
        given = next((child for child in node.named_children if child.type == "parameters"), None)
        pairs = [] if given is None else [child.named_children for child in given.named_children]
        parameters = tuple((_text(pair[0]), self._types.read(pair[-1])) for pair in pairs if len(pair) > 1)
        returns = next(self._types.read(child) for child in node.named_children if child.type == "type")
        return syntax.Function(place, name, decorators, parameters, returns, self._value(node))

    def _resource(self, node: Node, decorators: Sequence[syntax.Decorator] = ()) -> syntax.Resource:
        kind, _, version = self._plain(node).partition("@")
        condition, value = self._body(node)
        return syntax.Resource(
            self._place(node),
            self._name(node),
            tuple(decorators),
            kind,
            version or None,
            _has(node, "existing"),
            condition,
            value,
        )

    def _module(self, node: Node, decorators: tuple[syntax.Decorator, ...]) -> syntax.Module:
        condition, value = self._body(node)
        return syntax.Module(self._place(node), self._name(node), decorators, self._plain(node), condition, value)

    def _body(self, node: Node) -> tuple[syntax.Expression | None, syntax.Expression]:
        last = node.named_children[-1]
        if last.type != "if_statement":
            return None, self._expressions.read(last)
        condition, body = (self._expressions.read(child) for child in last.named_children[:2])
        return condition, body

    def _imports(self, node: Node) -> Iterator[syntax.Import]:
        place, path = self._place(node), self._plain(node)
        words = [child for child in node.children if child.type not in ("import", "from", ",", "{", "}", "string")]
        names: list[tuple[str, str]] = []
        alias = False
        for word in words:
            if word.type == "as":
                alias = True
            elif alias:
                names[-1] = (names[-1][0], _text(word))
                alias = False
            elif word.type in ("identifier", "*"):
                names.append((_text(word), _text(word)))
        for original, name in names:
            yield syntax.Import(place, name, (), original, path)

    def _decorators(self, node: Node) -> tuple[syntax.Decorator, ...]:
        return tuple(self._decorator(child) for child in node.named_children if child.type == "decorator")

    def _decorator(self, node: Node) -> syntax.Decorator:
        call = self._expressions.read(node.named_children[0])
        if isinstance(call, syntax.Call):
            return syntax.Decorator(call.at, call.name, call.arguments)
        self._say(node, "a decorator is a call: `@name()`.")
        return syntax.Decorator(call.at, "", ())

    def _value(self, node: Node) -> syntax.Expression:
        return self._expressions.read(node.named_children[-1])

    def _plain(self, node: Node) -> str:
        """The first string directly inside."""
        for child in node.named_children:
            if child.type == "string":
                read = self._expressions.read(child)
                plain = read.plain if isinstance(read, syntax.Text) else None
                if plain is None:
                    self._say(node, "here the text must be plain, without ${}.")
                return plain or ""
        self._say(node, "here a text in quotes is missing.")
        return ""

    def _name(self, node: Node) -> str:
        return next((_text(child) for child in node.named_children if child.type == "identifier"), "")

    def _place(self, node: Node) -> Place:
        return Place(self._path, node.start_point.row + 1)

    def _say(self, node: Node, sentence: str) -> None:
        self.problems.append(Problem(self._place(node), sentence))


def _has(node: Node, word: str) -> bool:
    return any(child.type == word for child in node.children)


def _text(node: Node) -> str:
    return (node.text or b"").decode()
