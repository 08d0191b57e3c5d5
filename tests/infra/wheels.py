"""Reads the models of the ``azure-mgmt-*`` packages out of their wheels, without importing or installing them.

Newer packages describe a field by an annotation and ``rest_field(name=..., visibility=...)``, older ones by
``_attribute_map`` and ``_validation``. Only the classes that are asked for are parsed: the files have up to 2.4 MB.
"""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from tests.infra.model_newer import newer
from tests.infra.model_older import older
from tests.infra.model_types import EnumType, FieldType, Model, ModelType

__all__ = ["ModelsMissing", "Package", "Wheels"]

_CLASS = re.compile(r"^class (\w+)\s*(?:\(([^)]*)\))?:", re.MULTILINE)
_SUBTYPE = re.compile(r"^class (\w+)\(\s*(\w+),\s*discriminator=\"([^\"]+)\"\s*\):", re.MULTILINE)
_VERSION = re.compile(r'kwargs\.pop\("api_version", "([^"]+)"\)')


class ModelsMissing(Exception):
    """The wheels are not there; the message says what to do."""


class Wheels:
    """A folder with the wheels."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._packages: dict[tuple[str, str], Package] = {}

    def package(self, package: str, folder: str = "") -> Package:
        """One package, e.g. ``azure-mgmt-web==11.0.1``; ``folder`` chooses an API version where it has several.

        Raises:
            ModelsMissing: there is no such wheel.
        """
        key = (package, folder)
        if key not in self._packages:
            name, _, version = package.partition("==")
            wheels = sorted(self._folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
            if not wheels:
                raise ModelsMissing(f"{package} is not in {self._folder}: run `make check-infra`, which fetches it.")
            self._packages[key] = Package(wheels[0], folder)
        return self._packages[key]


class Package:
    """The models of one API version in one wheel."""

    def __init__(self, wheel: Path, folder: str) -> None:
        home = wheel.name.split("-")[0].replace("_", "/")
        self._root = f"{home}/{folder}/" if folder else f"{home}/"
        self._folder = folder
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.startswith(f"{self._root}models/_")]
            self._enum_text = _joined(archive, [name for name in names if name.endswith("enums.py")])
            self._text = _joined(archive, [name for name in names if name.endswith(("_models.py", "_models_py3.py"))])
            configuration = f"{self._root}_configuration.py"
            self._configuration = _joined(archive, [configuration] if configuration in archive.namelist() else [])
        self._models: dict[str, Model | None] = {}

    @property
    def api_version(self) -> str:
        """Of these models; empty where the package mixes several."""
        if self._folder:
            return self._folder.removeprefix("v").replace("_", "-")
        found = _VERSION.search(self._configuration)
        return found[1] if found else ""

    def model(self, name: str) -> Model | None:
        """The model of this name, with everything that it has from its bases; ``None``: there is none."""
        if name not in self._models:
            self._models[name] = self._read(name)
        return self._models[name]

    def type_named(self, name: str) -> FieldType | None:
        """The enum or the model of this name."""
        if name in self._enums:
            return EnumType(tuple(self._enums[name].values()))
        return ModelType(name, lambda: self.model(name)) if name in self._classes else None

    def subtypes(self, name: str) -> dict[str, ModelType]:
        """Models that say what else they are by a discriminator; of older packages none."""
        return {value: ModelType(own, self._reader(own)) for own, base, value in self._subtypes if base == name}

    def node(self, name: str) -> ast.ClassDef | None:
        """The class, parsed."""
        place = self._classes.get(name)
        if place is None:
            return None
        parsed = ast.parse(self._text[place[0] : place[1]]).body[0]
        return parsed if isinstance(parsed, ast.ClassDef) else None

    def _reader(self, name: str) -> Callable[[], Model | None]:
        return lambda: self.model(name)

    def _read(self, name: str) -> Model | None:
        node = self.node(name)
        if node is None:
            return None
        model = Model(name)
        for base in node.bases:
            inherited = self.model(base.id) if isinstance(base, ast.Name) else None
            if inherited is not None:
                model.fields |= inherited.fields
                model.open = model.open or inherited.open
                model.discriminator = model.discriminator or inherited.discriminator
        read = older if any(_assigned(item) == "_attribute_map" for item in node.body) else newer
        read(self, node, model)
        return model

    @cached_property
    def _classes(self) -> dict[str, tuple[int, int]]:
        starts = [(found[1], found.start()) for found in _CLASS.finditer(self._text)]
        ends = [start for _, start in starts[1:]] + [len(self._text)]
        return {name: (start, end) for (name, start), end in zip(starts, ends, strict=True)}

    @cached_property
    def _subtypes(self) -> list[tuple[str, str, str]]:
        return [(found[1], found[2], found[3]) for found in _SUBTYPE.finditer(self._text)]

    def enum_member(self, name: str, member: str) -> str | int | None:
        """The value of ``Enum.MEMBER``."""
        return self._enums.get(name, {}).get(member)

    @cached_property
    def _enums(self) -> dict[str, dict[str, str | int]]:
        found: dict[str, dict[str, str | int]] = {}
        for node in ast.parse(self._enum_text).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = dict(pair for item in node.body for pair in _member(item))
        return found


def _member(item: ast.stmt) -> Iterator[tuple[str, str | int]]:
    if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant):
        target, value = item.targets[0], item.value.value
        if isinstance(target, ast.Name) and isinstance(value, str | int):
            yield target.id, value


def _joined(archive: zipfile.ZipFile, names: list[str]) -> str:
    return "\n".join(archive.read(name).decode() for name in names)


def _assigned(node: ast.stmt) -> str:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return node.target.id if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else ""
