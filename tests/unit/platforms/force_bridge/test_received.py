"""What notifications lead to: in order, once, with the machine's context and its alerts."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import ManualClock, iso
from shared.json_text import dump
from shared.platforms.force_bridge.received import same_notification
from shared.services import Services
from shared.signals import Reading, SignalValue
from shared.storage import Query
from tests.api import Api, Drained
from tests.platforms.force_bridge import FakeForceBridge
from tests.unit.platforms.force_bridge.conftest import Connect

Drain = Callable[..., Awaitable[Drained]]
HOST = "http://127.0.0.1:7071"
WORKPLACE = "C0E399EE92C946FBA0B38E5002B51C91"
CABINET = "temperature.cabinet"
OPERATION = "2A05AAEF15FD41A8A4A36C45516871AA"
SEEN = "2026-11-21T09:59:00.000Z"


def phase(current: str, previous: str = "RELEASED", at: str = SEEN, **more: Any) -> dict[str, Any]:
    """As the chapter prints it: without ``Id``, and with 31 characters."""
    return {
        "callbackId": "B1B1BFB60ECF4DB7B095F096992FB9FA",
        "timestamp": at,
        "data": {"currentOperationPhase": current, "previousOperationPhase": previous, "operationId": OPERATION},
        "objectId": "DA892519507444768080F0E81879513",
        "objectType": "OPERATION",
        "eventType": "OPERATION_PHASE_CHANGED",
        "eventName": "Operation 100 has changed phase",
    } | more


def state(current: str, previous: str, at: str = SEEN, **more: Any) -> dict[str, Any]:
    """As their client's model has it."""
    return {
        "callbackId": "C2",
        "timestamp": at,
        "data": {
            "currentWorkplaceStateId": current,
            "previousWorkplaceStateId": previous,
            "currentOperatingState": {"id": "1", "workplaceStateId": current, "description": "Set up", "code": "12"},
        },
        "objectId": WORKPLACE,
        "objectType": "WORKPLACE",
        "eventType": "WORKPLACE_OPERATING_STATE_CHANGED",
    } | more


@pytest.fixture
async def oven(api: Api) -> str:
    answer = await api.post("/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1", "iot_enabled": False})
    assert answer.status == 201, answer.json()
    return "OVEN-1"


@pytest.fixture
async def path(api: Api, hook: str, connect: Connect) -> str:
    """Where notifications are posted, of a source that knows its connection."""
    await connect(workplaces={WORKPLACE: "OVEN-1"})
    answer = await api.patch("/api/v1/hook-sources/force", json={"options": {"connection": "plant-1"}})
    assert answer.status == 200, answer.json()
    return hook.removeprefix(HOST)


async def post(api: Api, path: str, said: dict[str, Any], **how: Any) -> int:
    return (await api.post(path, json={"properties": said, "_links": {}}, **how)).status


async def effects(api: Api) -> list[Any]:
    messages = (await api.get("/api/v1/inbox?limit=100")).json()["messages"]
    return [message["effect"] for message in reversed(messages)]


async def context(api: Api) -> dict[str, Any]:
    said = (await api.get("/api/v1/equipment/OVEN-1/realtime-data")).json()
    return {name: fact["value"] for name, fact in said.get("context", {}).items()}


async def told(house: Services) -> list[dict[str, Any]]:
    found = await house.store.query("events", Query(limit=100))
    return [one.document for one in found.items if one.document["type"] == "EXTERNAL"]


async def test_a_state_becomes_context(api: Api, path: str, oven: str, drain: Drain, house: Services) -> None:
    assert await post(api, path, state("DOWNTIME", "PRODUCTION")) == 202
    await drain(queues=("inbound-events",))
    assert await context(api) == {"operating_state": "DOWNTIME", "operating_state_detail": "Set up"}
    (event,) = await told(house)
    assert (event["ts"], event["objectType"], event["objectId"]) == (SEEN, "WORKPLACE", WORKPLACE)
    found = (await api.get("/api/v1/inbox?equipment_id=OVEN-1")).json()["messages"]
    assert [message["event"] for message in found] == ["WORKPLACE_OPERATING_STATE_CHANGED"]


