"""Settings that name Azure services: what is complete, what is half set, and that nothing leaks."""

from __future__ import annotations

import pytest

from shared.azure_connections import AzureConnections
from shared.errors import Unavailable
from shared.settings import Settings

COMPLETE = {
    "CosmosConnection__accountEndpoint": "https://x.documents.azure.com:443/",
    "CosmosConnection__credential": "managedidentity",
    "CosmosConnection__clientId": "11111111-2222-3333-4444-555555555555",
    "ServiceBusConnection__fullyQualifiedNamespace": "x.servicebus.windows.net",
    "KEY_VAULT_URI": "https://x.vault.azure.net/",
}


def test_nothing_set_means_everything_is_embedded() -> None:
    found = AzureConnections.from_environment({"PATH": "/bin", "ServiceBusConnection": " "})
    connections = (found.cosmos, found.service_bus, found.key_vault, found.anchors)
    assert [c.setting for c in connections if c.wanted] == []


def test_complete_settings_are_usable_whatever_the_case_of_their_names() -> None:
    for environment in (COMPLETE, {name.upper(): value for name, value in COMPLETE.items()}):
        found = Settings.from_environment(environment).azure
        assert found.cosmos.require().address == "https://x.documents.azure.com:443/"
        assert found.cosmos.client_id.startswith("1111")
        assert found.service_bus.require().address == "x.servicebus.windows.net"
        assert found.key_vault.require().address == "https://x.vault.azure.net/"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"CosmosConnection__clientId": "x"}, "CosmosConnection__accountEndpoint"),
        (COMPLETE | {"CosmosConnection__clientId": ""}, "CosmosConnection__clientId"),
        (COMPLETE | {"CosmosConnection__credential": "secret-word"}, "CosmosConnection__credential"),
        (COMPLETE | {"CosmosConnection": "AccountEndpoint=https://x/;AccountKey=secret-word"}, "both set"),
        ({"CosmosConnection": "secret-word"}, "no connection string"),
    ],
)
def test_half_set_is_wanted_names_the_setting_and_shows_no_value(environment: dict[str, str], named: str) -> None:
    found = Settings.from_environment(environment).azure.cosmos
    assert found.wanted
    with pytest.raises(Unavailable) as refused:
        found.require()
    assert named in refused.value.detail
    assert "secret-word" not in refused.value.detail + repr(found).replace("credential", "")


def test_a_vault_without_https_is_refused() -> None:
    found = Settings.from_environment({"KEY_VAULT_URI": "http://x"}).azure.key_vault
    with pytest.raises(Unavailable, match="KEY_VAULT_URI"):
        found.require()


@pytest.mark.parametrize(
    "uri",
    [
        "kv",
        "https://",
        "https:///",
        "https://kv oven.vault.azure.net/",
        "https://kv.vault.azure.net/secrets/word",
        "https://user:word@kv.vault.azure.net/",
        "https://kv.vault.azure.net/?word=1",
        "https://kv.vault.azure.net:word/",
        "//kv.vault.azure.net",
    ],
)
def test_what_is_no_address_of_a_vault(uri: str) -> None:
    found = Settings.from_environment({"KEY_VAULT_URI": uri}).azure.key_vault
    assert found.wanted
    with pytest.raises(Unavailable, match=r"KEY_VAULT_URI.*<vault>\.vault\.azure\.net") as refused:
        found.require()
    assert "word" not in refused.value.detail
    assert refused.value.advice == refused.value.detail


@pytest.mark.parametrize("uri", ["https://kv.vault.azure.net", "https://127.0.0.1:8443/", "https://[::1]:8443/"])
def test_addresses_of_vaults(uri: str) -> None:
    assert Settings.from_environment({"KEY_VAULT_URI": uri}).azure.key_vault.require().address == uri


IN_AZURE = {"WEBSITE_HOSTNAME": "oven.azurewebsites.net", "WEBSITE_INSTANCE_ID": "4f"}


@pytest.mark.parametrize("platform", [{name: value} for name, value in IN_AZURE.items()], ids=lambda p: next(iter(p)))
def test_in_azure_what_is_missing_is_wanted_and_named(platform: dict[str, str]) -> None:
    found = AzureConnections.from_environment(platform)
    for connection in (found.cosmos, found.service_bus, found.key_vault, found.anchors):
        assert connection.wanted, "not a file on the disk of an instance"
        with pytest.raises(Unavailable, match=f"{connection.setting} is not set.*Set {connection.setting}"):
            connection.require()


def test_in_azure_what_is_there_is_used() -> None:
    found = AzureConnections.from_environment(COMPLETE | IN_AZURE)
    for connection in (found.cosmos, found.service_bus, found.key_vault):
        connection.require()
    assert found.anchors.problem


@pytest.mark.parametrize("host", ["localhost:7071", "localhost", "127.0.0.1:80", "0.0.0.0:80", "[::1]:7071"])
def test_the_functions_host_on_a_laptop_is_not_azure(host: str) -> None:
    found = AzureConnections.from_environment({"WEBSITE_HOSTNAME": host})
    assert not found.cosmos.wanted


def test_the_app_signs_in_as_one() -> None:
    one, other = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
    bus = {
        "ServiceBusConnection__credential": "managedidentity",
        "ServiceBusConnection__clientId": one.upper(),
        "AZURE_CLIENT_ID": one,
    }
    found = AzureConnections.from_environment(COMPLETE | bus)
    assert [c.problem for c in (found.cosmos, found.service_bus, found.key_vault)] == ["", "", ""]
    assert found.client_id == one
    found = AzureConnections.from_environment(COMPLETE | bus | {"ServiceBusConnection__clientId": other})
    assert "ServiceBusConnection__clientId names another identity than CosmosConnection__clientId" in (
        found.service_bus.problem
    )
    found = AzureConnections.from_environment(COMPLETE | bus | {"AZURE_CLIENT_ID": other})
    assert "AZURE_CLIENT_ID names another identity" in found.key_vault.problem
    assert other not in found.key_vault.problem
    emulator = {"CosmosConnection": "AccountEndpoint=https://x/;AccountKey=a2V5", "AZURE_CLIENT_ID": other}
    assert AzureConnections.from_environment(emulator | {"KEY_VAULT_URI": "https://x"}).client_id == other


def test_settings_that_cannot_be_read_are_said_by_every_backend() -> None:
    settings = Settings.as_far_as_usable({"MAX_BODY_BYTES": "secret-word"})
    assert settings.problem.startswith("MAX_BODY_BYTES is not usable")
    assert "secret-word" not in settings.problem
    for connection in (settings.azure.cosmos, settings.azure.service_bus, settings.azure.key_vault):
        assert connection.wanted
        with pytest.raises(Unavailable, match="MAX_BODY_BYTES"):
            connection.require()
    with pytest.raises(Unavailable, match="MAX_BODY_BYTES"):
        settings.require()
    assert settings.access_mode == "tokens"
    good = Settings.as_far_as_usable({"MAX_BODY_BYTES": "4096"})
    good.require()
    assert (good.problem, good.max_body_bytes) == ("", 4096)
