"""The configuration of a REST device: the implementation guide's shape, checked once, errors naming the field."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import AliasChoices, Field, FiniteFloat, field_validator, model_validator

from shared.connectors.credentials import Credentials
from shared.connectors.device_options import DeviceConfig, DeviceOptions
from shared.connectors.mapping import Signals
from shared.connectors.path_templates import PathTemplate
from shared.connectors.paths import BadAddress, Index, Name, parse_rooted
from shared.connectors.profiles import fields
from shared.connectors.rest_items import ItemSpec
from shared.connectors.rest_paging import Paging
from shared.connectors.source_time import Form, zone_of

__all__ = ["RestConfig", "RestOptions"]

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_NOT_YOURS = frozenset(
    {
        *("authorization", "proxy-authorization", "cookie"),
        *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade"),
        *("accept-encoding", "expect"),
    }
)


def _address(value: str) -> str:
    try:
        parse_rooted(value)
    except BadAddress as err:
        raise ValueError(str(err)) from err
    return value


def _guide_fields() -> list[str]:
    names = fields()
    return [spec.at for spec in names.signals.values()] + [one.at for one in names.families] + [names.timestamp_at]


class RestOptions(DeviceOptions):
    """``additional_config`` of a REST device. Other single values are names for the paths: ``{oven_id}``."""

    ALSO_KNOWN = ("timestampAt", "path")
    TAKES: ClassVar[frozenset[str]] = frozenset({"write", "timestamp_at", "max_age"})

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
    timestamp_form: Form = Field("auto", description="What the times are: iso, seconds or milliseconds since 1970.")
    timestamp_zone: str = Field(
        "UTC", max_length=64, description="Of ISO times without one: UTC, +01:00, Europe/Madrid."
    )
    max_age: FiniteFloat | None = Field(
        None, gt=0, description="Seconds; a value measured longer ago is uncertain. Left out: any age."
    )
    items: str | None = Field(
        None, max_length=500, description="Address of the list of machines or points in time; $ is the answer itself."
    )
    item: ItemSpec | None = Field(None, description="Which of the items is ours. Addresses begin there.")
    paging: Paging | None = Field(None, description="How the next page is asked for.")
    share_seconds: FiniteFloat | None = Field(
        None, ge=0, le=300, description="So long one answer serves the other machines of the account."
    )
    field_addresses: dict[str, str] = Field(
        default_factory=dict, max_length=50, description="Without signals: field of the guide -> where it stands here."
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
            for name, address in (("at", spec.at), ("timestamp_at", spec.timestamp_at)):
                try:
                    _ = address is None or _address(address)
                except ValueError as err:
                    raise ValueError(f"['{key}'].{name}: {err}") from err
            if spec.writable and spec.write is None:
                raise ValueError(
                    f"['{key}'].write: is needed beside writable, to say how: "
                    '{"method": "PUT", "path": "/ovens/{unit}", "body": {"setpoint": "{value}"}}'
                )
        return value

    @field_validator("items")
    @classmethod
    def _list_address(cls, value: str | None) -> str | None:
        steps = () if value is None else parse_rooted(_address(value)).steps
        if not all(isinstance(step, Name | Index) for step in steps):
            raise ValueError("write names and positions only, such as data.units, or $ where the answer is the list")
        return value

    @field_validator("timestamp_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        zone_of(value)
        return value

    @field_validator("field_addresses")
    @classmethod
    def _fields_of_the_guide(cls, value: dict[str, str]) -> dict[str, str]:
        known = _guide_fields()
        for name, address in value.items():
            if name not in known:
                raise ValueError(f"['{name[:40]}']: is no field of the guide; there are {', '.join(known)}")
            try:
                _address(address)
            except ValueError as err:
                raise ValueError(f"['{name}']: {err}") from err
        return value

    @model_validator(mode="after")
    def _lists(self) -> RestOptions:
        if self.items is None and (self.item is not None or self.paging is not None):
            raise ValueError("items is needed beside item and paging: the address of the list, such as data.units")
        if self.items is not None and self.item is None and self.paging is None:
            raise ValueError("items has no effect without item or paging")
        return self

    @model_validator(mode="after")
    def _signals_or_fields(self) -> RestOptions:
        if self.signals is None:
            return self
        if self.field_addresses:
            raise ValueError("field_addresses has no effect beside signals, which say it all: leave one of them out")
        for key, spec in self.signals.items():
            timed = spec.timestamp_at or self.timestamp_at or (self.item and self.item.newest)
            if not timed and (spec.max_age or self.max_age):
                raise ValueError(f"signals['{key}'] has a max_age and no time: give timestamp_at")
        return self

    @model_validator(mode="after")
    def _sensible(self) -> RestOptions:
        if self.ca_certificate is not None and not self.verify_ssl:
            raise ValueError("ca_certificate has no effect while verify_ssl is false: leave one of them out")
        return self


class RestConfig(DeviceConfig):
    """The whole of it, as the implementation guide writes it."""

    credentials: Credentials = Field(default_factory=Credentials, repr=False)
    additional_config: RestOptions = Field(default_factory=RestOptions)
