"""Gives a relay the credentials of a machine: ``python -m local.relay_secret set REF < credentials.json``.

The value is read from stdin, so that it stands in no shell history and no list of processes: a JSON object such as
``{"username": "relay", "password": "..."}``. It is kept encrypted in the relay's data folder, or in Key Vault where
``KEY_VAULT_URI`` is set. The relay may run meanwhile; it sees a new value at the next read that is refused, or within
ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from shared.errors import OvenbridgeError
from shared.relay.plant_secrets import credentials_of
from shared.services import Services
from shared.settings import Settings

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Do it; answers with the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.relay_secret", description="Credentials of machines.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("set", "keep the JSON object read from stdin"),
        ("delete", "forget it"),
        ("list", "names, never values"),
    ):
        command = commands.add_parser(name, help=what)
        if name != "list":
            command.add_argument("ref", help="`credential_ref` of the machine, as the hub shows it")
        command.add_argument("--data", type=Path, help="the relay's data folder; default: DATA_DIR, else ./data")
    given = parser.parse_args(arguments)
    try:
        asyncio.run(_do(given.command, getattr(given, "ref", ""), given.data))
    except OvenbridgeError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    return 0


async def _do(command: str, ref: str, data: Path | None) -> None:
    environment = dict(os.environ) | ({"DATA_DIR": str(data)} if data is not None else {})
    house = Services(Settings.from_environment(environment))
    try:
        if command == "set":
            text = sys.stdin.read()
            credentials_of(text)
            await house.vault.set(ref, text)
            sys.stdout.write(f"{ref} is kept.\n")
        elif command == "delete":
            await house.vault.delete(ref)
            sys.stdout.write(f"{ref} is forgotten.\n")
        else:
            for secret in await house.vault.list():
                sys.stdout.write(f"{secret.name}\n")
    finally:
        await house.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
