"""What is pure in this room: documents, merge patches, addresses, words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import json_text
from shared.equipment.addresses import address_of
from shared.equipment.changes import changed, created, difference, replaced, shown
from shared.equipment.checks import GUIDE, RESOURCE
from shared.equipment.forms import EquipmentChange, NewEquipment
from shared.equipment.model import Equipment
from shared.errors import InvalidInput

NOON = datetime(2026, 11, 21, 10, tzinfo=UTC)

texts = st.none() | st.text("abc äß", min_size=1, max_size=5).map(str.strip).filter(bool)
plain = st.recursive(
    st.integers(-(2**53), 2**53) | st.booleans() | texts.filter(bool),
    lambda v: st.dictionaries(st.sampled_from("abc"), v),
    max_leaves=5,
)
configs = st.dictionaries(st.sampled_from("abcd"), plain, max_size=4)
fields = st.fixed_dictionaries(
    {},
    optional={
        "site": texts,
        "manufacturer": texts,
        "profile": texts,
        "iot_port": st.none() | st.integers(1, 65535),
        "iot_config": st.none() | configs,
        "supports_humidity": st.none() | st.booleans(),
        "poll_interval_seconds": st.none() | st.integers(10, 86400),
        "temperature_zones": st.none() | st.integers(0, 12),
    },
)


def machine(given: dict[str, Any]) -> Equipment:
    return created(NewEquipment(name="Oven", **given), "oven-1", NOON)


@given(fields)
def test_a_machine_comes_back_from_its_document(given: dict[str, Any]) -> None:
    one = machine(given | {"iot_protocol": "rest_api"})
    assert Equipment.from_document(json_text.load(json_text.dump(one.to_document()))) == one


@given(fields, fields)
def test_a_patch_touches_only_what_it_names(given: dict[str, Any], patch: dict[str, Any]) -> None:
    before = machine(given)
    later = NOON + timedelta(seconds=1)
    after = changed(before, EquipmentChange(**patch), later)
    old, new = shown(before), shown(after)
    assert {k for k in old if old[k] != new[k]} <= patch.keys() | {"updated_at"}
    assert after.updated_at == later
    assert changed(after, EquipmentChange(**patch), later) == after, "twice is the same as once"


@given(fields)
def test_a_patch_of_everything_makes_the_machine(given: dict[str, Any]) -> None:
    wanted = machine(given)
    assert replaced(machine({"site": "x", "iot_config": {"z": 1}}), NewEquipment(name="Oven", **given), NOON) == wanted
    assert changed(machine({}), EquipmentChange(**given), NOON) == wanted


@given(configs, configs)
def test_merging_is_rfc_7396(target: dict[str, Any], patch: dict[str, Any]) -> None:
    before = machine({"iot_config": target})
    merged = shown(changed(before, EquipmentChange(iot_config=patch), NOON))["iot_config"]
    for key, value in patch.items():
        if not isinstance(value, dict):
            assert merged[key] == value
    for key in target.keys() - patch.keys():
        assert merged[key] == target[key]


def test_null_in_a_nested_patch_removes() -> None:
    before = machine({"iot_config": {"signals": {"a": "x", "b": "y"}, "timeout": 5}})
    patch = EquipmentChange(iot_config={"signals": {"a": None, "c": "z"}, "timeout": None})
    assert changed(before, patch, NOON).iot_config == {"signals": {"b": "y", "c": "z"}}


@given(fields, fields)
def test_the_audit_says_what_changed_and_no_more(one: dict[str, Any], other: dict[str, Any]) -> None:
    before, after = machine(one), machine(other)
    old, new = difference(before, after, credentials_changed=False)
    assert old is not None
    assert new is not None
    assert old.keys() == new.keys()
    assert all(old[name] != new[name] for name in old)
    assert not {"created_at", "updated_at"} & old.keys()


@pytest.mark.parametrize(
    ("protocol", "endpoint", "port", "expected"),
    [
        ("rest_api", "https://Oven.Example.com/api/v1?x=1", None, "https://oven.example.com"),
        ("rest_api", "https://oven.example.com", 443, "https://oven.example.com"),
        ("rest_api", "https://oven.example.com", 8443, "https://oven.example.com:8443"),
        ("rest_api", "http://[2001:DB8::1]/", 8080, "http://[2001:db8::1]:8080"),
        ("rational", "https://www.connectedcooking.com/api/v1", 443, "https://www.connectedcooking.com"),
        ("opc_ua", "10.0.0.5", None, "opc.tcp://10.0.0.5"),
        ("opc_ua", "opc.tcp://10.0.0.5:4841", None, "opc.tcp://10.0.0.5:4841"),
        ("modbus", "10.0.0.9", 503, "modbus+tcp://10.0.0.9:503"),
        ("modbus", "/dev/ttyUSB0", None, "modbus+rtu:///dev/ttyUSB0"),
        ("modbus", "modbus+rtu:///dev/ttyUSB0?baud=9600", None, "modbus+rtu:///dev/ttyUSB0"),
        ("salva", "10.0.0.9", None, "modbus+tcp://10.0.0.9"),
        ("mqtt", "mqtts://broker", None, "mqtts://broker"),
    ],
)
def test_addresses_are_one_origin(protocol: str, endpoint: str, port: int | None, expected: str) -> None:
    assert address_of(protocol, endpoint, port, field="endpoint").url == expected


@pytest.mark.parametrize(("protocol", "endpoint"), [("rest_api", "10.0.0.5"), ("opc_ua", "https://x"), ("mqtt", "")])
def test_an_address_of_another_kind_is_none(protocol: str, endpoint: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        address_of(protocol, endpoint, None, field="iot_endpoint")
    assert refused.value.problems[0].field == "iot_endpoint"


def test_fields_are_named_as_the_caller_wrote_them() -> None:
    assert RESOURCE.of("additional_config.signals['x'].at") == "iot_config.signals['x'].at"
    assert RESOURCE.of("credentials") == "iot_credentials"
    assert RESOURCE.of("something_else.x") == "something_else.x"
    assert GUIDE.of("additional_config.timeout") == "additional_config.timeout"


def test_credentials_do_not_show_in_a_form() -> None:
    form = NewEquipment(name="x", iot_credentials={"password": "hidden-thing"})
    assert "hidden-thing" not in repr(form)
    with pytest.raises(ValueError, match="iot_credentials") as refused:
        NewEquipment.model_validate({"name": "x", "iot_credentials": "hidden-thing"})
    assert "hidden-thing" not in str(refused.value)
