"""innius calls in: who is believed, and what each event leads to. Traps 2, 9 and 10 of the reference are here."""

from __future__ import annotations

import base64
import json
from itertools import product
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from shared.clock import ManualClock
from shared.inbox.kinds import SourceKeys
from tests.api import Api
from tests.unit.platforms.innius.conftest import TRN, Address, Vendor, state

TASK = {
    "machinetrn": TRN,
    "activity_id": "act/1+a=",
    "activity_type": "maintenance",
    "scheduled_start": 1_763_719_200_000,
    "scheduled_end": 1_763_722_800_000,
    "assignee": "trn:company:1::person:7",
    "title": "Descale the boiler",
    "conversation_id": "c-9",
    "description": "With acid.",
}


# Who is believed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("salt", [padding.PSS.MAX_LENGTH, 32, 20, 0], ids=["max", "32", "20", "0"])
async def test_trap_2_the_header_is_a_pss_signature_with_a_salt_of_any_length(
    address: Address, vendor: Vendor, salt: Any
) -> None:
    await address.make({"public_keys": [vendor.public]})
    raw = json.dumps(state(2)).encode()
    answer = await address.post("SensorStateChange", raw, X_innius_validation=vendor.sign(raw, salt))
    assert (await address.effect(answer))["verdict"] == "verified"


async def test_trap_2_it_is_neither_the_body_nor_a_signature_of_another_form(address: Address, vendor: Vendor) -> None:
    await address.make({"public_keys": [vendor.public]})
    raw = json.dumps(state(2)).encode()
    sha1 = vendor.sign(raw, 20, hashes.SHA1())
    pkcs = base64.b64encode(vendor.key.sign(raw, padding.PKCS1v15(), hashes.SHA256())).decode()
    for wrong in (base64.b64encode(raw).decode(), sha1, pkcs, "!!", "AA=="):
        answer = await address.post("SensorStateChange", raw, X_innius_validation=wrong)
        assert answer.status == 401, wrong
    assert await address.alerts() == []


async def test_the_bytes_count_and_not_what_they_mean(address: Address, vendor: Vendor) -> None:
    await address.make({"public_keys": [vendor.public]})
    raw = b'{ "machinetrn": "' + TRN.encode() + b'", "sensorid": "s", "status": 1 }\n'
    signature = vendor.sign(raw)
    assert (await address.post("SensorStateChange", raw, X_innius_validation=signature)).status == 202
    for other in (raw.strip(), json.dumps(json.loads(raw)).encode(), raw + b"\n", b""):
        assert (await address.post("SensorStateChange", other, X_innius_validation=signature)).status == 401


async def test_base64_of_either_alphabet_padded_or_not(address: Address, vendor: Vendor) -> None:
    await address.make({"public_keys": [vendor.public], "retry_seconds": 0})
    raw = json.dumps(state(1)).encode()
    plain = vendor.sign(raw)
    for form in (plain, plain.rstrip("="), plain.replace("+", "-").replace("/", "_"), f" {plain[:60]} {plain[60:]}"):
        assert (await address.post("SensorStateChange", raw, X_innius_validation=form)).status == 202


async def test_trap_9_headers_in_any_casing(address: Address, vendor: Vendor) -> None:
    await address.make({"public_keys": [vendor.public], "retry_seconds": 0})
    raw = json.dumps(state(1)).encode()
    for event, validation in (
        ("x-innius-event", "x-innius-validation"),
        ("X-INNIUS-EVENT", "X-INNIUS-VALIDATION"),
        ("X-Innius-Event", "X-innius-validation"),
    ):
        headers = {event: "SensorStateChange", validation: vendor.sign(raw)}
        answer = await address.api.post(address.path, body=raw, headers=headers)
        message = await address.effect(answer)
        assert (message["event"], message["verdict"], message["status"]) == ("SensorStateChange", "verified", "handled")


async def test_two_keys_while_innius_changes_its_own(address: Address, vendor: Vendor, other_vendor: Vendor) -> None:
    await address.make({"public_keys": [vendor.public, other_vendor.public]})
    assert (await address.post("SensorStateChange", state(1), vendor)).status == 202
    assert (await address.post("SensorStateChange", state(2), other_vendor)).status == 202
    options = {"public_keys": [other_vendor.public], "machines": {TRN: "OVEN-1"}}
    assert (await address.api.patch("/api/v1/hook-sources/plant", json={"options": options})).status == 200
    assert (await address.post("SensorStateChange", state(0), vendor)).status == 401


