"""Credentials of machines, found on site. Assignments only name them; they never travel from the hub.

A secret goes only where it says itself that it may go (``site_binding.py``). One that the hub made for a machine, in a
vault that both can read, needs to say nothing: the hub itself holds it to the machine's address.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.clock import Clock
from shared.errors import DeviceError, InvalidInput, NotFound
from shared.relay.site_binding import KeptSecret, Place, kept_secret
from shared.secrets import Vault

__all__ = ["MissingSecret", "SiteSecrets", "variable_of"]

REMEMBERED = timedelta(minutes=10)


class MissingSecret(DeviceError):
    """The credentials that an assignment names are not on this relay, or cannot be used."""

    code = "missing_secret"


def variable_of(ref: str) -> str:
    """The environment variable that may hold a secret: ``combi-1`` -> ``RELAY_SECRET_COMBI_1``."""
    return "RELAY_SECRET_" + re.sub(r"[^0-9A-Za-z]", "_", ref).upper()


class SiteSecrets:
    """Looks in the environment first, then in the vault: files in the relay's data folder, or Key Vault where one is
    configured."""

    def __init__(self, vault: Vault, clock: Clock, environment: Mapping[str, str] | None = None) -> None:
        self._vault = vault
        self._clock = clock
        self._environment = os.environ if environment is None else environment
        self._known: dict[str, tuple[datetime, KeptSecret]] = {}

    async def credentials(
        self, ref: str | None, place: Place | None, *, owner: Literal["hub", "site"] = "site", fresh: bool = False
    ) -> dict[str, Any]:
        """The credential set of this name, at most ten minutes old.

        Args:
            ref: ``None``: the machine needs none.
            place: where they are to be sent; ``None``: a line without an address, to which nothing is sent.
            owner: ``hub``: the hub chose the name, for this machine at this address.
            fresh: look again; for after the machine refused them.

        Raises:
            MissingSecret: it is not here, or is for somewhere else; the sentence names it and what to do.
            Unavailable: the vault is away.
        """
        if ref is None:
            return {}
        known = self._known.get(ref)
        now = self._clock.now()
        if known is None or fresh or abs(now - known[0]) >= REMEMBERED:
            self._known.pop(ref, None)
            known = self._known[ref] = (now, await self._look_up(ref))
        self._check(ref, known[1], place, owner)
        return dict(known[1].credentials)

    def _check(self, ref: str, secret: KeptSecret, place: Place | None, owner: str) -> None:
        if secret.places is None:
            if owner == "hub":
                return
            where = place or "HOST"
            raise MissingSecret(
                f"The credentials `{ref}` on this relay do not say which machine they are for, so they are sent "
                f"nowhere. On the relay: `python -m local.relay_secret bind {ref} --for {where}` (in the variable "
                f'{variable_of(ref)}: {{"for": ["{where}"], "credentials": {{...}}}}).'
            )
        if place is None or not any(one.covers(place) for one in secret.places):
            raise MissingSecret(
                f"The credentials `{ref}` on this relay are for {', '.join(map(str, secret.places))} and are never "
                f"sent to {place or 'anywhere else'}. If they belong there, too, on the relay: "
                f"`python -m local.relay_secret bind {ref} --for {place or 'HOST'}`."
            )

    async def _look_up(self, ref: str) -> KeptSecret:
        variable = variable_of(ref)
        if text := self._environment.get(variable, ""):
            where = f"The variable {variable}"
        else:
            try:
                text = (await self._vault.get(ref)).value
            except (NotFound, InvalidInput):
                raise MissingSecret(
                    f"Its credentials `{ref}` are not on this relay: give them with "
                    f"`python -m local.relay_secret set {ref} --for HOST`, or in the variable {variable}."
                ) from None
            where = f"The secret `{ref}` on this relay"
        try:
            return kept_secret(text)
        except InvalidInput as err:
            raise MissingSecret(f"{where} cannot be used. {err.detail}") from None