@pytest.mark.parametrize("spelled", ["currentOperationPhase", "currentOperationPhaseId"])
async def test_both_spellings_of_a_phase(
    api: Api, path: str, oven: str, drain: Drain, force: FakeForceBridge, spelled: str
) -> None:
    """The workplace is not in it; the operation is looked up."""
    force.operations[OPERATION] = {
        "id": OPERATION,
        "productionOrder": {"id": "E2BC7F36C5B54923B0D477CF48744A51"},
        "currentWorkplace": {"id": WORKPLACE},
        "operationPhaseId": "PROCESSING",
    }
    await post(api, path, phase("x", data={spelled: "PROCESSING", "operationId": OPERATION}))
    await drain(queues=("inbound-events",))
    assert await context(api) == {"operation_phase": "PROCESSING", "operation_id": OPERATION}
    found = await api.get("/api/v1/inbox?work_order_id=E2BC7F36C5B54923B0D477CF48744A51")
    assert len(found.json()["messages"]) == 1


async def test_the_same_thrice_is_one(api: Api, path: str, oven: str, drain: Drain, house: Services) -> None:
    statuses = [await post(api, path, state("DOWNTIME", "PRODUCTION")) for _ in range(3)]
    await drain(queues=("inbound-events",))
    assert statuses == [202, 200, 200]
    assert len(await told(house)) == 1


async def test_another_registration_tells_nothing_new(
    api: Api, path: str, oven: str, drain: Drain, house: Services
) -> None:
    for name in ("A", "B"):
        await post(api, path, state("DOWNTIME", "PRODUCTION", callbackId=name))
        await drain(queues=("inbound-events",))
    assert len(await told(house)) == 1
    assert [("ignored" in effect) for effect in await effects(api)] == [False, True]


HISTORY = [
    state("DOWNTIME", "PRODUCTION", "2026-11-21T09:50:00.000Z"),
    state("PRODUCTION", "DOWNTIME", "2026-11-21T09:51:00.000Z"),
]
PHASES = [
    phase("DISPATCHED", "RELEASED", "2026-11-21T09:50:00.000Z"),
    phase("SETUP", "DISPATCHED", "2026-11-21T09:51:00.000Z"),
    phase("PROCESSING", "SETUP", "2026-11-21T09:51:00.000Z"),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_whatever_the_order_the_newest_counts(
    api: Api, path: str, oven: str, drain: Drain, force: FakeForceBridge, order: tuple[int, ...]
) -> None:
    """The last two have one time: what they change from and to says which came first."""
    force.operations[OPERATION] = {"id": OPERATION, "currentWorkplace": {"id": WORKPLACE}}
    for place in order:
        await post(api, path, PHASES[place])
        await drain(queues=("inbound-events",))
    assert (await context(api))["operation_phase"] == "PROCESSING"


async def test_late_ones_have_no_effect_and_say_so(
    api: Api, path: str, oven: str, drain: Drain, house: Services
) -> None:
    for said in (HISTORY[1], HISTORY[0]):
        await post(api, path, said)
        await drain(queues=("inbound-events",))
    assert len(await told(house)) == 1
    assert "late: it happened at 2026-11-21T09:50" in (await effects(api))[1]["ignored"]
    await post(api, path, state("DOWNTIME", "PRODUCTION", "2026-11-21T09:00:00.000Z", objectId="ANOTHER"))
    await drain(queues=("inbound-events",))
    assert len(await told(house)) == 2, "of another object it is not late"


@pytest.mark.parametrize(
    "said",
    [
        {"eventType": "NEVER_HEARD_OF", "objectType": "MOON", "objectId": None, "data": None, "timestamp": SEEN},
        {"eventType": "TOOL_UPDATED"},
        {"timestamp": "yesterday", "data": [1], "objectType": 7},
        {},
    ],
)
async def test_what_nobody_knows_is_kept_and_told(
    api: Api, path: str, oven: str, drain: Drain, house: Services, said: dict[str, Any]
) -> None:
    assert await post(api, path, said) == 202
    assert (await drain(queues=("inbound-events",))).failures == []
    assert len(await told(house)) == 1


async def test_basic_with_two_live_passwords(api: Api, path: str, oven: str) -> None:
    def login(password: str) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(f"force:{password}".encode()).decode()}

    secrets = "/api/v1/hook-sources/force/secrets"
    for password in ("first-password", "second-password"):
        credentials = {"username": "force", "password": password}
        assert (await api.post(secrets, json={"credentials": credentials, "keep_old_seconds": 600})).status == 200
    assert await post(api, path, HISTORY[0]) == 401
    assert await post(api, path, HISTORY[0], headers=login("wrong-password")) == 401
    assert await post(api, path, HISTORY[0], headers=login("first-password")) == 202
    assert await post(api, path, HISTORY[1], headers=login("second-password")) == 202
    verdicts = [m["verdict"] for m in (await api.get("/api/v1/inbox")).json()["messages"]]
    assert sorted(verdicts) == ["rejected", "rejected", "verified", "verified"]


