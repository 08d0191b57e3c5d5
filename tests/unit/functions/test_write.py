"""`POST /equipment/{id}/write` to a Modbus device in this process: what is refused, what is written, what is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.collection.control import RemoteControl, WriteOrder
from shared.connectors import Connector
from shared.connectors.modbus_line import lines
from shared.connectors.rest_api import RestConnector
from shared.errors import Unavailable
from shared.services import Services
from tests.api import Api, ApiAnswer
from tests.unit.connectors.modbus_device import Device, Request

OVEN = "/api/v1/equipment/oven-1"
SETPOINT: dict[str, Any] = {"at": "holding:0:int16", "scale": 0.1, "min": 30, "max": 300, "writable": True}
SIGNALS: dict[str, Any] = {
    "temperature.deck1.setpoint": SETPOINT,
    "temperature.core.setpoint": {"at": "holding:1:int16", "unit": "F", "min": 86, "max": 572, "writable": True},
    "temperature.deck1": "holding:2",
    "speed": {"at": "holding:3", "writable": True},
    "program": {"at": "holding:20:string6", "writable": True},
    "status": {"at": "holding:30", "map": {"0": "standby", "3": "baking"}, "writable": True},
    "lamp": {"at": "coil:5", "writable": True},
    "temperature.deck2.setpoint": {"at": "holding:4", "max": 300, "writable": True},
    "note": {"at": "holding:5", "writable": False},
}
WRITES = (5, 6, 16, 22)
"""Modbus functions that change something."""


@pytest.fixture
async def device() -> AsyncIterator[Device]:
    """Deck 1 is set to 180 C, the core to 212 F."""
    async with Device(registers={**dict.fromkeys(range(60), 0), 0: 1800, 1: 212}, coils={5: False}) as there:
        yield there
        lines().close()


@pytest.fixture
async def oven(api: Api, device: Device) -> str:
    """A machine that is open for remote control; its etag."""
    body = {
        "id": "oven-1",
        "name": "Deck oven",
        "iot_protocol": "modbus",
        "iot_endpoint": f"modbus+tcp://127.0.0.1:{device.port}",
        "iot_config": {"signals": SIGNALS, "timeout": 2, "answer_timeout": 0.2},
        "supports_remote_control": True,
    }
    answer = await api.post("/api/v1/equipment", json=body)
    assert answer.status == 201, answer.body
    return answer.headers["etag"]


async def write(api: Api, signal: str, value: Any, *, headers: dict[str, str] | None = None, **more: Any) -> ApiAnswer:
    body = {"signal": signal, "value": value, "reason": "new recipe"} | more
    return await api.post(f"{OVEN}/write", json=body, headers=headers or {})


async def entries(house: Services) -> list[tuple[str, Any, Any]]:
    """What the audit log says of writing, oldest first."""
    page = await house.audit.entries(stream="equipment:oven-1")
    return [(e.action, e.before, e.after) for e in reversed(page.entries) if e.action.startswith("signal.")]


def written(device: Device) -> int:
    return sum(request.function in WRITES for request in device.requests)


async def test_a_value_is_written_read_back_and_told(api: Api, house: Services, device: Device, oven: str) -> None:
    answer = await write(api, "temperature.deck1.setpoint", 185.5, expected=180, headers={"If-Match": oven})
    assert answer.status == 200, answer.body
    body = answer.json()
    assert body.pop("response_time_ms") > 0
    assert body == {
        "equipment_id": "oven-1",
        "success": True,
        "status": "written",
        "signal": "temperature.deck1.setpoint",
        "before": 180,
        "requested": 185.5,
        "after": 185.5,
        "unit": "C",
        "verified": True,
        "error_details": None,
    }
    assert device.registers[0] == 1855
    assert await entries(house) == [
        (
            "signal.written",
            {"signal": "temperature.deck1.setpoint", "value": 180, "unit": "C"},
            {"signal": "temperature.deck1.setpoint", "value": 185.5, "unit": "C", "reason": "new recipe"},
        ),
        (
            "signal.read_back",
            None,
            {"signal": "temperature.deck1.setpoint", "value": 185.5, "unit": "C", "announced": 2, "verified": True},
        ),
    ]
    assert (await house.audit.verify("equipment:oven-1")).intact
    assert (await house.receiver.depth("poll-batches")).active == 1, "it is read soon, for everybody to see"


@pytest.mark.parametrize(
    ("signal", "value", "registers"),
    [
        ("temperature.core.setpoint", 150, {1: 302}),
        ("status", "baking", {30: 3}),
        ("program", "RYE", {20: 0x5259, 21: 0x4500}),
    ],
)
async def test_in_the_unit_and_words_of_the_device(
    api: Api, device: Device, oven: str, signal: str, value: Any, registers: dict[int, int]
) -> None:
    body = (await write(api, signal, value)).json()
    assert (body["after"], body["verified"], body["error_details"]) == (value, True, None)
    assert {at: device.registers[at] for at in registers} == registers


async def test_a_flag(api: Api, device: Device, oven: str) -> None:
    body = (await write(api, "lamp", True, expected=False)).json()
    assert (body["before"], body["after"], body["verified"]) == (False, True, True)
    assert device.coils[5] is True


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"signal": "nowhere", "value": 1}, 400, "nowhere is not in the mapping"),
        ({"signal": "temperature.deck1", "value": 1}, 409, "temperature.deck1 is only read"),
        ({"signal": "note", "value": 1}, 409, "note is only read"),
        ({"signal": "temperature.deck2.setpoint", "value": 100}, 409, "its mapping has no min, and numbers"),
        ({"signal": "temperature.deck1.setpoint", "value": 301}, 400, "above the maximum of 300 C"),
        ({"signal": "temperature.deck1.setpoint", "value": 29.9}, 400, "below the minimum of 30 C"),
        ({"signal": "temperature.core.setpoint", "value": 301}, 400, "573.8 F is above the maximum of 572 F"),
        ({"signal": "temperature.deck1.setpoint", "value": "200"}, 400, "needs a number"),
        ({"signal": "temperature.deck1.setpoint", "value": True}, 400, "needs a number"),
        ({"signal": "status", "value": "dancing"}, 400, "takes one of standby, baking"),
        ({"signal": "status", "value": None}, 400, "value"),
        ({"signal": "status", "value": ["baking"]}, 400, "value"),
        ({"signal": "status", "value": "a\nb"}, 400, "one line"),
        ({"signal": "status"}, 400, "value: This field is required"),
        ({"signal": "status", "value": "baking", "reason": "  "}, 400, "reason"),
        ({"signal": "status", "value": "baking", "force": True}, 400, "There is no such field"),
    ],
)
async def test_what_is_refused_before_the_machine_is_asked(
    api: Api, house: Services, device: Device, oven: str, asked: dict[str, Any], status: int, said: str
) -> None:
    answer = await api.post(f"{OVEN}/write", json={"reason": "why not"} | asked)
    assert (answer.status, said in answer.json()["detail"]) == (status, True), answer.body
    assert device.connections == 0
    assert await entries(house) == []


@pytest.mark.parametrize(
    ("signal", "value", "status", "said"),
    [
        ("speed", 5, 409, "has no min and no max"),
        ("speed", "fast", 400, "takes a number, not a text"),
        ("program", 5, 400, "takes a text, not a number"),
        ("lamp", 1, 400, "takes true or false, not a number"),
    ],
)
async def test_the_machine_itself_says_of_which_kind_a_signal_is(
    api: Api, house: Services, device: Device, oven: str, signal: str, value: Any, status: int, said: str
) -> None:
    answer = await write(api, signal, value)
    assert (answer.status, said in answer.json()["detail"]) == (status, True), answer.body
    assert written(device) == 0
    assert await entries(house) == []


@pytest.mark.parametrize("expected", [170, "180", True])
async def test_the_value_to_be_replaced_has_to_hold(
    api: Api, house: Services, device: Device, oven: str, expected: Any
) -> None:
    answer = await write(api, "temperature.deck1.setpoint", 200, expected=expected)
    assert (answer.status, answer.json()["detail"]) == (
        412,
        "temperature.deck1.setpoint is 180.0 C now, not what you expected, so nothing was written.",
    )
    assert written(device) == 0
    assert await entries(house) == []


async def test_a_stale_etag(api: Api, device: Device, oven: str) -> None:
    assert (await api.patch(OVEN, json={"location": "hall 2"})).status == 200
    answer = await write(api, "lamp", True, headers={"If-Match": oven})
    assert answer.status == 412
    assert device.connections == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"supports_remote_control": False}, "not open for remote control"),
        ({"iot_enabled": False}, "switched off (iot_enabled)"),
    ],
)
async def test_machines_that_are_not_written(
    api: Api, device: Device, oven: str, change: dict[str, Any], said: str
) -> None:
    assert (await api.patch(OVEN, json=change)).status == 200
    answer = await write(api, "lamp", True)
    assert (answer.status, said in answer.json()["detail"]) == (409, True), answer.body
    assert device.connections == 0


async def test_a_machine_without_a_connection_or_at_all(api: Api, house: Services) -> None:
    assert (await write(api, "lamp", True)).status == 404
    assert (await api.post("/api/v1/equipment", json={"id": "oven-1", "name": "Oven"})).status == 201
    answer = await write(api, "lamp", True)
    assert (answer.status, "no IoT configuration" in answer.json()["detail"]) == (409, True)


async def test_protocols_that_are_only_read(api: Api, house: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RestConnector, "write", Connector.write)
    body = {
        "id": "oven-1",
        "name": "Oven",
        "iot_protocol": "rest_api",
        "iot_endpoint": "http://127.0.0.1:9",
        "iot_config": {"signals": {"lamp": {"at": "lamp", "writable": True, "write": {"body": "{value}"}}}},
        "supports_remote_control": True,
    }
    assert (await api.post("/api/v1/equipment", json=body)).status == 201
    answer = await write(api, "lamp", True)
    assert (answer.status, "rest_api are only read" in answer.json()["detail"]) == (409, True), answer.body
    assert await entries(house) == []


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("auditor", 403), ("operator", 200), ("engineer", 200)])
async def test_who_may(api: Api, device: Device, oven: str, role: str, status: int) -> None:
    made = (await api.post("/api/v1/tokens", json={"name": "line 2", "roles": [role]})).json()
    answer = await write(api, "lamp", True, headers={"Authorization": f"Bearer {made['token']}"})
    assert answer.status == status, answer.body
    assert device.coils[5] is (status == 200)


# The machine's own trouble -------------------------------------------------------------------------------------------


async def test_a_machine_that_cannot_be_read_is_not_written(
    api: Api, house: Services, device: Device, oven: str
) -> None:
    device.silent.add(1)
    answer = await write(api, "temperature.deck1.setpoint", 200)
    body = answer.json()
    assert (answer.status, body["success"], body["status"], body["before"]) == (200, False, "timeout", None)
    assert body["error_details"].startswith("Nothing was written. ")
    assert written(device) == 0
    assert await entries(house) == []


async def test_a_signal_that_cannot_be_read_is_not_written(
    api: Api, house: Services, device: Device, oven: str
) -> None:
    del device.coils[5]
    body = (await write(api, "lamp", True)).json()
    assert (body["success"], body["verified"]) == (False, False)
    assert body["error_details"].startswith("Nothing was written. lamp cannot be read now")
    assert await entries(house) == []


async def test_a_refused_order_is_told_and_noted(api: Api, house: Services, device: Device, oven: str) -> None:
    device.refused_functions = {6: 3}
    answer = await write(api, "temperature.deck1.setpoint", 200)
    body = answer.json()
    assert (answer.status, body["success"], body["status"]) == (200, False, "unexpected_answer")
    assert (body["before"], body["after"], body["verified"]) == (180, None, False)
    assert "does not accept this value" in body["error_details"]
    first, second = await entries(house)
    assert (first[0], second[0]) == ("signal.written", "signal.written.failed")
    assert second[2]["detail"] == body["error_details"]


async def test_an_order_whose_answer_is_lost_is_not_repeated(
    api: Api, house: Services, device: Device, oven: str, clock: ManualClock
) -> None:
    await write(api, "status", "standby")  # how many requests one read takes
    reads = next(n for n, request in enumerate(device.requests) if request.function in WRITES)
    device.forget()
    clock.advance(1)
    device.hang_up_on = {reads + 1}
    body = (await write(api, "temperature.deck1.setpoint", 200)).json()
    assert (body["success"], body["after"], written(device)) == (False, None, 1)
    assert "may have been written all the same" in body["error_details"]
    assert [entry[0] for entry in await entries(house)][2:] == ["signal.written", "signal.written.failed"]


async def test_a_machine_that_forgets_is_seen_through(api: Api, house: Services, device: Device, oven: str) -> None:
    device.read_only = True
    body = (await write(api, "temperature.deck1.setpoint", 200)).json()
    assert (body["success"], body["after"], body["verified"]) == (True, 180, False)
    assert "reads back another value" in body["error_details"]
    assert (await entries(house))[1][2]["verified"] is False


class Noticing(list[Request]):
    """The requests of a device that falls silent as soon as it is ordered something."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device
        self.ordered = asyncio.Event()

    def append(self, request: Request) -> None:
        super().append(request)
        if request.function in WRITES:
            self.device.silent.add(request.unit)
            self.ordered.set()


