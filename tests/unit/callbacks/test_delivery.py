"""Delivery: what a receiver's answer leads to (reference/azure.md section 3.2, the chapter's section 3.2.1.2)."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from aiohttp import web

from shared.callbacks.document import QUEUE, delivery_id, wake
from shared.callbacks.model import Credentials, State
from shared.clock import iso
from shared.errors import Conflict, InvalidInput, NotFound
from shared.services import Services
from shared.settings import Settings
from tests.unit.callbacks.conftest import ENGINEER, Stage
from tests.unit.callbacks.receiver import Notification


async def test_a_notification_arrives_and_is_confirmed(stage: Stage) -> None:
    callback = await stage.register()
    event = await stage.publish(data={"n": 1}, object_type="TOOL", object_id="T1", name="MY", correlation_id="corr-1")
    await stage.settle()
    (seen,) = stage.receiver.seen
    assert seen.json() == {
        "properties": {
            "callbackId": callback.id,
            "timestamp": iso(event.timestamp),
            "data": {"n": 1},
            "objectId": "T1",
            "objectType": "TOOL",
            "eventType": "EXTERNAL",
            "eventName": "MY",
        },
        "_links": {
            "callback": {
                "method": "GET",
                "embeddable": True,
                "href": f"http://127.0.0.1:7071/ffwebservices/api/v2/callbacks/{callback.id}",
            }
        },
    }
    assert seen.headers["content-type"] == "application/json"
    assert seen.webhook_id == f"{callback.id}-{event.id}"
    assert seen.headers["webhook-timestamp"] == str(int(stage.clock.now().timestamp()))
    assert seen.headers["x-ovenbridge-attempt"] == "1"
    assert seen.headers["x-correlation-id"] == "corr-1"
    document = await stage.only(callback)
    assert (document["status"], document["nextAttemptAt"], document["correlationId"]) == ("confirmed", None, "corr-1")
    assert [(t["n"], t["status"]) for t in document["attempts"]] == [(1, 200)]
    await stage.pass_time(3600)
    assert len(stage.receiver.seen) == 1


async def test_publishing_twice_tells_once(stage: Stage) -> None:
    await stage.register()
    await stage.publish("same")
    await stage.publish("same")
    await stage.settle()
    stage.clock.advance(1000)  # beyond the queue's window for duplicates
    await stage.publish("same")
    await stage.settle()
    assert len(stage.receiver.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 413, 429, 500, 503])
async def test_anything_but_2xx_is_tried_again_after_ten_seconds(stage: Stage, status: int) -> None:
    callback = await stage.register()
    stage.receiver.answer = lambda _: web.Response(status=status, headers={"Location": stage.receiver.url + "/else"})
    await stage.publish()
    await stage.settle()
    document = await stage.only(callback)
    assert (document["status"], document["attempt"]) == ("retrying", 1)
    assert document["nextAttemptAt"] == iso(stage.clock.now() + timedelta(seconds=10))
    assert document["attempts"][0]["reason"] == f"http_{status}"
    assert str(status) in document["attempts"][0]["detail"]
    await stage.pass_time(9.9)
    assert len(stage.receiver.seen) == 1, "not before its time"
    stage.receiver.answer = 204
    await stage.pass_time(0.2)
    assert [n.headers["x-ovenbridge-attempt"] for n in stage.receiver.seen] == ["1", "2"]
    assert len(stage.receiver.ids()) == 1, "the same webhook-id over retries"
    assert {n.path for n in stage.receiver.seen} == {"/a"}, "a redirect is never followed"
    assert (await stage.only(callback))["status"] == "confirmed"


@pytest.mark.parametrize("retries", [0, 1, 5])
async def test_exactly_one_attempt_more_than_retries(stage: Stage, retries: int) -> None:
    callback = await stage.register(max_retries=retries)
    stage.receiver.answer = 500
    await stage.publish()
    await stage.settle()
    await stage.pass_time(10.1, steps=retries + 3)
    assert len(stage.receiver.seen) == retries + 1
    document = await stage.only(callback)
    assert (document["status"], document["discardReason"]) == ("discarded", "max_attempts")
    assert f"the last of {retries + 1} attempts" in document["discardDetail"]


async def test_the_log_of_attempts_is_bounded(stage: Stage) -> None:
    callback = await stage.register(max_retries=40)
    stage.receiver.answer = lambda n: web.Response(status=500, text="x" * 5000)
    await stage.publish()
    await stage.settle()
    await stage.pass_time(10.1, steps=41)
    document = await stage.only(callback)
    assert [t["n"] for t in document["attempts"]] == list(range(22, 42))
    assert all(len(t["answer"]) == 500 for t in document["attempts"])


async def test_secrets_in_an_answer_are_not_kept(stage: Stage) -> None:
    callback = await stage.register()
    stage.receiver.answer = lambda _: web.Response(status=500, text="bad header Authorization: Bearer abcdefgh12345")
    await stage.publish()
    await stage.settle()
    assert "abcdefgh12345" not in str(await stage.only(callback))


@pytest.mark.parametrize("before", [0, 490])
async def test_a_receiver_that_repeats_what_it_was_sent(stage: Stage, before: int) -> None:
    """The path of such an address is its key, and anybody may read what was answered."""
    words = Credentials(headers={"x-routing": "q1w2e3r4t5"})
    callback = await stage.register("/hooks/T0123456/x9y8z7w6v5?code=zyxwvutsrq", credentials=words)

    def echo(seen: Notification) -> web.Response:
        return web.Response(status=500, text="." * before + f"{seen.headers['x-routing']} {seen.path} is not here")

    stage.receiver.answer = echo
    await stage.publish()
    await stage.settle()
    tried = (await stage.only(callback))["attempts"][0]
    for secret in ("q1w2", "T012", "x9y8", "zyxw"):
        assert secret not in tried["answer"]
    assert before or "is not here" in tried["answer"]


async def test_410_discards_and_disables(stage: Stage) -> None:
    callback = await stage.register()
    stage.receiver.answer = 410
    await stage.publish()
    await stage.settle()
    document = await stage.only(callback)
    assert (document["status"], document["discardReason"]) == ("discarded", "gone")
    shown = await stage.house.callbacks.get(callback.id)
    assert shown.state is State.DISABLED
    assert shown.disabled_reason is not None
    assert "410" in shown.disabled_reason
    entries = (await stage.house.audit.entries(stream=f"callback:{callback.id}")).entries
    assert [e.action for e in entries] == ["callback.disabled", "callback.created"]
    # What happens meanwhile is kept, not sent, and comes with a replay after enabling.
    stage.receiver.answer = 200
    event = await stage.publish()
    await stage.settle()
    assert len(stage.receiver.seen) == 1
    kept = (await stage.deliveries(callback))[-1]
    assert (kept["status"], kept["discardReason"]) == ("discarded", "callback_disabled")
    replay = stage.house.deliveries.browse.replay
    with pytest.raises(Conflict, match="enable"):
        await replay(delivery_id(callback.id, kept["id"]), caller=ENGINEER)
    await stage.house.callbacks.enable(callback.id, caller=ENGINEER)
    await replay(delivery_id(callback.id, kept["id"]), caller=ENGINEER)
    await stage.settle()
    assert stage.receiver.seen[-1].webhook_id == f"{callback.id}-{event.id}"


async def test_the_receiver_is_down_then_up(stage: Stage) -> None:
    callback = await stage.register(url="http://127.0.0.1:9/closed")
    await stage.publish()
    await stage.settle()
    document = await stage.only(callback)
    assert document["attempts"][0]["reason"] == "refused"
    await stage.house.callbacks.sealed.seal(callback.id, stage.receiver.url + "/a", Credentials())
    await stage.pass_time(10.1)
    assert len(stage.receiver.seen) == 1
    assert (await stage.only(callback))["status"] == "confirmed"


async def test_a_connection_that_is_reset(stage: Stage) -> None:
    callback = await stage.register()
    stage.receiver.reset = True
    await stage.publish()
    await stage.settle()
    assert (await stage.only(callback))["attempts"][0]["reason"] == "reset"
    stage.receiver.reset = False
    await stage.pass_time(10.1)
    assert (await stage.only(callback))["status"] == "confirmed"


async def test_an_event_about_something_else_is_filtered(stage: Stage) -> None:
    await stage.register("/two", object_ids=("A1", "A2"))
    await stage.register("/all")
    for object_id in ("A1", "A2", "B", None):
        await stage.publish(object_type="TOOL", object_id=object_id)
    await stage.settle()
    assert len(stage.receiver.at("/all")) == 4
    told = [n.json()["properties"]["objectId"] for n in stage.receiver.at("/two")]
    assert sorted(told) == ["A1", "A2"]


async def test_a_name_selects_external_events_and_labels_the_others(stage: Stage) -> None:
    await stage.register("/mine", event_name="MINE")
    await stage.register("/alerts", event_type="ALERT_RAISED", event_name="Oven 7 is too hot")
    await stage.publish(name="MINE")
    await stage.publish(name="OTHER")
    await stage.publish()
    await stage.publish(type="ALERT_RAISED", object_type="MACHINE", object_id="OVEN-7")
    await stage.settle()
    assert [n.json()["properties"]["eventName"] for n in stage.receiver.at("/mine")] == ["MINE", "MINE"]
    assert [n.json()["properties"]["eventName"] for n in stage.receiver.at("/alerts")] == ["Oven 7 is too hot"]


async def test_credentials_reach_the_receiver_and_nothing_else(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    plain = stage.receiver.url.replace("http://", "http://user:pa%3Ass@") + "/u?sig=topsecret"
    by_url = await stage.register(url=plain)
    basic = await stage.register("/b", credentials=Credentials(username="ann", password="hidden-1"))
    bearer = await stage.register("/t", credentials=Credentials(bearer="hidden-2"))
    other = await stage.register("/h", credentials=Credentials(headers={"X-Api-Key": "hidden-3"}))
    await stage.publish()
    await stage.settle()
    by_path = {n.path: n.headers for n in stage.receiver.seen}
    assert by_path["/u?sig=topsecret"]["authorization"] == "Basic dXNlcjpwYTpzcw=="
    assert by_path["/b"]["authorization"] == "Basic YW5uOmhpZGRlbi0x"
    assert by_path["/t"]["authorization"] == "Bearer hidden-2"
    assert by_path["/h"]["x-api-key"] == "hidden-3"
    assert (by_url.url, by_url.authentication) == (f"{stage.receiver.url}/u?sig=***", "basic")
    assert [c.authentication for c in (basic, bearer, other)] == ["basic", "bearer", "headers"]
    stored = [c async for c in _everything(stage.house)]
    for secret in ("topsecret", "pa%3Ass", "hidden-", "dXNl", "YW5u"):
        assert secret not in str(stored)
        assert secret not in caplog.text


async def _everything(house: Services):  # type: ignore[no-untyped-def]
    from shared.storage import Query, every

    for container in ("callbacks", "deliveries", "audit", "events"):
        async for stored in every(house.store, container, Query(limit=1000)):
            yield stored.document


async def test_deleting_discards_what_waits(stage: Stage) -> None:
    callback = await stage.register()
    stage.receiver.answer = 500
    await stage.publish()
    await stage.settle()  # one is retrying
    await stage.publish()  # one has not been tried
    await stage.house.callbacks.delete(callback.id, caller=ENGINEER)
    await stage.pass_time(10.1, steps=3)
    assert len(stage.receiver.seen) == 1
    assert [d["discardReason"] for d in await stage.deliveries(callback)] == ["callback_deleted"] * 2
    with pytest.raises(NotFound):
        await stage.house.callbacks.get(callback.id)
    with pytest.raises(NotFound):
        await stage.house.vault.get(f"cb-{callback.id}")
    assert stage.house.callbacks.sealed.known(callback.id) is None, "nor kept in memory"
    with pytest.raises(Conflict, match="deleted"):
        await stage.house.deliveries.browse.replay(f"{callback.id}-E1", caller=ENGINEER)


async def test_credentials_that_were_renewed_in_the_vault_are_used_after_a_refusal(stage: Stage) -> None:
    def judge(notification: Notification) -> int:
        return 200 if notification.headers.get("authorization") == "Bearer renewed" else 401

    callback = await stage.register(credentials=Credentials(bearer="outdated"))
    stage.receiver.answer = judge
    secret = json.dumps({"url": f"{stage.receiver.url}/a", "headers": {"Authorization": "Bearer renewed"}})
    await stage.publish()
    await stage.settle()
    await stage.house.vault.set(f"cb-{callback.id}", secret)  # by a person, in the vault itself
    await stage.pass_time(10.1)
    assert [n.headers["authorization"] for n in stage.receiver.seen] == ["Bearer outdated", "Bearer renewed"]
    assert (await stage.only(callback))["status"] == "confirmed"


async def test_a_vault_without_the_address_is_a_failure_with_a_reason(stage: Stage) -> None:
    callback = await stage.register()
    await stage.house.callbacks.sealed.forget(callback.id)
    await stage.publish()
    await stage.settle()
    assert (await stage.only(callback))["attempts"][0]["reason"] == "no_destination"


async def test_a_poison_message_is_dead_lettered(stage: Stage) -> None:
    for body in (b"", b"no json", b"[]", b'{"callbackId": 1, "deliveryId": "d:x", "attempt": 0}'):
        with pytest.raises(InvalidInput):
            await stage.house.deliveries.deliver(body)


async def test_a_message_without_its_delivery_is_let_go(stage: Stage) -> None:
    await stage.house.deliveries.deliver(b'{"callbackId": "X", "deliveryId": "d:none", "attempt": 0}')


async def test_a_timeout_is_a_failure_and_no_longer_than_the_setting(
    tmp_path_factory: pytest.TempPathFactory, stage: Stage
) -> None:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("short"),
        allow_private_targets=True,
        allow_http_targets=True,
        delivery_timeout_seconds=0.2,
    )
    house = Services(settings, stage.clock)
    try:
        stage.house = house
        callback = await stage.register()
        stage.receiver.hang = True
        await stage.publish()
        (received,) = await house.receiver.receive(QUEUE, 1)
        started = asyncio.get_running_loop().time()
        await house.deliveries.deliver(received.body)
        assert asyncio.get_running_loop().time() - started < 2
        assert (await stage.only(callback))["attempts"][0]["reason"] == "timeout"
    finally:
        await house.close()


async def test_two_messages_of_one_attempt_do_it_once(stage: Stage) -> None:
    callback = await stage.register()
    stage.receiver.answer = 500
    await stage.publish()
    document = await stage.only(callback)
    twice = [stage.house.deliveries.deliver(wake(document, 0).body) for _ in range(2)]
    await asyncio.gather(*twice)
    assert len(stage.receiver.seen) == 1
    assert (await stage.only(callback))["attempt"] == 1


async def test_an_old_message_repairs_a_schedule_that_was_never_sent(stage: Stage) -> None:
    """Killed between writing the next attempt and scheduling it: the message in hand comes again."""
    callback = await stage.register()
    stage.receiver.answer = 500
    await stage.publish()
    (received,) = await stage.house.receiver.receive(QUEUE, 1)
    send = stage.house.queue.send
    lost: list[object] = []

    async def lose(queue: str, messages: object) -> None:
        lost.append(messages)

    stage.house.queue.send = lose  # type: ignore[method-assign]
    await stage.house.deliveries.deliver(received.body)
    stage.house.queue.send = send  # type: ignore[method-assign]
    assert lost
    assert (await stage.only(callback))["attempt"] == 1
    await stage.house.deliveries.deliver(received.body)
    assert len(stage.receiver.seen) == 1, "the old message posts nothing"
    await stage.house.receiver.complete(QUEUE, received)
    stage.receiver.answer = 200
    await stage.pass_time(10.1)
    assert len(stage.receiver.seen) == 2
    assert (await stage.only(callback))["status"] == "confirmed"


async def test_message_ids_differ_by_callback_and_attempt(stage: Stage) -> None:
    """`d:{eventId}` is the same for three callbacks, and a queue drops an id it has seen."""
    callbacks = [await stage.register(f"/{n}") for n in range(3)]
    await stage.publish()
    documents = [await stage.only(callback) for callback in callbacks]
    ids = {wake(d, attempt).message_id for d in documents for attempt in range(4)}
    assert len(ids) == 12
    assert all(len(i) <= 128 for i in ids)
    await stage.settle()
    assert {n.path for n in stage.receiver.seen} == {"/0", "/1", "/2"}


async def test_one_message_id_for_all_attempts_would_strand_deliveries(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap of reference/azure.md 3.2, set on purpose: this is what the ids protect from."""
    from shared.callbacks import delivery as module

    def careless(document, attempt, *, at=None, suffix=""):  # type: ignore[no-untyped-def]
        made = wake(document, attempt, at=at)
        return type(made)(made.body, made.message_id.split(":")[0] + ":0", made.at)

    monkeypatch.setattr(module, "wake", careless)
    callback = await stage.register()
    stage.receiver.answer = 500
    await stage.publish()
    await stage.settle()
    await stage.pass_time(10.1)
    stage.receiver.answer = 200
    await stage.pass_time(10.1, steps=5)
    assert len(stage.receiver.seen) == 2, "the second retry was swallowed"
    stranded = await stage.only(callback)
    assert stranded["status"] == "retrying"
    # ... and the sweep frees even those.
    monkeypatch.undo()
    stage.clock.advance(120)
    assert await stage.house.deliveries.sweep() == 1
    await stage.settle()
    assert (await stage.only(callback))["status"] == "confirmed"