async def test_a_lookup_that_fails_is_tried_again(
    api: Api, path: str, oven: str, drain: Drain, force: FakeForceBridge
) -> None:
    force.operations[OPERATION] = {"id": OPERATION, "currentWorkplace": {"id": WORKPLACE}}
    force.trouble = ["ok", 500]
    await post(api, path, phase("PROCESSING"))
    await drain(queues=("inbound-events",))
    assert (await context(api))["operation_phase"] == "PROCESSING"


async def test_after_a_gap_the_servers_word_is_taken(
    api: Api,
    path: str,
    oven: str,
    drain: Drain,
    force: FakeForceBridge,
    connect: Connect,
    clock: ManualClock,
    tick: Any,
) -> None:
    await post(api, path, state("PRODUCTION", "DOWNTIME"))
    await drain(queues=("inbound-events",))
    force.workplace(WORKPLACE, "DOWNTIME", "Maintenance")
    registrations = [{"eventType": "WORKPLACE_OPERATING_STATE_CHANGED", "hook_source": "force"}]
    await connect(workplaces={WORKPLACE: "OVEN-1"}, registrations=registrations)
    await tick("keep_registrations")
    assert await context(api) == {"operating_state": "DOWNTIME", "operating_state_detail": "Maintenance"}
    clock.advance(60)
    await post(api, path, state("PRODUCTION", "DOWNTIME", iso(clock.now())))
    await drain(queues=("inbound-events",))
    assert (await context(api))["operating_state"] == "PRODUCTION"


# Alerts --------------------------------------------------------------------------------------------------------------

RULE = {
    "equipment_id": "OVEN-1",
    "kind": "low",
    "signal": "temperature.cabinet",
    "limit": 150,
    "unless": {"signal": "context.operating_state", "equals": "DOWNTIME"},
}


@pytest.fixture
async def baking(api: Api, house: Services, oven: str, path: str) -> Callable[[float], Awaitable[list[str]]]:
    """``await baking(120)``: a reading of so many degrees; the alerts that are active then."""
    answer = await api.post("/api/v1/alert-rules", json=RULE)
    assert answer.status == 201, answer.json()
    assert answer.json()["unless"] == RULE["unless"]

    async def read(degrees: float) -> list[str]:
        equipment, _ = await house.equipment.get(oven)
        values = {"temperature.cabinet": SignalValue(degrees, unit="C")}
        await house.ingest.take(equipment, Reading(oven, house.clock.now(), values))
        found = (await api.get("/api/v1/equipment/iot-alerts?equipment_id=OVEN-1&status=active")).json()
        return [one["alert_type"] for one in found["alerts"] if one["alert_type"] == "temperature_deviation"]

    return read


async def test_no_temperature_alert_in_downtime(
    api: Api, path: str, drain: Drain, clock: ManualClock, house: Services, baking: Any
) -> None:
    assert await baking(120) == ["temperature_deviation"], "without a word of FORCE Bridge nothing is held back"
    clock.advance(30)
    await post(api, path, state("DOWNTIME", "PRODUCTION", iso(clock.now())))
    await drain(queues=("inbound-events",))
    assert await baking(100) == [], "it stands still, so it may be cold"
    clock.advance(30)
    assert await baking(90) == []
    await post(api, path, state("PRODUCTION", "DOWNTIME", iso(clock.now())))
    await drain(queues=("inbound-events",))
    clock.advance(30)
    assert await baking(90) == ["temperature_deviation"], "released with the state"
    history = await house.readings.history("OVEN-1", clock.now() - timedelta(hours=1), clock.now(), 10)
    assert [one.values.get("context.operating_state") for one in history.readings][1].value == "DOWNTIME"  # type: ignore[union-attr]


