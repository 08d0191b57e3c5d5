"""The `rational` profile: the guide's configuration, where values and batches come from, and what never happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.clock import ManualClock, iso
from shared.connectors import ConnectorFactory
from shared.connectors.opc_ua_plan import plan as opc_ua_plan
from shared.connectors.profiles import profile_of
from shared.connectors.rational_batch import UnreadableBatch, read_batch
from shared.connectors.rational_fields import FIELDS
from shared.connectors.rational_plan import RationalPlan, plan
from shared.errors import InvalidInput, UnsafeTarget
from shared.outgoing.targets import TargetPolicy
from shared.work.batches_import_state import pause
from tests.unit.connectors.oven import json_answer, reading_of
from tests.unit.outgoing.peers import peer

GUIDE: dict[str, Any] = {
    "protocol": "rational",
    "endpoint": "https://www.connectedcooking.com/api/v1",
    "port": 443,
    "credentials": {"username": "your-email@example.com", "password": "your-password"},
    "additional_config": {"unit_id": "12345", "timeout": 15},
}
CLIENT = {"token_url": "/oauth/token", "client_id": "hub", "client_secret": "s3cret"}
OPEN = TargetPolicy(allow_private=True, allow_http=True)
CLOSED = TargetPolicy(allow_private=False, allow_http=False)


def planned(changes: dict[str, Any] | None = None, targets: TargetPolicy = CLOSED, **options: Any) -> RationalPlan:
    profile = profile_of("rational")
    assert profile is not None
    config = GUIDE | (changes or {})
    config["additional_config"] = config["additional_config"] | options
    return plan(config, profile, "oven-1", targets)


# Where from ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rational", "rational_connected_cooking"])
def test_the_guides_configuration_reads_live_values_over_opc_ua(name: str) -> None:
    ConnectorFactory.check(name, GUIDE)
    found = planned()
    assert found.live is not None
    worked_out = opc_ua_plan(found.live.config, found.live.profile, "oven-1", CLOSED)
    assert worked_out.url == "opc.tcp://app.connectedcooking.com:4840/OPCUA/ConnectedCooking"
    assert str(worked_out.device) == "nsu=http://connectedcooking.com/OPCUA/;s=CombiSteamerDevice_12345"
    assert (worked_out.credentials.username, worked_out.timeout_seconds) == ("your-email@example.com", 15)
    assert (worked_out.policy, worked_out.mode) == ("Basic256Sha256", "SignAndEncrypt")
    assert found.batches is None
    assert "API client" in found.why_no_batches


def test_both_with_credentials_of_their_own() -> None:
    found = planned({"credentials": GUIDE["credentials"] | CLIENT}, batch_group_id=7, device_serial="E11")
    assert found.live is not None
    assert found.batches is not None
    assert found.live.config["credentials"] == GUIDE["credentials"]
    source = found.batches.source
    assert source.data_url == "https://app.connectedcooking.com/api/public/haccp-service/haccps"
    assert source.oauth is not None
    assert source.oauth.url == "https://app.connectedcooking.com/oauth/token"
    assert "Authorization" not in source.headers, "the OPC UA password does not go to the REST service"
    assert (found.batches.group_id, found.batches.serial, found.batches.unit_id) == ("7", "E11", "12345")
    assert "s3cret" not in repr(found)
    assert "your-password" not in repr(found)


def test_batches_alone_and_neither() -> None:
    alone = planned({"credentials": {"token": "abc"}})
    assert alone.live is None
    assert "supports_realtime to false" in alone.why_no_live
    assert alone.batches is not None
    assert alone.batches.source.headers["Authorization"] == "Bearer abc"
    off = planned({"credentials": GUIDE["credentials"] | CLIENT}, live_values=False, batch_import=False)
    assert (off.live, off.batches) == (None, None)
    assert off.why_no_live == "live_values is false in additional_config."


def test_an_opc_ua_server_of_ones_own() -> None:
    found = planned({"endpoint": "opc.tcp://10.0.0.5:4840", "port": None}, OPEN)
    assert found.live is not None
    assert found.live.config["endpoint"] == "opc.tcp://10.0.0.5:4840"
    assert "device" not in found.live.config["additional_config"], "unit_id is the vendor's word"
    with_client = planned(
        {"endpoint": "opc.tcp://10.0.0.5:4840", "port": None, "credentials": GUIDE["credentials"] | CLIENT}, OPEN
    )
    assert with_client.batches is None
    assert "HTTPS" in with_client.why_no_batches


def test_accounts_are_told_apart_and_tell_nothing() -> None:
    def account(credentials: dict[str, Any], **options: Any) -> str:
        found = planned({"credentials": credentials}, **options).batches
        assert found is not None
        return found.account

    same = account(GUIDE["credentials"] | CLIENT)
    assert same == account(CLIENT, batch_overlap_hours=3) == account(CLIENT, unit_id="9")
    others = {
        account(CLIENT | {"client_secret": "new"}),
        account(CLIENT, batch_group_id=1),
        account(CLIENT, batch_query={"filter": "cooking"}),
        account(CLIENT, batch_fields={"duration_seconds": "seconds"}),
        account({"token": "s3cret"}),
    }
    assert len(others | {same}) == 6
    assert "s3cret" not in same


def test_what_discovery_finds_is_ready_for_this_profile() -> None:
    from functions.discovery import _device
    from shared.connectors.discovery import DiscoveredDevice

    address = "nsu=http://connectedcooking.com/OPCUA/;s=CombiSteamerDevice_9002"
    device = DiscoveredDevice("Combi", "CombiSteamerDeviceType", "opc30200-combi", address, {"humidity": {"at": "i=1"}})
    ready = _device(device, GUIDE, "rational")["iot_config"]
    assert (ready["protocol"], ready["endpoint"]) == ("rational", GUIDE["endpoint"])
    found = planned(ready)
    assert found.live is not None
    assert found.live.config["additional_config"]["device"] == address
    assert _device(device, GUIDE, "opc_ua")["iot_config"]["protocol"] == "opc_ua"


# What never happens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "options", "field"),
    [
        ({"endpoint": "http://www.connectedcooking.com"}, {}, "endpoint"),
        ({"port": 8443}, {}, "port"),
        ({"endpoint": "https://www.connectedcooking.com:443", "port": 444}, {}, "port"),
        ({"endpoint": "mqtt://www.connectedcooking.com"}, {}, "endpoint"),
        ({"endpoint": ""}, {}, "endpoint"),
        ({"endpoint": "https://127.0.0.1/"}, {}, "endpoint"),
        ({}, {"batch_import": True}, "credentials"),
        ({}, {"batch_page_size": 1000}, "additional_config.batch_page_size"),
        ({}, {"batch_path": "https://evil.example/haccps"}, "additional_config.batch_path"),
        ({}, {"batch_overlap_hour": 3}, "additional_config['batch_overlap_hour']"),
        ({}, {"batch_fields": {"colour": "x"}}, "additional_config.batch_fields.colour"),
        ({}, {"batch_fields": {"entries": "a..b"}}, "additional_config.batch_fields.entries"),
        ({}, {"server_cert": "zz"}, "additional_config.server_cert"),
        ({"credentials": CLIENT | {"client_secret": ""}}, {}, "credentials"),
        ({"credentials": GUIDE["credentials"] | {"pasword": "x"}}, {}, "credentials.pasword"),
    ],
    ids=lambda v: str(v)[:60],
)
def test_what_is_refused_names_its_field(changes: dict[str, Any], options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        planned(changes, **options)
    assert field in [problem.field for problem in refused.value.problems], refused.value.problems


def test_credentials_go_to_the_endpoints_own_address_only() -> None:
    """Whoever may change options must not be able to have stored credentials sent elsewhere."""
    evil = {"credentials": GUIDE["credentials"] | CLIENT, "endpoint": "https://connectedcooking.com.evil.example"}
    found = planned(evil, OPEN, batch_query={"host": "x"}, batch_path="/../../x")
    assert found.live is None, "a password for the vendor's OPC UA server is for that server"
    assert found.batches is not None
    assert found.batches.source.data_url.startswith("https://connectedcooking.com.evil.example/")
    for name in ("opc_ua_endpoint", "url", "host"):
        again = planned({"credentials": GUIDE["credentials"] | CLIENT}, CLOSED, **{name: "evil.example"})
        assert again.live is not None
        assert again.batches is not None
        places = (again.live.config["endpoint"], again.batches.source.data_url, again.batches.source.where)
        assert not any("evil" in place for place in places)


def test_private_addresses_need_permission() -> None:
    with pytest.raises(UnsafeTarget):
        planned({"endpoint": "opc.tcp://10.0.0.5", "port": None})


async def test_without_live_values_a_reading_says_what_to_do(clock: ManualClock) -> None:
    async with peer(json_answer([])) as there, reading_of(there, clock, protocol="rational") as connector:
        reading = await connector.get_current_reading()
        assert (reading.quality, reading.error_code) == ("bad", "not_supported")
        assert "data_endpoint" in str(reading.reason)
        tested = await connector.test_connection()
        assert (tested.success, tested.error_details) == (False, reading.reason)
        assert not (await connector.get_capabilities()).supports_realtime
        assert there.requests == []


async def test_a_rest_source_of_ones_own_is_still_read(clock: ManualClock) -> None:
    options = {"data_endpoint": "/ovens/{unit_id}", "unit_id": "7"}
    answer = json_answer({"humidity": 65.0})
    credentials = {"username": "u", "password": "p"}
    config = {"protocol": "rational", "additional_config": options, "credentials": credentials}
    async with peer(answer) as there, reading_of(there, clock, **config) as connector:
        assert (await connector.get_current_reading()).values["humidity"].value == 65.0
        assert there.lines()[0] == "GET /ovens/7 HTTP/1.1"
        assert str(there.header("authorization")).startswith("Basic ")


# Batches as they are told --------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
ITEM: dict[str, Any] = {"id": 4711, "startDate": "2026-11-21T08:00:00", "deviceSerialNumber": "E11"}
PATHS = FIELDS.paths({})


def test_the_least_there_can_be() -> None:
    found = read_batch(ITEM, PATHS, NOW)
    assert (found.vendor_id, found.serial, iso(found.started_at)) == ("4711", "E11", "2026-11-21T08:00:00.000Z")
    assert (found.program, found.finished, found.ended_at, found.core, found.steps) == (None, None, None, {}, [])


@pytest.mark.parametrize(
    ("told", "ended"),
    [
        ({"finished": True, "duration": 1800}, NOW - timedelta(minutes=90)),
        ({"finished": True, "durationSeconds": 60.5}, NOW - timedelta(seconds=7200 - 60.5)),
        ({"finished": False, "duration": 1800}, None),
        ({"finished": True, "duration": "long"}, None),
        ({"finished": True, "duration": -5}, None),
        ({"finished": True, "duration": 1e12}, None),
        ({"finished": True, "duration": True}, None),
        ({"endDate": "2026-11-21T09:00:00+01:00"}, NOW - timedelta(hours=2)),
        ({"endDate": "2026-11-20T09:00:00Z"}, None),
        ({"endDate": 1795253400000}, NOW - timedelta(minutes=30)),
    ],
    ids=str,
)
def test_when_it_ended(told: dict[str, Any], ended: datetime | None) -> None:
    assert read_batch(ITEM | told, PATHS, NOW).ended_at == ended


def test_a_site_may_say_where_a_field_is() -> None:
    from shared.connectors.paths import parse_path

    paths = FIELDS.paths({"entries": parse_path("data.points"), "entry_core": parse_path("t[0]")})
    item = ITEM | {"data": {"points": [{"t": [55.5]}, {"t": []}, "odd", {"t": [72]}]}}
    found = read_batch(item, paths, NOW)
    assert (found.core["min"], found.core["max"], found.core["points"]) == (55.5, 72.0, 2)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ([], "no JSON object"),
        ({}, "no id"),
        (ITEM | {"id": True}, "no id"),
        (ITEM | {"id": {"a": 1}}, "no id"),
        (ITEM | {"startDate": None}, "startDate"),
        (ITEM | {"startDate": "1970-01-01"}, "cannot be"),
        (ITEM | {"startDate": 10**300}, "startDate"),
        (ITEM | {"deviceSerialNumber": ["E11"]}, "deviceSerialNumber"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_what_is_no_batch(item: Any, said: str) -> None:
    with pytest.raises(UnreadableBatch, match=said):
        read_batch(item, PATHS, NOW)


@pytest.mark.parametrize(
    ("code", "failures", "retry_after", "seconds"),
    [
        ("timeout", 1, None, 300),
        ("timeout", 9, None, 3600),
        ("authentication_failed", 1, None, 900),
        ("authentication_failed", 50, None, 21600),
        ("throttled", 1, 7200.0, 7200),
        ("throttled", 1, 1e9, 86400),
    ],
)
def test_how_long_an_account_is_left_alone(code: str, failures: int, retry_after: float | None, seconds: float) -> None:
    assert pause(code, failures, retry_after) == seconds
