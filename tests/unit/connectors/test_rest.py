"""Reading an oven over HTTP, against real sockets: what it says, what it hides, and every way it can fail."""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.connectors import ConnectionTest, Connectors
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.signals import Quality, Reading
from tests.unit.connectors.oven import json_answer, reading_of
from tests.unit.outgoing.peers import Authority, Peer, answer, peer

GUIDE = {
    "equipment_id": "uuid",
    "equipment_name": "Horno Principal #1",
    "timestamp": "2025-01-12T10:30:00Z",
    "connection_status": "connected",
    "temperature": 185.5,
    "temperature_zones": {"cabinet": 180, "core": 72},
    "humidity": 65.0,
    "operational_status": "running",
    "cycle_stage": "baking",
    "cycle_progress_percentage": 45.0,
    "time_remaining_minutes": 12,
    "energy_consumption_kwh": 12.5,
    "door_status": "closed",
    "active_batch_id": "batch-uuid",
    "active_batch_name": "Baguettes - Batch #123",
}


async def _read(raw: bytes, clock: ManualClock, **config: Any) -> Reading:
    async with peer(raw) as there, reading_of(there, clock, **config) as connector:
        return await connector.get_current_reading()


async def _test(raw: bytes, clock: ManualClock, **config: Any) -> ConnectionTest:
    async with peer(raw) as there, reading_of(there, clock, **config) as connector:
        return await connector.test_connection()


def _plain(reading: Reading) -> dict[str, object]:
    return {key: value.value for key, value in reading.values.items()}


# What is read ----------------------------------------------------------------------------------------------------


async def test_the_guides_own_fields(clock: ManualClock) -> None:
    reading = await _read(json_answer(GUIDE), clock)
    assert _plain(reading) == {
        "temperature.cabinet": 180,
        "temperature.core": 72,
        "temperature": 185.5,
        "humidity": 65.0,
        "energy.kwh": 12.5,
        "door.open": False,
        "status": "running",
        "cycle.stage": "baking",
        "cycle.progress": 45.0,
        "time.remaining": 12,
        "batch.id": "batch-uuid",
        "batch.name": "Baguettes - Batch #123",
    }
    assert (reading.equipment_id, reading.at, reading.quality) == ("oven-1", clock.now(), Quality.GOOD)
    assert (reading.reason, reading.error_code, reading.source) == (None, None, "poll")
    assert reading.response_ms is not None
    measured = {value.source_time for value in reading.values.values()}
    assert measured == {datetime(2025, 1, 12, 10, 30, tzinfo=UTC)}, (
        "when it was measured; the reading keeps its own time"
    )


async def test_a_temperature_alone_is_the_cabinets(clock: ManualClock) -> None:
    assert _plain(await _read(json_answer({"temperature": 180}), clock)) == {"temperature.cabinet": 180}
    zones = {"temperature": 180, "temperature_zones": {"core": 72, "Deck 1": "201"}}
    assert _plain(await _read(json_answer(zones), clock)) == {
        "temperature.core": 72,
        "temperature.deck_1": 201.0,
        "temperature.cabinet": 180,
    }


async def test_what_nobody_told_us_of_goes_to_the_flexible_field(clock: ManualClock) -> None:
    document = {
        "temperature": 180,
        "Fan Speed (rpm)": 900,
        "coreProbeDepth": 3,
        "2nd": True,
        "status": "hidden",
        "temperature.core": 1,
        "???": 1,
        "nested": {"x": 1},
        "list": [1],
        "note": None,
    }
    assert _plain(await _read(json_answer(document), clock)) == {
        "temperature.cabinet": 180,
        "fan_speed_rpm": 900,
        "core_probe_depth": 3,
        "x_2nd": True,
        "temperature_core": 1,
    }


async def test_the_number_of_signals_is_bounded(clock: ManualClock) -> None:
    flood = {f"s{n}": n for n in range(5_000)} | {"temperature_zones": {f"z{n}": n for n in range(5_000)}}
    assert len((await _read(json_answer(flood), clock)).values) <= 210


