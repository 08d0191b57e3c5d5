"""What calls in on site: admitted there, kept on disk, taken by the hub's inbox once, judged by when it came in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from shared.clock import ManualClock
from shared.connectors.mqtt_plan import MqttPlan
from shared.errors import NotFound, Unavailable
from shared.inbox.source import HookSource
from shared.json_text import dump
from shared.platforms.force_bridge import lan
from shared.relay.messages import InboundBatch, InboundTaken, LanSource, pack, unpack
from shared.relay.plant_inbound import MOST_REFUSED, PlantInbound, PlantInboundSources
from shared.relay.plant_secrets import MissingSecret, SiteSecrets
from shared.relay.plant_spool_inbound import InboundSpool
from shared.relay.uplink import HubAway, HubRefused
from shared.secrets.file_vault import FileVault
from tests.api import Drained
from tests.unit.relay.conftest import Hub

SOURCES = "/api/v1/hook-sources"


class Plant:
    """A relay's door over one folder, and its way to the hub's own routes."""

    def __init__(self, hub: Hub, folder: Path, clock: ManualClock) -> None:
        self.hub = hub
        self.folder = folder
        self.clock = clock
        self.away = False
        self.forgets_the_answer = False
        self.refuses: Callable[[InboundBatch], bool] = lambda _: False
        self.sent: list[InboundBatch] = []
        self.begin()

    def begin(self) -> None:
        """Start, or start again."""
        self.spool = InboundSpool.open(self.folder / "inbound.db")
        secrets = SiteSecrets(FileVault(self.folder / "vault", self.clock), self.clock, {})
        self.door = PlantInbound(self.spool, PlantInboundSources(secrets), self, "hall-1", self.clock)  # type: ignore[arg-type]

    async def assigned(self) -> None:
        """Take the assignments as they are."""
        found = await self.hub.house.relay_hub.assignments.of("hall-1")
        self.door.sources.assign(unpack(type(found), pack(found)).hook_sources)

    async def inbound(self, batch: InboundBatch) -> InboundTaken:
        """The uplink."""
        if self.away:
            raise HubAway("It is away.")
        if self.refuses(batch):
            raise HubRefused("No.")
        self.sent.append(batch)
        answer = await self.hub.relay.post("/api/v1/relays/hall-1/inbound", body=pack(batch, most=10**6))
        assert answer.status == 200, answer.body
        if self.forgets_the_answer:
            self.forgets_the_answer = False
            raise HubAway("The answer was lost.")
        return unpack(InboundTaken, answer.body)


@pytest.fixture
async def plant(hub: Hub, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Plant]:
    made = Plant(hub, tmp_path / "plant", clock)
    yield made
    await made.spool.close()


async def created(plant: Plant, **more: Any) -> str:
    """A source on site; the token of its path."""
    wanted = {"id": "line", "relay_id": "hall-1"} | more
    answer = await plant.hub.api.post(SOURCES, json=wanted)
    assert answer.status == 201, answer.body
    body = answer.json()
    assert (body["url"], body["relay_id"]) == (None, "hall-1")
    await plant.assigned()
    token = str(body["local_path"]).removeprefix("/local/hooks/line/")
    assert "/" not in token
    return token


async def inbox(hub: Hub) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await hub.api.get("/api/v1/inbox?limit=1000")).json()["messages"]
    return found


async def test_it_is_kept_while_the_hub_is_away_and_taken_once(
    plant: Plant, hub: Hub, clock: ManualClock, drain: Callable[..., Awaitable[Drained]]
) -> None:
    token = await created(plant)
    plant.away = True
    for n in range(3):
        accepted = await plant.door.receive("line", token, b'{"n": %d}' % n, {"webhook-id": f"m{n}"})
        assert not accepted.duplicate
    assert (await plant.door.receive("line", token, b'{"n": 1}', {"webhook-id": "m1"})).duplicate
    came = clock.now()
    with pytest.raises(HubAway):
        await plant.door.bring()
    await plant.spool.close()
    plant.begin()
    await plant.assigned()
    clock.advance(3_600)
    plant.away, plant.forgets_the_answer = False, True
    with pytest.raises(HubAway):
        await plant.door.bring()
    clock.advance(40 * 3_600)
    assert plant.spool.waiting == 3, "nothing is forgotten before the hub's answer"
    assert await plant.door.bring() == 3
    assert plant.spool.waiting == 0
    assert await plant.door.bring() == 0
    found = await inbox(hub)
    assert [m["duplicates"] for m in found] == [1, 1, 1], "brought twice, taken once, also on another day"
    assert {datetime.fromisoformat(m["received_at"]) for m in found} == {came}
    await plant.door.receive("line", token, b'{"n": 1}', {"webhook-id": "m1"})
    await plant.door.bring()
    assert len(await inbox(hub)) == 4, "two days later it is another one, as at the hub's own door"
    assert (await drain(queues=("inbound-events",))).failures == []
    assert {m["status"] for m in await inbox(hub)} == {"handled"}


async def test_equal_bodies_without_an_id_are_two_messages(plant: Plant, hub: Hub) -> None:
    token = await created(plant)
    for _ in range(2):
        await plant.door.receive("line", token, b"{}", {})
    plant.forgets_the_answer = True
    with pytest.raises(HubAway):
        await plant.door.bring()
    await plant.door.bring()
    assert [m["duplicates"] for m in await inbox(hub)] == [1, 1]


async def test_the_signature_counts_by_the_time_at_which_it_came(plant: Plant, hub: Hub, clock: ManualClock) -> None:
    secret = base64.b64encode(b"k" * 24).decode()
    token = await created(plant, signing_secret=f"whsec_{secret}")
    stamp = str(int(clock.now().timestamp()))

    def signed(id: str, body: bytes) -> dict[str, str]:
        digest = hmac.new(b"k" * 24, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(digest).decode()}"
        return {
            "Webhook-Id": id,
            "webhook-timestamp": stamp,
            "webhook-signature": signature,
            "Authorization": "Basic x",
        }

    await plant.door.receive("line", token, b"forged", {"webhook-id": "a"})
    await plant.door.receive("line", token, b"genuine", signed("a", b"genuine"))
    clock.advance(3_600)
    assert await plant.door.bring() == 2
    found = {m["verdict"] for m in await inbox(hub)}
    assert found == {"rejected", "verified"}, "an hour later; and a forged one does not stand in the way"
    assert not [h for batch in plant.sent for m in batch.messages for h in m.headers if h.lower() == "authorization"]


async def test_only_with_the_right_address(plant: Plant, hub: Hub, clock: ManualClock) -> None:
    token = await created(plant)
    for source, given in (("line", "wrong"), ("other", token)):
        with pytest.raises(NotFound):
            await plant.door.receive(source, given, b"{}", {})
    assert (await hub.api.post(f"/api/hooks/line/{token}", json={})).status == 404, "it opens nothing at the hub"
    await hub.api.post(f"{SOURCES}/line/rotate", json={"keep_old_seconds": 60})
    await plant.assigned()
    await plant.door.receive("line", token, b"{}", {})
    clock.advance(61)
    with pytest.raises(NotFound):
        await plant.door.receive("line", token, b"{}", {})


async def test_what_came_before_it_was_closed_is_taken_and_nothing_after(
    plant: Plant, hub: Hub, clock: ManualClock
) -> None:
    token = await created(plant)
    await plant.door.receive("line", token, b"1", {})
    clock.advance(10)
    await hub.api.post(f"{SOURCES}/line/revoke")
    clock.advance(5)
    await plant.door.receive("line", token, b"2", {})  # the relay has not heard of it
    assert await plant.door.bring() == 2
    assert len(await inbox(hub)) == 1
    await plant.assigned()
    with pytest.raises(NotFound):
        await plant.door.receive("line", token, b"3", {})


async def test_a_relay_brings_for_its_own_sources_alone(plant: Plant, hub: Hub) -> None:
    token = await created(plant)
    await plant.door.receive("line", token, b"{}", {})
    (message,) = await plant.spool.next(most=1, most_bytes=10**6)
    await hub.api.post(SOURCES, json={"id": "clouds"})
    stranger = message.model_copy(update={"source": "clouds"})
    taken = await plant.inbound(InboundBatch(relay_id="hall-1", messages=(stranger,)))
    assert (taken.messages[0].status, await inbox(hub)) == ("refused", [])
    for batch in (InboundBatch(relay_id="hall-2", messages=(message,)),):
        answer = await hub.relay.post("/api/v1/relays/hall-1/inbound", body=pack(batch))
        assert answer.status == 400
    assert (await hub.api.post("/api/v1/relays/hall-1/inbound", body=pack(batch))).status == 403


async def test_one_that_the_hub_cannot_take_does_not_hold_up_the_others(plant: Plant, hub: Hub) -> None:
    token = await created(plant)
    for n in range(4):
        await plant.door.receive("line", token, b"%d" % n, {})
    plant.refuses = lambda batch: any(m.body == b"1" for m in batch.messages)
    while plant.spool.waiting:
        await plant.door.bring()
    assert len(await inbox(hub)) == 3


async def test_a_hub_that_refuses_everything_loses_nothing(plant: Plant, hub: Hub) -> None:
    """It is of another version, for instance: what came in waits on this disk for one that understands it."""
    token = await created(plant)
    for n in range(MOST_REFUSED + 10):
        await plant.door.receive("line", token, b"%d" % n, {})
    plant.refuses = lambda _: True
    assert sum([await plant.door.bring() for _ in range(MOST_REFUSED + 1)]) == MOST_REFUSED, "the first was of many"
    with pytest.raises(HubAway, match="refuses every message, they wait here"):
        await plant.door.bring()
    assert plant.spool.waiting == 10
    with pytest.raises(HubAway):
        await plant.door.bring()
    plant.refuses = lambda _: False
    while plant.spool.waiting:
        await plant.door.bring()
    assert len(await inbox(hub)) == 10
    await plant.door.receive("line", token, b"one more", {})
    plant.refuses = lambda _: True
    assert await plant.door.bring() == 1, "one alone is set aside again"


async def test_a_full_disk_is_said_to_the_sender(plant: Plant, tmp_path: Path) -> None:
    token = await created(plant)
    await plant.spool.close()
    plant.spool = plant.door.spool = InboundSpool.open(tmp_path / "small.db", max_bytes=2_000)
    plant.away = True
    while plant.spool.fill < 1:
        await plant.door.receive("line", token, b"x" * 300, {})
    with pytest.raises(Unavailable, match="wait on this relay for the hub"):
        await plant.door.receive("line", token, b"x" * 300, {})
    plant.away = False
    waited = plant.spool.waiting
    assert 2 <= waited < 20
    while plant.spool.waiting:
        await plant.door.bring()
    await plant.door.receive("line", token, b"x" * 300, {})


async def test_the_largest_message_travels(plant: Plant, hub: Hub) -> None:
    import random

    token = await created(plant)
    raw = random.Random(1).randbytes(262_144)
    await plant.door.receive("line", token, raw, {f"x-{n}": "y" * 2_000 for n in range(60)})
    assert await plant.door.bring() == 1
    (message,) = await inbox(hub)
    assert message["sha256"] == hashlib.sha256(raw).hexdigest()


async def test_force_bridge_that_posts_again_is_told_once(
    plant: Plant, hub: Hub, drain: Callable[..., Awaitable[Drained]]
) -> None:
    """It has no message id: it tries again every ten seconds with the same notification."""
    token = await created(plant, kind="force_bridge")
    said = {"callbackId": "C1", "timestamp": "2026-11-21T09:30:00.000Z", "eventType": "TOOL_UPDATED", "objectId": "T1"}
    for link in ("a", "b"):
        raw = dump({"properties": {**said, "objectType": "TOOL", "data": {}}, "_links": link})
        await plant.door.receive("line", token, raw, {})
    await plant.door.bring()
    (message,) = await inbox(hub)
    assert (message["duplicates"], message["event"]) == (1, "TOOL_UPDATED")
    assert (await drain(queues=("inbound-events",))).failures == []
    assert (await inbox(hub))[0]["status"] == "handled"


# Brokers -------------------------------------------------------------------------------------------------------------

BROKER = {"endpoint": "mqtt://10.0.0.2", "relay_credential_ref": "broker", "allow_plain_password": True}


async def test_a_broker_on_site_is_told_to_the_relay_without_secrets(plant: Plant, hub: Hub) -> None:
    await created(plant, kind="force_bridge_mqtt", broker=BROKER)
    (source,) = await plant.door.sources.of_kind("force_bridge_mqtt")
    assert source.broker is not None
    assert (source.broker["endpoint"], source.broker_ref) == ("mqtt://10.0.0.2", "broker")
    assert await hub.house.lan_notifications.fetch() == 0, "the hub itself does not go there"
    with pytest.raises(MissingSecret):
        await plant.door.sources.broker_credentials(source)
    vault = plant.door.sources._secrets._vault
    await vault.set("broker", '{"for": "10.0.0.2:1883", "credentials": {"username": "relay", "password": "pw"}}')
    assert await plant.door.sources.broker_credentials(source) == {"username": "relay", "password": "pw"}
    await vault.set("broker", '{"for": "10.0.0.3", "credentials": {"username": "relay", "password": "pw"}}')
    with pytest.raises(MissingSecret, match="never sent"):
        await plant.door.sources.broker_credentials(source)


async def test_credentials_of_one_broker_are_not_sent_to_another(
    plant: Plant, hub: Hub, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also within the ten minutes for which they are remembered."""
    sent: list[tuple[str, str | None]] = []

    async def take(plan: MqttPlan, *_: Any) -> int:
        sent.append((plan.host, plan.password))
        return 0

    monkeypatch.setattr(lan, "take_queue", take)
    await created(plant, kind="force_bridge_mqtt", broker=BROKER)
    text = '{"for": "10.0.0.2", "credentials": {"username": "relay", "password": "pw"}}'
    await plant.door.sources._secrets._vault.set("broker", text)
    fetching = lan.LanNotifications(plant.door.sources, plant.door, hub.house.targets, clock, known_for=timedelta())
    await fetching.fetch()
    await hub.api.delete(f"{SOURCES}/line")
    clock.advance(1)
    await created(plant, kind="force_bridge_mqtt", broker=BROKER | {"endpoint": "mqtt://10.66.6.6"})
    await fetching.fetch()
    assert sent == [("10.0.0.2", "pw")]
    assert "never sent to 10.66.6.6:1883" in str(plant.door.sources.problems["line"])


