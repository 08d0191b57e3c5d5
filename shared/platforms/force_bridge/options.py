"""The options of a connection to a FORCE Bridge server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from shared.callbacks.model import MAX_RETRIES, MAX_UNCONFIRMED
from shared.callbacks.mqtt_target import is_mqtt, mqtt_target
from shared.errors import FieldProblem, InvalidInput
from shared.events.catalogue import CATALOGUE
from shared.platforms.force_bridge.catalogue import RESERVED, TYPES, close_to

__all__ = ["DeclaredRegistration", "ForceOptions", "TicketOptions", "read_options"]

MAX_REGISTRATIONS = 200
_ID = re.compile(r"[!-~]{1,100}")

EquipmentId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DeclaredRegistration(_Form):
    """One registration that FORCE Bridge is to have for us."""

    event_type: str = Field(alias="eventType", max_length=100, description="One of the chapter's; `RESOURCES_UPDATED`.")
    object_ids: tuple[str, ...] = Field(
        (),
        alias="objectFilter",
        max_length=1_000,
        description="Only about these objects, by id. As a list of ids, or of {name: id, value} as FORCE writes it.",
    )
    event_name: str | None = Field(
        None,
        alias="eventName",
        max_length=255,
        description="Leave it out but for COMMAND and EXTERNAL, where it selects. Unverified for all others.",
    )
    unconfirmed: int = Field(100, alias="maxUnconfirmedMessages", ge=0, le=MAX_UNCONFIRMED)
    attempts: int = Field(360, alias="maxRedeliveryAttempts", ge=0, le=MAX_RETRIES)
    hook_source: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="The hook source (kind `force_bridge`) that takes them, at an address of its own.",
    )
    url: str | None = Field(
        None,
        max_length=8_192,
        repr=False,
        description="In place of hook_source: another address, such as a relay's, or mqtt://host:1883/external/topic. "
        "It is shown in the options: no secret belongs into it.",
    )

    @field_validator("event_type")
    @classmethod
    def _registrable(cls, value: str) -> str:
        # COMMAND is reserved by the chapter and used by its own samples: a server may take it. The others are not.
        if value in RESERVED and value != "COMMAND":
            raise ValueError(f"{RESERVED[value]}; nobody can register for it")
        if value not in TYPES:
            close = [name for name in close_to(value) if name in TYPES]
            raise ValueError(f"FORCE Bridge has no such event type{'; did you mean ' + close[0] if close else ''}")
        return value

    @field_validator("object_ids", mode="before")
    @classmethod
    def _ids(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        ids = [item.get("value") if isinstance(item, dict) and item.get("name") == "id" else item for item in value]
        for one in ids:
            if not isinstance(one, str) or not _ID.fullmatch(one):
                raise ValueError("write ids as FORCE Bridge shows them, without quotation marks or spaces")
        return tuple(dict.fromkeys(ids))

    @field_validator("event_name", mode="before")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if is_mqtt(value):
            try:
                mqtt_target(value, field="url")
            except InvalidInput as err:
                raise ValueError(err.detail.removeprefix("url: ")) from None
        elif not re.fullmatch(r"https?://[^\s/@]+(/[^\s]*)?", value):
            raise ValueError("write http(s)://host/path without user, or mqtt(s)://host/external/topic")
        return value

    @model_validator(mode="after")
    def _one_target(self) -> DeclaredRegistration:
        if (self.hook_source is None) == (self.url is None):
            raise ValueError("give either hook_source or url")
        return self


class TicketOptions(_Form):
    """How tickets that alerts ask for are written there. Field values are unverified: a server may know others."""

    ticket_state: str = Field("NEW", pattern="^[A-Z_]{1,40}$")
    ticket_class_id: str | None = Field(None, max_length=100)
    priorities: dict[Literal["low", "normal", "high", "urgent"], str] = Field(
        {"low": "LOW", "normal": "MEDIUM", "high": "HIGH", "urgent": "HIGH"},
        description="Ours to theirs. Unverified: newer servers have VERY_HIGH, too.",
    )


class ForceOptions(_Form):
    """Everything but the credentials."""

    base_url: str = Field(
        max_length=500,
        description="Whole, as the server's administrator gives it: https://h:24443/ffwebservices/api/v3",
    )
    dialect: Literal["oauth_token", "ffauth"] = Field(
        "oauth_token", description="`{base_url}/oauth/token`, or `https://{host}:25443/ffauth/oauth2.0/accessToken`."
    )
    token_url: str | None = Field(None, max_length=500, description="Whole, where the server has it elsewhere.")
    ffauth_by: Literal["form", "url"] = Field(
        "form",
        description="Where ffauth wants the secret. `url` is for servers that know no other way: their logs then have "
        "it. That all take `form` is unverified.",
    )
    ca_certificate: str | None = Field(
        None, max_length=20_000, description="PEM of the plant's own CA, in place of trusting anybody."
    )
    via: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="The relay on whose network the server is."
    )
    accept_language: str = Field("en-US", pattern=r"^[A-Za-z0-9,;=.\- ]{1,100}$", description="Of texts.")
    timeout_seconds: float = Field(10.0, ge=1, le=40)
    registrations: tuple[DeclaredRegistration, ...] = Field((), max_length=MAX_REGISTRATIONS)
    workplaces: dict[str, EquipmentId] = Field(
        default_factory=dict, max_length=1_000, description="Workplace id there -> equipment id here."
    )
    believed_hours: float = Field(
        24.0,
        gt=0,
        le=720,
        description="So long a machine's state is believed when nothing confirms it; then no alert is held back.",
    )
    tickets: TicketOptions | None = Field(
        None, description="Make a ticket there when an alert's response asks for one."
    )
    publish: tuple[str, ...] = Field((), max_length=50, description="Our event types that are told there as EXTERNAL.")

    @field_validator("publish")
    @classmethod
    def _ours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in CATALOGUE or name in ("EXTERNAL", "TEST"):
                raise ValueError(f"{name[:50]} is no event type of ours that can be told; docs/callbacks.md lists them")
        return tuple(dict.fromkeys(value))

    @field_validator("workplaces")
    @classmethod
    def _workplaces(cls, value: dict[str, str]) -> dict[str, str]:
        if any(not _ID.fullmatch(key) for key in value):
            raise ValueError("write ids as FORCE Bridge shows them, without quotation marks or spaces")
        return value

    @field_validator("base_url", "token_url")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        if value is not None and ("?" in value or "#" in value):
            raise ValueError("leave out what follows ? and #")
        return None if value is None else value.rstrip("/")

    @property
    def token_address(self) -> str:
        """Where access tokens are fetched."""
        if self.token_url is not None:
            return self.token_url
        if self.dialect == "oauth_token":
            return f"{self.base_url}/oauth/token"
        scheme, _, rest = self.base_url.partition("://")
        host = rest.partition("/")[0]
        if not host.endswith("]"):
            host = host.rpartition(":")[0] or host
        return f"{scheme}://{host}:25443/ffauth/oauth2.0/accessToken"

    def equipment_of(self, workplace: str | None) -> str | None:
        """Which machine of ours a workplace is."""
        return None if workplace is None else self.workplaces.get(workplace)

    def workplace_of(self, equipment_id: str | None) -> str | None:
        """Which workplace a machine of ours is; of several the first."""
        return next((place for place, machine in self.workplaces.items() if machine == equipment_id), None)

    def stored(self) -> dict[str, Any]:
        """As they are kept and shown."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def read_options(given: Mapping[str, Any]) -> ForceOptions:
    """Raises ``InvalidInput`` naming ``options.<field>``."""
    try:
        return ForceOptions.model_validate(dict(given))
    except ValidationError as err:
        found = err.errors(include_url=False, include_input=False, include_context=False)[:20]
        problems = [
            FieldProblem(
                ".".join(["options", *(str(part)[:100] for part in one["loc"])]),
                one["msg"].removeprefix("Value error, "),
            )
            for one in found
        ]
        raise InvalidInput(f"{problems[0].field}: {problems[0].problem}", problems=problems) from err
