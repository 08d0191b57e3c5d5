"""Our own webhooks: registered on company or machine level, told of what really changed, signed over the very bytes."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from shared.alerts.model import AlertType, Severity
from shared.alerts.reported import Reported
from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.platforms.innius.words import EVENTS
from shared.services import Services
from shared.signals import Quality, Reading, SignalValue
from shared.storage import Equals, Query, every
from tests.api import Api, Drained
from tests.unit.callbacks.receiver import Receiver, receiving

WEBHOOKS = "/api/v1/webhooks"


def verify(public: str, raw: bytes, signature: str) -> None:
    """As a receiver would, with code that is not ours. Raises ``InvalidSignature``."""
    key = load_der_public_key(base64.b64decode(public, validate=True))
    assert isinstance(key, rsa.RSAPublicKey)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
    key.verify(base64.b64decode(signature, validate=True), raw, pss, hashes.SHA256())


class Plant:
    """Ovens, and somebody who is told."""

    def __init__(
        self, api: Api, house: Services, clock: ManualClock, receiver: Receiver, drain: Callable[[], Awaitable[Drained]]
    ) -> None:
        self.api = api
        self.house = house
        self.clock = clock
        self.receiver = receiver
        self._drain = drain

    async def oven(self, name: str = "OVEN-1", **more: Any) -> None:
        said = {
            "id": name,
            "name": name.title(),
            "iot_protocol": "custom",
            "iot_endpoint": "http://127.0.0.1:9",
            "iot_config": {"data_endpoint": "/d", "signals": {"temperature.core": "a"}},
        } | more
        assert (await self.api.post("/api/v1/equipment", json=said)).status == 201

    async def register(self, events: list[str] | None = None, **more: Any) -> dict[str, Any]:
        said = {"url": self.receiver.url + "/innius", "events": events or list(EVENTS)} | more
        answer = await self.api.post(WEBHOOKS, json=said)
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.json()
        self.clock.advance(1)
        return made

    async def say(self, severity: Severity | None, oven: str = "OVEN-1", signal: str = "temperature.core") -> None:
        """Somebody judges a signal."""
        machine, _ = await self.house.equipment.get(oven)
        self.clock.advance(1)
        told = Reported(
            series=f"s-{signal.replace('.', '-')}",
            at=self.clock.now(),
            key=str(self.clock.now()),
            holds=severity is not None,
            alert_type=AlertType.VALUE_DEVIATION,
            severity=severity or Severity.INFO,
            name="n",
            message="m",
            signal=signal,
            value=95.5,
        )
        await self.house.alerts.take(machine, told)

    async def read(self, value: float, oven: str = "OVEN-1") -> None:
        """The oven says something."""
        self.clock.advance(1)
        values = {"temperature.core": SignalValue(value, Quality.GOOD)}
        await self.house.readings.record(Reading(oven, self.clock.now(), values))

    async def told(self) -> list[tuple[str, dict[str, Any]]]:
        """What came since the last time, in any order of arrival, sorted."""
        assert (await self._drain()).failures == []
        came = [(c.headers["x-innius-event"], json.loads(c.body)) for c in self.receiver.seen]
        self.receiver.seen.clear()
        return sorted(came, key=lambda one: EVENTS.index(one[0]) if one[0] in EVENTS else -1)

    async def names(self) -> list[str]:
        return [name for name, _ in await self.told()]


@pytest.fixture
async def plant(
    api: Api, house: Services, clock: ManualClock, drain: Callable[[], Awaitable[Drained]]
) -> AsyncIterator[Plant]:
    async with receiving() as receiver:
        yield Plant(api, house, clock, receiver, drain)


# Registering -----------------------------------------------------------------------------------------------------


async def test_a_registration_is_answered_with_the_key(plant: Plant) -> None:
    made = await plant.register(["TaskStatusChange", "TaskCreated"])
    assert (made["level"], made["events"], made["machinetrn"]) == ("company", ["TaskCreated", "TaskStatusChange"], None)
    key = load_der_public_key(base64.b64decode(made["public_key"], validate=True))
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2_048
    again = await plant.register(["SensorCreated"])
    assert again["public_key"] == made["public_key"], "made once"
    assert (await plant.api.get(f"{WEBHOOKS}/{made['id']}")).json() == made
    listed = (await plant.api.get(WEBHOOKS)).json()
    assert ([one["id"] for one in listed["webhooks"]], listed["total"]) == ([made["id"], again["id"]], 2)
    assert (await plant.api.delete(f"{WEBHOOKS}/{made['id']}")).status == 204
    assert (await plant.api.get(f"{WEBHOOKS}/{made['id']}")).status == 404
    assert (await plant.api.delete(f"{WEBHOOKS}/{made['id']}")).status == 404


async def test_other_callbacks_are_no_webhooks(plant: Plant) -> None:
    wanted = {"eventType": "ALERT_RAISED", "url": plant.receiver.url}
    other = (await plant.api.post("/ffwebservices/api/v2/callbacks", json=wanted)).json()["properties"]["id"]
    assert (await plant.api.get(f"{WEBHOOKS}/{other}")).status == 404
    assert (await plant.api.delete(f"{WEBHOOKS}/{other}")).status == 404
    assert (await plant.api.get(WEBHOOKS)).json()["total"] == 0


async def test_wrong_registrations_are_named(plant: Plant) -> None:
    await plant.oven()
    url = plant.receiver.url
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"url": url}, "events"),
        ({"url": url, "events": []}, "events"),
        ({"url": url, "events": ["ALERT_RAISED"]}, "events.0"),
        ({"url": "ftp://x", "events": ["TaskCreated"]}, "url"),
        ({"url": "http://169.254.169.254/", "events": ["TaskCreated"]}, "url"),
        ({"url": url, "events": ["TaskCreated"], "machinetrn": "urn:ovenbridge:machine:NONE"}, "machinetrn"),
        ({"url": url, "events": ["TaskCreated"], "equipment_id": "NONE"}, "equipment_id"),
        ({"url": url, "events": ["TaskCreated"], "equipment_id": "OVEN-1", "machinetrn": "x"}, "body"),
        ({"url": url, "events": ["TaskCreated"], "username": "u"}, "body"),
    ]
    for body, field in wrong:
        answer = await plant.api.post(WEBHOOKS, json=body)
        assert (answer.status, answer.json()["problems"][0]["field"]) == (400, field), answer.body
    assert (await plant.api.get(WEBHOOKS)).json()["total"] == 0


# States ----------------------------------------------------------------------------------------------------------


async def test_states_of_a_sensor_and_its_machine(plant: Plant) -> None:
    await plant.oven()
    await plant.register()
    await plant.read(87.0)
    await plant.read(95.5)
    await plant.say(Severity.CRITICAL)
    (sensor, machine) = await plant.told()
    assert sensor[0] == "SensorStateChange"
    assert sensor[1] == {
        "sensorid": "temperature.core",
        "machinetrn": "urn:ovenbridge:machine:OVEN-1",
        "conversationid": sensor[1]["conversationid"],
        "status": 2,
        "previousValue": 87.0,
        "currentValue": 95.5,
    }
    assert list(sensor[1]) == [
        "sensorid",
        "machinetrn",
        "conversationid",
        "status",
        "previousValue",
        "currentValue",
    ], "in the article's order"
    assert machine == (
        "MachineStateChange",
        {k: sensor[1][k] for k in ("sensorid", "machinetrn", "conversationid")} | {"status": 2},
    )
    alert = (await plant.api.get("/api/v1/equipment/iot-alerts")).json()["alerts"][0]["id"]
    assert (await plant.api.post(f"/api/v1/alerts/{alert}/acknowledge", json={})).status == 200
    assert await plant.told() == [], "seen is no other state"
    await plant.read(80.0)
    await plant.say(None)
    (sensor, machine) = await plant.told()
    assert (sensor[1]["status"], sensor[1]["previousValue"], sensor[1]["currentValue"]) == (0, 95.5, 80.0)
    assert machine[1]["status"] == 0
    assert sensor[1]["conversationid"] == alert


async def test_a_machine_is_as_bad_as_its_worst_sensor(plant: Plant) -> None:
    await plant.oven()
    await plant.register(["MachineStateChange"])

    async def statuses() -> list[tuple[str, int]]:
        return [(body["sensorid"], body["status"]) for _, body in await plant.told()]

    await plant.say(Severity.WARNING, signal="temperature.core")
    assert await statuses() == [("temperature.core", 1)]
    await plant.say(Severity.CRITICAL, signal="steam.level")
    assert await statuses() == [("steam.level", 2)]
    await plant.say(None, signal="temperature.core")
    assert await statuses() == []
    await plant.say(Severity.WARNING, signal="temperature.core")
    assert await statuses() == []
    await plant.say(None, signal="steam.level")
    assert await statuses() == [("steam.level", 1)]
    await plant.say(None, signal="temperature.core")
    assert await statuses() == [("temperature.core", 0)]


async def test_what_was_wrong_before_anybody_registered_is_no_news_and_its_end_is(plant: Plant) -> None:
    await plant.oven()
    await plant.say(Severity.CRITICAL)
    plant.clock.advance(1)
    await plant.register()
    await plant.say(Severity.WARNING, signal="steam.level")
    assert [(n, b["sensorid"], b["status"]) for n, b in await plant.told()] == [("SensorStateChange", "steam.level", 1)]
    await plant.say(None)
    told = await plant.told()
    assert [(n, b["sensorid"], b["status"]) for n, b in told] == [
        ("SensorStateChange", "temperature.core", 0),
        ("MachineStateChange", "temperature.core", 1),
    ]


async def test_a_lost_connection_is_a_state_of_the_machine(plant: Plant, house: Services) -> None:
    from shared.events import Event
    from shared.events.catalogue import EQUIPMENT_CONNECTION_CHANGED, MACHINE

    await plant.oven()
    await plant.register()
    for number, (status, expected) in enumerate((("disconnected", 1), ("error", None), ("connected", 0))):
        plant.clock.advance(1)
        event = Event(
            f"C{number}",
            EQUIPMENT_CONNECTION_CHANGED,
            plant.clock.now(),
            MACHINE,
            "OVEN-1",
            data={"status": status},
        )
        await house.events.publish(event)
        said = [(n, b["sensorid"], b["status"]) for n, b in await plant.told()]
        assert said == ([("MachineStateChange", "connection", expected)] if expected is not None else [])


# Sensors ---------------------------------------------------------------------------------------------------------


async def test_sensors_come_and_go_with_the_mapping(
    plant: Plant, tick: Callable[[str], Awaitable[None]], api: Api
) -> None:
    await plant.oven()
    plant.clock.advance(1)
    await plant.register()
    await tick("tell_webhooks")
    assert await plant.told() == [], "what was there before is no news"
    plant.clock.advance(1)
    change = {"iot_config": {"signals": {"temperature.core": None, "humidity": "h", "steam.level": "s"}}}
    assert (await api.patch("/api/v1/equipment/OVEN-1", json=change)).status == 200
    await tick("tell_webhooks")
    trn = "urn:ovenbridge:machine:OVEN-1"
    assert await plant.told() == [
        ("SensorCreated", {"sensorid": "humidity", "machinetrn": trn}),
        ("SensorCreated", {"sensorid": "steam.level", "machinetrn": trn}),
        ("SensorDeleted", {"sensorid": "temperature.core", "machinetrn": trn}),
    ]
    await tick("tell_webhooks")
    assert await plant.told() == []
    plant.clock.advance(1)
    await plant.oven("OVEN-2")
    await tick("tell_webhooks")
    assert [b["machinetrn"] for _, b in await plant.told()] == ["urn:ovenbridge:machine:OVEN-2"]
    assert (await api.delete("/api/v1/equipment/OVEN-1")).status == 204
    await tick("tell_webhooks")
    assert await plant.names() == ["SensorDeleted", "SensorDeleted"]
    await tick("tell_webhooks")
    assert await plant.told() == []


# Tasks -----------------------------------------------------------------------------------------------------------


async def test_tasks_are_told_as_the_article_has_them(plant: Plant, api: Api) -> None:
    await plant.oven()
    await plant.register()
    wanted = {
        "id": "T-1",
        "title": "Descale",
        "description": "With acid.",
        "kind": "maintenance",
        "equipment_id": "OVEN-1",
        "assignee": "trn:p:1",
        "start_at": "2026-11-21T12:00:00Z",
        "due_at": "2026-11-21T13:00:00Z",
    }
    assert (await api.post("/api/v1/tasks", json=wanted)).status == 201
    ((name, body),) = await plant.told()
    conversation = body["conversation_id"]
    assert (name, body) == (
        "TaskCreated",
        {
            "machinetrn": "urn:ovenbridge:machine:OVEN-1",
            "activity_id": "T-1",
            "activity_type": "maintenance",
            "scheduled_start": 1_795_262_400_000,
            "scheduled_end": 1_795_266_000_000,
            "assignee": "trn:p:1",
            "title": "Descale",
            "conversation_id": conversation,
            "description": "With acid.",
        },
    )
    for number, word in ((2, "in_progress"), (3, "done"), (1, "open"), (5, "postponed"), (4, "cancelled")):
        assert (await api.patch("/api/v1/tasks/T-1", json={"status": word})).status == 200
        ((name, body),) = await plant.told()
        assert (name, body["status"], body["conversation_id"]) == ("TaskStatusChange", number, conversation)
        assert set(body) == {"machinetrn", "activity_id", "title", "conversation_id", "status"}
    assert (await api.patch("/api/v1/tasks/T-1", json={"assignee": "trn:p:2"})).status == 200
    ((name, body),) = await plant.told()
    assert (name, body["assignee"]) == ("TaskAssigneeChanged", "trn:p:2")
    assert (await api.post("/api/v1/tasks", json={"title": "Sweep"})).status == 201
    ((name, body),) = await plant.told()
    assert (body["machinetrn"], body["assignee"], body["activity_type"]) == ("", "", "task")
    assert body["scheduled_start"] == body["scheduled_end"] > 0


# Whose machines --------------------------------------------------------------------------------------------------


async def test_machine_level_is_that_machine_and_company_level_leaves_shared_ones_out(plant: Plant, api: Api) -> None:
    await plant.oven()
    await plant.oven("THEIRS", shared=True)
    company = await plant.register(["MachineStateChange", "TaskCreated"])
    await plant.say(Severity.CRITICAL, oven="THEIRS")
    assert (await api.post("/api/v1/tasks", json={"title": "t", "equipment_id": "THEIRS"})).status == 201
    assert await plant.told() == []
    await plant.say(Severity.CRITICAL)
    assert await plant.names() == ["MachineStateChange"]
    assert (await api.delete(f"{WEBHOOKS}/{company['id']}")).status == 204
    theirs = await plant.register(
        ["MachineStateChange", "TaskCreated"], machinetrn="trn:theirs", machinetrns={"THEIRS": "trn:theirs"}
    )
    assert (theirs["level"], theirs["equipment_id"], theirs["machinetrn"]) == ("machine", "THEIRS", "trn:theirs")
    await plant.say(None)
    await plant.say(None, oven="THEIRS")
    assert (await api.post("/api/v1/tasks", json={"title": "t", "equipment_id": "THEIRS"})).status == 201
    assert (await api.post("/api/v1/tasks", json={"title": "t"})).status == 201
    assert [(n, b["machinetrn"]) for n, b in await plant.told()] == [
        ("MachineStateChange", "trn:theirs"),
        ("TaskCreated", "trn:theirs"),
    ]


async def test_only_the_events_that_were_asked_for(plant: Plant) -> None:
    await plant.oven()
    await plant.register(["SensorStateChange"], equipment_id="OVEN-1")
    await plant.say(Severity.WARNING)
    assert await plant.names() == ["SensorStateChange"]


async def test_callbacks_for_whatever_happens_are_not_told_in_these_words(plant: Plant, api: Api) -> None:
    await plant.oven()
    await plant.register()
    answer = await api.post("/api/v1/callbacks", json={"event_type": "*", "url": plant.receiver.url + "/all"})
    assert answer.status == 201
    await plant.say(Severity.WARNING)
    assert (await plant._drain()).failures == []
    assert [c.json()["type"] for c in plant.receiver.at("/all")] == ["ALERT_RAISED"]
    assert len(plant.receiver.at("/innius")) == 2


# The signature ---------------------------------------------------------------------------------------------------


async def test_trap_2_calls_are_signed_over_their_very_bytes(plant: Plant) -> None:
    await plant.oven()
    made = await plant.register()
    await plant.say(Severity.WARNING)
    assert (await plant._drain()).failures == []
    for call in plant.receiver.seen:
        signature = call.headers["x-innius-validation"]
        verify(made["public_key"], call.body, signature)
        for other in (call.body + b"\n", json.dumps(call.json()).encode()):
            with pytest.raises(InvalidSignature):
                verify(made["public_key"], other, signature)
        salt = padding.PSS(padding.MGF1(hashes.SHA256()), 256 - 32 - 2)
        key = load_der_public_key(base64.b64decode(made["public_key"]))
        assert isinstance(key, rsa.RSAPublicKey)
        key.verify(base64.b64decode(signature), call.body, salt, hashes.SHA256())


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not here")
async def test_node_believes_our_signature(plant: Plant) -> None:
    made = await plant.register()
    assert (await plant.api.post(f"{WEBHOOKS}/{made['id']}/test", json={})).status == 202
    assert (await plant._drain()).failures == []
    (call,) = plant.receiver.seen
    assert call.headers["x-innius-event"] == "TEST"
    script = """
