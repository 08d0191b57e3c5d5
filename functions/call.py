"""One HTTP call as a handler sees it, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError

from shared import json_text
from shared.access import Caller
from shared.errors import FieldProblem, InvalidInput, UnsupportedMediaType
from shared.services import Services

__all__ = ["NOBODY", "Answer", "Call", "UtcTime", "parse"]

Model = TypeVar("Model", bound=BaseModel)


FIRST_YEAR = 2
"""Before the first there is no day to reckon back to."""


def _utc(moment: datetime) -> datetime:
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("write a time that every calendar has") from None
    if moment.year < FIRST_YEAR:
        raise ValueError("write a time that every calendar has")
    return moment


UtcTime = Annotated[datetime, AfterValidator(_utc)]
"""A time in a body or a query: ISO 8601, taken as UTC when it names no offset; aware and in UTC inside."""

MAX_PROBLEMS = 20
"""So many wrong fields are named in one answer."""

NOBODY = Caller(id="anonymous", name="somebody unknown", roles=frozenset(), how="none")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers with. ``body`` becomes JSON unless it is bytes."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call, checked and with its caller known."""

    method: str
    route: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Lower-case names."""
    raw: bytes
    caller: Caller
    correlation_id: str
    services: Services

    def json(self) -> Any:
        """The body as JSON. Where a key stands twice, the last one counts.

        Raises:
            UnsupportedMediaType: the caller says that it is something else.
            InvalidInput: it is empty, no JSON, no UTF-8, or nested too deeply.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind and not kind.endswith("json"):
            raise UnsupportedMediaType(
                f"This takes application/json, not {kind[:80]}. Send the header `Content-Type: application/json`."
            )
        return json_text.load_foreign(self.raw)

    def body(self, model: type[Model]) -> Model:
        """The body as a model. Raises ``InvalidInput`` naming every field that is wrong."""
        return parse(model, self.json())

    def params(self, model: type[Model]) -> Model:
        """The query string as a model; platform keys (``code``, ``clientId``) are left out."""
        given = {k: v for k, v in self.query.items() if k not in ("code", "clientId")}
        return parse(model, given, where="query")

    @property
    def if_match(self) -> str | None:
        """The etag the caller expects, without quotes; ``None``: any."""
        value = self.headers.get("if-match", "").strip()
        if value in ("", "*"):
            return None
        return value.removeprefix("W/").strip('"')


def parse(model: type[Model], value: Any, *, where: str = "body") -> Model:
    """Validate. Raises ``InvalidInput`` with one problem per field, never with the rejected value."""
    if not isinstance(value, dict):
        raise InvalidInput(f"The {where} must be a JSON object: {{...}}.", field=where)
    try:
        return model.model_validate(value)
    except ValidationError as err:
        found = err.errors(include_url=False, include_input=False, include_context=False)
        problems = [
            FieldProblem(_field_name(e["loc"]) or where, _sentence(e["type"], e["msg"])) for e in found[:MAX_PROBLEMS]
        ]
        first = problems[0]
        more = f" ({len(found) - 1} more{' in `problems`' if len(found) <= MAX_PROBLEMS else ''})"
        raise InvalidInput(
            f"{first.field}: {first.problem}{more if len(found) > 1 else ''}", problems=problems
        ) from err


def _field_name(location: tuple[int | str, ...]) -> str:
    # A name can be the caller's own word: as long as a body, or full of control characters.
    return ".".join("".join(c if c.isprintable() else "?" for c in str(part)[:100]) for part in location[:10])


def _sentence(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "There is no such field; check its spelling or leave it out."
    if kind == "missing":
        return "This field is required."
    return message.removeprefix("Value error, ")
