"""Queues in memory, by the documented rules of Service Bus. No AMQP here; all times are milliseconds since the epoch.

What the service's documentation leaves open was chosen so: abandoning and a lock that runs out raise the delivery
count, deferring does too, releasing does not; the locks of a vanished connection stay until they run out; a scheduled
message takes a new sequence number when it becomes active; a dead letter keeps its number and its enqueued time.
"""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from shared.topology import QueueSpec
from tests.wire.service_bus.encoding import Incoming

__all__ = ["BrokerQueue", "Entry", "LockLost", "NotThere", "State"]


class LockLost(Exception):
    """This lock holds no longer."""


class NotThere(Exception):
    """There is no message of this number."""


class State(IntEnum):
    """The values of ``x-opt-message-state``."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(slots=True, eq=False)
class Entry:
    """A message that the queue holds."""

    sequence: int
    message: Incoming
    enqueued: int
    expires: int
    state: State = State.ACTIVE
    failed: int = 0
    """Deliveries that failed so far."""
    lock: uuid.UUID | None = None
    locked_until: int = 0
    dead: Mapping[str, str] = field(default_factory=dict)
    """``DeadLetterReason`` and ``DeadLetterErrorDescription``, for a dead letter."""

    @property
    def due(self) -> int:
        """When it becomes, or became, active."""
        return self.message.scheduled if self.state is State.SCHEDULED and self.message.scheduled else self.enqueued


@dataclass(eq=False)
class BrokerQueue:
    """One queue, or the dead-letter queue inside it."""

    spec: QueueSpec
    dead_letters: BrokerQueue | None = None
    """``None``: this is the dead-letter queue; nothing expires here and nothing is given up."""
    entries: dict[int, Entry] = field(default_factory=dict)
    ready: list[int] = field(default_factory=list)
    """A heap of sequence numbers; those of settled messages stay until they come to the head."""
    waiting: list[tuple[int, int]] = field(default_factory=list)
    """A heap of (time, sequence number) of scheduled messages."""
    ends: list[tuple[int, int]] = field(default_factory=list)
    """A heap of (time of expiry, sequence number)."""
    locked: dict[uuid.UUID, Entry] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    """Message id and until when it counts as a duplicate, oldest first."""
    last: int = 0

    @classmethod
    def of(cls, spec: QueueSpec) -> BrokerQueue:
        """An empty queue with its dead-letter queue."""
        return cls(spec, dead_letters=cls(spec))

    # Coming in ---------------------------------------------------------------------------------------------------

    def put(self, messages: Sequence[Incoming], now: int, *, copies: int = 1) -> list[int]:
        """Take messages in, duplicates aside; their sequence numbers (of a duplicate: 0)."""
        return [self._put(message, now, copies) for message in messages]

    def _put(self, message: Incoming, now: int, copies: int) -> int:
        if self._is_duplicate(message, now):
            return 0
        for _ in range(copies):
            self.last += 1
            entry = Entry(self.last, message, now, 0)
            self.entries[self.last] = entry
            if message.scheduled is not None and message.scheduled > now:
                entry.state = State.SCHEDULED
                heapq.heappush(self.waiting, (message.scheduled, entry.sequence))
            else:
                self._activate(entry, now)
        return self.last

    def _is_duplicate(self, message: Incoming, now: int) -> bool:
        window = int(self.spec.duplicate_window_seconds * 1000)
        if not window or message.message_id is None:
            return False
        while self.seen and (oldest := next(iter(self.seen))) and self.seen[oldest] <= now:
            del self.seen[oldest]
        if message.message_id in self.seen:
            return True
        self.seen[message.message_id] = now + window
        return False

    def _activate(self, entry: Entry, at: int) -> None:
        entry.state, entry.enqueued = State.ACTIVE, at
        ttl = min(self.spec.ttl_seconds, entry.message.ttl_seconds or self.spec.ttl_seconds)
        entry.expires = at + int(ttl * 1000)
        heapq.heappush(self.ready, entry.sequence)
        heapq.heappush(self.ends, (entry.expires, entry.sequence))

    # Time --------------------------------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Do what is due: scheduled messages, locks that ran out, messages that are too old."""
        for entry in [e for e in self.locked.values() if e.locked_until <= now]:
            self._fail(entry)
        while self.waiting and self.waiting[0][0] <= now:
            due, number = heapq.heappop(self.waiting)
            waiting = self.entries.pop(number, None)
            if waiting is not None:  # else it was cancelled
                self.last += 1
                waiting.sequence = self.last
                self.entries[self.last] = waiting
                self._activate(waiting, due)
        if self.dead_letters is None:
            return
        for number in self._expired(now):
            entry = self.entries[number]
            if self.spec.dead_letter_on_expiry:
                self._bury(entry, "TTLExpiredException", "The message expired and was dead lettered.")
            else:
                del self.entries[number]

    def _expired(self, now: int) -> list[int]:
        gone: list[int] = []
        held: list[tuple[int, int]] = []
        while self.ends and self.ends[0][0] <= now:
            end = heapq.heappop(self.ends)
            entry = self.entries.get(end[1])
            if entry is None:
                continue
            if entry.lock is not None:
                held.append(end)  # who holds it may still finish it
            else:
                gone.append(end[1])
        for end in held:
            heapq.heappush(self.ends, end)
        return gone

    def next_event(self) -> int | None:
        """When the next thing becomes due, as far as is known."""
        moments = [e.locked_until for e in self.locked.values()]
        moments += [heap[0][0] for heap in (self.waiting, self.ends) if heap]
        return min(moments, default=None)

    # Going out ---------------------------------------------------------------------------------------------------

    def take(self, now: int) -> Entry | None:
        """Lock the oldest active message."""
        while self.ready:
            entry = self.entries.get(heapq.heappop(self.ready))
            if entry is not None and entry.lock is None and entry.state is State.ACTIVE:
                return self._lock(entry, now)
        return None

    def take_deferred(self, numbers: Sequence[int], now: int) -> list[Entry]:
        """Lock deferred messages by number, all or none. Raises ``NotThere``."""
        found = [self.entries.get(number) for number in numbers]
        if any(e is None or e.state is not State.DEFERRED or e.lock is not None for e in found):
            raise NotThere
        return [self._lock(e, now) for e in found if e is not None]

    def _lock(self, entry: Entry, now: int) -> Entry:
        entry.lock, entry.locked_until = uuid.uuid4(), now + int(self.spec.lock_seconds * 1000)
        self.locked[entry.lock] = entry
        return entry

    def peek(self, start: int, count: int) -> list[Entry]:
        """Messages of any state from this number on."""
        found = sorted(number for number in self.entries if number >= start)
        return [self.entries[number] for number in found[:count]]

    # Settling; all raise LockLost ---------------------------------------------------------------------------------

    def held(self, lock: uuid.UUID) -> Entry:
        """The message under this lock."""
        try:
            return self.locked[lock]
        except KeyError:
            raise LockLost from None

    def complete(self, lock: uuid.UUID) -> None:
        """Done."""
        entry = self.held(lock)
        del self.locked[lock], self.entries[entry.sequence]

    def abandon(self, lock: uuid.UUID) -> None:
        """Failed."""
        self._fail(self.held(lock))

    def release(self, lock: uuid.UUID) -> None:
        """Given back unread."""
        self._unlock(self.held(lock))

    def defer(self, lock: uuid.UUID) -> None:
        """Put aside; it comes only when it is asked for by number."""
        entry = self.held(lock)
        entry.failed += 1
        entry.state = State.DEFERRED
        self._unlock(entry)

    def dead_letter(self, lock: uuid.UUID, reason: str, description: str) -> None:
        """Given up by the receiver."""
        entry = self.held(lock)
        del self.locked[lock]
        self._bury(entry, reason, description)

    def renew(self, lock: uuid.UUID, now: int) -> int:
        """Hold it for another lock time; until when."""
        entry = self.held(lock)
        entry.locked_until = now + int(self.spec.lock_seconds * 1000)
        return entry.locked_until

    def cancel(self, numbers: Sequence[int]) -> None:
        """Forget scheduled messages, all or none. Raises ``NotThere``."""
        found = [self.entries.get(number) for number in numbers]
        if any(entry is None or entry.state is not State.SCHEDULED for entry in found):
            raise NotThere
        for number in numbers:
            del self.entries[number]

    def _fail(self, entry: Entry) -> None:
        entry.failed += 1
        if self.dead_letters is not None and entry.failed >= self.spec.max_delivery_count:
            if entry.lock is not None:
                del self.locked[entry.lock]
            reason = f"Message could not be consumed after {entry.failed} delivery attempts."
            self._bury(entry, "MaxDeliveryCountExceeded", reason)
        else:
            self._unlock(entry)

    def _unlock(self, entry: Entry) -> None:
        if entry.lock is not None:
            del self.locked[entry.lock]
        entry.lock = None
        if entry.state is State.ACTIVE:
            heapq.heappush(self.ready, entry.sequence)

    def _bury(self, entry: Entry, reason: str, description: str) -> None:
        del self.entries[entry.sequence]
        entry.lock = None
        if self.dead_letters is None:
            return  # given up inside the dead-letter queue: gone
        entry.dead = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
        entry.state = State.ACTIVE
        self.dead_letters.entries[entry.sequence] = entry
        heapq.heappush(self.dead_letters.ready, entry.sequence)

    # Looking -----------------------------------------------------------------------------------------------------

    def count(self, state: str) -> int:
        """``active``, ``scheduled``, ``deferred``, ``locked``, ``dead_lettered`` or ``all``."""
        match state:
            case "all":
                return len(self.entries)
            case "locked":
                return len(self.locked)
            case "dead_lettered":
                return len(self.dead_letters.entries) if self.dead_letters is not None else 0
            case _:
                wanted = State[state.upper()]
                return sum(1 for e in self._all() if e.state is wanted and e.lock is None)

    def _all(self) -> Iterator[Entry]:
        return iter(self.entries.values())
