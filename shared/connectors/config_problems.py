"""From what pydantic finds wrong with a configuration to problems that name the field as the caller wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from shared.errors import FieldProblem, InvalidInput

__all__ = ["parsed_config", "unfilled"]

Model = TypeVar("Model", bound=BaseModel)

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parsed_config(model: type[Model], config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Model:
    """The configuration with the profile's ``defaults`` under its ``additional_config``, checked.

    Raises:
        InvalidInput: naming every field that is wrong, never a value.
    """
    options = config.get("additional_config")
    merged: Any = {**defaults, **(options or {})} if isinstance(options, Mapping | None) else options
    try:
        return model.model_validate({**config, "additional_config": merged})
    except ValidationError as err:
        found = err.errors(include_url=False, include_input=False, include_context=False)
        problems = [_problem(entry["loc"], entry["type"], entry["msg"]) for entry in found]
        detail = "; ".join(f"{p.field}: {p.problem}" for p in problems[:5])
        raise InvalidInput(detail + ".", problems=problems) from None  # pydantic's own text would hold nothing more


def unfilled(place: str, name: str, known: Mapping[str, str]) -> InvalidInput:
    """``{name}`` stands in an address and has no value."""
    field = f"additional_config.{place}"
    return InvalidInput(
        f"{field} has {{{name[:40]}}}, which has no value: give {name[:40]} in additional_config "
        f"(known here: {', '.join(sorted(known))}).",
        field=field,
    )


def _problem(loc: tuple[int | str, ...], kind: str, message: str) -> FieldProblem:
    said = message.removeprefix("Value error, ")
    if kind == "extra_forbidden":
        said = "is not known here: check the spelling"
    where = ""
    for part in loc:
        text = str(part)
        if isinstance(part, int) or not _PLAIN_KEY.fullmatch(text):
            where += f"[{part}]" if isinstance(part, int) else f"['{text[:100]}']"
        else:
            where += f".{text}" if where else text
    if said.startswith("['") and ": " in said:  # a validator of a whole mapping names the entry itself
        inner, _, said = said.partition(": ")
        name, _, rest = inner[2:].partition("']")
        where += (f".{name}" if _PLAIN_KEY.fullmatch(name) else f"['{name}']") + rest
    return FieldProblem(where or "config", said)