async def test_leaving_the_event_out_is_no_way_around_the_signature(address: Address, vendor: Vendor) -> None:
    await address.make({"public_keys": [vendor.public]})
    assert (await address.post("SensorStateChange", state(2))).status == 401
    assert (await address.post(None, state(2))).status == 401
    login = {"username": "innius", "password": "a long password"}
    assert (await address.api.post("/api/v1/hook-sources/plant/secrets", json={"credentials": login})).status == 200
    basic = "Basic " + base64.b64encode(b"innius:a long password").decode()
    assert (await address.post(None, state(2))).status == 401
    assert (await address.post("SensorStateChange", state(2), authorization=basic)).status == 401, "it must sign"
    assert (await address.post(None, state(2), authorization=basic)).status == 202
    assert (await address.post("SensorStateChange", state(1), vendor)).status == 202


async def test_nothing_configured_is_unsigned(address: Address) -> None:
    await address.make()
    assert (await address.effect(await address.post("SensorStateChange", state(2))))["verdict"] == "unsigned"


async def test_wrong_options_are_named(api: Api) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"public_keys": ["AAAA"]}, "options.public_keys.0"),
        ({"public_keys": ["%%%"]}, "options.public_keys.0"),
        ({"public_keys": ["A", "B", "C"]}, "options.public_keys"),
        ({"machines": {TRN: "a/b"}}, f"options.machines.{TRN}"),
        ({"colour": "red"}, "options.colour"),
        ({"ui_body": {"value": "a..b"}}, "options.ui_body.value"),
        ({"ui_body": {"states": {"bad": 3}}}, "options.ui_body.states.bad"),
    ]
    for options, field in wrong:
        answer = await api.post("/api/v1/hook-sources", json={"id": "x", "kind": "innius", "options": options})
        assert (answer.status, answer.json()["problems"][0]["field"]) == (400, field)


# States ----------------------------------------------------------------------------------------------------------


async def test_a_state_becomes_an_alert_and_normal_ends_it(address: Address, clock: ManualClock) -> None:
    await address.make({"sensors": {"s-1": "temperature.core"}})
    message = await address.effect(await address.post("SensorStateChange", state(2)))
    assert message["equipment_id"] == "OVEN-1"
    assert message["effect"]["atIs"] == "arrival"
    assert message["effect"]["conversationId"] == "c-1"
    (alert,) = await address.alerts()
    assert (alert["severity"], alert["value"], alert["signal"]) == ("critical", 95.5, "temperature.core")
    assert alert["id"] == message["effect"]["alertId"]
    assert "time of arrival" in alert["message"]
    clock.advance(30)
    await address.effect(await address.post("SensorStateChange", state(0, currentValue=70)))
    assert await address.alerts() == []
    (over,) = await address.alerts("resolved")
    assert (over["id"], over["duration_seconds"]) == (alert["id"], 30)


async def test_retries_within_seconds_are_one_and_repeats_are_not(address: Address, clock: ManualClock) -> None:
    """2 -> 1 -> 2 gives equal bodies for the first and the third."""
    await address.make()
    body = {"sensorid": "s-1", "machinetrn": TRN, "conversationid": "c-1"}
    first = await address.post("MachineStateChange", body | {"status": 2})
    clock.advance(2)
    again = await address.post("MachineStateChange", body | {"status": 2})
    assert (first.status, again.status) == (202, 200)
    severities = []
    for status in (2, 1, 2):
        clock.advance(10)
        message = await address.effect(await address.post("MachineStateChange", body | {"status": status}))
        assert message["effect"]["alertId"]
        (alert,) = await address.alerts()
        severities.append(alert["severity"])
    assert severities == ["critical", "warning", "critical"]


async def test_one_alert_per_machine_and_sensor(address: Address, clock: ManualClock) -> None:
    await address.make()
    for sensor in ("s-1", "s-2"):
        await address.effect(await address.post("SensorStateChange", state(1, sensorid=sensor)))
    assert len(await address.alerts()) == 2
    clock.advance(1)
    await address.effect(await address.post("SensorStateChange", state(0, sensorid="s-2")))
    (left,) = await address.alerts()
    assert left["signal"] == "s-1"


