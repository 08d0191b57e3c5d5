"""Gives a relay the credentials of a machine: ``python -m local.relay_secret set REF --for HOST < credentials.json``.

The value is read from stdin, so that it stands in no shell history and no list of processes: a JSON object such as
``{"username": "relay", "password": "..."}``. ``--for`` says where it may be sent: to this host, or this port of it, and
nowhere else, whatever the hub says. It is kept encrypted in the relay's data folder, or in Key Vault where
``KEY_VAULT_URI`` is set. The relay may run meanwhile; it sees a new value at the next read that is refused, or within
ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.errors import InvalidInput, NotFound, OvenbridgeError
from shared.relay.site_binding import KeptSecret, Place, credentials_of, kept_secret, written
from shared.secrets import Vault
from shared.services import Services
from shared.settings import Settings

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Do it; answers with the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.relay_secret", description="Credentials of machines.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("set", "keep the JSON object read from stdin"),
        ("bind", "say of one that is kept where else it may be sent"),
        ("delete", "forget it"),
        ("list", "names and where they may be sent, never values"),
    ):
        command = commands.add_parser(name, help=what)
        if name != "list":
            command.add_argument("ref", help="`relay_credential_ref` of the machine, as the hub shows it")
        if name in ("set", "bind"):
            command.add_argument(
                "--for",
                dest="places",
                action="append",
                default=[],
                metavar="HOST[:PORT]",
                required=True,
                help="where it may be sent: the machine's host, or one port of it; again for each further one",
            )
        command.add_argument("--data", type=Path, help="the relay's data folder; default: DATA_DIR, else ./data")
    given = parser.parse_args(arguments)
    try:
        asyncio.run(_do(given.command, getattr(given, "ref", ""), getattr(given, "places", []), given.data))
    except OvenbridgeError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    return 0


async def _do(command: str, ref: str, named: Sequence[str], data: Path | None) -> None:
    environment = dict(os.environ) | ({"DATA_DIR": str(data)} if data is not None else {})
    house = Services(Settings.from_environment(environment))
    try:
        places = tuple(Place.parse(name) for name in named)
        if command == "set":
            secret = KeptSecret(credentials_of(sys.stdin.read()), places)
            await house.vault.set(ref, written(secret))
            sys.stdout.write(f"{ref} is kept, for {_shown(secret)}.\n")
        elif command == "bind":
            secret = await _bound(house.vault, ref, places)
            sys.stdout.write(f"{ref} is for {_shown(secret)} now.\n")
        elif command == "delete":
            await house.vault.delete(ref)
            sys.stdout.write(f"{ref} is forgotten.\n")
        else:
            for kept in await house.vault.list():
                sys.stdout.write(f"{kept.name}  {await _where(house.vault, kept.name)}\n")
    finally:
        await house.close()


async def _bound(vault: Vault, ref: str, places: Sequence[Place]) -> KeptSecret:
    """Places are added to those that it is for already."""
    try:
        before = kept_secret((await vault.get(ref)).value)
    except NotFound:
        raise NotFound(f"There is no secret {ref} here; `list` shows what there is.") from None
    all_places = tuple(dict.fromkeys([*(before.places or ()), *places]))
    after = KeptSecret(before.credentials, all_places)
    await vault.set(ref, written(after))
    return after


async def _where(vault: Vault, name: str) -> str:
    try:
        secret = kept_secret((await vault.get(name)).value)
    except InvalidInput:
        return "(no credentials of a machine)"
    return f"for {_shown(secret)}" if secret.places is not None else "for no machine yet: bind it"


def _shown(secret: KeptSecret) -> str:
    return ", ".join(map(str, secret.places or ()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
