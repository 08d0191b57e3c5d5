"""App settings: what the code and the host read is set, what Flex Consumption refuses is not, values can be used."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from local.host_settings import FORBIDDEN_ON_FLEX, HOST_SETTINGS
from shared.azure_connections import CONNECTION_FORMS
from shared.errors import BrokenSettings
from shared.settings import Settings
from tests.infra.evaluation import Evaluator
from tests.infra.hardening import at_path
from tests.infra.judging import nearest
from tests.infra.problem import Place, Problem
from tests.infra.program import Placed
from tests.infra.resources import bodies
from tests.infra.values import Fields, Items, Later, Scalar

__all__ = ["UNSET", "check_app_settings", "read_by_code", "settings_set"]

UNSET = {
    "DATA_DIR": "nothing is kept on the disk of an instance: every service is one of Azure",
    "WEBSITE_HOSTNAME": "the platform sets it",
    "WEBSITE_AUTH_ENABLED": "the platform sets it where sign-in is on",
    "SERVES_LOOPBACK": "`python -m local` sets it",
    **dict.fromkeys(
        ("HUB_URL", "RELAY_ID", "RELAY_TOKEN", "RELAY_CORS_ORIGINS", "SPOOL_MAX_MB", "SPOOL_MAX_DAYS"),
        "for relays, which stand in plants; the hub reads none of them",
    ),
    **dict.fromkeys(("TLS_CERTIFICATE_FILE", "TLS_KEY_FILE"), "in Azure the platform speaks TLS"),
}
"""Settings that the templates leave alone, and why."""

_SITE_CONFIG = (
    "alwaysOn", "functionAppScaleLimit", "javaVersion", "linuxFxVersion", "minimumElasticInstanceCount",
    "netFrameworkVersion", "nodeVersion", "numberOfWorkers", "phpVersion", "powerShellVersion",
    "preWarmedInstanceCount", "pythonVersion", "use32BitWorkerProcess", "vnetRouteAllEnabled", "windowsFxVersion",
)  # fmt: skip
_IN_TEXT = re.compile(r"%(\w+)%")


@cache
def read_by_code(root: Path) -> dict[str, str]:
    """Every setting that the code reads, with what reads it."""
    found = {name.upper(): "shared/settings.py" for name, field in Settings.model_fields.items() if not field.exclude}
    for form in CONNECTION_FORMS:
        for part in (form.part, "credential", "clientId"):
            found[f"{form.setting}__{part}"] = "shared/azure_connections.py"
    found |= {"KEY_VAULT_URI": "shared/azure_connections.py", "AZURE_CLIENT_ID": "shared/azure_connections.py"}
    for name in _IN_TEXT.findall((root / "host.json").read_text("utf-8")):
        found[name] = "host.json"
    for function in json.loads((root / "tests/runtime/functions.json").read_text("utf-8"))["function_app"]:
        found |= dict.fromkeys(_IN_TEXT.findall(json.dumps(function)), f"the function {function['name']}")
        if (connection := function.get("connection")) and not any(f.setting == connection for f in CONNECTION_FORMS):
            found[connection] = f"the function {function['name']}"
    for file in [
        root / "function_app.py",
        *sorted((root / "shared").rglob("*.py")),
        *sorted((root / "functions").rglob("*.py")),
    ]:
        found |= dict.fromkeys(_read_in(file), file.relative_to(root).as_posix())
    return found


def _read_in(file: Path) -> Iterator[str]:
    """Names that a file takes from the environment by itself."""
    text = file.read_text("utf-8")
    if "environ" not in text and "getenv" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(attr="getenv"), args=[ast.Constant(value=str(name)), *_]):
                yield name
            case ast.Call(
                func=ast.Attribute(attr="get", value=ast.Attribute(attr="environ")),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name
            case ast.Subscript(value=ast.Attribute(attr="environ"), slice=ast.Constant(value=str(name))):
                yield name


def settings_set(evaluator: Evaluator) -> list[tuple[Placed, Mapping[str, Later]]]:
    """The app settings of each way the templates can come out, with the resource that sets them."""
    found: list[tuple[Placed, Mapping[str, Later]]] = []
    for placed in evaluator.program.all_resources():
        if placed.resource.existing:
            continue
        for body in bodies(evaluator, placed):
            names = [o.value for o in at_path(body, ["name"]) if isinstance(o, Scalar)]
            if placed.full_type == "Microsoft.Web/sites/config" and names == ["appsettings"]:
                found += [(placed, o.entries) for o in at_path(body, ["properties"]) if isinstance(o, Fields)]
            elif placed.full_type == "Microsoft.Web/sites":
                for outcome in at_path(body, ["properties", "siteConfig", "appSettings"]):
                    if isinstance(outcome, Items):
                        found.append((placed, dict(_pairs(outcome))))
    return found


def _pairs(array: Items) -> Iterator[tuple[str, Later]]:
    for item in array.items:
        for outcome in item.outcomes():
            if isinstance(outcome, Fields) and {"name", "value"} <= set(outcome.entries):
                for name in outcome.entries["name"].outcomes():
                    if isinstance(name, Scalar):
                        yield str(name.value), outcome.entries["value"]


def check_app_settings(evaluator: Evaluator) -> Iterator[Problem]:
    """All function apps of the templates."""
    read = read_by_code(evaluator.program.root)
    host = {setting.name: setting for setting in HOST_SETTINGS}
    needed = {name: by for name, by in read.items() if name not in UNSET}
    needed |= {name: f"the {setting.reader}" for name, setting in host.items() if setting.needed_in_azure}
    outcomes = settings_set(evaluator)
    for placed, entries in outcomes:
        yield from _names(placed, entries, needed, {*read, *host})
        yield from _values(entries)
    sites = [placed for placed in evaluator.program.all_resources() if placed.full_type == "Microsoft.Web/sites"]
    for placed in sites:
        if not placed.resource.existing:
            yield from _site(evaluator, placed)
            if not outcomes:
                yield Problem(placed.resource.at, f"`{placed.resource.name}` has no app settings.")
    for name in sorted(set(UNSET) - set(read)):
        yield Problem(
            Place("tests/infra/app_settings.py", 1), f"{name} is on the list of unset ones, but nobody reads it."
        )


def _names(
    placed: Placed, entries: Mapping[str, Later], needed: Mapping[str, str], known: set[str]
) -> Iterator[Problem]:
    at = placed.resource.at
    for name, by in sorted(needed.items()):
        if name not in entries:
            yield Problem(at, f"the app setting {name} is missing; {by} reads it.")
    for name, value in entries.items():
        if name.startswith("${"):
            continue
        if name in UNSET:
            yield Problem(value.at, f"leave the app setting {name} out: {UNSET[name]}.")
        elif any(name.casefold() == one.casefold() for one in FORBIDDEN_ON_FLEX):
            yield Problem(value.at, f"Flex Consumption does not take the app setting {name}; leave it out.")
        elif name not in known:
            yield Problem(value.at, f"nobody reads the app setting {name}{nearest(name, known)}.")


def _values(entries: Mapping[str, Later]) -> Iterator[Problem]:
    """Known values are ones that the settings model takes."""
    for name, value in entries.items():
        for outcome in value.outcomes():
            if not isinstance(outcome, Scalar) or not isinstance(outcome.value, str):
                continue
            if name.endswith("__credential") and outcome.value != "managedidentity":
                yield Problem(outcome.at, f"{name} must be 'managedidentity', here it is '{outcome.value}'.")
            if name.lower() in Settings.model_fields:
                try:
                    Settings.from_environment({name: outcome.value})
                except BrokenSettings as err:
                    yield Problem(outcome.at, f"the app would not start: {err}")


def _site(evaluator: Evaluator, placed: Placed) -> Iterator[Problem]:
    for body in bodies(evaluator, placed):
        for config in at_path(body, ["properties", "siteConfig"]):
            if isinstance(config, Fields):
                for name, value in config.entries.items():
                    if name in _SITE_CONFIG:
                        yield Problem(value.at, f"Flex Consumption does not take siteConfig.{name}; leave it out.")
        for wanted in ("deployment", "runtime", "scaleAndConcurrency"):
            if not list(at_path(body, ["properties", "functionAppConfig", wanted])):
                yield Problem(placed.resource.at, f"Flex Consumption needs functionAppConfig.{wanted}.")
