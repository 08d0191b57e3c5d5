"""Accepting: stored as it came, the same message once, repaired after a crash, given its effect once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.access import system
from shared.audit import AuditLog
from shared.clock import ManualClock
from shared.errors import Conflict, InvalidInput, NotFound, OvenbridgeError, Unavailable
from shared.events import Event, EventLog
from shared.inbox.generic import GenericKind
from shared.inbox.handling import InboundWork
from shared.inbox.kinds import Kind, Kinds
from shared.inbox.model import InboundMessage, kept_headers, partition_of
from shared.inbox.service import Accepted, Inbox, InboxFilter
from shared.inbox.sources import HookSource, NewHookSource
from shared.services import Services

ACTOR = {"id": "token:1", "name": "Anna", "how": "api_token"}
QUEUE = "inbound-events"


class Listener:
    """A subscriber that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def accept(self, event: Event) -> int:
        if event.id not in {known.id for known in self.events}:
            self.events.append(event)
        return 1


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def work(house: Services, listener: Listener) -> InboundWork:
    return worker(house, GenericKind(EventLog(house.store, house.clock, (listener,))))


def worker(house: Services, effect: Kind) -> InboundWork:
    return InboundWork(
        house.store, house.inbox, house.hook_sources, house.clock, kinds=Kinds({"generic": lambda: effect})
    )


async def source(house: Services, **more: Any) -> None:
    await house.hook_sources.create(
        NewHookSource(id="press", name="Press", **more), signing_secret=None, caller=system("test")
    )


async def accept(house: Services, raw: bytes = b'{"a":1}', key: str | None = "k1", **more: Any) -> Accepted:
    return await house.inbox.accept("press", raw, {}, dedupe_key=key, **({"verdict": "unsigned"} | more))


async def queued(house: Services) -> int:
    depth = await house.receiver.depth(QUEUE)
    return depth.active


async def run(house: Services, work: InboundWork) -> list[OvenbridgeError]:
    """What the host does with what is due, once each."""
    failures: list[OvenbridgeError] = []
    if await queued(house) == 0:
        return failures
    for received in await house.receiver.receive(QUEUE, 100):
        try:
            await work.handle(received.body, received.delivery_count)
        except OvenbridgeError as error:
            failures.append(error)
            await house.receiver.abandon(QUEUE, received)
        else:
            await house.receiver.complete(QUEUE, received)
    return failures


@given(st.binary(max_size=300))
def test_a_body_comes_back_byte_for_byte(raw: bytes) -> None:
    from shared.inbox.model import body_fields

    document = {
        "id": "w:press:2026-11-21:" + "0" * 32,
        "source": "press",
        "receivedAt": "2026-11-21T10:00:00.000Z",
        "verdict": "unsigned",
        "status": "received",
        "sha256": "",
    }
    document |= json.loads(json.dumps(body_fields(raw)))
    assert InboundMessage.from_document(document).raw == raw


async def test_a_message_is_stored_as_it_came_and_queued(house: Services) -> None:
    raw = '{ "größe" : 1 }'.encode()
    headers = {"content-type": "application/json", "authorization": "Bearer hunter2", "x-forwarded-for": "1.2.3.4"}
    accepted = await house.inbox.accept(
        "press", raw, headers, dedupe_key="k", verdict="verified", event="batch.done", equipment_id="OVEN-1"
    )
    message = await house.inbox.get(accepted.id)
    assert message.raw == raw
    assert message.headers == {"authorization": "[redacted]", "content-type": "application/json"}
    assert (message.status, message.verdict, message.event) == ("received", "verified", "batch.done")
    assert message.equipment_id == "OVEN-1"
    (received,) = await house.receiver.receive(QUEUE, 10)
    assert json.loads(received.body) == {"id": accepted.id}, "a claim check: no payload in the queue"
    assert received.message_id == f"{accepted.id}:1"


async def test_the_same_message_counts_once(house: Services, clock: ManualClock) -> None:
    first = await accept(house)
    assert (await accept(house)) == Accepted(first.id, duplicate=True)
    clock.advance(86_400)
    assert (await accept(house)) == Accepted(first.id, duplicate=True), "the day turned in between"
    assert (await house.inbox.get(first.id)).duplicates == 2
    assert not (await accept(house, key="k2")).duplicate
    assert not (await accept(house, key=None)).duplicate
    assert not (await accept(house, key=None)).duplicate
    other = await house.inbox.accept("mixer", b"{}", {}, dedupe_key="k1", verdict="unsigned")
    assert not other.duplicate, "another sender's ids are its own"
    assert await queued(house) == 5


