"""The configuration of an MQTT device: what is accepted, and what is said of what is not."""

from __future__ import annotations

from typing import Any

import pytest

from shared.connectors import ConnectorFactory
from shared.connectors.mqtt_plan import MqttPlan, plan
from shared.connectors.profiles import profile_of
from shared.errors import InvalidInput, UnsafeTarget
from shared.outgoing.targets import TargetPolicy
from tests.api import Api
from tests.peers.broker_certificates import broker_certificates

SIGNALS = {"temperature.deck1": {"at": "temp.deck1", "unit": "C"}, "door.open": "door"}
CA = broker_certificates()[0]


def config(endpoint: str = "mqtts://10.0.0.2:8883", **options: Any) -> dict[str, Any]:
    given = {"path": "bakery/oven/{unit}/telemetry", "unit": 7, "signals": SIGNALS} | options
    return {"endpoint": endpoint, "credentials": {}, "additional_config": given}


def planned(given: dict[str, Any], equipment_id: str = "oven-1") -> MqttPlan:
    profile = profile_of("mqtt")
    assert profile is not None
    return plan(given, profile, equipment_id, TargetPolicy(allow_private=True, allow_http=True))


def test_a_whole_one() -> None:
    found = planned(config() | {"credentials": {"username": "relay", "password": "secret"}})
    assert (found.host, found.port, found.tls, found.where) == ("10.0.0.2", 8883, True, "10.0.0.2:8883")
    assert found.filters == found.paths == ("bakery/oven/7/telemetry",)
    assert found.session_expiry == 259_200
    assert "secret" not in repr(found)
    assert found.client_id.startswith("ovenbridge-oven-1-")


@pytest.mark.parametrize(
    ("endpoint", "port", "expected"),
    [
        ("mqtt://broker.plant", None, ("broker.plant", 1883, False)),
        ("mqtts://broker.plant", None, ("broker.plant", 8883, True)),
        ("broker.plant", None, ("broker.plant", 1883, False)),
        ("broker.plant", 2883, ("broker.plant", 2883, False)),
        ("mqtts://10.0.0.2/", 9883, ("10.0.0.2", 9883, True)),
        ("mqtt://[fd12::2]:1999", None, ("fd12::2", 1999, False)),
    ],
)
def test_where_the_broker_is(endpoint: str, port: int | None, expected: tuple[str, int, bool]) -> None:
    found = planned(config(endpoint) | {"port": port})
    assert (found.host, found.port, found.tls) == expected


def test_topics_of_the_signals_are_subscribed_to_beside_the_path() -> None:
    signals = {"temperature.deck1": "@oven/{unit}/temp", "door.open": "@oven/{unit}/door open", "status": "state"}
    found = planned(config(signals=signals, path=["oven/{unit}/state", "oven/{unit}/door"]))
    assert found.paths == ("oven/7/state", "oven/7/door")
    assert found.filters == ("oven/7/state", "oven/7/door", "oven/7/temp")
    alone = planned(config(signals={"temperature.deck1": "@oven/{unit}/temp"}, path=[]))
    assert (alone.paths, alone.filters) == ((), ("oven/7/temp",))


