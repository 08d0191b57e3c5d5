"""Credentials of a device: their form, and the headers they become. Values never reach an error or a log."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

__all__ = ["Credentials"]


def _header_safe(value: Any) -> Any:
    if value == "":
        return None
    if isinstance(value, str) and not (value.isprintable() and value.isascii()):
        raise ValueError("it has characters that cannot stand in a header: was it pasted with a line break?")
    return value


def _not_empty(value: Any) -> Any:
    return None if value == "" else value


Secret = Annotated[Annotated[str, Field(max_length=8_192)] | None, BeforeValidator(_header_safe), Field(repr=False)]
Text = Annotated[Annotated[str, Field(max_length=1_024)] | None, BeforeValidator(_not_empty), Field(repr=False)]


class Credentials(BaseModel):
    """How a device is asked to let us in. At most one of bearer, basic and OAuth2; an API key may stand beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True)

    api_key: Secret = Field(None, description="Sent in `api_key_header`.")
    api_key_header: str = Field("X-API-Key", pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")
    token: Secret = Field(None, description="Sent as a bearer token.")
    username: Text = Field(None, description="Basic authentication.")
    password: Text = None
    token_url: Text = Field(
        None,
        validation_alias=AliasChoices("token_url", "tokenUrl"),
        description="OAuth2 client credentials: where the token is fetched; absolute, or a path under the endpoint.",
    )
    client_id: Text = Field(None, validation_alias=AliasChoices("client_id", "clientId"))
    client_secret: Text = Field(None, validation_alias=AliasChoices("client_secret", "clientSecret"))
    scope: Text = None
    client_auth: Literal["basic", "body"] = Field("basic", validation_alias=AliasChoices("client_auth", "clientAuth"))
    extra: dict[str, str] = Field(
        default_factory=dict, max_length=20, repr=False, description="More fields of the token request."
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> Credentials:
        ways = [
            name
            for name, given in (
                ("token", self.token),
                ("username/password", self.username),
                ("client_id (OAuth2)", self.client_id or self.token_url),
            )
            if given
        ]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} exclude each other: give one")
        if self.password and not self.username:
            raise ValueError("password is given without username")
        if self.username and ":" in self.username:
            raise ValueError("username may not hold a colon (Basic authentication)")
        if (self.client_id or self.client_secret or self.token_url) and not (
            self.client_id and self.client_secret and self.token_url
        ):
            raise ValueError("OAuth2 needs token_url, client_id and client_secret together")
        return self

    def headers(self) -> dict[str, str]:
        """What can be sent without asking anybody. OAuth2 adds its bearer token itself."""
        headers: dict[str, str] = {}
        if self.api_key:
            headers[self.api_key_header] = self.api_key
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        elif self.username:
            pair = base64.b64encode(f"{self.username}:{self.password or ''}".encode()).decode("ascii")
            headers["Authorization"] = f"Basic {pair}"
        return headers
