"""Makes an API token without being asked who you are: ``python -m local.api_token --name NAME [--role admin]``.

For the first administrator of a host that runs with ``ACCESS_MODE=tokens``: whoever may write its data folder may do
this. Stop the host first; one process at a time holds the folder. Further tokens are made by the API.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from shared.access import Role, system
from shared.errors import OvenbridgeError
from shared.services import Services
from shared.settings import Settings

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Print the token; answers with the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.api_token", description="Make an API token.")
    parser.add_argument("--name", required=True, help="for people who read the audit log")
    parser.add_argument("--role", action="append", choices=[role.value for role in Role], help="default: admin")
    parser.add_argument("--days", type=int, help="how long it is valid; default: for ever")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the host's data folder; default: ./data")
    given = parser.parse_args(arguments)
    if given.days is not None and not 0 < given.days <= 36_500:
        parser.error("--days must be 1 to 36500")
    roles = [Role(role) for role in given.role or [Role.ADMIN.value]]
    try:
        token = asyncio.run(_make(given.data, given.name, roles, given.days))
    except OvenbridgeError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    sys.stdout.write(f"{token}\n")
    return 0


async def _make(data: Path, name: str, roles: list[Role], days: int | None) -> str:
    house = Services(Settings(data_dir=data))
    try:
        expires = house.clock.now() + timedelta(days=days) if days is not None else None
        caller = system("local.api_token")
        _, token = await house.access.tokens.create(name=name, roles=roles, expires_at=expires, caller=caller)
    finally:
        await house.close()
    return token


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
