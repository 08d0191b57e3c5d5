"""Holds what a template says of a resource against its model, side by side, at every level."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

from tests.infra.assignable import told
from tests.infra.model_types import EnumType, Field, FieldType, ListType, MapType, Model, ModelType, Simple
from tests.infra.problem import Problem
from tests.infra.values import Fields, Items, Outcome, Reference, Scalar, kind_of

__all__ = ["judge", "judge_model", "nearest"]

_DURATION = re.compile(r"^P(?!$)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$")
_FITS = {
    "string": {"string"},
    "duration": {"string"},
    "int": {"int"},
    "number": {"int", "number"},
    "bool": {"bool"},
}
_WANTS = {
    "string": "a string",
    "duration": "an ISO 8601 duration such as 'PT5M'",
    "int": "a whole number",
    "number": "a number",
    "bool": "true or false",
}


def judge(outcomes: Sequence[Outcome], kind: FieldType, path: str, *, required: bool = False) -> Iterator[Problem]:
    """What is wrong with these values for a property at ``path``."""
    for outcome in outcomes:
        given = kind_of(outcome)
        if isinstance(outcome, Reference) or given in ("any", "module", "outputs"):
            continue
        if given == "null":
            if required:
                yield Problem(outcome.at, f"`{path}` must not be null.")
            continue
        match kind:
            case Simple(kind=wanted):
                yield from _simple(outcome, wanted, path)
            case EnumType(values=values):
                yield from _enum(outcome, values, path)
            case ListType(item=item):
                yield from _list(outcome, item, path)
            case MapType(value=value):
                yield from _map(outcome, value, path)
            case ModelType(read=read, name=name):
                model = read()
                if given != "object":
                    yield Problem(outcome.at, f"`{path}` wants an object ({name}) and gets {told(outcome)}.")
                elif isinstance(outcome, Fields) and model is not None:
                    yield from judge_model(outcome, model, path)


def judge_model(given: Fields, model: Model, path: str, also: Iterable[str] = ()) -> Iterator[Problem]:
    """What is wrong with the properties of this object. ``also``: names that Bicep itself knows here."""
    model, chosen = _chosen(given, model)
    prefix = f"{path}." if path else ""
    for name, value in given.entries.items():
        field = model.fields.get(name)
        if name in also or name.startswith("${"):
            continue
        if field is None:
            if chosen and not model.open:
                yield Problem(value.at, _unknown(name, model, prefix))
        elif field.read_only:
            yield Problem(value.at, f"`{prefix}{name}` can only be read, Azure sets it.")
        else:
            yield from judge(value.outcomes(), field.type, f"{prefix}{name}", required=field.required)
    if given.complete and chosen:
        for field in model.fields.values():
            if field.required and field.name not in given.entries and field.name not in also:
                yield Problem(given.at, f"`{prefix}{field.name}` is missing ({model.name} needs it).")


def _chosen(given: Fields, model: Model) -> tuple[Model, bool]:
    """The kind of the model that the object says it is; whether that could be told."""
    if not model.subtypes or model.discriminator not in given.entries:
        return model, not model.subtypes
    values = [o.value if isinstance(o, Scalar) else None for o in given.entries[model.discriminator].outcomes()]
    for value, subtype in model.subtypes.items():
        found = subtype.read()
        if values == [value] and found is not None:
            inner, _ = _chosen(given, found) if found.discriminator != model.discriminator else (found, True)
            return inner, True
    return model, False


def _unknown(name: str, model: Model, prefix: str) -> str:
    return f"`{prefix}{name}` does not exist in {model.name}{nearest(name, model.fields)}."


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean `x`?``, where something is near."""
    candidates = list(known)
    same = [one for one in candidates if one.casefold() == name.casefold()]
    close = same or difflib.get_close_matches(name, candidates, 1, 0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


def _simple(outcome: Outcome, wanted: str, path: str) -> Iterator[Problem]:
    if wanted == "any":
        return
    if kind_of(outcome) not in _FITS[wanted] or (
        wanted == "duration" and isinstance(outcome, Scalar) and not _DURATION.match(str(outcome.value))
    ):
        yield Problem(outcome.at, f"`{path}` wants {_WANTS[wanted]} and gets {told(outcome)}.")


def _enum(outcome: Outcome, values: tuple[str | int | bool, ...], path: str) -> Iterator[Problem]:
    listed = ", ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in values)
    if kind_of(outcome) not in {kind_of(Scalar(outcome.at, value)) for value in values}:
        yield Problem(outcome.at, f"`{path}` wants one of {listed} and gets {told(outcome)}.")
    elif isinstance(outcome, Scalar) and outcome.value not in values:
        yield Problem(outcome.at, f"`{path}` is {told(outcome)}, but must be one of {listed}.")


def _list(outcome: Outcome, item: FieldType, path: str) -> Iterator[Problem]:
    if kind_of(outcome) != "array":
        yield Problem(outcome.at, f"`{path}` wants an array and gets {told(outcome)}.")
    elif isinstance(outcome, Items):
        for later in outcome.items:
            yield from judge(later.outcomes(), item, f"{path}[]", required=True)


def _map(outcome: Outcome, value: FieldType, path: str) -> Iterator[Problem]:
    if kind_of(outcome) != "object":
        yield Problem(outcome.at, f"`{path}` wants an object and gets {told(outcome)}.")
    elif isinstance(outcome, Fields):
        for name, later in outcome.entries.items():
            yield from judge(later.outcomes(), value, f"{path}.{'*' if name.startswith('${') else name}")


def field_at(model: Model | None, path: Sequence[str]) -> tuple[Field | None, str]:
    """The field that a path leads to, as far as the models tell, and the first name on it that does not exist."""
    found: Field | None = None
    kind: FieldType | None = None
    for step, name in enumerate(path):
        if step:
            if isinstance(kind, ListType) and name == "[]":
                kind = kind.item
                continue
            if not isinstance(kind, ModelType):
                return None, ""
            model = kind.read()
        if model is None or (model.subtypes and name not in model.fields) or model.open:
            return None, ""
        found = model.fields.get(name)
        if found is None:
            return None, name
        kind = found.type
    return found, ""
