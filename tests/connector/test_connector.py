"""The connector: generated, in step, valid, and about routes and fields that are there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator

from functions.surface import surface_of
from infra.connector.__main__ import HERE, files, main
from infra.connector.lint import problems
from local.functions import HttpFunction, load
from local.host_json import read_host_json
from local.routes import RouteTable
from shared.clock import ManualClock
from shared.platforms.power_automate.triggers import TRIGGERS
from shared.services import Services
from tests.api import Api, ApiAnswer, cloud_functions
from tests.unit.callbacks.receiver import Receiver, receiving
from tests.unit.platforms.power_automate.conftest import SIGNED, Drain, example_of, happen

DEFINITION: dict[str, Any] = json.loads((HERE / "apiDefinition.swagger.json").read_text("utf-8"))
PROPERTIES: dict[str, Any] = json.loads((HERE / "apiProperties.json").read_text("utf-8"))
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (float, int),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DEFINITION["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


BY_ID = {operation["operationId"]: (path, method, operation) for path, method, operation in operations()}


def test_it_is_in_step() -> None:
    for name, data in files().items():
        assert (HERE / name).read_bytes() == data, f"{name}: run `python -m infra.connector`"
    assert main(["--check"]) == 0


def test_what_is_not_in_step_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--to", str(tmp_path)]) == 0
    (tmp_path / "settings.json").write_text("{}")
    assert main(["--check", "--to", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("settings.json is not in step")


def test_it_is_swagger() -> None:
    OpenAPIV2SpecValidator(DEFINITION).validate()


def test_it_keeps_the_rules() -> None:
    assert problems(DEFINITION, PROPERTIES) == []


def test_the_icon_is_a_picture() -> None:
    data = (HERE / "icon.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(data) < 1_000_000


def test_for_work_accounts(tmp_path: Path) -> None:
    own = ["--entra", "11111111-aaaa", "--tenant", "22222222-bbbb", "--resource", "api://ovens"]
    assert main([*own, "--to", str(tmp_path)]) == 0
    definition = json.loads((tmp_path / "apiDefinition.swagger.json").read_text())
    properties = json.loads((tmp_path / "apiProperties.json").read_text())
    assert problems(definition, properties) == []
    OpenAPIV2SpecValidator(definition).validate()
    assert definition["paths"] == DEFINITION["paths"]
    token = properties["properties"]["connectionParameters"]["token"]["oAuthSettings"]
    assert (token["identityProvider"], token["clientId"]) == ("aad", "11111111-aaaa")
    assert "22222222-bbbb" in definition["securityDefinitions"]["entra"]["tokenUrl"]
    with pytest.raises(SystemExit):
        main(own)


@pytest.mark.parametrize(("path", "method"), [(p, m) for p, m, _ in operations()])
def test_every_path_is_served(path: str, method: str) -> None:
    table = RouteTable(f for f in load("function_app", read_host_json().route_prefix) if isinstance(f, HttpFunction))
    concrete = re.sub(r"\{\w+\}", "0123456789ABCDEF0123456789ABCDEF-0123456789ABCDEF", path)
    found = table.find(method.upper(), concrete)
    assert found is not None
    assert method.upper() in (found.function.methods or ())


@pytest.mark.parametrize("operation", BY_ID)
def test_it_says_the_role_that_is_needed(operation: str) -> None:
    path, method, said = BY_ID[operation]
    if said.get("x-ms-visibility") == "internal":
        return
    concrete = re.sub(r"\{\w+\}", "0123456789ABCDEF0123456789ABCDEF-0123456789ABCDEF0123456789ABCDEF", path)
    table = RouteTable(f for f in cloud_functions() if isinstance(f, HttpFunction))
    found = table.find(method.upper(), concrete)
    assert found is not None
    assert said["description"].endswith(f"Needs the role {surface_of(found.function.handler).role}.")


async def test_a_connection_shows_its_token(api: Api, flow: Receiver) -> None:
    definition = DEFINITION["securityDefinitions"]["api_key"]
    for role, status in (("viewer", 403), ("operator", 403), ("engineer", 201)):
        token = (await api.post("/api/v1/tokens", json={"name": role, "roles": [role]})).json()["token"]
        shown = {definition["name"]: token}
        answer = await api.post(BY_ID["WhenAlertRaised"][0], json={"callback_url": flow.url}, headers=shown)
        assert answer.status == status
        if status == 403:
            assert "engineer" in answer.json()["error"]["message"]
        assert (await api.get(BY_ID["ListOvens"][0], headers=shown)).status == 200
    assert (await api.get(BY_ID["ListOvens"][0], headers={definition["name"]: "ob_no"})).status == 401


def test_every_trigger_of_the_code_is_in_it() -> None:
    assert {t.operation for t in TRIGGERS.values()} <= set(BY_ID)
    names = {o["summary"] for _, _, o in operations() if o.get("x-ms-trigger") == "single"}
    assert {"When an oven alert is raised", "When any event happens", "When a batch ends"} <= names


# What is declared is what comes -----------------------------------------------------------------------------------


def assert_fits(value: Any, schema: dict[str, Any], where: str) -> None:
    """Every declared field is there and of its type."""
    if value is None:
        assert schema.get("x-nullable"), f"{where} is null"
        return
    assert type(value) in TYPES[schema["type"]], (where, value)
    if schema.get("format") == "date-time":
        datetime.fromisoformat(value)
    for name, inner in schema.get("properties", {}).items():
        assert name in value, f"{where}.{name} is missing"
        assert_fits(value[name], inner, f"{where}.{name}")
    for item in value if schema["type"] == "array" else ():
        assert_fits(item, schema["items"], f"{where}[]")


async def call(api: Api, operation: str, query: str = "", json: Any = None, **path: str) -> ApiAnswer:
    """Call it as a flow would, and hold the answer against what is declared."""
    template, method, said = BY_ID[operation]
    answer = await api.call(method.upper(), template.format(**path) + query, json=json)
    declared = said["responses"].get(str(answer.status))
    assert declared is not None, (operation, answer.status, answer.body)
    if "schema" in declared:
        assert_fits(answer.json(), declared["schema"], operation)
    return answer


@pytest.fixture
async def flow() -> Any:
    async with receiving() as made:
        yield made


@pytest.fixture
async def oven(house: Services, api: Api, clock: ManualClock) -> str:
    from shared.signals import Quality, Reading, SignalValue

    answer = await api.put("/api/v1/equipment/OVEN-1", json={"name": "Horno #1", "site": "Madrid"})
    assert answer.status == 201, answer.body
    values = {
        "temperature.cabinet": SignalValue(221.5, unit="C"),
        "status": SignalValue("running"),
        "door.open": SignalValue(False),
    }
    await house.readings.record(Reading("OVEN-1", clock.now(), values, quality=Quality.GOOD))
    return "OVEN-1"


async def test_what_ovens_say(api: Api, oven: str, clock: ManualClock) -> None:
    listed = (await call(api, "ListOvens", "?site=&search=horno")).json()
    assert [row["label"] for row in listed["ovens"]] == ["Horno #1 (Madrid)"]
    assert (await call(api, "GetOvenNow", equipment_id=oven)).json()["temperature"] == 221.5
    signals = (await call(api, "ListOvenValues", equipment_id=oven)).json()["signals"]
    assert {row["signal"] for row in signals} >= {"temperature.cabinet", "status", "door.open"}
    one = (await call(api, "GetOvenValue", "?signal=temperature.cabinet", equipment_id=oven)).json()
    assert (one["value"], one["value_text"], one["unit"]) == (221.5, "221.5", "C")
    word = (await call(api, "GetOvenValue", "?signal=status", equipment_id=oven)).json()
    assert (word["value"], word["value_text"]) == (None, "running")
    clock.advance(10)
    for query in ("?signal=temperature.cabinet&bucket=5m&start=&end=", "?signal=temperature.cabinet"):
        history = (await call(api, "GetOvenHistory", query, equipment_id=oven)).json()
        assert [row["average"] for row in history["rows"] if row["count"]] == [221.5]
    rule = {"equipment_id": oven, "kind": "high", "signal": "temperature.cabinet", "limit": 250}
    assert (await api.post("/api/v1/alert-rules", json=rule)).status == 201
    (listed_rule,) = (await call(api, "ListAlertRules", "?equipment_id=OVEN-1")).json()["rules"]
    assert listed_rule["kind"] == "high"


async def test_what_is_wrong_is_said_in_words(api: Api, oven: str) -> None:
    path, _, _ = BY_ID["GetOvenValue"]
    answer = await api.get(path.format(equipment_id=oven) + "?signal=presure")
    assert answer.status in (400, 422)
    assert "temperature.cabinet" in answer.json()["error"]["message"]
    assert (await api.get(path.format(equipment_id="nobody") + "?signal=x")).status == 404
    late = "?signal=x&start=0001-01-01T00:00:00%2B23:00"
    assert (await api.get(BY_ID["GetOvenHistory"][0].format(equipment_id=oven) + late)).status in (400, 422)


async def test_a_connection_is_tested(house: Services, api: Api, oven: str) -> None:
    config = {"protocol": "rest_api", "endpoint": "http://127.0.0.1:9"}
    done = await api.post(f"/api/v1/equipment/{oven}/iot-config?test=false", json=config)
    assert done.status == 200, done.body
    tested = (await call(api, "TestOvenConnection", equipment_id=oven)).json()
    assert (tested["success"], bool(tested["error_details"])) == (False, True)


async def test_an_alert_is_handled(house: Services, api: Api, oven: str, clock: ManualClock) -> None:
    from shared.signals import Quality, Reading, SignalValue

    rule = {"equipment_id": oven, "kind": "high", "signal": "temperature.cabinet", "limit": 200, "severity": "critical"}
    assert (await api.post("/api/v1/alert-rules", json=rule)).status == 201
    machine = await house.equipment.known(oven)
    clock.advance(30)
    hot = {"temperature.cabinet": SignalValue(260.0, unit="C")}
    await house.ingest.take(machine, Reading(oven, clock.now(), hot, quality=Quality.GOOD))
    (alert,) = (await api.get("/api/v1/equipment/iot-alerts")).json()["alerts"]
    path = {"alert_id": alert["id"]}
    assert (await call(api, "GetAlert", **path)).json()["status"] == "active"
    assert (await call(api, "CommentAlert", json={"comment": "On my way"}, **path)).status == 200
    assert (await call(api, "AcknowledgeAlert", json={"comment": "Seen"}, **path)).json()["status"] == "acknowledged"
    assert (await call(api, "AcknowledgeAlert", **path)).status == 200
    assert (await call(api, "ShelveAlert", json={"minutes": 5}, **path)).json()["shelved_until"]
    assert (await call(api, "ResolveAlert", json={}, **path)).json()["status"] == "resolved"


async def test_events_and_tasks_are_made_once(
    house: Services, api: Api, oven: str, flow: Receiver, drain: Drain
) -> None:
    await api.post(BY_ID["WhenAnythingHappens"][0], json={"callback_url": flow.url, "event_type": "EXTERNAL"})
    raised = {"name": "DOUGH_READY", "message": "Dough is ready", "equipment_id": oven, "data": {"batch": 7}}
    path = BY_ID["RaiseEvent"][0]
    answers = [await api.post(path, json=raised, headers={"Idempotency-Key": "k1"}) for _ in range(2)]
    assert [a.status for a in answers] == [201, 201]
    assert answers[0].json()["event_id"] == answers[1].json()["event_id"]
    await drain()
    (told,) = [n.json() for n in flow.seen]
    assert (told["name"], told["message"], told["site"], told["equipment_id"]) == (
        "DOUGH_READY",
        "Dough is ready",
        "Madrid",
        oven,
    )
    assert json.loads(told["data"])["batch"] == 7
    assert (await call(api, "RaiseEvent", json={"name": "X", "equipment_id": "", "severity": ""})).json()[
        "targets"
    ] == 1
    task = {"title": "Clean it", "equipment_id": oven, "priority": "high"}
    assert (await call(api, "CreateTask", json=task)).json()["priority"] == "high"


async def test_lists_for_makers(api: Api, flow: Receiver) -> None:
    await call(api, "WhenBatchEnded", json={"callback_url": flow.url + SIGNED, "equipment_id": "", "site": "Madrid"})
    listed = (await call(api, "ListSubscriptions")).json()
    (row,) = listed["subscriptions"]
    assert (row["trigger"], row["site"]) == ("batch-ended", "Madrid")
    assert (await call(api, "SendTestNotification", subscription_id=row["subscription_id"])).status == 202
    types = (await call(api, "ListEventTypes")).json()["event_types"]
    assert "ALERT_RAISED" in {row["event_type"] for row in types}
    assert (await call(api, "EndSubscription", subscription_id=row["subscription_id"])).status == 204


@pytest.mark.parametrize("trigger", TRIGGERS.values(), ids=TRIGGERS)
async def test_a_flow_gets_what_is_declared(
    trigger: Any, house: Services, api: Api, flow: Receiver, drain: Drain, clock: ManualClock
) -> None:
    subscribed = await call(api, trigger.operation, json={"callback_url": flow.url + SIGNED})
    assert subscribed.headers["location"].startswith("http")
    await house.events.publish(example_of(trigger.event_type or "TASK_CREATED", clock))
    assert (await drain()).failures == []
    body = flow.seen[0].json()
    schema = BY_ID[trigger.operation][2]["x-ms-notification-content"]["schema"]
    assert list(body) == list(schema["properties"])
    declared = {name: {k: v for k, v in part.items() if k != "format"} for name, part in schema["properties"].items()}
    assert_fits(body, {"type": "object", "properties": declared}, trigger.key)


async def test_polling_gives_what_is_declared(house: Services, api: Api, clock: ManualClock) -> None:
    empty = await call(api, "OnAnythingPolled", "?form=list")
    assert empty.status == 202
    first = (await call(api, "OnAlertsPolled", "?form=cursor")).json()
    await happen(house, clock)
    clock.advance(60)
    assert len((await call(api, "OnAnythingPolled", "?form=list&cursor=2026-11-21T10:00:00Z")).json()) == 1
    again = (await call(api, "OnAlertsPolled", f"?form=cursor&cursor={first['cursor']}")).json()
    assert [item["event_id"] for item in again["items"]] == ["E1"]


def test_no_function_of_the_connector_is_missing() -> None:
    from infra.connector.operations import ACTIONS

    assert {a.function for a in ACTIONS} <= {f.name for f in cloud_functions()}
