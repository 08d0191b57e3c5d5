"""What is wrong in a configuration is found before anything is sent, and named by its field."""

from __future__ import annotations

from typing import Any

import pytest

from shared.connectors import BaseIoTConnector, Connector, ConnectorFactory
from shared.connectors.profiles import profile_of, profiles
from shared.errors import InvalidInput, UnsafeTarget
from shared.outgoing.targets import TargetPolicy

ENDPOINT = "https://api.equipment.example"
SECRET = "hunter2-very-secret"


def _config(**parts: Any) -> dict[str, Any]:
    return {"endpoint": ENDPOINT, **parts}


def _options(**options: Any) -> dict[str, Any]:
    return _config(additional_config=options)


def _credentials(**credentials: Any) -> dict[str, Any]:
    return _config(credentials=credentials)


@pytest.mark.parametrize(
    "config",
    [
        _config(),
        _config(port=443, credentials=None, additional_config=None, protocol="rest_api"),
        _config(
            port=443,
            credentials={"api_key": "your-api-key", "token": "bearer-token"},
            additional_config={
                "data_endpoint": "/api/v1/equipment/{equipment_id}/data",
                "status_endpoint": "/api/v1/equipment/{equipment_id}/status",
                "timeout": 10,
                "verify_ssl": True,
            },
        ),
        _options(unit_id="12345", data_endpoint="/u/{unit_id}", deck_count=3),
        _options(path="/api/units/{unit}", unit=42, timestampAt="updatedAt"),
        _options(signals={"temperature": "a", "temperature.core": {"at": "units[id={unit}].t"}}, unit="u"),
        _credentials(username="a@b.example", password="p:w"),
        _credentials(tokenUrl="/oauth/token", clientId="c", clientSecret="s", clientAuth="body", scope="a b"),
        _credentials(token_url="https://id.example/token", client_id="c", client_secret="s", extra={"audience": "x"}),
        _credentials(api_key="k", api_key_header="Ocp-Apim-Subscription-Key", token=""),
    ],
)
def test_accepted(config: dict[str, Any]) -> None:
    ConnectorFactory.check("rest_api", config)


