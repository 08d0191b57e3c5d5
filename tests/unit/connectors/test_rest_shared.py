"""One call of a vendor for many machines: how often it is asked, who is told what, and what nobody may share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from shared.clock import ManualClock
from shared.collection.schedule import Batch, Poll, due_between, to_ms
from shared.collection.together import phase_name
from shared.connectors.rest_shared import Page, SharedReads
from shared.services import Services
from shared.signals import Quality, Reading
from tests.api import Api
from tests.unit.collection.plant import oven
from tests.unit.connectors.oven import OAuthOven, reading_of
from tests.unit.connectors.vendor import Vendor, units

LIST: dict[str, Any] = {
    "path": "/units",
    "items": "units",
    "item": {"where": {"id": "{unit}"}},
    "signals": {"temperature.cabinet": "temp"},
}


class Cloud:
    """Answers a list, or as told."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.count = 100
        self.answered = 0
        self.told: list[dict[str, Any]] | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def answering(self, request: web.Request) -> web.StreamResponse:
        await self.open.wait()
        self.answered += 1
        told = [unit | {"temp": unit["temp"] + 1000 * self.answered} for unit in units(self.count)]
        return web.json_response({"units": self.told or told}, status=self.status, headers=self.headers)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
async def vendor(clock: ManualClock, cloud: Cloud) -> AsyncIterator[Vendor]:
    async with Vendor(clock, cloud.answering).serve() as there:
        yield there


async def read(vendor: Vendor, unit: int, *, key: str = "one", **more: Any) -> Reading:
    connector = vendor.open(
        f"oven-{unit}", credentials={"api_key": key}, additional_config=LIST | {"unit": unit} | more
    )
    try:
        return await connector.get_current_reading()
    finally:
        await connector.close()


def temperature(reading: Reading) -> Any:
    return reading.values["temperature.cabinet"].value


async def test_fifty_machines_cost_one_request(vendor: Vendor) -> None:
    """As the worker of a batch reads them: all at once."""
    readings = await asyncio.gather(*(read(vendor, unit) for unit in range(50)))
    assert vendor.reads == 1
    assert [temperature(reading) for reading in readings] == [1100 + unit for unit in range(50)]
    assert [reading.equipment_id for reading in readings] == [f"oven-{unit}" for unit in range(50)]


async def test_pages_too_are_asked_for_once(vendor: Vendor, clock: ManualClock) -> None:
    paging = {"by": "offset", "size_parameter": "limit", "size": 100}
    for readings in (
        await asyncio.gather(*(read(vendor, unit, paging=paging) for unit in range(20))),
        [await read(vendor, unit, paging=paging) for unit in range(20, 40)],
    ):
        assert {reading.quality for reading in readings} == {Quality.GOOD}
    assert vendor.reads == 1


async def test_a_reading_over_several_pages_is_as_old_as_the_oldest(
    vendor: Vendor, cloud: Cloud, clock: ManualClock
) -> None:
    cloud.count = 2
    paging = {"by": "page", "first": 0}
    begun = clock.now()
    await read(vendor, 1, paging=paging)
    clock.advance(5)
    cloud.told = [{"id": 9, "temp": 5}]
    reading = await read(vendor, 9, paging=paging)
    assert (temperature(reading), reading.at, vendor.reads) == (5, begun, 2)


async def test_one_call_a_period_whatever_the_order(vendor: Vendor, clock: ManualClock) -> None:
    for period in range(1, 4):
        for unit in (2, 1, 3) if period % 2 else (3, 1, 2):
            assert temperature(await read(vendor, unit)) == 1000 * period + 100 + unit
        assert vendor.reads == period
        clock.advance(3)  # sooner than an answer grows old


async def test_an_old_answer_serves_nobody_and_none_gets_a_new_time(vendor: Vendor, clock: ManualClock) -> None:
    asked_at = clock.now()
    await read(vendor, 1)
    clock.advance(9)
    second = await read(vendor, 2)
    assert (second.at, vendor.reads) == (asked_at, 1), "the reading is of the time when the vendor was asked"
    clock.advance(2)
    third = await read(vendor, 3)
    assert (third.at, vendor.reads) == (clock.now(), 2)
    await read(vendor, 1, share_seconds=0)
    await read(vendor, 4, share_seconds=0)
    assert vendor.reads == 4, "share_seconds: 0 shares nothing"


async def test_never_across_credentials_paths_or_headers(vendor: Vendor) -> None:
    await asyncio.gather(
        read(vendor, 1, key="one"),
        read(vendor, 2, key="two"),
        read(vendor, 3, path="/other"),
        read(vendor, 4, headers={"X-Site": "madrid"}),
    )
    await read(vendor, 5, key="three")
    assert vendor.reads == 5
    assert sorted(headers["x-api-key"] for headers in vendor.headers) == ["one", "one", "one", "three", "two"]


