from __future__ import annotations

import pytest

from shared.errors import BrokenSettings
from shared.settings import Settings


def test_defaults_are_the_safe_ones() -> None:
    settings = Settings.from_environment({})
    assert settings.access_mode == "tokens"
    assert not settings.allow_private_targets
    assert not settings.allow_http_targets
    assert settings.max_body_bytes == 1_048_576


def test_the_field_in_upper_case_is_the_variable() -> None:
    settings = Settings.from_environment(
        {"ALLOW_PRIVATE_TARGETS": "true", "DELIVERY_RETRY_SECONDS": "0.5", "PATH": "/bin"}
    )
    assert settings.allow_private_targets
    assert settings.delivery_retry_seconds == 0.5


def test_an_empty_variable_is_no_value() -> None:
    assert Settings.from_environment({"LOG_LEVEL": ""}).log_level == "INFO"


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_BODY_BYTES", "many"), ("LOG_LEVEL", "LOUD"), ("DELIVERY_TIMEOUT_SECONDS", "600"), ("PUBLIC_URL", "example")],
)
def test_a_broken_value_is_named_and_never_shown(name: str, value: str) -> None:
    with pytest.raises(BrokenSettings) as refused:
        Settings.from_environment({name: value})
    assert name in refused.value.detail
    assert value not in refused.value.detail.replace("example.com", "")


def test_developer_access_only_on_loopback() -> None:
    with pytest.raises(BrokenSettings, match="ACCESS_MODE=tokens"):
        Settings.from_environment({"ACCESS_MODE": "developer"})
    assert Settings.from_environment({"ACCESS_MODE": "developer", "SERVES_LOOPBACK": "true"}).access_mode == "developer"


def test_links_use_the_public_address() -> None:
    assert Settings.from_environment({"PUBLIC_URL": "https://hub.example.com/"}).base_url == "https://hub.example.com"
    assert (
        Settings.from_environment({"WEBSITE_HOSTNAME": "x.azurewebsites.net"}).base_url == "https://x.azurewebsites.net"
    )
    assert Settings.from_environment({}).base_url == "http://127.0.0.1:7071"