async def test_a_notification_with_much_data(stage: Stage) -> None:
    await stage.register()
    data = {"text": "ü" * 300_000}
    await stage.publish(data=data)
    await stage.settle()
    assert stage.receiver.seen[0].json()["properties"]["data"] == data


async def test_the_store_is_asked_three_times_on_the_happy_path(stage: Stage) -> None:
    """Create, (read,) patch; one message. The event's own log entry is not the delivery's."""
    await stage.register()
    await stage.publish()  # the registrations are read once
    await stage.settle()
    calls: list[str] = []
    for name in ("create", "create_each", "read", "patch", "query"):
        setattr(stage.house.store, name, _counted(getattr(stage.house.store, name), name, calls))
    stage.house.queue.send = _counted(stage.house.queue.send, "send", calls)  # type: ignore[method-assign]
    await stage.publish()
    assert sorted(calls) == ["create", "create_each", "send"], "deliveries, message, event log"
    calls.clear()
    await stage.settle()
    assert calls == ["patch"]


def _counted(original, name: str, calls: list[str]):  # type: ignore[no-untyped-def]
    async def counted(*args, **kwargs):  # type: ignore[no-untyped-def]
        calls.append(name)
        return await original(*args, **kwargs)

    return counted


async def test_every_path_that_a_receiver_registered_is_sent_byte_for_byte(stage: Stage) -> None:
    await stage.register("/p%2Fq/ä?x=%2B+&y".replace("ä", "%C3%A4"))
    await stage.publish()
    await stage.settle()
    assert stage.receiver.seen[0].path == "/p%2Fq/%C3%A4?x=%2B+&y"


async def test_a_disabled_callback_gives_up_what_waited(stage: Stage) -> None:
    callback = await stage.register()
    stage.receiver.answer = lambda n: 410 if n.json()["properties"]["data"]["n"] == 1 else 500
    for n in (0, 1):
        await stage.publish(data={"n": n})
    await stage.settle()
    await stage.pass_time(10.1)
    reasons = sorted(d["discardReason"] for d in await stage.deliveries(callback))
    assert reasons == ["callback_disabled", "gone"]
    assert len(stage.receiver.seen) == 2
