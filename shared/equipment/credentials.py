"""Credential sets in the vault.

A set never changes in place: new credentials are a new name, and the machine's document says which name holds. So a
document and its credentials always belong together: should the process die between the two writes, the machine goes
on with its old address and its old credentials, and the new set is an orphan that :meth:`CredentialSets.sweep` finds.
Writing a new version under the old name would send new credentials to the old address in that moment.

Sets of one machine are called ``iot-<machine>-<random>`` and go with it; any other name is somebody else's to manage.
"""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared import json_text
from shared.clock import Clock
from shared.errors import OvenbridgeError
from shared.secrets import Vault

__all__ = ["CredentialSets"]

OWN = "iot-"

REMEMBERED = timedelta(minutes=10)
MOST_REMEMBERED = 10_000

ORPHANED_AFTER = timedelta(hours=1)
"""Longer than any change takes between the vault and the store."""

log = logging.getLogger("ovenbridge.equipment")


@dataclass(slots=True)
class _Known:
    values: Mapping[str, Any]
    read_at: datetime

    def __repr__(self) -> str:
        return "_Known(...)"


class CredentialSets:
    """Credentials by reference."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def keep(self, equipment_id: str, values: Mapping[str, Any]) -> str:
        """Put a new set into the vault; durable when it returns. Answers its reference."""
        ref = f"{OWN}{equipment_id.replace('_', '-')}-{secrets.token_hex(8)}"
        await self._vault.set(ref, json_text.dump(values).decode())
        self._remember(ref, values)
        return ref

    async def load(self, ref: str | None, *, fresh: bool = False) -> dict[str, Any]:
        """The set behind a reference, at most ten minutes old.

        Args:
            ref: ``None``: the machine needs none.
            fresh: ask the vault, whatever we remember; for after the device refused them.

        Raises:
            NotFound: the vault has no such set.
            Unavailable: the vault is away.
        """
        if ref is None:
            return {}
        known = self._known.get(ref)
        if known is None or fresh or self._clock.now() - known.read_at >= REMEMBERED:
            secret = await self._vault.get(ref)
            known = self._remember(ref, json_text.load(secret.value))
        return dict(known.values)

    async def forget(self, ref: str | None) -> None:
        """Remove a set that no machine names any more; what fails here is left to :meth:`sweep`."""
        if ref is None or not ref.startswith(OWN):
            return
        self._known.pop(ref, None)
        try:
            await self._vault.delete(ref)
        except OvenbridgeError as error:
            log.warning("Credentials no longer used could not be removed, the sweep will: %s", error.detail)

    async def sweep(self, names_in_use: Callable[[], Awaitable[set[str]]]) -> int:
        """Remove sets of single machines that no machine names; how many.

        Args:
            names_in_use: asked after the vault was listed, so that a set which is just being put to use is seen.
        """
        before = self._clock.now() - ORPHANED_AFTER
        listed = [s.name for s in await self._vault.list() if s.name.startswith(OWN) and s.updated_at < before]
        if not listed:
            return 0
        used = await names_in_use()
        orphans = [name for name in listed if name not in used]
        for name in orphans:
            await self._vault.delete(name)
        return len(orphans)

    def _remember(self, ref: str, values: Mapping[str, Any]) -> _Known:
        known = self._known[ref] = _Known(dict(values), self._clock.now())
        self._known.move_to_end(ref)
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return known
