"""What a system of record is, to those who keep it informed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.platforms.connections import PlatformConnection, Secrets
from shared.platforms.records.places import problem_with

__all__ = ["Intended", "Outcome", "RecordOptions", "RecordSystem", "checked_template", "wanted", "whole"]


class RecordOptions(BaseModel):
    """What every system of record is asked: which sessions and calls, and how patiently."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True, frozen=True)

    kinds: tuple[Literal["session", "call"], ...] = Field(("session", "call"), min_length=1, max_length=2)
    when: Literal["completed", "every_change"] = Field(
        "completed", description="completed: told when it ended, and again when it changes after that."
    )
    needs: tuple[str, ...] = Field(
        ("work_order_id",), max_length=10, description="What a record must have to be told; others are left alone."
    )
    only_where: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        max_length=10,
        description="Only records with one of these values, e.g. {'external_data.system': ['service']}.",
    )
    timeout_seconds: float = Field(15.0, ge=1, le=30)
    max_attempts: int = Field(10, ge=1, le=50, description="With growing pauses, an hour at most; then it is failed.")
    keep_empty: bool = Field(False, description="Send null for what is not known, in place of leaving it out.")

    @field_validator("needs")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            checked_template(f"{{{name}}}")
        return value

    @field_validator("only_where")
    @classmethod
    def _known_too(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name in value:
            checked_template(f"{{{name}}}")
        return value


def checked_template(template: Any) -> Any:
    """For pydantic's validators: the template, if it can be filled."""
    problem = problem_with(template)
    if problem is not None:
        raise ValueError(problem)
    return template


@cache
def _defaults() -> Mapping[str, Any]:
    return RecordOptions().model_dump(mode="json")


def whole(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a connection that was saved by a version that knew fewer of them."""
    return {**_defaults(), **options}


def wanted(options: Mapping[str, Any], words: Mapping[str, Any], *, ended: bool) -> bool:
    """Is this record one to tell this system of?"""
    options = whole(options)
    if words["kind"] not in options["kinds"] or (options["when"] == "completed" and not ended):
        return False
    if any(words.get(name) in (None, "") for name in options["needs"]):
        return False
    return all(str(words.get(name)) in values for name, values in options["only_where"].items())


@dataclass(frozen=True, slots=True)
class Intended:
    """A call that is to be made; kept before it is made."""

    method: str
    url: str
    """Absolute, on the address of the connection."""
    body: bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Without credentials."""
    repeatable: bool = True
    """May it be made again when nobody knows what became of the first? An upsert by a key is, a plain create is not."""
    creates: bool = False
    """A plain create, after which an update (or nothing) follows."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call."""

    result: Literal["recorded", "later", "failed", "unknown"]
    """``later``: certainly without effect (or repeatable); try again. ``failed``: another try would fail the same way.
    ``unknown``: it may have had its effect."""
    sentence: str
    """For people; no secrets, no more of the answer than its own words of error."""
    status: int | None = None
    external_id: str | None = None
    """What the system calls it."""
    retry_after: float | None = None
    busy: bool = False
    """It asked us, as a whole, to come less often."""
    in_doubt: bool = False
    """With ``later``: it may have had its effect; the same call does no harm."""
    elapsed_ms: float | None = None


class RecordSystem(Protocol):
    """A kind of system of record. Also a :class:`shared.platforms.connections.Platform`."""

    def intend(
        self, connection: PlatformConnection, words: Mapping[str, Any], created_id: str | None
    ) -> Intended | None:
        """The call for a record as it is now. ``None``: it is there (``created_id``), and later changes are not told.

        Raises:
            Missing: a value that is needed is not known.
        """
        ...

    async def send(self, connection: PlatformConnection, credentials: Secrets, intended: Intended) -> Outcome:
        """Make the call, once (and once more after a token that ran out was renewed). Never raises for what the
        system answers or that it cannot be reached."""
        ...