async def test_late_readings_are_judged_by_the_state_of_their_time(
    api: Api, path: str, drain: Drain, clock: ManualClock, house: Services, baking: Any, oven: str
) -> None:
    """A relay brings what it read while its line was cut."""
    began = clock.now()
    await post(api, path, state("DOWNTIME", "PRODUCTION", iso(began)))
    await post(api, path, state("PRODUCTION", "DOWNTIME", iso(began + timedelta(minutes=10))))
    await drain(queues=("inbound-events",))
    clock.advance(1200)
    equipment, _ = await house.equipment.get(oven)
    for minutes, expected in ((5, "DOWNTIME"), (15, "PRODUCTION")):
        at = began + timedelta(minutes=minutes)
        reading = Reading(oven, at, {"temperature.cabinet": SignalValue(200.0, unit="C")}, source="relay")
        await house.ingest.take(equipment, reading)
        found = await house.readings.latest(oven)
        assert found is not None
        assert found.values["context.operating_state"].value == expected


async def test_a_state_that_nobody_confirms_holds_nothing_back(
    api: Api, path: str, drain: Drain, clock: ManualClock, baking: Any
) -> None:
    await post(api, path, state("DOWNTIME", "PRODUCTION", iso(clock.now())))
    await drain(queues=("inbound-events",))
    assert await baking(100) == []
    clock.advance(25 * 3600)
    assert await baking(100) == ["temperature_deviation"]
    said = (await api.get("/api/v1/equipment/OVEN-1/realtime-data")).json()
    assert not said["context"]["operating_state"]["believed"]
    assert "context.operating_state" not in said["signals"]


async def test_what_a_broker_brings_has_the_same_effect(
    api: Api, connect: Connect, oven: str, drain: Drain, house: Services
) -> None:
    await connect(workplaces={WORKPLACE: "OVEN-1"})
    broker = {"endpoint": "mqtt://127.0.0.1:1883"}
    wanted = {"id": "lan", "kind": "force_bridge_mqtt", "broker": broker, "options": {"connection": "plant-1"}}
    assert (await api.post("/api/v1/hook-sources", json=wanted)).status == 201
    raw = dump({"properties": state("DOWNTIME", "PRODUCTION")})
    for _ in range(2):
        key, event = same_notification(raw)
        headers = {"mqtt-topic": "external/states"}
        await house.inbox.accept("lan", raw, headers, dedupe_key=key, verdict="unsigned", event=event)
    await drain(queues=("inbound-events",))
    assert (await context(api))["operating_state"] == "DOWNTIME"
    (event_told,) = await told(house)
    assert event_told["data"]["topic"] == "external/states"


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"options": {"connection": "No Such"}}, "options.connection"),
        ({"options": {"workplaces": {}}}, "options.workplaces"),
        ({"generate_signing_secret": True}, "signing_secret"),
    ],
)
async def test_sources_that_cannot_work(api: Api, wanted: dict[str, Any], field: str) -> None:
    answer = await api.post("/api/v1/hook-sources", json={"id": "x", "kind": "force_bridge", **wanted})
    assert (answer.status, answer.json()["problems"][0]["field"]) == (400, field)


async def test_an_alert_gets_its_ticket_and_says_so(
    api: Api, path: str, oven: str, drain: Drain, house: Services, force: FakeForceBridge, connect: Connect
) -> None:
    await connect(workplaces={WORKPLACE: oven}, tickets={})
    repair = {"name": "repair", "on": "raised", "ticket": {"title": "{equipment.name} is cold", "priority": "high"}}
    assert (await api.post("/api/v1/alert-rules", json={**RULE, "responses": [repair]})).status == 201
    equipment, _ = await house.equipment.get(oven)
    await house.ingest.take(equipment, Reading(oven, house.clock.now(), {CABINET: SignalValue(20.0, unit="C")}))
    assert (await drain()).failures == []
    (ticket,) = force.tickets
    assert (ticket["title"], ticket["priority"], ticket["workplaceId"]) == ("Oven 1 is cold", "HIGH", WORKPLACE)
    found = (await api.get("/api/v1/equipment/iot-alerts?equipment_id=OVEN-1")).json()["alerts"]
    (alert,) = [one for one in found if one["alert_type"] == "temperature_deviation"]
    shown = (await api.get(f"/api/v1/alerts/{alert['id']}")).json()
    assert "Ticket 1 was opened at plant-1." in str(shown)