async def test_a_machine_is_normal_whatever_sensor_was_the_last(address: Address, clock: ManualClock) -> None:
    await address.make()
    body = {"machinetrn": TRN, "conversationid": "c"}
    await address.effect(await address.post("MachineStateChange", body | {"sensorid": "s-1", "status": 2}))
    clock.advance(1)
    await address.effect(await address.post("MachineStateChange", body | {"sensorid": "s-2", "status": 0}))
    assert await address.alerts() == []


@pytest.mark.parametrize(("choice", "left"), [("sensor", 1), ("ignore", 0)])
async def test_machine_states_by_choice(address: Address, clock: ManualClock, choice: str, left: int) -> None:
    await address.make({"machine_state": choice})
    body = {"machinetrn": TRN, "conversationid": "c"}
    await address.effect(await address.post("MachineStateChange", body | {"sensorid": "s-1", "status": 2}))
    clock.advance(1)
    await address.effect(await address.post("MachineStateChange", body | {"sensorid": "s-2", "status": 0}))
    assert len(await address.alerts()) == left


async def test_what_is_handled_late_moves_nothing(address: Address, clock: ManualClock) -> None:
    await address.make()
    first = await address.post("SensorStateChange", state(2))
    clock.advance(1)
    source = await address.house.hook_sources.get("plant")
    second = await address.post("SensorStateChange", state(0))
    kind = address.house.platforms.kinds.get("innius")
    for answer in (second, first):
        await kind.handle(source, await address.house.inbox.get(answer.json()["id"]))
    assert await address.alerts() == []


async def test_a_deleted_sensor_has_no_alert(address: Address, clock: ManualClock) -> None:
    await address.make()
    await address.effect(await address.post("SensorStateChange", state(1)))
    clock.advance(1)
    gone = await address.post("SensorDeleted", {"machinetrn": TRN, "sensorid": "s-1"})
    assert (await address.effect(gone))["status"] == "handled"
    assert await address.alerts() == []


async def test_a_machine_nobody_mapped_has_no_effect_until_it_is(address: Address, clock: ManualClock) -> None:
    await address.make({"machines": {"trn:other": "OVEN-1"}}, equipment_id="OVEN-1")
    answer = await address.post("SensorStateChange", state(2))
    message = await address.effect(answer)
    assert TRN in message["effect"]["ignored"]
    assert message["equipment_id"] is None
    options = {"machines": {TRN: "OVEN-1"}}
    assert (await address.api.patch("/api/v1/hook-sources/plant", json={"options": options})).status == 200
    replayed = await address.api.post(f"/api/v1/inbox/{message['id']}/replay", json={})
    assert replayed.status in (200, 202), replayed.body
    assert (await address.effect(answer))["effect"]["alertId"]


# Tasks -----------------------------------------------------------------------------------------------------------


async def test_a_task_is_made_changed_and_given_away(address: Address, clock: ManualClock) -> None:
    await address.make()
    message = await address.effect(await address.post("TaskCreated", TASK))
    assert message["effect"]["outcome"] == "created"
    path = f"/api/v1/tasks/{message['effect']['taskId']}"
    task = (await address.api.get(path)).json()
    assert {k: task[k] for k in ("title", "reference", "kind", "assignee", "status", "equipment_id")} == {
        "title": "Descale the boiler",
        "reference": "act/1+a=",
        "kind": "maintenance",
        "assignee": "trn:company:1::person:7",
        "status": "open",
        "equipment_id": "OVEN-1",
    }
    assert (task["start_at"], task["due_at"]) == ("2025-11-21T10:00:00.000Z", "2025-11-21T11:00:00.000Z")
    short = {"machinetrn": TRN, "activity_id": "act/1+a=", "title": "Descale the boiler", "conversation_id": "c"}
    for number, word in enumerate(("open", "in_progress", "done", "cancelled", "postponed"), start=1):
        clock.advance(1)
        await address.effect(await address.post("TaskStatusChange", short | {"status": number}))
        assert (await address.api.get(path)).json()["status"] == word
    clock.advance(1)
    await address.effect(await address.post("TaskAssigneeChanged", short | {"assignee": "trn:company:1::person:8"}))
    assert (await address.api.get(path)).json()["assignee"] == "trn:company:1::person:8"


async def test_an_unknown_task_is_made_by_its_first_change(address: Address, clock: ManualClock) -> None:
    await address.make()
    change = {"machinetrn": "trn:unknown", "activity_id": "act-2", "title": "Sweep", "status": 3}
    message = await address.effect(await address.post("TaskStatusChange", change))
    task = (await address.api.get(f"/api/v1/tasks/{message['effect']['taskId']}")).json()
    assert (task["status"], task["title"], task["equipment_id"]) == ("done", "Sweep", None)
    assert message["effect"]["machine"] == "trn:unknown"


