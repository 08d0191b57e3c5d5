"""The vault port. Two implementations: ``key_vault.py`` (Azure) and ``file_vault.py`` (embedded)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

__all__ = ["Secret", "SecretMetadata", "Vault"]


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret value. It never shows itself: ``repr`` hides it."""

    name: str
    value: str = field(repr=False)
    version: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SecretMetadata:
    """What may be shown of a secret."""

    name: str
    updated_at: datetime
    """Of the newest version."""
    expires_at: datetime | None


class Vault(Protocol):
    """Secrets by name (``^[0-9A-Za-z-]{1,127}$``), which may or may not tell upper from lower case.

    Values are text of at most 25,000 bytes; credential sets are JSON text. ``expires_at`` is for people and for
    warnings and holds whole seconds: an expired secret can still be read.
    """

    async def get(self, name: str) -> Secret:
        """The current version. Raises ``NotFound``, ``Unavailable``."""
        ...

    async def set(self, name: str, value: str, *, expires_at: datetime | None = None) -> Secret:
        """Store a new version; it has happened durably when this returns.

        A name that was deleted can be set again. Raises ``InvalidInput``, ``Unavailable``.
        """
        ...

    async def delete(self, name: str) -> None:
        """Forget it with all versions; no error when it is not there. A backend may retain it for restoring."""
        ...

    async def list(self) -> Sequence[SecretMetadata]:
        """All secrets by name, without their values."""
        ...

    async def check(self) -> None:
        """Can we read? Returns, or raises ``Unavailable`` with what to do. For the readiness probe."""
        ...

    async def close(self) -> None:
        """Let go of files and connections. Never needed for durability."""
        ...