async def test_a_forged_message_does_not_stand_in_the_way_of_the_genuine_one(house: Services) -> None:
    forged = await accept(house, b"forged", verdict="rejected", reason="The signature does not match.")
    assert not forged.duplicate
    genuine = await accept(house, b"genuine", verdict="verified")
    assert not genuine.duplicate
    assert (await house.inbox.get(forged.id)).status == "rejected"
    assert await queued(house) == 1


@pytest.mark.parametrize(
    ("start", "seconds", "duplicate"),
    [(0, 299, True), (0, 301, False), (299, 2, True), (86_399 - 36_000, 2, True), (86_399 - 36_000, 301, False)],
)
async def test_equal_bodies_within_a_while_are_one(
    house: Services, clock: ManualClock, start: int, seconds: int, duplicate: bool
) -> None:
    """36,000 s after midnight the clock starts, so that 86,399 - 36,000 is the day's last second."""
    clock.advance(start)
    await accept(house, within_seconds=300)
    clock.advance(seconds)
    assert (await accept(house, within_seconds=300)).duplicate is duplicate


async def test_the_effect_is_an_event_and_happens_once(
    house: Services, work: InboundWork, listener: Listener, clock: ManualClock
) -> None:
    await source(house, event_name="PRESS_DONE", equipment_id="PRESS-1")
    accepted = await accept(house)
    assert await run(house, work) == []
    (event,) = listener.events
    assert (event.type, event.name, event.object_type, event.object_id) == (
        "EXTERNAL",
        "PRESS_DONE",
        "MACHINE",
        "PRESS-1",
    )
    assert event.data["payload"] == {"a": 1}
    assert event.data["inbox_id"] == accepted.id
    message = await house.inbox.get(accepted.id)
    assert message.status == "handled"
    assert message.effect == {"eventId": event.id, "eventType": "EXTERNAL", "targets": 1}
    await work.handle(json.dumps({"id": accepted.id}).encode(), 1)
    assert len(listener.events) == 1


