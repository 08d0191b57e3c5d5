"""Standard Webhooks: how a receiver knows that a notification is ours and unchanged.

``webhook-signature: v1,<base64 of HMAC-SHA256 over "id.timestamp.body">``. While a secret is being changed there are
several signatures in the one header, newest first, so that a receiver that has either secret finds its own
(reference/azure.md section 4.1).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import InvalidInput

__all__ = ["MOST_SECRETS", "SigningSecret", "followed_by", "new_signing_secret", "secret_key", "signature"]

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
MOST_SECRETS = 5
"""Live at a time: each is a signature in the header."""


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """One secret of a callback. Never shows itself."""

    text: str = field(repr=False)
    """``whsec_...``, as the receiver has it."""
    until: float | None = None
    """Signs until then (seconds of the epoch); ``None``: until it is replaced."""

    def stored(self) -> dict[str, Any]:
        """For the vault."""
        return {"secret": self.text, "until": self.until}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> SigningSecret:
        """Back from the vault."""
        return cls(stored["secret"], stored["until"])


def new_signing_secret() -> str:
    """A random secret in the form of Standard Webhooks."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def secret_key(text: str, *, field: str = "signing_secret") -> bytes:
    """The key of a secret.

    Raises:
        InvalidInput: it is none; the sentence does not repeat it.
    """
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(PREFIX) or len(key) not in KEY_BYTES:
        raise InvalidInput(
            f"{field} is `whsec_` and the base64 of {KEY_BYTES.start} to {KEY_BYTES.stop - 1} random bytes; "
            "leave it out and one is made for you.",
            field=field,
        )
    return key


def followed_by(
    signing: Sequence[SigningSecret], secret: str, now: float, keep_old_seconds: int
) -> tuple[SigningSecret, ...]:
    """The secrets after a new one was given: it first, those before it for a while."""
    end = now + keep_old_seconds
    old = [SigningSecret(one.text, end if one.until is None else min(one.until, end)) for one in signing]
    live = [one for one in old if one.text != secret and one.until is not None and one.until > now]
    return (SigningSecret(secret), *live[: MOST_SECRETS - 1])


def signature(signing: Sequence[SigningSecret], id: str, timestamp: str, body: bytes, now: float) -> str:
    """The header's value: one signature for each secret that is live now."""
    signed = b".".join((id.encode(), timestamp.encode(), body))
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(secret_key(one.text), signed, "sha256")).decode("ascii")
        for one in signing
        if one.until is None or now < one.until
    )
