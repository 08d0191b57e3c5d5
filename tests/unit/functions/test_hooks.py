"""The door: who may call in, what is kept, what it leads to, and what people see of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.access import system
from shared.clock import ManualClock
from shared.inbox.model import partition_of
from shared.inbox.sources import HookSources
from shared.services import Services
from tests.api import Api, ApiAnswer, Drained


async def create(api: Api, **wanted: Any) -> dict[str, Any]:
    answer = await api.post("/api/v1/hook-sources", json={"id": "press"} | wanted)
    assert answer.status == 201, answer.body
    body: dict[str, Any] = answer.json()
    return body


def path(made: dict[str, Any]) -> str:
    return str(urlsplit(made["url"]).path)


def signed(secret: str, raw: bytes, clock: ManualClock, id: str = "msg_1") -> dict[str, str]:
    stamp = str(int(clock.now().timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = base64.b64encode(hmac.new(key, f"{id}.{stamp}.".encode() + raw, hashlib.sha256).digest()).decode()
    return {"webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{mac}"}


async def test_a_message_comes_in_and_becomes_an_event(
    api: Api, house: Services, drain: Callable[..., Awaitable[Drained]]
) -> None:
    made = await create(api, name="Press 1", equipment_id="PRESS-1", event_name="PRESS_DONE")
    answer = await api.post(path(made), body=b'{"pieces": 12}', headers={"content-type": "text/plain"})
    assert answer.status == 202
    message_id = answer.json()["id"]
    assert (await drain(queues=("inbound-events",))).failures == []
    message = (await api.get(f"/api/v1/inbox/{message_id}")).json()
    assert (message["status"], message["verdict"], message["body"]) == ("handled", "unsigned", '{"pieces": 12}')
    assert message["headers"]["content-type"] == "text/plain"
    assert message["effect"]["eventType"] == "EXTERNAL"
    assert message["equipment_id"] == "PRESS-1"
    assert message["correlation_id"] == answer.headers["x-correlation-id"]


async def test_the_address_is_a_secret(api: Api) -> None:
    made = await create(api)
    source, token = path(made).split("/")[-2:]
    assert len(token) >= 22
    listed = await api.get("/api/v1/hook-sources")
    one = await api.get("/api/v1/hook-sources/press")
    trail = await api.get("/api/v1/audit")
    for answer in (listed, one, trail):
        assert answer.status == 200
        assert token not in answer.body.decode()
    wrong: list[ApiAnswer] = [
        await api.post(f"/api/hooks/{source}/{'A' * 22}", json={}),
        await api.post(f"/api/hooks/unknown/{token}", json={}),
        await api.post(f"/api/hooks/{source.upper()}x/{token}", json={}),
        await api.post(f"/api/hooks/..%2f/{token}", json={}),
    ]
    said = [{k: v for k, v in answer.json().items() if k != "correlation_id"} for answer in wrong]
    assert {answer.status for answer in wrong} == {404}
    assert all(body == said[0] for body in said), "nobody learns whether the source or the token is wrong"
    assert (await api.get("/api/v1/inbox")).json()["messages"] == []


async def test_nobody_need_sign_in_and_no_origin_matters(api: Api) -> None:
    made = await create(api)
    headers = {"Host": "ovenbridge.example", "Origin": "https://tenant.example", "Authorization": "Basic x"}
    assert (await api.post(path(made), json={}, headers=headers)).status == 202


async def test_a_signing_source(api: Api, clock: ManualClock) -> None:
    made = await create(api, generate_signing_secret=True)
    secret = made["signing_secret"]
    assert secret not in (await api.get("/api/v1/hook-sources/press")).body.decode()
    raw = b'{ "a" : 1 }'
    good = await api.post(path(made), body=raw, headers=signed(secret, raw, clock))
    assert good.status == 202
    again = await api.post(path(made), body=raw, headers=signed(secret, raw, clock))
    assert (again.status, again.json()) == (200, {"status": "duplicate", "id": good.json()["id"]})
    for headers, words in (
        ({}, "webhook-id"),
        (signed(secret, b"{}", clock, "msg_2"), "does not match"),
        (signed(secret, raw, clock, "msg_3") | {"webhook-timestamp": "1600000000"}, "too old"),
    ):
        answer = await api.post(path(made), body=raw, headers=headers)
        assert answer.status == 401
        assert words in answer.json()["detail"]
    kept = (await api.get("/api/v1/inbox?verdict=rejected")).json()["messages"]
    assert len(kept) == 3
    assert all(message["status"] == "rejected" and message["reason"] for message in kept)


async def test_rotation_overlaps(api: Api, clock: ManualClock) -> None:
    made = await create(api)
    rotated = (await api.post("/api/v1/hook-sources/press/rotate", json={"keep_old_seconds": 60})).json()
    assert path(rotated) != path(made)
    assert (await api.post(path(made), json={})).status == 202
    assert (await api.post(path(rotated), json={})).status == 202
    clock.advance(61)
    assert (await api.post(path(made), json={})).status == 404
    assert (await api.post(path(rotated), json={})).status == 202
    at_once = (await api.post("/api/v1/hook-sources/press/rotate", json={"keep_old_seconds": 0})).json()
    assert (await api.post(path(rotated), json={})).status == 404
    assert (await api.post(path(at_once), json={})).status == 202
    assert (await api.post("/api/v1/hook-sources/press/rotate")).status == 200


async def test_an_address_expires_and_rotating_opens_it_again(api: Api, clock: ManualClock) -> None:
    made = await create(api, expires_at="2026-11-21T10:01:00Z")
    assert (made["status"], made["expires_at"], made["last_used_at"]) == ("active", "2026-11-21T10:01:00.000Z", None)
    assert (await api.post(path(made), json={})).status == 202
    assert (await api.get("/api/v1/hook-sources/press")).json()["last_used_at"] == "2026-11-21T10:00:00.000Z"
    clock.advance(60)
    assert (await api.post(path(made), json={})).status == 404
    assert (await api.get("/api/v1/hook-sources/press")).json()["status"] == "expired"
    rotated = (await api.post("/api/v1/hook-sources/press/rotate")).json()
    assert (rotated["status"], rotated["expires_at"]) == ("active", None)
    assert (await api.post(path(rotated), json={})).status == 202
    assert (await api.post(path(made), json={})).status == 404, "what has expired gets no time of grace"


async def test_an_expiry_in_the_past_is_refused(api: Api) -> None:
    for route, body in (("", {"id": "late"}), ("/press/rotate", {})):
        if not route:
            await create(api)
        refused = await api.post(f"/api/v1/hook-sources{route}", json={**body, "expires_at": "2026-11-21T10:00:00Z"})
        assert refused.status == 400
        assert refused.json()["problems"][0]["field"] == "expires_at"


async def test_a_revoked_address_is_closed_and_its_source_stays(api: Api, house: Services) -> None:
    made = await create(api, generate_signing_secret=True)
    revoked = await api.post("/api/v1/hook-sources/press/revoke")
    assert (revoked.status, revoked.json()["status"]) == (200, "revoked")
    assert (await api.post("/api/v1/hook-sources/press/revoke")).json() == revoked.json()
    assert (await api.post(path(made), json={})).status == 404
    assert len(await house.vault.list()) == 1, "its secret is kept for the day it is opened again"
    rotated = (await api.post("/api/v1/hook-sources/press/rotate")).json()
    assert (rotated["status"], rotated["revoked_at"]) == ("active", None)
    assert (await api.post(path(made), json={})).status == 404
    actions = [e["action"] for e in (await api.get("/api/v1/audit?stream=hook:press")).json()["entries"]]
    assert actions == ["hook.rotated", "hook.revoked", "hook.created"]


async def test_the_last_use_is_noted_now_and_then(api: Api, clock: ManualClock) -> None:
    made = await create(api)
    seen = []
    for pause in (0, 60, 300):
        clock.advance(pause)
        assert (await api.post(path(made), json={})).status == 202
        seen.append((await api.get("/api/v1/hook-sources/press")).json()["last_used_at"])
    assert seen == ["2026-11-21T10:00:00.000Z", "2026-11-21T10:00:00.000Z", "2026-11-21T10:06:00.000Z"]
    await api.post(path(made) + "x", json={})
    assert (await api.get("/api/v1/hook-sources/press")).json()["last_used_at"] == seen[-1]


async def test_deletion(api: Api, house: Services) -> None:
    made = await create(api, generate_signing_secret=True)
    assert (await api.delete("/api/v1/hook-sources/press")).status == 204
    assert (await api.post(path(made), json={})).status == 404
    assert (await api.delete("/api/v1/hook-sources/press")).status == 404
    assert await house.vault.list() == [], "its secret is forgotten too"
    actions = [e["action"] for e in (await api.get("/api/v1/audit?stream=hook:press")).json()["entries"]]
    assert actions == ["hook.deleted", "hook.created"]


async def test_a_source_is_changed_in_place(api: Api) -> None:
    made = await create(api, name="Press 1", event_name="PRESS_DONE")
    wanted = {"name": "Press, hall 2", "event_name": "", "identical_within_seconds": 5}
    changed = await api.patch("/api/v1/hook-sources/press", json=wanted)
    assert changed.status == 200, changed.body
    assert {k: changed.json()[k] for k in wanted} == wanted | {"event_name": None}
    assert (await api.post(path(made), json={})).status == 202, "its address stays"
    entry = (await api.get("/api/v1/audit?stream=hook:press")).json()["entries"][0]
    assert (entry["action"], entry["before"]["name"]) == ("hook.changed", "Press 1")
    nothing = await api.patch("/api/v1/hook-sources/press", json={})
    assert nothing.status == 400
    unknown = await api.patch("/api/v1/hook-sources/press", json={"options": {"x": 1}})
    assert (unknown.status, unknown.json()["problems"][0]["field"]) == (400, "options.x")
    assert (await api.patch("/api/v1/hook-sources/other", json={"name": "x"})).status == 404


async def test_the_secret_before_counts_on_for_a_while(api: Api, house: Services, clock: ManualClock) -> None:
    made = await create(api, generate_signing_secret=True)
    old, raw = made["signing_secret"], b"{}"
    wanted = {"generate_signing_secret": True, "keep_old_seconds": 600}
    for _ in range(2):
        before = old
        given = await api.post("/api/v1/hook-sources/press/secrets", json=wanted)
        assert given.status == 200, given.body
        new = given.json()["signing_secret"]
        assert given.json()["old_secrets_until"] == "2026-11-21T10:10:00.000Z"
        for number, secret in enumerate((before, new)):
            headers = signed(secret, raw, clock, f"msg_{secret[-6:]}_{number}")
            assert (await api.post(path(made), body=raw, headers=headers)).status == 202
        old = new
    assert len(await house.vault.list()) == 2, "what no longer counts is forgotten"
    clock.advance(601)
    assert (await api.post(path(made), body=raw, headers=signed(before, raw, clock))).status == 401
    assert (await api.post(path(made), body=raw, headers=signed(old, raw, clock))).status == 202
    assert old not in (await api.get("/api/v1/audit?stream=hook:press")).body.decode()
    assert (await api.post("/api/v1/hook-sources/press/secrets", json={})).status == 400


async def test_another_instance_gives_it_other_secrets(api: Api, house: Services, clock: ManualClock) -> None:
    """For some seconds we know a secret's name that is gone: the sender is to try again, not to give up."""
    made, raw = await create(api, generate_signing_secret=True), b"{}"
    await house.hook_sources.admit("press", path(made).rsplit("/", 1)[1])
    there = HookSources(house.store, house.vault, house.audit, house.clock)
    secret = f"whsec_{base64.b64encode(b'k' * 32).decode()}"
    given: dict[str, Any] = {"signing_secret": secret, "credentials": None, "keep_old_seconds": 0}
    await there.give_secrets("press", **given, caller=system("test"))
    first = await api.post(path(made), body=raw, headers=signed(secret, raw, clock))
    assert (first.status, first.headers["retry-after"]) == (503, "2"), first.body
    assert (await api.post(path(made), body=raw, headers=signed(secret, raw, clock))).status == 202