@pytest.mark.parametrize("spelling", ["conversationid", "conversation_id"])
@pytest.mark.parametrize("event", ["SensorStateChange", "TaskStatusChange"])
async def test_trap_10_either_spelling_of_the_conversation(address: Address, event: str, spelling: str) -> None:
    await address.make()
    body: dict[str, Any] = {"machinetrn": TRN, "sensorid": "s", "activity_id": "a", "status": 1, spelling: "c-77"}
    message = await address.effect(await address.post(event, body))
    assert message["effect"]["conversationId"] == "c-77"


# What nobody expects ---------------------------------------------------------------------------------------------


async def test_anything_is_stored_and_answered(address: Address) -> None:
    await address.make()
    odd = [b"{}", b"[]", b"", b"\xff\xfe", b"{" * 300, b'{"a":' * 200 + b"1" + b"}" * 200]
    for raw, event in product(odd, ["SensorStateChange", "TaskCreated", "SomethingNew", None]):
        message = await address.effect(await address.post(event, raw))
        assert message["status"] in ("handled", "failed")
        assert message["reason"] or message["effect"]["ignored"]
    assert await address.alerts() == []


async def test_an_impossible_state_has_a_reason(address: Address) -> None:
    await address.make()
    impossible: list[Any] = [3, -1, 1.5, True, None, "high", [], 10**400]
    for status in impossible:
        raw = json.dumps(state(0) | {"status": status}).encode()
        message = await address.effect(await address.post("SensorStateChange", raw))
        assert message["status"] == "failed"
        assert message["reason"]


async def test_numbers_as_text_are_numbers(address: Address) -> None:
    await address.make()
    await address.effect(await address.post("SensorStateChange", state(0) | {"status": "2", "currentValue": "95.5"}))
    (alert,) = await address.alerts()
    assert alert["value"] == 95.5


# The newer webhooks ----------------------------------------------------------------------------------------------


async def test_the_newer_body_is_read_by_a_profile(address: Address, clock: ManualClock) -> None:
    profile = {
        "machine": "source.machine",
        "sensor": "source['the sensor']",
        "value": "data[0].v",
        "state": "data[0].state",
        "tags": "custom",
        "states": {"OK": 0, "Warn": 1, "Alarm": 2},
    }
    await address.make({"ui_body": profile})
    source = {"machine": TRN, "the sensor": "s-1"}
    body = {"source": source, "data": [{"v": 12.5, "state": "alarm"}], "custom": {"erp": "4711"}}
    message = await address.effect(await address.post(None, body))
    assert (message["effect"]["tags"], message["effect"]["value"]) == ({"erp": "4711"}, 12.5)
    (alert,) = await address.alerts()
    assert (alert["severity"], alert["value"], alert["id"]) == ("critical", 12.5, message["effect"]["alertId"])
    clock.advance(1)
    await address.effect(await address.post(None, body | {"data": [{"v": 9, "state": "ok"}]}))
    assert await address.alerts() == []
    message = await address.effect(await address.post(None, body | {"data": [{"v": 9}]}))
    assert "value" in message["effect"]["ignored"]
    message = await address.effect(await address.post(None, body | {"data": [{"v": 9, "state": "odd"}]}))
    assert "options.ui_body.states" in message["effect"]["ignored"]


async def test_trap_9_the_kind_itself_takes_any_casing(address: Address, vendor: Vendor) -> None:
    """Messages also come by relays, which pass headers on as they were."""
    await address.make({"public_keys": [vendor.public]})
    house, raw = address.house, json.dumps(state(2)).encode()
    source = await house.hook_sources.get("plant")
    headers = {"X-INNIUS-Event": "sensorstatechange", "x-Innius-VALIDATION": vendor.sign(raw)}
    seen = house.platforms.kinds.get("innius").look(source, SourceKeys(), raw, headers, house.clock.now())
    assert (seen.verdict, seen.event, seen.equipment_id) == ("verified", "SensorStateChange", "OVEN-1")


async def test_many_headers_do_not_hide_the_event(address: Address) -> None:
    await address.make()
    many: dict[str, Any] = {f"x-a{number:02}": "1" for number in range(60)}
    await address.effect(await address.post("SensorStateChange", state(2), **many))
    assert len(await address.alerts()) == 1
