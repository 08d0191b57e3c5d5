"""What a connector sends, and what it is answered: flat, typed, with a sentence for each field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

__all__ = ["HistoryAsked", "NewEvent", "OvensAsked", "PageAsked", "PollAsked", "RulesAsked", "SignalAsked", "Subscribe"]


def _utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("write a time that every calendar has") from None


Utc = Annotated[datetime, AfterValidator(_utc)]
"""Without an offset it is UTC."""
Severity = Literal["info", "warning", "critical"]
Continuation = Annotated[str, Field(max_length=2_000, pattern=r"^[!-~]*$")]
Machine = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]


class Subscribe(BaseModel):
    """A flow asks to be started. Empty filters, as forms send them, are none."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    callback_url: str = Field(min_length=1, max_length=8_192, repr=False, description="Where the flow is started.")
    equipment_id: Machine | None = Field(None, description="Only this oven; empty: all ovens.")
    minimum_severity: Severity | None = Field(
        None, description="Only events that are at least so serious; empty: all of them."
    )
    site: str | None = Field(None, min_length=1, max_length=200, description="Only this plant; empty: all plants.")
    event_type: str | None = Field(None, description="Only events of this type; empty: all types.")

    @field_validator("equipment_id", "minimum_severity", "site", "event_type", mode="before")
    @classmethod
    def _nothing_said(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("event_type")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        from shared.events.catalogue import CATALOGUE, TEST

        if value is not None and (value == TEST or value not in CATALOGUE):
            raise ValueError("there is no such event type; choose one from the list")
        return value


class NewEvent(BaseModel):
    """Something that happened elsewhere, to be told to whoever subscribed."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)] = Field(
        description="What happened, in a word or two; subscribers can choose by it."
    )
    message: Text | None = Field(None, description="One sentence for people.")
    equipment_id: Machine | None = Field(None, description="The oven it is about; empty: none.")
    severity: Severity | None = Field(None, description="How serious it is; empty: not said.")
    site: str | None = Field(None, min_length=1, max_length=200, description="The plant; empty: the oven's own.")
    data: dict[str, Any] | None = Field(None, description="Anything else, as a JSON object.")

    @field_validator("equipment_id", "message", "severity", "site", "data", mode="before")
    @classmethod
    def _nothing_said(cls, value: object) -> object:
        return None if value == "" else value


class _Asked(BaseModel):
    """A question. What a form leaves empty was not said."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, value: object) -> object:
        return {k: v for k, v in value.items() if v != ""} if isinstance(value, dict) else value


class OvensAsked(_Asked):
    """Which ovens."""

    site: str | None = Field(None, max_length=200, description="Only this plant; empty: all plants.")
    search: str | None = Field(None, min_length=1, max_length=200, description="Part of a name or serial number.")
    limit: int = Field(1_000, ge=1, le=1_000, description="At most so many; 1,000 is the most.")
    continuation: Continuation | None = Field(None, description="From the answer before, to get more.")


class SignalAsked(_Asked):
    """Which value."""

    signal: str = Field(min_length=1, max_length=128, description="What is measured, such as temperature.cabinet.")


class HistoryAsked(SignalAsked):
    """Which part of a signal's history."""

    bucket: str = Field("1h", max_length=6, description="How long each stretch is: 30s to 1d, such as 5m, 1h or 1d.")
    start: Utc | None = Field(None, description="From when, in UTC; empty: a day before the end.")
    end: Utc | None = Field(None, description="Until when, in UTC; empty: now.")
    limit: int = Field(1_000, ge=1, le=1_000, description="At most so many stretches; 1,000 is the most.")
    continuation: Continuation | None = Field(None, description="From the answer before, to get more.")


class RulesAsked(_Asked):
    """Whose rules."""

    equipment_id: Machine = Field(description="The oven.")


class PageAsked(_Asked):
    """Which page."""

    limit: int = Field(100, ge=1, le=1_000, description="At most so many; 1,000 is the most.")
    offset: int = Field(0, ge=0, le=100_000, description="Leave out so many.")


class PollAsked(_Asked):
    """Which events, since when."""

    cursor: str | None = Field(
        None,
        max_length=500,
        pattern=r"^[!-~]*$",
        description="From the answer before, or a time in UTC; empty: from now on.",
    )
    form: Literal["list", "cursor"] = Field(
        "list", description="list: a plain list, the next address in Location; cursor: items and cursor in the body."
    )
    equipment_id: Machine | None = Field(None, description="Only this oven; empty: all ovens.")
    minimum_severity: Severity | None = Field(
        None, description="Only events that are at least so serious; empty: all of them."
    )
    site: str | None = Field(None, min_length=1, max_length=200, description="Only this plant; empty: all plants.")
    event_type: str | None = Field(None, max_length=100, description="Only events of this type; empty: all types.")
    limit: int = Field(100, ge=1, le=1_000, description="At most so many at once; 1,000 is the most.")
