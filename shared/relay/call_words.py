"""What stands in the body of a ``call`` command and of its answer: a request to a platform on a plant's own network.

A stored command holds the request sealed; it is opened when the relay fetches it over its own authenticated connection.
The answer is sealed with a key that was in the request, so what the platform says (access tokens, too) is stored by
nobody on the way.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import zlib

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import InvalidInput

__all__ = ["Call", "Called", "new_key", "seal", "unseal"]

MAX_UNSEALED = 8 * 1024 * 1024
KEY_BYTES = 32
_NONCE = 12


class Call(BaseModel):
    """One request."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    method: str = Field(pattern=r"^(GET|POST|PUT|PATCH|DELETE)$")
    url: str = Field(max_length=8_192, repr=False)
    headers: dict[str, str] = Field(default_factory=dict, max_length=50, repr=False)
    content: str = Field("", max_length=400_000, repr=False)
    """base64"""
    ca_certificate: str | None = Field(None, max_length=20_000, repr=False)
    timeout_seconds: float = Field(gt=0, le=60)
    once: bool = False
    """It must not leave twice by itself."""
    answer_key: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)


class Called(BaseModel):
    """What was answered."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    status: int = Field(ge=100, le=999)
    headers: dict[str, str] = Field(default_factory=dict, max_length=20)
    content: str = Field("", repr=False)
    """base64"""
    truncated: bool = False
    ms: float = Field(ge=0)
    """At the relay."""


def new_key() -> bytes:
    """A fresh one."""
    return secrets.token_bytes(KEY_BYTES)


def seal(key: bytes, value: bytes) -> str:
    """Encrypted and authenticated (AES-GCM), as text."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, zlib.compress(value), None)).decode("ascii")


def unseal(key: bytes, text: str) -> bytes:
    """Back. Raises ``InvalidInput``: it was sealed with another key, or changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        data = base64.b64decode(text, validate=True)
        packed = AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], None)
        unpacker = zlib.decompressobj()
        found = unpacker.decompress(packed, MAX_UNSEALED)
    except (binascii.Error, ValueError, InvalidTag, zlib.error) as err:
        raise InvalidInput("What is sealed here was sealed with another key, or changed on the way.") from err
    if unpacker.unconsumed_tail:
        raise InvalidInput("What is sealed here is too large.")
    return found
