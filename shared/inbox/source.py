"""A hook source: somebody who may call in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.clock import parse_iso
from shared.storage import Document

__all__ = ["NO_HASH", "HookSource", "NewHookSource", "token_hash"]

NO_HASH = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class NewHookSource:
    """A source that is wanted."""

    id: str
    name: str
    kind: str = "generic"
    event_name: str | None = None
    """How its events are called; absent: the source's id."""
    equipment_id: str | None = None
    """The machine that its events are about."""
    identical_within_seconds: int = 0
    """Equal bodies without a ``webhook-id`` within so many seconds are one message; 0: each is a message."""
    expires_at: datetime | None = None
    """From then on its address is closed, until it is rotated; ``None``: never."""
    broker: Mapping[str, Any] | None = None
    """Where its messages are fetched from, if they are: without secrets."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of its kind, checked and with their defaults."""
    relay_id: str | None = None
    """The relay at which its messages come in; ``None``: they come in here."""


@dataclass(frozen=True, slots=True)
class HookSource:
    """Somebody who may call in."""

    id: str
    name: str
    kind: str
    event_name: str | None
    equipment_id: str | None
    identical_within_seconds: int
    secret_ref: str | None
    """Name of the signing secret in the vault; ``None``: the sender does not sign."""
    token_hash: str
    old_token_hash: str | None
    old_token_until: datetime | None
    created_at: datetime
    created_by: str
    rotated_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    """Closed by a person; rotating opens it again at a new address."""
    last_used_at: datetime | None
    """When its address was last used with the right token. Coarse: written at most every few minutes."""
    broker: Mapping[str, Any] | None = None
    """Where its messages are fetched from; ``None``: they are sent to its address."""
    broker_ref: str | None = None
    """Name of the broker's credentials in the vault."""
    broker_error: str | None = None
    """Why the last fetching failed."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of its kind."""
    credentials_ref: str | None = None
    """Name in the vault of the user name and password that its sender signs in with."""
    old_secret_ref: str | None = None
    old_credentials_ref: str | None = None
    old_secrets_until: datetime | None = None
    """The secrets before the current ones count until then."""
    relay_id: str | None = None
    """The relay at which its messages come in. Its address is closed here then: a token that went over a plant's
    network in the clear opens nothing in the internet."""
    kept_hashes: tuple[str, ...] = ()
    """Of further tokens, which we hand out ourselves: where we register somewhere to be told."""

    @classmethod
    def from_document(cls, document: Document) -> HookSource:
        """The source back from its stored form."""

        def moment(name: str) -> datetime | None:
            return parse_iso(document[name]) if document.get(name) else None

        return cls(
            id=document["id"],
            name=document["name"],
            kind=document["platform"],
            event_name=document.get("eventName"),
            equipment_id=document.get("equipmentId"),
            identical_within_seconds=document.get("identicalWithinSeconds", 0),
            secret_ref=document.get("secretRef"),
            token_hash=document["tokenHash"],
            old_token_hash=document.get("oldTokenHash"),
            old_token_until=moment("oldTokenUntil"),
            created_at=parse_iso(document["createdAt"]),
            created_by=document["createdBy"],
            rotated_at=moment("rotatedAt"),
            expires_at=moment("expiresAt"),
            revoked_at=moment("revokedAt"),
            last_used_at=moment("lastUsedAt"),
            broker=document.get("broker"),
            broker_ref=document.get("brokerRef"),
            broker_error=document.get("brokerError"),
            options=document.get("options") or {},
            credentials_ref=document.get("credentialsRef"),
            old_secret_ref=document.get("oldSecretRef"),
            old_credentials_ref=document.get("oldCredentialsRef"),
            old_secrets_until=moment("oldSecretsUntil"),
            relay_id=document.get("relayId"),
            kept_hashes=tuple(kept["hash"] for kept in document.get("kept", {}).values()),
        )

    def is_open(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def opens(self, token: str, now: datetime) -> bool:
        """Is this the token of its path, the one before while that still counts, or one that we handed out?"""
        given = token_hash(token)
        current = hmac.compare_digest(given, self.token_hash)
        old_counts = self.old_token_until is not None and now < self.old_token_until
        old = hmac.compare_digest(given, self.old_token_hash or NO_HASH)
        kept = [hmac.compare_digest(given, one) for one in self.kept_hashes]
        return self.is_open(now) and (current or (old and old_counts) or any(kept))


def token_hash(token: str) -> str:
    """What is kept of a path's token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
