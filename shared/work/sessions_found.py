"""What a platform tells of a session or a call: the contract between the platforms and the record.

A platform translates its own form into :class:`FoundRecord` and hands it to :meth:`shared.work.sessions.Sessions.take`.
``None`` means "not told": it never takes away what is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from shared.ids import digest_id

__all__ = ["FoundCapture", "FoundRecord", "Kind", "record_id"]

Kind = Literal["session", "call"]
"""``session``: somebody worked through instructions. ``call``: somebody was helped from afar."""


@dataclass(frozen=True, slots=True)
class FoundCapture:
    """A photo, film or document that was made during a session."""

    external_id: str
    """The platform's own id, opaque."""
    kind: str | None = None
    """As the platform calls it: ``PHOTO``."""
    step: str | None = None
    """The name of the step it belongs to."""
    taken_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A session or a call, as a platform tells of it."""

    kind: Kind
    source: str
    """The platform's name."""
    account: str
    """The connection (or hook source) it was heard by: ids count inside it."""
    external_id: str
    """The platform's own id, opaque: it may hold ``/``, ``+`` and ``=``."""
    as_of: datetime
    """When the platform was asked, taken before the question was sent; of a message: when it came in."""
    asked: bool
    """An answer to a question of ours. A message may have been under way for long."""
    version: datetime | None = None
    """When the platform changed it last, where it says so: then this alone decides what is newer."""
    state: str | None = None
    """As told; words that nobody knows are kept."""
    ended: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_seconds: float | None = None
    idle_seconds: float | None = None
    title: str | None = None
    """For people: the name of the instructions, or of who was called."""
    details: Mapping[str, Any] | None = None
    """What else is known of it, small and flat, for people."""
    steps_possible: int | None = None
    steps_viewed: int | None = None
    percent_viewed: float | None = None
    steps: tuple[Mapping[str, Any], ...] | None = None
    """``{"id", "name", "order", "sequence", "completed"}`` each, as far as known."""
    happenings: tuple[Mapping[str, Any], ...] | None = None
    """``{"id", "type", "at", "external_data"}`` each: what was entered or pressed."""
    external_data: Mapping[str, Any] | None = None
    """What the link that began it carried."""
    work_order_id: str | None = None
    equipment_id: str | None = None
    batch_id: str | None = None
    alert_id: str | None = None
    captures: tuple[FoundCapture, ...] | None = None
    gaps: tuple[str, ...] = ()
    """Sentences: what could not be seen of it, and why."""
    told: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """As the platform wrote it, without addresses of files."""

    @property
    def id(self) -> str:
        """The record's id."""
        return record_id(self.kind, self.source, self.account, self.external_id)


def record_id(kind: Kind, source: str, account: str, external_id: str) -> str:
    """The id of a record: the same whenever the same thing is heard of; safe in a path and in any store."""
    return f"{kind}-{digest_id(kind, source, account, external_id)}"