async def test_a_mapping_reads_what_it_names_and_nothing_else(clock: ManualClock) -> None:
    document = {
        "units": [
            {"id": 41, "temps": {"core": 1}},
            {
                "id": 42,
                "temps": {"core": 161.6, "probe": 32767, "hot": 500},
                "door": "open",
                "updatedAt": 1763719200000,
            },
        ],
        "temperature": 9,
    }
    signals = {
        "temperature.core": {"at": "units[id={unit}].temps.core", "unit": "F", "digits": 1},
        "temperature.probe": {"at": "units[id={unit}].temps.probe", "invalid": [32767]},
        "temperature.hot": {"at": "units[id={unit}].temps.hot", "max": 400},
        "temperature.deck1": "units[id={unit}].temps.deck1",
        "door.open": {"at": "units[id={unit}].door", "map": {"open": True, "closed": False}},
    }
    options = {"path": "/api/units", "unit": 42, "timestamp_at": "units[id={unit}].updatedAt", "signals": signals}
    reading = await _read(json_answer(document), clock, protocol="custom", additional_config=options)
    assert _plain(reading) == {
        "temperature.core": 72.0,
        "temperature.probe": None,
        "temperature.hot": 500,
        "temperature.deck1": None,
        "door.open": True,
    }
    said = {key: (value.quality.value, value.reason) for key, value in reading.values.items()}
    assert said["temperature.core"] == ("good", None)
    assert said["temperature.probe"] == ("bad", "sensor sentinel 32767")
    assert said["temperature.hot"] == ("uncertain", "500 is above the plausible maximum of 400 C")
    assert said["temperature.deck1"] == (
        "bad",
        "`units[id=42].temps` has no `deck1`; there are core, probe, hot",
    )
    core = reading.values["temperature.core"]
    assert (core.raw, core.raw_unit, core.unit) == (161.6, "F", "C")
    assert core.source_time == datetime(2025, 11, 21, 10, 0, tzinfo=UTC)
    assert (reading.quality, reading.error_code, reading.reason) == (Quality.BAD, None, None), "part of it was read"


async def test_a_mapping_that_finds_nothing_is_a_failed_read(clock: ManualClock) -> None:
    options = {"signals": {"temperature.core": "data.core", "humidity": "data.hum"}}
    reading = await _read(json_answer({"payload": 1}), clock, additional_config=options)
    assert (reading.quality, reading.error_code) == (Quality.BAD, "unexpected_answer")
    assert reading.reason == (
        "None of the 2 mapped signals is in the answer: the answer has no `data`; there is payload."
    )
    assert set(reading.values) == {"temperature.core", "humidity"}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"data": {"temperature": 1}}, "there is data"),
        ({}, "there is nothing"),
        ([{"temperature": 1}], "not an object"),
        (5, "not an object"),
    ],
)
async def test_an_answer_without_any_known_field(document: Any, says: str, clock: ManualClock) -> None:
    reading = await _read(json_answer(document), clock)
    assert (reading.quality, reading.error_code, reading.values) == (Quality.BAD, "unexpected_answer", {})
    assert says in (reading.reason or "")
    assert "additional_config.signals" in (reading.reason or "")


@pytest.mark.parametrize(
    ("raw", "moment"),
    [
        ("2026-11-21T09:59:00+01:00", datetime(2026, 11, 21, 8, 59, tzinfo=UTC)),
        (1763719200, datetime(2025, 11, 21, 10, tzinfo=UTC)),
        ("yesterday", None),
        (True, None),
        (1e300, None),
        (None, None),
    ],
)
async def test_the_time_of_measurement(raw: Any, moment: datetime | None, clock: ManualClock) -> None:
    options = {"timestamp_at": "ts", "signals": {"humidity": "h"}}
    document = json_answer({"ts": raw, "h": 1})
    reading = await _read(document, clock, additional_config=options)
    assert reading.values["humidity"].source_time == moment
    tested = await _test(document, clock, additional_config=options)
    assert tested.success
    assert (tested.error_details is None) == (moment is not None), "a hint beside the success"


async def test_devices_that_write_their_json_carelessly(clock: ManualClock) -> None:
    reading = await _read(answer(b'\xef\xbb\xbf {"temperature": NaN, "humidity": 5}', kind="text/html"), clock)
    assert reading.values["temperature.cabinet"].reason == "the device says a number that is not finite"
    assert reading.values["humidity"].value == 5
    latin = answer('{"active_batch_name": "Brötchen"}'.encode("latin-1"), kind="application/json; charset=ISO-8859-1")
    assert (await _read(latin, clock)).values["batch.name"].value == "Brötchen"
    huge = answer(b'{"temperature": 1' + b"0" * 4_000 + b', "x": 123456789012345678901234567890}')
    assert (await _read(huge, clock)).values["temperature.cabinet"].quality is Quality.BAD


