"""The queue against a list: random sends and receipts, time passing, the file closed and opened again in between.

Windows are made tiny, so that most messages stand behind the horizon and are loaded later.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.clock import ManualClock
from shared.messaging import Outgoing, Received
from shared.messaging import sqlite_backlog as backlog_module
from shared.messaging import sqlite_table as table_module
from shared.messaging.sqlite import SqliteQueue
from shared.sqlite_file import SqliteFile
from shared.topology import topology

Q = "relay-ingest"
SPEC = topology().queues[Q]
START = datetime(2026, 11, 21, 10, tzinfo=UTC)


@dataclass(eq=False)
class Expected:
    """A message of the model."""

    id: str
    due: datetime
    sequence: int
    deliveries: int = 0
    locked_until: datetime | None = None
    received: Received | None = None


class QueueMachine(RuleBasedStateMachine):
    """``relay-ingest``: ten deliveries, an hour of duplicate detection."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = [patch.object(m, "WINDOW", 3) for m in (backlog_module, table_module)]
        for one in self.patches:
            one.start()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock(START)
        self.runner = asyncio.Runner()
        self.waiting: list[Expected] = []
        self.dead: list[Expected] = []
        self.seen: dict[str, datetime] = {}
        self.sequence = 0
        self.open()

    def open(self) -> None:
        self.queue = SqliteQueue(SqliteFile.open(self.folder / "x.db"), self.clock)

    def teardown(self) -> None:
        self.runner.run(self.queue.close())
        self.runner.close()
        shutil.rmtree(self.folder)
        for one in self.patches:
            one.stop()

    def ready(self) -> list[Expected]:
        now = self.clock.now()
        for one in self.waiting:
            if one.locked_until is not None and one.locked_until <= now:
                one.locked_until = None
        free = [m for m in self.waiting if m.locked_until is None and m.due <= now]
        for one in [m for m in free if m.due + timedelta(seconds=SPEC.ttl_seconds) <= now or m.deliveries >= 10]:
            free.remove(one)
            self.waiting.remove(one)
            self.dead.append(one)
        return sorted(free, key=lambda m: (m.due, m.sequence))

    @rule(ids=st.lists(st.integers(0, 12), min_size=1, max_size=6), delay=st.sampled_from([0, 0, 0, 5, 60, 600]))
    def send(self, ids: list[int], delay: int) -> None:
        now = self.clock.now()
        at = now + timedelta(seconds=delay)
        self.runner.run(self.queue.send(Q, [Outgoing(b"x", f"m{n}", at=at if delay else None) for n in ids]))
        for n in ids:
            self.sequence += 1
            if self.seen.get(f"m{n}", now) > now:
                continue
            self.seen[f"m{n}"] = now + timedelta(seconds=SPEC.duplicate_window_seconds)
            self.waiting.append(Expected(f"m{n}", at, self.sequence))

    @rule(limit=st.integers(1, 5))
    def receive(self, limit: int) -> None:
        ready = self.ready()
        expected = ready[:limit]
        if not expected:
            return
        received = self.runner.run(self.receive_all(len(expected)))
        assert [(r.message_id, r.delivery_count) for r in received] == [(e.id, e.deliveries + 1) for e in expected]
        for one, got in zip(expected, received, strict=True):
            one.deliveries += 1
            one.locked_until = self.clock.now() + timedelta(seconds=SPEC.lock_seconds)
            one.received = got

    async def receive_all(self, wanted: int) -> list[Received]:
        """Behind the horizon it takes more than one look."""
        received: list[Received] = []
        async with asyncio.timeout(5):
            while len(received) < wanted:
                received += await self.queue.receive(Q, wanted - len(received))
        return received

    def locked(self) -> list[Expected]:
        self.ready()
        return [m for m in self.waiting if m.locked_until is not None]

    @rule(which=st.integers(0, 9))
    def complete(self, which: int) -> None:
        if locked := self.locked():
            one = locked[which % len(locked)]
            assert one.received is not None
            self.runner.run(self.queue.complete(Q, one.received))
            self.waiting.remove(one)

    @rule(which=st.integers(0, 9))
    def abandon(self, which: int) -> None:
        if locked := self.locked():
            one = locked[which % len(locked)]
            assert one.received is not None
            self.runner.run(self.queue.abandon(Q, one.received))
            one.locked_until = None
            if one.deliveries >= SPEC.max_delivery_count:
                self.waiting.remove(one)
                self.dead.append(one)

    @rule(which=st.integers(0, 9))
    def give_up(self, which: int) -> None:
        if locked := self.locked():
            one = locked[which % len(locked)]
            assert one.received is not None
            self.runner.run(self.queue.dead_letter(Q, one.received, "because"))
            self.waiting.remove(one)
            self.dead.append(one)

    @rule(seconds=st.sampled_from([0.5, 5, 60, 3600]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def reopen(self) -> None:
        """Locks are gone with the process; deliveries are remembered."""
        self.runner.run(self.queue.close())
        self.open()
        for one in self.waiting:
            one.locked_until = None

    @rule()
    def forget(self) -> None:
        self.queue._file.prepare(self.queue._forget)

    @invariant()
    def the_depth_is_right(self) -> None:
        ready = self.ready()
        depth = self.runner.run(self.queue.depth(Q))
        locked = len(self.locked())
        assert (depth.active, depth.locked) == (len(ready), locked)
        assert depth.scheduled == len(self.waiting) - len(ready) - locked
        assert depth.dead_lettered == len(self.dead)
        assert depth.oldest_active == (ready[0].due if ready else None)

    @invariant()
    def the_dead_are_known(self) -> None:
        self.ready()
        dead = self.runner.run(self.queue.dead_letters(Q, 100))
        assert sorted(d.message.message_id for d in dead) == sorted(m.id for m in self.dead)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
