"""Does a value fit a declared type?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.infra import syntax
from tests.infra.evaluation import Evaluator
from tests.infra.problem import Problem
from tests.infra.values import Fields, Items, OfKind, Outcome, Reference, Scalar, kind_of

__all__ = ["misfits"]


def misfits(
    evaluator: Evaluator,
    outcomes: Sequence[Outcome],
    declared: syntax.Parameter | syntax.Output,
    file: syntax.BicepFile,
    what: str,
) -> Iterator[Problem]:
    """What of these values does not fit the type that ``file`` declares."""
    checker = _Checker(evaluator, file)
    for outcome in outcomes:
        yield from checker.misfit(outcome, declared.type, what)
        yield from _beyond(evaluator, outcome, declared, file, what)


class _Checker:
    def __init__(self, evaluator: Evaluator, file: syntax.BicepFile) -> None:
        self._evaluator = evaluator
        self._file = file

    def misfit(self, outcome: Outcome, kind: syntax.Type, what: str) -> Iterator[Problem]:
        """The problems of one outcome."""
        if isinstance(outcome, Reference) or kind_of(outcome) in ("any", "module", "outputs"):
            return
        match kind:
            case syntax.PrimitiveType(name=name):
                if name != "any" and kind_of(outcome) != name:
                    yield Problem(outcome.at, f"{what} wants {_a(name)} and gets {told(outcome)}.")
            case syntax.NullableType(of=of):
                if kind_of(outcome) != "null":
                    yield from self.misfit(outcome, of, what)
            case syntax.ArrayType(item=item):
                yield from self._array(outcome, item, what)
            case syntax.ObjectType(properties=properties):
                yield from self._object(outcome, properties, what)
            case syntax.UnionType() | syntax.LiteralType():
                yield from self._one_of(outcome, kind, what)
            case syntax.NamedType(name=name, within=None):
                found = next((one for one in self._file.of(syntax.TypeDeclaration) if one.name == name), None)
                if found is not None:
                    yield from self.misfit(outcome, found.type, what)

    def _array(self, outcome: Outcome, item: syntax.Type, what: str) -> Iterator[Problem]:
        if kind_of(outcome) != "array":
            yield Problem(outcome.at, f"{what} wants an array and gets {told(outcome)}.")
        elif isinstance(outcome, Items):
            for later in outcome.items:
                for inner in later.outcomes():
                    yield from self.misfit(inner, item, f"an element of {what}")

    def _object(self, outcome: Outcome, properties: tuple[syntax.Property, ...], what: str) -> Iterator[Problem]:
        if kind_of(outcome) != "object":
            yield Problem(outcome.at, f"{what} wants an object and gets {told(outcome)}.")
        elif isinstance(outcome, Fields):
            known = {found.name: found.type for found in properties}
            for name, later in outcome.entries.items():
                wanted = known.get(name, known.get("*"))
                if wanted is None:
                    yield Problem(later.at, f"{what} has no property `{name}`; it has: {', '.join(sorted(known))}.")
                    continue
                for inner in later.outcomes():
                    yield from self.misfit(inner, wanted, f"`{name}` of {what}")
            for name, wanted in known.items():
                if outcome.complete and name not in {*outcome.entries, "*"} and not _optional(wanted):
                    yield Problem(outcome.at, f"{what} lacks the property `{name}`.")

    def _one_of(self, outcome: Outcome, kind: syntax.Type, what: str) -> Iterator[Problem]:
        options = self._evaluator.typed(outcome.at, kind, self._file)
        if not all(isinstance(option, Scalar) for option in options):
            return
        values = [option.value for option in options if isinstance(option, Scalar)]
        if (isinstance(outcome, Scalar) and outcome.value not in values) or (
            isinstance(outcome, OfKind) and outcome.kind not in {kind_of(option) for option in options}
        ):
            yield Problem(outcome.at, f"{what} is {told(outcome)}, but must be one of {_listed(values)}.")


def _beyond(
    evaluator: Evaluator,
    outcome: Outcome,
    declared: syntax.Parameter | syntax.Output,
    file: syntax.BicepFile,
    what: str,
) -> Iterator[Problem]:
    """What decorators say: ``@allowed``, ``@minValue``, ``@maxLength`` and so on."""
    if not isinstance(outcome, Scalar) or outcome.value is None:
        return
    scope = evaluator.scope_of(file)
    for decorator in declared.decorators:
        for argument in decorator.arguments:
            limits = [o for o in evaluator.evaluate(argument, scope) if isinstance(o, Scalar | Items)]
            for limit in limits:
                if isinstance(limit, Items) and decorator.name == "allowed":
                    values = [o.value for item in limit.items for o in item.outcomes() if isinstance(o, Scalar)]
                    if outcome.value not in values:
                        yield Problem(outcome.at, f"{what} is {told(outcome)}, but must be one of {_listed(values)}.")
                elif isinstance(limit, Scalar) and isinstance(limit.value, int):
                    yield from _limit(outcome, decorator.name, limit.value, what)


def _limit(outcome: Scalar, rule: str, limit: int, what: str) -> Iterator[Problem]:
    value = outcome.value
    size = len(value) if isinstance(value, str) else value if isinstance(value, int) else None
    on_text = isinstance(value, str)
    if size is None or on_text != rule.endswith("Length"):
        return
    if rule.startswith("min") and size < limit:
        yield Problem(outcome.at, f"{what} is {told(outcome)}: below @{rule}({limit}).")
    if rule.startswith("max") and size > limit:
        yield Problem(outcome.at, f"{what} is {told(outcome)}: above @{rule}({limit}).")


def _optional(kind: syntax.Type) -> bool:
    return isinstance(kind, syntax.NullableType)


def told(outcome: Outcome) -> str:
    """The outcome in words."""
    match outcome:
        case Scalar(value=str(text)):
            return f"the string '{text}'"
        case Scalar(value=bool(value)):
            return str(value).lower()
        case Scalar(value=None):
            return "null"
        case Scalar(value=value):
            return f"the number {value}"
    return _a(kind_of(outcome))


def _a(kind: str) -> str:
    words = {"string": "a string", "int": "a whole number", "number": "a number", "bool": "true or false"}
    return words.get(kind, f"an {kind}")


def _listed(values: Sequence[object]) -> str:
    return ", ".join(f"'{value}'" if isinstance(value, str) else str(value).lower() for value in values)