@pytest.fixture
async def hanging(api: Api, device: Device, oven: str) -> Noticing:
    """The device takes orders and never answers; the connector would wait for a long time."""
    patient = {"signals": SIGNALS, "timeout": 30, "answer_timeout": 20}
    assert (await api.patch(OVEN, json={"iot_config": patient})).status == 200
    device.requests = Noticing(device)
    return device.requests


ACTOR = {"id": "token:1", "name": "line 2", "how": "api_token"}
LAMP = WriteOrder("lamp", True, "light")


async def test_the_deadline_is_hard(house: Services, hanging: Noticing) -> None:
    control = RemoteControl(
        house.equipment,
        house.connectors,
        house.audit,
        house.clock,
        deadline_seconds=1.0,
        through_relay=lambda: house.relay_hub.reach,
    )
    async with asyncio.timeout(5):
        outcome = await control.write("oven-1", LAMP, ACTOR)
    assert (outcome.success, outcome.status, outcome.after) == (False, "timeout", None)
    assert "It may have taken lamp all the same: look at its value before" in (outcome.error_details or "")
    assert [entry[0] for entry in await entries(house)] == ["signal.written", "signal.written.failed"]


async def test_dying_between_the_entry_and_the_order_leaves_the_entry(house: Services, hanging: Noticing) -> None:
    writing = asyncio.create_task(house.control.write("oven-1", LAMP, ACTOR))
    async with asyncio.timeout(5):
        await hanging.ordered.wait()
    assert [entry[0] for entry in await entries(house)] == ["signal.written"], "it stands before the order"
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert writing.cancelled()
    assert [entry[0] for entry in await entries(house)] == ["signal.written"], "and nothing claims how it ended"


