"""``local.settings.json`` and the environment: which settings the app gets.

As in Core Tools, an environment variable wins over a value of the file. On top come what ``python -m local`` sets by
itself: private and ``http://`` targets are allowed, because plants are private, and on a loopback address every caller
is the developer.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import BrokenSettings
from shared.settings import Settings

__all__ = ["SettingsFile", "app_settings", "misspelt", "read_settings_file"]


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The contents of a local settings file."""

    values: Mapping[str, str] = field(default_factory=dict)
    host: Mapping[str, object] = field(default_factory=dict)
    """``LocalHttpPort``, ``CORS``, ``CORSCredentials``."""

    @property
    def port(self) -> int | None:
        """``Host.LocalHttpPort``."""
        value = self.host.get("LocalHttpPort")
        return value if isinstance(value, int) else None


def read_settings_file(path: Path) -> SettingsFile:
    """Read the file.

    Raises:
        BrokenSettings: it cannot be read, is no JSON, is encrypted, or has another form. Never shows a value.
    """
    try:
        raw = json.loads(path.read_text("utf-8-sig"))
    except OSError as err:
        raise BrokenSettings(f"The settings file {path} cannot be read: {err.strerror}.") from err
    except ValueError as err:
        where = f" at line {err.lineno}, column {err.colno}" if isinstance(err, json.JSONDecodeError) else ""
        raise BrokenSettings(f"The settings file {path} is no valid JSON{where}.") from err
    if not isinstance(raw, dict) or not all(isinstance(raw.get(k, {}), dict) for k in ("Values", "Host")):
        raise BrokenSettings(f'The settings file {path} must be like {{"IsEncrypted": false, "Values": {{}}}}.')
    if raw.get("IsEncrypted") is True:
        raise BrokenSettings(f"The settings file {path} is encrypted; run `func settings decrypt` first.")
    _check_host(raw.get("Host", {}), path)
    values = {str(name): _text(name, value, path) for name, value in raw.get("Values", {}).items()}
    return SettingsFile(values, raw.get("Host", {}))


def _check_host(host: Mapping[str, Any], path: Path) -> None:
    port = host.get("LocalHttpPort", 7071)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise BrokenSettings(f"The settings file {path}: Host.LocalHttpPort must be a number from 1 to 65535.")
    if not isinstance(host.get("CORS", ""), str):
        raise BrokenSettings(f"The settings file {path}: Host.CORS must be a text, origins separated by commas.")


def _text(name: str, value: object, path: Path) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise BrokenSettings(f"The settings file {path}: the value of {name} must be a text.")


def app_settings(
    file: SettingsFile, environment: Mapping[str, str], *, data_dir: str | None, url: str, loopback: bool
) -> dict[str, str]:
    """All settings of the app as environment variables.

    Args:
        file: the local settings file.
        environment: wins over the file; an empty variable counts as absent.
        data_dir: from the command line; wins over both.
        url: where this host can be reached, for links, unless ``PUBLIC_URL`` says it.
        loopback: is it bound to a loopback address?
    """
    given = {name: value for name, value in file.values.items() if value != ""}
    given |= {name: value for name, value in environment.items() if value != ""}
    defaults = {
        "ALLOW_PRIVATE_TARGETS": "true",
        "ALLOW_HTTP_TARGETS": "true",
        "ACCESS_MODE": "developer" if loopback else "tokens",
        "PUBLIC_URL": url,
    }
    settings = defaults | given
    if data_dir is not None:
        settings["DATA_DIR"] = data_dir
    # Not for anybody to choose: it is what makes the developer's access safe.
    settings["SERVES_LOOPBACK"] = "true" if loopback else "false"
    return settings


def misspelt(names: Iterable[str]) -> list[str]:
    """Sentences about names of the settings file that look like a setting of ours and are none."""
    known = [name.upper() for name in Settings.model_fields]
    found: list[str] = []
    for name in names:
        close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8)
        if close and name.upper() not in known:
            found.append(f"There is no setting {name}; did you mean {close[0]}?")
        elif name.upper() in known and name not in known:
            found.append(f"The setting {name} must be written {name.upper()}.")
    return found
