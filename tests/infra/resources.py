"""Resources: known types in pinned API versions, bodies that fit their models, parents, names, and what is read."""

from __future__ import annotations

from collections.abc import Iterator

from tests.infra import syntax
from tests.infra.evaluation import Evaluator, Scope
from tests.infra.judging import field_at, judge_model, nearest
from tests.infra.model_types import Model
from tests.infra.problem import Problem
from tests.infra.program import Placed
from tests.infra.resource_types import RESOURCE_TYPES, ResourceType, by_name
from tests.infra.values import Fields, Pattern, Reference, Scalar, forced
from tests.infra.wheels import Wheels

__all__ = ["bodies", "check_resources", "scopes_of"]

_OF_BICEP = ("name", "parent", "scope", "dependsOn")
_READABLE = ("id", "name", "type", "apiVersion")
_OF_EXISTING = ("name", "parent", "scope")


def check_resources(evaluator: Evaluator, wheels: Wheels) -> Iterator[Problem]:
    """Every resource of every file, and every property that is read from one."""
    checker = _Checker(evaluator, wheels)
    for placed in evaluator.program.all_resources():
        yield from checker.resource(placed)
    yield from checker.references()


def scopes_of(evaluator: Evaluator, placed: Placed) -> list[Scope]:
    """The scopes that the body of this resource is evaluated in: of a loop one for each element."""
    if placed.around is None:
        return evaluator.inside(placed.resource, evaluator.scope_of(placed.file))
    around = scopes_of(evaluator, placed.around)
    return [inner for scope in around for inner in evaluator.inside(placed.resource, scope)]


def bodies(evaluator: Evaluator, placed: Placed) -> Iterator[Fields]:
    """What the body can come to: of a loop once for each element."""
    body = placed.resource.body
    for scope in scopes_of(evaluator, placed) if body is not None else ():
        if body is not None:
            yield from (outcome for outcome in evaluator.evaluate(body, scope) if isinstance(outcome, Fields))


