"""Evaluates expressions as far as that goes without Azure (:mod:`tests.infra.values`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from tests.infra import syntax
from tests.infra.calls import Calls
from tests.infra.operations import operated
from tests.infra.problem import Place, Problem
from tests.infra.program import Program
from tests.infra.values import Fields, Items, Later, OfKind, Outcome, Pattern, Reference, Scalar

__all__ = ["Evaluator", "Scope"]

MOST = 64
"""More outcomes than this are not kept apart."""


class Scope:
    """What names mean at one place."""

    def __init__(self, file: syntax.BicepFile, names: Mapping[str, Later], outer: Scope | None = None) -> None:
        self.file = file
        self._names = names
        self._outer = outer

    def find(self, name: str) -> Later | None:
        """The value of this name."""
        found = self._names.get(name)
        return found if found is not None or self._outer is None else self._outer.find(name)

    def inside(self, names: Mapping[str, Later]) -> Scope:
        """A scope with more names."""
        return Scope(self.file, names, self)


class Evaluator:
    """Evaluates the expressions of a program; notes what cannot be."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.problems: set[Problem] = set()
        self._calls = Calls(program, self.evaluate)
        self._scopes: dict[str, Scope] = {}

    def scope_of(self, file: syntax.BicepFile) -> Scope:
        """What names mean at the top of a file."""
        if file.path not in self._scopes:
            names: dict[str, Later] = {}
            self._scopes[file.path] = scope = Scope(file, names)
            for declaration in file.declarations:
                if not isinstance(declaration, syntax.Output | syntax.TypeDeclaration | syntax.Function):
                    names[declaration.name] = self._declared(declaration, scope)
        return self._scopes[file.path]

    def inside(self, resource: syntax.Resource, scope: Scope) -> list[Scope]:
        """The scopes of a resource's body: one, or of a loop one for each element."""
        nested = resource.body.nested if resource.body else ()
        names = {inner.name: Later.known(Reference(inner.at, inner, ())) for inner in nested}
        scopes = self.turns(resource.value, scope) if isinstance(resource.value, syntax.Loop) else [scope]
        return [one.inside(names) for one in scopes] if names else scopes

    def turns(self, loop: syntax.Loop, scope: Scope) -> list[Scope]:
        """The scopes of a loop's body: one for each element that is known, else one for all."""
        index: Later = Later.known(OfKind(loop.at, "int"))
        scopes: list[Scope] = []
        for outcome in self.evaluate(loop.over, scope):
            known = outcome.items if isinstance(outcome, Items) else (Later.known(self.element(outcome)),)
            for position, item in enumerate(known):
                if isinstance(outcome, Items) and outcome.complete:
                    index = Later.known(Scalar(loop.at, position))
                names = {loop.item: item} | ({loop.index: index} if loop.index else {})
                scopes.append(scope.inside(names))
        return scopes

    def evaluate(self, expression: syntax.Expression, scope: Scope) -> list[Outcome]:
        """What it can come to; at least one outcome."""
        found = list(self._evaluate(expression, scope))
        if not found or len(found) > MOST:
            return [OfKind(expression.at, "any")]
        return found

    def _evaluate(self, expression: syntax.Expression, scope: Scope) -> Iterator[Outcome]:
        match expression:
            case syntax.Text():
                yield from self._text(expression, scope)
            case syntax.Number(at=at, value=value) | syntax.Truth(at=at, value=value):
                yield Scalar(at, value)
            case syntax.Null(at=at):
                yield Scalar(at, None)
            case syntax.Name(at=at, name=name):
                found = scope.find(name)
                yield from (_used(outcome, at) for outcome in found.outcomes()) if found else [OfKind(at, "any")]
            case syntax.Object():
                yield self._object(expression, scope)
            case syntax.Array(at=at, items=items):
                yield Items(at, tuple(self.later(item, scope) for item in items))
            case syntax.Loop(at=at, body=body, condition=condition):
                turns = self.turns(expression, scope)
                yield Items(at, tuple(self.later(body, turn) for turn in turns), complete=condition is None)
            case syntax.Choice(condition=condition, yes=yes, no=no):
                sides = {True: yes, False: no}
                for outcome in self._truths(condition, scope):
                    yield from self.evaluate(sides[outcome], scope)
            case _:
                yield from self._compound(expression, scope)

    def _compound(self, expression: syntax.Expression, scope: Scope) -> Iterator[Outcome]:
        at = expression.at
        match expression:
            case syntax.Member(of=of, name=name, safe=safe):
                for outcome in self.evaluate(of, scope):
                    yield from self._member(at, outcome, name, safe=safe)
            case syntax.Index(of=of, index=index, safe=safe):
                for outcome in self.evaluate(of, scope):
                    yield from self._indexed(at, outcome, self.evaluate(index, scope), safe=safe)
            case syntax.Child(of=of, name=name):
                yield from self._child(at, of, name, scope)
            case syntax.Operation(operator=operator, operands=operands):
                sides = [self.evaluate(operand, scope) for operand in operands]
                for side in itertools.islice(itertools.product(*sides), MOST + 1):
                    yield from operated(at, operator, side)
            case syntax.Call():
                yield from self._calls.call(expression, scope)

    def later(self, expression: syntax.Expression, scope: Scope) -> Later:
        """This expression, evaluated when somebody asks."""
        return Later(expression.at, lambda: self.evaluate(expression, scope))

    def _truths(self, condition: syntax.Expression, scope: Scope) -> list[bool]:
        known = [o.value if isinstance(o, Scalar) else None for o in self.evaluate(condition, scope)]
        return [value for value in (True, False) if value in known or not set(known) <= {True, False}]

    def _text(self, text: syntax.Text, scope: Scope) -> Iterator[Outcome]:
        if text.plain is not None:
            yield Scalar(text.at, text.plain)
            return
        pieces: list[list[tuple[str | None, ...]]] = []
        for part in text.parts:
            if isinstance(part, str):
                pieces.append([(part,)])
            else:
                pieces.append([_parts(outcome) for outcome in self.evaluate(part, scope)])
        for choice in itertools.islice(itertools.product(*pieces), MOST + 1):
            parts = tuple(itertools.chain.from_iterable(choice))
            if None in parts:
                yield Pattern(text.at, parts)
            else:
                yield Scalar(text.at, "".join(part or "" for part in parts))

    def _object(self, expression: syntax.Object, scope: Scope) -> Fields:
        entries: dict[str, Later] = {}
        complete = True
        for entry in expression.entries:
            keys: Sequence[str | None] = [entry.key]
            if entry.computed is not None:
                outcomes = self.evaluate(entry.computed, scope)
                keys = [o.value if isinstance(o, Scalar) and isinstance(o.value, str) else None for o in outcomes]
            for key in keys:
                complete = complete and key is not None
                entries[key or f"${{{entry.at}}}"] = self.later(entry.value, scope)
        return Fields(expression.at, entries, complete)

    # --- names ---

    def _declared(self, declaration: syntax.Declaration, scope: Scope) -> Later:
        at = declaration.at
        match declaration:
            case syntax.Variable(value=value):
                return self.later(value, scope)
            case syntax.Parameter():
                return Later(at, lambda: self._parameter(declaration, scope))
            case syntax.Resource():
                return self._many(declaration.looped, Reference(at, declaration, ()))
            case syntax.Module():
                return self._many(declaration.looped, OfKind(at, "module", file=self._target(declaration, scope)))
        return Later.known(OfKind(at, "any"))

    @staticmethod
    def _many(looped: bool, one: Outcome) -> Later:
        return Later.known(Items(one.at, (Later.known(one),), complete=False)) if looped else Later.known(one)

    def _target(self, module: syntax.Module, scope: Scope) -> str:
        return self.program.beside(scope.file.path, module.path)

    def _parameter(self, parameter: syntax.Parameter, scope: Scope) -> list[Outcome]:
        allowed = parameter.decorator("allowed")
        if allowed is not None and allowed.arguments and isinstance(allowed.arguments[0], syntax.Array):
            return [o for item in allowed.arguments[0].items for o in self.evaluate(item, scope)]
        secret = parameter.decorator("secure") is not None
        return self.typed(parameter.at, parameter.type, scope.file, secret=secret)

    def typed(
        self, at: Place, kind: syntax.Type, file: syntax.BicepFile, *, secret: bool = False, depth: int = 0
    ) -> list[Outcome]:
        """What a value of this type can be."""
        match kind:
            case syntax.PrimitiveType(name=name):
                return [OfKind(at, name, kind, file.path, secret)]
            case syntax.LiteralType(value=value):
                return [Scalar(at, value)]
            case syntax.UnionType(options=options):
                return [o for option in options for o in self.typed(at, option, file, secret=secret, depth=depth + 1)]
            case syntax.NullableType(of=of):
                return [*self.typed(at, of, file, secret=secret, depth=depth + 1), Scalar(at, None)]
            case syntax.ArrayType():
                return [OfKind(at, "array", kind, file.path, secret)]
            case syntax.ObjectType():
                return [OfKind(at, "object", kind, file.path, secret)]
            case syntax.NamedType(name=name, within=None) if depth < 8:
                found = next((t for t in file.of(syntax.TypeDeclaration) if t.name == name), None)
                if found is not None:
                    return self.typed(at, found.type, file, secret=secret, depth=depth + 1)
        return [OfKind(at, "any", secret=secret)]

    # --- members ---

    def element(self, outcome: Outcome) -> Outcome:
        """Any element of an array of which only the kind is known."""
        if isinstance(outcome, OfKind) and isinstance(outcome.type, syntax.ArrayType) and outcome.file:
            found = self.typed(outcome.at, outcome.type.item, self.program.files[outcome.file])
            if len(found) == 1:
                return found[0]
        return OfKind(outcome.at, "any")

    def _member(self, at: Place, outcome: Outcome, name: str, *, safe: bool) -> list[Outcome]:
        match outcome:
            case Fields(entries=entries, complete=complete):
                if name in entries:
                    return list(entries[name].outcomes())
                if complete and not safe:
                    self._say(at, f"there is no `{name}` in this object; there are: {_listed(entries)}.")
                return [Scalar(at, None)] if complete and safe else [OfKind(at, "any")]
            case Reference(resource=resource, path=path):
                return self._of_resource(at, resource, (*path, name))
            case OfKind(kind="module"):
                return [OfKind(at, "outputs", file=outcome.file)] if name == "outputs" else [OfKind(at, "any")]
            case OfKind(kind="outputs", file=file):
                return self._output(at, file, name)
            case OfKind(kind="object", type=syntax.ObjectType(properties=properties), file=file):
                return self._property(at, properties, file, name, safe=safe)
            case Items():
                self._say(at, f"`.{name}` on an array: name an element first, `[...]`.")
            case OfKind(kind="string" | "int" | "bool" | "array" as kind) if not safe:
                self._say(at, f"`.{name}` on a value of type {kind}.")
        return [OfKind(at, "any")]

    def _output(self, at: Place, file: str, name: str) -> list[Outcome]:
        target = self.program.files.get(file)
        found = next((o for o in target.of(syntax.Output) if o.name == name), None) if target else None
        if target is None or found is None:
            return [OfKind(at, "any")]
        return self.typed(at, found.type, target)

    def _property(
        self, at: Place, properties: tuple[syntax.Property, ...], file: str, name: str, *, safe: bool
    ) -> list[Outcome]:
        for wanted in (name, "*"):
            for found in properties:
                if found.name == wanted:
                    return self.typed(at, found.type, self.program.files[file])
        if not safe:
            self._say(at, f"the type has no `{name}`; it has: {_listed(p.name for p in properties)}.")
        return [OfKind(at, "any")]

    def _of_resource(self, at: Place, resource: syntax.Resource, path: tuple[str, ...]) -> list[Outcome]:
        if path == ("name",) and resource.body and (name := resource.body.get("name")) is not None:
            scope = self._home(resource)
            if scope is not None:
                return [o for inner in self.inside(resource, scope) for o in self.evaluate(name, inner)]
        return [Reference(at, resource, path)]

    def _home(self, resource: syntax.Resource) -> Scope | None:
        file = self.program.files.get(resource.at.file)
        return self.scope_of(file) if file and resource in file.declarations else None

    def _indexed(self, at: Place, outcome: Outcome, indexes: Sequence[Outcome], *, safe: bool) -> list[Outcome]:
        known = [index.value if isinstance(index, Scalar) else None for index in indexes]
        match outcome:
            case Fields(entries=entries):
                if all(isinstance(key, str) for key in known):
                    return [o for key in known for o in self._member(at, outcome, str(key), safe=safe)]
                return [o for value in entries.values() for o in value.outcomes()]
            case Items(items=items, complete=complete):
                positions = [key for key in known if isinstance(key, int)]
                if complete and len(positions) == len(known) and all(0 <= key < len(items) for key in positions):
                    return [o for key in positions for o in items[key].outcomes()]
                return [o for item in items for o in item.outcomes()]
            case Reference(resource=resource, path=path):
                return [Reference(at, resource, (*path, "[]"))]
        return [self.element(outcome)]

    def _child(self, at: Place, of: syntax.Expression, name: str, scope: Scope) -> Iterator[Outcome]:
        for outcome in self.evaluate(of, scope):
            if isinstance(outcome, Reference) and outcome.resource.body and not outcome.path:
                nested = outcome.resource.body.nested
                found = [inner for inner in nested if inner.name == name]
                if not found:
                    self._say(at, f"`{outcome.resource.name}` has no nested resource `{name}`.")
                for inner in found:
                    yield from self._many(inner.looped, Reference(at, inner, ())).outcomes()

    def _say(self, at: Place, sentence: str) -> None:
        self.problems.add(Problem(at, sentence))


def _used(outcome: Outcome, at: Place) -> Outcome:
    """What is only known by its kind is told of where it is used; a value where it was written."""
    return replace(outcome, at=at) if isinstance(outcome, OfKind) else outcome


def _parts(outcome: Outcome) -> tuple[str | None, ...]:
    match outcome:
        case Scalar(value=bool(value)):
            return (str(value).lower(),)
        case Scalar(value=value):
            return ("" if value is None else str(value),)
        case Pattern(parts=parts):
            return parts
    return (None,)


def _listed(names: Iterator[str] | Mapping[str, Later] | Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "none"


Evaluate = Callable[[syntax.Expression, Scope], list[Outcome]]
