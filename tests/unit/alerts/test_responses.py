"""Responses end to end: a reading raises an alert, its rule acts, the alert shows what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from shared.clock import ManualClock
from shared.connectors.modbus_line import lines
from shared.events.catalogue import CATALOGUE
from shared.services import Services
from tests.api import Api, Drained
from tests.unit.alerts.responding import SETPOINT, Bakery
from tests.unit.callbacks.receiver import Notification, Receiver, receiving
from tests.unit.connectors.modbus_device import Device

COOL = {"name": "cool", "on": "raised", "write": {"signal": SETPOINT, "value": 150}}
LOOK = {
    "name": "look",
    "on": "raised",
    "task": {
        "title": "Look at {equipment.name}: {alert.value} {alert.unit}",
        "description": "{alert.message}\n{alert.url}",
        "assignee": "maintenance",
        "priority": "high",
        "due_minutes": 30,
    },
}
TICKET = {"name": "ticket", "on": "raised", "ticket": {"title": "{alert.severity}: {equipment.name}"}}


@pytest.fixture
async def bakery(
    house: Services, api: Api, clock: ManualClock, drain: Callable[..., Awaitable[Drained]]
) -> AsyncIterator[Bakery]:
    async with Device(registers={**dict.fromkeys(range(60), 0), 0: 1800}, coils={5: False}) as device:
        made = Bakery(house, api, clock, drain, device)
        await made.oven()
        yield made
        lines().close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as there:
        yield there


async def test_a_signal_is_written(bakery: Bakery) -> None:
    rule = await bakery.rule(COOL)
    await bakery.reads(260)
    shown = (await bakery.responses())["cool"]
    assert (shown["status"], bakery.writes) == ("pending", 0), "raising the alert waits for nothing"
    await bakery.respond()
    assert bakery.device.registers[0] == 1500
    shown = (await bakery.responses())["cool"]
    assert (shown["status"], shown["attempts"], shown["actor"]) == ("done", 1, f"rule:{rule}")
    assert shown["outcome"] == f"{SETPOINT} was set to 150 C; before it was 180 C."
    assert shown["result"] == {"before": 180, "after": 150}
    assert [what for what, _ in await bakery.noted()] == ["alert_response.begun", "alert_response.done"]
    entries = (await bakery.house.audit.entries(stream="equipment:oven-1")).entries
    written = next(e for e in entries if e.action == "signal.written")
    assert (written.actor["id"], written.before["value"], written.after["value"]) == (f"rule:{rule}", 180, 150)
    assert await bakery.told("ALERT_RESPONSE_FAILED") == []


async def test_a_task_is_made(bakery: Bakery) -> None:
    await bakery.rule(LOOK)
    await bakery.reads(260)
    await bakery.respond()
    shown = (await bakery.responses())["look"]
    assert shown["status"] == "done"
    (task,) = (await bakery.api.get("/api/v1/tasks?equipment_id=oven-1")).json()["tasks"]
    alert = await bakery.alert()
    assert shown["result"] == {"task_id": task["id"]}
    assert (task["title"], task["priority"], task["assignee"]) == ("Look at Deck oven: 260 C", "high", "maintenance")
    assert (task["alert_id"], task["due_at"]) == (alert["id"], "2026-11-21T10:30:10.000Z")
    assert task["description"].startswith(f"{alert['message']}\nhttp")
    assert task["created_by"] == "Rule too hot"


async def test_a_ticket_is_asked_for(bakery: Bakery) -> None:
    await bakery.rule(TICKET)
    await bakery.reads(260)
    await bakery.respond()
    (event,) = await bakery.told("TICKET_REQUESTED")
    assert set(event["data"]) == set(CATALOGUE["TICKET_REQUESTED"].data)
    assert (event["data"]["title"], event["objectId"]) == ("warning: Deck oven", "oven-1")
    assert (await bakery.responses())["ticket"]["result"] == {"ticket_id": event["data"]["ticket_id"]}


async def test_a_call_is_made(bakery: Bakery, receiver: Receiver) -> None:
    values = {"token": "s3cret-bearer", "url": f"{receiver.url}/hook?sig=abc", "body": {"routing": "r-1"}}
    put = {"name": "desk", "endpoint": receiver.url, "credentials": values}
    assert (await bakery.api.put("/api/v1/credential-sets/desk", json=put)).status == 201
    call = {
        "url": receiver.url,
        "headers": {"X-Machine": "{equipment.id}"},
        "body": {"text": "{alert.message}", "value": "{alert.value}", "list": ["{{x}}", 1]},
        "credentials": "desk",
    }
    await bakery.rule({"name": "desk", "on": "raised", "call": call})
    await bakery.reads(260.5)
    await bakery.respond()
    shown = (await bakery.responses())["desk"]
    assert (shown["status"], shown["result"]["http_status"]) == ("done", 200)
    (seen,) = receiver.seen
    message = (await bakery.alert())["message"]
    assert seen.path == "/hook?sig=abc"
    assert seen.json() == {"text": message, "value": 260.5, "list": ["{x}", 1], "routing": "r-1"}
    assert seen.headers["authorization"] == "Bearer s3cret-bearer"
    assert (seen.headers["x-machine"], seen.headers["idempotency-key"]) == ("oven-1", shown["id"])
    assert "x-ovenbridge-test" not in seen.headers
    everything = str([s.document for c in ("alertResponses", "alertRules", "alerts", "audit", "events")
                      for s in (await bakery.house.store.query(c, _all())).items])  # fmt: skip
    assert "s3cret" not in everything
    assert "sig=abc" not in everything


def _all() -> Any:
    from shared.storage import Query

    return Query(limit=1000)


@pytest.mark.parametrize("before", [0, 488])
async def test_a_receiver_that_repeats_what_it_was_sent(bakery: Bakery, receiver: Receiver, before: int) -> None:
    """Anybody may read the answer, and some receivers echo the call, or name the key that they refuse."""
    values = {
        "token": "s3cret-bearer",
        "url": f"{receiver.url}/hooks/T0123456/x9y8z7w6v5?sig=abcdefgh",
        "body": {"routing": "R0123456789", "deep": [{"pin": 48151623}]},
    }
    put = {"name": "desk", "endpoint": receiver.url, "credentials": values}
    assert (await bakery.api.put("/api/v1/credential-sets/desk", json=put)).status == 201

    def echo(seen: Notification) -> web.Response:
        said = f"{seen.headers['authorization']} no x9y8z7w6v5 at {seen.path} for {seen.body.decode()}"
        return web.Response(status=400, text="." * before + said)

    receiver.answer = echo
    call = {"url": receiver.url, "credentials": "desk", "body": {"about": "{equipment.id}"}}
    await bakery.rule({"name": "desk", "on": "raised", "call": call})
    await bakery.reads(260.5)
    await bakery.respond()
    result = (await bakery.responses())["desk"]["result"]
    assert result["http_status"] == 400
    shown = str(result["answer"])
    for secret in ("s3c", "T0123456", "x9y8z7w6v5", "abcdefgh", "R0123", "48151623"):
        assert secret not in shown
    assert before or "oven-1" in shown, "what is no secret is shown"


async def test_without_a_body_all_that_is_known_is_sent(bakery: Bakery, receiver: Receiver) -> None:
    await bakery.rule({"name": "tell", "on": "resolved", "call": {"url": receiver.url, "method": "PUT"}})
    await bakery.reads(260)
    await bakery.reads(240)
    await bakery.respond()
    body = receiver.seen[0].json()
    assert (body["alert"]["status"], body["equipment"]["site"], body["rule"]["name"]) == (
        "resolved",
        "madrid",
        "too hot",
    )


@pytest.mark.parametrize(
    ("answer", "method", "statuses", "calls"),
    [
        (503, "POST", ["pending", "failed"], 5),
        (500, "POST", ["unknown"], 1),
        (500, "PUT", ["pending", "failed"], 5),
        (404, "PUT", ["failed"], 1),
        (302, "POST", ["failed"], 1),
    ],
)
async def test_a_receiver_that_refuses(
    bakery: Bakery, receiver: Receiver, answer: int, method: str, statuses: list[str], calls: int
) -> None:
    receiver.answer = answer
    await bakery.rule({"name": "tell", "on": "raised", "call": {"url": receiver.url, "method": method}})
    await bakery.reads(260)
    await bakery.respond()
    assert (await bakery.responses())["tell"]["status"] == statuses[0]
    await bakery.pass_(1_400)
    shown = (await bakery.responses())["tell"]
    assert (shown["status"], shown["attempts"], len(receiver.seen)) == (statuses[-1], calls, calls)
    assert str(answer) in shown["outcome"]
    (told,) = await bakery.told("ALERT_RESPONSE_FAILED")
    assert set(told["data"]) == set(CATALOGUE["ALERT_RESPONSE_FAILED"].data)
    assert (told["data"]["outcome"], told["data"]["attempts"]) == (shown["status"], calls)
    await bakery.house.responding.work.sweep()
    await bakery.pass_(120)
    assert len(await bakery.told("ALERT_RESPONSE_FAILED")) == 1


async def test_a_call_that_may_have_arrived_is_not_made_again(bakery: Bakery, receiver: Receiver) -> None:
    receiver.reset = True
    await bakery.rule({"name": "tell", "on": "raised", "call": {"url": receiver.url}})
    await bakery.reads(260)
    await bakery.respond()
    await bakery.pass_(400)
    shown = (await bakery.responses())["tell"]
    assert (shown["status"], len(receiver.seen)) == ("unknown", 1)
    assert "may have arrived" in shown["outcome"]


async def test_a_repeatable_call_is(bakery: Bakery, receiver: Receiver) -> None:
    receiver.reset = True
    await bakery.rule({"name": "tell", "on": "raised", "call": {"url": receiver.url, "repeatable": True}})
    await bakery.reads(260)
    await bakery.respond()
    receiver.reset = False
    await bakery.pass_(30)
    shown = (await bakery.responses())["tell"]
    assert (shown["status"], shown["attempts"]) == ("done", 2)
    assert len({n.headers["idempotency-key"] for n in receiver.seen}) == 1


async def test_nobody_saw_it(bakery: Bakery) -> None:
    await bakery.rule({**LOOK, "on": "unacknowledged_for", "minutes": 15})
    await bakery.reads(260)
    await bakery.pass_(14 * 60)
    assert (await bakery.responses())["look"]["status"] == "pending"
    await bakery.pass_(2 * 60)
    assert (await bakery.responses())["look"]["status"] == "done"


async def test_somebody_saw_it(bakery: Bakery) -> None:
    await bakery.rule({**LOOK, "on": "unacknowledged_for", "minutes": 15})
    await bakery.reads(260)
    await bakery.api.post(f"/api/v1/alerts/{(await bakery.alert())['id']}/acknowledge")
    await bakery.pass_(16 * 60)
    shown = (await bakery.responses())["look"]
    assert shown["status"] == "skipped"
    assert "had acknowledged the alert at 2026-11-21T10:00:10" in shown["outcome"]
    assert (await bakery.api.get("/api/v1/tasks")).json()["tasks"] == []


async def test_a_shelf_puts_it_off(bakery: Bakery) -> None:
    await bakery.rule({**LOOK, "on": "unacknowledged_for", "minutes": 15})
    await bakery.reads(260)
    await bakery.api.post(f"/api/v1/alerts/{(await bakery.alert())['id']}/shelve", json={"minutes": 30})
    await bakery.pass_(20 * 60)
    assert (await bakery.responses())["look"]["status"] == "pending"
    await bakery.pass_(12 * 60)
    assert (await bakery.responses())["look"]["status"] == "done"


async def test_each_moment_has_its_own(bakery: Bakery) -> None:
    named = [{**LOOK, "name": on, "on": on, "task": {"title": on}} for on in ("raised", "acknowledged", "resolved")]
    await bakery.rule(*named)
    await bakery.reads(260)
    await bakery.respond()
    assert {n: r["status"] for n, r in (await bakery.responses()).items()} == {"raised": "done"}
    await bakery.api.post(f"/api/v1/alerts/{(await bakery.alert())['id']}/acknowledge")
    await bakery.reads(240)
    await bakery.respond()
    assert {n: r["status"] for n, r in (await bakery.responses()).items()} == dict.fromkeys(
        ("raised", "acknowledged", "resolved"), "done"
    )


async def test_a_flapping_alert_does_not_hammer_the_oven(bakery: Bakery) -> None:
    await bakery.rule(COOL, response_cooldown_seconds=120)
    shown = []
    for _ in range(4):
        await bakery.reads(260, after=25)
        await bakery.respond()
        shown.append((await bakery.responses())["cool"])
        await bakery.reads(240, after=25)
    assert [one["status"] for one in shown] == ["done", "skipped", "skipped", "done"]
    assert "once in 2 min" in shown[1]["outcome"]
    assert bakery.writes == 2


async def test_a_machine_has_so_many_an_hour(bakery: Bakery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.alerts.response_records.MAX_PER_HOUR", 3)
    await bakery.rule({**LOOK, "task": {"title": "x"}}, response_cooldown_seconds=0)
    statuses = []
    for _ in range(5):
        await bakery.reads(260)
        await bakery.respond()
        statuses.append((await bakery.responses())["look"]["status"])
        await bakery.reads(240)
    assert statuses == ["done"] * 3 + ["skipped"] * 2
    assert "which is the most" in (await bakery.responses())["look"]["outcome"]
    await bakery.pass_(3_600)
    await bakery.reads(260)
    await bakery.respond()
    assert (await bakery.responses())["look"]["status"] == "done"


async def test_an_order_is_not_given_when_the_alert_is_over(bakery: Bakery) -> None:
    await bakery.rule(COOL, LOOK)
    await bakery.reads(260)
    await bakery.reads(240)
    await bakery.respond()
    shown = await bakery.responses()
    assert (shown["cool"]["status"], shown["look"]["status"]) == ("skipped", "done")
    assert "before anything was written" in shown["cool"]["outcome"]
    assert bakery.writes == 0


async def test_an_order_is_not_given_late(bakery: Bakery) -> None:
    await bakery.rule(COOL)
    await bakery.reads(260)
    bakery.clock.advance(700)
    await bakery.respond()
    shown = (await bakery.responses())["cool"]
    assert (shown["status"], bakery.writes) == ("failed", 0)
    assert len(await bakery.told("ALERT_RESPONSE_FAILED")) == 1


async def test_a_machine_that_is_away_is_tried_again_and_then_given_up(bakery: Bakery) -> None:
    await bakery.rule(COOL)
    await bakery.reads(260)
    await bakery.device.__aexit__(None, None, None)
    lines().close()
    await bakery.respond()
    shown = (await bakery.responses())["cool"]
    assert (shown["status"], shown["attempts"]) == ("pending", 1)
    assert shown["outcome"].startswith("Nothing was written.")
    assert shown["next_try_at"] == "2026-11-21T10:00:25.000Z"
    await bakery.pass_(1_500)
    shown = (await bakery.responses())["cool"]
    assert (shown["status"], shown["next_try_at"]) == ("failed", None)
    (told,) = await bakery.told("ALERT_RESPONSE_FAILED")
    assert told["data"]["action"] == "write"


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"enabled": False}, "skipped", "The rule was disabled before"),
        ({"responses": [{**COOL, "enabled": False}]}, "skipped", "The response was disabled before"),
        ({"responses": []}, "skipped", "no such response any more"),
        ({"responses": [{**COOL, "write": {"signal": SETPOINT, "value": 140}}]}, "done", "was set to 140 C"),
    ],
)
async def test_the_rule_counts_as_it_is_when_it_is_done(
    bakery: Bakery, change: dict[str, Any], status: str, said: str
) -> None:
    rule = await bakery.rule(COOL)
    await bakery.reads(260)
    assert (await bakery.api.patch(f"/api/v1/alert-rules/{rule}", json=change)).status == 200
    await bakery.respond()
    shown = (await bakery.responses())["cool"]
    assert shown["status"] == status
    assert said in shown["outcome"]


async def test_a_machine_that_was_closed_meanwhile_is_not_written(bakery: Bakery) -> None:
    rule = await bakery.rule(COOL)
    etag = (await bakery.api.get("/api/v1/equipment/oven-1")).headers["etag"]
    closed = await bakery.api.patch(
        "/api/v1/equipment/oven-1", json={"supports_remote_control": False}, headers={"If-Match": etag}
    )
    assert closed.status == 200, closed.body
    assert (await bakery.api.patch(f"/api/v1/alert-rules/{rule}", json={"severity": "critical"})).status == 200
    await bakery.reads(260)
    await bakery.respond()
    shown = (await bakery.responses())["cool"]
    assert (shown["status"], bakery.writes) == ("failed", 0)
    assert "not open for remote control" in shown["outcome"]


async def test_two_who_are_woken_do_it_once(bakery: Bakery) -> None:
    import asyncio

    await bakery.rule(COOL, LOOK)
    await bakery.reads(260)
    messages = await bakery.house.receiver.receive("alert-responses", 10)
    handle = bakery.house.responding.work.handle
    await asyncio.gather(*(handle(m.body) for m in messages for _ in range(3)))
    assert bakery.writes == 1
    assert len((await bakery.api.get("/api/v1/tasks")).json()["tasks"]) == 1
    shown = await bakery.responses()
    assert [(r["status"], r["attempts"]) for r in shown.values()] == [("done", 1)] * 2


async def test_what_somebody_is_at_is_left_to_them(bakery: Bakery, receiver: Receiver) -> None:
    import asyncio

    receiver.hang = True
    await bakery.rule({"name": "tell", "on": "raised", "call": {"url": receiver.url}})
    await bakery.reads(260)
    (message,) = await bakery.house.receiver.receive("alert-responses", 10)
    handle = bakery.house.responding.work.handle
    first = asyncio.create_task(handle(message.body))
    await asyncio.wait_for(receiver.arrived.wait(), 5)
    await handle(message.body)
    assert (await bakery.responses())["tell"]["status"] == "running"
    first.cancel()  # the process dies
    await asyncio.gather(first, return_exceptions=True)
    bakery.clock.advance(130)
    await handle(message.body)
    assert (await bakery.responses())["tell"]["status"] == "unknown"
    assert len(receiver.seen) == 1


async def test_a_message_that_got_lost_is_sent_again(bakery: Bakery) -> None:
    await bakery.rule(LOOK)
    await bakery.reads(260)
    (message,) = await bakery.house.receiver.receive("alert-responses", 10)
    await bakery.house.receiver.complete("alert-responses", message)
    assert await bakery.house.responding.work.sweep() == 0, "it is not overdue yet"
    bakery.clock.advance(61)
    assert await bakery.house.responding.work.sweep() == 1
    await bakery.respond()
    assert (await bakery.responses())["look"]["status"] == "done"
    assert await bakery.house.responding.work.sweep() == 0


async def test_a_failure_that_could_not_be_told_is_told_later(bakery: Bakery, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.errors import Unavailable
    from shared.events import Event, EventLog

    real = EventLog.publish

    async def away(self: EventLog, event: Event) -> int:
        if event.type == "ALERT_RESPONSE_FAILED":
            raise Unavailable("The queue is away.")
        return await real(self, event)

    await bakery.rule(COOL)
    await bakery.reads(260)
    bakery.clock.advance(700)
    monkeypatch.setattr(EventLog, "publish", away)
    await bakery.respond()
    assert await bakery.told("ALERT_RESPONSE_FAILED") == []
    monkeypatch.setattr(EventLog, "publish", real)
    bakery.clock.advance(61)
    assert await bakery.house.responding.work.sweep() == 1
    await bakery.respond()
    assert len(await bakery.told("ALERT_RESPONSE_FAILED")) == 1
    assert await bakery.house.responding.work.sweep() == 0


async def test_another_machine_is_written_and_counted(bakery: Bakery) -> None:
    await bakery.oven("oven-2")
    await bakery.rule({"name": "cool", "on": "raised", "write": {**COOL["write"], "equipment_id": "oven-2"}})  # type: ignore[dict-item]
    await bakery.reads(260)
    await bakery.respond()
    assert (await bakery.responses())["cool"]["status"] == "done"
    entries = (await bakery.house.audit.entries(stream="equipment:oven-2")).entries
    assert "signal.written" in [e.action for e in entries]
    assert await bakery.house.responding.work.budget.left("oven-2") == 19
    assert await bakery.house.responding.work.budget.left("oven-1") == 20


async def test_a_set_that_belongs_elsewhere_now_is_not_sent(bakery: Bakery, receiver: Receiver) -> None:
    sets = "/api/v1/credential-sets/desk"
    put = {"endpoint": receiver.url, "credentials": {"token": "abc"}}
    assert (await bakery.api.put(sets, json=put)).status == 201
    rule = await bakery.rule({"name": "tell", "on": "raised", "call": {"url": receiver.url, "credentials": "desk"}})
    assert (await bakery.api.delete(sets)).status == 204
    said = (await bakery.api.post(f"/api/v1/alert-rules/{rule}/responses/tell/test", json={"send": True})).json()
    assert (said["ready"], said["sent"]) == (False, None)
    assert (await bakery.api.put(sets, json=put | {"endpoint": "https://desk.example"})).status == 201
    await bakery.reads(260)
    await bakery.respond()
    shown = (await bakery.responses())["tell"]
    assert (shown["status"], receiver.seen) == ("failed", [])
    assert "belongs to https://desk.example" in shown["outcome"]
