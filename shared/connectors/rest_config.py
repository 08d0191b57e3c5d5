"""The configuration of a REST device: the implementation guide's shape, checked once, errors naming the field."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, field_validator, model_validator

from shared.connectors.credentials import Credentials
from shared.connectors.device_options import DeviceConfig, DeviceOptions
from shared.connectors.mapping import Signals
from shared.connectors.paths import BadAddress, parse_path

__all__ = ["RestConfig", "RestOptions"]

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_NOT_YOURS = frozenset(
    {
        *("authorization", "proxy-authorization", "cookie"),
        *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade"),
        *("accept-encoding", "expect"),
    }
)


def _path_template(value: Any) -> Any:
    if isinstance(value, str):
        if "://" in value or value.startswith("//"):
            raise ValueError("write the path only, such as /api/v1/ovens/{equipment_id}; the host stands in endpoint")
        if "#" in value or "\\" in value or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("it has characters that cannot stand in a path: percent-encode them")
    return value


def _address(value: str) -> str:
    try:
        parse_path(value)
    except BadAddress as err:
        raise ValueError(str(err)) from err
    return value


PathTemplate = Annotated[Annotated[str, Field(max_length=2_000)] | None, BeforeValidator(_path_template)]


class RestOptions(DeviceOptions):
    """``additional_config`` of a REST device. Other single values are names for the paths: ``{oven_id}``."""

    ALSO_KNOWN = ("timestampAt", "path")

    data_endpoint: PathTemplate = Field(
        None,
        validation_alias=AliasChoices("data_endpoint", "path"),
        description="Path of the values under the endpoint. Without it the endpoint itself is read.",
    )
    status_endpoint: PathTemplate = Field(None, description="Path asked first when the connection is tested.")
    timeout: float = Field(10.0, ge=0.1, le=60, description="Seconds for one answer, from connecting to the last byte.")
    verify_ssl: bool = Field(True, description="false: any certificate is accepted, for this device only.")
    ca_certificate: str | None = Field(
        None, max_length=200_000, description="Own CA (or the device's own certificate), PEM."
    )
    signals: Signals | None = Field(None, description="The mapping. Without it the guide's field names are read.")
    unit: str | int | None = Field(None, description="What {unit} stands for.")
    timestamp_at: str | None = Field(
        None,
        validation_alias=AliasChoices("timestamp_at", "timestampAt"),
        description="Address of the time of measurement: ISO 8601, or seconds or milliseconds since 1970.",
    )
    method: Literal["GET"] = "GET"
    headers: dict[str, str] = Field(default_factory=dict, max_length=20)

    @model_validator(mode="before")
    @classmethod
    def _one_path(cls, value: Any) -> Any:
        if isinstance(value, dict) and "path" in value and "data_endpoint" in value:
            raise ValueError("path and data_endpoint are two names of one thing: give one")
        return value

    @field_validator("headers")
    @classmethod
    def _own_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, content in value.items():
            if _HEADER_NAME.fullmatch(name) is None:
                raise ValueError("a header's name has letters, digits and hyphens only")
            if name.lower() in _NOT_YOURS:
                raise ValueError(
                    f"{name} cannot be set here: secrets go into credentials, the rest is set by the connection"
                )
            if not (content.isprintable() and content.isascii()):
                raise ValueError(f"the value of {name} has characters that cannot stand in a header")
        return value

    @field_validator("timestamp_at")
    @classmethod
    def _timestamp_address(cls, value: str | None) -> str | None:
        return value if value is None else _address(value)

    @field_validator("signals")
    @classmethod
    def _addresses(cls, value: Signals | None) -> Signals | None:
        for key, spec in (value or {}).items():
            try:
                _address(spec.at)
            except ValueError as err:
                raise ValueError(f"['{key}'].at: {err}") from err
        return value

    @model_validator(mode="after")
    def _sensible(self) -> RestOptions:
        if self.ca_certificate is not None and not self.verify_ssl:
            raise ValueError("ca_certificate has no effect while verify_ssl is false: leave one of them out")
        return self


class RestConfig(DeviceConfig):
    """The whole of it, as the implementation guide writes it."""

    credentials: Credentials = Field(default_factory=Credentials, repr=False)
    additional_config: RestOptions = Field(default_factory=RestOptions)
