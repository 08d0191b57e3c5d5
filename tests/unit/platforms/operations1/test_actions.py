"""What a profile does for a worker beside reading: each recipe of the platform's guide, against machines on sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from shared.clock import ManualClock
from shared.services import Services
from shared.signals import Quality, Reading, SignalValue
from tests.api import Api, ApiAnswer
from tests.unit.connectors.vendor import Vendor
from tests.unit.platforms.operations1.payloads import value_webhook

LOCAL: dict[str, Any] = {
    "orderId": None,
    "progressId": 880011,
    "rowId": 21,
    "instructionId": 7,
    "stepId": 2,
    "row": {
        "id": 21,
        "entries": [
            {"id": 1, "interactionTags": [{"name": "ask", "interactionType": "external-request"}], "value": None},
            {"id": 2, "interactionTags": [{"name": "gross"}], "value": "2000,5"},
            {"id": 3, "interactionTags": [{"name": "tare"}], "value": 500},
            {"id": 4, "interactionTags": [{"name": "gross", "archived": True}], "value": 7},
        ],
    },
}
OVEN = {
    "path": "/ovens",
    "unit": 7,
    "items": "$",
    "item": {"where": {"id": "{unit}"}},
    "signals": {
        "torque": {"at": "torque", "unit": "Nm"},
        "status": {
            "at": "state",
            "map": {"0": "idle", "1": "running", "2": "done"},
            "writable": True,
            "write": {"method": "POST", "path": "/ovens/{unit}/state", "body": {"state": "{value}"}, "settle": 0},
        },
    },
}
START = {
    "do": "start",
    "equipment_id": "SCREWDRIVER",
    "signal": "status",
    "value": "running",
    "result": {"signal": "torque", "when_equals": ["done"], "digits": 1},
    "wait_seconds": 0,
}


class Screwdriver:
    """Starts when it is told to, and ends when the test says so."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {"id": 7, "state": 0, "torque": 1.0}
        self.started = 0
        self.sluggish = False
        """It is told, and says for a while what it said before."""
        self.begun = asyncio.Event()

    async def answering(self, request: web.Request) -> web.StreamResponse:
        if request.method != "GET":
            self.state |= {} if self.sluggish else await request.json()
            self.started += 1
            self.begun.set()
            return web.Response(status=204)
        return web.json_response([self.state])

    def end(self, torque: float) -> None:
        self.state |= {"state": 2, "torque": torque}


@pytest.fixture
def screwdriver() -> Screwdriver:
    return Screwdriver()


@pytest.fixture
async def vendor(api: Api, clock: ManualClock, screwdriver: Screwdriver) -> AsyncIterator[Vendor]:
    async with Vendor(clock, screwdriver.answering).serve() as there:
        await machine(api, there)
        yield there


async def machine(api: Api, there: Vendor, *, open_for_control: bool = True) -> None:
    body = {
        "id": "SCREWDRIVER",
        "name": "Screwdriver 1",
        "iot_protocol": "rest_api",
        "iot_endpoint": there.url,
        "iot_config": OVEN,
        "supports_remote_control": open_for_control,
    }
    answer = await api.post("/api/v1/equipment", json=body)
    assert answer.status == 201, answer.body


async def put(api: Api, **profile: Any) -> ApiAnswer:
    return await api.put("/api/v1/request-profiles/recipe", json=profile)


async def ask(api: Api, payload: Any = LOCAL, path: str = "/api/v1/requests/recipe") -> ApiAnswer:
    return await api.post(path, json=payload)


# Calculating and telling ------------------------------------------------------------------------------------------


async def test_a_calculation_from_what_was_entered_and_what_an_oven_says(api: Api, house: Services) -> None:
    await api.post("/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1"})
    tags = {"oven_mass": {"equipment_id": "OVEN-1", "signal": "product.weight"}}
    net = {"do": "calculate", "expression": "gross - tare + oven", "inputs": {"oven": "oven_mass"}, "digits": 1}
    answer = await put(api, tags=tags, actions={"net": net})
    assert answer.status == 201, answer.body
    reading = Reading("OVEN-1", house.clock.now(), {"product.weight": SignalValue(10, unit="kg")}, Quality.GOOD)
    await house.readings.record(reading)
    assert (await ask(api)).json() == {"oven_mass": 10, "net": 1510.5}
    nothing = json.loads(json.dumps(LOCAL))
    nothing["row"]["entries"][1]["value"] = None
    missing = await ask(api, nothing)
    assert missing.status == 409
    assert missing.json()["problems"] == [{"field": "net", "problem": "Nothing is entered under gross yet."}]


