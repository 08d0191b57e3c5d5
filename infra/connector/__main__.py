"""``python -m infra.connector [--check] [--entra CLIENT_ID --tenant TENANT_ID --resource api://...] [--to FOLDER]``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from infra.connector.document import definition
from infra.connector.icon import icon
from infra.connector.lint import problems
from infra.connector.properties import Entra, properties, security, settings
from local.functions import HttpFunction, load

HERE = Path(__file__).resolve().parent


def files(entra: Entra | None = None) -> dict[str, bytes]:
    """Every generated file as it should be."""
    functions = [function for function in load("function_app", "") if isinstance(function, HttpFunction)]
    made, how = definition(functions, security(entra)), properties(entra)
    wrong = problems(made, how)
    if wrong:
        raise ValueError("\n".join(wrong))
    return {
        "apiDefinition.swagger.json": _text(made),
        "apiProperties.json": _text(how),
        "settings.json": _text(settings()),
        "icon.png": icon(),
    }


def _text(said: Any) -> bytes:
    return (json.dumps(said, ensure_ascii=False, indent=1) + "\n").encode()


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or say which are not in step."""
    parser = argparse.ArgumentParser(prog="python -m infra.connector")
    parser.add_argument("--check", action="store_true", help="write nothing, say what is not in step")
    parser.add_argument("--to", type=Path, default=HERE, help="where the files go")
    parser.add_argument("--entra", metavar="CLIENT_ID", help="sign in with work accounts, by this app registration")
    parser.add_argument("--tenant", metavar="TENANT_ID")
    parser.add_argument("--resource", metavar="URI", help="the app registration of your Ovenbridge")
    given = parser.parse_args(arguments)
    if given.entra and not (given.tenant and given.resource):
        parser.error("--entra needs --tenant and --resource")
    if given.entra and given.to == HERE:
        parser.error("--entra makes files for your tenant alone: say --to FOLDER")
    made = files(Entra(given.entra, given.tenant, given.resource) if given.entra else None)
    if given.check:
        stale = [name for name, data in made.items() if not _stands(given.to / name, data)]
        for name in stale:
            sys.stderr.write(f"{name} is not in step with the code: run `python -m infra.connector`.\n")
        return 1 if stale else 0
    given.to.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        (given.to / name).write_bytes(data)
    return 0


def _stands(path: Path, data: bytes) -> bool:
    return path.exists() and path.read_bytes() == data


if __name__ == "__main__":
    sys.exit(main())
