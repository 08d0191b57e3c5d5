"""Callbacks in our own words: their forms. Clients of a platform have that platform's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.callbacks.model import (
    ANY,
    DEFAULT_RETRIES,
    DEFAULT_UNCONFIRMED,
    MAX_RETRIES,
    MAX_UNCONFIRMED,
    Credentials,
    NewCallback,
)
from shared.events.catalogue import CATALOGUE, TEST

__all__ = ["Login", "NewCallbackForm", "NewSecret"]

Id = Annotated[str, Field(min_length=1, max_length=256)]
Secret = Annotated[str, Field(max_length=200)]


class Login(BaseModel):
    """User name and password for Basic authentication."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    username: str = Field(min_length=1, max_length=255, pattern="^[^:]*$", repr=False)
    password: str = Field("", max_length=1_000, repr=False)


class NewCallbackForm(BaseModel):
    """Who wants to be told of what."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    event_type: str = Field(min_length=1, max_length=100, description="ALERT_RAISED ...; `*`: whatever happens.")
    url: str = Field(min_length=1, max_length=8_192, repr=False)
    object_ids: list[Id] = Field([], max_length=1_000, description="Only about these (equipment ids); empty: all.")
    severities: list[Literal["info", "warning", "critical"]] = Field([], max_length=3)
    sites: list[Id] = Field([], max_length=100)
    dialect: Literal["standard"] = Field("standard", description="How notifications are written: Standard Webhooks.")
    signing_secret: Secret | None = Field(
        None, repr=False, description="`whsec_...`; left out: one is made and shown once."
    )
    max_retries: int = Field(DEFAULT_RETRIES, ge=0, le=MAX_RETRIES)
    max_unconfirmed: int = Field(DEFAULT_UNCONFIRMED, ge=0, le=MAX_UNCONFIRMED)
    basic_auth: Login | None = None
    bearer: str | None = Field(None, min_length=1, max_length=8_000, pattern="^[\x21-\x7e]+$", repr=False)
    ca_certificate: str | None = Field(None, min_length=1, max_length=16_000)
    deliver_via: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    label: str | None = Field(None, min_length=1, max_length=200, description="Whose it is, for people.")

    @field_validator("event_type")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != ANY and (value == TEST or value not in CATALOGUE):
            raise ValueError("there is no such event type; docs/callbacks.md lists them, and `*` is all of them")
        return value

    @model_validator(mode="after")
    def _one_way_in(self) -> NewCallbackForm:
        if self.basic_auth is not None and self.bearer is not None:
            raise ValueError("basic_auth and bearer exclude each other")
        return self

    def wanted(self, secret: str) -> NewCallback:
        """As the callbacks room wants it."""
        basic = self.basic_auth
        return NewCallback(
            event_type=self.event_type,
            url=self.url,
            object_ids=tuple(dict.fromkeys(self.object_ids)),
            severities=tuple(self.severities),
            sites=tuple(self.sites),
            max_retries=self.max_retries,
            max_unconfirmed=self.max_unconfirmed,
            dialect=self.dialect,
            credentials=Credentials(
                username=basic.username if basic else None,
                password=basic.password if basic else None,
                bearer=self.bearer,
            ),
            deliver_via=self.deliver_via,
            ca_certificate=self.ca_certificate,
            about={} if self.label is None else {"label": self.label},
            signing_secret=secret,
        )


class NewSecret(BaseModel):
    """Another secret to sign with."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    signing_secret: Secret | None = Field(
        None, repr=False, description="`whsec_...`; left out: one is made and shown once."
    )
    keep_old_seconds: int = Field(
        86_400, ge=0, le=604_800, description="How long the ones before sign too, beside the new one."
    )
