"""The relay of the sample bakery: known to the hub, with a token of its own that is made once and kept.

What if the hub's data was deleted? Its relays and tokens are gone with it: then the relay is registered anew. What if
the file with the token was deleted? Then it is given a new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from local.bakery.devices import PROFILE, PROFILE_ID, RELAY_ID
from local.bakery.hub import Hub
from shared.settings import Settings

__all__ = ["PAGE", "introduce", "offer_profile", "relay_environment"]

PAGE = "https://bakery.operations1.app"
"""Whose pages may ask on site."""


async def introduce(hub: Hub, settings_file: Path) -> None:
    """Make sure that the hub knows the relay, and that the relay's settings hold its token. Raises ``HubProblem``."""
    token = _token_in(settings_file)
    if token is None or not await _admitted(hub, token):
        token = await _new_token(hub)
    values = {
        "HUB_URL": hub.base_url,
        "RELAY_ID": RELAY_ID,
        "RELAY_TOKEN": token,
        "RELAY_CORS_ORIGINS": PAGE,
        # Pages of other origins ask it; and whoever asks for more shows a token.
        "ACCESS_MODE": "tokens",
    }
    _write_private(settings_file, json.dumps({"IsEncrypted": False, "Values": values}, indent=2) + "\n")


async def offer_profile(hub: Hub) -> None:
    """What a worker's page may ask the relay for; the machines are registered already. Raises ``HubProblem``."""
    if await hub.get(f"/api/v1/request-profiles/{PROFILE_ID}") is None:
        await hub.send("PUT", f"/api/v1/request-profiles/{PROFILE_ID}", PROFILE)


def relay_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the hub's settings: those of the relay stand in its own file, and what the hub keeps in
    Azure is not the relay's."""
    ours = {name.upper() for name in Settings.model_fields} - {"LOG_LEVEL"}
    azure = ("CosmosConnection", "ServiceBusConnection", "AuditAnchorsConnection", "KEY_VAULT_URI")
    return {
        name: value for name, value in environment.items() if name not in ours and name.partition("__")[0] not in azure
    }


async def _new_token(hub: Hub) -> str:
    if await hub.get(f"/api/v1/relays/{RELAY_ID}") is None:
        body = {"id": RELAY_ID, "name": "Sample bakery, back row", "site": "sample-bakery"}
        answer = await hub.send("POST", "/api/v1/relays", body)
    else:
        answer = await hub.send("POST", f"/api/v1/relays/{RELAY_ID}/token")
    return str(answer["token"])


async def _admitted(hub: Hub, token: str) -> bool:
    return await hub.admits(f"/api/v1/relays/{RELAY_ID}/assignments", token)


def _token_in(settings_file: Path) -> str | None:
    try:
        token = json.loads(settings_file.read_text("utf-8"))["Values"]["RELAY_TOKEN"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or not as we write it: a new one is made
    return token if isinstance(token, str) and token else None


def _write_private(path: Path, text: str) -> None:
    """For its owner alone, and never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".new")
    half.unlink(missing_ok=True)
    handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    half.replace(path)
