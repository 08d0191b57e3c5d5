"""The words of the hook source and inbox API."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from functions.endpoint import UtcTime
from shared.clock import iso

if TYPE_CHECKING:
    from shared.inbox import InboundMessage
    from shared.inbox.sources import HookSource, NewHookSource

__all__ = [
    "ChangeHookSource",
    "HookSecrets",
    "InboxQuery",
    "ListQuery",
    "RotateHookSource",
    "WantedHookSource",
    "message_json",
    "source_json",
]


class BrokerForm(BaseModel):
    """Where messages are fetched from: an MQTT 5 broker on a network that this process reaches."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    endpoint: str = Field(max_length=500, description="`mqtts://10.0.0.2:8883`")
    port: int | None = Field(None, ge=1, le=65_535)
    path: str | list[str] = Field("external/#", description="Topic filter, or several; under `external/`.")
    username: str | None = Field(None, max_length=1_024, repr=False)
    password: str | None = Field(None, max_length=1_024, repr=False)
    ca_certificate: str | None = Field(None, max_length=200_000)
    verify_ssl: bool = True
    allow_plain_password: bool = False
    relay_credential_ref: str | None = Field(
        None, pattern="^[A-Za-z0-9-]{1,127}$", description="Name of its user and password on the relay that fetches."
    )
    client_id: str | None = Field(None, max_length=100)
    session_expiry: int = Field(259_200, ge=60, le=2_592_000, description="Seconds.")

    def config(self) -> dict[str, Any]:
        """Without secrets."""
        return self.model_dump(exclude={"username", "password"}, exclude_none=True)

    def credentials(self) -> dict[str, str]:
        """The secrets alone."""
        given = {"username": self.username, "password": self.password}
        return {key: value for key, value in given.items() if value}


class LoginForm(BaseModel):
    """Basic credentials that a sender must show."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    username: str = Field(min_length=1, max_length=255, pattern="^[^:\\x00-\\x1f]+$", repr=False)
    password: str = Field(min_length=8, max_length=1_024, repr=False)


class WantedHookSource(BaseModel):
    """A hook source to create."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    id: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$", description="Stands in the address.")
    name: str = Field("", max_length=100)
    kind: str = Field("generic", pattern="^[a-z0-9_]{1,40}$", description="Who sends: decides what messages lead to.")
    options: dict[str, Any] = Field(default_factory=dict, max_length=50, description="Of its kind.")
    credentials: LoginForm | None = Field(None, description="What its sender signs in with (Basic).")
    broker: BrokerForm | None = Field(None, description="Of `force_bridge_mqtt`: where its messages are fetched from.")
    relay_id: str | None = Field(
        None, pattern="^[a-z0-9][a-z0-9-]{0,39}$", description="The relay on whose network they come in."
    )
    signing_secret: str | None = Field(None, max_length=500, description="`whsec_...`, if the sender has given one.")
    generate_signing_secret: bool = Field(False, description="Make one to give to the sender; shown once.")
    event_name: str | None = Field(None, min_length=1, max_length=100)
    equipment_id: str | None = Field(None, pattern="^[A-Za-z0-9_-]{1,64}$")
    identical_within_seconds: int = Field(
        0, ge=0, le=3600, description="Equal bodies without a webhook-id within so long are one message. 0: never."
    )
    expires_at: UtcTime | None = Field(None, description="When its address closes; without an offset it is UTC.")

    @field_validator("name")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("write a name that people can read")
        return value.strip()

    @model_validator(mode="after")
    def _one_secret(self) -> WantedHookSource:
        if self.signing_secret is not None and self.generate_signing_secret:
            raise ValueError("give either `signing_secret` or `generate_signing_secret`, not both")
        if self.relay_id is not None and self.credentials is not None:
            raise ValueError("a relay does not keep what senders sign in with: let them sign (`signing_secret`)")
        if self.broker is not None and (self.broker.relay_credential_ref is not None) and self.relay_id is None:
            raise ValueError("`broker.relay_credential_ref` goes with `relay_id`: it names what lies on that relay")
        if self.broker is not None and self.relay_id is not None and self.broker.credentials():
            raise ValueError(
                "credentials of a broker in a plant are kept on its relay: store them there and name them in "
                "`broker.relay_credential_ref`"
            )
        if (self.kind == "force_bridge_mqtt") != (self.broker is not None):
            raise ValueError("`broker` belongs to the kind force_bridge_mqtt, and that kind needs it")
        return self

    def wanted(self) -> NewHookSource:
        """As the room wants it."""
        from shared.inbox.sources import NewHookSource

        return NewHookSource(
            id=self.id,
            name=self.name or self.id,
            kind=self.kind,
            event_name=self.event_name,
            equipment_id=self.equipment_id,
            identical_within_seconds=self.identical_within_seconds,
            expires_at=self.expires_at,
            broker=None if self.broker is None else self.broker.config(),
            relay_id=self.relay_id,
            options=self.options,
        )


