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
