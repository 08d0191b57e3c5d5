"""All Bicep files of a folder, and what they load."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.infra import syntax
from tests.infra.json_places import JSONDecodeError, read_json
from tests.infra.problem import Place, Problem
from tests.infra.reading import read

__all__ = ["Placed", "Program"]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A resource with its full type, which a nested one takes from the resource around it."""

    resource: syntax.Resource
    file: syntax.BicepFile
    full_type: str
    around: Placed | None


class Program:
    """The files of ``folder``, with paths as they count from ``root``; of a single file also those it refers to."""

    def __init__(self, root: Path, folder: str = "infra") -> None:
        self.root = root
        self.folder = folder
        self.problems: list[Problem] = []
        self.broken: set[str] = set()
        """Files that the parser could not make sense of: what else is said of them is of no use."""
        self.files: dict[str, syntax.BicepFile] = {}
        self._documents: dict[str, syntax.Expression | None] = {}
        wanted = [root / folder] if folder.endswith(".bicep") else sorted((root / folder).rglob("*.bicep"))
        waiting = [path.relative_to(root).as_posix() for path in wanted]
        while waiting:
            name = waiting.pop()
            if name not in self.files and (root / name).is_file():
                self.files[name], problems = read(name, (root / name).read_text("utf-8"))
                self.problems += problems
                self.broken |= {problem.at.file for problem in problems}
                referred = [
                    found.path for kind in (syntax.Module, syntax.Import) for found in self.files[name].of(kind)
                ]
                waiting += [self.beside(name, path) for path in referred]
        if not self.files:
            self.problems.append(Problem(Place(folder, 1), "there is no Bicep file here."))

    def beside(self, file: str, path: str) -> str:
        """The file that ``path`` means when it is written in ``file``."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(file), path))

    def document(self, at: Place, path: str) -> syntax.Expression | None:
        """A JSON file that is loaded at this place; what is wrong with it is noted once."""
        name = self.beside(at.file, path)
        if name not in self._documents:
            self._documents[name] = self._read_document(at, name)
        return self._documents[name]

    def _read_document(self, at: Place, name: str) -> syntax.Expression | None:
        file = self.root / name
        if not file.is_file():
            self.problems.append(Problem(at, f"the file {name} is not there."))
            return None
        try:
            return read_json(name, file.read_text("utf-8"))
        except JSONDecodeError as err:
            self.problems.append(Problem(Place(name, err.lineno), f"this is no JSON: {err.msg}."))
            return None

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