async def test_what_is_asked(clock: ManualClock) -> None:
    async with peer(json_answer(GUIDE)) as there:
        options = {
            "data_endpoint": "/v1/{equipment_id}/{oven_id}?deck={deck}&id={id}",
            "oven_id": "a/b c",
            "deck": 3,
            "headers": {"X-Site": "madrid"},
        }
        credentials = {"api_key": "key", "token": "bearer"}
        config = {"credentials": credentials, "additional_config": options}
        async with reading_of(there, clock, **config) as connector:
            await connector.get_current_reading()
        assert there.lines()[0] == "GET /v1/oven-1/a%2Fb%20c?deck=3&id=oven-1 HTTP/1.1"
        assert there.header("x-api-key") == "key"
        assert there.header("authorization") == "Bearer bearer"
        assert there.header("x-site") == "madrid"
        assert there.header("accept") == "application/json"


async def test_the_endpoints_own_path_and_the_port_beside_it(clock: ManualClock) -> None:
    async with peer(json_answer(GUIDE)) as there:
        http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
        connectors = Connectors(http, clock)
        for data_endpoint, asked in (("/ovens/1", "/api/ovens/1"), ("ovens/1", "/api/ovens/1"), (None, "/api/")):
            config = {
                "endpoint": "http://127.0.0.1/api/",
                "port": there.port,
                "credentials": {"username": "bäcker", "password": "ü"},
                "additional_config": {"data_endpoint": data_endpoint},
            }
            connector = connectors.open(protocol="rest_api", equipment_id="e", config=config)
            assert (await connector.get_current_reading()).quality is Quality.GOOD
            assert there.lines()[0] == f"GET {asked} HTTP/1.1"
            assert there.header("authorization") == "Basic YsOkY2tlcjrDvA=="
        await http.close()


async def test_a_vendor_name_with_a_configured_path_is_read_like_any_rest_device(clock: ManualClock) -> None:
    options = {"data_endpoint": "/ovens/{oven_id}", "oven_id": "7", "deck_count": 3}
    for name in ("wachtel", "rational"):
        reading = await _read(json_answer(GUIDE), clock, protocol=name, additional_config=options)
        assert reading.values["humidity"].value == 65.0


# Test and capabilities -------------------------------------------------------------------------------------------


async def test_test_connection_says_what_was_found(clock: ManualClock) -> None:
    tested = await _test(json_answer(GUIDE | {"humidity": None}), clock)
    assert (tested.success, tested.status, tested.error_details) == (True, "connected", None)
    assert tested.response_time_ms is not None
    assert tested.supported_features == ("temperature", "energy", "door", "status", "cycle", "batch")
    assert tested.signals["humidity"].reason == "the device says null: it has no value now"


