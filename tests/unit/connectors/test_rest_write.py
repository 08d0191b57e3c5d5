"""Orders to a REST device: what is sent for a value, that it is sent once, and what is said of it afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import ManualClock
from shared.connectors import Connector, ConnectorFactory
from shared.connectors.rest_order import OrderBody, WriteSpec, typed
from shared.errors import DeviceError, InvalidInput
from shared.signals import Quality
from tests.unit.connectors.oven import json_answer, reading_of
from tests.unit.connectors.vendor import Vendor
from tests.unit.outgoing.peers import Peer, peer

SETPOINT = {
    "at": "setpoint",
    "min": 30,
    "max": 300,
    "writable": True,
    "write": {"path": "/ovens/{unit}/setpoint", "body": {"setpoint": "{value}", "oven": "{unit}"}, "settle": 0},
}


class Oven:
    """Does what it is told, late if it is told to."""

    def __init__(self) -> None:
        self.setpoint: Any = 180
        self.status = 204
        self.takes_after = 0
        self.pending: Any = None
        self.answer: dict[str, Any] = {}

    async def answering(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            if self.pending is not None:
                if self.takes_after <= 0:
                    self.setpoint = self.pending
                self.takes_after -= 1
            return web.json_response({"setpoint": self.setpoint, **self.answer})
        if self.status < 300:
            told = await request.read()
            self.pending = json.loads(told)["setpoint"] if told.startswith(b"{") else told.decode()
        return web.Response(status=self.status, headers={"Retry-After": "60"} if self.status == 429 else {})


@pytest.fixture
def oven() -> Oven:
    return Oven()


@pytest.fixture
async def vendor(clock: ManualClock, oven: Oven) -> AsyncIterator[Vendor]:
    async with Vendor(clock, oven.answering).serve() as there:
        yield there


def opened(vendor: Vendor, signal: dict[str, Any] | None = None, **options: Any) -> Connector:
    signals = {"temperature.setpoint": signal or SETPOINT}
    return vendor.open(
        credentials={"api_key": "hunter2"},
        additional_config={"path": "/ovens/{unit}", "unit": "o 7", "signals": signals, "timeout": 2, **options},
    )


def way(**write: Any) -> dict[str, Any]:
    return SETPOINT | {"write": {"settle": 0, **write}}


async def test_written_once_and_read_back(vendor: Vendor) -> None:
    connector = opened(vendor)
    after = await connector.write("temperature.setpoint", 185.5)
    assert (after.value, after.quality, after.unit) == (185.5, Quality.GOOD, "C")
    assert vendor.asked == ["PUT /ovens/o%207/setpoint", "GET /ovens/o%207"]
    assert json.loads(vendor.bodies[0]) == {"setpoint": 185.5, "oven": "o 7"}
    assert vendor.types[0] == "application/json"
    assert vendor.headers[0]["x-api-key"] == "hunter2"
    assert (await connector.get_capabilities()).supports_remote_control


async def test_in_the_units_of_the_device(vendor: Vendor) -> None:
    fahrenheit = way(body={"setpoint": "{value}"}) | {"unit": "F", "min": 86, "max": 572}
    after = await opened(vendor, fahrenheit).write("temperature.setpoint", 150)
    assert (after.value, after.raw, json.loads(vendor.bodies[0])) == (150, 302, {"setpoint": 302})
    tenths = way(body={"setpoint": "{value}"}, method="POST", path="/x?oven={unit}") | {"scale": 0.01}
    after = await opened(vendor, tenths).write("temperature.setpoint", 85.53)
    assert (after.value, vendor.bodies[-2], vendor.asked[-2]) == (85.53, b'{"setpoint":8553}', "POST /x?oven=o%207")


async def test_without_a_path_it_goes_where_it_is_read(vendor: Vendor) -> None:
    await opened(vendor, way(body={"setpoint": "{value}"}, method="PATCH")).write("temperature.setpoint", 200)
    assert vendor.asked[0] == "PATCH /ovens/o%207"


async def test_a_value_in_the_path(vendor: Vendor) -> None:
    await opened(vendor, way(path="/ovens/{unit}/set/{value}", method="POST")).write("temperature.setpoint", 200.0)
    assert (vendor.asked[0], vendor.bodies[0], vendor.types[0]) == ("POST /ovens/o%207/set/200", b"", None)
    text = {"at": "setpoint", "writable": True, "write": {"path": "/set/{value}", "settle": 0}}
    await opened(vendor, text).write("temperature.setpoint", 5)
    program = {"program": {"at": "setpoint", "writable": True, "write": {"path": "/set/{value}", "settle": 0}}}
    await opened(vendor, signals=program).write("program", "../../admin?x=1#y")
    assert vendor.orders[-1] == "PUT /set/..%2F..%2Fadmin%3Fx%3D1%23y"
    for value in ("..", ".", ""):
        with pytest.raises(InvalidInput, match="would change the path"):
            await opened(vendor, signals=program).write("program", value)


async def test_every_value_is_checked_here_too(vendor: Vendor) -> None:
    for value, says in ((301, "above the maximum"), (29, "below the minimum"), ("200", "needs a number")):
        with pytest.raises(InvalidInput, match=says):
            await opened(vendor).write("temperature.setpoint", value)
    with pytest.raises(InvalidInput, match="is no signal"):
        await opened(vendor).write("temperature.core", 5)
    with pytest.raises(InvalidInput, match="does not say writable"):
        await opened(vendor, SETPOINT | {"writable": False}).write("temperature.setpoint", 200)
    assert vendor.asked == []


async def test_a_device_that_takes_its_time(vendor: Vendor, oven: Oven) -> None:
    oven.takes_after = 1
    body = {"setpoint": "{value}"}
    after = await opened(vendor, way(body=body, settle=2)).write("temperature.setpoint", 200)
    assert (after.value, after.quality, vendor.reads) == (200, Quality.GOOD, 2)
    oven.takes_after = 99
    after = await opened(vendor, way(body=body, settle=0.5)).write("temperature.setpoint", 210)
    assert (after.value, after.quality) == (200, Quality.UNCERTAIN)
    assert "reads back another value" in (after.reason or "")


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (400, "unexpected_answer", "does not understand the order: check write.body"),
        (401, "authentication_failed", "does not accept who we are (401), so temperature.setpoint was not written"),
        (403, "authentication_failed", "may only read, or remote control is off"),
        (404, "unexpected_answer", "check write.path (404 at PUT /ovens/o%207/setpoint). temperature.setpoint was not"),
        (405, "unexpected_answer", "check write.method"),
        (409, "unexpected_answer", "in its present state"),
        (422, "unexpected_answer", "does not accept this value"),
        (302, "unexpected_answer", "does not take the order (302"),
        (500, "unexpected_answer", "may have been written all the same"),
    ],
)
async def test_an_order_that_is_refused(status: int, code: str, says: str, vendor: Vendor, oven: Oven) -> None:
    oven.status = status
    with pytest.raises(DeviceError) as refused:
        await opened(vendor).write("temperature.setpoint", 200)
    assert (refused.value.code, says in refused.value.detail) == (code, True), refused.value.detail
    assert len(vendor.asked) == 1
    assert "hunter2" not in refused.value.detail


async def test_the_patience_of_a_vendor_holds_for_orders(vendor: Vendor, oven: Oven) -> None:
    oven.status = 429
    for _ in range(2):
        with pytest.raises(DeviceError) as refused:
            await opened(vendor).write("temperature.setpoint", 200)
        assert refused.value.code == "throttled"
    assert (await opened(vendor).get_current_reading()).error_code == "throttled"
    assert len(vendor.asked) == 1


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
async def test_an_order_whose_answer_is_lost_is_not_repeated(method: str, kept: bool, clock: ManualClock) -> None:
    """Neither by us nor by the library below, over a connection kept from reading or a new one."""

    async def hangs_up(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if not head.startswith(b"GET"):
            return False
        writer.write(json_answer({"setpoint": 180}))
        await writer.drain()
        return True

    signals = {"temperature.setpoint": way(body={"setpoint": "{value}"}, method=method)}
    async with peer(hangs_up) as there, reading_of(there, clock, additional_config={"signals": signals}) as connector:
        for _ in range(3 if kept else 0):
            await connector.get_current_reading()
        with pytest.raises(DeviceError) as lost:
            await connector.write("temperature.setpoint", 200)
    assert "temperature.setpoint may have been written all the same: read it before trying again" in lost.value.detail
    assert sum(not head.startswith(b"GET") for head, _ in there.requests) == 1


async def test_an_order_that_never_left(clock: ManualClock, vendor: Vendor) -> None:
    nobody = Peer(port=1)
    signals = {"temperature.setpoint": SETPOINT}
    async with reading_of(nobody, clock, additional_config={"signals": signals, "unit": 1}) as connector:
        with pytest.raises(DeviceError, match=r"temperature\.setpoint was not written\.$") as failed:
            await connector.write("temperature.setpoint", 200)
        assert failed.value.code == "cannot_connect"


async def test_an_order_without_an_answer_in_time(clock: ManualClock, vendor: Vendor) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError

    vendor.answering = hang
    with pytest.raises(DeviceError, match="may have been written all the same") as late:
        await opened(vendor, timeout=0.2).write("temperature.setpoint", 200)
    assert late.value.code == "timeout"


async def test_a_reading_back_that_fails(vendor: Vendor, oven: Oven) -> None:
    oven.answer = {"setpoint": {"x": 1}}
    after = await opened(vendor).write("temperature.setpoint", 200)
    assert (after.value, after.quality) == (None, Quality.BAD)

    async def only_orders(request: web.Request) -> web.StreamResponse:
        return web.Response(status=204 if request.method != "GET" else 503)

    vendor.answering = only_orders
    with pytest.raises(DeviceError, match=r"was written, and reading it back failed: .*\(503\)"):
        await opened(vendor).write("temperature.setpoint", 200)


async def test_what_others_were_told_before_is_forgotten(vendor: Vendor, oven: Oven) -> None:
    shared = opened(vendor, share_seconds=60)
    await shared.get_current_reading()
    await shared.write("temperature.setpoint", 222)
    other = vendor.open(
        "oven-2",
        credentials={"api_key": "hunter2"},
        additional_config={
            "path": "/ovens/{unit}",
            "unit": "o 7",
            "signals": {"temperature.setpoint": SETPOINT},
            "share_seconds": 60,
        },
    )
    assert (await other.get_current_reading()).values["temperature.setpoint"].value == 222


# What is sent ----------------------------------------------------------------------------------------------------


def body(template: Any, value: Any, content_type: str = "application/json") -> bytes:
    found = OrderBody.of(WriteSpec(body=template, content_type=content_type), value, {"unit": 'o"7'})
    assert found is not None
    return found.content


@pytest.mark.parametrize(
    ("template", "value", "content"),
    [
        ("{value}", 185.5, b"185.5"),
        ({"a": "{value}"}, True, b'{"a":true}'),
        ({"a": ["{value}", {"b": "{value}"}], "n": None, "k": 5}, 1, b'{"a":[1,{"b":1}],"n":null,"k":5}'),
        ({"cmd": "SET {unit} {value}"}, 185.0, b'{"cmd":"SET o\\"7 185"}'),
        ({"a": "{value}"}, 'x","admin":true,"y":"', b'{"a":"x\\",\\"admin\\":true,\\"y\\":\\""}'),
    ],
)
def test_bodies(template: Any, value: Any, content: bytes) -> None:
    assert body(template, value) == content


def test_forms_and_texts() -> None:
    form = "application/x-www-form-urlencoded"
    assert body({"t": "{value}", "o": "{unit}", "on": True}, "1&admin=2", form) == b"t=1%26admin%3D2&o=o%227&on=true"
    assert body("T={value}", 185.0, "text/plain") == b"T=185"


@given(st.text(max_size=40), st.text(max_size=20))
def test_no_value_changes_the_structure(value: str, unit: str) -> None:
    spec = WriteSpec(body={"program": "{value}", "note": "as {value} for {unit}", "on": True})
    sent = OrderBody.of(spec, value, {"unit": unit})
    assert sent is not None
    read = json.loads(sent.content)
    assert list(read) == ["program", "note", "on"]
    assert (read["program"], read["on"]) == (value, True)


@pytest.mark.parametrize(
    ("raw", "wanted", "mapped", "told"),
    [
        ("3", None, True, 3),
        ("2.50", None, True, 2.5),
        ("007", None, True, "007"),
        ("true", None, True, True),
        ("open", None, True, "open"),
        ("3", "text", True, "3"),
        ("3", None, False, "3"),
        ("3", "number", False, 3),
        ("TRUE", "boolean", False, True),
        (1, "boolean", False, True),
        (True, "number", False, 1),
        (5, "text", False, "5"),
        (1853.0000000000002, None, False, 1853),
        (0.1 + 0.2, None, False, 0.3),
    ],
)
def test_what_the_device_wants_to_hear(raw: Any, wanted: Any, mapped: bool, told: Any) -> None:
    found = typed("x", raw, WriteSpec(body="{value}", type=wanted), mapped=mapped)
    assert (found, type(found)) == (told, type(told))


@pytest.mark.parametrize(("raw", "wanted"), [("x", "number"), ("x", "boolean"), (2, "boolean"), ("a\nb", None)])
def test_what_cannot_be_told(raw: Any, wanted: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        typed("x", raw, WriteSpec(body="{value}", type=wanted), mapped=False)
    assert refused.value.problems[0].field == "value"


@pytest.mark.parametrize(
    ("write", "field", "says"),
    [
        (None, "write", "is needed beside writable"),
        ({"body": {"start": True}}, "write", "stands neither in body nor in path"),
        ({}, "write", "stands neither in body nor in path"),
        ({"body": "{value}", "method": "DELETE"}, "write.method", "'PUT'"),
        ({"body": "{value}", "content_type": "application/xml"}, "write.content_type", "text/plain"),
        ({"body": "{value}", "content_type": "application/json\r\nX: y"}, "write.content_type", "text/plain"),
        ({"body": ["{value}"], "content_type": "application/x-www-form-urlencoded"}, "write", "an object of single"),
        ({"body": {"a": "{value}"}, "content_type": "text/plain"}, "write", "is one text"),
        ({"path": "https://evil.example/{value}"}, "write.path", "path only"),
        ({"path": "/x/{serial}", "body": "{value}"}, "write.path", "{serial}"),
        ({"body": {"a": "{value}", "b": "{serial}"}}, "write.body", "{serial}"),
        ({"body": {"a": "{value}", "b": "x" * 20_000}}, "write", "longer than"),
        ({"body": "{value}", "settle": 11}, "write.settle", "10"),
    ],
)
def test_refused(write: Any, field: str, says: str) -> None:
    signal = {"at": "x", "writable": True} | ({} if write is None else {"write": write})
    config = {"endpoint": "https://vendor.example", "additional_config": {"signals": {"lamp": signal}}}
    with pytest.raises(InvalidInput) as refused:
        ConnectorFactory.check("rest_api", config)
    named = refused.value.problems[0].field.replace("['lamp']", ".lamp")
    assert named == f"additional_config.signals.lamp.{field}", refused.value.detail
    assert says in refused.value.detail