async def test_killed_between_the_effect_and_its_note(
    house: Services, listener: Listener, work: InboundWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    await source(house)
    await accept(house)

    async def dies(*args: Any, **kwargs: Any) -> None:
        raise Unavailable("killed here")

    with monkeypatch.context() as patched:
        patched.setattr(work, "_settle", dies)
        assert len(await run(house, work)) == 1
    assert await run(house, work) == []
    assert len(listener.events) == 1, "the event's id follows from the message"


async def test_killed_between_storing_and_queueing(
    house: Services, clock: ManualClock, work: InboundWork, listener: Listener
) -> None:
    await source(house)
    with pytest.raises(Unavailable):
        await Inbox(house.store, Dead(), house.audit, clock).accept(
            "press", b"{}", {}, dedupe_key="k1", verdict="unsigned"
        )
    assert (await accept(house, b"{}")).duplicate, "the sender sends again"
    assert await queued(house) == 0
    clock.advance(59)
    assert await work.sweep() == 0
    clock.advance(2)
    assert await work.sweep() == 1
    assert await work.sweep() == 0, "each time twice as long"
    clock.advance(121)
    assert await work.sweep() == 1
    assert await run(house, work) == []
    assert len(listener.events) == 1
    clock.advance(86_400)
    assert await work.sweep() == 0


async def test_an_effect_that_fails_is_tried_again_and_then_told(house: Services, clock: ManualClock) -> None:
    await source(house)
    accepted = await accept(house)
    work = worker(house, Fails(Unavailable("The mixer is away.")))
    for attempt in range(10):
        assert len(await run(house, work)) == 1, attempt
    message = await house.inbox.get(accepted.id)
    assert (message.status, message.reason) == ("failed", "The mixer is away.")
    assert (await house.receiver.depth(QUEUE)).dead_lettered == 1
    clock.advance(86_400)
    assert await work.sweep() == 0, "a person decides"


async def test_what_can_never_have_an_effect_is_not_tried_again(house: Services) -> None:
    await source(house)
    accepted = await accept(house)
    assert await run(house, worker(house, Fails(InvalidInput("No such oven.")))) == []
    assert (await house.inbox.get(accepted.id)).status == "failed"


async def test_a_deleted_source_and_an_unknown_kind(house: Services, work: InboundWork) -> None:
    orphan = await accept(house)
    await run(house, work)
    assert (await house.inbox.get(orphan.id)).reason == "There is no such hook source."
    await source(house, kind="martian")
    strange = await accept(house, key="k2")
    await run(house, work)
    assert "martian" in str((await house.inbox.get(strange.id)).reason)


async def test_replay_is_a_new_happening(house: Services, work: InboundWork, listener: Listener) -> None:
    await source(house)
    accepted = await accept(house)
    with pytest.raises(Conflict, match="waiting"):
        await house.inbox.replay(accepted.id, actor=ACTOR)
    await run(house, work)
    replayed = await house.inbox.replay(accepted.id, actor=ACTOR)
    assert (replayed.status, replayed.replays) == ("received", 1)
    await run(house, work)
    assert [event.data["inbox_id"] for event in listener.events] == [accepted.id] * 2
    page = await AuditLog(house.store, house.clock).entries(stream="hook:press")
    assert page.entries[0].action == "inbox.replayed"
    rejected = await accept(house, verdict="rejected")
    with pytest.raises(Conflict, match="rejected"):
        await house.inbox.replay(rejected.id, actor=ACTOR)


async def test_bodies_of_any_kind_reach_subscribers(house: Services, work: InboundWork, listener: Listener) -> None:
    await source(house)
    for number, raw in enumerate([b"plain words", b"\xff\xfe", b'"' + b"x" * 70_000 + b'"', b""]):
        await accept(house, raw, key=str(number))
    await run(house, work)
    payloads = [event.data["payload"] for event in sorted(listener.events, key=lambda e: e.data["inbox_id"])]
    assert sorted(map(str, payloads)) == sorted(["plain words", "��", "None", ""])


async def test_the_list_is_newest_first_and_filtered(house: Services, clock: ManualClock) -> None:
    for n in range(30):
        await accept(house, str(n).encode(), key=None, event="even" if n % 2 == 0 else "odd")
        clock.advance(7_200)
    await house.inbox.accept("mixer", b"m", {}, dedupe_key=None, verdict="rejected")
    seen: list[bytes] = []
    continuation = None
    for _ in range(20):
        page, continuation = await house.inbox.list(InboxFilter(source="press"), limit=4, continuation=continuation)
        seen += [message.raw for message in page]
        if continuation is None:
            break
    assert seen == [str(n).encode() for n in range(29, -1, -1)]
    odd, _ = await house.inbox.list(InboxFilter(event="odd"))
    assert [m.raw for m in odd][:2] == [b"29", b"27"]
    rejected, _ = await house.inbox.list(InboxFilter(verdict="rejected"))
    assert [m.source for m in rejected] == ["mixer"]


def test_headers_are_kept_within_reason() -> None:
    many = {f"h{n:03}": "x" * 5_000 for n in range(100)}
    kept = kept_headers(many | {"X-Api-Key": "hunter2", "Cookie": "hunter2", "X-ARR-Log": "y", "webhook-id": "1"})
    assert len(kept) == 40
    assert all(len(value) <= 1_024 for value in kept.values())
    assert "hunter2" not in str(kept)


@pytest.mark.parametrize("id", ["", "x", "w:press", "w:press:2026-11-21:xyz", "w:PRESS:2026-11-21:" + "0" * 32])
def test_a_foreign_id_is_not_found(id: str) -> None:
    with pytest.raises(NotFound):
        partition_of(id)


class Fails(GenericKind):
    """An effect that never works."""

    def __init__(self, error: OvenbridgeError) -> None:
        self.error = error

    async def handle(self, source: HookSource, message: InboundMessage) -> dict[str, Any]:
        raise self.error


class Dead:
    """A queue whose process was killed."""

    def __getattr__(self, name: str) -> Any:
        async def dead(*args: Any, **kwargs: Any) -> None:
            raise Unavailable("The queue is away.")

        return dead
