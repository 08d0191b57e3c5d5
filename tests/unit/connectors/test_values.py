"""What a device said becomes a value with a quality and a reason."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.connectors.mapping import SignalSpec
from shared.connectors.values import reader, value_of, worst
from shared.signals import Quality, SignalValue


def _value(key: str, raw: Any, **spec: Any) -> SignalValue:
    return value_of(key, raw, SignalSpec(at="x", **spec))


@pytest.mark.parametrize(
    ("key", "raw", "spec", "value"),
    [
        ("temperature.cabinet", 180.5, {}, 180.5),
        ("temperature.cabinet", "180.5", {}, 180.5),
        ("temperature.cabinet", " -4e1 ", {}, -40.0),
        ("temperature.cabinet", 1805, {"scale": 0.1, "digits": 1}, 180.5),
        ("temperature.cabinet", 100, {"scale": 2, "offset": -10}, 190.0),
        ("temperature.cabinet", 2**70, {}, float(2**70)),
        ("humidity", 65, {}, 65),
        ("status", "running", {}, "running"),
        ("status", 3, {}, "3"),
        ("status", 3, {"map": {"3": "running"}}, "running"),
        ("status", 3.0, {"map": {"3": "running"}}, "running"),
        ("status", "RUN", {"map": {"run": "running"}}, "running"),
        ("status", True, {"map": {"true": "on"}}, "on"),
        ("door.open", "open", {"map": {"open": True, "closed": False}}, True),
        ("door.open", "Closed", {}, False),
        ("door.open", 1, {}, True),
        ("door.open", 0.0, {}, False),
        ("door.open", True, {}, True),
        ("program", "Baguette", {}, "Baguette"),
        ("program", "42", {}, "42"),
        ("program", "42", {"digits": 0}, 42.0),
        ("fan", 7, {}, 7),
        ("fan", True, {}, True),
    ],
)
def test_good(key: str, raw: Any, spec: dict[str, Any], value: object) -> None:
    got = _value(key, raw, **spec)
    assert (got.value, got.quality, got.reason) == (value, Quality.GOOD, None)
    assert type(got.value) is type(value)


@pytest.mark.parametrize(
    ("key", "raw", "spec", "reason"),
    [
        ("temperature.core", 32767, {"invalid": [32767]}, "sensor sentinel 32767"),
        ("temperature.core", 32767.0, {"invalid": 32767}, "sensor sentinel 32767"),
        ("temperature.core", "32767", {"invalid": [32767], "scale": 0.1}, "sensor sentinel 32767"),
        ("temperature.core", "--", {"invalid": ["--"]}, "sensor sentinel --"),
        ("temperature.core", None, {}, "the device says null: it has no value now"),
        ("temperature.core", "hot", {}, "it says hot where a number is expected"),
        ("temperature.core", "", {}, "it says  where a number is expected"),
        ("temperature.core", "1_000", {}, "it says 1_000 where a number is expected"),
        ("temperature.core", "180,5", {}, "it says 180,5 where a number is expected"),
        ("temperature.core", "0x10", {}, "it says 0x10 where a number is expected"),
        ("temperature.core", "١", {}, "it says ١ where a number is expected"),
        ("temperature.core", True, {}, "it says true where a number is expected"),
        ("temperature.core", math.nan, {}, "not finite"),
        ("temperature.core", "NaN", {}, "not finite"),
        ("temperature.core", "-Infinity", {}, "not finite"),
        ("temperature.core", "1e999", {}, "not finite"),
        ("temperature.core", 10**400, {}, "not finite"),
        ("temperature.core", 1e308, {"scale": 1e10}, "not finite"),
        ("fan", math.inf, {}, "not finite"),
        ("fan", 10**30, {}, "64 bits"),
        ("temperature.core", {"v": 1}, {}, "there is an object"),
        ("temperature.core", [1], {}, "there is a list"),
        ("door.open", "ajar", {}, "ajar is neither open nor closed"),
        ("status", "x", {"map": {"1": "on", "2": "off"}}, "x is not in the map (1, 2)"),
    ],
)
def test_bad(key: str, raw: Any, spec: dict[str, Any], reason: str) -> None:
    got = _value(key, raw, **spec)
    assert (got.value, got.quality) == (None, Quality.BAD)
    assert reason in (got.reason or "")
    assert len(got.reason or "") < 200


def test_true_is_not_the_sentinel_one() -> None:
    assert _value("door.open", True, invalid=[1]).quality is Quality.GOOD
    assert _value("door.open", 1, invalid=[1]).quality is Quality.BAD


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (-41, "-41 is below the plausible minimum of -40 C"),
        (401, "401 is above the plausible maximum of 400 C"),
    ],
)
def test_out_of_its_range_is_uncertain_and_keeps_its_value(raw: float, reason: str) -> None:
    got = _value("temperature.deck1", raw, min=-40, max=400)
    assert (got.value, got.quality, got.reason) == (raw, Quality.UNCERTAIN, reason)
    assert _value("temperature.deck1", -40, min=-40, max=400).quality is Quality.GOOD
    assert _value("temperature.deck1", 400, min=-40, max=400).quality is Quality.GOOD


@pytest.mark.parametrize("unit", ["F", "°F", "f", "Fahrenheit"])
def test_fahrenheit_becomes_celsius_and_the_original_is_kept(unit: str) -> None:
    got = _value("temperature.core", "356.0", unit=unit, max=400, digits=1)
    assert got == SignalValue(180.0, Quality.GOOD, None, "C", 356.0, "F")
    limited = _value("temperature.core", 401, unit=unit, max=400)
    assert (limited.quality, limited.reason) == (Quality.UNCERTAIN, "401 is above the plausible maximum of 400 F")
    assert limited.value == 205.0


def test_the_devices_unit_counts_where_the_mapping_names_none() -> None:
    assert value_of("temperature.core", 212, SignalSpec(at="x"), temperature_unit="F").value == 100.0
    assert value_of("temperature.core", 100, SignalSpec(at="x", unit="C"), temperature_unit="F").value == 100
    assert value_of("humidity", 50, SignalSpec(at="x"), temperature_unit="F").value == 50


def test_the_raw_value_is_kept_where_it_differs() -> None:
    assert _value("temperature.core", 1805, scale=0.1).raw == 1805
    assert _value("temperature.core", 180.5).raw is None
    assert _value("door.open", "open").raw == "open"
    assert _value("status", "running").raw is None
    assert _value("temperature.core", 32767, invalid=[32767]).raw == 32767


def test_units() -> None:
    assert _value("humidity", 1).unit == "%"
    assert _value("humidity", None).unit == "%"
    assert _value("fan", 1, unit="rpm").unit == "rpm"
    assert _value("fan", 1).unit == ""
    assert _value("temperature.core", None).unit == "C"


def test_a_long_text_is_cut_and_says_so() -> None:
    got = _value("program", "x" * 600)
    assert (len(str(got.value)), got.quality) == (500, Quality.UNCERTAIN)


@given(
    st.sampled_from(["temperature.core", "status", "door.open", "fan", "humidity"]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.lists(st.integers(), max_size=2),
    st.fixed_dictionaries(
        {},
        optional={
            "scale": st.floats(-1e6, 1e6).filter(bool),
            "offset": st.floats(-1e6, 1e6),
            "digits": st.integers(0, 10),
            "invalid": st.lists(st.integers() | st.text(max_size=3) | st.booleans(), max_size=3),
            "min": st.floats(-1e6, 0),
            "max": st.floats(0, 1e6),
            "unit": st.sampled_from(["C", "F"]),
        },
    ),
)
def test_whatever_a_device_says_becomes_a_value_that_can_be_stored(key: str, raw: Any, spec: dict[str, Any]) -> None:
    got = _value(key, raw, **spec)
    assert (got.quality is Quality.GOOD) == (got.reason is None)
    assert (got.value is None) == (got.quality is Quality.BAD)
    stored = orjson.loads(orjson.dumps({"v": got.value, "raw": got.raw, "why": got.reason}))
    assert stored["v"] == got.value, "nothing becomes null on the way"
    if isinstance(got.value, float):
        assert math.isfinite(got.value)


@pytest.mark.parametrize(
    "spec",
    [{}, {"at": ""}, {"at": "x", "scael": 1}, {"at": "x", "scale": 0}, {"at": "x", "scale": math.nan},
     {"at": "x", "min": 2, "max": 1}, {"at": "x", "digits": -1}, {"at": "x", "map": {}}, {"at": "x", "deadband": -1},
     5, None, ["x"]],
)  # fmt: skip
def test_a_mapping_that_cannot_be_meant(spec: Any) -> None:
    with pytest.raises(ValidationError):
        SignalSpec.model_validate(spec)


def test_a_plain_text_is_the_address() -> None:
    assert SignalSpec.model_validate("a.b") == SignalSpec(at="a.b")


def test_the_worst_counts() -> None:
    assert worst([]) is Quality.GOOD
    assert worst([Quality.GOOD, Quality.UNCERTAIN]) is Quality.UNCERTAIN
    assert worst([Quality.BAD, Quality.UNCERTAIN, Quality.GOOD]) is Quality.BAD


_SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.sampled_from([0, 1, 3, 32767, -32768, 32767.0, "32767", "open", "baking", "", None]),
)
_SPECS = st.fixed_dictionaries(
    {},
    optional={
        "unit": st.sampled_from(["C", "F", "kWh"]),
        "scale": st.sampled_from([0.1, 2.0, -1.0]),
        "offset": st.sampled_from([-40.0, 0.0, 1.5]),
        "digits": st.integers(0, 3),
        "map": st.just({"3": "baking", "1": 7, "true": "on"}),
        "invalid": st.sampled_from([[32767], ["32767", -32768], [True], ["open"]]),
        "min": st.just(-40.0),
        "max": st.just(400.0),
    },
)
_KEYS = st.sampled_from(["temperature.deck1", "door.open", "status", "energy.kwh", "fan"])


@given(_KEYS, st.lists(_SCALARS, min_size=1, max_size=4), _SPECS, st.sampled_from(["C", "F"]))
def test_the_short_way_leads_to_the_same_place(key: str, raws: list[Any], spec: dict[str, Any], unit: str) -> None:
    mapped = SignalSpec(at="x", **spec)
    read = reader(key, mapped, temperature_unit=unit)
    for raw in (*raws, *raws):
        assert repr(read(raw)) == repr(value_of(key, raw, mapped, temperature_unit=unit))