async def test_machines_of_their_own_share_nothing(vendor: Vendor) -> None:
    single = {"path": "/units", "signals": {"temperature.cabinet": "units[0].temp"}}
    for unit in (1, 2):
        connector = vendor.open(f"oven-{unit}", additional_config=single)
        await connector.get_current_reading()
    assert vendor.reads == 2
    for unit in (1, 2):
        mapped = single | {"unit": unit, "signals": {"temperature.cabinet": "units[id={unit}].temp"}}
        await vendor.open(f"oven-{unit}", additional_config=mapped).get_current_reading()
    assert vendor.reads == 3, "an address that picks a machine out of a list shares"


async def test_a_machine_that_is_not_in_the_list_is_told_so_alone(vendor: Vendor, cloud: Cloud) -> None:
    cloud.count = 3
    readings = await asyncio.gather(*(read(vendor, unit) for unit in range(4)))
    assert [reading.quality for reading in readings] == [Quality.GOOD] * 3 + [Quality.BAD]
    assert readings[3].reason == "`units` has no item with id = 3; there are 0, 1, 2."
    assert vendor.reads == 1


@pytest.mark.parametrize(("status", "code"), [(401, "authentication_failed"), (500, "unexpected_answer")])
async def test_a_failure_is_told_to_each(status: int, code: str, vendor: Vendor, cloud: Cloud) -> None:
    cloud.status = status
    readings = await asyncio.gather(*(read(vendor, unit) for unit in range(5)))
    assert {reading.error_code for reading in readings} == {code}
    assert await read(vendor, 9)
    assert vendor.reads == 1, "wrong credentials are not knocked with once per machine: that locks accounts"
    cloud.status = 200
    assert (await read(vendor, 1)).quality is Quality.GOOD, "who was told asks anew"


async def test_the_patience_of_a_vendor_holds_for_the_account(vendor: Vendor, cloud: Cloud, clock: ManualClock) -> None:
    cloud.status, cloud.headers = 429, {"Retry-After": "60"}
    first = await read(vendor, 1)
    assert (first.error_code, first.retry_after_seconds) == ("throttled", 60)
    clock.advance(20)
    second = await read(vendor, 2, share_seconds=0)
    assert (second.error_code, second.retry_after_seconds) == ("throttled", 40)
    assert "nothing is asked before 2026-11-21T10:01:00.000Z" in (second.reason or "")
    tested = await vendor.open(credentials={"api_key": "one"}, additional_config=LIST | {"unit": 3}).test_connection()
    assert (tested.success, tested.status) == (False, "throttled")
    assert vendor.reads == 1, "neither other machines nor a person break the silence"
    cloud.status = 200
    assert (await read(vendor, 1, key="two")).quality is Quality.GOOD, "another account is not held"
    clock.advance(40)
    assert (await read(vendor, 2)).quality is Quality.GOOD
    assert vendor.reads == 3


async def test_429_to_the_status_endpoint_holds_as_well(vendor: Vendor, cloud: Cloud) -> None:
    cloud.status = 429
    options = LIST | {"unit": 3, "status_endpoint": "/health"}
    connector = vendor.open(credentials={"api_key": "one"}, additional_config=options)
    assert (await connector.test_connection()).status == "throttled"
    assert (await read(vendor, 1)).error_code == "throttled"
    assert vendor.asked == ["GET /health"]


async def test_429_without_a_time(vendor: Vendor, cloud: Cloud, clock: ManualClock) -> None:
    cloud.status = 429
    await read(vendor, 1)
    cloud.status = 200
    assert (await read(vendor, 2)).error_code == "throttled"
    clock.advance(30)
    assert (await read(vendor, 2)).quality is Quality.GOOD


async def test_a_clock_that_is_put_back_frees_the_account(vendor: Vendor, cloud: Cloud, clock: ManualClock) -> None:
    cloud.status = 429
    await read(vendor, 1)
    cloud.status = 200
    clock.advance(-7200)
    assert (await read(vendor, 2)).quality is Quality.GOOD


async def test_a_reader_that_gives_up_does_not_fail_the_others(vendor: Vendor, cloud: Cloud) -> None:
    cloud.open.clear()
    impatient = asyncio.create_task(read(vendor, 1))
    patient = asyncio.create_task(read(vendor, 2))
    while vendor.reads == 0:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.005)
    impatient.cancel()
    await asyncio.wait({impatient})
    cloud.open.set()
    assert (await patient).quality is Quality.GOOD
    assert (await read(vendor, 1)).quality is Quality.GOOD, "who gave up was told nothing, and need not ask anew"
    assert vendor.reads == 1