async def test_a_broker_whose_credentials_are_lost_is_shown_and_holds_nobody_up(api: Api, house: Services) -> None:
    broker = {"endpoint": "mqtts://127.0.0.1:1", "username": "hub", "password": "pw-51"}
    await create(api, kind="force_bridge_mqtt", broker=broker)
    (secret,) = await house.vault.list()
    await house.vault.delete(secret.name)
    assert await house.lan_notifications.fetch() == 0
    error = (await api.get("/api/v1/hook-sources/press")).json()["broker_error"]
    assert "The vault has lost the broker's credentials of press" in error


async def test_an_id_that_exists_stays_as_it_is(api: Api, clock: ManualClock) -> None:
    made = await create(api, generate_signing_secret=True)
    again = await api.post("/api/v1/hook-sources", json={"id": "press", "generate_signing_secret": True})
    assert again.status == 409
    raw = b"{}"
    assert (await api.post(path(made), body=raw, headers=signed(made["signing_secret"], raw, clock))).status == 202


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"id": "Press 1"}, "id"),
        ({"id": "a/b"}, "id"),
        ({"id": "x" * 64}, "id"),
        ({"kind": "nobody"}, "kind"),
        ({"signing_secret": "short"}, "signing_secret"),
        ({"signing_secret": "whsec_" + "A" * 44, "generate_signing_secret": True}, "body"),
        ({"identical_within_seconds": 3601}, "identical_within_seconds"),
        ({"equipment_id": "a b"}, "equipment_id"),
        ({"token": "mine"}, "token"),
    ],
)
async def test_wrong_sources_are_named(api: Api, wanted: dict[str, Any], field: str) -> None:
    answer = await api.post("/api/v1/hook-sources", json={"id": "press"} | wanted)
    assert answer.status == 400
    assert answer.json()["problems"][0]["field"] == field
    assert (await api.get("/api/v1/hook-sources")).json()["sources"] == []


