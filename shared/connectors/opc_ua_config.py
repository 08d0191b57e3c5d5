"""The configuration of an OPC UA device, checked once, errors naming the field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from shared.connectors.device_options import DeviceConfig, DeviceOptions
from shared.connectors.mapping import Signals
from shared.connectors.opc_ua_address import BadNodeAddress, parse_node
from shared.connectors.opc_ua_certificates import load_user_certificate, parse_pin
from shared.errors import InvalidInput

__all__ = ["OpcUaConfig", "OpcUaCredentials", "OpcUaOptions", "SecurityMode", "SecurityPolicy"]

SecurityPolicy = Literal["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss", "None"]
SecurityMode = Literal["SignAndEncrypt", "Sign"]

_OUTDATED = ("basic256", "basic128rsa15")


def _not_empty(value: Any) -> Any:
    return None if value == "" else value


def _policy(value: Any) -> Any:
    """``Aes128_Sha256_RsaOaep``, ``none`` and the policy's URI are the same words."""
    if not isinstance(value, str):
        return value
    bare = value.rpartition("#")[2].replace("_", "").replace("-", "").lower()
    if bare in _OUTDATED:
        raise ValueError("this policy is broken and withdrawn (SHA-1): switch the server to Basic256Sha256 or better")
    return {"basic256sha256": "Basic256Sha256", "aes128sha256rsaoaep": "Aes128Sha256RsaOaep",
            "aes256sha256rsapss": "Aes256Sha256RsaPss", "none": "None"}.get(bare, value)  # fmt: skip


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Text = Annotated[Annotated[str, Field(max_length=1_024)] | None, BeforeValidator(_not_empty), Field(repr=False)]
Pem = Annotated[Annotated[str, Field(max_length=20_000)] | None, BeforeValidator(_not_empty), Field(repr=False)]


class OpcUaCredentials(BaseModel):
    """How a server is asked to let us in: nobody (anonymous), a user name, or a user's certificate."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    username: Text = None
    password: Text = None
    user_certificate: Pem = Field(None, description="PEM of the user's X.509 certificate.")
    user_private_key: Pem = Field(None, description="PEM of its RSA key.")
    user_private_key_password: Text = None

    @model_validator(mode="after")
    def _one_way_in(self) -> OpcUaCredentials:
        if self.username and self.user_certificate:
            raise ValueError("username and user_certificate exclude each other: give one")
        if self.password and not self.username:
            raise ValueError("password is given without username")
        if bool(self.user_certificate) != bool(self.user_private_key):
            raise ValueError("user_certificate and user_private_key belong together: give both")
        if self.user_private_key_password and not self.user_private_key:
            raise ValueError("user_private_key_password is given without user_private_key")
        if self.user_certificate and self.user_private_key:
            try:
                load_user_certificate(self.user_certificate, self.user_private_key, self.user_private_key_password)
            except InvalidInput as err:
                raise ValueError(err.detail) from None
        return self


class OpcUaOptions(DeviceOptions):
    """``additional_config`` of an OPC UA device. Other single values are names for the addresses: ``{line}``."""

    security_policy: Annotated[SecurityPolicy, BeforeValidator(_policy)] = Field(
        "Basic256Sha256", description="None: everything goes over the network in the clear."
    )
    security_mode: SecurityMode = "SignAndEncrypt"
    server_cert: Annotated[list[Annotated[str, Field(max_length=20_000)]], BeforeValidator(_listed)] | None = Field(
        None,
        min_length=1,
        max_length=4,
        description="The server's certificate: SHA-256 fingerprint, PEM, or DER in base64; a list while it changes.",
    )
    allow_plain_password: bool = Field(
        False, description="true: send the password although nothing encrypts it. Only on a network of your own."
    )
    timeout: float = Field(8.0, ge=0.5, le=60, description="Seconds for connecting, signing in and reading together.")
    device: str | None = Field(
        None, max_length=500, description="Node of the device, for profiles that know its type; else the only one."
    )
    signals: Signals | None = Field(None, description="The mapping: signal to node.")
    unit: str | int | None = Field(None, description="What {unit} stands for.")

    @field_validator("server_cert")
    @classmethod
    def _pins(cls, value: list[str] | None) -> list[str] | None:
        for text in value or ():
            try:
                parse_pin(text, field="it")
            except InvalidInput as err:
                raise ValueError(err.detail.removeprefix("it ")) from None
        return value

    @field_validator("device")
    @classmethod
    def _node(cls, value: str | None) -> str | None:
        if value is not None:
            _address(value)
        return value

    @field_validator("signals")
    @classmethod
    def _addresses(cls, value: Signals | None) -> Signals | None:
        for key, spec in (value or {}).items():
            try:
                _address(spec.at)
            except ValueError as err:
                raise ValueError(f"['{key}'].at: {err}") from err
        return value


class OpcUaConfig(DeviceConfig):
    """The whole of it, in the implementation guide's shape."""

    credentials: OpcUaCredentials = Field(default_factory=OpcUaCredentials, repr=False)
    additional_config: OpcUaOptions = Field(default_factory=OpcUaOptions)


def _address(text: str) -> None:
    try:
        parse_node(text)
    except BadNodeAddress as err:
        raise ValueError(str(err)) from None