async def test_the_whole_report_and_the_step_say_the_same(api: Api) -> None:
    """Trap 20."""
    await put(api, actions={"double": {"do": "calculate", "expression": "core_temp * 2"}})
    cloud = value_webhook(40.25, double=None)
    step = {"progressId": 1, "orderId": None, "row": cloud["data"]["steps"][0]["rows"][1]}
    assert (await ask(api, cloud)).json() == (await ask(api, step)).json() == {"double": 80.5}


async def test_what_a_machine_does_at_the_moment(api: Api, house: Services, clock: ManualClock) -> None:
    await api.post("/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1"})
    signals = {
        "status": SignalValue("baking"),
        "cycle.stage": SignalValue("steam"),
        "time.remaining": SignalValue(12.34, unit="min"),
        "temperature.cabinet": SignalValue(180.26, unit="C"),
        "temperature.core": SignalValue(64.0, unit="C"),
        "temperature.setpoint": SignalValue(185.0, unit="C"),
    }
    await house.readings.record(Reading("OVEN-1", clock.now(), signals, Quality.GOOD))
    told = ("status", "stage", "time_remaining", "temperatures", "alerts", "alert_count", "connection", "summary")
    actions = {name: {"do": "machine", "equipment_id": "OVEN-1", "tell": name} for name in told}
    assert (await put(api, actions=actions)).status == 201
    assert (await ask(api)).json() == {
        "status": "baking",
        "stage": "steam",
        "time_remaining": 12.3,
        "temperatures": "cabinet 180.3 C, core 64.0 C",
        "alerts": "none",
        "alert_count": 0,
        "connection": "unknown",
        "summary": "baking; steam; cabinet 180.3 C, core 64.0 C; 12.34 min left; no alerts",
    }
    clock.advance(900)
    old = await ask(api)
    assert old.status == 409
    assert {p["field"] for p in old.json()["problems"]} == {
        "status",
        "stage",
        "time_remaining",
        "temperatures",
        "summary",
    }


async def test_a_template_writes_the_answer(api: Api, house: Services) -> None:
    actions = {
        "net": {"do": "calculate", "expression": "gross - tare"},
        "no": {"do": "calculate", "expression": "nowhere"},
    }
    template = {
        "values": [{"tag": "netto", "value": "{net}", "text": "{net} kg {{x}}"}, {"tag": "no", "value": "{no}"}],
        "report": "{report_id}",
        "why": "{no.reason}",
        "gone": "{no}",
    }
    made = await put(api, actions=actions, answer="template", template=template, on_missing="omit")
    assert made.status == 201, made.body
    answer = await ask(api)
    assert answer.json() == {
        "values": [{"tag": "netto", "value": 1500.5, "text": "1500.5 kg {x}"}, {"tag": "no"}],
        "report": "880011",
        "why": "Nothing is entered under nowhere yet.",
    }
    assert answer.headers["x-unanswered"] == "no"
    await put(api, actions=actions, answer="template", template=template, on_missing="null")
    assert (await ask(api)).json()["gone"] is None


# Starting ---------------------------------------------------------------------------------------------------------


