"""Credentials that end soon, told of in time: thirty days before, and from then on every day.

An expired secret can still be read and is still used; whether it is good for anything its device or platform decides.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.clock import Clock, iso
from shared.metrics import VAULT_EXPIRING
from shared.secrets.port import Vault

__all__ = ["Expiring", "ExpiryWatch"]

log = logging.getLogger("ovenbridge.vault")

NEAR = timedelta(days=30)
ONCE_A = timedelta(hours=23)
"""A run comes once a day, but not always at the same second."""
KNOWN_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Expiring:
    """A secret that ends soon, or has ended."""

    name: str
    expires_at: datetime
    days: int
    """Whole days that are left; negative: it has expired."""

    @property
    def sentence(self) -> str:
        """For people."""
        when = f"expired on {self.expires_at:%Y-%m-%d}" if self.days < 0 else f"expires on {self.expires_at:%Y-%m-%d}"
        return f"The secret {self.name} in the vault {when}: give it a new version with a later end."


class ExpiryWatch:
    """Looks through the vault's list; never at a value."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._told: dict[tuple[str, datetime], datetime] = {}
        self._found: tuple[datetime, Sequence[Expiring]] | None = None

    async def look(self) -> Sequence[Expiring]:
        """List the vault, count what ends soon, and log each once a day. Raises ``Unavailable``."""
        now = self._clock.now()
        found = sorted(
            (
                Expiring(s.name, s.expires_at, (s.expires_at - now) // timedelta(days=1))
                for s in await self._vault.list()
                if s.expires_at is not None and s.expires_at - now < NEAR
            ),
            key=lambda secret: secret.expires_at,
        )
        VAULT_EXPIRING.record(len(found))
        self._tell(found, now)
        self._found = now, found
        return found

    async def known(self) -> Sequence[Expiring]:
        """What was found within the last hour, else :meth:`look`."""
        if self._found is not None and abs(self._clock.now() - self._found[0]) < KNOWN_FOR:
            return self._found[1]
        return await self.look()

    def _tell(self, found: Sequence[Expiring], now: datetime) -> None:
        told = {key: at for key, at in self._told.items() if now - at < ONCE_A}
        for secret in found:
            key = (secret.name, secret.expires_at)
            if key not in told:
                told[key] = now
                fields = {"name": secret.name, "expires_at": iso(secret.expires_at), "days_left": secret.days}
                log.warning("%s", secret.sentence, extra={"fields": fields})
        self._told = told
