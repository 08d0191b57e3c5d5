"""Names we give to things. Safe in a Cosmos id: none of ``/ \\ ? #``."""

from __future__ import annotations

import hashlib
import secrets
import uuid

__all__ = ["digest_id", "new_id", "new_secret"]


def new_id() -> str:
    """32 upper-case hex digits, random: the form FORCE Bridge clients expect of an id."""
    return uuid.uuid4().hex.upper()


def digest_id(*parts: str | bytes) -> str:
    """32 lower-case hex digits that are the same for the same parts: makes a write idempotent."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:32]


def new_secret(nbytes: int = 32) -> str:
    """A URL-safe random secret of so many bytes."""
    return secrets.token_urlsafe(nbytes)
