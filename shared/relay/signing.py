"""Who put a batch into the queue ``relay-ingest``: whoever may send there could speak for any relay, so batches carry
a signature.

The key is derived from the relay's token: whoever has the token has the key, and nobody gets the token from the key.
The hub keeps the key in its vault (``hub_keys.py``), never the token. The signature travels as a property of the
message.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from shared.errors import InvalidInput

__all__ = ["SIGNATURE", "Claim", "SigningKey", "claim", "key_of"]

SIGNATURE = "ob-signature"
"""Name of the message's property: ``v1.<key id>.<HMAC-SHA256 of the body, hex>``."""

_PURPOSE = b"ovenbridge relay-ingest v1"
_TOKEN = re.compile(r"ob_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_FORM = re.compile(r"v1\.([0-9a-f]{16})\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A relay's key."""

    id: str
    """Of the token that it was made of."""
    value: bytes = field(repr=False)

    def sign(self, body: bytes) -> str:
        """The property for this body."""
        return f"v1.{self.id}.{self._mac(body)}"

    def signed(self, claimed: Claim, body: bytes) -> bool:
        """Is the claim true?"""
        return claimed.key_id == self.id and hmac.compare_digest(claimed.mac, self._mac(body))

    def _mac(self, body: bytes) -> str:
        # The body alone: a dead letter that is sent again gets another message id.
        return hmac.new(self.value, body, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Claim:
    """What a message says about its sender."""

    key_id: str
    mac: str


def key_of(token: str) -> SigningKey:
    """The key of a relay's token. Raises ``InvalidInput``, without the token."""
    form = _TOKEN.fullmatch(token)
    if form is None:
        raise InvalidInput("RELAY_TOKEN is no token of a relay: it begins with `ob_`. Copy it again.", field="token")
    return SigningKey(form[1], hmac.new(form[2].encode(), _PURPOSE, hashlib.sha256).digest())


def claim(signature: str | None) -> Claim | None:
    """What stands in the property; ``None``: nothing of ours."""
    form = _FORM.fullmatch(signature or "")
    return None if form is None else Claim(form[1], form[2])
