"""Local settings: the file, the environment over it, what the local host sets by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.host_json import ROOT
from local.settings_file import SettingsFile, app_settings, misspelt, read_settings_file
from shared.errors import BrokenSettings
from shared.settings import Settings

SAMPLE = ROOT / "local.settings.sample.json"
SET_BY_THE_HOST = {"WEBSITE_HOSTNAME", "WEBSITE_AUTH_ENABLED", "SERVES_LOOPBACK", "AZURE"}
"""Or, like AZURE, put together from the names of the Functions host's connections."""
URL = "http://127.0.0.1:7071"


def write(folder: Path, content: Any) -> Path:
    path = folder / "local.settings.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def settings(file: SettingsFile, environment: dict[str, str], *, loopback: bool = True) -> Settings:
    return Settings.from_environment(app_settings(file, environment, data_dir=None, url=URL, loopback=loopback))


def test_the_sample_names_every_setting_and_changes_nothing() -> None:
    sample = read_settings_file(SAMPLE)
    names = {name.upper() for name in Settings.model_fields} - SET_BY_THE_HOST
    assert names <= set(sample.values), names - set(sample.values)
    assert settings(sample, {}) == settings(SettingsFile(), {})
    assert settings(sample, {}, loopback=False) == settings(SettingsFile(), {}, loopback=False)
    assert not misspelt(sample.values)
    assert sample.port == 7071


def test_every_default_stands_in_the_sample() -> None:
    """So that whoever opens it sees what holds; only what depends on the place is left empty."""
    values = read_settings_file(SAMPLE).values
    under_local = {"allow_private_targets": "true", "allow_http_targets": "true", "access_mode": "", "public_url": ""}
    under_local["allow_secret_in_url"] = "false"
    for name, model_field in Settings.model_fields.items():
        if name.upper() not in SET_BY_THE_HOST:
            assert values[name.upper()] == under_local.get(name, str(model_field.default)), name


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = read_settings_file(write(tmp_path, {"Values": {"LOG_LEVEL": "ERROR", "MAX_BODY_BYTES": 2048}}))
    found = settings(file, {"LOG_LEVEL": "DEBUG", "MAX_BODY_BYTES": ""})
    assert found.log_level == "DEBUG"
    assert found.max_body_bytes == 2048


def test_the_command_line_wins_over_both() -> None:
    given = app_settings(SettingsFile({"DATA_DIR": "a"}), {"DATA_DIR": "b"}, data_dir="c", url=URL, loopback=True)
    assert given["DATA_DIR"] == "c"


def test_a_loopback_host_serves_the_developer() -> None:
    found = settings(SettingsFile(), {})
    assert (found.access_mode, found.serves_loopback) == ("developer", True)
    assert found.allow_private_targets
    assert found.allow_http_targets
    assert found.base_url == URL


def test_any_other_host_asks_for_tokens() -> None:
    assert settings(SettingsFile(), {}, loopback=False).access_mode == "tokens"
    with pytest.raises(BrokenSettings, match="ACCESS_MODE=tokens"):
        settings(SettingsFile({"ACCESS_MODE": "developer", "SERVES_LOOPBACK": "true"}), {}, loopback=False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{not json", "no valid JSON at line 1"),
        ("[]", "must be like"),
        ({"Values": []}, "must be like"),
        ({"IsEncrypted": True}, "encrypted"),
        ({"Values": {"LOG_LEVEL": {"a": "s3cr3t"}}}, "LOG_LEVEL must be a text"),
        ({"Host": {"LocalHttpPort": "7071"}}, "LocalHttpPort"),
        ({"Host": {"CORS": ["*"]}}, "CORS"),
    ],
)
def test_a_broken_file_is_said_in_one_sentence(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(BrokenSettings) as refused:
        read_settings_file(write(tmp_path, content))
    assert said in refused.value.detail
    assert "local.settings.json" in refused.value.detail
    assert "s3cr3t" not in refused.value.detail


def test_a_missing_file_is_said() -> None:
    with pytest.raises(BrokenSettings, match="cannot be read: No such file"):
        read_settings_file(Path("/nowhere/local.settings.json"))


def test_misspelt_settings_are_named() -> None:
    assert misspelt(["ALOW_PRIVATE_TARGETS", "AzureWebJobsStorage", "LOG_LEVEL", "log_level"]) == [
        "There is no setting ALOW_PRIVATE_TARGETS; did you mean ALLOW_PRIVATE_TARGETS?",
        "The setting log_level must be written LOG_LEVEL.",
    ]
