"""Credentials of machines, found on site. Assignments only name them; they never travel from the hub."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.clock import Clock
from shared.errors import DeviceError, InvalidInput, NotFound
from shared.json_text import load_foreign
from shared.secrets import Vault

__all__ = ["MissingSecret", "SiteSecrets", "credentials_of", "variable_of"]

REMEMBERED = timedelta(minutes=10)


class MissingSecret(DeviceError):
    """The credentials that an assignment names are not on this relay, or cannot be used."""

    code = "missing_secret"


def variable_of(ref: str) -> str:
    """The environment variable that may hold a secret: ``combi-1`` -> ``RELAY_SECRET_COMBI_1``."""
    return "RELAY_SECRET_" + re.sub(r"[^0-9A-Za-z]", "_", ref).upper()


def credentials_of(text: str) -> dict[str, Any]:
    """A credential set from its JSON text. Raises ``InvalidInput``, without the text."""
    try:
        found = load_foreign(text.encode())
    except InvalidInput:
        found = None
    if not isinstance(found, dict) or not found:
        raise InvalidInput('Credentials are a JSON object such as {"username": "...", "password": "..."}.')
    return found


class SiteSecrets:
    """Looks in the environment first, then in the vault: files in the relay's data folder, or Key Vault where one is
    configured."""

    def __init__(self, vault: Vault, clock: Clock, environment: Mapping[str, str] | None = None) -> None:
        self._vault = vault
        self._clock = clock
        self._environment = os.environ if environment is None else environment
        self._known: dict[str, tuple[datetime, dict[str, Any]]] = {}

    async def credentials(self, ref: str | None, *, fresh: bool = False) -> dict[str, Any]:
        """The credential set of this name, at most ten minutes old.

        Args:
            ref: ``None``: the machine needs none.
            fresh: look again; for after the machine refused them.

        Raises:
            MissingSecret: it is not here; the sentence names it and what to do.
            Unavailable: the vault is away.
        """
        if ref is None:
            return {}
        known = self._known.get(ref)
        now = self._clock.now()
        if known is None or fresh or abs(now - known[0]) >= REMEMBERED:
            self._known.pop(ref, None)
            known = self._known[ref] = (now, await self._look_up(ref))
        return dict(known[1])

    async def _look_up(self, ref: str) -> dict[str, Any]:
        variable = variable_of(ref)
        if text := self._environment.get(variable, ""):
            where = f"The variable {variable}"
        else:
            try:
                text = (await self._vault.get(ref)).value
            except (NotFound, InvalidInput):
                raise MissingSecret(
                    f"Its credentials `{ref}` are not on this relay: give them with "
                    f"`python -m local.relay_secret set {ref}`, or in the variable {variable}."
                ) from None
            where = f"The secret `{ref}` on this relay"
        try:
            return credentials_of(text)
        except InvalidInput as err:
            raise MissingSecret(f"{where} cannot be used. {err.detail}") from None
