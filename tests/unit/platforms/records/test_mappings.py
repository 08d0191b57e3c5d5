"""Mappings: what somebody entered never becomes structure, and what cannot work is refused when it is saved."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.outgoing.answer import OutgoingAnswer
from shared.platforms.records.answers import at, refused, retry_after
from shared.platforms.records.calling import json_body
from shared.platforms.records.places import Missing, fill, fill_path, odata_key, problem_with, words_of
from tests.api import Api
from tests.platforms.systems_of_record import SystemOfRecord, says

Connect = Callable[..., Awaitable[Any]]
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@given(ANY_TEXT)
def test_a_value_stays_one_segment(value: str) -> None:
    if value in (".", ".."):
        with pytest.raises(Missing):
            fill_path("/orders/{work_order_id}/notes", {"work_order_id": value})
        return
    path = fill_path("/orders/{work_order_id}/notes", {"work_order_id": value})
    before, orders, one, notes = path.split("/")
    assert (before, orders, notes) == ("", "orders", "notes")
    assert not set(one) & set("?#&/\\ '\"\r\n")
    assert unquote(one) == value


@given(ANY_TEXT, ANY_TEXT)
def test_a_value_stays_a_value_in_a_body(value: str, title: str) -> None:
    words = {"work_order_id": value, "title": title}
    body = json.loads(json_body(fill({"a": "{work_order_id}", "b": "for {title}!", "c": 1}, words)))
    assert body == {"a": value, "b": f"for {title}!", "c": 1}


@given(ANY_TEXT)
def test_a_value_stays_inside_the_quotes_of_an_odata_key(value: str) -> None:
    quoted = odata_key(value)
    assert not set(quoted) & set("'()/?#& ")
    assert unquote(quoted).replace("''", "'") == value


def test_places_that_stand_alone_keep_their_type_and_unknown_ones_are_left_out() -> None:
    words = {"duration_seconds": 12.5, "title": None, "captures": 3}
    template = {"a": "{duration_seconds}", "b": "{title}", "c": {"d": "{captures}"}, "e": "{{plain}} {title}"}
    assert fill(template, words) == {"a": 12.5, "c": {"d": 3}, "e": "{plain} "}
    assert fill({"b": "{title}"}, words, keep_empty=True) == {"b": None}
    bind = {"x@odata.bind": "/a(b='{title}')"}
    assert fill(bind, words) == {}, "a lookup without a value would bind to nothing"


def test_what_a_place_may_say() -> None:
    assert problem_with({"a": ["{work_order_id}", "{external_data.job type}", "{oven.temperature.core.max}"]}) is None
    assert "no place {__class__}" in str(problem_with("{__class__}"))
    assert "no place {}" in str(problem_with({"a": [{"b": "{}"}]}))
    deep: Any = "x"
    for _ in range(12):
        deep = [deep]
    assert "nested" in str(problem_with(deep))


def test_words_of_a_record() -> None:
    record = {
        "id": "call-1",
        "kind": "call",
        "title": "Ada",
        "durationSeconds": 90.0,
        "equipmentId": "oven1",
        "externalData": {"job_type": "repair"},
        "details": {"people": ["Ada"]},
        "readings": {"signals": {"temperature.core": {"min": 1.0, "max": 2.0}}},
    }
    words = words_of(record, base_url="https://hub.example")
    assert words["url"] == "https://hub.example/api/v1/calls/call-1"
    assert words["summary"] == "Call “Ada”, 1.5 min, oven1"
    assert words["external_data.job_type"] == "repair"
    assert words["oven.temperature.core.max"] == 2.0


@pytest.mark.parametrize(
    ("platform", "options", "field"),
    [
        ("rest_record", {"base_url": "ftp://erp"}, "options.base_url"),
        ("rest_record", {"base_url": "http://169.254.169.254/latest"}, "options.base_url"),
        ("rest_record", {"create": {"path": "/../admin"}}, "options.create.path"),
        ("rest_record", {"create": {"path": "/a?b={title}"}}, "options.create.path"),
        ("rest_record", {"create": {"path": "/{created_id}"}}, "options"),
        ("rest_record", {"create": {"path": "/a", "success": [500]}}, "options.create.success"),
        ("rest_record", {"headers": {"Authorization": "Basic eA=="}}, "options.headers"),
        ("rest_record", {"auth": "oauth2"}, "options"),
        ("rest_record", {"auth": "basic"}, "credentials.username"),
        ("rest_record", {"needs": ["nonsense"]}, "options.needs"),
        ("rest_record", {"unknown": 1}, "options.unknown"),
        ("salesforce", {"fields": {"Session_Id__c": "{record_id}"}}, "options"),
        ("salesforce", {"object": "AR/../x"}, "options.object"),
        ("salesforce", {"external_id": "{nonsense}"}, "options.external_id"),
        ("salesforce", {"grant": "refresh_token"}, "credentials.refresh_token"),
        ("salesforce", {"login_url": "http://[fd00:ec2::254]"}, "options.login_url"),
        ("dataverse", {"columns": {"new_sessionid": "x"}}, "options"),
        ("dataverse", {"key": {"a='x',b": "y"}}, "options"),
        ("dataverse", {"tenant_id": "../x"}, "options.tenant_id"),
    ],
)
async def test_what_cannot_work_is_refused(
    connect: Connect, platform: str, options: dict[str, Any], field: str
) -> None:
    answer = await connect(platform, **options)
    assert answer.status == 400, answer.body
    problem = answer.json()
    assert problem["problems"][0]["field"].startswith(field), problem


async def test_secrets_are_not_sent_to_another_address(
    api: Api, connect: Connect, system: SystemOfRecord, drain: Callable[..., Awaitable[Any]]
) -> None:
    made = await connect("salesforce")
    assert made.json()["address"] == system.url
    options = made.json()["options"] | {"login_url": "http://127.0.0.2:1"}
    answer = await api.patch("/api/v1/connections/erp", json={"options": options})
    assert answer.status == 400
    assert "give them again" in answer.json()["detail"]


@pytest.mark.parametrize("platform", ["salesforce", "dataverse", "rest_record"])
async def test_trying_a_connection(api: Api, connect: Connect, system: SystemOfRecord, platform: str) -> None:
    await connect(platform)
    tried = (await api.post("/api/v1/connections/erp/test")).json()
    assert tried["success"], tried
    assert system.rows == {}, "trying writes nothing"
    system.script.append(says(403, [{"errorCode": "API_DISABLED_FOR_ORG", "message": "no"}]))
    tried = (await api.post("/api/v1/connections/erp/test")).json()
    assert not tried["success"]
    assert "403" in tried["message"]


async def test_trying_says_which_field_is_missing(api: Api, connect: Connect) -> None:
    await connect("salesforce", fields={"Nonsense__c": "{title}"})
    assert "has no Nonsense__c" in (await api.post("/api/v1/connections/erp/test")).json()["message"]
    await connect("salesforce", id="second", external_id_field="Minutes__c", fields={"Name": "{title}"})
    assert "no External ID" in (await api.post("/api/v1/connections/second/test")).json()["message"]


async def test_a_refresh_token_is_used(api: Api, connect: Connect, system: SystemOfRecord) -> None:
    credentials = {"client_id": "app", "refresh_token": "s3cret"}
    await connect("salesforce", credentials=credentials, grant="refresh_token")
    assert (await api.post("/api/v1/connections/erp/test")).json()["success"]
    assert system.token_requests[0]["grant_type"] == "refresh_token"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("Sat, 21 Nov 2026 10:01:00 GMT", 60.0),
        ("Sat, 21 Nov 2026 09:00:00 GMT", 0.0),
        ("1e9", 3600.0),
        ("-5", 0.0),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text}, NOW) == seconds


@pytest.mark.parametrize(
    ("status", "repeatable", "result"),
    [
        (429, False, "later"),
        (503, False, "later"),
        (500, True, "later"),
        (500, False, "unknown"),
        (504, False, "unknown"),
        (401, False, "later"),
        (400, True, "failed"),
        (404, False, "failed"),
        (302, True, "failed"),
    ],
)
def test_answers_are_judged(status: int, repeatable: bool, result: str) -> None:
    assert refused(OutgoingAnswer(status, {}, b"", 1.0), "", NOW, repeatable=repeatable).result == result


def test_values_are_found_by_path() -> None:
    value = {"result": [{"id": 7}]}
    assert at(value, "result.0.id") == 7
    assert at(value, "result.1.id") is None
    assert at(value, "result.id") is None