async def test_a_body_too_large(api: Api) -> None:
    made = await create(api)
    assert (await api.post(path(made), body=b"x" * 1_048_577)).status == 413
    assert (await api.post(path(made), body=b"x" * 1_048_576)).status == 202


@pytest.mark.parametrize("raw", [random.Random(1).randbytes(1_048_576), b'"' * 600_000, "ü".encode() * 131_073])
async def test_a_large_body_is_kept_as_it_came(api: Api, house: Services, raw: bytes) -> None:
    made = await create(api)
    answer = await api.post(path(made), body=raw)
    assert answer.status == 202
    stored = await house.store.read("inbound", partition_of(answer.json()["id"]), answer.json()["id"])
    assert len(json.dumps(stored.document)) < 1_900_000, "Cosmos DB takes 2 MB"
    assert (await house.inbox.get(answer.json()["id"])).raw == raw


async def test_replay(api: Api, drain: Callable[..., Awaitable[Drained]]) -> None:
    made = await create(api)
    message_id = (await api.post(path(made), json={})).json()["id"]
    assert (await api.post(f"/api/v1/inbox/{message_id}/replay")).status == 409
    await drain(queues=("inbound-events",))
    assert (await api.post(f"/api/v1/inbox/{message_id}/replay")).status == 202
    await drain(queues=("inbound-events",))
    assert (await api.get(f"/api/v1/inbox/{message_id}")).json()["replays"] == 1
    assert (await api.post("/api/v1/inbox/nonsense/replay")).status == 404
    assert (await api.get(f"/api/v1/inbox/w:press:2026-11-21:{'0' * 32}")).status == 404


