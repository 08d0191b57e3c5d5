"""Writes ``docs/settings.md``: ``python -m local.settings_page``.

From the settings model, the names of the Azure connections, what others read (:mod:`local.host_settings`), and the app
settings of ``infra/modules/functionapp.bicep``. With ``--check`` it only says whether the page is in step; a test does
the same, and ``tests/infra`` holds the templates against the same lists.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from local.host_settings import FORBIDDEN_ON_FLEX, HOST_SETTINGS
from shared.azure_connections import CONNECTION_FORMS
from shared.settings import Settings

__all__ = ["PAGE", "in_azure", "page"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"

_HEAD = """\
# Settings

Written by `python -m local.settings_page`; change `shared/settings.py`, `local/host_settings.py` or the templates, then
write it anew.

A setting is an environment variable: an app setting in Azure, a value in `local.settings.json` under
`python -m local` (the environment wins over the file). An empty value is no value. A value that cannot be used is named
in one line with what to write: at the start under `python -m local`, by `/api/health/ready` in Azure. What the local
host reads beside these stands in `local-host.md`.

"In Azure" says what the templates set: a value, or the parameter of `infra/main.bicep` that it comes from. To change
one, change the parameter and deploy again; what is changed in the portal is overwritten by the next deployment.

## The app's own

| setting | values | default | in Azure | what it does | danger |
|---|---|---|---|---|---|
"""

_SERVICES = """
## Azure services

Any of these chooses the Azure service in place of the embedded one; nothing falls back in silence. The Functions host
reads the same names for its triggers. By identity, all three of a service are needed in Azure; a missing one shows up
as Unauthorized. Elsewhere leave `__credential` and `__clientId` out: then whatever `DefaultAzureCredential` finds is
used (`az login`, or a certificate by the variables of azure-identity below).

| setting | value | in Azure | what it does | danger |
|---|---|---|---|---|
"""

_OTHERS = """
## What others read

| setting | read by | in Azure | what it does | danger |
|---|---|---|---|---|
"""

_FORBIDDEN = """
## Not on Flex Consumption

Flex Consumption ignores these app settings, or does not start with them; the runtime and its version stand in the
template's `functionAppConfig`. The gate over the templates refuses them (`infra-gate.md`).

"""

_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_UNITS = {"seconds": "seconds", "days": "days", "bytes": "bytes"}
_ELSEWHERE = {
    "data_dir": "not set: nothing is kept on an instance's disk",
    "website_hostname": "the platform sets it",
    "website_auth_enabled": "the platform sets it where sign-in is on",
    "serves_loopback": "not set",
    **dict.fromkeys(
        ("hub_url", "relay_id", "relay_token", "relay_cors_origins", "spool_max_mb", "spool_max_days"),
        "not set: for relays",
    ),
}


def page() -> str:
    """The page as it should be."""
    set_there = in_azure()
    own = (_row(name, field, set_there) for name, field in Settings.model_fields.items() if not field.exclude)
    forbidden = textwrap.fill(", ".join(f"`{name}`" for name in FORBIDDEN_ON_FLEX) + ".", 120) + "\n"
    return "".join((_HEAD, *own, _SERVICES, *_services(set_there), _OTHERS, *_others(set_there), _FORBIDDEN, forbidden))


def in_azure() -> dict[str, str]:
    """What ``functionapp.bicep`` sets each app setting to, in words."""
    text = (ROOT / "infra" / "modules" / "functionapp.bicep").read_text("utf-8")
    main = (ROOT / "infra" / "main.bicep").read_text("utf-8")
    parameters = set(re.findall(r"^param (\w+) ", main, re.MULTILINE))
    found: dict[str, str] = {}
    for block in re.findall(r"^var \w*[sS]ettings = \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        for name, value in re.findall(r"^  (\w+): (.+)$", block, re.MULTILINE):
            named = [word for word in re.findall(r"\w+", value) if word in parameters]
            if named:
                found[name] = f"parameter `{named[-1]}`"
            elif literal := re.fullmatch(r"'([^'$]*)'", value):
                found[name] = f"`{literal[1]}`"
            else:
                found[name] = "by the templates"
    return found


def _row(name: str, field: FieldInfo, set_there: dict[str, str]) -> str:
    values = ", ".join(_values(field)) or "text"
    if unit := _UNITS.get(name.rpartition("_")[2]):
        values += f", in {unit}"
    azure = set_there.get(name.upper()) or _ELSEWHERE.get(name, "not set")
    return _line(f"`{name.upper()}`", values, _default(field.default), azure, *_split(field.description or ""))


def _services(set_there: dict[str, str]) -> Iterator[str]:
    for form in CONNECTION_FORMS:
        address, name = f"{form.setting}__{form.part}", form.setting
        yield _line(f"`{address}`", f"`{form.example}`", _there(address, set_there), f"Where {form.service} is.", "")
        credential, client = f"{name}__credential", f"{name}__clientId"
        yield _line(
            f"`{credential}`", "`managedidentity`", _there(credential, set_there), "By the app's own identity.", ""
        )
        yield _line(f"`{client}`", "a GUID", _there(client, set_there), "Client id of the user-assigned identity.", "")
        yield _line(
            f"`{name}`",
            "a connection string",
            "not set",
            "In place of the three above, for emulators.",
            "It holds a key that opens everything; in Azure keys are switched off.",
        )
    yield _line(
        "`KEY_VAULT_URI`",
        "`https://<vault>.vault.azure.net/`",
        _there("KEY_VAULT_URI", set_there),
        "Where credentials of ovens and subscribers are kept; empty: encrypted files in `DATA_DIR`.",
        "",
    )
    yield _line(
        "`AZURE_CLIENT_ID`",
        "a GUID",
        _there("AZURE_CLIENT_ID", set_there),
        "Client id of the identity for whatever has no `__clientId` of its own. On a relay: of its Entra registration.",
        "",
    )


def _others(set_there: dict[str, str]) -> Iterator[str]:
    for setting in HOST_SETTINGS:
        yield _line(f"`{setting.name}`", setting.reader, _there(setting.name, set_there), *_split(setting.what))


def _there(name: str, set_there: dict[str, str]) -> str:
    return set_there.get(name, "not set")


def _line(*cells: str) -> str:
    """A row of a table."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n"


def _split(description: str) -> tuple[str, str]:
    """What it does, and its danger."""
    what, marker, danger = description.partition("Danger")
    danger = danger.lstrip(": ")
    return what.strip(), (danger[:1].upper() + danger[1:]) if marker else ""


def _values(field: FieldInfo) -> Iterator[str]:
    kind: Any = field.annotation
    if isinstance(kind, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Literal:
        yield " or ".join(f"`{choice}`" for choice in get_args(kind))
    elif kind is bool:
        yield "`true` or `false`"
    elif kind in (int, float):
        yield "whole number" if kind is int else "number"
    elif kind is Path:
        yield "folder"
    for rule in field.metadata:
        for bound, words in _BOUNDS.items():
            if (limit := getattr(rule, bound, None)) is not None:
                yield f"{words} {limit:,}"


def _default(value: Any) -> str:
    if value in ("", None):
        return "empty"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def main(arguments: list[str]) -> int:
    """Write or check; answers with the exit code."""
    wanted = page()
    if "--check" not in arguments:
        PAGE.write_text(wanted, "utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text("utf-8") == wanted:
        return 0
    sys.stderr.write("docs/settings.md is out of step: run `python -m local.settings_page`.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
