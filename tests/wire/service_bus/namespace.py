"""The namespace: queues, time, rights, faults. Everything here happens in the server's own thread."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from proton import Condition, symbol

from shared.clock import Clock, SystemClock
from shared.topology import QueueSpec
from tests.wire.service_bus.broker import BrokerQueue, Entry
from tests.wire.service_bus.connection import Peer
from tests.wire.service_bus.encoding import Incoming, header, message_annotations
from tests.wire.service_bus.faults import Faults, Operations
from tests.wire.service_bus.management import Management
from tests.wire.service_bus.tokens import Keys

__all__ = ["Namespace"]

RECHECK_SECONDS = 0.01
"""A clock that is moved by hand tells nobody: so often the server looks at it."""

LONGEST_WAIT = 1.0


@dataclass(eq=False)
class Namespace:
    """What all connections share."""

    specs: Iterable[QueueSpec]
    clock: Clock
    max_message_size: int
    keys: Keys = field(default_factory=Keys)
    host: str = "localhost"
    omit_info: bool = False
    """Leave ``info`` out of errors: azure-servicebus 7.15 then hangs on a rejected send."""
    refuse_without_terminus: bool = True
    """Refuse a link as the specification says, with an attach that has no source and target, then a detach with the
    error. Otherwise source and target are echoed before the detach."""
    offset: float = 0.0
    """Seconds that the clock was moved on by :meth:`ServiceBusServer.advance`."""
    send_limit: int | None = None
    """Messages that one queue takes per second; beyond it: server busy. ``None``: no limit."""
    denied: set[tuple[str, str | None]] = field(default_factory=set)
    """(right, queue or ``None`` for all) that nobody has now."""
    faults: Faults = field(default_factory=Faults)
    operations: Operations = field(default_factory=Operations)
    peers: set[Peer] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.queues = {spec.name: BrokerQueue.of(spec) for spec in self.specs}
        self.management = Management(self)
        self._sent: dict[str, list[float]] = defaultdict(list)
        self._timer: asyncio.TimerHandle | None = None
        self._soon = False

    # Time --------------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """The namespace's time, in milliseconds since the epoch."""
        return round((self.clock.now().timestamp() + self.offset) * 1000)

    def machine_time(self) -> float:
        """The machine's time, in seconds: the SDK judges tokens and locks by it."""
        return time.time()

    def as_machine_time(self, moment: int) -> int:
        """The end of a lock as the SDK must hear it. It compares with the machine's clock, whatever ours says."""
        return round(self.machine_time() * 1000) + moment - self.now()

    def tick(self) -> None:
        """Do what is due, then wait for what is due next."""
        now = self.now()
        for queue in self.queues.values():
            queue.tick(now)
        for peer in tuple(self.peers):
            peer.pump_all()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._pause(now), self.tick)

    def _pause(self, now: int) -> float:
        if not isinstance(self.clock, SystemClock):
            return RECHECK_SECONDS
        moments = [m for queue in self.queues.values() if (m := queue.next_event()) is not None]
        return min(LONGEST_WAIT, max(0.001, (min(moments) - now) / 1000)) if moments else LONGEST_WAIT

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()
        for peer in tuple(self.peers):
            peer.cut()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Do something after so many seconds of the machine's time."""

        def then() -> None:
            call()
            self.tick()

        asyncio.get_running_loop().call_later(seconds, then)

    # Messages ----------------------------------------------------------------------------------------------------

    def queue(self, name: str, *, dead: bool) -> BrokerQueue:
        """A queue as it is now, or its dead-letter queue."""
        found = self.queues[name]
        found.tick(self.now())
        return found.dead_letters if dead and found.dead_letters is not None else found

    def put(self, name: str, messages: Sequence[Incoming], *, copies: int = 1) -> list[int]:
        """Take messages in."""
        return self.queues[name].put(messages, self.now(), copies=copies)

    def pump_soon(self) -> None:
        """Whoever waits for messages gets them, after what is being done now."""
        if not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._pump_now)

    def _pump_now(self) -> None:
        self._soon = False
        self.tick()

    def encode(self, name: str, entry: Entry) -> bytes:
        """The message as a receiver gets it."""
        annotations: dict[str, str | int | datetime] = dict(entry.message.annotations)
        annotations["x-opt-sequence-number"] = entry.sequence
        annotations["x-opt-enqueued-time"] = _time(entry.enqueued)
        annotations["x-opt-message-state"] = int(entry.state)
        if entry.message.scheduled is not None:
            annotations["x-opt-scheduled-enqueue-time"] = _time(entry.message.scheduled)
        if entry.lock is not None:
            annotations["x-opt-locked-until"] = _time(self.as_machine_time(entry.locked_until))
        bare = entry.message.bare
        if entry.dead:
            annotations["x-opt-deadletter-source"] = name
            bare = entry.message.with_properties(entry.dead)
        return header(entry.failed, entry.message.ttl_seconds) + message_annotations(annotations) + bare

    # Saying no ---------------------------------------------------------------------------------------------------

    def error(self, condition: str, text: str) -> Condition:
        """An error as the service words it, with ``info`` unless the switch says otherwise."""
        info: Any = None if self.omit_info else {symbol("tracking-id"): "0000"}
        return Condition(condition, f"{text} TrackingId:0000", info)

    def rights(self, queue: str) -> set[str]:
        """What anybody with a good token may do with this queue now."""
        return {r for r in ("Send", "Listen") if (r, None) not in self.denied and (r, queue) not in self.denied}

    def over_send_limit(self, name: str, messages: int) -> bool:
        """Is this one too many within a second of the machine's time?"""
        if self.send_limit is None:
            return False
        now = time.monotonic()
        recent = [moment for moment in self._sent[name] if moment > now - 1]
        over = len(recent) + messages > self.send_limit
        self._sent[name] = recent if over else recent + [now] * messages
        return over


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
