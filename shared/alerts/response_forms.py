"""Responses as callers write them in a rule. What needs the house to be judged: ``response_checks.py``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, field_validator, model_validator

from shared import json_text
from shared.alerts.response_model import ACTIONS, Trigger
from shared.alerts.response_templates import NAMES, unknown_names
from shared.observability import masked

__all__ = ["CallForm", "ResponseForm", "TaskForm", "TicketForm", "WriteForm"]

MAX_BODY = 8_192
MAX_BODY_DEPTH = 10
MAX_HEADERS = 20

MachineId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Signal = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,127}$")]
Title = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(min_length=1, max_length=4_000)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Priority = Literal["low", "normal", "high", "urgent"]

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_ALONE = re.compile(r"\{[a-z_.]+\}")
_OURS = frozenset(
    ("host", "connection", "content-length", "content-type", "transfer-encoding", "upgrade", "te", "trailer", "expect",
     "keep-alive", "idempotency-key", "x-ovenbridge-test", "user-agent", "accept-encoding")
)  # fmt: skip


def known_names(value: Any) -> Any:
    """A template without unknown names. Raises ``ValueError`` with the list of those there are."""
    if unknown := unknown_names(value):
        raise ValueError(
            f"there is no placeholder {{{unknown[0][:60]}}}; there are: {', '.join(NAMES)} ({{{{ and }}}} are braces)"
        )
    return value


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True, hide_input_in_errors=True)


class WriteForm(_Form):
    """Write a value to a signal of the same or of another machine."""

    signal: Signal
    value: StrictBool | StrictInt | StrictFloat | Annotated[str, Field(strict=True, min_length=1, max_length=500)]
    equipment_id: MachineId | None = Field(None, description="Without it: the alert's own machine.")

    @field_validator("value")
    @classmethod
    def _fits(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.isprintable():
            raise ValueError("write one line that people can read")
        if isinstance(value, float) and not -1e308 < value < 1e308:
            raise ValueError("write a number that is finite")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("write a number that fits into 64 bits")
        return value


class CallForm(_Form):
    """Call a URL with a JSON body."""

    url: Annotated[str, Field(min_length=1, max_length=2_000)]
    method: Literal["POST", "PUT"] = "POST"
    headers: Annotated[dict[str, Annotated[str, Field(max_length=1_000)]], Field(max_length=MAX_HEADERS)] | None = None
    body: Any = Field(None, description="A template; without it all that is known of the alert.")
    credentials: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] | None = Field(
        None, description="The id of a credential set that belongs to the URL's address."
    )
    repeatable: StrictBool | None = Field(
        None, description="Whether a call that may have arrived may be made again. Default: PUT yes, POST no."
    )

    @field_validator("url")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        if masked(value) != value:
            raise ValueError(
                "a part of it looks like a secret: put the whole address as `url` into a credential set (PUT "
                "/api/v1/credential-sets/{id}), name the set as `credentials`, and leave the secret out here"
            )
        return value

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        for name, text in (value or {}).items():
            if _HEADER.fullmatch(name) is None or name.lower() in _OURS:
                raise ValueError(f"{name[:60]!r} is no header that can be set here")
            if not (text.isascii() and text.isprintable()):
                raise ValueError(f"the value of {name} has characters that cannot stand in a header")
            if masked({name: text}) != {name: text}:
                raise ValueError(f"{name} looks like a secret: put it into a credential set, and name that")
            known_names(text)
        return value

    @field_validator("body")
    @classmethod
    def _body(cls, value: Any) -> Any:
        if value is None:
            return None
        try:
            size = len(json_text.dump(value))
        except (TypeError, RecursionError) as err:
            raise ValueError("it is no JSON value that can be sent") from err
        if size > MAX_BODY or _depth(value) > MAX_BODY_DEPTH:
            raise ValueError(f"it has more than {MAX_BODY:,} bytes, or is nested deeper than {MAX_BODY_DEPTH} levels")
        plain = _without_places(value)
        if masked(plain) != plain:
            raise ValueError(
                "a field of it looks like a secret, and bodies are stored in the clear: put it as `body`: {...} into "
                "a credential set, and name the set as `credentials`"
            )
        return known_names(value)


class TaskForm(_Form):
    """Make a task."""

    title: Title
    description: Text | None = None
    assignee: Name | None = None
    kind: Name | None = None
    priority: Priority = "normal"
    due_minutes: Annotated[float, Field(strict=True, gt=0, le=525_600, allow_inf_nan=False)] | None = None

    _known = field_validator("title", "description")(classmethod(lambda _, value: known_names(value)))

    @field_validator("assignee", "kind")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and not (value.strip() and value.isprintable()):
            raise ValueError("write one line that people can read")
        return value


class TicketForm(_Form):
    """Ask for a ticket in another system."""

    title: Title
    description: Text | None = None
    priority: Priority = "normal"

    _known = field_validator("title", "description")(classmethod(lambda _, value: known_names(value)))


class ResponseForm(_Form):
    """What is to be done, and when. Exactly one of write, call, task and ticket."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    on: Trigger
    minutes: Annotated[float, Field(strict=True, ge=1, le=1_440, allow_inf_nan=False)] | None = None
    write: WriteForm | None = None
    call: CallForm | None = None
    task: TaskForm | None = None
    ticket: TicketForm | None = None
    enabled: StrictBool | None = None

    @model_validator(mode="after")
    def _whole(self) -> ResponseForm:
        given = [kind for kind in ACTIONS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"say what is to be done: exactly one of {', '.join(ACTIONS)}")
        if (self.on is Trigger.UNACKNOWLEDGED_FOR) != (self.minutes is not None):
            raise ValueError("minutes belongs to on: unacknowledged_for, and is needed there (1 to 1440)")
        return self


def one_name_each(responses: list[ResponseForm] | None) -> list[ResponseForm] | None:
    """Raises ``ValueError`` where two have one name."""
    names = [response.name for response in responses or ()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two responses are called {twice[0]}; give each a name of its own")
    return responses


def _without_places(value: Any) -> Any:
    """Fields that hold a placeholder alone are no secrets, whatever they are called."""
    if isinstance(value, str):
        return None if _ALONE.fullmatch(value) else value
    if isinstance(value, dict):
        return {name: _without_places(item) for name, item in value.items()}
    return [_without_places(item) for item in value] if isinstance(value, list) else value


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(v) for v in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(v) for v in value), default=0)
    return 0