async def test_the_status_endpoint_is_asked_first(clock: ManualClock) -> None:
    async def two(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        broken = head.startswith(b"GET /status") and len(there.requests) > 2
        writer.write(answer(b"", "503 Down") if broken else json_answer(GUIDE))
        await writer.drain()
        return True

    options = {"data_endpoint": "/data", "status_endpoint": "/status"}
    async with peer(two) as there, reading_of(there, clock, additional_config=options) as connector:
        assert (await connector.test_connection()).success
        assert [there.lines(n)[0].split()[1] for n in range(2)] == ["/status", "/data"]
        tested = await connector.test_connection()
        assert (tested.success, tested.status, len(there.requests)) == (False, "unexpected_answer", 3)
        assert (await connector.get_current_reading()).quality is Quality.GOOD, "polling does not ask it"


async def test_capabilities_from_the_mapping_and_one_read(clock: ManualClock) -> None:
    async with peer(json_answer(GUIDE)) as there, reading_of(there, clock) as connector:
        can = await connector.get_capabilities()
        assert (can.supports_realtime, can.supports_humidity, can.supports_energy_monitoring) == (True, True, True)
        assert can.supports_remote_control is False
        assert can.temperature_zones == ("cabinet", "core")
    signals = {
        "temperature.deck1": "x",
        "temperature.deck1.setpoint": "y",
        "temperature.setpoint": "z",
        "humidity": "h",
    }
    options = {"additional_config": {"signals": signals}}
    async with peer(answer(b"", "500 Broken")) as there, reading_of(there, clock, **options) as connector:
        can = await connector.get_capabilities()
        assert (can.supports_realtime, can.supports_humidity) == (False, True)
        assert can.temperature_zones == ("deck1",)
        assert can.signals == tuple(signals)


# Ways to fail ----------------------------------------------------------------------------------------------------

LOGIN = b"\n <!DOCTYPE html><html><body>Please sign in, hunter2</body></html>"


@pytest.mark.parametrize(
    ("raw", "code", "says"),
    [
        (answer(b"", "401 Unauthorized"), "authentication_failed", "check the credentials"),
        (answer(b"", "403 Forbidden"), "authentication_failed", "that we may read this (403)"),
        (answer(b"", "404 Not Found"), "unexpected_answer", "nothing at /data (404): check data_endpoint"),
        (answer(b"", "405 Not Allowed"), "unexpected_answer", "does not answer GET at /data"),
        (answer(b"", "418 Teapot"), "unexpected_answer", "answered 418 at /data"),
        (answer(b"", "429 Slow"), "throttled", "come less often (429): raise poll_interval_seconds"),
        (answer(b"", "429 Slow", extra="Retry-After: 90\r\n"), "throttled", "(429), again in 90 s"),
        (answer(b"", "429 Slow", extra="Retry-After: soon\r\n"), "throttled", "come less often (429): raise"),
        (answer(b"", "429 Slow", extra="Retry-After: 99999999999\r\n"), "throttled", "again in 86400 s"),
        (answer(b"", "500 Broken"), "unexpected_answer", "an error of its own (500) at /data"),
        (answer(b"", "503 Down", extra="Retry-After: 30\r\n"), "unexpected_answer", "(503, again in 30 s)"),
        (
            answer(b"", "302 Found", extra="Location: https://login.example/?next=hunter2\r\n"),
            "unexpected_answer",
            "sends us on to login.example (302)",
        ),
        (
            answer(b"", "301 Moved", extra="Location: /login?x=hunter2\r\n"),
            "unexpected_answer",
            "to another path (301)",
        ),
        (answer(b"", "307 Moved", extra="Location: http://[\r\n"), "unexpected_answer", "to another path (307)"),
        (
            answer(b"", "302 Found", extra="Location: http://169.254.169.254/x\r\n"),
            "unexpected_answer",
            "169.254.169.254",
        ),
        (answer(LOGIN, kind="text/html"), "unexpected_answer", "is it a login page?"),
        (answer(b""), "unexpected_answer", "answered nothing (200, empty)"),
        (answer(b"", "204 No Content"), "unexpected_answer", "answered nothing (204, empty)"),
        (answer(b"temp=5", kind="text/csv"), "unexpected_answer", "no JSON (text/csv) at /data"),
        (answer(b'{"a":'), "unexpected_answer", "no JSON"),
        (answer(b"[" * 100_000), "unexpected_answer", "no JSON"),
        (answer(b'{"a": "' + b"x" * 1_100_000 + b'"}'), "unexpected_answer", "more than 1 MB at /data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_answers_that_are_no_reading(raw: bytes, code: str, says: str, clock: ManualClock) -> None:
    options = {"additional_config": {"data_endpoint": "/data?key=hunter2"}, "credentials": {"token": "hunter2"}}
    reading = await _read(raw, clock, **options)
    assert (reading.quality, reading.error_code, reading.values) == (Quality.BAD, code, {})
    assert says in (reading.reason or ""), reading.reason
    assert "hunter2" not in (reading.reason or "")
    assert (reading.at, reading.equipment_id) == (clock.now(), "oven-1")
    tested = await _test(raw, clock, **options)
    assert (tested.success, tested.status) == (False, code)
    assert says in (tested.error_details or "")


async def test_retry_after_as_a_date(clock: ManualClock) -> None:
    later = format_datetime(clock.now() + timedelta(seconds=120), usegmt=True)
    reading = await _read(answer(b"", "429 Slow", extra=f"Retry-After: {later}\r\n"), clock)
    assert "again in 120 s" in (reading.reason or "")


@pytest.mark.parametrize("said", ["1 Jan 99999999999 0:0:0", "1 Jan 2026 0:0:99999999999999999999", "Mon, 99 Foo 1"])
async def test_retry_after_that_no_calendar_has(said: str, clock: ManualClock) -> None:
    reading = await _read(answer(b"", "429 Slow", extra=f"Retry-After: {said}\r\n"), clock)
    assert (reading.error_code, reading.retry_after_seconds) == ("throttled", None)


async def test_an_oven_that_hangs_and_one_that_drips(clock: ManualClock) -> None:
    async def hangs(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if head.startswith(b"GET /drip"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        await asyncio.Event().wait()
        return False

    async with peer(hangs) as there:
        for path in ("/hang", "/drip"):
            options = {"timeout": 0.2, "data_endpoint": path}
            async with reading_of(there, clock, additional_config=options) as connector:
                begun = time.perf_counter()
                reading = await connector.get_current_reading()
                assert time.perf_counter() - begun < 2
                assert (reading.quality, reading.error_code) == (Quality.BAD, "timeout")
                assert "within 0.2 s" in (reading.reason or "")


async def test_a_reset_in_the_middle(clock: ManualClock) -> None:
    async def breaks(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"temperature": 1')
        await writer.drain()
        return False

    async with peer(breaks) as there, reading_of(there, clock) as connector:
        reading = await connector.get_current_reading()
        assert (reading.quality, reading.error_code) == (Quality.BAD, "cannot_connect")
        assert "in the middle of its answer" in (reading.reason or "")


async def test_nobody_there(clock: ManualClock) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = Peer(port=free.getsockname()[1])
        async with reading_of(gone, clock) as connector:
            tested = await connector.test_connection()
    assert (tested.success, tested.status) == (False, "cannot_connect")
    assert "is the service started?" in (tested.error_details or "")


async def test_an_address_that_turned_bad_after_it_was_saved(clock: ManualClock) -> None:
    """A name that passed when it was configured and answers with the metadata address now."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["169.254.169.254"]

    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True, resolve=resolve))
    connector = Connectors(http, clock).open(
        protocol="rest_api", equipment_id="e", config={"endpoint": "http://oven.example"}
    )
    reading = await connector.get_current_reading()
    assert (reading.quality, reading.error_code) == (Quality.BAD, "cannot_connect")
    assert "link-local" in (reading.reason or "")
    await http.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


async def test_tls_with_the_plants_own_ca(clock: ManualClock, authority: Authority) -> None:
    context, _ = authority.server()
    async with peer(json_answer(GUIDE), tls=context) as there:
        async with reading_of(there, clock, additional_config={"ca_certificate": authority.pem}) as connector:
            assert (await connector.get_current_reading()).quality is Quality.GOOD
        async with reading_of(there, clock) as connector:
            tested = await connector.test_connection()
            assert (tested.success, tested.status) == (False, "tls_failed")
            assert "ca_certificate" in (tested.error_details or "")


async def test_a_self_signed_oven_only_where_it_is_said(clock: ManualClock, authority: Authority) -> None:
    context, _ = authority.server(self_signed=True)
    async with peer(json_answer(GUIDE), tls=context) as there:
        http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
        connectors = Connectors(http, clock)

        async def read(**options: Any) -> Reading:
            config = {"endpoint": there.url, "additional_config": options}
            return await connectors.open(protocol="rest_api", equipment_id="e", config=config).get_current_reading()

        assert (await read(verify_ssl=False)).quality is Quality.GOOD
        refused = await read()
        assert (refused.error_code, "self-signed" in (refused.reason or "")) == ("tls_failed", True)
        await http.close()


async def test_connectors_share_the_pool(clock: ManualClock) -> None:
    """A connector for every poll costs no connection and no TLS context of its own."""
    async with peer(json_answer(GUIDE)) as there:
        http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
        connectors = Connectors(http, clock)
        for number in range(10):
            connector = connectors.open(
                protocol="rest_api", equipment_id=f"oven-{number}", config={"endpoint": there.url}
            )
            await connector.get_current_reading()
            await connector.close()
        assert there.connections == 2
        await http.close()