const c = require("crypto"), [key, body, sig] = process.argv.slice(1).map(t => Buffer.from(t, "base64"));
const k = {key: c.createPublicKey({key, format: "der", type: "spki"}), padding: c.constants.RSA_PKCS1_PSS_PADDING,
           saltLength: c.constants.RSA_PSS_SALTLEN_AUTO};
console.log(c.verify("sha256", body, k, sig), c.verify("sha256", Buffer.concat([body, Buffer.from(" ")]), k, sig));
"""
    body = base64.b64encode(call.body).decode()
    node = await asyncio.create_subprocess_exec(
        "node",
        "-e",
        script,
        made["public_key"],
        body,
        call.headers["x-innius-validation"],
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await node.communicate()
    assert out.decode().strip() == "true false"


async def test_a_new_key_is_announced_then_signs_and_the_old_one_fades(plant: Plant, api: Api, house: Services) -> None:
    made = await plant.register()
    times = {"announce_seconds": 3_600, "keep_old_seconds": 600}
    answer = await api.post(f"{WEBHOOKS}/keys/rotate", json=times)
    assert [key["status"] for key in answer.json()["public_keys"]] == ["signing", "next"]
    assert (await api.post(f"{WEBHOOKS}/keys/rotate", json=times)).status == 409
    new = answer.json()["public_keys"][1]["public_key"]

    async def signed_by() -> str:
        plant.receiver.seen.clear()
        assert (await api.post(f"{WEBHOOKS}/{made['id']}/test", json={})).status == 202
        assert (await plant._drain()).failures == []
        (call,) = plant.receiver.seen
        for name, key in (("old", made["public_key"]), ("new", new)):
            try:
                verify(key, call.body, call.headers["x-innius-validation"])
            except InvalidSignature:
                continue
            return name
        return "nobody"

    assert await signed_by() == "old"
    plant.clock.advance(3_600)
    assert await signed_by() == "new"
    shown = (await api.get(f"{WEBHOOKS}/{made['id']}")).json()
    assert shown["public_key"] == new
    assert [(k["public_key"], k["status"]) for k in shown["public_keys"]] == [
        (new, "signing"),
        (made["public_key"], "previous"),
    ]
    plant.clock.advance(600)
    assert len((await api.get(f"{WEBHOOKS}/keys")).json()["public_keys"]) == 1
    third = await api.post(f"{WEBHOOKS}/keys/rotate", json={"announce_seconds": 0, "keep_old_seconds": 0})
    assert [key["status"] for key in third.json()["public_keys"]] == ["signing"]
    names = [secret.name for secret in await house.vault.list() if secret.name.startswith("innius-key-")]
    assert len(names) == 2, "the first one is gone from the vault"


async def test_two_who_make_the_first_key_agree(house: Services) -> None:
    from shared.platforms.innius.keys import SigningKeys

    two = [SigningKeys(house.store, house.vault, house.audit, house.clock) for _ in range(2)]
    listed = await asyncio.gather(*(keys.listed() for keys in two))
    assert listed[0] == listed[1]
    (one, _), (other, _) = await asyncio.gather(*(keys.signing() for keys in two))
    assert one == other
    assert len([s for s in await house.vault.list() if s.name.startswith("innius-key-")]) == 1


# Deaths ----------------------------------------------------------------------------------------------------------


async def test_what_a_death_left_untold_is_told_by_the_next_look(
    plant: Plant, house: Services, tick: Callable[[str], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead between writing down and telling; then between telling and taking it off."""
    await plant.oven()
    await plant.register(["SensorStateChange"])
    telling = house.platforms.innius.telling

    class Death(BaseException):
        pass

    async def die(*_: Any, **__: Any) -> int:
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(telling, "_tell", die)
        with pytest.raises(Death):
            await plant.say(Severity.CRITICAL)
    plant.receiver.seen.clear()
    await tick("tell_webhooks")
    assert await plant.names() == ["SensorStateChange"]
    tell = telling._tell

    async def tell_and_die(*given: Any, **named: Any) -> int:
        await tell(*given, **named)
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(telling, "_tell", tell_and_die)
        with pytest.raises(Death):
            await plant.say(None)
    await tick("tell_webhooks")
    told = await plant.told()
    assert [body["status"] for _, body in told] == [0], "once, by its id"


