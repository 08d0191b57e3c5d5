"""What a response may say: refused when the rule is saved, with what would be right; trying out; the templates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.alerts.response_templates import NAMES, fill, fill_json, unknown_names
from shared.clock import ManualClock
from shared.connectors.modbus_line import lines
from shared.services import Services
from tests.api import Api, ApiAnswer, Drained
from tests.unit.alerts.responding import SETPOINT, Bakery
from tests.unit.callbacks.receiver import receiving
from tests.unit.connectors.modbus_device import Device

WORDS: dict[str, Any] = {name: f"<{name}>" for name in NAMES} | {"alert.value": 260.5, "alert.limit": None}


@pytest.fixture
async def bakery(
    house: Services, api: Api, clock: ManualClock, drain: Callable[..., Awaitable[Drained]]
) -> AsyncIterator[Bakery]:
    async with Device(registers={0: 1800, 1: 0, 2: 0}, coils={5: False}) as device:
        made = Bakery(house, api, clock, drain, device)
        await made.oven()
        yield made
        lines().close()


async def save(api: Api, *responses: Any, **more: Any) -> ApiAnswer:
    body = {"equipment_id": "oven-1", "kind": "bad", "responses": list(responses)} | more
    return await api.post("/api/v1/alert-rules", json=body)


def task(**more: Any) -> dict[str, Any]:
    return {"name": "look", "on": "raised", "task": {"title": "x", **more}}


def call(**more: Any) -> dict[str, Any]:
    return {"name": "tell", "on": "raised", "call": {"url": "http://127.0.0.1:9/x", **more}}


def write(**more: Any) -> dict[str, Any]:
    return {"name": "cool", "on": "raised", "write": {"signal": SETPOINT, "value": 150, **more}}


@pytest.mark.parametrize(
    ("responses", "said"),
    [
        ([{"name": "x", "on": "raised"}], "exactly one of write, call, task, ticket"),
        ([task() | {"ticket": {"title": "x"}}], "exactly one of"),
        ([task() | {"name": "a/b"}], "responses.0.name"),
        ([task() | {"on": "tuesdays"}], "responses.0.on"),
        ([task() | {"on": "unacknowledged_for"}], "minutes belongs to"),
        ([task() | {"minutes": 5}], "minutes belongs to"),
        ([task() | {"on": "unacknowledged_for", "minutes": 1441}], "minutes"),
        ([task(), task()], "two responses are called look"),
        ([task() | {"name": f"r{n}"} for n in range(6)], "at most 5"),
        ([task(title="{alert.nonsense}")], "there is no placeholder {alert.nonsense}; there are: alert.id, "),
        ([task(title="{alert.__class__}")], "there is no placeholder"),
        ([task(title="{0}")], "there is no placeholder {0}"),
        ([task(description="{}")], "there is no placeholder {}"),
        ([task(assignee="a\nb")], "one line"),
        ([call(body={"a": [{"b": "{alert.valeu}"}]})], "there is no placeholder {alert.valeu}"),
        ([call(headers={"X-A": "{x}"})], "there is no placeholder {x}"),
        ([call(headers={"X-A": "a\r\nHost: b"})], "cannot stand in a header"),
        ([call(headers={"Host": "b"})], "is no header that can be set here"),
        ([call(headers={"Authorization": "Bearer abc"})], "Authorization looks like a secret"),
        ([call(url="http://127.0.0.1:9/x?sig=abcdef")], "looks like a secret: put the whole address as `url`"),
        ([call(url="http://u:p@127.0.0.1:9/x")], "looks like a secret"),
        ([call(body={"api_key": "abc"})], "a field of it looks like a secret"),
        ([call(body="x" * 9_000)], "more than 8,192 bytes"),
        ([call(method="DELETE")], "responses.0.call.method"),
        ([call(url="http://169.254.169.254/latest")], "responses.0.call"),
        ([call(url="ftp://127.0.0.1/x")], "responses.0.call"),
        ([call(credentials="nowhere")], "There is no credential set nowhere"),
        ([write(signal="nowhere")], "responses.0.write: nowhere is not in the mapping"),
        ([write(signal="temperature.deck1")], "temperature.deck1 is only read"),
        ([write(value=301)], "above the maximum of 300"),
        ([write(value=None)], "responses.0.write.value"),
        ([write(equipment_id="oven-9")], "oven-9"),
        ([task(), write(value=29)], "responses.1.write: "),
    ],
)
async def test_what_is_wrong_is_named(bakery: Bakery, responses: list[Any], said: str) -> None:
    answer = await save(bakery.api, *responses)
    assert answer.status == 400, answer.body
    assert said in answer.json()["detail"], answer.json()["detail"]
    stored = (await bakery.api.get("/api/v1/alert-rules")).json()["rules"]
    assert stored == []


async def test_credentials_never_leave_their_address(bakery: Bakery) -> None:
    put = {"endpoint": "https://desk.example", "credentials": {"token": "abc"}}
    assert (await bakery.api.put("/api/v1/credential-sets/desk", json=put)).status == 201
    answer = await save(bakery.api, call(credentials="desk"))
    assert answer.status == 400
    assert "belongs to https://desk.example and is never sent to http://127.0.0.1:9" in answer.json()["detail"]


async def test_a_machine_that_is_not_open_is_not_written(bakery: Bakery) -> None:
    await bakery.oven("oven-2", supports_remote_control=False)
    answer = await save(bakery.api, write(equipment_id="oven-2"))
    assert answer.status == 400
    assert "not open for remote control" in answer.json()["detail"]


async def test_it_is_shown_as_it_was_written(bakery: Bakery) -> None:
    written = [write(), call(body={"code": "{alert.type}"}), task() | {"on": "unacknowledged_for", "minutes": 5}]
    made = (await save(bakery.api, *written, response_cooldown_seconds=60)).json()
    assert made["response_cooldown_seconds"] == 60
    assert made["responses"] == [
        {**written[0], "enabled": True},
        {**written[1], "call": {**written[1]["call"], "method": "POST"}, "enabled": True},
        {**written[2], "task": {"title": "x", "priority": "normal"}, "enabled": True},
    ]
    again = (await bakery.api.get(f"/api/v1/alert-rules/{made['id']}")).json()
    assert again == made
    severe = (await bakery.api.patch(f"/api/v1/alert-rules/{made['id']}", json={"severity": "critical"})).json()
    assert severe["responses"] == made["responses"]
    fewer = await bakery.api.patch(f"/api/v1/alert-rules/{made['id']}", json={"responses": made["responses"][1:]})
    assert [r["name"] for r in fewer.json()["responses"]] == ["tell", "look"]
    none = await bakery.api.patch(f"/api/v1/alert-rules/{made['id']}", json={"responses": None})
    assert none.json()["responses"] == []


# Trying out ----------------------------------------------------------------------------------------------------------


async def rehearse(bakery: Bakery, rule_id: str, name: str, **asked: Any) -> dict[str, Any]:
    answer = await bakery.api.post(f"/api/v1/alert-rules/{rule_id}/responses/{name}/test", json=asked)
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json()
    return body


async def test_a_rehearsal_does_nothing(bakery: Bakery) -> None:
    ticket = {"name": "t", "on": "resolved", "ticket": {"title": "{rule.name}"}}
    rule = await bakery.rule(write(), task(title="Look at {equipment.name}"), ticket)
    said = await rehearse(bakery, rule, "cool")
    assert (said["ready"], said["problem"], said["left_this_hour"]) == (True, None, 20)
    assert said["would_do"] == {"equipment_id": "oven-1", "signal": SETPOINT, "value": 150}
    assert (await rehearse(bakery, rule, "look"))["would_do"]["title"] == "Look at Deck oven"
    assert (await rehearse(bakery, rule, "t"))["would_do"]["title"] == "too hot"
    assert bakery.writes == 0
    assert (await bakery.api.get("/api/v1/tasks?status=all")).json()["tasks"] == []
    assert await bakery.told("TICKET_REQUESTED") == []
    path = f"/api/v1/alert-rules/{rule}/responses"
    assert (await bakery.api.post(f"{path}/nope/test")).status == 404
    assert (await bakery.api.post(f"{path}/cool/test", json={"send": True})).status == 400
    assert (await bakery.api.post(f"{path}/cool/test", json={"equipment_id": "oven-2"})).status == 400


async def test_a_test_call_is_marked_and_shows_no_secret(bakery: Bakery) -> None:
    async with receiving() as receiver:
        put = {"endpoint": receiver.url, "credentials": {"api_key": "s3cret", "body": {"routing": "s3cret-2"}}}
        assert (await bakery.api.put("/api/v1/credential-sets/desk", json=put)).status == 201
        rule = await bakery.rule(call(url=receiver.url, credentials="desk", body={"text": "{alert.message}"}))
        dry = await rehearse(bakery, rule, "tell")
        assert (dry["sent"], receiver.seen) == (None, [])
        assert "s3cret" not in str(dry)
        assert dry["would_do"]["body"]["routing"] == "[from the credential set]"
        said = await rehearse(bakery, rule, "tell", send=True)
        assert (said["sent"]["outcome"], said["sent"]["result"]["http_status"]) == ("done", 200)
        (seen,) = receiver.seen
        assert (seen.headers["x-ovenbridge-test"], seen.headers["x-api-key"]) == ("true", "s3cret")
        assert seen.json()["text"].startswith("Test: nothing is wrong.")
        assert seen.json()["routing"] == "s3cret-2"
    entries = (await bakery.house.audit.entries(stream="rule:oven-1")).entries
    assert entries[0].action == "alert_response.tested"


async def test_a_rehearsal_says_what_is_in_the_way(bakery: Bakery) -> None:
    made = (await save(bakery.api, write(), equipment_id=None, profile="deck", enabled=False)).json()
    path = f"/api/v1/alert-rules/{made['id']}/responses/cool/test"
    assert (await bakery.api.post(path)).status == 400, "of which machine?"
    await bakery.oven("oven-2", supports_remote_control=False)
    said = await rehearse(bakery, made["id"], "cool", equipment_id="oven-2")
    assert (said["ready"], said["enabled"], said["would_do"]) == (False, False, None)
    assert "not open for remote control" in said["problem"]
    assert (await rehearse(bakery, made["id"], "cool", equipment_id="oven-1"))["ready"]


# Templates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{alert.message}!", "<alert.message>!"),
        ("{alert.value}|{alert.limit}|", "260.5||"),
        ("{{alert.value}} {{{alert.value}}}", "{alert.value} {260.5}"),
        ("no } place }} here {", "no } place } here {"),
    ],
)
def test_places_are_filled(template: str, text: str) -> None:
    assert fill(template, WORDS) == text


def test_what_a_machine_says_is_no_template() -> None:
    words = WORDS | {"alert.message": "{alert.id} {{ %s {0.__class__}"}
    assert fill("{alert.message}", words) == "{alert.id} {{ %s {0.__class__}"


def test_a_place_alone_keeps_its_kind() -> None:
    assert fill_json({"v": "{alert.value}", "l": ["{alert.limit}", "{alert.value} C"], "n": 1}, WORDS) == {
        "v": 260.5,
        "l": [None, "260.5 C"],
        "n": 1,
    }


def test_one_line_and_no_more_than_fits() -> None:
    words = WORDS | {"alert.message": "a\n\tb\x00c" * 100}
    assert fill("{alert.message}", words, one_line=True).startswith("a b c")
    assert len(fill("{alert.message}", words, most=50)) == 50


@given(st.text(alphabet="{}a.lert valuex", max_size=60))
def test_whatever_is_accepted_can_be_filled(template: str) -> None:
    if not unknown_names(template):
        fill(template, WORDS)
        fill_json({"x": template}, WORDS)
