"""All Bicep files of a folder, and what they load."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.infra import syntax
from tests.infra.json_places import JSONDecodeError, read_json
from tests.infra.problem import Place, Problem
from tests.infra.reading import read

__all__ = ["Placed", "Program"]

_REFERRING = (syntax.Module, syntax.Import)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A resource with its full type, which a nested one takes from the resource around it."""

    resource: syntax.Resource
    file: syntax.BicepFile
    full_type: str
    around: Placed | None


class Program:
    """The files of ``folder``, with paths as they count from ``root``; of a single file also those it refers to.

    ``instead``: texts that stand in for files, by path; how the tests plant a fault in the real templates.
    """

    def __init__(self, root: Path, folder: str = "infra", instead: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.folder = folder
        self.problems: list[Problem] = []
        self.broken: set[str] = set()
        """Files that the parser could not make sense of: what else is said of them is of no use."""
        self.files: dict[str, syntax.BicepFile] = {}
        self._instead = instead or {}
        self._documents: dict[str, syntax.Expression | None] = {}
        wanted = [root / folder] if folder.endswith(".bicep") else sorted((root / folder).rglob("*.bicep"))
        waiting = [path.relative_to(root).as_posix() for path in wanted]
        while waiting:
            name = waiting.pop()
            text = None if name in self.files else self.text(name)
            if text is not None:
                self.files[name], problems = read(name, text)
                self.problems += problems
                self.broken |= {problem.at.file for problem in problems}
                found = self.files[name].declarations
                waiting += [self.beside(name, one.path) for one in found if isinstance(one, _REFERRING)]
        if not self.files:
            self.problems.append(Problem(Place(folder, 1), "there is no Bicep file here."))

    def beside(self, file: str, path: str) -> str:
        """The file that ``path`` means when it is written in ``file``."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(file), path))

    def text(self, name: str) -> str | None:
        """A file of the repository; ``None``: there is none."""
        if name in self._instead:
            return self._instead[name]
        path = self.root / name
        return path.read_text("utf-8") if path.is_file() else None

    def document(self, name: str) -> syntax.Expression | None:
        """A JSON file; ``None`` where there is none. What is wrong with it is noted once."""
        if name not in self._documents:
            self._documents[name] = None
            text = self.text(name)
            try:
                self._documents[name] = read_json(name, text) if text is not None else None
            except JSONDecodeError as err:
                self.problems.append(Problem(Place(name, err.lineno), f"this is no JSON: {err.msg}."))
        return self._documents[name]

    def loaded(self, at: Place, path: str) -> syntax.Expression | None:
        """A JSON file that is loaded at this place."""
        name = self.beside(at.file, path)
        if self.text(name) is None:
            self.problems.append(Problem(at, f"the file {name} is not there."))
        return self.document(name)

    def resources(self, file: syntax.BicepFile) -> Iterator[Placed]:
        """All resources of a file, the nested ones too."""
        for resource in file.of(syntax.Resource):
            yield from _placed(resource, file, None)

    def all_resources(self) -> Iterator[Placed]:
        """All resources of all files."""
        for file in self.files.values():
            yield from self.resources(file)


def _placed(resource: syntax.Resource, file: syntax.BicepFile, around: Placed | None) -> Iterator[Placed]:
    kind = resource.type if around is None or "." in resource.type else f"{around.full_type}/{resource.type}"
    here = Placed(resource, file, kind, around)
    yield here
    for nested in resource.body.nested if resource.body else ():
        yield from _placed(nested, file, here)