async def test_how_the_broker_is_stands_at_the_hub(plant: Plant, hub: Hub) -> None:
    await created(plant, kind="force_bridge_mqtt", broker=BROKER)
    (source,) = await plant.door.sources.of_kind("force_bridge_mqtt")
    for problem in ("Nothing listens there.", "Nothing listens there.", None):
        await plant.door.sources.note_broker(source, problem, used=False)
        plant.away = True
        if plant.door.sources.problems:
            with pytest.raises(HubAway):
                await plant.door.bring()
        plant.away = False
        await plant.door.bring()
        assert (await hub.api.get(f"{SOURCES}/line")).json()["broker_error"] == problem
    assert len(plant.sent) == 2, "told when it changes"


@pytest.mark.parametrize(
    "wanted",
    [
        {"relay_id": "no-such"},
        {"relay_id": "hall-1", "credentials": {"username": "ann", "password": "12345678"}},
        {"relay_id": "hall-1", "kind": "force_bridge_mqtt", "broker": BROKER | {"username": "u", "password": "p"}},
        {"kind": "force_bridge_mqtt", "broker": BROKER},
        {"kind": "force_bridge", "relay_id": "hall-1", "generate_signing_secret": True},
        {"relay_id": "hall-1", "kind": "force_bridge_mqtt", "broker": {"endpoint": "mqtt://169.254.169.254"}},
    ],
)
async def test_what_cannot_work_is_refused(hub: Hub, wanted: dict[str, Any]) -> None:
    assert (await hub.api.post(SOURCES, json={"id": "line"} | wanted)).status == 400


async def test_a_relay_with_sources_is_not_forgotten(plant: Plant, hub: Hub) -> None:
    await created(plant)
    answer = await hub.api.delete("/api/v1/relays/hall-1")
    assert (answer.status, "line" in answer.json()["detail"]) == (409, True)


async def test_the_loops_end_when_they_are_cancelled(plant: Plant) -> None:
    token = await created(plant)
    running = asyncio.create_task(plant.door.run())
    await plant.door.receive("line", token, b"{}", {})
    async with asyncio.timeout(10):
        while plant.spool.waiting:  # noqa: ASYNC110 - another task works
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running})


def test_a_source_is_open_as_the_hub_says(clock: ManualClock) -> None:
    from shared.relay.plant_inbound import _source

    told = LanSource(id="line", kind="generic", token_hash="x", created_at=clock.now(), expires_at=clock.now())
    source: HookSource = _source(told)
    assert not source.is_open(clock.now())
    assert source.is_open(clock.now() - timedelta(seconds=1))
    with pytest.raises(ValidationError):
        LanSource(id="LINE", kind="generic", token_hash="x", created_at=clock.now())
