"""Request profiles: which tag stands for which signal of which machine, and how the answer is written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["PROFILE_ID", "RequestProfile", "TagSource"]

PROFILE_ID = r"^[a-z0-9][a-z0-9-]{0,49}$"
MAX_TAGS = 100


class TagSource(BaseModel):
    """Where the value of a tag comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    equipment_id: str = Field(pattern="^[A-Za-z0-9_-]{1,64}$")
    signal: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$", description="e.g. `temperature.core`")
    max_age_seconds: int = Field(300, ge=1, le=86_400, description="An older value is not given.")
    digits: int | None = Field(None, ge=0, le=10, description="Round to so many digits; absent: as it was read.")
    unit: str | None = Field(
        None, max_length=20, description="In which unit. Temperatures are converted (C, F, K); else it must be its own."
    )


class RequestProfile(BaseModel):
    """One endpoint's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tags: dict[str, TagSource] = Field(min_length=1, max_length=MAX_TAGS)
    accepted_versions: tuple[str, ...] | None = Field(
        None, max_length=20, description="`version` or `fullVersion` of envelopes that are answered; absent: all."
    )
    answer: Literal["values", "list", "with_quality"] = Field(
        "values",
        description="values: {tag: value}; list: [{tag, value}]; with_quality: {tag: {value, unit, quality, "
        "age_seconds, reason}}. Which of them fills other interactions is unverified: no public contract says.",
    )
    on_missing: Literal["omit", "null", "error"] | None = Field(
        None,
        description="What a tag without a usable value becomes. error: the whole request is refused with the reason "
        "of each tag. Absent: error, and null with answer=with_quality, which gives the reason beside it.",
    )
    scope: Literal["asked", "all"] = Field(
        "asked", description="asked: the tags in the request that are configured. all: all configured ones, always."
    )
    accept_uncertain: bool = Field(True, description="Are values of uncertain quality given?")
    keep_requests: bool = Field(True, description="Keep each request with its answer in the inbox, for a week.")

    @field_validator("tags")
    @classmethod
    def _named(cls, tags: dict[str, TagSource]) -> dict[str, TagSource]:
        for name in tags:
            if not 0 < len(name) <= 200 or not name.isprintable() or name != name.strip():
                raise ValueError("a tag is named as the interaction tag is, at most 200 characters, no blanks around")
        return tags

    @field_validator("accepted_versions", mode="before")
    @classmethod
    def _as_text(cls, versions: Any) -> Any:
        # `version` is a number in the envelope and `fullVersion` a text; both are compared as text.
        if isinstance(versions, list | tuple):
            return tuple(str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in versions)
        return versions

    @property
    def missing(self) -> Literal["omit", "null", "error"]:
        """What a tag without a usable value becomes."""
        if self.on_missing is not None:
            return self.on_missing
        return "null" if self.answer == "with_quality" else "error"

    def accepts(self, versions: tuple[str, ...]) -> bool:
        """Is one of the envelope's versions accepted? Where there is no envelope there is none to refuse."""
        return self.accepted_versions is None or not versions or any(v in self.accepted_versions for v in versions)

    def wanted(self, asked: Iterable[str], *, whole: bool) -> dict[str, TagSource]:
        """The tags to answer.

        A request without any configured tag is answered with all of them, unless it holds the whole report: the
        device sends only the step of the button, while the interaction to fill may stand in another step.
        """
        if self.scope == "all":
            return dict(self.tags)
        names = list(asked)
        found = {name: self.tags[name] for name in names if name in self.tags}
        return dict(self.tags) if not found and (not whole or not names) else found
