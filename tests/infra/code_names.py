"""What the code calls its containers, queues and blob containers, and which properties its queries name."""

from __future__ import annotations

import ast
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.infra.problem import Place

__all__ = ["CodeNames", "code_names"]

_CONDITIONS = ("Equals", "In", "Range", "IsDefined", "BucketQuery")


@dataclass(frozen=True, slots=True)
class CodeNames:
    """Each with the places where it is named."""

    containers: dict[str, Place]
    queues: dict[str, Place]
    blobs: dict[str, Place]
    queried: list[tuple[frozenset[str], str, Place]]
    """Containers that a module works on, a property that one of its queries filters or orders by, and where."""


@cache
def code_names(root: Path) -> CodeNames:
    """Read from ``shared/`` and from the list of functions that the worker library indexed."""
    names = CodeNames({}, {}, {}, [])
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted((root / "shared").rglob("*.py"))}
    constants = {path: dict(_constants(tree)) for path, tree in trees.items()}
    rooms: dict[Path, set[str]] = defaultdict(set)
    own: dict[Path, set[str]] = {}
    for path, tree in trees.items():
        place = Place(path.relative_to(root).as_posix(), 1)
        found = {value for name, value in constants[path].items() if name.endswith("CONTAINER")}
        names.containers.update(dict.fromkeys(found, place))
        names.queues.update({value: place for name, value in constants[path].items() if name.endswith("QUEUE")})
        names.blobs.update(dict.fromkeys(_blobs(tree), place))
        own[path] = found | set(_imported(root, tree, constants))
        rooms[path.parent] |= own[path]
    for path, tree in trees.items():
        if "storage" not in path.parts:
            containers = frozenset(own[path] or rooms[path.parent])
            for queried, line in _queried(tree):
                place = Place(path.relative_to(root).as_posix(), line)
                names.queried.append((containers, queried, place))
    listed = json.loads((root / "tests/runtime/functions.json").read_text("utf-8"))["function_app"]
    for function in listed:
        if queue := function.get("queueName"):
            names.queues[queue] = Place("tests/runtime/functions.json", 1)
    return names


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(value))):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(value))):
                yield name, value


def _imported(root: Path, tree: ast.Module, constants: dict[Path, dict[str, str]]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            there = constants.get(root / (node.module.replace(".", "/") + ".py"), {})
            for name in node.names:
                if name.name.endswith("CONTAINER") and name.name in there:
                    yield there[name.name]


def _blobs(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "BlobStorage":
            for keyword in node.keywords:
                if keyword.arg == "container" and isinstance(keyword.value, ast.Constant):
                    yield str(keyword.value.value)


def _queried(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        given: list[ast.expr] = node.args[:1] if node.func.id in _CONDITIONS else []
        if node.func.id == "Query":
            given = [keyword.value for keyword in node.keywords if keyword.arg == "order_by"]
        for expression in given:
            for inner in ast.walk(expression):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield inner.value, node.lineno
