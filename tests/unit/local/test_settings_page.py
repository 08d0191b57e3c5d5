"""``docs/settings.md`` says what the settings model says."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import settings_page
from shared.settings import Settings


def test_the_page_is_in_step() -> None:
    assert settings_page.PAGE.read_text("utf-8") == settings_page.page(), "run `python -m local.settings_page`"


def test_every_setting_is_explained() -> None:
    text = settings_page.page()
    for name, field in ((n, f) for n, f in Settings.model_fields.items() if not f.exclude):
        assert f"`{name.upper()}`" in text
        assert field.description, name


def test_values_bounds_and_defaults_are_told() -> None:
    rows = {line.split("`")[1]: line for line in settings_page.page().splitlines() if line.startswith("| `")}
    assert "`tokens` or `developer`" in rows["ACCESS_MODE"]
    assert "`true` or `false` | `false`" in rows["ALLOW_PRIVATE_TARGETS"]
    assert "whole number, at least 1,024, at most 104,857,600, in bytes | `1048576`" in rows["MAX_BODY_BYTES"]
    assert "more than 0, at most 45, in seconds" in rows["DELIVERY_TIMEOUT_SECONDS"]


def test_dangers_and_what_azure_gets_have_columns_of_their_own() -> None:
    rows = {line.split("`")[1]: line for line in settings_page.page().splitlines() if line.startswith("| `")}
    assert rows["ACCESS_MODE"].endswith("every caller is an administrator. | Only ever on a loopback address. |")
    assert "| `tokens` | `tokens` |" in rows["ACCESS_MODE"]
    assert "parameter `readingsRetentionDays`" in rows["READINGS_RETENTION_DAYS"]
    assert "not set: nothing is kept" in rows["DATA_DIR"]


@pytest.mark.parametrize(
    "name",
    [
        "CosmosConnection__accountEndpoint",
        "CosmosConnection__credential",
        "CosmosConnection__clientId",
        "ServiceBusConnection__fullyQualifiedNamespace",
        "ServiceBusConnection__credential",
        "ServiceBusConnection__clientId",
        "AuditAnchorsConnection__blobServiceUri",
        "KEY_VAULT_URI",
        "AZURE_CLIENT_ID",
        "AzureWebJobsStorage__accountName",
        "AzureWebJobsStorage__credential",
        "AzureWebJobsStorage__clientId",
        "AzureWebJobsDisableHomepage",
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
        "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",
    ],
)
def test_the_names_of_azure_are_spelt_as_azure_spells_them(name: str) -> None:
    assert f"\n| `{name}` |" in settings_page.page()


def test_a_page_out_of_step_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings_page, "PAGE", tmp_path / "settings.md")
    assert settings_page.main(["--check"]) == 1
    assert "python -m local.settings_page" in capsys.readouterr().err
    assert settings_page.main([]) == 0
    assert settings_page.main(["--check"]) == 0
