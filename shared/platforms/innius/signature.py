"""`X-innius-validation`: an RSA-PSS signature with SHA-256 over the bytes of the body.

The article speaks of an encrypted body that is to be compared; yet it calls the key RSA(PSS)-SHA256, and a body of
this size cannot be encrypted with such a key at all. So it is a signature: salt of any length (the vendor's language
takes the longest by default), MGF1 with SHA-256, over the bytes as they came.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

__all__ = ["decode_base64", "is_genuine", "load_public_key", "public_text", "sign"]

LEAST_BITS = 2_048
MAX_TEXT = 4_096

_ARMOUR = re.compile(r"-----(BEGIN|END) PUBLIC KEY-----")


def decode_base64(text: str) -> bytes | None:
    """Either alphabet, with or without padding, with line breaks in between; ``None``: it is none."""
    joined = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    if not joined or len(joined) > MAX_TEXT:
        return None
    try:
        return base64.b64decode(joined + "=" * (-len(joined) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


@lru_cache(maxsize=256)
def load_public_key(text: str) -> RSAPublicKey:
    """A public key as the registration answers it: base64 of its PKIX (SubjectPublicKeyInfo) form; PEM is taken too.

    Raises:
        InvalidInput: it is no such key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    der = decode_base64(_ARMOUR.sub("", text))
    if der is None:
        raise InvalidInput("A public key is base64 text, as the answer to the registration shows it.")
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as err:
        raise InvalidInput(
            "This is no public key in PKIX form: copy it whole from the answer to the registration."
        ) from err
    if not isinstance(key, RSAPublicKey):
        raise InvalidInput("This public key is not an RSA key; innius signs with RSA-PSS.")
    if key.key_size < LEAST_BITS:
        raise InvalidInput(f"An RSA key has at least {LEAST_BITS:,} bits; this one has {key.key_size:,}.")
    return key


def is_genuine(key: RSAPublicKey, signature: bytes, raw: bytes) -> bool:
    """Was this body signed with the private half of the key?"""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        key.verify(signature, raw, PSS(MGF1(SHA256()), PSS.AUTO), SHA256())
    except InvalidSignature:
        return False
    return True


def sign(key: RSAPrivateKey, raw: bytes) -> str:
    """The header's value for a body: with the longest salt, as the vendor's language does by default."""
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
    from cryptography.hazmat.primitives.hashes import SHA256

    signature = key.sign(raw, PSS(MGF1(SHA256()), PSS.MAX_LENGTH), SHA256())
    return base64.b64encode(signature).decode()


def public_text(key: RSAPublicKey) -> str:
    """Base64 of its PKIX form, on one line: what a registration answers."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
