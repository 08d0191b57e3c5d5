"""The body of `POST events`, and the notification that becomes of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from shared.callbacks.model import Callback, State
from shared.platforms.force_bridge.event import ExternalEvent, event_id
from shared.platforms.force_bridge.links import page_links
from shared.platforms.force_bridge.notification import render

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def _event(**body: Any) -> Any:
    return ExternalEvent.model_validate({"eventType": "EXTERNAL", **body}).event("E1", NOW, "corr")


def test_the_chapters_example() -> None:
    event = _event(
        data={"myData1": "123", "myData2": "456"},
        eventName="MY_EVENT",
        objectId="4DDE054C036C4F8CAB424C7FB70E86B9",
        objectType="TOOL",
        timestamp="2019-03-01T07:24:37.756Z",
    )
    assert (event.name, event.object_type, event.object_id) == ("MY_EVENT", "TOOL", "4DDE054C036C4F8CAB424C7FB70E86B9")
    assert event.timestamp == datetime(2019, 3, 1, 7, 24, 37, 756_000, tzinfo=UTC)
    assert event.data == {"myData1": "123", "myData2": "456"}


def test_nothing_but_the_type() -> None:
    for body in ({}, {"objectType": "", "objectId": "", "eventName": "", "timestamp": "", "data": {}}, {"data": None}):
        event = _event(**body)
        assert (event.timestamp, event.object_type, event.object_id, event.name) == (NOW, "NONE", None, None)
        assert event.data == {}


@pytest.mark.parametrize("written", ["2026-11-21T11:00:00+01:00", "2026-11-21T10:00:00", "2026-11-21T10:00:00Z"])
def test_times_become_utc(written: str) -> None:
    assert _event(timestamp=written).timestamp == NOW


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"eventType": "INTERNAL"}, "eventType"),
        ({"eventType": "ALERT_RAISED"}, "eventType"),
        ({"eventType": None}, "eventType"),
        ({"objectType": "OVEN"}, "objectType"),
        ({"objectType": "tool"}, "objectType"),
        ({"data": []}, "data"),
        ({"data": "text"}, "data"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": 1732183200}, "timestamp"),
        ({"objectId": 5}, "objectId"),
        ({"objectId": "x" * 257}, "objectId"),
        ({"more": 1}, "more"),
    ],
    ids=str,
)
def test_what_is_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _event(**body)
    assert [e["loc"][0] for e in caught.value.errors()] == [field]


def test_an_idempotency_key_names_the_event() -> None:
    assert event_id("me", "key") == event_id("me", "key")
    assert len({event_id("me", "key"), event_id("you", "key"), event_id("me", "yek"), event_id("me", None)}) == 4
    assert event_id("me", None) != event_id("me", None)


def _callback(**words: Any) -> Callback:
    plain: dict[str, Any] = {
        "id": "B1B1BFB60ECF4DB7B095F096992FB9FA",
        "event_type": "OPERATION_PHASE_CHANGED",
        "event_name": "Operation 100 has changed phase",
        "object_ids": frozenset(),
        "object_filter": (),
        "url": "http://x/",
        "origin": "http://x",
        "authentication": None,
        "max_retries": 1,
        "max_unconfirmed": 1,
        "dialect": "force",
        "state": State.ACTIVE,
        "created_at": NOW,
    }
    return Callback(**{**plain, **words})


def test_the_notification_of_the_chapter_to_the_letter() -> None:
    """Chapter 3.2.3, spaces aside."""
    event = {
        "eventId": "E",
        "type": "OPERATION_PHASE_CHANGED",
        "ts": "2019-03-06T11:04:16.786Z",
        "objectType": "OPERATION",
        "objectId": "DA892519507444768080F0E81879513",
        "data": {
            "currentOperationPhase": "PROCESSING",
            "previousOperationPhase": "INTERRUPTED",
            "operationId": "2A05AAEF15FD41A8A4A36C45516871AA",
        },
    }
    assert render(_callback(), event, "http://localhost:24080").body == (
        b'{"properties":{"callbackId":"B1B1BFB60ECF4DB7B095F096992FB9FA","timestamp":"2019-03-06T11:04:16.786Z",'
        b'"data":{"currentOperationPhase":"PROCESSING","previousOperationPhase":"INTERRUPTED",'
        b'"operationId":"2A05AAEF15FD41A8A4A36C45516871AA"},"objectId":"DA892519507444768080F0E81879513",'
        b'"objectType":"OPERATION","eventType":"OPERATION_PHASE_CHANGED",'
        b'"eventName":"Operation 100 has changed phase"},'
        b'"_links":{"callback":{"method":"GET","embeddable":true,'
        b'"href":"http://localhost:24080/ffwebservices/api/v2/callbacks/B1B1BFB60ECF4DB7B095F096992FB9FA"}}}'
    )


def test_what_is_absent_is_left_out() -> None:
    event = {"eventId": "E", "type": "EXTERNAL", "ts": "2019-03-06T11:04:16.786Z", "objectType": "NONE", "data": {}}
    body = render(_callback(event_name=None), event, "").body
    assert b"objectId" not in body
    assert b"eventName" not in body
    assert b'"objectType":"NONE"' in body


@pytest.mark.parametrize(
    ("offset", "limit", "total", "links"),
    [
        (0, 100, 0, {"self": 0, "first": 0, "last": 0}),
        (0, 10, 10, {"self": 0, "first": 0, "last": 0}),
        (0, 10, 11, {"self": 0, "first": 0, "last": 10, "next": 10}),
        (10, 10, 25, {"self": 10, "first": 0, "last": 20, "next": 20, "prev": 0}),
        (20, 10, 25, {"self": 20, "first": 0, "last": 20, "prev": 10}),
        (5, 10, 12, {"self": 5, "first": 0, "last": 10, "prev": 0}),
    ],
)
def test_links_around_a_page(offset: int, limit: int, total: int, links: dict[str, int]) -> None:
    found = page_links("http://b", offset, limit, total)
    places = {name: re.search(r"offset=(\d+)&limit=(\d+)$", link["href"]) for name, link in found.items()}
    assert {name: int(place[1]) for name, place in places.items() if place} == links
    assert all(link["href"].startswith("http://b/ffwebservices/api/v2/callbacks?offset=") for link in found.values())
