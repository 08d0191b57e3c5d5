"""What a request profile may do beside telling readings: the recipes of the platform's guide, as configuration.

Each stands under the name of the tag that gets its result.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from shared.platforms.operations1.calculate import FUNCTIONS, CannotCalculate, names_in
from shared.platforms.operations1.templates import check_template

__all__ = ["Action", "Calculate", "Call", "MachineInfo", "ResultOf", "Start"]

EQUIPMENT = "^[A-Za-z0-9_-]{1,64}$"
SIGNAL = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"
Plain = bool | int | float | str
TagName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,60}$")]
HeaderText = Annotated[str, StringConstraints(max_length=500, pattern=r"^[\x20-\x7e]*$")]
OURS = frozenset({"authorization", "content-length", "content-type", "host", "idempotency-key", "connection"})


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Calculate(_Form):
    """A calculation with what was entered and what machines say."""

    do: Literal["calculate"]
    expression: str = Field(
        min_length=1,
        max_length=500,
        description="Such as `(gross - tare) / 1000`: + - * / // % **, comparisons, `a if x > 1 else b`, and "
        f"{', '.join(sorted(FUNCTIONS))}.",
    )
    inputs: dict[str, TagName] = Field(
        default_factory=dict,
        max_length=20,
        description="Which tag a name stands for; absent: the tag of that name. A tag of this profile is a machine's "
        "value, any other what was entered in the report.",
    )
    digits: int | None = Field(None, ge=0, le=10)
    unit: str = Field("", max_length=20)

    @model_validator(mode="after")
    def _calculable(self) -> Calculate:
        for name in self.inputs:
            if not name.isidentifier() or not name.isascii() or name in FUNCTIONS:
                raise ValueError(f"{name[:50]} is no name that can stand in an expression")
        try:
            needed = names_in(self.expression)
        except CannotCalculate as err:
            raise ValueError(f"expression: {err}") from None
        unused = sorted(self.inputs.keys() - needed)
        if unused:
            raise ValueError(f"inputs: the expression does not use {unused[0][:50]}")
        return self

    def needs(self) -> dict[str, str]:
        """The tag of each name."""
        return {name: self.inputs.get(name, name) for name in names_in(self.expression)}


class MachineInfo(_Form):
    """What a machine does at the moment, from its last reading."""

    do: Literal["machine"]
    equipment_id: str = Field(pattern=EQUIPMENT)
    tell: Literal[
        "status",
        "connection",
        "stage",
        "progress",
        "time_remaining",
        "temperatures",
        "alerts",
        "alert_count",
        "summary",
    ] = Field("summary", description="time_remaining in minutes; temperatures, alerts and summary as one text.")
    max_age_seconds: int = Field(300, ge=1, le=86_400)


class ResultOf(_Form):
    """How the end of a process is seen, and what it is asked then."""

    signal: str = Field(pattern=SIGNAL, description="The machine's signal that is the result.")
    when_signal: str = Field("status", pattern=SIGNAL)
    when_equals: tuple[Plain, ...] = Field(
        min_length=1, max_length=20, description="It has ended when the signal says one of these."
    )
    within_seconds: int = Field(600, ge=1, le=86_400, description="A process that takes longer is given up.")
    digits: int | None = Field(None, ge=0, le=10)

    @field_validator("when_equals")
    @classmethod
    def _short(cls, values: tuple[Plain, ...]) -> tuple[Plain, ...]:
        if any(isinstance(value, str) and len(value) > 100 for value in values):
            raise ValueError("at most 100 characters each")
        return values


class Start(_Form):
    """A process is started by writing to a machine that is open for remote control; its result is the tag's value."""

    do: Literal["start"]
    equipment_id: str = Field(pattern=EQUIPMENT)
    signal: str = Field(pattern=SIGNAL, description="What is written to; a writable signal of its mapping.")
    value: Plain | None = Field(None, description="What is written.")
    value_from: TagName | None = Field(None, description="Instead of `value`: what was entered under this tag.")
    result: ResultOf | None = Field(None, description="Absent: that it was started is the result.")
    wait_seconds: float = Field(
        10, ge=0, le=20, allow_inf_nan=False, description="So long the worker waits; then the result can be asked for."
    )
    again_after_seconds: int | None = Field(
        None,
        ge=1,
        le=86_400,
        description="One report's step starts it once, however often the button is pressed; after so long it may start "
        "again. Absent: never, unless the start failed for certain.",
    )

    @model_validator(mode="after")
    def _one_value(self) -> Start:
        if (self.value is None) == (self.value_from is None):
            raise ValueError("give either `value` or `value_from`")
        if isinstance(self.value, str) and len(self.value) > 1_000:
            raise ValueError("value: at most 1,000 characters")
        return self


class Call(_Form):
    """Another system is told, such as a pick-by-light; what it answers may be the tag's value."""

    do: Literal["call"]
    url: str = Field(min_length=8, max_length=2_000)
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[HeaderName, HeaderText] = Field(default_factory=dict, max_length=20)
    credentials: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="A credential set of that address."
    )
    body: Any = Field(
        None,
        description="JSON with places: `{report_id}`, `{order_id}`, `{step_id}`, `{profile}`, `{tag}`, and "
        "`{entered.<tag>}` for what was entered. Absent: all of that.",
    )
    result: str | None = Field(
        None,
        max_length=200,
        pattern=r"^(/[^/]*)+$",
        description="JSON pointer into the answer, such as `/shelf/0/position`; absent: `sent`.",
    )
    attempts: int = Field(3, ge=1, le=5)
    timeout_seconds: float = Field(5, ge=1, le=10, allow_inf_nan=False)
    again_after_seconds: int | None = Field(
        None, ge=1, le=86_400, description="One report's step calls once; after so long it may call again."
    )

    @model_validator(mode="after")
    def _sendable(self) -> Call:
        taken = [name for name in self.headers if name.lower() in OURS]
        if taken:
            raise ValueError(f"headers: {taken[0]} is written by Ovenbridge; secrets belong into a credential set")
        check_template(self.body, _in_call, example="{report_id} or {entered.mass}")
        return self


WORDS = frozenset({"report_id", "order_id", "step_id", "profile", "tag"})


def _in_call(name: str) -> bool:
    return name in WORDS or (name.startswith("entered.") and 8 < len(name) <= 208)


Action = Annotated[Calculate | MachineInfo | Start | Call, Field(discriminator="do")]
