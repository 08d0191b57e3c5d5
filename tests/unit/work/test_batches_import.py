"""Importing batches from a ConnectedCooking that speaks real HTTP: once each, whole, whatever goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.clock import ManualClock, iso
from shared.services import Services
from shared.storage import Query, every
from tests.api import Api
from tests.unit.outgoing.peers import answer
from tests.unit.work.connected_cooking import ConnectedCooking, haccp

SERIAL = "E11SJ-4711"


@pytest.fixture
async def cloud() -> AsyncIterator[ConnectedCooking]:
    async with ConnectedCooking().serve() as there:
        yield there


@pytest.fixture
async def oven(api: Api, cloud: ConnectedCooking) -> str:
    return await register(api, cloud, "combi-1", SERIAL)


async def register(api: Api, cloud: ConnectedCooking, name: str, serial: str | None, **options: Any) -> str:
    body = {"id": name, "name": f"Combi {name}", "serial_number": serial}
    assert (await api.post("/api/v1/equipment", json=body)).status == 201
    answered = await api.post(f"/api/v1/equipment/{name}/iot-config?test=false", json=cloud.config(**options))
    assert answered.status == 200, answered.body
    return name


async def batches(api: Api, equipment_id: str = "combi-1", days: int = 40) -> list[dict[str, Any]]:
    """Oldest first."""
    answered = await api.get(f"/api/v1/batches?equipment_id={equipment_id}&from=2026-10-01&limit=1000")
    assert answered.status == 200, answered.body
    return list(reversed(answered.json()["batches"]))


async def status(api: Api, equipment_id: str = "combi-1") -> dict[str, Any]:
    return dict((await api.get(f"/api/v1/equipment/{equipment_id}/batch-import")).json())


async def told(house: Services) -> list[tuple[str, str]]:
    events = [s.document async for s in every(house.store, "events", Query(limit=1000))]
    return sorted((e["type"], e["data"]["batch_id"]) for e in events if e["type"].startswith("BATCH"))


async def records(house: Services) -> dict[str, dict[str, Any]]:
    found = [s.document async for s in every(house.store, "batches", Query(limit=1000))]
    return {d["sourceId"]: d for d in found if "sourceId" in d}


def hours(clock: ManualClock, ago: float) -> datetime:
    return clock.now() - timedelta(hours=ago)


# The way it goes -----------------------------------------------------------------------------------------------------


async def test_a_first_import_takes_the_recent_month_page_by_page(
    api: Api, house: Services, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    cloud.batches = [haccp(f"b{n:02d}", SERIAL, hours(clock, 2 + n)) for n in range(11)]
    await tick("import_batches")
    found = await batches(api)
    assert [b["source_id"] for b in found] == [f"b{n:02d}" for n in reversed(range(11))]
    assert [q["page"] for q in cloud.queries] == ["0", "1", "2"]
    assert {q["from"] for q in cloud.queries} == {iso(clock.now() - timedelta(days=28))}
    assert {q["sort"] for q in cloud.queries} == {"id,asc"}
    newest = found[-1]
    assert (newest["status"], newest["program"], newest["source"], newest["duration_seconds"]) == (
        "completed",
        "Croissant",
        "rational",
        1800.0,
    )
    assert (newest["equipment_id"], newest["started_at"]) == ("combi-1", iso(hours(clock, 2)))
    now = await status(api)
    assert (now["configured"], now["complete_until"], now["error"]) == (True, iso(clock.now()), None)
    assert now["last_run"] == {"items": 11, "created": 11}


async def test_it_is_asked_again_after_an_hour_with_an_overlap(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    cloud.batches = [haccp("a", SERIAL, hours(clock, 3))]
    await tick("import_batches")
    first, begun = len(cloud.queries), clock.now()
    clock.advance(1800)
    await tick("import_batches")
    assert len(cloud.queries) == first, "not due yet"
    clock.advance(1800)
    await tick("import_batches")
    assert cloud.queries[-1]["from"] == iso(begun - timedelta(hours=24))
    assert (await status(api))["last_run"] == {"items": 1, "same": 1}


async def test_a_batch_that_grows_is_one_record_and_loses_nothing(
    api: Api, house: Services, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    start = hours(clock, 0.2)
    entry = {"timestamp": iso(start), "coreTemperature": 20.0}
    cloud.batches = [haccp("a", SERIAL, start, finished=False, groupName="Madrid", entries=[entry])]
    await tick("import_batches")
    (running,) = await batches(api)
    assert (running["status"], running["ended_at"], running["core_temperature"]["max"]) == ("running", None, 20.0)
    assert [kind for kind, _ in await told(house)] == ["BATCH_STARTED"]
    clock.advance(3600)
    later = {"timestamp": iso(start + timedelta(minutes=20)), "coreTemperature": 74.5}
    # Grown: an end, more entries; and one field less than before.
    cloud.batches = [
        haccp("a", SERIAL, start, minutes=25, entries=[entry, later], requiredCoreTemperatureReached=True)
        | {"updatedAt": iso(clock.now())}
    ]
    await tick("import_batches")
    (done,) = await batches(api)
    assert done["id"] == running["id"]
    assert (done["status"], done["ended_at"]) == ("completed", iso(start + timedelta(minutes=25)))
    core = done["core_temperature"]
    assert (core["min"], core["max"], core["last"], core["reached"]) == (20.0, 74.5, 74.5, True)
    detail = (await api.get(f"/api/v1/batches/{done['id']}")).json()
    assert detail["vendor_document"]["groupName"] == "Madrid", "what was known stays known"
    assert len(detail["vendor_document"]["entries"]) == 2
    assert await told(house) == [("BATCH_COMPLETED", done["id"]), ("BATCH_STARTED", done["id"])]


async def test_less_than_before_takes_nothing_away_and_an_older_state_changes_nothing(
    api: Api, house: Services, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    start = hours(clock, 2)
    entries = [{"timestamp": iso(start + timedelta(minutes=n)), "coreTemperature": 20.0 + n} for n in range(10)]
    whole = haccp("a", SERIAL, start, entries=entries, warnings=["Door open", "Probe moved"])
    cloud.batches = [whole]
    await tick("import_batches")
    before = (await records(house))["a"]
    clock.advance(3600)
    cloud.batches = [
        haccp("a", SERIAL, start, finished=False, entries=entries[:2], name=None)
        | {"updatedAt": iso(hours(clock, 2.8)), "extra": "late"}
    ]
    await tick("import_batches")
    after = (await records(house))["a"]
    assert (after["status"], after["endedAt"], after["program"]) == ("completed", before["endedAt"], "Croissant")
    assert after["core"] == before["core"]
    assert after["deviations"] == before["deviations"] == [{"text": "Door open"}, {"text": "Probe moved"}]
    assert after["vendor"]["document"]["entries"] == entries
    assert after["vendor"]["document"]["extra"] == "late", "gaps are filled"
    assert after["vendor"]["document"]["finished"] is True
    assert after["vendor"]["updatedAt"] == before["vendor"]["updatedAt"]


async def test_the_same_again_writes_nothing(
    api: Api, house: Services, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    one = haccp("a", SERIAL, hours(clock, 2), entries=[{"coreTemperature": 71, "odd": [None, 1e400]}])
    cloud.batches = [one, dict(one)]  # twice in one answer, too
    await tick("import_batches")
    before = (await house.batches.get((await batches(api))[0]["id"])).etag
    for _ in range(3):
        clock.advance(3600)
        await tick("import_batches")
    assert (await house.batches.get((await batches(api))[0]["id"])).etag == before
    assert len(await told(house)) == 2


async def test_fahrenheit_is_normalised_and_the_original_is_kept(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    start = hours(clock, 2)
    entries = [{"timestamp": iso(start), "coreTemperature": 165}]
    cloud.batches = [haccp("f", SERIAL, start, temperatureUnit="F", entries=entries, requiredCoreTemperature=160)]
    await tick("import_batches")
    (batch,) = await batches(api)
    core = batch["core_temperature"]
    assert (core["max"], core["target"], core["unit"], core["source_unit"]) == (73.89, 71.11, "C", "F")
    detail = (await api.get(f"/api/v1/batches/{batch['id']}")).json()
    assert detail["vendor_document"]["entries"][0]["coreTemperature"] == 165


async def test_old_history_is_kept_and_not_told(
    api: Api, house: Services, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    cloud.batches = [haccp("old", SERIAL, hours(clock, 200)), haccp("new", SERIAL, hours(clock, 2))]
    await tick("import_batches")
    _, new = await batches(api)
    assert await told(house) == [("BATCH_COMPLETED", new["id"]), ("BATCH_STARTED", new["id"])]
    clock.advance(3600)
    late = haccp("late", SERIAL, hours(clock, 100)) | {"updatedAt": iso(clock.now())}
    cloud.batches.append(late)  # the oven was offline for days; this is no history but news
    await tick("import_batches")
    assert len(await told(house)) == 4


async def test_ovens_of_one_account_are_asked_for_together(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    await register(api, cloud, "combi-2", "e11-0002")
    cloud.batches = [
        haccp("a", SERIAL, hours(clock, 2)),
        haccp("b", "E11-0002", hours(clock, 3)),
        haccp("c", "E99-9999", hours(clock, 4)),
    ]
    await tick("import_batches")
    assert len(cloud.queries) == 1
    assert [b["source_id"] for b in await batches(api)] == ["a"]
    assert [b["source_id"] for b in await batches(api, "combi-2")] == ["b"]
    assert (await status(api))["devices_without_oven"] == ["E99-9999"]


async def test_an_oven_that_joins_later_gets_its_own_history(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    cloud.batches = [haccp("a", SERIAL, hours(clock, 2)), haccp("b", "E-2", hours(clock, 400))]
    await tick("import_batches")
    await register(api, cloud, "combi-2", "E-2")
    clock.advance(3600)
    await tick("import_batches")
    assert [b["source_id"] for b in await batches(api, "combi-2")] == ["b"]


async def test_another_device_in_its_place_begins_anew(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    cloud.batches = [haccp("a", SERIAL, hours(clock, 2)), haccp("b", "E-NEW", hours(clock, 400))]
    await tick("import_batches")
    assert (await api.patch("/api/v1/equipment/combi-1", json={"serial_number": "E-NEW"})).status == 200
    clock.advance(3600)
    await tick("import_batches")
    assert [b["source_id"] for b in await batches(api)] == ["b", "a"]


async def test_a_batch_that_is_updated_while_pages_are_read_is_not_passed_over(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    cloud.batches = [haccp(f"b{n}", SERIAL, hours(clock, 2 + n)) for n in range(8)]
    too_old = haccp("a0", SERIAL, hours(clock, 24 * 29))
    cloud.batches.append(too_old)

    def touched(query: dict[str, str]) -> None:
        if query["page"] == "1":
            too_old["updatedAt"] = iso(clock.now())

    cloud.before = touched
    await tick("import_batches")
    assert {b["source_id"] for b in await batches(api)} >= {f"b{n}" for n in range(8)}


@pytest.mark.parametrize(("link", "total"), [(True, False), (False, True), (False, False)])
async def test_paging_needs_neither_header(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any, link: bool, total: bool
) -> None:
    cloud.link, cloud.total = link, total
    cloud.batches = [haccp(f"b{n}", SERIAL, hours(clock, 2 + n)) for n in range(8)]
    await tick("import_batches")
    assert len(await batches(api)) == 8


# What goes wrong -----------------------------------------------------------------------------------------------------


async def test_one_bad_item_never_stops_the_others_and_is_named(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    good = [haccp(f"g{n}", SERIAL, hours(clock, 2 + n)) for n in range(5)]
    bad: list[Any] = [
        "text",
        None,
        haccp("no-start", SERIAL, hours(clock, 2)) | {"startDate": "yesterday"},
        haccp("future", SERIAL, hours(clock, -72)) | {"updatedAt": iso(clock.now())},
        haccp("no-device", "", hours(clock, 2)),
        {"startDate": iso(clock.now()), "deviceSerialNumber": SERIAL},
        haccp("deep", SERIAL, hours(clock, 2), odd=deep),
        haccp("huge", SERIAL, hours(clock, 2)) | {"id": "x" * 300},
    ]
    cloud.batches = [*bad, *good]
    await tick("import_batches")
    assert [b["source_id"] for b in await batches(api)] == [f"g{n}" for n in reversed(range(5))]
    now = await status(api)
    assert now["last_run"] == {"items": 13, "created": 5, "unreadable": 8}
    reasons = {one["batch"]: one["reason"] for one in now["unreadable"]}
    assert "startDate" in reasons["no-start"]
    assert "cannot be" in reasons["future"]
    assert "deviceSerialNumber" in reasons["no-device"]
    assert "could not be taken" in reasons["deep"]
    assert now["complete_until"] == iso(clock.now())


async def test_refused_credentials_are_told_and_the_account_is_left_alone(
    api: Api, house: Services, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    refused = answer(b"{}", "401 Unauthorized", "application/json")
    cloud.answers = [refused, refused]  # the second with a token that was fetched anew
    await tick("import_batches")
    assert (cloud.tokens, len(cloud.queries)) == (2, 2)
    now = await status(api)
    assert (now["error_code"], now["failures"], now["complete_until"]) == ("authentication_failed", 1, None)
    assert now["next_attempt_at"] == iso(clock.now() + timedelta(minutes=15))
    log = (await api.get("/api/v1/equipment/combi-1/connection-log")).json()["events"]
    assert (log[0]["event_type"], log[0]["error_code"]) == ("batch_import_failed", "authentication_failed")
    assert "check the credentials" in log[0]["error_message"]
    clock.advance(600)
    await tick("import_batches")
    assert len(cloud.queries) == 2, "left alone"
    assert (await api.post("/api/v1/equipment/combi-1/batch-import")).json()["failures"] == 1
    assert len(cloud.queries) == 2, "also when somebody is impatient"
    clock.advance(301)
    cloud.batches = [haccp("a", SERIAL, hours(clock, 2))]
    await tick("import_batches")
    assert len(await batches(api)) == 1
    log = (await api.get("/api/v1/equipment/combi-1/connection-log")).json()["events"]
    assert [e["event_type"] for e in log] == ["batch_import_restored", "batch_import_failed"]


async def test_new_credentials_end_the_pause(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    refused = answer(b"{}", "401 Unauthorized", "application/json")
    cloud.answers = [refused, refused]
    await tick("import_batches")
    cloud.secret = "another-secret"
    cloud.batches = [haccp("a", SERIAL, hours(clock, 2))]
    answered = await api.post("/api/v1/equipment/combi-1/iot-config?test=false", json=cloud.config())
    assert answered.status == 200
    clock.advance(60)
    await tick("import_batches")
    assert len(await batches(api)) == 1


@pytest.mark.parametrize(
    ("trouble", "code", "seconds"),
    [
        (answer(b"", "429 Too Many", extra="Retry-After: 5400\r\n"), "throttled", 5400),
        (answer(b"", "429 Too Many"), "throttled", 900),
        (answer(b"", "503 Down"), "unexpected_answer", 300),
        (answer(b"<html>", "200 OK", "text/html"), "unexpected_answer", 300),
        (answer(b'{"message": "hello"}', "200 OK", "application/json"), "unexpected_answer", 300),
    ],
    ids=["429-asked", "429", "503", "web-page", "no-list"],
)
async def test_trouble_in_the_middle_keeps_what_was_read_and_goes_on_from_there(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any, trouble: bytes, code: str, seconds: int
) -> None:
    cloud.batches = [haccp(f"b{n}", SERIAL, hours(clock, 2 + n)) for n in range(10)]

    def third_page(query: dict[str, str]) -> None:
        if query["page"] == "2" and len(cloud.queries) == 3:
            cloud.answers = [trouble]

    cloud.before = third_page
    await tick("import_batches")
    now = await status(api)
    assert (now["error_code"], now["complete_until"]) == (code, None), "the mark stays"
    assert now["next_attempt_at"] == iso(clock.now() + timedelta(seconds=seconds))
    assert len(await batches(api)) == 8
    begun = clock.now()
    clock.advance(seconds)
    await tick("import_batches")
    assert [q["page"] for q in cloud.queries][3:] == ["2"]
    assert len(await batches(api)) == 10
    assert (await status(api))["complete_until"] == iso(begun), "since then nothing was asked"


async def test_failures_wait_longer_and_longer(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    waits = []
    for _ in range(6):
        cloud.answers = [answer(b"", "503 Down")]
        await tick("import_batches")
        due = datetime.fromisoformat((await status(api))["next_attempt_at"])
        waits.append((due - clock.now()).total_seconds())
        clock.set(due)
    assert waits == [300, 600, 1200, 2400, 3600, 3600]


async def test_a_page_that_is_too_large_is_asked_for_in_halves(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.connectors.rational_haccp.MAX_PAGE_BYTES", 6_000)
    cloud.batches = [haccp(f"b{n}", SERIAL, hours(clock, 2 + n)) for n in range(9)]
    cloud.batches[5]["entries"] = [{"coreTemperature": n} for n in range(400)]  # too large all alone
    cloud.batches[6]["entries"] = [{"coreTemperature": n} for n in range(150)]
    cloud.batches[7]["entries"] = [{"coreTemperature": n} for n in range(150)]
    await tick("import_batches")
    found = {b["source_id"]: b for b in await batches(api)}
    assert set(found) == {f"b{n}" for n in range(9)}
    assert found["b6"]["core_temperature"]["max"] == 149
    assert found["b5"]["core_temperature"]["max"] is None, "its measurements stay with the vendor"
    assert cloud.queries[-2]["size"] == "1"
    assert cloud.queries[-1]["size"] == "2", "and pages grow again"


async def test_a_batch_that_is_too_large_even_without_measurements_is_passed_over(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.connectors.rational_haccp.MAX_PAGE_BYTES", 3_000)
    cloud.batches = [haccp(f"b{n}", SERIAL, hours(clock, 2 + n)) for n in range(6)]
    cloud.batches[3]["image"] = "x" * 5_000
    await tick("import_batches")
    assert {b["source_id"] for b in await batches(api)} == {"b0", "b1", "b2", "b4", "b5"}
    now = await status(api)
    assert (now["error"], now["last_run"]["unreadable"], now["unreadable"][0]["batch"]) == (
        None,
        1,
        "number 4 of the answer",
    )


async def test_a_service_that_knows_no_pages_does_not_hold_us(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    cloud.link = cloud.total = False
    cloud.batches = [haccp(f"b{n}", SERIAL, hours(clock, 2 + n)) for n in range(4)]
    cloud.before = lambda query: query.update(page="0")
    await tick("import_batches")
    assert len(cloud.queries) == 2
    now = await status(api)
    assert now["error_code"] == "unexpected_answer"
    assert "same page" in now["error"]
    assert len(await batches(api)) == 4


async def test_a_run_that_takes_too_long_goes_on_with_the_next(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.work.batches_import_pages.MOST_PAGES", 2)
    cloud.batches = [haccp(f"b{n:02d}", SERIAL, hours(clock, 2 + n)) for n in range(18)]
    begun = clock.now()
    for _ in range(3):
        await tick("import_batches")
        clock.advance(600)
    assert [q["page"] for q in cloud.queries] == ["0", "1", "2", "3", "4"]
    assert len(await batches(api)) == 18
    assert (await status(api))["complete_until"] == iso(begun)


async def test_a_large_document_is_kept_within_its_bound(
    api: Api, house: Services, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    start = hours(clock, 2)
    entries = [
        {"timestamp": iso(start + timedelta(seconds=n)), "coreTemperature": n / 100, "pad": "x" * 100}
        for n in range(5_000)
    ]
    cloud.batches = [haccp("big", SERIAL, start, entries=entries)]
    await tick("import_batches")
    record = (await records(house))["big"]
    kept = record["vendor"]["document"]["entries"]
    assert 1_000 < len(kept) < 2_500
    assert record["vendor"]["leftOut"] == 5_000 - len(kept)
    assert record["core"]["max"] == 49.99, "summed up before anything was left out"
    clock.advance(3600)
    await tick("import_batches")
    assert (await records(house))["big"] == record, "and the same comes of it again"


# Who is asked --------------------------------------------------------------------------------------------------------


async def test_ovens_that_cannot_be_imported_say_why(api: Api, cloud: ConnectedCooking, tick: Any) -> None:
    await register(api, cloud, "no-serial", None)
    assert "serial_number" in (await status(api, "no-serial"))["reason"]
    await register(api, cloud, "off", "1", batch_import=False)
    assert "batch_import is false" in (await status(api, "off"))["reason"]
    assert (await api.post("/api/v1/equipment", json={"id": "deck", "name": "Deck"})).status == 201
    assert "POST /api/v1/batches" in (await status(api, "deck"))["reason"]
    assert (await api.post("/api/v1/equipment/deck/batch-import")).status == 409
    assert (await api.get("/api/v1/equipment/nobody/batch-import")).status == 404
    await tick("import_batches")
    assert cloud.queries == []


async def test_a_person_can_import_now(api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock) -> None:
    cloud.batches = [haccp("a", SERIAL, hours(clock, 2))]
    for count in (1, 2):
        answered = await api.post("/api/v1/equipment/combi-1/batch-import")
        assert (answered.status, answered.json()["last_run"]["items"]) == (200, 1)
        assert len(cloud.queries) == count


async def test_the_connection_test_asks_for_one_page(api: Api, cloud: ConnectedCooking, oven: str) -> None:
    tested = (await api.post("/api/v1/equipment/combi-1/test-connection")).json()
    assert (tested["success"], tested["supported_features"]) == (True, ["haccp_batches"])
    assert (cloud.queries[0]["size"], cloud.queries[0]["entries"]) == ("1", "false")
    cloud.answers = [answer(b"", "503 Down")]
    assert (await api.post("/api/v1/equipment/combi-1/test-connection")).json()["success"] is False


async def test_what_a_person_wrote_stays(
    api: Api, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any
) -> None:
    cloud.batches = [haccp("a", SERIAL, hours(clock, 1), finished=False)]
    await tick("import_batches")
    (batch,) = await batches(api)
    change = {"product": "Croissants - Batch #7", "program": "Butter", "status": "aborted", "note": "Power cut"}
    assert (await api.patch(f"/api/v1/batches/{batch['id']}", json=change)).status == 200
    clock.advance(3600)
    cloud.batches = [haccp("a", SERIAL, hours(clock, 2)) | {"updatedAt": iso(clock.now())}]
    await tick("import_batches")
    (after,) = await batches(api)
    assert {name: after[name] for name in change} == change
    assert after["ended_at"] != iso(hours(clock, 1.5))
    detail = (await api.get(f"/api/v1/batches/{batch['id']}")).json()
    assert detail["vendor_document"]["finished"] is True, "what the vendor says stands beside it"
    assert detail["edited"] == ["endedAt", "note", "product", "program", "status"]


async def test_a_fault_of_ours_at_one_account_costs_the_others_nothing(
    api: Api, house: Services, cloud: ConnectedCooking, oven: str, clock: ManualClock, tick: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Who waited longest comes first: the one that breaks must not be that for ever."""
    async with ConnectedCooking().serve() as other:
        await register(api, other, "combi-2", "E11SJ-0002")
        other.batches = [haccp("b", "E11SJ-0002", hours(clock, 2))]
        importing = house.work.batch_import
        read = importing._pages.read

        async def breaks(pages: Any, run: Any) -> bool:
            if run.ovens[0].machine.id == "combi-1":
                raise RuntimeError("a fault")
            return await read(run)

        monkeypatch.setattr(type(importing._pages), "read", breaks)
        await tick("import_batches")
        assert len(await batches(api, "combi-2")) == 1
    now = await status(api)
    assert (now["failures"], now["error_code"]) == (1, "unexpected_answer")
    assert "the log of the hub has the details" in now["error"]
    assert now["next_attempt_at"] == iso(clock.now() + timedelta(minutes=5))
    monkeypatch.undo()
    cloud.batches = [haccp("a", SERIAL, hours(clock, 2))]
    clock.advance(600)
    await tick("import_batches")
    assert (len(await batches(api)), (await status(api))["failures"]) == (1, 0)
