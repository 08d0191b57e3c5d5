"""Records of sessions and calls: one per platform id, joined, in order of what is newer, told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from shared.clock import ManualClock, iso
from shared.errors import Unavailable
from shared.services import Services
from shared.signals import Reading, SignalValue
from shared.storage import Document, Query, every
from shared.work.sessions import RecordQuestion
from shared.work.sessions_found import FoundCapture, FoundRecord, record_id
from shared.work.sessions_model import is_older, merged
from tests.api import Api

ID = "l1Zb/8+Kq2mA7vY0sR9wXc3dEfGhIjKlMnOpQrStUv="


@pytest.fixture
def found(clock: ManualClock) -> FoundRecord:
    return FoundRecord(
        kind="session",
        source="some_platform",
        account="main",
        external_id=ID,
        as_of=clock.now(),
        asked=True,
        state="started",
        started_at=clock.now() - timedelta(minutes=30),
        title="Change the filter",
        steps_possible=5,
        steps_viewed=1,
        external_data={"work_order_id": "WO-7"},
        work_order_id="WO-7",
        equipment_id="oven1",
    )


def later(found: FoundRecord, seconds: float, **more: Any) -> FoundRecord:
    return replace(found, as_of=found.as_of + timedelta(seconds=seconds), **more)


def completed(found: FoundRecord, seconds: float = 60) -> FoundRecord:
    return later(found, seconds, state="completed", ended=True, ended_at=found.as_of, steps_viewed=5)


async def events(house: Services) -> list[Document]:
    told = [s.document async for s in every(house.store, "events", Query())]
    return sorted((e for e in told if e["type"].endswith("_RECORDED")), key=lambda e: str(e["data"]["change"]))


def test_ids_survive_in_every_store() -> None:
    name = record_id("session", "p", "a", ID)
    assert not set(name) & set("/\\?#+=")
    assert name != record_id("call", "p", "a", ID) != record_id("call", "p", "b", ID)


async def test_what_comes_in_any_order_ends_in_the_same_record(house: Services, found: FoundRecord) -> None:
    heard = [found, later(found, 30, state="paused", steps_viewed=3), completed(found)]
    for number, order in enumerate(permutations(heard)):
        for one in (*order, order[0]):
            taken = await house.work.sessions.take(replace(one, account=f"a{number}"))
        record = taken.record
        assert (record["state"], record["ended"], record["stepsViewed"]) == ("completed", True, 5), order
        assert record["workOrderId"] == "WO-7"


async def test_of_two_answers_the_later_question_counts(house: Services, found: FoundRecord) -> None:
    """Two hosts ask at almost the same time; the first answer is written last."""
    await house.work.sessions.take(later(found, 30, state="resumed", steps_viewed=1))
    taken = await house.work.sessions.take(replace(found, state="paused", steps_viewed=9))
    assert (taken.outcome, taken.record["state"]) == ("older", "resumed")


async def test_messages_without_a_time_are_ordered_by_how_far_they_are(house: Services, found: FoundRecord) -> None:
    message = replace(found, asked=False)
    await house.work.sessions.take(replace(completed(message), asked=False))
    late = later(message, 3_600)
    taken = await house.work.sessions.take(late)
    assert taken.outcome == "older", "an open session that arrives an hour later was under way for long"
    assert taken.record["state"] == "completed"


def test_open_again_only_by_a_clear_answer(found: FoundRecord, clock: ManualClock) -> None:
    known = merged(None, completed(found), clock.now())
    assert is_older(known, later(found, 100))
    assert not is_older(known, later(found, 600)), "asked ten minutes later: it is open again"
    assert is_older(known, replace(later(found, 600), asked=False))


def test_a_version_decides_alone(found: FoundRecord, clock: ManualClock) -> None:
    known = merged(None, replace(found, version=clock.now()), clock.now())
    assert is_older(known, later(found, 600, version=clock.now() - timedelta(seconds=1)))
    assert not is_older(known, later(found, -600, version=clock.now() + timedelta(seconds=1)))


async def test_what_is_not_told_takes_nothing_away(house: Services, found: FoundRecord) -> None:
    await house.work.sessions.take(replace(found, steps=({"id": "1"},), details={"version": "2"}))
    bare = later(found, 60, title=None, steps_viewed=2, work_order_id=None, equipment_id=None, external_data=None)
    record = (await house.work.sessions.take(bare)).record
    assert (record["title"], record["workOrderId"], record["stepsViewed"]) == ("Change the filter", "WO-7", 2)
    assert record["steps"] == [{"id": "1"}]
    assert record["details"] == {"version": "2"}


async def test_unknown_states_and_sessions_without_external_data_are_kept(house: Services, found: FoundRecord) -> None:
    bare = replace(found, state="HIBERNATING", external_data=None, work_order_id=None, equipment_id=None)
    record = (await house.work.sessions.take(bare)).record
    assert record["state"] == "HIBERNATING"
    assert "workOrderId" not in record
    page = await house.work.sessions.list(RecordQuestion(kind="session"))
    assert [one["id"] for one in page.records] == [record["id"]]


async def test_told_once_however_often_it_comes(house: Services, found: FoundRecord) -> None:
    for one in (found, found, later(found, 5), completed(found), completed(found, 90)):
        await house.work.sessions.take(one)
    told = await events(house)
    assert [e["data"]["change"] for e in told] == ["completed", "recorded"]
    assert {e["type"] for e in told} == {"SESSION_RECORDED"}
    assert told[0]["data"]["work_order_id"] == "WO-7"
    assert (await house.work.sessions.get(found.id)).document.get("unpublished") is None


async def test_the_same_again_is_no_revision(house: Services, found: FoundRecord) -> None:
    first = await house.work.sessions.take(found)
    again = await house.work.sessions.take(later(found, 60))
    assert (first.outcome, again.outcome) == ("created", "same")
    assert again.record["revision"] == first.record["revision"]
    assert again.record["asOf"] == iso(found.as_of + timedelta(seconds=60)), "and it is known until when it was so"


class Follower:
    """A system of record that can be away."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Any]] = []
        self.away = False

    async def accept(self, record: Document) -> None:
        if self.away:
            raise Unavailable("The store is away.")
        self.seen.append((record["revision"], record["state"]))


