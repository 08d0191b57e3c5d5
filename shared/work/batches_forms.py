"""What callers write about batches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from shared.clock import iso
from shared.work.batches_model import FIELDS, IMPORTED, BatchStatus

__all__ = ["BATCH_ID", "BatchChange", "NewBatch", "Time", "said_of"]

BATCH_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$"


def _utc(moment: datetime) -> datetime:
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("that is no time at which a batch was baked") from None
    if not 2000 <= moment.year <= 9000:
        raise ValueError("that is no time at which a batch was baked")
    return moment


Time = Annotated[datetime, AfterValidator(_utc)]
"""ISO 8601, taken as UTC when it names no offset."""


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("write one line that people can read")
    return value


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_one_line)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4_000)]
Celsius = Annotated[float, Field(ge=-60, le=400, allow_inf_nan=False, strict=True)]


class BatchStep(BaseModel):
    """One step of a batch, as whoever runs it tells it."""

    model_config = ConfigDict(extra="forbid")

    name: Line
    started_at: Time | None = None
    ended_at: Time | None = None
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] | None = None


class _Batch(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    product: Line | None = Field(None, description="What is baked, for people: Baguettes - Batch #123.")
    program: Line | None = Field(None, description="The oven's program.")
    work_order_id: Line | None = None
    note: Note | None = None
    steps: Annotated[list[BatchStep], Field(max_length=100)] | None = None
    ended_at: Time | None = None


class NewBatch(_Batch):
    """A batch that begins, or one of the past."""

    id: Annotated[str, Field(pattern=BATCH_ID)] | None = Field(None, description="Yours; opening it twice opens one.")
    equipment_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    started_at: Time | None = Field(None, description="Default: now.")
    core_temperature_target: Celsius | None = Field(None, description="Required core temperature, in C.")

    @field_validator("id")
    @classmethod
    def _not_an_imported_one(cls, value: str | None) -> str | None:
        if value is not None and value.lower().startswith(IMPORTED):
            raise ValueError(f"ids that begin with {IMPORTED} are those of imported batches: choose another")
        return value


class BatchChange(_Batch):
    """What is to be different. ``null`` empties a field that may be empty."""

    status: BatchStatus | None = Field(None, description="completed or aborted: the batch ends.")

    @model_validator(mode="after")
    def _not_emptied(self) -> BatchChange:
        if "status" in self.model_fields_set and self.status is None:
            raise ValueError("status cannot be null; leave it out to keep it")
        return self


def said_of(form: NewBatch | BatchChange) -> dict[str, Any]:
    """Stored names and values of what was sent."""
    said: dict[str, Any] = {}
    for name in form.model_fields_set & {*FIELDS, "started_at", "core_temperature_target"}:
        value = getattr(form, name)
        if isinstance(value, datetime):
            value = iso(value)
        elif isinstance(value, BatchStatus):
            value = value.value
        elif name == "steps":
            value = [_step(step) for step in value or ()]
        if name == "core_temperature_target":
            said["core"] = {"target": value, "unit": "C"} if value is not None else None
        else:
            said["startedAt" if name == "started_at" else FIELDS[name]] = value
    return said


def _step(step: BatchStep) -> dict[str, Any]:
    found = step.model_dump(exclude_none=True)
    return {name: iso(value) if isinstance(value, datetime) else value for name, value in found.items()}
