"""Request profiles: which tag stands for which signal of which machine, and how the answer is written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator, model_validator

from shared.platforms.operations1.actions import Action
from shared.platforms.operations1.entered import VALUE_FIELDS
from shared.platforms.operations1.templates import check_template

__all__ = ["PROFILE_ID", "REQUEST_WORDS", "TAG_PARTS", "RequestProfile", "TagSource"]

PROFILE_ID = r"^[a-z0-9][a-z0-9-]{0,49}$"
MAX_TAGS = 100
MAX_ACTIONS = 20
TAG_PARTS = ("value", "unit", "quality", "age_seconds", "reason")
REQUEST_WORDS = frozenset({"report_id", "order_id", "step_id"})
FieldName = Annotated[str, StringConstraints(min_length=1, max_length=60)]


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

    actions: dict[str, Action] = Field(
        default_factory=dict,
        max_length=MAX_ACTIONS,
        description="Tags whose value is calculated, told of a machine at large, or the result of something that is "
        "done: a process started on a machine, another system told. Whoever may ask may have it done.",
    )
    tags: dict[str, TagSource] = Field(
        default_factory=dict,
        validate_default=True,
        max_length=MAX_TAGS,
        description="Tags that are answered with a machine's last value.",
    )
    accepted_versions: tuple[str, ...] | None = Field(
        None, max_length=20, description="`version` or `fullVersion` of envelopes that are answered; absent: all."
    )
    answer: Literal["values", "list", "with_quality", "template"] = Field(
        "values",
        description="values: {tag: value}; list: [{tag, value}]; with_quality: {tag: {value, unit, quality, "
        "age_seconds, reason}}; template: as `template` has it. Which of them fills other interactions is unverified: "
        "no public contract says.",
    )
    template: Any = Field(
        None,
        description="With answer=template: JSON with places for values, `{tag}`, `{tag.unit}`, `{tag.quality}`, "
        "`{tag.age_seconds}`, `{tag.reason}`, `{report_id}`, `{order_id}`, `{step_id}`. A text that is one place alone "
        "becomes the value itself. All configured tags are answered then.",
    )
    on_running: Literal["accepted", "missing"] = Field(
        "accepted",
        description="A process that has not ended when the worker has waited long enough. accepted: 202 with the "
        "address of its result. missing: as a tag without a value, and asking again gives the result. Which of them "
        "the platform understands is unverified.",
    )
    value_fields: tuple[FieldName, ...] = Field(
        VALUE_FIELDS,
        min_length=1,
        max_length=10,
        description="Where an entered value stands in an interaction; the first that is there. Unverified.",
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

    @field_validator("tags", "actions")
    @classmethod
    def _named(cls, tags: dict[str, Any]) -> dict[str, Any]:
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

    @field_validator("tags")
    @classmethod
    def _some(cls, tags: dict[str, TagSource], info: ValidationInfo) -> dict[str, TagSource]:
        if not tags and not info.data.get("actions"):
            raise ValueError("configure at least one tag, here or under `actions`")
        return tags

    @model_validator(mode="after")
    def _whole(self) -> RequestProfile:
        both = sorted(self.tags.keys() & self.actions.keys())
        if both:
            raise ValueError(f"{both[0][:50]} stands under `tags` and under `actions`")
        for kind in ("start", "call"):
            # The whole report holds the tags of all its buttons: two starts would both begin at any press.
            if sum(action.do == kind for action in self.actions.values()) > 1:
                raise ValueError(f"one button, one profile: at most one action that does {kind}")
        if (self.answer == "template") != (self.template is not None):
            raise ValueError("`template` goes with answer=template")
        check_template(self.template, self._is_place, example="{core_temp}")
        return self

    def _is_place(self, name: str) -> bool:
        tag, _, part = name.rpartition(".")
        names = self.tags.keys() | self.actions.keys()
        return name in names or name in REQUEST_WORDS or (tag in names and part in TAG_PARTS)

    def stored(self) -> dict[str, Any]:
        """As it is written: what stands at its default is left out where relays of before do not know it."""
        written = self.model_dump(mode="json")
        plain = RequestProfile.model_fields
        for name in ("actions", "template", "on_running", "value_fields"):
            if written[name] in ({}, None) or getattr(self, name) == plain[name].default:
                del written[name]
        return written

    @property
    def does_something(self) -> bool:
        """Does it more than tell?"""
        return any(action.do in ("start", "call") for action in self.actions.values())

    @property
    def missing(self) -> Literal["omit", "null", "error"]:
        """What a tag without a usable value becomes."""
        if self.on_missing is not None:
            return self.on_missing
        return "null" if self.answer == "with_quality" else "error"

    def accepts(self, versions: tuple[str, ...]) -> bool:
        """Is one of the envelope's versions accepted? Where there is no envelope there is none to refuse."""
        return self.accepted_versions is None or not versions or any(v in self.accepted_versions for v in versions)

    def wanted(self, asked: Iterable[str], *, whole: bool) -> list[str]:
        """The names of the tags to answer, in the order of the profile.

        A request without any configured tag is answered with all of them, unless it holds the whole report: the
        device sends only the step of the button, while the interaction to fill may stand in another step.
        """
        configured = [*self.tags, *self.actions]
        if self.scope == "all" or self.answer == "template":
            return configured
        names = list(asked)
        known = set(configured)
        found = [name for name in names if name in known]
        return configured if not found and (not whole or not names) else found
