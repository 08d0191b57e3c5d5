"""What the webhook API answers with. Light: read when the app is indexed, for the description of the API."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["KeyList", "TestSent", "WebhookList", "WebhookRow"]


class _Row(BaseModel):
    model_config = ConfigDict(defer_build=True)


class KeyRow(_Row):
    """A public key that receivers should trust."""

    public_key: str = Field(description="Base64 of its PKIX form, RSA.")
    status: Literal["signing", "next", "previous"]
    signs_from: str
    until: str | None = Field(description="Listed until then; null: until another follows it.")


class KeyList(_Row):
    """All of them, and the one that signs now."""

    public_key: str
    public_keys: list[KeyRow]


class WebhookRow(KeyList):
    """A registration."""

    id: str
    url: str
    level: Literal["company", "machine"]
    machinetrn: str | None
    equipment_id: str | None
    events: list[str] = Field(description="Of the seven.")
    machinetrns: dict[str, str]
    authentication: str | None
    max_redelivery_attempts: int
    max_unconfirmed_messages: int
    deliver_via: str | None
    status: str
    disabled_reason: str | None
    created_at: str
    last_triggered_at: str | None
    last_successful_at: str | None


class WebhookList(_Row):
    """A page of registrations, oldest first."""

    webhooks: list[WebhookRow]
    total: int


class TestSent(_Row):
    """A test is under way."""

    delivery_id: str = Field(description="The `webhook-id` that the receiver sees.")
