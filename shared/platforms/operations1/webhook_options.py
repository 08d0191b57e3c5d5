"""The options of a source of the kind ``operations1``: which versions count, what realms mean, what is compared."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

__all__ = ["Meaning", "Proof", "TagCheck", "Tolerance", "WebhookOptions"]

Meaning = Literal["order_completed", "order_updated", "report_completed", "value_entered"]
"""What the messages of a realm are about."""

KNOWN_REALMS: dict[str, Meaning] = {
    "order.complete": "order_completed",
    "interaction-value-update-v1": "value_entered",
}
SECRET_WORDS = ("authorization", "token", "secret", "password", "api-key", "apikey")
"""A header with one of these in its name is kept nowhere."""


class Tolerance(BaseModel):
    """How far an entered number may be from the machine's own: within either is near enough."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    absolute: float | None = Field(None, ge=0, le=1e9, allow_inf_nan=False, description="In the signal's unit.")
    percent: float | None = Field(None, ge=0, le=1_000, allow_inf_nan=False, description="Of the machine's value.")

    @model_validator(mode="after")
    def _one(self) -> Tolerance:
        if self.absolute is None and self.percent is None:
            raise ValueError("give `absolute` or `percent`, or both: within either is near enough")
        return self


class TagCheck(BaseModel):
    """What the value entered under a tag is compared with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    equipment_id: str = Field(pattern="^[A-Za-z0-9_-]{1,64}$")
    signal: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$", description="e.g. `temperature.core`")
    tolerance: Tolerance | None = Field(None, description="Absent: the source's.")
    max_age_seconds: int | None = Field(None, ge=1, le=86_400, description="Absent: the source's.")
    unit: str | None = Field(
        None, max_length=20, description="In which unit people enter it; absent: the signal's own."
    )
    severity: Literal["info", "warning", "critical"] | None = Field(None, description="Absent: the source's.")


class Proof(BaseModel):
    """Where the sender shows the shared secret (``signing_secret``), beside the secret address."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    place: Literal["header", "query"] = Field("header", alias="in")
    name: str = Field("x-webhook-secret", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")

    @model_validator(mode="after")
    def _told(self) -> Proof:
        if self.place == "header" and not any(word in self.name.lower() for word in SECRET_WORDS):
            raise ValueError(
                f"a header with a secret has one of {', '.join(SECRET_WORDS)} in its name, such as X-Webhook-Secret: "
                "then it is kept nowhere"
            )
        return self


TagName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
FieldName = Annotated[str, StringConstraints(min_length=1, max_length=60)]
Realm = Annotated[str, StringConstraints(min_length=1, max_length=100)]
VersionText = Annotated[str, StringConstraints(min_length=1, max_length=30)]


class WebhookOptions(BaseModel):
    """The options of a source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str | None = Field(
        None,
        pattern="^[A-Za-z0-9-]{1,63}$",
        description="The `{tenant}` of `https://{tenant}.operations1.app`. Two sources of one tenant (an old and a new "
        "webhook side by side) are then known to tell of the same happenings. Absent: the source is by itself.",
    )
    accepted_versions: tuple[VersionText, ...] | None = Field(
        None, max_length=20, description="`version` or `fullVersion` that have an effect; absent: all."
    )
    realms: dict[Realm, Meaning] = Field(
        default_factory=lambda: dict(KNOWN_REALMS),
        max_length=50,
        description="What the messages of a realm are about. Only `order.complete` is published; the realms of all "
        "other webhooks are unverified: look at the `event` of what came into the inbox, and name them here. Messages "
        "of any other realm are kept, and have no effect.",
    )
    work_order: Literal["custom_order_id", "order_id"] = Field(
        "custom_order_id", description="Which id other systems know the order by; where there is none, its own."
    )
    profile: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9-]{0,49}$", description="A request profile: its tags are compared as well."
    )
    tags: dict[TagName, TagCheck] = Field(default_factory=dict, max_length=100)
    tolerance: Tolerance | None = Field(None, description="For every tag that has none of its own.")
    max_age_seconds: int = Field(300, ge=1, le=86_400, description="An older reading is no judge.")
    accept_uncertain: bool = Field(False, description="Is a reading of uncertain quality a judge?")
    severity: Literal["info", "warning", "critical"] = "warning"
    value_fields: tuple[FieldName, ...] = Field(
        ("value", "enteredValue", "currentValue", "result"),
        min_length=1,
        max_length=10,
        description="Where the entered value stands in an interaction; the first that is there. Unverified: no public "
        "contract says.",
    )
    same_within_seconds: int = Field(
        600, ge=1, le=3_600, description="The same told in another version within so long is one happening."
    )
    proof: Proof | None = Field(None, description="Where the sender shows `signing_secret`.")

    @field_validator("accepted_versions", mode="before")
    @classmethod
    def _as_text(cls, versions: Any) -> Any:
        # `version` is a number in the envelope and `fullVersion` a text; both are compared as text.
        if isinstance(versions, list | tuple):
            return tuple(str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in versions)
        return versions

    @model_validator(mode="after")
    def _judged_somehow(self) -> WebhookOptions:
        if self.profile is not None and self.tolerance is None:
            raise ValueError('a profile has no tolerance: give one here, e.g. {"absolute": 2}')
        bare = [tag for tag, check in self.tags.items() if check.tolerance is None]
        if bare and self.tolerance is None:
            raise ValueError(f"the tag {bare[0][:50]} has no tolerance, and neither has the source")
        return self

    def accepts(self, versions: tuple[str, ...]) -> bool:
        """Is one of the envelope's versions accepted?"""
        return self.accepted_versions is None or any(v in self.accepted_versions for v in versions)