@pytest.mark.parametrize(
    ("config", "field", "says"),
    [
        ({}, "endpoint", "required"),
        ({"endpoint": 5}, "endpoint", "string"),
        ({"endpoint": "10.0.0.5"}, "endpoint", "no full URL"),
        ({"endpoint": "ftp://oven"}, "endpoint", "https:// or http://"),
        ({"endpoint": f"https://user:{SECRET}@oven"}, "endpoint", "credentials"),
        (_config(port=0), "port", "greater than or equal to 1"),
        (_config(port=70_000), "port", "65535"),
        (_config(port="x"), "port", "integer"),
        ({"endpoint": "https://oven:8443", "port": 443}, "port", "contradicts the port 8443"),
        (_config(prot=1), "prot", "not known"),
        (_config(additional_config=[]), "additional_config", "dictionary"),
        (_config(credentials="x"), "credentials", "valid"),
        (_options(timeout=0), "additional_config.timeout", "0.1"),
        (_options(timeout=61), "additional_config.timeout", "60"),
        (_options(timeout="soon"), "additional_config.timeout", "number"),
        (_options(time_out=5), "additional_config.time_out", "did you mean timeout"),
        (_options(verify_sll=False), "additional_config.verify_sll", "did you mean verify_ssl"),
        (_options(zones=[1, 2]), "additional_config.zones", "single values"),
        (_options(method="POST"), "additional_config.method", "GET"),
        (_options(temperature_unit="K"), "additional_config.temperature_unit", "'C' or 'F'"),
        (_options(data_endpoint="https://other.example/x"), "additional_config.data_endpoint", "path only"),
        (_options(data_endpoint="//other.example/x"), "additional_config.data_endpoint", "path only"),
        (_options(data_endpoint="/a b"), "additional_config.data_endpoint", "percent-encode"),
        (_options(data_endpoint="/a\r\nX: y"), "additional_config.data_endpoint", "percent-encode"),
        (_options(data_endpoint="/x/{serial}"), "additional_config.data_endpoint", "{serial}, which has no value"),
        (_options(status_endpoint="/x/{unit}"), "additional_config.status_endpoint", "give unit in additional_config"),
        (_options(data_endpoint="/x/{unit}", unit=".."), "additional_config.data_endpoint", "would change the path"),
        (_options(path="/a", data_endpoint="/b"), "additional_config", "two names of one thing"),
        (_options(headers={"Authorization": SECRET}), "additional_config.headers", "go into credentials"),
        (_options(headers={"cookie": SECRET}), "additional_config.headers", "go into credentials"),
        (_options(headers={"Host": "x"}), "additional_config.headers", "cannot be set here"),
        (_options(headers={"X-A": "a\r\nb"}), "additional_config.headers", "cannot stand in a header"),
        (_options(headers={"X A": "a"}), "additional_config.headers", "letters, digits and hyphens"),
        (_options(ca_certificate="nonsense"), "additional_config.ca_certificate", "BEGIN CERTIFICATE"),
        (_options(ca_certificate="x", verify_ssl=False), "additional_config", "no effect"),
        (_options(timestamp_at="a..b"), "additional_config.timestamp_at", "units[id=42]"),
        (_options(timestamp_at="a.{serial}"), "additional_config.timestamp_at", "{serial}"),
        (_options(signals={}), "additional_config.signals", "at least 1"),
        (_options(signals="x"), "additional_config.signals", "write an object"),
        (_options(signals={"Temp": "x"}), "additional_config.signals", "temperature.deck1"),
        (_options(signals={"a..b": "x"}), "additional_config.signals", "no signal key"),
        (_options(signals={"temperature": "x", "temperature.cabinet": "y"}), "additional_config.signals", "keep one"),
        (_options(signals={"a.b": "x["}), "additional_config.signals['a.b'].at", "['odd key']"),
        (_options(signals={"a": {"at": "x..y"}}), "additional_config.signals.a.at", "a name is missing at character 3"),
        (_options(signals={"a.b": {"at": "x{serial}"}}), "additional_config.signals['a.b'].at", "{serial}"),
        (_options(signals={"a.b": {"att": "x"}}), "additional_config.signals['a.b'].at", "required"),
        (_options(signals={"a.b": {"at": "x", "scael": 2}}), "additional_config.signals['a.b'].scael", "not known"),
        (
            _options(signals={"a.b": {"at": "x", "min": 2, "max": 1}}),
            "additional_config.signals['a.b']",
            "min is above",
        ),
        (
            _options(signals={"temperature.core": {"at": "x", "unit": "K"}}),
            "additional_config.signals['temperature.core'].unit",
            "C or F",
        ),
        (_options(signals={f"s{n}": "x" for n in range(201)}), "additional_config.signals", "200"),
        (_credentials(password=SECRET), "credentials", "without username"),
        (_credentials(username="a:b", password=SECRET), "credentials", "colon"),
        (_credentials(token=SECRET, username="a"), "credentials", "exclude each other"),
        (_credentials(token=SECRET + "\n"), "credentials.token", "line break"),
        (_credentials(api_key=SECRET + "ä"), "credentials.api_key", "cannot stand in a header"),
        (_credentials(api_key=[SECRET]), "credentials.api_key", "string"),
        (_credentials(api_key=SECRET, api_key_header="X Key"), "credentials.api_key_header", "pattern"),
        (_credentials(client_id="c", client_secret=SECRET), "credentials", "token_url, client_id and client_secret"),
        (
            _credentials(token_url="ftp://id/x", client_id="c", client_secret=SECRET),
            "credentials.token_url",
            "https:// or http://",
        ),
        (_credentials(passwort=SECRET), "credentials.passwort", "not known"),
        ({"endpoint": "https://oven/x?key=1", "additional_config": {"data_endpoint": "/y"}}, "endpoint", "query"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused(config: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ConnectorFactory.check("rest_api", config)
    assert refused.value.problems[0].field == field
    assert says in refused.value.detail
    assert SECRET not in repr(refused.value) + refused.value.detail + repr(refused.value.problems)
    assert refused.value.__cause__ is None or SECRET not in str(refused.value.__cause__)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        ConnectorFactory.check("rest_api", {"endpoint": "https://x", "port": 0, "additional_config": {"timeout": 0}})
    assert {p.field for p in refused.value.problems} == {"port", "additional_config.timeout"}


@pytest.mark.parametrize(
    "endpoint", ["http://169.254.169.254/x", "http://[::ffff:a9fe:a9fe]/", "http://168.63.129.16/"]
)
def test_unsafe_addresses_whatever_the_house_allows(endpoint: str) -> None:
    with pytest.raises(UnsafeTarget) as refused:
        ConnectorFactory.check("rest_api", {"endpoint": endpoint})
    assert refused.value.problems[0].field == "endpoint"
    with pytest.raises(UnsafeTarget) as refused:
        ConnectorFactory.check("rest_api", _credentials(token_url=endpoint, client_id="c", client_secret="s"))
    assert refused.value.problems[0].field == "credentials.token_url"


def test_the_policy_of_the_house_is_held() -> None:
    strict = TargetPolicy(allow_private=False, allow_http=False)
    for endpoint in ("https://10.0.0.5/", "http://oven.example/"):
        ConnectorFactory.check("rest_api", {"endpoint": endpoint})
        with pytest.raises(UnsafeTarget):
            ConnectorFactory.check("rest_api", {"endpoint": endpoint}, targets=strict)


# Protocol names --------------------------------------------------------------------------------------------------

GUIDE = {
    "endpoint": "https://www.connectedcooking.com/api/v1",
    "port": 443,
    "credentials": {"username": "bakery@example.com", "password": "secure-password"},
    "additional_config": {"unit_id": "12345", "timeout": 15, "oven_id": "s", "deck_count": 3},
}


def test_the_names_that_can_be_read_today() -> None:
    readable = ConnectorFactory.protocols()
    assert readable == tuple(sorted(readable))
    assert set(readable) >= {
        "custom",
        "rational",
        "rational_connected_cooking",
        "rest_api",
        "wachtel",
        "wachtel_remote",
        "opc_ua",
        "opc30200-combi",
        "opc30200-oven",
        "ws-bake",
    }


@pytest.mark.parametrize("name", ["wachtel", "wachtel_remote"])
async def test_the_guides_vendor_configuration_is_accepted(name: str) -> None:
    ConnectorFactory.check(name, GUIDE)
    connector = ConnectorFactory.create_connector(protocol=name, equipment_id="equipment-uuid", config=GUIDE)
    assert isinstance(connector, Connector)
    assert Connector is BaseIoTConnector
    profile = profile_of(name)
    assert profile is not None
    assert not profile.verified
    tested = await connector.test_connection()
    assert (tested.success, tested.status) == (False, "not_supported")
    assert tested.error_details == profile.cannot_read_because
    reading = await connector.get_current_reading()
    assert (reading.quality, reading.error_code, reading.reason) == ("bad", "not_supported", tested.error_details)
    assert not (await connector.get_capabilities()).supports_realtime
    await connector.close()


def test_a_name_whose_reader_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.connectors.factory._exists", lambda connector: connector != "mqtt")
    with pytest.raises(InvalidInput, match=r"reader of MQTT.* is not part of this installation\. It") as refused:
        ConnectorFactory.check("mqtt", GUIDE)
    assert refused.value.problems[0].field == "protocol"
    with pytest.raises(InvalidInput):
        ConnectorFactory.create_connector("mqtt", "e", GUIDE)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="rest_api") as refused:
        ConnectorFactory.check("zigbee", GUIDE)
    assert refused.value.problems[0].field == "protocol"


def test_custom_is_a_mapping_and_nothing_else() -> None:
    with pytest.raises(InvalidInput) as refused:
        ConnectorFactory.check("custom", _config())
    assert refused.value.problems[0].field == "additional_config.signals"
    ConnectorFactory.check("custom", _options(signals={"temperature.cabinet": "t"}))


def test_every_profile_is_complete() -> None:
    for name, profile in profiles().items():
        assert name in profile.names
        assert bool(profile.cannot_read_without) == bool(profile.cannot_read_because)
        assert profile.verified or profile.note, f"{name} says what is not known"
