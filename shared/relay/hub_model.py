"""A relay as the hub knows it: who it is, and what its heartbeats told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import ValidationError

from shared.clock import iso, parse_iso
from shared.events import Event
from shared.relay.messages import Heartbeat
from shared.storage import Document

__all__ = ["SILENT_AFTER", "CommandsBy", "Doubted", "Key", "Refused", "Relay", "Standing"]

SILENT_AFTER = timedelta(minutes=3)
"""Without a heartbeat for so long a relay is silent: six of them are missing."""

Standing = Literal["never_seen", "online", "silent"]
CommandsBy = Literal["http", "queue"]


@dataclass(frozen=True, slots=True)
class Key:
    """A key that the relay signs with, or signed with. Its value is in the vault."""

    id: str
    until: datetime | None = None
    """It was replaced: what came into the queue later is not believed. ``None``: in use."""

    def to_document(self) -> Document:
        """The stored form."""
        return {"id": self.id} | ({} if self.until is None else {"until": iso(self.until)})

    @classmethod
    def from_document(cls, document: Document) -> Key:
        """Back from its stored form."""
        return cls(document["id"], parse_iso(document["until"]) if document.get("until") else None)


@dataclass(frozen=True, slots=True)
class Doubted:
    """Batches in the name of this relay that it did not sign."""

    count: int = 0
    last_at: datetime | None = None
    last_reason: str | None = None
    told_on: str | None = None
    """The day of the last entry in the audit log: one a day."""
    counted: tuple[str, ...] = ()
    """Messages that are in the count: each is delivered several times before it is given up."""

    def to_document(self) -> Document:
        """The stored form."""
        return {
            "count": self.count,
            "lastAt": iso(self.last_at) if self.last_at is not None else None,
            "lastReason": self.last_reason,
            "toldOn": self.told_on,
            "counted": list(self.counted),
        }

    @classmethod
    def from_document(cls, document: Document) -> Doubted:
        """Back from its stored form."""
        return cls(
            count=document["count"],
            last_at=parse_iso(document["lastAt"]) if document.get("lastAt") else None,
            last_reason=document.get("lastReason"),
            told_on=document.get("toldOn"),
            counted=tuple(document.get("counted", ())),
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """Readings that a relay sent and that were not taken."""

    count: int = 0
    last_at: datetime | None = None
    last_equipment_id: str | None = None
    last_reason: str | None = None
    machines: tuple[str, ...] = ()
    """Those that stand in the audit log already."""
    counted: tuple[str, ...] = ()
    """Batches whose refused readings are in the count: a batch that comes again is not counted again."""

    def to_document(self) -> Document:
        """The stored form."""
        return {
            "count": self.count,
            "lastAt": iso(self.last_at) if self.last_at is not None else None,
            "lastEquipmentId": self.last_equipment_id,
            "lastReason": self.last_reason,
            "machines": list(self.machines),
            "counted": list(self.counted),
        }

    @classmethod
    def from_document(cls, document: Document) -> Refused:
        """Back from its stored form."""
        return cls(
            count=document["count"],
            last_at=parse_iso(document["lastAt"]) if document.get("lastAt") else None,
            last_equipment_id=document.get("lastEquipmentId"),
            last_reason=document.get("lastReason"),
            machines=tuple(document.get("machines", ())),
            counted=tuple(document.get("counted", ())),
        )


@dataclass(frozen=True, slots=True)
class Relay:
    """One relay."""

    id: str
    name: str
    site: str | None
    created_at: datetime
    created_by: str
    token_id: str | None = None
    """Of the token that was given out last."""
    commands_by: CommandsBy = "http"
    """How it hears of commands: by long poll, or by its queue."""
    keys: tuple[Key, ...] = ()
    """What its batches in the queue may be signed with, the newest last."""
    heartbeat: Heartbeat | None = None
    """The last one."""
    heartbeat_at: datetime | None = None
    """When it came, by our clock."""
    silent_since: datetime | None = None
    """Noticed, and told: nothing came since then. :meth:`standing` may know it earlier."""
    refused: Refused = Refused()
    doubted: Doubted = Doubted()
    certificates_told: tuple[str, ...] = ()
    """Which warnings about its certificates were told: name, end and days."""
    untold: tuple[Event, ...] = field(default=())
    """Events that are written down and not published yet."""

    def standing(self, now: datetime) -> Standing:
        """What a person should see."""
        if self.heartbeat_at is None:
            return "never_seen"
        return "silent" if now - self.heartbeat_at > SILENT_AFTER else "online"

    @property
    def clock_offset_seconds(self) -> float | None:
        """How far its clock was ahead of ours at the last heartbeat, the way included."""
        if self.heartbeat is None or self.heartbeat_at is None:
            return None
        return round((self.heartbeat.at - self.heartbeat_at).total_seconds(), 1)

    def to_document(self) -> Document:
        """The stored form."""
        document: Document = {
            "id": self.id,
            "name": self.name,
            "createdAt": iso(self.created_at),
            "createdBy": self.created_by,
        }
        parts: dict[str, Any] = {
            "site": self.site,
            "tokenId": self.token_id,
            "heartbeat": self.heartbeat.model_dump(mode="json") if self.heartbeat is not None else None,
            "heartbeatAt": iso(self.heartbeat_at) if self.heartbeat_at is not None else None,
            "silentSince": iso(self.silent_since) if self.silent_since is not None else None,
            "commandsBy": self.commands_by if self.commands_by != "http" else None,
            "keys": [key.to_document() for key in self.keys] or None,
            "refused": self.refused.to_document() if self.refused.count else None,
            "doubted": self.doubted.to_document() if self.doubted.count else None,
            "certificatesTold": list(self.certificates_told) or None,
            "untold": [event.to_document() for event in self.untold] or None,
        }
        return document | {key: value for key, value in parts.items() if value is not None}

    @classmethod
    def from_document(cls, document: Document) -> Relay:
        """Back from its stored form."""

        def moment(name: str) -> datetime | None:
            return parse_iso(document[name]) if document.get(name) else None

        refused, doubted = document.get("refused"), document.get("doubted")
        return cls(
            id=document["id"],
            name=document["name"],
            site=document.get("site"),
            created_at=parse_iso(document["createdAt"]),
            created_by=document["createdBy"],
            token_id=document.get("tokenId"),
            commands_by=document.get("commandsBy", "http"),
            keys=tuple(Key.from_document(key) for key in document.get("keys", ())),
            heartbeat=_heartbeat(document.get("heartbeat")),
            heartbeat_at=moment("heartbeatAt"),
            silent_since=moment("silentSince"),
            refused=Refused.from_document(refused) if refused is not None else Refused(),
            doubted=Doubted.from_document(doubted) if doubted is not None else Doubted(),
            certificates_told=tuple(document.get("certificatesTold", ())),
            untold=tuple(Event.from_document(event) for event in document.get("untold", ())),
        )


def _heartbeat(stored: Any) -> Heartbeat | None:
    try:
        return Heartbeat.model_validate(stored) if stored is not None else None
    except ValidationError:
        return None  # of a newer hub that was taken back; the next one comes within half a minute