async def test_a_person_who_tests_gets_an_answer_of_now(vendor: Vendor, cloud: Cloud) -> None:
    await read(vendor, 1)
    tested = await vendor.open(
        "oven-2", credentials={"api_key": "one"}, additional_config=LIST | {"unit": 2}
    ).test_connection()
    assert tested.signals["temperature.cabinet"].value == 2102
    assert vendor.reads == 2


async def test_one_token_and_one_call(clock: ManualClock) -> None:
    cloud = OAuthOven(body={"units": units(9)})
    async with cloud.serve() as there:
        credentials = {"token_url": "/oauth/token", "client_id": "c", "client_secret": "s"}
        async with reading_of(there, clock, credentials=credentials, additional_config=LIST | {"unit": 1}) as connector:
            assert (await connector.get_current_reading()).quality is Quality.GOOD
    assert [line[0].split()[1] for line in (there.lines(n) for n in range(len(there.requests)))] == [
        "/oauth/token",
        "/units",
    ]


async def test_what_is_kept_is_bounded(clock: ManualClock) -> None:
    shared = SharedReads(clock)

    async def fetch() -> Page:
        return Page([], clock.now(), 1.0, 1_048_576)

    for number in range(40):
        await shared.read("account", str(number), "oven-1", 10, fetch)
    calls = 0

    async def counted() -> Page:
        nonlocal calls
        calls += 1
        return await fetch()

    for number in (39, 8, 7, 0):
        await shared.read("account", str(number), "oven-2", 10, counted)
    assert calls == 2, "32 MB are kept, the newest"


async def test_a_write_makes_everybody_ask_anew(clock: ManualClock) -> None:
    """Also those whose call was on its way: what it brings was true before."""
    shared, gate = SharedReads(clock), asyncio.Event()

    async def slow() -> Page:
        await gate.wait()
        return Page("before", clock.now(), 1.0, 1)

    async def quick() -> Page:
        return Page("after", clock.now(), 1.0, 1)

    waiting = asyncio.create_task(shared.read("account", "list", "oven-1", 10, slow))
    await asyncio.sleep(0)
    shared.forget("account")
    assert (await shared.read("account", "list", "oven-2", 10, quick)).document == "after"
    gate.set()
    assert (await waiting).document == "before"
    assert (await shared.read("account", "list", "oven-3", 10, slow)).document == "after"


# When they are read ----------------------------------------------------------------------------------------------


def test_machines_of_one_answer_are_due_together() -> None:
    shared = [
        oven(n, endpoint="https://vendor.example", iot_config=LIST | {"unit": n}, credential_ref="vendor")
        for n in range(40)
    ]
    mapped = [replace(one, iot_config={"path": "/units", "signals": {"humidity": "u[id={unit}].h"}}) for one in shared]
    alone = [replace(one, iot_config=LIST | {"share_seconds": 0}) for one in shared]
    plain = [replace(one, iot_config={"path": "/units", "signals": {"humidity": "h"}}) for one in shared]

    def instants(ovens: list[Any]) -> int:
        return len({due_between(phase_name(one), 30, 0, 30_000) for one in ovens})

    assert (instants(shared), instants(mapped)) == (1, 1)
    assert instants(alone) > 30
    assert instants(plain) > 30
    elsewhere = replace(shared[0], endpoint="https://other.example")
    assert phase_name(elsewhere) != phase_name(shared[0])


async def test_a_batch_of_the_poller(api: Api, house: Services, vendor: Vendor) -> None:
    """From the registry to the readings: each machine has its own credentials in the vault, which are the same."""
    for number in range(12):
        answer = await api.post(
            "/api/v1/equipment",
            json={
                "id": f"oven-{number}",
                "name": f"Oven {number}",
                "iot_protocol": "rest_api",
                "iot_endpoint": vendor.url,
                "iot_credentials": {"api_key": "one"},
                "iot_config": LIST | {"unit": number},
            },
        )
        assert answer.status == 201, answer.body
    due = to_ms(house.clock.now())
    polls = tuple(Poll(f"oven-{number}", due) for number in range(12))
    await house.polling.read_batch(Batch("steady", due, 0, polls).to_body())
    assert vendor.reads == 1
    latest = [await house.readings.latest(f"oven-{number}") for number in range(12)]
    assert [one and temperature(one) for one in latest] == [1100 + number for number in range(12)]
