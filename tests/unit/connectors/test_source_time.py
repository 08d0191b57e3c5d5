"""When a value was measured, as its vendor says it: read right, doubted, or not believed - never guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import ManualClock, iso
from shared.connectors import ConnectorFactory
from shared.connectors.source_time import FUTURE, Times, moment_of, zone_of
from shared.errors import InvalidInput
from shared.signals import Quality, Reading
from tests.unit.connectors.vendor import Vendor

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
MADRID = zone_of("Europe/Madrid")


@pytest.mark.parametrize(
    ("raw", "moment"),
    [
        ("2026-11-21T09:59:00Z", "2026-11-21T09:59:00.000Z"),
        ("2026-11-21T10:59:00+01:00", "2026-11-21T09:59:00.000Z"),
        ("2026-11-21T10:59:00+0100", "2026-11-21T09:59:00.000Z"),
        ("2026-11-21 09:59:00", "2026-11-21T09:59:00.000Z"),
        (" 2026-11-21t09:59 ", "2026-11-21T09:59:00.000Z"),
        ("20261121T095900Z", "2026-11-21T09:59:00.000Z"),
        ("2026-11-21T09:59:00.1234567Z", "2026-11-21T09:59:00.123Z"),
        (1795255140, "2026-11-21T09:59:00.000Z"),
        (1795255140.5, "2026-11-21T09:59:00.500Z"),
        (1795255140123, "2026-11-21T09:59:00.123Z"),
        ("1795255140", "2026-11-21T09:59:00.000Z"),
        ("1795255140123", "2026-11-21T09:59:00.123Z"),
    ],
)
def test_read(raw: Any, moment: str) -> None:
    found = moment_of(raw, Times(now=NOW))
    assert found.at is not None, found.problem
    assert iso(found.at) == moment


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (None, "null in place of a time"),
        ("", "it says nothing, which is no time"),
        ("yesterday", "it says yesterday, which is no time"),
        ("2026-11-21", "which is no time"),
        ("20261121", "which is no time"),
        ("20261121095900", "which is no time"),
        ("2026-13-01T00:00:00Z", "which is no time"),
        (True, "something that is no time"),
        ({"t": 1}, "something that is no time"),
        (float("nan"), "not finite"),
        (1e300, "no time since 1970"),
        (10**400, "no time since 1970"),
        (-(10**400), "no time since 1970"),
        (0, "its clock was never set"),
        ("1970-01-01T00:00:12Z", "its clock was never set"),
        ("2026-11-21T10:06:00Z", "still to come: its clock or its time zone is wrong"),
        (1795300000, "still to come"),
    ],
)
def test_not_believed(raw: Any, says: str) -> None:
    found = moment_of(raw, Times(now=NOW))
    assert found.at is None
    assert says in (found.problem or "")


@pytest.mark.parametrize(
    ("raw", "form", "moment"),
    [
        (1795255140, "seconds", NOW - timedelta(minutes=1)),
        (1795255140000, "milliseconds", NOW - timedelta(minutes=1)),
        ("1795255140", "seconds", NOW - timedelta(minutes=1)),
        ("2026-11-21T09:59:00Z", "iso", NOW - timedelta(minutes=1)),
        (1795255140000, "seconds", None),
        (1795255140, "milliseconds", None),
        (1795255140, "iso", None),
        ("1795255140", "iso", None),
        ("2026-11-21T09:59:00Z", "seconds", None),
    ],
)
def test_only_in_the_form_that_was_said(raw: Any, form: Any, moment: datetime | None) -> None:
    assert moment_of(raw, Times(form, now=NOW)).at == moment


@pytest.mark.parametrize(
    ("raw", "moment", "says"),
    [
        ("2026-11-21T10:59:00", "2026-11-21T09:59:00.000Z", None),
        ("2026-07-01T12:00:00", "2026-07-01T10:00:00.000Z", None),
        ("2026-11-21T09:59:00Z", "2026-11-21T09:59:00.000Z", None),
        ("2026-10-25T01:59:59", "2026-10-24T23:59:59.000Z", None),
        ("2026-10-25T02:30:00", None, "that hour comes twice when the clocks are put back"),
        ("2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00.000Z", None),
        ("2026-03-29T02:30:00", None, "was left out when the clocks were put forward"),
    ],
)
def test_local_times_of_a_plant(raw: str, moment: str | None, says: str | None) -> None:
    found = moment_of(raw, Times(zone=MADRID, now=NOW))
    assert (found.at and iso(found.at)) == moment
    assert (says or "") in (found.problem or "")


def test_zones() -> None:
    assert zone_of("UTC") is UTC
    assert zone_of("+01:00").utcoffset(None) == timedelta(hours=1)
    for wrong in ("Madrid", "CET+1", "../etc/passwd", "", "+25:00"):
        with pytest.raises(ValueError, match="write UTC"):
            zone_of(wrong)


@given(st.integers() | st.floats() | st.text(max_size=40) | st.none() | st.booleans() | st.binary(max_size=4))
def test_whatever_stands_there_is_a_time_or_has_a_reason(raw: Any) -> None:
    found = moment_of(raw, Times(now=NOW))
    assert (found.at is None) != (found.problem is None)
    assert found.at is None or found.at <= NOW + FUTURE


@given(st.datetimes(datetime(2001, 1, 1), datetime(2026, 11, 20)), st.sampled_from(["Europe/Madrid", "America/Lima"]))
def test_a_local_time_is_right_or_refused(local: datetime, zone: str) -> None:
    found = moment_of(local.isoformat(), Times(zone=zone_of(zone), now=NOW))
    assert found.at is None or found.at.astimezone(zone_of(zone)).replace(tzinfo=None) == local


# In a reading ----------------------------------------------------------------------------------------------------


async def read(clock: ManualClock, document: Any, **options: Any) -> Reading:
    async def answering(request: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    async with Vendor(clock, answering).serve() as vendor:
        return await vendor.open(additional_config=options).get_current_reading()


async def test_a_time_for_all_and_a_time_of_its_own(clock: ManualClock) -> None:
    signals = {"humidity": "h", "temperature.core": {"at": "core.v", "timestamp_at": "core.t"}}
    document = {"t": "2026-11-21T09:59:00Z", "h": 60, "core": {"v": 72, "t": 1795255080}}
    values = (await read(clock, document, timestamp_at="t", signals=signals)).values
    assert values["humidity"].source_time == NOW - timedelta(minutes=1)
    assert values["temperature.core"].source_time == NOW - timedelta(minutes=2)
    assert {value.quality for value in values.values()} == {Quality.GOOD}


async def test_too_old_is_uncertain(clock: ManualClock) -> None:
    signals = {
        "humidity": "h",
        "temperature.setpoint": {"at": "set", "max_age": 86_400},
        "temperature.core": {"at": "core", "invalid": [0]},
        "temperature.deck1": {"at": "deck", "max": 100},
    }
    document = {"t": "2026-11-21T09:50:00Z", "h": 60, "set": 230, "core": 0, "deck": 400}
    reading = await read(clock, document, timestamp_at="t", max_age=300, signals=signals)
    said = {key: (value.quality.value, value.reason) for key, value in reading.values.items()}
    stale = "stale: measured 10 min ago (2026-11-21T09:50:00.000Z), max_age is 5 min"
    assert said == {
        "humidity": ("uncertain", stale),
        "temperature.setpoint": ("good", None),
        "temperature.core": ("bad", "sensor sentinel 0"),
        "temperature.deck1": ("uncertain", f"400 is above the plausible maximum of 100 C; {stale}"),
    }
    assert reading.at == NOW, "the reading is of now, whatever its values are of"
    assert reading.values["humidity"].value == 60
    assert reading.values["humidity"].source_time == NOW - timedelta(minutes=10)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (
            {"h": 1, "t": "2026-11-21T11:00:00Z"},
            "when it was measured: `t`: it says 2026-11-21T11:00:00.000Z, which is",
        ),
        ({"h": 1, "t": "soon"}, "when it was measured: `t`: it says soon, which is no time"),
        ({"h": 1, "t": None}, "when it was measured: `t`: there is null"),
        ({"h": 1}, "when it was measured: the answer has no `t`; there is h"),
    ],
)
async def test_a_time_that_cannot_be_believed_is_no_time(document: Any, says: str, clock: ManualClock) -> None:
    reading = await read(clock, document, timestamp_at="t", signals={"humidity": "h"})
    value = reading.values["humidity"]
    assert (value.value, value.quality, value.source_time) == (1, Quality.UNCERTAIN, None)
    assert says in (value.reason or "")
    assert (reading.quality, reading.error_code) == (Quality.UNCERTAIN, None)


async def test_the_guides_own_timestamp(clock: ManualClock) -> None:
    for stamp, quality in (("2026-11-21T09:59:00Z", "good"), ("2027-01-01T00:00:00Z", "uncertain"), ("?", "uncertain")):
        value = (await read(clock, {"humidity": 5, "timestamp": stamp})).values["humidity"]
        assert (value.quality, value.source_time is None) == (quality, quality != "good")
    assert (await read(clock, {"humidity": 5})).values["humidity"].quality is Quality.GOOD
    value = (await read(clock, {"humidity": 5}, max_age=60)).values["humidity"]
    assert (value.quality, "the answer does not say" in (value.reason or "")) == (Quality.UNCERTAIN, True)


@pytest.mark.parametrize(
    ("options", "field", "says"),
    [
        ({"timestamp_zone": "Madrid"}, "additional_config.timestamp_zone", "Europe/Madrid"),
        ({"timestamp_form": "unix"}, "additional_config.timestamp_form", "'seconds'"),
        ({"max_age": 0}, "additional_config.max_age", "greater than 0"),
        ({"max_age": 60, "signals": {"humidity": "h"}}, "additional_config", "has a max_age and no time"),
        ({"signals": {"humidity": {"at": "h", "max_age": 5}}}, "additional_config", "give timestamp_at"),
        (
            {"signals": {"humidity": {"at": "h", "timestamp_at": "a["}}},
            "additional_config.signals.humidity.timestamp_at",
            "['odd key']",
        ),
        (
            {"signals": {"humidity": {"at": "h", "timestamp_at": "{serial}"}}},
            "additional_config.signals['humidity'].timestamp_at",
            "no value",
        ),
    ],
)
def test_refused(options: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ConnectorFactory.check("rest_api", {"endpoint": "https://vendor.example", "additional_config": options})
    assert refused.value.problems[0].field == field
    assert says in refused.value.detail


@pytest.mark.parametrize(
    ("protocol", "endpoint", "at"),
    [("modbus", "10.0.0.9", "holding:0"), ("mqtt", "mqtts://10.0.0.2", "t"), ("opc_ua", "opc.tcp://10.0.0.5", "i=1")],
)
@pytest.mark.parametrize("option", [{"timestamp_at": "t"}, {"max_age": 5}, {"write": {"body": "{value}"}}])
def test_other_protocols_have_times_and_writing_of_their_own(
    protocol: str, endpoint: str, at: str, option: dict[str, Any]
) -> None:
    config = {"endpoint": endpoint, "additional_config": {"path": "x", "signals": {"humidity": {"at": at} | option}}}
    if protocol != "mqtt":
        del config["additional_config"]["path"]  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput) as refused:
        ConnectorFactory.check(protocol, config)
    assert refused.value.problems[0].field == f"additional_config.signals.humidity.{next(iter(option))}"
    assert "only REST devices take it" in refused.value.detail
