"""Registrations: those that a server has, those that we want, and how they differ. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.clock import parse_iso
from shared.platforms.force_bridge.options import DeclaredRegistration

__all__ = ["AS_DOCUMENTED", "AS_RECORDED", "SPELLINGS", "Differences", "Registered", "Wanted", "compare"]

AS_RECORDED = "maxRedeliveryAttempts"
AS_DOCUMENTED = "maxRedeliverAttempts"
SPELLINGS = (AS_RECORDED, AS_DOCUMENTED)
"""Of the retry count: what servers were seen to answer comes first, the chapter's own second."""
ON_THE_WAY = timedelta(seconds=60)
"""So long a notification may be without success before it counts as failing."""

Key = tuple[str, str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A registration that there should be."""

    declared: DeclaredRegistration
    url: str = field(repr=False)

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.declared.event_type, self.url, frozenset(self.declared.object_ids)

    def body(self, spelling: str) -> dict[str, Any]:
        """Of ``POST callbacks``."""
        said = self.declared
        body: dict[str, Any] = {"eventType": said.event_type, "url": self.url}
        if said.object_ids:
            body["objectFilter"] = [{"name": "id", "value": value} for value in said.object_ids]
        if said.event_name is not None:
            body["eventName"] = said.event_name
        return body | {spelling: said.attempts, "maxUnconfirmedMessages": said.unconfirmed}


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration that a server has."""

    id: str
    event_type: str
    url: str = field(repr=False)
    object_ids: frozenset[str]
    event_name: str | None
    attempts: int | None
    """``None``: it tells none, or no number."""
    unconfirmed: int | None
    created: str
    triggered: datetime | None
    successful: datetime | None

    @property
    def key(self) -> Key:
        """See :class:`Wanted`."""
        return self.event_type, self.url, self.object_ids

    def failing(self, now: datetime) -> bool:
        """Is it told of, and not taken?"""
        if self.triggered is None or now - self.triggered < ON_THE_WAY:
            return False
        return self.successful is None or self.successful < self.triggered

    @classmethod
    def read(cls, item: Any) -> Registered | None:
        """Of a server's answer; ``None``: it is none."""
        said = item.get("properties") if isinstance(item, dict) else None
        if not isinstance(said, dict) or not isinstance(said.get("id"), str) or not said["id"]:
            return None
        filters = said.get("objectFilter")
        ids = [one.get("value") for one in filters if isinstance(one, dict)] if isinstance(filters, list) else []
        attempts = _whole(said.get(AS_RECORDED))
        return cls(
            id=said["id"],
            event_type=str(said.get("eventType") or ""),
            url=str(said.get("url") or ""),
            object_ids=frozenset(str(one) for one in ids if one),
            event_name=said.get("eventName") or None,
            attempts=attempts if attempts is not None else _whole(said.get(AS_DOCUMENTED)),
            unconfirmed=_whole(said.get("maxUnconfirmedMessages")),
            created=str(said.get("creationDate") or ""),
            triggered=_moment(said.get("lastTriggeredDate")),
            successful=_moment(said.get("lastSuccessfulDate")),
        )

    def drifted(self, wanted: Wanted, *, attempts_heeded: bool) -> bool:
        """Is it other than declared? ``attempts_heeded``: does the server keep the retry count at all?"""
        said = wanted.declared
        if attempts_heeded and self.attempts != said.attempts:
            return True
        return (self.unconfirmed is not None and self.unconfirmed != said.unconfirmed) or (
            self.event_name != said.event_name
        )


@dataclass(frozen=True, slots=True)
class Differences:
    """What is to be done."""

    missing: tuple[Wanted, ...]
    drifted: tuple[tuple[Wanted, Registered], ...]
    """To be registered anew; then the old one goes."""
    surplus: tuple[Registered, ...]
    kept: Mapping[str, Wanted]
    """Ids of those that are as they should be."""


def compare(
    wanted: Sequence[Wanted],
    found: Iterable[Registered],
    *,
    ours: Mapping[str, bool],
    attempts_heeded: bool,
) -> Differences:
    """``ours``: by id, whether we made it: nothing else is ever deleted."""
    by_key: dict[Key, list[Registered]] = {}
    for one in found:
        by_key.setdefault(one.key, []).append(one)
    missing: list[Wanted] = []
    drifted: list[tuple[Wanted, Registered]] = []
    surplus: list[Registered] = []
    kept: dict[str, Wanted] = {}
    for want in {w.key: w for w in wanted}.values():
        # Oldest first: whoever looks keeps the same one.
        there = sorted(by_key.pop(want.key, ()), key=lambda r: (r.created, r.id))
        good = [one for one in there if not one.drifted(want, attempts_heeded=attempts_heeded)]
        if good:
            kept[good[0].id] = want
            surplus += [one for one in there if one is not good[0] and ours.get(one.id)]
        elif there:
            mine = [one for one in there if ours.get(one.id)]
            if mine:
                drifted.append((want, mine[0]))
                surplus += mine[1:]
            else:
                kept[there[0].id] = want  # somebody else's, with another count: it tells us all the same
        else:
            missing.append(want)
    surplus += [one for rest in by_key.values() for one in rest if ours.get(one.id)]
    return Differences(tuple(missing), tuple(drifted), tuple(surplus), kept)


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value.strip()[:9])
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(value: Any) -> datetime | None:
    try:
        return parse_iso(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
