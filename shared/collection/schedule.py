"""When every device is due: pure arithmetic on the clock, no state, no ``nextPollAt`` anywhere.

A device is due at ``phase + k * interval`` since the epoch, ``phase = blake2b(id) mod interval``: devices are spread
evenly over the interval whatever their ids, and every planner, now or after a restart, finds the same instants.
All times here are whole milliseconds since the epoch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

from shared import json_text
from shared.errors import InvalidInput

__all__ = ["BATCH_SIZE", "TICK_MS", "Batch", "Lane", "Poll", "batches", "due_between", "from_ms", "to_ms", "window"]

TICK_MS = 5_000
"""The planner's timer fires this often."""

EARLY_MS = 1_000
"""A timer may fire so much early and still means the tick it was set for."""

BATCH_SIZE = 50
"""Most devices in one message."""

STEADY_QUANTUM_MS = 1_000
"""Devices due within the same second share a message; the worker spreads them over that second."""

MOST_FAILING_BATCHES = 4
"""Most messages of failing devices a tick. A batch of hanging devices holds a worker for a whole deadline; at four a
tick and 20 s they hold 16 of the 64 workers, however many devices hang."""

Lane = Literal["steady", "failing"]
"""``failing`` devices travel apart, so that a hanging one never sits in a message with a sound one."""


@dataclass(frozen=True, slots=True)
class Poll:
    """One device at one instant."""

    equipment_id: str
    due: int
    """Milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one queue message carries: ids and instants, no secrets."""

    lane: Lane
    at: int
    """When the message becomes visible."""
    number: int
    polls: tuple[Poll, ...]

    @property
    def message_id(self) -> str:
        """The same for the same instant, whoever plans it: a doubled tick is dropped by duplicate detection."""
        return f"poll:{self.lane}:{self.at}:{self.number}"

    def to_body(self) -> bytes:
        """The message."""
        return json_text.dump(
            {"lane": self.lane, "at": self.at, "polls": [[p.equipment_id, p.due] for p in self.polls]}
        )

    @classmethod
    def from_body(cls, body: bytes) -> Batch:
        """The batch back from its message. Raises ``InvalidInput`` when it is none."""
        value = json_text.load_foreign(body)
        try:
            lane: Lane = "failing" if value["lane"] == "failing" else "steady"
            return cls(lane, int(value["at"]), 0, tuple(Poll(str(i), int(due)) for i, due in value["polls"]))
        except (KeyError, TypeError, ValueError) as err:
            raise InvalidInput(
                "This is no batch of polls: `lane`, `at` and `polls` are expected.", field="body"
            ) from err


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch, rounded down."""
    return int(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """The moment, aware, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@lru_cache(maxsize=200_000)
def _phase(equipment_id: str, interval_ms: int) -> int:
    return int.from_bytes(blake2b(equipment_id.encode(), digest_size=8).digest()) % interval_ms


def due_between(equipment_id: str, interval_seconds: int, start: int, end: int) -> int | None:
    """The instant in ``start <= t < end`` at which the device is due; the latest, should there be several."""
    interval = interval_seconds * 1000
    last = end - 1 - (end - 1 - _phase(equipment_id, interval)) % interval
    return last if last >= start else None


def window(now: datetime, planned_until: int | None) -> tuple[int, int]:
    """What the tick at ``now`` has to plan: ``start <= t < end``.

    A tick plans the *next* tick's time, so that a timer that is late by less than a tick makes no poll late. It
    plans its own time too unless this process did so before: after a missed tick or a restart that is the catching
    up, at most one poll per device because the whole is two ticks long and no interval is shorter. Messages that were
    sent before carry the same id and are dropped by the queue.
    """
    tick = (to_ms(now) + EARLY_MS) // TICK_MS * TICK_MS
    end = tick + 2 * TICK_MS
    if planned_until is None or planned_until > end + TICK_MS:  # after a restart, or the clock was set back
        return tick, end
    return max(tick, planned_until), end


def batches(polls: Iterable[Poll], lane: Lane) -> list[Batch]:
    """Messages for these polls, at most ``BATCH_SIZE`` devices each, visible when their first device is due.

    Failing devices are gathered over a whole tick and come at its end: few messages, and never before the back-off
    ran out. Those that do not fit wait for their next turn.
    """
    quantum = STEADY_QUANTUM_MS if lane == "steady" else TICK_MS
    groups: defaultdict[int, list[Poll]] = defaultdict(list)
    for poll in polls:
        groups[poll.due // quantum * quantum].append(poll)
    result: list[Batch] = []
    for begin, group in sorted(groups.items()):
        if lane == "steady":
            group.sort(key=lambda p: (p.due, p.equipment_id))
        at = begin if lane == "steady" else begin + quantum
        result.extend(Batch(lane, at, number, tuple(part)) for number, part in enumerate(_parts(group, BATCH_SIZE)))
    return result if lane == "steady" else _at_most(result, MOST_FAILING_BATCHES)


def _parts(polls: Sequence[Poll], size: int) -> list[Sequence[Poll]]:
    return [polls[i : i + size] for i in range(0, len(polls), size)]


def _at_most(result: list[Batch], count: int) -> list[Batch]:
    return [batch for batch in result if batch.number < count]
