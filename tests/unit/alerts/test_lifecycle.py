"""The states of an alert, and what each step notes and owes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.alerts import lifecycle
from shared.alerts.lifecycle import acknowledge, cleared, comment, place_of, resolve, shelve, unshelve
from shared.alerts.model import AlertState, Status, status_of
from shared.clock import iso
from shared.errors import Conflict, NotFound
from shared.storage import Document
from tests.unit.alerts.conftest import ANNA, BEN
from tests.unit.alerts.readings import at, cabinet, replay, rule

NOW = at(600)


def fresh(*, shelved_until: float | None = None) -> Document:
    """An alert raised at the start, its raising told unless shelved."""
    judged = rule("high", limit=250.0)
    _, (transition,) = replay(judged, [cabinet(0, 260)])
    alert = lifecycle.raised(
        judged,
        transition,
        equipment_id="OVEN-1",
        equipment_name="Horno",
        site=None,
        now=at(1),
        reading_id="r:1",
        shelved_until=at(shelved_until) if shelved_until is not None else None,
        correlation_id=None,
    )
    return told(alert)


def told(alert: Document) -> Document:
    return {k: v for k, v in alert.items() if k != "unpublished"}


def owed(alert: Document) -> list[str]:
    return [mark["type"] for mark in alert.get("unpublished", [])]


def over(alert: Document, seconds: float = 300, reason: str | None = None) -> Document:
    ended = {"clearedAt": iso(at(seconds)), "peak": 270.0, "badReadings": 1, "clearValue": 240.0, "reason": reason}
    return cleared(alert, ended, at(seconds))


ACTIVE = fresh()
SEEN = told(acknowledge(ACTIVE, ANNA, None, NOW))
GONE = told(over(ACTIVE))
CLOSED = told(resolve(ACTIVE, ANNA, None, NOW))


def test_the_four_states_and_the_guides_three_words() -> None:
    assert [a["state"] for a in (ACTIVE, SEEN, GONE, CLOSED)] == [s.value for s in AlertState]
    assert [a["status"] for a in (ACTIVE, SEEN, GONE, CLOSED)] == ["active", "acknowledged", "resolved", "resolved"]
    assert {status_of(s) for s in AlertState} == set(Status)


def test_acknowledging_keeps_who_when_and_why_and_the_first_stays() -> None:
    alert = acknowledge(ACTIVE, ANNA, "door was open", NOW)
    assert (alert["acknowledgedBy"], alert["acknowledgedAt"]) == ("Anna", iso(NOW))
    assert alert["acknowledgedComment"] == "door was open"
    assert owed(alert) == ["ALERT_ACKNOWLEDGED"]
    assert acknowledge(alert, BEN, "me too", at(900)) is alert


def test_acknowledging_what_went_away_by_itself_closes_it() -> None:
    alert = acknowledge(GONE, ANNA, None, NOW)
    assert alert["state"] == "closed"
    assert alert["resolvedAt"] == iso(at(300))
    assert owed(alert) == ["ALERT_ACKNOWLEDGED"]


def test_what_was_closed_unseen_cannot_be_acknowledged() -> None:
    with pytest.raises(Conflict, match="closed by Anna at 2026-11-21T10:10:00"):
        acknowledge(CLOSED, BEN, None, NOW)


def test_what_goes_away_after_it_was_seen_is_closed() -> None:
    alert = over(SEEN)
    assert (alert["state"], alert["durationSeconds"], alert["peak"]) == ("closed", 300, 270.0)
    assert owed(alert) == ["ALERT_RESOLVED"]
    assert over(alert, 400) is alert


def test_resolving_is_told_once() -> None:
    alert = resolve(SEEN, ANNA, "burner replaced", NOW)
    assert (alert["state"], alert["resolvedBy"], alert["closedComment"]) == ("closed", "Anna", "burner replaced")
    assert owed(alert) == ["ALERT_RESOLVED"]
    assert resolve(alert, BEN, None, at(900)) is alert
    assert owed(resolve(GONE, ANNA, None, NOW)) == [], "that it is over was told when it cleared"


def test_the_end_of_the_condition_is_noted_on_what_a_person_closed() -> None:
    alert = over(CLOSED, 900)
    assert (alert["clearedAt"], alert["resolvedAt"], alert["state"]) == (iso(at(900)), iso(NOW), "closed")
    assert alert["peak"] == 270.0
    assert owed(alert) == []


def test_shelving_is_for_active_alerts() -> None:
    alert = shelve(ACTIVE, ANNA, 30, "technician is there", NOW)
    assert (alert["shelvedUntil"], alert["state"]) == (iso(NOW + timedelta(minutes=30)), "active_unacknowledged")
    assert owed(alert) == ["ALERT_SHELVED"]
    assert shelve(alert, ANNA, 30, None, NOW) is alert
    assert shelve(alert, ANNA, 60, None, NOW)["shelvedUntil"] == iso(NOW + timedelta(minutes=60))
    for ended in (GONE, CLOSED):
        with pytest.raises(Conflict, match="Only an active alert"):
            shelve(ended, ANNA, 30, None, NOW)


def test_what_comes_off_the_shelf_active_and_unseen_is_told_again() -> None:
    alert = unshelve(told(shelve(ACTIVE, ANNA, 30, None, NOW)), None, None, at(2400))
    assert owed(alert) == ["ALERT_RAISED"]
    assert alert["unpublished"][0]["key"] == "raised:20261121T104000000Z"
    assert owed(unshelve(told(shelve(SEEN, ANNA, 30, None, NOW)), None, None, at(2400))) == []
    assert unshelve(ACTIVE, None, None, NOW) is ACTIVE


def test_what_was_raised_on_the_shelf_is_told_when_it_comes_off() -> None:
    alert = fresh(shelved_until=1800)
    assert owed(alert) == []
    assert [m["key"] for m in unshelve(alert, None, None, at(1800))["unpublished"]] == ["raised"]


def test_what_was_raised_and_over_on_the_shelf_is_never_told() -> None:
    alert = over(fresh(shelved_until=1800))
    assert owed(alert) == []
    assert "shelvedUntil" not in alert


def test_comments_are_bounded_and_not_doubled() -> None:
    alert = comment(ACTIVE, ANNA, "looks fine", NOW)
    assert comment(alert, ANNA, "looks fine", NOW) is alert
    assert len(comment(alert, BEN, "looks fine", NOW)["comments"]) == 2
    for i in range(199):
        alert = comment(alert, ANNA, str(i), NOW)
    with pytest.raises(Conflict, match="200 comments"):
        comment(alert, ANNA, "one more", NOW)


def test_history_tells_the_whole_story() -> None:
    alert = over(told(acknowledge(told(shelve(ACTIVE, ANNA, 30, None, NOW)), BEN, "seen", NOW)), 700, "it cooled")
    assert [(h["action"], h["by"]) for h in alert["history"]] == [
        ("raised", "Ovenbridge"),
        ("shelved", "Anna"),
        ("acknowledged", "Ben"),
        ("cleared", "Ovenbridge"),
    ]
    assert alert["history"][2]["comment"] == "seen"


def test_the_id_says_where_the_alert_is_kept() -> None:
    assert lifecycle.alert_id("OVEN-1", ACTIVE["id"]) == "OVEN-1:rule-1:20261121T100000000Z"
    assert place_of("OVEN-1:rule-1:20261121T100000000Z") == ("OVEN-1", "a:rule-1:20261121T100000000Z")
    for nonsense in ("", "x", "a:b", "a:b:c:d", ":b:c", "a:b/c:d", "x" * 300 + ":b:c"):
        with pytest.raises(NotFound):
            place_of(nonsense)


def test_no_step_changes_the_document_it_was_given() -> None:
    before = repr((ACTIVE, SEEN, GONE, CLOSED))
    for alert in (ACTIVE, SEEN, GONE):
        over(alert)
        resolve(alert, ANNA, "x", NOW)
        comment(alert, ANNA, "x", NOW)
        unshelve(alert, "Anna", None, NOW)
    assert repr((ACTIVE, SEEN, GONE, CLOSED)) == before
