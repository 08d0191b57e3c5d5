"""``POST callbacks``: the body of FORCE Bridge, with our own optional fields for credentials."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_validator, model_validator

from shared.callbacks.model import (
    DEFAULT_RETRIES,
    DEFAULT_UNCONFIRMED,
    MAX_RETRIES,
    MAX_UNCONFIRMED,
    Credentials,
    NewCallback,
)
from shared.callbacks.mqtt_target import is_mqtt, mqtt_target
from shared.errors import InvalidInput
from shared.platforms.force_bridge.catalogue import RESERVED, close_to, known_types

__all__ = ["Registration"]

MAX_FILTERS = 1_000
MAX_HEADERS = 20

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS = re.compile(
    r"(?i)host|content-.*|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|authorization|proxy-.*"
    r"|webhook-.*|x-ovenbridge-.*|x-correlation-id"
)
"""Headers that HTTP itself or the notification sets."""
_CURLY = "“”„‘’«»"

Attempts = Annotated[StrictInt, Field(ge=0, le=MAX_RETRIES)]


def _said(value: object) -> object:
    """What some clients send for "nothing"."""
    return None if value == "" else value


class ObjectFilter(BaseModel):
    """One condition on what an event is about."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field(max_length=100)
    value: str = Field(min_length=1, max_length=256)

    @field_validator("name")
    @classmethod
    def _only_id(cls, value: str) -> str:
        if value != "id":
            raise ValueError('only `id` can be filtered by; write {"name": "id", "value": "..."}')
        return value

    @field_validator("value")
    @classmethod
    def _an_id(cls, value: str) -> str:
        # Not 32 hex digits: the chapter's own example has 31 (reference/platforms.md section 4.3).
        if any(mark in value for mark in _CURLY):
            raise ValueError(
                "this id holds a curly quotation mark, as copying from a document leaves behind; remove it"
            )
        if value != value.strip() or not value.isprintable():
            raise ValueError("this id begins or ends with a space, or holds a control character; remove it")
        return value


class BasicAuth(BaseModel):
    """How the receiver knows us: user name and password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    username: str = Field(min_length=1, max_length=255, repr=False)
    password: str = Field("", max_length=1_000, repr=False)

    @field_validator("username")
    @classmethod
    def _without_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("a user name for Basic authentication has no colon")
        return value


class Registration(BaseModel):
    """A callback as a FORCE Bridge client asks for it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    event_type: str = Field(alias="eventType", min_length=1, max_length=100)
    url: str = Field(min_length=1, max_length=8_192, repr=False)
    object_filter: list[ObjectFilter] | None = Field(None, alias="objectFilter", max_length=MAX_FILTERS)
    event_name: str | None = Field(None, alias="eventName", max_length=255)
    attempts: Attempts | None = Field(None, alias="maxRedeliveryAttempts")
    attempts_as_documented: Attempts | None = Field(None, alias="maxRedeliverAttempts")
    unconfirmed: Annotated[StrictInt, Field(ge=0, le=MAX_UNCONFIRMED)] | None = Field(
        None, alias="maxUnconfirmedMessages"
    )
    basic_auth: BasicAuth | None = Field(None, alias="basicAuth")
    bearer: str | None = Field(None, min_length=1, max_length=8_000, repr=False)
    headers: dict[str, str] | None = Field(None, max_length=MAX_HEADERS, repr=False)
    ca_certificate: str | None = Field(None, alias="caCertificate", min_length=1, max_length=16_000)
    deliver_via: str | None = Field(None, alias="deliverVia", pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")

    _nothing_said = field_validator("event_name", "deliver_via", "ca_certificate", mode="before")(_said)

    @field_validator("event_type")
    @classmethod
    def _registrable(cls, value: str) -> str:
        if value in RESERVED:
            raise ValueError(f"{RESERVED[value]}; nobody can register for it. EXTERNAL carries events of your own")
        if value not in known_types():
            close = close_to(value)
            hint = (
                f"did you mean {' or '.join(close)}?" if close else "GET /openapi.json and docs/callbacks.md list them"
            )
            raise ValueError(f"there is no such event type; {hint}")
        return value

    @field_validator("url")
    @classmethod
    def _served(cls, value: str) -> str:
        if is_mqtt(value):
            try:
                mqtt_target(value, field="url")
            except InvalidInput as err:
                raise ValueError(err.detail.removeprefix("url: ")) from None
        return value

    @field_validator("bearer")
    @classmethod
    def _token(cls, value: str | None) -> str | None:
        if value is not None and (not value.isascii() or not value.isprintable() or " " in value):
            raise ValueError("a bearer token has only visible ASCII characters")
        return value

    @field_validator("headers")
    @classmethod
    def _headers_that_may_be_set(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        for name, text in (value or {}).items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError("a header name has letters, digits and hyphens")
            if _OURS.fullmatch(name):
                raise ValueError(
                    f"the header {name} is set by the notification itself; use basicAuth or bearer, or another name"
                )
            if len(text) > 8_000 or not text.isascii() or not text.isprintable():
                raise ValueError(f"the value of the header {name} is one line of ASCII, at most 8,000 characters")
        return value

    @model_validator(mode="after")
    def _one_meaning(self) -> Registration:
        both = (self.attempts, self.attempts_as_documented)
        if None not in both and both[0] != both[1]:
            raise ValueError("maxRedeliveryAttempts and maxRedeliverAttempts are two spellings of one field and differ")
        if self.basic_auth is not None and self.bearer is not None:
            raise ValueError("basicAuth and bearer exclude each other")
        return self

    def wanted(self) -> NewCallback:
        """As the callbacks room wants it."""
        retries = self.attempts if self.attempts is not None else self.attempts_as_documented
        basic = self.basic_auth
        return NewCallback(
            event_type=self.event_type,
            url=self.url,
            event_name=self.event_name,
            object_ids=tuple(dict.fromkeys(item.value for item in self.object_filter or ())),
            max_retries=DEFAULT_RETRIES if retries is None else retries,
            max_unconfirmed=DEFAULT_UNCONFIRMED if self.unconfirmed is None else self.unconfirmed,
            credentials=Credentials(
                username=basic.username if basic else None,
                password=basic.password if basic else None,
                bearer=self.bearer,
                headers=self.headers or {},
            ),
            deliver_via=self.deliver_via,
            ca_certificate=self.ca_certificate,
        )