class _Checker:
    def __init__(self, evaluator: Evaluator, wheels: Wheels) -> None:
        self._evaluator = evaluator
        self._wheels = wheels
        self._kinds = {placed.resource: placed.full_type for placed in evaluator.program.all_resources()}

    def resource(self, placed: Placed) -> Iterator[Problem]:
        resource = placed.resource
        kind = RESOURCE_TYPES.get(placed.full_type)
        yield from self._version(placed, kind)
        for body in bodies(self._evaluator, placed):
            yield from self._place(placed, body)
            if resource.existing:
                for name, value in body.entries.items():
                    if name not in _OF_EXISTING:
                        yield Problem(value.at, f"an existing resource is only looked up; it takes no `{name}`.")
            elif kind is not None:
                model = self._model(kind, placed.full_type, body)
                if model is not None:
                    yield from judge_model(body, model, "", _OF_BICEP)

    def _version(self, placed: Placed, kind: ResourceType | None) -> Iterator[Problem]:
        resource, full = placed.resource, placed.full_type
        if resource.version is None and placed.around is not None:
            return  # a nested resource may take the version of the one around it
        if resource.version is None:
            yield Problem(resource.at, f"{full} is written without an API version: '{full}@yyyy-mm-dd'.")
        if kind is None:
            sentence = f"{full} is not in tests/infra/resource_types.py{nearest(full, RESOURCE_TYPES)}."
            yield Problem(resource.at, sentence)
        elif resource.version is not None and resource.version != kind.version:
            yield Problem(resource.at, f"{full} is pinned to {kind.version}, here it is {resource.version}.")

    def _model(self, kind: ResourceType, full: str, body: Fields) -> Model | None:
        names = (
            [o.value for o in body.entries["name"].outcomes() if isinstance(o, Scalar)]
            if "name" in body.entries
            else []
        )
        special = by_name(full, str(names[0])) if len(names) == 1 else ""
        return self._wheels.package(kind.package, kind.folder).model(special or kind.model)

    def _place(self, placed: Placed, body: Fields) -> Iterator[Problem]:
        """Name and parent fit the type."""
        if "name" not in body.entries:
            yield Problem(placed.resource.at, f"`{placed.resource.name}` has no name.")
            return
        parents = self._parents(body)
        above = placed.full_type.rpartition("/")[0]
        for parent in parents:
            if parent != above:
                at = body.entries["parent"].at
                yield Problem(at, f"the parent of {placed.full_type} must be {above}, here it is {parent}.")
        inside = placed.around is not None or bool(parents) or "parent" in body.entries
        slashes = 0 if inside else placed.full_type.count("/") - 1
        for outcome in body.entries["name"].outcomes():
            known = isinstance(outcome, Scalar) and isinstance(outcome.value, str)
            text = (
                str(outcome.value)
                if isinstance(outcome, Scalar)
                else str(outcome)
                if isinstance(outcome, Pattern)
                else ""
            )
            if (known or isinstance(outcome, Pattern)) and text.count("/") != slashes:
                wanted = "no `/`" if not slashes else f"{slashes} `/`, or a `parent` and none"
                yield Problem(outcome.at, f"the name of {placed.full_type} must have {wanted}; it is '{text}'.")

    def _parents(self, body: Fields) -> list[str]:
        if "parent" not in body.entries:
            return []
        outcomes = body.entries["parent"].outcomes()
        return [self._kinds.get(o.resource, "?") for o in outcomes if isinstance(o, Reference)]

    def references(self) -> Iterator[Problem]:
        """What is read from resources exists in what Azure answers."""
        seen: set[tuple[object, ...]] = set()
        for reference in self._references():
            key = (reference.at, reference.resource, reference.path)
            if key not in seen:
                seen.add(key)
                yield from self._reference(reference)

    def _reference(self, reference: Reference) -> Iterator[Problem]:
        full = self._kinds.get(reference.resource, "")
        kind = RESOURCE_TYPES.get(full)
        if kind is None or not reference.path or reference.path[0] in _READABLE:
            return
        model = self._wheels.package(kind.package, kind.folder).model(kind.read_model)
        _, missing = field_at(model, reference.path)
        if missing:
            written = ".".join(reference.path).replace(".[]", "[]")
            yield Problem(reference.at, f"{full} has no `{written}`: `{missing}` does not exist.")

    def _references(self) -> Iterator[Reference]:
        for file in self._evaluator.program.files.values():
            scope = self._evaluator.scope_of(file)
            for expression in _of_file(file):
                yield from self._read(expression, scope)
            for module in file.of(syntax.Module):
                if module.body is not None:
                    turns = [scope]
                    if isinstance(module.value, syntax.Loop):
                        turns = self._evaluator.turns(module.value, scope)
                    for turn in turns:
                        yield from self._read(module.body, turn)
            for placed in self._evaluator.program.resources(file):
                for inner in scopes_of(self._evaluator, placed):
                    if placed.resource.body is not None:
                        yield from self._read(placed.resource.body, inner)

    def _read(self, expression: syntax.Expression, scope: Scope) -> Iterator[Reference]:
        for part in syntax.walk(expression):
            if isinstance(part, syntax.Lambda | syntax.Loop):
                continue
            if isinstance(part, syntax.Member | syntax.Index):
                yield from (o for o in self._evaluator.evaluate(part, scope) if isinstance(o, Reference))
        for outcome in forced(self._evaluator.evaluate(expression, scope)):
            if isinstance(outcome, Reference):
                yield outcome


def _of_file(file: syntax.BicepFile) -> Iterator[syntax.Expression]:
    for declaration in file.declarations:
        if isinstance(declaration, syntax.Variable | syntax.Output):
            yield declaration.value
        elif isinstance(declaration, syntax.Parameter) and declaration.default is not None:
            yield declaration.default
        elif isinstance(declaration, syntax.Resource | syntax.Module) and declaration.condition is not None:
            yield declaration.condition
