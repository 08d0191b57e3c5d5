"""Following the event log gives each event once, in the order of recording, whichever store keeps it."""

from __future__ import annotations

import pytest

from shared.clock import ManualClock
from shared.events import Event, EventLog
from shared.platforms.power_automate import polling
from shared.storage import DocumentStore


async def test_each_event_once(store: DocumentStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "PAGE", 2)
    log, poll = EventLog(store, clock, ()), polling.EventPoll(store, clock)
    cursor = (await poll.after(None, lambda _: True, 3)).cursor
    made: list[str] = []
    events: list[Event] = []
    for moment in range(3):
        for number in range(5):  # of one moment, which pages of two cut
            events.append(Event(f"E{moment}{number}", "EXTERNAL", clock.now()))
            made.append(events[-1].id)
            await log.publish(events[-1])
        clock.advance(1_500)
    for event in events[:4]:
        await log.publish(event)  # once more, an hour later
    clock.advance(60)
    found: list[str] = []
    more = True
    while more:
        polled = await poll.after(cursor, lambda _: True, 3)
        found += [event["eventId"] for event in polled.events]
        cursor, more = polled.cursor, polled.more
    assert found == made
    assert (await poll.after(cursor, lambda _: True, 3)).events == []