async def test_followers_get_every_revision_and_again_after_a_failure(house: Services, found: FoundRecord) -> None:
    follower = Follower()
    house.platforms.__dict__["on_session"] = (follower,)
    await house.work.sessions.take(found)
    await house.work.sessions.take(later(found, 1, steps_viewed=2))
    follower.away = True
    taken = await house.work.sessions.take(completed(found))
    assert taken.outcome == "changed", "the record stands although somebody could not be told"
    follower.away = False
    assert await house.work.sessions.tell() == 1
    assert await house.work.sessions.tell() == 0
    assert follower.seen == [(1, "started"), (2, "started"), (3, "completed")]
    assert len(await events(house)) == 2


async def test_what_a_killed_process_left_is_told(
    house: Services, found: FoundRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """The process dies here."""

    async def die(event: Any) -> int:
        raise Killed

    sessions = house.work.sessions
    with monkeypatch.context() as patched:
        patched.setattr(type(house.events), "publish", lambda self, event: die(event))
        with pytest.raises(Killed):
            await sessions.take(found)
    assert await events(house) == []
    assert await sessions.tell() == 1
    assert [e["data"]["change"] for e in await events(house)] == ["recorded"]


async def test_captures_keep_their_copies(house: Services, found: FoundRecord) -> None:
    photo = FoundCapture("cap/1+=", "PHOTO", "Look at the belt")
    record = (await house.work.sessions.take(replace(found, captures=(photo,)))).record
    capture = record["captures"][0]
    assert (capture["status"], capture["step"]) == ("pending", "Look at the belt")
    await house.work.sessions.note_capture(record["id"], capture["id"], {"status": "copied", "blob": "captures/x"})
    await house.work.sessions.note_capture(record["id"], capture["id"], {"status": "failed", "reason": "too late"})
    record = (await house.work.sessions.take(completed(replace(found, captures=(photo,))))).record
    assert [(one["status"], one["blob"]) for one in record["captures"]] == [("copied", "captures/x")]
    record = (await house.work.sessions.take(completed(replace(found, captures=()), 90))).record
    assert len(record["captures"]) == 1, "gone from the platform, kept here"


async def test_joined_to_its_oven_with_what_it_did_meanwhile(
    house: Services, api: Api, clock: ManualClock, found: FoundRecord
) -> None:
    await api.post("/api/v1/equipment", json={"id": "oven1", "name": "Deck oven 1", "type": "deck_oven", "site": "s1"})
    begun = clock.now() - timedelta(minutes=30)
    for minute, value in enumerate((180.0, 240.0, 210.0)):
        at = begun + timedelta(minutes=minute)
        await house.readings.record(Reading("oven1", at, {"temperature.deck": SignalValue(value, unit="C")}))
    await house.readings.record(
        Reading("oven1", begun - timedelta(minutes=1), {"temperature.deck": SignalValue(20.0, unit="C")})
    )
    record = (await house.work.sessions.take(completed(found))).record
    assert (record["equipmentName"], record["site"]) == ("Deck oven 1", "s1")
    deck = record["readings"]["signals"]["temperature.deck"]
    assert (deck["min"], deck["max"], deck["last"], deck["average"]) == (180.0, 240.0, 210.0, 210.0)
    assert deck["count"] == 3, "what was before it began does not count"


async def test_an_alert_that_is_named_is_annotated_once(house: Services, found: FoundRecord) -> None:
    alerts = FewAlerts()
    from shared.work.sessions_alerts import AlertNotes

    notes = AlertNotes(alerts, base_url="http://here")
    record = merged(None, replace(completed(found), alert_id="a1"), house.clock.now())
    await notes.accept(merged(None, replace(found, alert_id="a1"), house.clock.now()))
    assert alerts.comments == [], "it goes on"
    for _ in range(3):
        await notes.accept(record)
    assert len(alerts.comments) == 1
    assert (
        "“Change the filter” took 0:30:00, 5 of 5 steps were looked at. http://here/api/v1/sessions/"
        in (alerts.comments[0]["text"])
    )


class FewAlerts:
    """One alert that takes remarks."""

    def __init__(self) -> None:
        self.comments: list[dict[str, str]] = []

    async def get(self, alert_id: str) -> Document:
        return {"comments": list(self.comments)}

    async def comment(self, alert_id: str, *, caller: Any, comment: str) -> Document:
        self.comments.append({"text": comment})
        return {}


@pytest.mark.parametrize("name", ["nonsense", "oven1:a/b", "oven1:" + "x" * 240, ":", "a:..", "“oven”:1"])
async def test_an_alert_that_is_not_there_is_no_reason_to_lose_a_record(
    house: Services, api: Api, found: FoundRecord, name: str
) -> None:
    taken = await house.work.sessions.take(replace(completed(found), alert_id=name))
    assert (await api.get("/api/v1/work-orders/WO-7")).json()["alerts"] == []
    assert taken.outcome == "created"
    assert (await house.work.sessions.get(found.id)).document.get("unpublished") is None
