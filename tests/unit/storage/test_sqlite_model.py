"""The store against a dictionary: random writes, time passing, the file closed and opened again in between."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.clock import ManualClock
from shared.errors import Conflict, NotFound, OvenbridgeError, PreconditionFailed
from shared.sqlite_file import SqliteFile
from shared.storage import (
    BatchOperation,
    Create,
    Delete,
    Document,
    Equals,
    Increment,
    Patch,
    PatchOperation,
    Query,
    Range,
    Replace,
    SetPath,
    Stored,
    every,
)
from shared.storage.sqlite import SqliteStore

IDS = st.sampled_from(["a", "b", "c", "d"])
DAYS = st.sampled_from(["1", "2"])
TTLS = st.sampled_from([None, -1, 10, 100])
TIMES = st.sampled_from(["t1", "t2", "t3", None, 5])
ETAGS = st.sampled_from(["any", "right", "wrong"])


def document(id: str, day: str, ts: Any, ttl: int | None, n: int = 0) -> Document:
    made: Document = {"id": id, "equipmentId": "oven", "day": day, "n": n}
    if ts is not None:
        made["ts"] = ts
    if ttl is not None:
        made["ttl"] = ttl
    return made


class StoreMachine(RuleBasedStateMachine):
    """``readings`` with its hierarchical key, order and time to live."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock(datetime(2026, 11, 21, 10, tzinfo=UTC))
        self.runner = asyncio.Runner()
        self.known: dict[tuple[str, str], tuple[Document, str, float | None]] = {}
        self.open()

    def open(self) -> None:
        self.store = SqliteStore(SqliteFile.open(self.folder / "x.db"), self.clock)

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    # The model ---------------------------------------------------------------------------------------------------

    def now(self) -> float:
        return self.clock.now().timestamp()

    def alive(self) -> dict[tuple[str, str], tuple[Document, str, float | None]]:
        return {k: v for k, v in self.known.items() if v[2] is None or v[2] > self.now()}

    def end_of(self, made: Document) -> float | None:
        ttl = made.get("ttl", 7_776_000)
        return None if ttl == -1 else self.now() + ttl

    def attempt(self, call: Any) -> Any:
        try:
            return self.runner.run(call)
        except OvenbridgeError as err:
            return type(err)

    def etag(self, key: tuple[str, str], choice: str) -> str | None:
        if choice == "any":
            return None
        there = self.alive().get(key)
        return "wrong" if choice == "wrong" or there is None else there[1]

    def expect(self, key: tuple[str, str], etag: str | None) -> type[OvenbridgeError] | None:
        there = self.alive().get(key)
        if there is None:
            return NotFound
        return PreconditionFailed if etag is not None and etag != there[1] else None

    def keep(self, outcome: Any, made: Document) -> None:
        assert isinstance(outcome, Stored)
        assert outcome.document == made
        self.known[made["day"], made["id"]] = (made, outcome.etag, self.end_of(made))

    # The steps ---------------------------------------------------------------------------------------------------

    @initialize(n=st.integers(0, 3))
    def begin(self, n: int) -> None:
        for position in range(n):
            self.create("abcd"[position], "1", "t1", None)

    @rule(id=IDS, day=DAYS, ts=TIMES, ttl=TTLS)
    def create(self, id: str, day: str, ts: Any, ttl: int | None) -> None:
        made = document(id, day, ts, ttl)
        outcome = self.attempt(self.store.create("readings", made))
        if (day, id) in self.alive():
            assert outcome is Conflict
        else:
            self.keep(outcome, made)

    @rule(id=IDS, day=DAYS, ts=TIMES, ttl=TTLS)
    def upsert(self, id: str, day: str, ts: Any, ttl: int | None) -> None:
        made = document(id, day, ts, ttl, 7)
        self.keep(self.attempt(self.store.upsert("readings", made)), made)

    @rule(id=IDS, day=DAYS, ts=TIMES, ttl=TTLS, choice=ETAGS)
    def replace(self, id: str, day: str, ts: Any, ttl: int | None, choice: str) -> None:
        made = document(id, day, ts, ttl, 3)
        etag = self.etag((day, id), choice)
        error = self.expect((day, id), etag)
        outcome = self.attempt(self.store.replace("readings", made, etag=etag))
        if error is None:
            self.keep(outcome, made)
        else:
            assert outcome is error

    @rule(id=IDS, day=DAYS, ts=TIMES, choice=ETAGS, when=st.sampled_from([{}, {"n": 0}]))
    def patch(self, id: str, day: str, ts: Any, choice: str, when: dict[str, Any]) -> None:
        etag = self.etag((day, id), choice)
        error = self.expect((day, id), etag)
        if error is None and when and self.known[day, id][0]["n"] != 0:
            error = PreconditionFailed
        operations: list[PatchOperation] = [Increment("n"), *([SetPath("ts", ts)] if ts is not None else [])]
        outcome = self.attempt(self.store.patch("readings", ("oven", day), id, operations, etag=etag, when=when))
        if error is None:
            made = {**self.known[day, id][0]}
            made["n"] += 1
            if ts is not None:
                made["ts"] = ts
            self.keep(outcome, made)
        else:
            assert outcome is error

    @rule(id=IDS, day=DAYS, choice=ETAGS)
    def delete(self, id: str, day: str, choice: str) -> None:
        etag = self.etag((day, id), choice)
        error = self.expect((day, id), etag)
        outcome = self.attempt(self.store.delete("readings", ("oven", day), id, etag=etag))
        assert outcome is error
        if error is None:
            del self.known[day, id]

    @rule(
        day=DAYS, ids=st.lists(IDS, min_size=1, max_size=4), kinds=st.lists(st.integers(0, 3), min_size=4, max_size=4)
    )
    def batch(self, day: str, ids: list[str], kinds: list[int]) -> None:
        """The model does it on a copy, one by one."""
        before = dict(self.known)
        operations: list[BatchOperation] = []
        error: Any = None
        results: list[Document | None] = []
        for name, kind in zip(ids, kinds, strict=False):
            made = document(name, day, "t2", None, kind)
            choices: list[BatchOperation] = [Create(made), Replace(made), Patch(name, [Increment("n")]), Delete(name)]
            operations.append(choices[kind])
            there = self.alive().get((day, name))
            if error is None and ((kind == 0) == (there is not None)):
                error = Conflict if kind == 0 else NotFound
            if error is not None:
                continue
            if kind == 2 and there is not None:
                made = {**there[0], "n": there[0]["n"] + 1}
            if kind == 3:
                del self.known[day, name]
            else:
                self.known[day, name] = (made, "", self.end_of(made))
            results.append(None if kind == 3 else made)
        outcome = self.attempt(self.store.batch("readings", ("oven", day), operations))
        if error is not None:
            self.known = before
            assert outcome is error
            return
        assert [r and r.document for r in outcome] == results
        for name, stored in zip(ids, outcome, strict=False):
            if stored is not None and (day, name) in self.known:
                made, _, end = self.known[day, name]
                self.known[day, name] = (made, stored.etag, end)

    @rule(seconds=st.sampled_from([0.5, 9, 10, 95, 4000]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.open()

    @rule()
    def purge(self) -> None:
        self.store._file.prepare(self.store._purge)

    # What must always hold ---------------------------------------------------------------------------------------

    @rule(id=IDS, day=DAYS)
    def read(self, id: str, day: str) -> None:
        outcome = self.attempt(self.store.read("readings", ("oven", day), id))
        there = self.alive().get((day, id))
        if there is None:
            assert outcome is NotFound
        else:
            assert (outcome.document, outcome.etag) == there[:2]

    @rule(day=DAYS, descending=st.booleans(), limit=st.integers(1, 3))
    def ordered(self, day: str, descending: bool, limit: int) -> None:
        query = Query(order_by="ts", descending=descending, limit=limit)
        found = self.runner.run(self.all(query, ("oven", day)))
        mine = [v[0] for k, v in self.alive().items() if k[0] == day]

        def place(made: Document) -> tuple[int, Any, str]:
            ts = made.get("ts")
            return (0 if ts is None else 1 if isinstance(ts, int) else 2), ts or 0, made["id"]

        assert found == sorted(mine, key=place, reverse=descending)

    @rule(limit=st.integers(1, 3))
    def filtered(self, limit: int) -> None:
        query = Query((Range("ts", ge="t2"), Equals("equipmentId", "oven")), limit=limit)
        found = self.runner.run(self.all(query, None))
        mine = [v[0] for v in self.alive().values() if isinstance(v[0].get("ts"), str) and v[0]["ts"] >= "t2"]
        assert sorted(map(repr, found)) == sorted(map(repr, mine))

    @invariant()
    def the_whole_is_there(self) -> None:
        found = self.runner.run(self.all(Query(limit=2), ("oven",)))
        assert sorted(map(repr, found)) == sorted(repr(v[0]) for v in self.alive().values())

    async def all(self, query: Query, partition: Any) -> list[Document]:
        return [i.document async for i in every(self.store, "readings", query, partition=partition)]


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