async def test_a_machine_that_goes_with_something_untold_is_told_whole(
    plant: Plant, house: Services, api: Api, tick: Callable[[str], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await plant.oven()
    await plant.oven("THEIRS", shared=True)
    await plant.register()
    await plant.register(["SensorDeleted"], equipment_id="THEIRS")
    telling = house.platforms.innius.telling

    async def fail(*_: Any, **__: Any) -> int:
        raise Unavailable("Not now.")

    with monkeypatch.context() as patch:
        patch.setattr(telling, "_tell", fail)
        await plant.say(Severity.CRITICAL)
    assert await plant.told() == []
    for machine in ("OVEN-1", "THEIRS"):
        assert (await api.delete(f"/api/v1/equipment/{machine}")).status == 204
    await tick("tell_webhooks")
    told = [(name, body["machinetrn"][-6:], body.get("status")) for name, body in await plant.told()]
    assert told == [
        ("SensorStateChange", "OVEN-1", 2),
        ("SensorStateChange", "OVEN-1", 0),
        ("MachineStateChange", "OVEN-1", 2),
        ("MachineStateChange", "OVEN-1", 0),
        ("SensorDeleted", "OVEN-1", None),
        ("SensorDeleted", "THEIRS", None),
    ], "a shared machine's end is told to whoever asked for it, and to nobody else"
    assert [s async for s in every(house.store, "webhookStates", Query((Equals("kind", "machine"),)))] == []


async def test_what_nobody_is_told_of_is_not_kept(plant: Plant, house: Services, api: Api) -> None:
    await plant.oven()
    await plant.oven("OVEN-2")
    await plant.register(["MachineStateChange"], equipment_id="OVEN-2")
    await plant.say(Severity.CRITICAL)
    kept = [
        s.document["equipmentId"]
        async for s in every(house.store, "webhookStates", Query((Equals("kind", "machine"),)))
    ]
    assert kept == ["OVEN-2"]
    plant.clock.advance(1)
    await plant.register(["MachineStateChange"])
    assert await plant.told() == [], "it was wrong before anybody registered for it"
    await plant.say(None)
    assert [body["status"] for _, body in await plant.told()] == [0]


async def test_what_fails_is_tried_again_and_signed_again(
    plant: Plant, house: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the vault is away, then the receiver fails; the body stays the same, and every call is genuine."""
    made = await plant.register()

    async def away() -> Any:
        raise Unavailable("The vault is away.")

    with monkeypatch.context() as patch:
        patch.setattr(house.platforms.innius.keys, "signing", away)
        assert (await plant.api.post(f"{WEBHOOKS}/{made['id']}/test", json={})).status == 202
        assert (await plant._drain()).failures == []
    assert plant.receiver.seen == []
    for status in (500, 200):
        plant.receiver.answer = status
        plant.clock.advance(60)
        assert (await plant._drain()).failures == []
    first, second = plant.receiver.seen
    assert first.body == second.body
    assert first.webhook_id == second.webhook_id
    for call in (first, second):
        verify(made["public_key"], call.body, call.headers["x-innius-validation"])
    listed = (await plant.api.get(f"/api/v1/deliveries?callback_id={made['id']}")).json()
    assert [one["status"] for one in listed["deliveries"]] == ["confirmed"]