class ChangeHookSource(BaseModel):
    """What shall be other than it is; what is absent stays."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    name: str | None = Field(None, min_length=1, max_length=100)
    event_name: str | None = Field(None, max_length=100, description="Empty: none.")
    equipment_id: str | None = Field(None, pattern="^[A-Za-z0-9_-]{0,64}$", description="Empty: none.")
    identical_within_seconds: int | None = Field(None, ge=0, le=3600)
    options: dict[str, Any] | None = Field(None, max_length=50, description="Of its kind, whole.")

    def fields(self) -> dict[str, Any]:
        """As they are stored; `options` as they came."""
        names = {
            "name": "name",
            "event_name": "eventName",
            "equipment_id": "equipmentId",
            "identical_within_seconds": "identicalWithinSeconds",
            "options": "options",
        }
        given = self.model_dump(exclude_none=True)
        return {names[name]: None if value == "" else value for name, value in given.items()}


class HookSecrets(BaseModel):
    """Other secrets for a source."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    signing_secret: str | None = Field(None, max_length=500)
    generate_signing_secret: bool = False
    credentials: LoginForm | None = None
    keep_old_seconds: int = Field(3600, ge=0, le=604_800, description="How long the ones before still count.")


class RotateHookSource(BaseModel):
    """A new path for a source."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    keep_old_seconds: int = Field(3600, ge=0, le=604_800, description="How long the old path still counts.")
    expires_at: UtcTime | None = Field(None, description="When the new path closes; absent: never.")


class ListQuery(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=2000)


class InboxQuery(ListQuery):
    """Which messages."""

    source: str | None = Field(None, pattern="^[a-z0-9][a-z0-9-]{0,62}$")
    event: str | None = Field(None, max_length=100)
    verdict: Literal["verified", "unsigned", "rejected"] | None = None
    status: Literal["received", "handled", "failed", "rejected", "answered"] | None = None
    equipment_id: str | None = Field(None, pattern="^[A-Za-z0-9_-]{1,64}$")
    work_order_id: str | None = Field(None, min_length=1, max_length=200)
    since: UtcTime | None = Field(None, description="Inclusive; messages are kept for a week.")
    until: UtcTime | None = Field(None, description="Exclusive.")


def source_json(source: HookSource, now: datetime) -> dict[str, Any]:
    """A source without its secrets."""
    return {
        "id": source.id,
        "name": source.name,
        "kind": source.kind,
        "relay_id": source.relay_id,
        "signed": source.secret_ref is not None,
        "signs_in": source.credentials_ref is not None,
        "options": dict(source.options),
        "old_secrets_until": _time(source.old_secrets_until),
        "event_name": source.event_name,
        "equipment_id": source.equipment_id,
        "identical_within_seconds": source.identical_within_seconds,
        "created_at": iso(source.created_at),
        "created_by": source.created_by,
        "rotated_at": _time(source.rotated_at),
        "status": "active" if source.is_open(now) else "revoked" if source.revoked_at else "expired",
        "expires_at": _time(source.expires_at),
        "revoked_at": _time(source.revoked_at),
        "last_used_at": _time(source.last_used_at),
        "broker": None if source.broker is None else dict(source.broker),
        "broker_credentials_set": source.broker_ref is not None,
        "broker_error": source.broker_error,
    }


def _time(value: datetime | None) -> str | None:
    return iso(value) if value else None


def message_json(message: InboundMessage, *, whole: bool) -> dict[str, Any]:
    """A message; ``whole``: with its headers and body."""
    said: dict[str, Any] = {
        "id": message.id,
        "source": message.source,
        "received_at": iso(message.received_at),
        "event": message.event,
        "verdict": message.verdict,
        "status": message.status,
        "reason": message.reason,
        "bytes": message.size,
        "sha256": message.sha256,
        "duplicates": message.duplicates,
        "replays": message.replays,
        "handled_at": iso(message.handled_at) if message.handled_at else None,
        "effect": dict(message.effect) if message.effect is not None else None,
        "equipment_id": message.equipment_id,
        "work_order_id": message.work_order_id,
        "correlation_id": message.correlation_id,
    }
    if whole:
        said["headers"] = dict(message.headers)
        try:
            said["body"] = message.raw.decode()
        except UnicodeDecodeError:
            said["body_base64"] = base64.b64encode(message.raw).decode()
    return said