def test_a_session_is_named_after_the_device_and_its_topics() -> None:
    one = planned(config()).client_id
    assert one == planned(config(timeout=3)).client_id, "and stays the same whatever else changes"
    assert one != planned(config(), "oven-2").client_id
    assert one != planned(config(unit=8)).client_id, "a session never forgets what it once subscribed to"
    assert planned(config(client_id="plant-{unit}-{id}")).client_id == "plant-7-oven-1"


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        (config("https://10.0.0.2"), "endpoint", "use mqtt:// or mqtts://"),
        (config("mqtt://10.0.0.2/bakery/oven"), "endpoint", "the topic stands in additional_config.path"),
        (config("mqtt://u:p@10.0.0.2"), "endpoint", "credentials"),
        (config("mqtt://10.0.0.2:1883") | {"port": 1884}, "port", "contradicts"),
        (config(path=[]), "additional_config.path", "topic of the device's messages"),
        (config(path="a/#/b"), "additional_config.path", "# stands alone"),
        (config(path="#"), "additional_config.path", "everything"),
        (config(path="oven/{line}"), "additional_config.path", "{line}, which has no value"),
        (config(path=["ok", "oven/{line}"]), "additional_config.path[1]", "{line}, which has no value"),
        (config(unit="a/b"), "additional_config.path", "one level"),
        (config(client_id="x{line}"), "additional_config.client_id", "{line}"),
        (config(signals={"door.open": "a..b"}), "additional_config.signals['door.open'].at", "or $"),
        (config(signals={"door.open": "@a/b# x"}), "additional_config.signals['door.open'].at", "# stands alone"),
        (config(signals={"door.open": "{line}.x"}), "additional_config.signals['door.open'].at", "{line}"),
        (config(signals={"temperature.core": {"at": "t", "unit": "K"}}),
         "additional_config.signals['temperature.core'].unit", "C or F"),
        (config(signals={"temperature.core": {"at": "t", "writable": True}}),
         "additional_config.signals['temperature.core'].writable", "only read"),
        (config(timestamp_at="a..b"), "additional_config.timestamp_at", "write a.b"),
        (config(session_expiry=5), "additional_config.session_expiry", "60"),
        (config(timeout=0), "additional_config.timeout", "0.5"),
        (config(sesion_expiry=600), "additional_config.sesion_expiry", "session_expiry"),
        (config(nested={"a": 1}), "additional_config.nested", "single values"),
        (config(verify_ssl=False, ca_certificate=CA), "additional_config", "no effect"),
        (config(ca_certificate="no PEM"), "additional_config.ca_certificate", "PEM"),
        (config("mqtt://10.0.0.2", ca_certificate=CA), "additional_config.ca_certificate", "mqtts://"),
        (config("mqtt://10.0.0.2") | {"credentials": {"username": "u", "password": "p"}}, "endpoint", "in the clear"),
        (config() | {"credentials": {"password": "p"}}, "credentials", "without username"),
        (config() | {"credentials": {"token": "p"}}, "credentials.token", "not known"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(given: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ConnectorFactory.check("mqtt", given)
    assert words in refused.value.detail
    assert refused.value.problems[0].field == field


def test_a_password_in_the_clear_has_to_be_allowed() -> None:
    given = config("mqtt://10.0.0.2", allow_plain_password=True) | {"credentials": {"username": "u", "password": "p"}}
    ConnectorFactory.check("mqtt", given)
    ConnectorFactory.check("mqtt", config() | {"credentials": {"username": "u", "password": "p"}})


@pytest.mark.parametrize("endpoint", ["mqtt://169.254.169.254", "mqtts://168.63.129.16", "169.254.1.1"])
def test_unsafe_addresses(endpoint: str) -> None:
    with pytest.raises(UnsafeTarget):
        ConnectorFactory.check("mqtt", config(endpoint))


def test_the_policy_of_the_house_is_held() -> None:
    with pytest.raises(UnsafeTarget, match="relay in the plant"):
        ConnectorFactory.check("mqtt", config(), targets=TargetPolicy(allow_private=False, allow_http=False))


async def test_it_can_be_saved(api: Api) -> None:
    body = {
        "name": "Proofer 4",
        "iot_protocol": "mqtt",
        "iot_endpoint": "mqtts://10.0.0.2:8883",
        "iot_credentials": {"username": "relay", "password": "secret"},
        "iot_config": {"path": "bakery/proofer/{unit}", "unit": 4, "timestamp_at": "ts", "signals": SIGNALS},
    }
    answer = await api.post("/api/v1/equipment", json=body)
    assert answer.status == 201, answer.body
    assert b"secret" not in answer.body
    shown = answer.json()["data"] if "data" in answer.json() else answer.json()
    assert shown["iot_protocol"] == "mqtt"
    refused = await api.post("/api/v1/equipment", json=body | {"iot_config": {"path": "a/#/b"}})
    assert refused.status == 400
    assert b"iot_config.path" in refused.body
