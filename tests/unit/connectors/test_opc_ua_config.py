"""The configuration of an OPC UA device: what is accepted, and how every mistake is named."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from shared.connectors import ConnectorFactory
from shared.connectors.opc_ua_plan import OpcUaPlan, plan
from shared.connectors.profiles import profile_of
from shared.errors import InvalidInput, UnsafeTarget
from shared.outgoing.targets import TargetPolicy
from tests.peers.certificates import user_pair

OPEN = TargetPolicy(allow_private=True, allow_http=True)


def planned(protocol: str = "opc_ua", endpoint: str = "opc.tcp://10.0.0.5:4841/Server", **given: Any) -> OpcUaPlan:
    profile = profile_of(protocol)
    assert profile is not None
    credentials, port = given.pop("credentials", {}), given.pop("port", None)
    config = {"endpoint": endpoint, "port": port, "credentials": credentials, "additional_config": given}
    return plan(config, profile, "oven-1", OPEN)


def test_secure_by_default() -> None:
    made = planned()
    assert (made.policy, made.mode, made.pins, made.allow_plain_password) == (
        "Basic256Sha256",
        "SignAndEncrypt",
        (),
        False,
    )
    assert (made.url, made.where) == ("opc.tcp://10.0.0.5:4841/Server", "10.0.0.5:4841")


@pytest.mark.parametrize(
    ("endpoint", "port", "url"),
    [
        ("10.0.0.5", None, "opc.tcp://10.0.0.5:4840"),
        ("oven.example", 4900, "opc.tcp://oven.example:4900"),
        ("opc.tcp://oven.example/a/b", None, "opc.tcp://oven.example:4840/a/b"),
        ("opc.tcp://[fd00::5]/", 4841, "opc.tcp://[fd00::5]:4841/"),
    ],
)
def test_the_port_always_stands_in_the_url(endpoint: str, port: int | None, url: str) -> None:
    assert planned(endpoint=endpoint, port=port).url == url


@pytest.mark.parametrize(
    "word",
    [
        "Aes128Sha256RsaOaep",
        "Aes128_Sha256_RsaOaep",
        "http://opcfoundation.org/UA/SecurityPolicy#Aes128_Sha256_RsaOaep",
    ],
)
def test_a_policy_by_any_of_its_names(word: str) -> None:
    assert planned(security_policy=word).policy == "Aes128Sha256RsaOaep"


def test_one_mapping_for_many_machines() -> None:
    made = planned(signals={"temperature": "nsu=http://v/;s={line}.{unit}.{id}"}, unit="Oven3", line=7)
    assert made.signals is not None
    assert (made.signals[0].key, str(made.signals[0].node)) == ("temperature.cabinet", "nsu=http://v/;s=7.Oven3.oven-1")


SIGNALS = "additional_config.signals"
USER = {"username": "u", "password": "p"}
SIGNAL = {"temperature.core": "nsu=http://v/;s=T"}


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"signals": {"temperature.core": "data.temp"}}, "additional_config.signals['temperature.core'].at", "nsu="),
        ({"signals": {"a": "i={x}"}}, "additional_config.signals['a'].at", "{x}"),
        ({"signals": {"a": "i={unit}"}, "unit": "x"}, "additional_config.signals['a'].at", "no number"),
        ({"signals": {"temperature.a": {"at": "i=1", "unit": "K"}}}, SIGNALS + "['temperature.a'].unit", "C or F"),
        ({"security_policy": "Basic256"}, "additional_config.security_policy", "withdrawn"),
        ({"security_policy": "Best"}, "additional_config.security_policy", "Basic256Sha256"),
        ({"security_mode": "Encrypt"}, "additional_config.security_mode", "SignAndEncrypt"),
        ({"server_cert": "aa:bb"}, "additional_config.server_cert", "no certificate"),
        ({"server_cert": "ab" * 20}, "additional_config.server_cert", "SHA-1"),
        ({"server_cert": []}, "additional_config.server_cert", "at least 1"),
        ({"device": "Oven"}, "additional_config.device", "nsu="),
        ({"timeout": 0.1}, "additional_config.timeout", "0.5"),
        ({"securty_policy": "None"}, "additional_config.securty_policy", "did you mean security_policy"),
        ({"nested": {"a": 1}}, "additional_config.nested", "single values"),
        ({"credentials": {"password": "p"}}, "credentials", "without username"),
        ({"credentials": {"username": "u", "token": "x"}}, "credentials.token", "not known here"),
        ({"credentials": {"user_certificate": "x"}}, "credentials", "belong together"),
        ({"security_policy": "None", "credentials": USER}, "additional_config.security_policy", "sends the password"),
        ({"endpoint": "https://10.0.0.5"}, "endpoint", "opc.tcp://"),
        ({"endpoint": "opc.tcp://u:p@10.0.0.5"}, "endpoint", "credentials"),
        ({"port": 4842}, "port", "contradicts"),
    ],
)  # fmt: skip
def test_every_mistake_is_named(given: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        planned(**given)
    assert [problem.field for problem in refused.value.problems] == [field]
    assert said in refused.value.detail


def test_a_user_certificate_and_its_key() -> None:
    certificate, key = user_pair("anna")
    other = user_pair("bert")[1]
    planned(credentials={"user_certificate": certificate, "user_private_key": key})
    with pytest.raises(InvalidInput, match="does not belong to") as refused:
        planned(credentials={"user_certificate": certificate, "user_private_key": other})
    assert "PRIVATE" not in refused.value.detail
    with pytest.raises(InvalidInput, match="cannot be read"):
        planned(credentials={"user_certificate": certificate, "user_private_key": key[:200]})
    with pytest.raises(InvalidInput, match="no certificate"):
        planned(credentials={"user_certificate": key, "user_private_key": key})


def test_a_pin_in_every_form_is_the_same() -> None:
    pem, _ = user_pair("anna")
    der = "".join(line for line in pem.splitlines() if "-----" not in line)
    fingerprint = planned(server_cert=pem).pins[0].fingerprint
    spelled = ":".join(fingerprint[i : i + 2].upper() for i in range(0, 64, 2))
    forms = [pem, der, fingerprint, spelled, f"sha256:{fingerprint}", f"SHA-256: {spelled}", f" {fingerprint}\n"]
    pins = planned(server_cert=forms[:4]).pins + planned(server_cert=forms[4:]).pins
    assert {pin.fingerprint for pin in pins} == {fingerprint}
    assert pins[0].der == base64.b64decode(der)


def test_private_addresses_where_they_are_not_allowed() -> None:
    strict = TargetPolicy(allow_private=False, allow_http=False)
    for endpoint in ("opc.tcp://10.0.0.5", "10.0.0.5", "opc.tcp://localhost"):
        with pytest.raises(UnsafeTarget):
            ConnectorFactory.check("opc_ua", {"endpoint": endpoint}, targets=strict)
    with pytest.raises(UnsafeTarget):
        ConnectorFactory.check("opc_ua", {"endpoint": "opc.tcp://169.254.169.254"})


def test_ws_bake_is_nothing_without_a_mapping() -> None:
    with pytest.raises(InvalidInput, match="knows no nodes by itself"):
        planned("ws-bake")
    planned("ws-bake", signals=SIGNAL)


def test_the_plan_shows_no_secret() -> None:
    made = planned(credentials={"username": "ursula", "password": "geheim"})
    assert "geheim" not in repr(made)
    assert "ursula" not in repr(made)