async def test_the_sweeper_runs_by_timer(
    api: Api,
    house: Services,
    clock: ManualClock,
    tick: Callable[..., Awaitable[None]],
    drain: Callable[..., Awaitable[Drained]],
) -> None:
    made = await create(api)
    message_id = (await api.post(path(made), json={})).json()["id"]
    for received in await house.receiver.receive("inbound-events", 10):
        await house.receiver.complete("inbound-events", received)  # lost
    clock.advance(61)
    await tick("sweep_inbound")
    await drain(queues=("inbound-events",))
    assert (await api.get(f"/api/v1/inbox/{message_id}")).json()["status"] == "handled"


async def test_roles(api: Api) -> None:
    token = (await api.post("/api/v1/tokens", json={"name": "v", "roles": ["viewer"]})).json()["token"]
    viewer = Api({"Authorization": f"Bearer {token}"})
    assert (await viewer.get("/api/v1/hook-sources")).status == 200
    assert (await viewer.get("/api/v1/inbox")).status == 200
    assert (await viewer.post("/api/v1/hook-sources", json={"id": "x"})).status == 403
    assert (await viewer.post("/api/v1/hook-sources/press/rotate")).status == 403
    assert (await viewer.post("/api/v1/hook-sources/press/revoke")).status == 403
    assert (await viewer.delete("/api/v1/hook-sources/press")).status == 403
    assert (await viewer.post("/api/v1/inbox/x/replay")).status == 403
