"""A callback: who wants to be told of what, and how its document looks. No secret is in here (see ``sealed.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.clock import iso, parse_iso
from shared.events import Event
from shared.events.catalogue import EXTERNAL, TEST

__all__ = ["ANY", "Callback", "Credentials", "NewCallback", "State", "vault_name"]

ANY = "*"
"""In place of an event type: whatever happens."""

DEFAULT_RETRIES = 360
"""Retries when the subscriber does not say: an hour at ten seconds, so that a receiver may be updated or restarted."""
MAX_RETRIES = 10_000
DEFAULT_UNCONFIRMED = 100
MAX_UNCONFIRMED = 1_000
"""Each kept notification of a dead receiver costs a try every ten seconds (reference/azure.md section 3.4)."""


class State(StrEnum):
    """How far a registration has come."""

    PREPARING = "preparing"
    """Its secrets are not in the vault yet; left behind only by a process that died."""
    ACTIVE = "active"
    DISABLED = "disabled"
    """New notifications are kept as discarded and can be replayed after it was enabled again."""
    DELETING = "deleting"
    """Gone for everybody; what is left of it is being removed."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How we show a receiver who we are. Lives in the vault; never shows itself."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    bearer: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str | None:
        """``basic``, ``bearer``, ``headers`` or nothing: what may be shown."""
        if self.username is not None:
            return "basic"
        if self.bearer is not None:
            return "bearer"
        return "headers" if self.headers else None


@dataclass(frozen=True, slots=True)
class NewCallback:
    """A callback that is wanted; its words were checked by the surface it came in by."""

    event_type: str
    url: str = field(repr=False)
    event_name: str | None = None
    object_ids: tuple[str, ...] = ()
    max_retries: int = DEFAULT_RETRIES
    max_unconfirmed: int = DEFAULT_UNCONFIRMED
    credentials: Credentials = field(default_factory=Credentials)
    dialect: str = "force"
    """How its notifications are written: a key of the dialects that ``services.py`` plugs in."""
    deliver_via: str | None = None
    """The relay that brings them, for receivers on a plant's own network."""
    ca_certificate: str | None = field(default=None, repr=False)
    """PEM of a CA that the receiver's certificate comes from, beside the system's."""
    severities: tuple[str, ...] = ()
    """Only events of one of these; empty: all, also those that have none."""
    sites: tuple[str, ...] = ()
    """Only events of one of these plants; empty: all."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What the surface that makes it wants to know of it later. Nothing secret."""
    signing_secret: str | None = field(default=None, repr=False)
    """``whsec_...``: sign notifications as Standard Webhooks has it; ``None``: do not."""
    ends_when_missing: bool = False
    """A receiver that answered 404 to every attempt of a notification is gone for good, as if it had said 410."""


@dataclass(frozen=True, slots=True)
class Callback:
    """A registration."""

    id: str
    event_type: str
    event_name: str | None
    object_ids: frozenset[str]
    """Only events about one of these; empty: all."""
    object_filter: tuple[str, ...]
    """The same in the order the subscriber wrote them."""
    url: str
    """As it may be shown: without userinfo, query values masked."""
    origin: str
    authentication: str | None
    max_retries: int
    max_unconfirmed: int
    dialect: str
    state: State
    created_at: datetime
    disabled_reason: str | None = None
    disabled_at: datetime | None = None
    last_triggered_at: datetime | None = None
    last_successful_at: datetime | None = None
    deliver_via: str | None = None
    """The relay that brings its notifications; ``None``: the hub does."""
    ca_sha256: str | None = None
    """Of the PEM text of its own CA, so that the audit log tells which; the text lies with its address."""
    failing_since: datetime | None = None
    """Since when every attempt has failed, once that is more than bad luck; see ``standing.py``."""
    severities: frozenset[str] = frozenset()
    """Only events of one of these; empty: all."""
    sites: frozenset[str] = frozenset()
    """Only events of one of these plants; empty: all."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What the surface that made it keeps with it."""
    ends_when_missing: bool = False
    """Disable it when every attempt of a notification was answered 404."""
    sealed_version: int = 0
    """Which version of what lies in the vault is the newest; grows when its secrets are changed."""

    def wants(self, event: Event) -> bool:
        """Does it want to be told of this event (whose type it is registered for)?

        ``event_name`` is a label that notifications carry; only for EXTERNAL, where senders tell their events apart
        by name, does it select: events of that name, and those without one.
        """
        if self.object_ids and event.object_id not in self.object_ids:
            return False
        if self.severities and event.severity not in self.severities:
            return False
        if self.sites and event.site not in self.sites:
            return False
        return self.event_name is None or event.type != EXTERNAL or event.name in (None, self.event_name)

    def name_for(self, event: Mapping[str, Any]) -> str | None:
        """The event name that a notification of this (stored) event carries."""
        own: str | None = event.get("name")
        if event["type"] in (EXTERNAL, TEST) and own is not None:
            return own
        return self.event_name if self.event_name is not None else own

    def to_document(self) -> dict[str, Any]:
        """The stored form."""
        document: dict[str, Any] = {
            "id": self.id,
            "eventType": self.event_type,
            "objectIds": list(self.object_filter),
            "url": self.url,
            "origin": self.origin,
            "maxRetries": self.max_retries,
            "maxUnconfirmed": self.max_unconfirmed,
            "dialect": self.dialect,
            "state": self.state.value,
            "createdAt": iso(self.created_at),
        }
        optional = {
            "eventName": self.event_name,
            "authentication": self.authentication,
            "deliverVia": self.deliver_via,
            "caSha256": self.ca_sha256,
            "severities": sorted(self.severities) or None,
            "sites": sorted(self.sites) or None,
            "about": dict(self.about) or None,
            "endsWhenMissing": self.ends_when_missing or None,
            "sealedVersion": self.sealed_version or None,
        }
        for key, value in optional.items():
            if value is not None:
                document[key] = value
        return document

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Callback:
        """The registration back from its stored form."""
        object_filter = tuple(document.get("objectIds", ()))
        return cls(
            id=document["id"],
            event_type=document["eventType"],
            event_name=document.get("eventName"),
            object_ids=frozenset(object_filter),
            object_filter=object_filter,
            url=document["url"],
            origin=document["origin"],
            authentication=document.get("authentication"),
            max_retries=document["maxRetries"],
            max_unconfirmed=document["maxUnconfirmed"],
            dialect=document["dialect"],
            state=State(document["state"]),
            created_at=parse_iso(document["createdAt"]),
            disabled_reason=document.get("disabledReason"),
            disabled_at=_time(document.get("disabledAt")),
            last_triggered_at=_time(document.get("lastTriggeredAt")),
            last_successful_at=_time(document.get("lastSuccessfulAt")),
            deliver_via=document.get("deliverVia"),
            ca_sha256=document.get("caSha256"),
            failing_since=_time(document.get("failingSince")),
            severities=frozenset(document.get("severities", ())),
            sites=frozenset(document.get("sites", ())),
            about=document.get("about", {}),
            ends_when_missing=document.get("endsWhenMissing", False),
            sealed_version=document.get("sealedVersion", 0),
        )


def vault_name(callback_id: str) -> str:
    """Where its target and credentials are kept."""
    return f"cb-{callback_id}"


def _time(text: str | None) -> datetime | None:
    return parse_iso(text) if text else None
