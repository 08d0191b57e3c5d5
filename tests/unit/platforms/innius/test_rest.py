"""innius's own API, over a real socket: from the company to its machines and their sensors, page after page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from aiohttp import web

from tests.api import Api
from tests.unit.callbacks.receiver import Notification, Receiver, receiving

MACHINES = [{"id": f"m/{n}", "trn": f"trn:c::machine:{n}", "name": f"Machine {n}"} for n in range(5)]


class Vendor:
    """Two machines to a page; how the last page says that it is the last can be chosen."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.end: Any = None
        self.answer: web.Response | None = None
        receiver.answer = self.say

    def say(self, call: Notification) -> web.Response:
        if self.answer is not None:
            status, text = self.answer.status, self.answer.text
            return web.Response(status=status, text=text)
        if call.headers.get("authorization") != "Bearer right":
            return web.json_response({"message": "who are you?"}, status=401)
        path, query = urlsplit(call.path).path, parse_qs(urlsplit(call.path).query)
        if path.endswith("/sensors"):
            machine = unquote(path.split("/")[-2])
            return web.json_response({"data": [{"id": f"s-{machine}", "name": "Core"}], "next_key": self.end})
        start = int(query.get("start_key", ["0"])[0])
        after = start + 2
        body = {"data": MACHINES[start:after], "next_key": after if after < len(MACHINES) else self.end}
        return web.json_response(body)


@pytest.fixture
async def vendor(api: Api) -> AsyncIterator[Vendor]:
    async with receiving() as receiver:
        wanted = {"id": "innius", "platform": "innius", "options": {"url": receiver.url, "company_id": "a/b"}}
        answer = await api.post("/api/v1/connections", json=wanted | {"credentials": {"token": "right"}})
        assert answer.status == 201, answer.body
        yield Vendor(receiver)


async def test_trap_17_the_last_page_says_null_or_0(api: Api, vendor: Vendor) -> None:
    for end in (None, 0, "0", "", 0.0):
        vendor.end = end
        vendor.receiver.seen.clear()
        answer = await api.get("/api/v1/innius/innius/machines")
        assert answer.status == 200, answer.body
        found = answer.json()["machines"]
        assert [one["machinetrn"] for one in found] == [one["trn"] for one in MACHINES]
        paths = [call.path for call in vendor.receiver.seen]
        place = "/companies/a%2Fb/machines?limit=100"
        assert paths == [place, f"{place}&start_key=2", f"{place}&start_key=4"]


async def test_machines_with_their_sensors(api: Api, vendor: Vendor) -> None:
    found = (await api.get("/api/v1/innius/innius/machines?sensors=true")).json()["machines"]
    assert found[1] == {
        "machinetrn": "trn:c::machine:1",
        "name": "Machine 1",
        "sensors": [{"sensorid": "s-m/1", "name": "Core"}],
    }
    assert any(call.path.startswith("/machines/m%2F1/sensors") for call in vendor.receiver.seen)


async def test_pages_that_do_not_end_are_left(api: Api, vendor: Vendor) -> None:
    vendor.answer = web.Response(text=json.dumps({"data": [], "next_key": "again"}))
    answer = await api.get("/api/v1/innius/innius/machines")
    assert answer.status == 502
    assert "next_key" in answer.json()["detail"]
    assert len(vendor.receiver.seen) == 2


async def test_a_refusal_says_what_to_do(api: Api, vendor: Vendor) -> None:
    for status, text, ours, said in (
        (401, '{"message": "bad token"}', 502, "bad token"),
        (404, "", 404, "company_id"),
        (429, "{}", 429, "fewer"),
        (503, "oops", 503, "later"),
        (302, "", 502, "302"),
        (200, "<html>", 502, "no JSON"),
        (200, '{"data": {}}', 502, "options.items"),
        (200, "{}", 502, "options.items"),
        (200, '{"data":' + "[" * 200 + "]" * 200 + "}", 502, "no JSON"),
    ):
        vendor.answer = web.Response(status=status, text=text)
        answer = await api.get("/api/v1/innius/innius/machines")
        assert answer.status == ours, (status, answer.body)
        assert said in answer.json()["detail"], answer.body


async def test_a_connection_is_tried(api: Api, vendor: Vendor) -> None:
    tried = (await api.post("/api/v1/connections/innius/test")).json()
    assert (tried["success"], "2 machines" in tried["message"]) == (True, True)
    vendor.answer = web.Response(status=403, text="{}")
    assert (await api.post("/api/v1/connections/innius/test")).json()["success"] is False


async def test_wrong_options_are_named(api: Api, vendor: Vendor) -> None:
    url = vendor.receiver.url
    wrong: list[tuple[dict[str, Any], dict[str, str], str]] = [
        ({"company_id": "c"}, {}, "options.url"),
        ({"url": "http://169.254.169.254", "company_id": "c"}, {}, "options.url"),
        ({"url": url + "/?a=b", "company_id": "c"}, {}, "options.url"),
        ({"url": url, "company_id": "c", "machines_path": "/{env}"}, {}, "options.machines_path"),
        ({"url": url, "company_id": "c", "items": "a..b"}, {}, "options.items"),
        ({"url": url, "company_id": "c"}, {"password": "x"}, "credentials.password"),
        ({"url": url, "company_id": "c"}, {"token": "two\nlines"}, "credentials.token"),
    ]
    for options, credentials, field in wrong:
        wanted = {"id": "other", "platform": "innius", "options": options, "credentials": credentials or {"token": "t"}}
        answer = await api.post("/api/v1/connections", json=wanted)
        assert (answer.status, answer.json()["problems"][0]["field"]) == (400, field), answer.body