async def test_without_an_entry_nothing_is_written(
    api: Api, house: Services, device: Device, oven: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise Unavailable("The store is away.")

    monkeypatch.setattr(house.audit, "append", away)
    answer = await write(api, "lamp", True)
    assert answer.status == 503
    assert (written(device), device.coils[5]) == (0, False)


async def test_a_store_that_goes_away_after_the_order_does_not_hide_that_it_was_written(
    api: Api, house: Services, device: Device, oven: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = house.audit.append

    async def first_only(stream: str, **said: Any) -> Any:
        if said["action"] != "signal.written":
            raise Unavailable("The store is away.")
        return await append(stream, **said)

    monkeypatch.setattr(house.audit, "append", first_only)
    body = (await write(api, "lamp", True)).json()
    assert (body["success"], body["after"]) == (True, True)


async def test_one_order_at_a_time(api: Api, house: Services, hanging: Noticing, clock: ManualClock) -> None:
    writing = asyncio.create_task(house.control.write("oven-1", LAMP, ACTOR))
    async with asyncio.timeout(5):
        await hanging.ordered.wait()
    clock.advance(30)
    answer = await write(api, "status", "baking")
    assert (answer.status, "Something else is being written" in answer.json()["detail"]) == (429, True)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_not_one_after_the_other_without_a_breath(
    api: Api, device: Device, oven: str, clock: ManualClock
) -> None:
    assert (await write(api, "lamp", True)).json()["success"]
    clock.advance(0.4)
    answer = await write(api, "lamp", False)
    assert answer.status == 429
    assert float(answer.headers["retry-after"]) > 0
    assert device.coils[5] is True
    clock.advance(0.6)
    assert (await write(api, "lamp", False)).json()["success"]
    clock.advance(-3_600)
    assert (await write(api, "lamp", True)).json()["success"], "a clock that is put back locks nobody out"


async def test_nothing_secret_is_said_or_kept(
    api: Api, house: Services, device: Device, oven: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await write(api, "program", "S3SAME")
    assert answer.json()["success"]
    answer = await api.post(
        f"{OVEN}/write", json={"signal": "program", "value": ["geheim"], "reason": "x", "p": "geheim"}
    )
    assert answer.status == 400
    assert "geheim" not in answer.body.decode() + caplog.text