async def test_a_process_is_started_and_its_result_told(
    api: Api, vendor: Vendor, screwdriver: Screwdriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.platforms.operations1.starting.LOOKS_EVERY", 0.02)
    screwdriver.end(9.9)  # of the run before: that is no result of ours
    made = await put(api, actions={"torque": START | {"wait_seconds": 10}})
    assert made.status == 201, made.body
    asked = asyncio.create_task(ask(api))
    await screwdriver.begun.wait()
    screwdriver.end(12.345)
    answer = await asked
    assert (answer.status, answer.json()) == (200, {"torque": 12.3})
    entries = (await api.get("/api/v1/audit?stream=equipment:SCREWDRIVER")).json()["entries"]
    (written,) = [e for e in entries if e["action"] == "signal.written"]
    assert written["actor"]["id"] == "profile:recipe"
    assert "880011" in written["actor"]["name"]
    again = await ask(api)
    assert (again.json(), screwdriver.started) == ({"torque": 12.3}, 1)


async def test_what_takes_longer_is_told_later(
    api: Api, vendor: Vendor, screwdriver: Screwdriver, clock: ManualClock
) -> None:
    await put(api, actions={"torque": START, "net": {"do": "calculate", "expression": "gross - tare"}})
    first, second = await asyncio.gather(ask(api), ask(api))
    assert (first.status, second.status, screwdriver.started) == (202, 202, 1)
    said = first.json()
    assert said["values"] == {"net": 1500.5}
    assert said["result_url"] == second.json()["result_url"] == first.headers["location"]
    path = said["result_url"].removeprefix("http://127.0.0.1:7071")
    running = await api.get(path)
    assert (running.status, running.json()["status"], running.json()["value"]) == (202, "running", None)
    screwdriver.end(7.04)
    done = await api.get(path)
    assert (done.status, done.json()["status"], done.json()["value"], done.json()["unit"]) == (200, "done", 7, "Nm")
    assert done.json()["report_id"] == "880011"
    by_key = await ask(api, path="/api/requests/recipe")
    assert by_key.json() == {"torque": 7, "net": 1500.5}
    clock.advance(2)
    other = await ask(api, LOCAL | {"stepId": 3}, path="/api/requests/recipe")
    assert (other.status, "/api/requests/results/" in other.headers["location"]) == (202, True)
    assert screwdriver.started == 2, "another step is another start"
    assert (await api.get("/api/v1/requests/results/" + "0" * 32)).status == 404
    clock.advance(700)
    given_up = (await api.get(other.headers["location"].removeprefix("http://127.0.0.1:7071"))).json()
    assert given_up["status"] == "given_up"


async def test_what_a_machine_said_before_is_no_result(
    api: Api, vendor: Vendor, screwdriver: Screwdriver, clock: ManualClock
) -> None:
    screwdriver.sluggish = True
    screwdriver.end(9.9)
    await put(api, actions={"torque": START})
    assert [(await ask(api)).status for _ in range(2)] == [202, 202]
    screwdriver.end(11.1)
    assert (await ask(api)).json() == {"torque": 11.1}, "another result, so another run"
    clock.advance(2)
    other = LOCAL | {"stepId": 3}
    assert (await ask(api, other)).status == 202
    screwdriver.state["state"] = 1
    assert (await ask(api, other)).status == 202
    screwdriver.end(11.1)
    assert (await ask(api, other)).json() == {"torque": 11.1}, "the same result, but it was seen at work"


async def test_running_may_be_told_as_missing(api: Api, vendor: Vendor, screwdriver: Screwdriver) -> None:
    await put(api, actions={"torque": START}, on_running="missing")
    answer = await ask(api)
    assert answer.status == 409
    assert "ask again" in answer.json()["detail"]
    screwdriver.end(5)
    assert (await ask(api)).json() == {"torque": 5}


async def test_what_did_not_start_may_start_again(
    api: Api, house: Services, vendor: Vendor, screwdriver: Screwdriver, clock: ManualClock
) -> None:
    await put(api, actions={"torque": START})
    config = {"supports_remote_control": False}
    etag = (await api.get("/api/v1/equipment/SCREWDRIVER")).headers["etag"]
    changed = await api.patch("/api/v1/equipment/SCREWDRIVER", json=config, headers={"If-Match": etag})
    assert changed.status == 200, changed.body
    refused = await ask(api)
    assert refused.status == 409
    assert "It was not started. Screwdriver 1 is not open for remote control" in refused.json()["detail"]
    etag = changed.headers["etag"]
    opened = {"supports_remote_control": True}
    assert (await api.patch("/api/v1/equipment/SCREWDRIVER", json=opened, headers={"If-Match": etag})).status == 200
    clock.advance(2)
    assert (await ask(api)).status == 202
    assert screwdriver.started == 1


async def test_after_a_while_it_may_start_again(
    api: Api, vendor: Vendor, screwdriver: Screwdriver, clock: ManualClock
) -> None:
    await put(api, actions={"torque": START | {"again_after_seconds": 60}})
    assert (await ask(api)).status == 202
    clock.advance(30)
    await ask(api)
    assert screwdriver.started == 1
    clock.advance(31)
    await ask(api)
    assert screwdriver.started == 2


async def test_a_death_while_it_was_started_is_said(
    api: Api,
    house: Services,
    vendor: Vendor,
    screwdriver: Screwdriver,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await put(api, actions={"torque": START})

    async def dies(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as death:
        death.setattr(house.control, "write", dies)
        with pytest.raises(asyncio.CancelledError):
            await ask(api)
    assert (await ask(api)).status == 202, "somebody may be at it"
    clock.advance(91)
    said = await ask(api)
    assert said.status == 409
    assert "look at the machine" in said.json()["detail"]
    assert screwdriver.started == 0


@pytest.mark.parametrize("payload", [{}, {"row": {"entries": []}}, {"progressId": None, "row": {}}])
async def test_without_a_report_nothing_is_started(
    api: Api, vendor: Vendor, screwdriver: Screwdriver, payload: Any
) -> None:
    await put(api, actions={"torque": START})
    answer = await ask(api, payload)
    assert (answer.status, screwdriver.started) == (409, 0)
    assert "names no report" in answer.json()["detail"]


async def test_the_value_to_write_may_be_entered(api: Api, vendor: Vendor, screwdriver: Screwdriver) -> None:
    action = {key: value for key, value in START.items() if key not in ("value", "result")} | {"value_from": "mode"}
    await put(api, actions={"started": action})
    assert "Nothing is entered under mode" in (await ask(api)).json()["detail"]
    entered = json.loads(json.dumps(LOCAL))
    entered["row"]["entries"].append({"id": 9, "interactionTags": [{"name": "mode"}], "value": "running"})
    assert (await ask(api, entered)).json() == {"started": "started"}
    assert screwdriver.state["state"] in (1, "1")


# Calling ----------------------------------------------------------------------------------------------------------


class PickByLight:
    """Lights shelves; refuses at first, if it is told to."""

    def __init__(self) -> None:
        self.heard: list[tuple[str | None, str | None, Any]] = []
        self.refuses: list[int] = []

    async def answering(self, request: web.Request) -> web.StreamResponse:
        key, login = request.headers.get("Idempotency-Key"), request.headers.get("Authorization")
        self.heard.append((key, login, await request.json()))
        if self.refuses:
            return web.Response(status=self.refuses.pop(0))
        return web.json_response({"shelves": [{"position": "A-17"}]})


CALL = {
    "do": "call",
    "url": "",
    "credentials": "lights",
    "body": {"order": "{order_id}", "report": "{report_id}", "grams": "{entered.tare}"},
    "result": "/shelves/0/position",
}


@pytest.fixture
def lights(monkeypatch: pytest.MonkeyPatch) -> PickByLight:
    monkeypatch.setattr("shared.platforms.operations1.calling.PAUSES", (0.01,))
    return PickByLight()


@pytest.fixture
async def shelf(api: Api, clock: ManualClock, lights: PickByLight) -> AsyncIterator[str]:
    async with Vendor(clock, lights.answering).serve() as there:
        wanted = {"protocol": "rest_api", "endpoint": there.url, "credentials": {"token": "light-Token-1"}}
        assert (await api.put("/api/v1/credential-sets/lights", json=wanted)).status == 201
        yield f"{there.url}/light"


async def test_a_pick_by_light_is_told_once_with_its_credentials(api: Api, lights: PickByLight, shelf: str) -> None:
    made = await put(api, actions={"position": CALL | {"url": shelf}})
    assert made.status == 201, made.body
    lights.refuses = [503, 429]
    answer = await ask(api)
    assert (answer.status, answer.json()) == (200, {"position": "A-17"})
    assert len(lights.heard) == 3
    assert len({key for key, _, _ in lights.heard}) == 1
    assert lights.heard[-1][1:] == ("Bearer light-Token-1", {"order": None, "report": "880011", "grams": 500})
    assert (await ask(api)).json() == {"position": "A-17"}
    assert len(lights.heard) == 3, "the second press joins"
    entries = (await api.get("/api/v1/audit?stream=profile:recipe")).json()["entries"]
    assert "request.called" in [e["action"] for e in entries]
    assert "light-Token-1" not in json.dumps(entries)


async def test_a_call_that_failed_is_made_again_under_its_key(api: Api, lights: PickByLight, shelf: str) -> None:
    await put(api, actions={"position": CALL | {"url": shelf, "attempts": 1}})
    lights.refuses = [500, 403]
    for said in ("answered 500", "check the credential set"):
        refused = await ask(api)
        assert refused.status == 409
        assert said in refused.json()["detail"]
    assert (await ask(api)).json() == {"position": "A-17"}
    assert len({key for key, _, _ in lights.heard}) == 1


async def test_a_new_call_after_a_while_has_a_new_key(
    api: Api, lights: PickByLight, shelf: str, clock: ManualClock
) -> None:
    await put(api, actions={"position": CALL | {"url": shelf, "again_after_seconds": 60}})
    await ask(api)
    clock.advance(timedelta(minutes=2).total_seconds())
    await ask(api)
    assert len({key for key, _, _ in lights.heard}) == 2


# Refused when it is saved -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({"do": "eval"}, "do"),
        ({"do": "calculate", "expression": "open(1)"}, "functions"),
        ({"do": "calculate", "expression": "a", "inputs": {"b": "x"}}, "does not use b"),
        (START | {"value": "sideways"}, "status"),
        (START | {"signal": "torque"}, "torque"),
        (START | {"equipment_id": "NOBODY"}, "NOBODY"),
        (START | {"value_from": "x"}, "either"),
        (START | {"wait_seconds": 21}, "20"),
        (CALL | {"url": "http://169.254.169.254/latest", "credentials": None}, "never connected to"),
        (CALL | {"url": "http://127.0.0.1:9/x", "credentials": "nobody"}, "no credential set nobody"),
        (CALL | {"url": "http://127.0.0.1:9/x", "body": {"x": "{secret}"}}, "stands for nothing"),
        (CALL | {"url": "http://127.0.0.1:9/x", "headers": {"Authorization": "x"}}, "credential set"),
        ({"do": "machine", "equipment_id": "NOBODY"}, "NOBODY"),
    ],
)
async def test_actions_that_can_never_be_done(api: Api, vendor: Vendor, action: Any, said: str) -> None:
    answer = await put(api, actions={"x": action})
    assert answer.status == 400, answer.body
    assert said in answer.json()["detail"]
    assert answer.json()["problems"][0]["field"].startswith("actions.x")


async def test_who_may_only_look_starts_nothing(
    api: Api, house: Services, vendor: Vendor, screwdriver: Screwdriver
) -> None:
    await put(api, actions={"torque": START})
    for role, status in (("viewer", 403), ("operator", 202)):
        made = await api.post("/api/v1/tokens", json={"name": role, "roles": [role]})
        assert made.status == 201, made.body
        headers = {"authorization": f"Bearer {made.json()['token']}"}
        answer = await api.post("/api/v1/requests/recipe", json=LOCAL, headers=headers)
        assert (answer.status, screwdriver.started) == (status, int(status == 202))


async def test_relays_of_before_understand_a_profile_without_actions(api: Api, house: Services) -> None:
    """They refuse fields that they do not know."""
    await api.post("/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1"})
    await put(api, tags={"t": {"equipment_id": "OVEN-1", "signal": "status"}})
    (stored,) = (await house.external_requests.profiles.every()).values()
    assert not stored.keys() & {"actions", "template", "on_running", "value_fields"}
    await put(api, actions={"n": {"do": "calculate", "expression": "1"}}, on_running="missing")
    (stored,) = (await house.external_requests.profiles.every()).values()
    assert (stored["on_running"], stored["actions"]["n"]["do"]) == ("missing", "calculate")


async def test_one_button_one_profile(api: Api, vendor: Vendor) -> None:
    answer = await put(api, actions={"one": START, "two": START})
    assert (answer.status, "at most one action that does start" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    "profile",
    [
        {"answer": "template"},
        {"template": {"a": 1}},
        {"answer": "template", "template": "{nowhere}"},
        {"answer": "template", "template": [[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]},
        {"answer": "template", "template": ["{x}"] * 600},
        {"tags": {"x": {"equipment_id": "OVEN-1", "signal": "status"}}},
    ],
)
async def test_profiles_that_make_no_sense(api: Api, profile: Any) -> None:
    assert (await put(api, actions={"x": {"do": "calculate", "expression": "1"}}, **profile)).status == 400
