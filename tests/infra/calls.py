"""What functions make of known values, where that decides something that the gate judges."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from tests.infra import syntax
from tests.infra.functions import FUNCTIONS
from tests.infra.problem import Place
from tests.infra.program import Program
from tests.infra.values import Fields, Items, Later, OfKind, Outcome, Pattern, Scalar

if TYPE_CHECKING:
    from tests.infra.evaluation import Scope

__all__ = ["Calls"]

MOST = 64


class Calls:
    """Evaluates calls. Functions that it does not know give the kind that :mod:`tests.infra.functions` lists."""

    def __init__(self, program: Program, evaluate: Callable[[syntax.Expression, Scope], list[Outcome]]) -> None:
        self._program = program
        self._evaluate = evaluate

    def call(self, call: syntax.Call, scope: Scope) -> Iterator[Outcome]:
        """The outcomes of a call."""
        at, name, arguments = call.at, call.name, call.arguments
        if call.of is not None or name not in FUNCTIONS:
            yield from self._own(call, scope)
            return
        if name in ("map", "filter") and len(arguments) == 2 and isinstance(arguments[1], syntax.Lambda):
            for outcome in self._evaluate(arguments[0], scope):
                yield self._each(at, name, outcome, arguments[1], scope)
            return
        if any(isinstance(argument, syntax.Lambda) for argument in arguments):
            yield OfKind(at, FUNCTIONS[name].returns)
            return
        if name == "loadJsonContent" and isinstance(arguments[0], syntax.Text) and len(arguments) == 1:
            document = self._program.loaded(at, arguments[0].plain or "")
            yield from self._evaluate(document, scope) if document else [OfKind(at, "any")]
            return
        given = [self._evaluate(argument, scope) for argument in arguments]
        for combination in itertools.islice(itertools.product(*given), MOST + 1):
            yield from applied(at, name, combination)

    def _own(self, call: syntax.Call, scope: Scope) -> Iterator[Outcome]:
        for function in scope.file.of(syntax.Function):
            if function.name == call.name and isinstance(function.returns, syntax.PrimitiveType) and call.of is None:
                yield OfKind(call.at, function.returns.name)
                return
        yield OfKind(call.at, "any")

    def _each(self, at: Place, name: str, outcome: Outcome, body: syntax.Lambda, scope: Scope) -> Outcome:
        unknown = not isinstance(outcome, Items)
        items = outcome.items if isinstance(outcome, Items) else (Later.known(OfKind(at, "any")),)
        complete = isinstance(outcome, Items) and outcome.complete
        mapped: list[Later] = []
        for position, item in enumerate(items):
            index = Later.known(Scalar(at, position) if complete else OfKind(at, "int"))
            inside = scope.inside(dict(zip(body.parameters, (item, index), strict=False)))
            if name == "map":
                mapped.append(self._later(body.body, inside))
                continue
            verdicts = self._evaluate(body.body, inside)
            if not all(isinstance(verdict, Scalar) and verdict.value is False for verdict in verdicts):
                mapped.append(item)
                complete = complete and all(isinstance(v, Scalar) and v.value is True for v in verdicts)
        if unknown and name == "filter":
            return OfKind(at, "array")
        return Items(at, tuple(mapped), complete)

    def _later(self, expression: syntax.Expression, scope: Scope) -> Later:
        return Later(expression.at, lambda: self._evaluate(expression, scope))


def applied(at: Place, name: str, given: Sequence[Outcome]) -> list[Outcome]:
    """A function on one combination of arguments."""
    known = [outcome.value if isinstance(outcome, Scalar) else None for outcome in given]
    match name, known:
        case "toLower", [str(text)]:
            return [Scalar(at, text.lower())]
        case "toUpper", [str(text)]:
            return [Scalar(at, text.upper())]
        case "replace", [str(text), str(old), str(new)]:
            return [Scalar(at, text.replace(old, new))]
        case "replace", [str(text), str(old), _]:
            pieces = text.split(old)
            around = tuple(part for piece in pieces for part in (piece, None))[:-1]
            return [Pattern(at, around) if len(pieces) > 1 else Scalar(at, text)]
        case "string", [bool(value)]:
            return [Scalar(at, str(value).lower())]
        case "string", [int(value)] | [str(value)]:
            return [Scalar(at, str(value))]
        case "json", [str(text)]:
            return [_number(at, text)]
        case (("resourceId" | "subscriptionResourceId" | "tenantResourceId"), _):
            parts = tuple(p for o in given for p in ("/", *_known_parts(o)))
            return [Pattern(at, (None, *parts))]
    return _of_collections(at, name, given)


def _of_collections(at: Place, name: str, given: Sequence[Outcome]) -> list[Outcome]:
    match name, given:
        case (("union" | "shallowMerge"), _) if all(isinstance(outcome, Fields) for outcome in given):
            entries = {
                key: later for outcome in given if isinstance(outcome, Fields) for key, later in _entries(outcome)
            }
            return [Fields(at, entries, all(isinstance(o, Fields) and o.complete for o in given))]
        case (("union" | "concat"), _) if any(isinstance(outcome, Items | Fields) for outcome in given):
            return [_joined(at, given)]
        case "length", [Items(items=items, complete=True)]:
            return [Scalar(at, len(items))]
        case "empty", [only] if (verdict := _empty(only)) is not None:
            return [Scalar(at, verdict)]
        case "contains", [Fields(entries=entries, complete=True), Scalar(value=str(key))]:
            return [Scalar(at, key in entries)]
        case "contains", [Items(items=items, complete=True), Scalar(value=value)]:
            values = [outcome for item in items for outcome in item.outcomes()]
            if all(isinstance(outcome, Scalar) for outcome in values):
                return [Scalar(at, any(isinstance(o, Scalar) and o.value == value for o in values))]
        case (("first" | "last"), [Items(items=items)]) if items:
            return list(items[0 if name == "first" else -1].outcomes())
        case "objectKeys", [Fields(entries=entries, complete=True)]:
            return [Items(at, tuple(Later.known(Scalar(at, key)) for key in sorted(entries)))]
        case "items", [Fields(entries=entries, complete=complete)]:
            pairs = (Fields(at, {"key": Later.known(Scalar(at, k)), "value": v}) for k, v in sorted(entries.items()))
            return [Items(at, tuple(Later.known(pair) for pair in pairs), complete)]
        case "flatten", [Items(items=items, complete=complete)]:
            inner = [outcome for item in items for outcome in item.outcomes()]
            joined = _joined(at, inner)
            return [Items(at, joined.items, joined.complete and complete)] if isinstance(joined, Items) else [joined]
        case "any", [_]:
            return [OfKind(at, "any")]
    return [OfKind(at, FUNCTIONS[name].returns)]


def _joined(at: Place, given: Sequence[Outcome]) -> Outcome:
    """Arrays one after the other; of objects whatever is known of them."""
    items = tuple(item for outcome in given if isinstance(outcome, Items) for item in outcome.items)
    if items or all(isinstance(outcome, Items) for outcome in given):
        return Items(at, items, all(isinstance(outcome, Items) and outcome.complete for outcome in given))
    entries = {key: later for outcome in given if isinstance(outcome, Fields) for key, later in _entries(outcome)}
    return Fields(at, entries, complete=False) if entries else OfKind(at, "any")


def _entries(outcome: Fields) -> Iterator[tuple[str, Later]]:
    yield from outcome.entries.items()


def _empty(outcome: Outcome) -> bool | None:
    match outcome:
        case Scalar(value=None):
            return True
        case Scalar(value=str(text)):
            return not text
        case Items(items=items, complete=True):
            return not items
        case Fields(entries=entries, complete=True):
            return not entries
    return None


def _known_parts(outcome: Outcome) -> tuple[str | None, ...]:
    match outcome:
        case Scalar(value=str(text)):
            return (text,)
        case Pattern(parts=parts):
            return parts
    return (None,)


def _number(at: Place, text: str) -> Outcome:
    try:
        return Scalar(at, float(text) if "." in text else int(text))
    except ValueError:
        return OfKind(at, "any")
