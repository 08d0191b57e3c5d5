"""Certificates as people meet them: a fingerprint to compare, a file to paste, a private key that belongs to it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

__all__ = [
    "Pin",
    "SeenCertificate",
    "fingerprint_of",
    "first_of_chain",
    "load_user_certificate",
    "parse_pin",
    "seen",
    "spelled",
]

_HEX = re.compile(r"(?:sha-?256[:=]\s*)?((?:[0-9a-f]{2}[:\s-]?){31}[0-9a-f]{2})", re.IGNORECASE)
_SHA1 = re.compile(r"(?:sha-?1[:=]\s*)?(?:[0-9a-f]{2}[:\s-]?){19}[0-9a-f]{2}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pin:
    """The one certificate that a server may show."""

    fingerprint: str
    """SHA-256 of the DER form, 64 lower-case hex digits."""
    der: bytes | None = field(default=None, repr=False)
    """The certificate itself, where it was given whole."""


@dataclass(frozen=True, slots=True)
class SeenCertificate:
    """A certificate as a server showed it. Nothing is said about whether it may be trusted."""

    fingerprint: str
    thumbprint: str
    """SHA-1, as most servers and their tools show it. Good for comparing by eye, never for pinning."""
    subject: str
    not_before: datetime
    not_after: datetime
    der: bytes = field(repr=False)


def fingerprint_of(der: bytes) -> str:
    """SHA-256 of a certificate in DER form, 64 lower-case hex digits."""
    return hashlib.sha256(der).hexdigest()


def spelled(fingerprint: str) -> str:
    """``AB:CD:...`` as people compare it."""
    upper = fingerprint.upper()
    return ":".join(upper[i : i + 2] for i in range(0, len(upper), 2))


def parse_pin(text: str, *, field: str) -> Pin:
    """A pinned certificate: SHA-256 fingerprint (with or without colons), PEM, or DER in base64.

    Raises:
        InvalidInput: it is none of these; the sentence names ``field``.
    """
    stripped = text.strip()
    if shape := _HEX.fullmatch(stripped):
        return Pin(re.sub(r"[^0-9a-f]", "", shape[1].lower()))
    if _SHA1.fullmatch(stripped):
        raise InvalidInput(
            f"{field} is a SHA-1 thumbprint, which can be forged: give the SHA-256 fingerprint (64 hex digits), as a "
            "connection test shows it, or the certificate itself.",
            field=field,
        )
    der = _certificate_bytes(stripped)
    if der is None:
        raise InvalidInput(
            f"{field} is no certificate: give its SHA-256 fingerprint (64 hex digits), its PEM text, or its DER file "
            "in base64.",
            field=field,
        )
    return Pin(fingerprint_of(der), der)


def seen(der: bytes) -> SeenCertificate | None:
    """What a person needs to know of a certificate; ``None``: it cannot be read. Of a chain the first one counts."""
    der = first_of_chain(der)
    try:
        certificate = _load(der)
        return SeenCertificate(
            fingerprint_of(der),
            hashlib.sha1(der, usedforsecurity=False).hexdigest(),
            _name(certificate),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            der,
        )
    except ValueError:
        return None


def first_of_chain(der: bytes) -> bytes:
    """Servers may send their CA's certificates behind their own."""
    if len(der) < 4 or der[0] != 0x30 or der[1] != 0x82:
        return der
    return der[: int.from_bytes(der[2:4], "big") + 4]


@lru_cache(maxsize=256)  # checking an RSA key costs tens of milliseconds, and a poll comes every second
def load_user_certificate(
    certificate_pem: str, key_pem: str, password: str | None
) -> tuple[Certificate, RSAPrivateKey]:
    """A user's certificate with its private key.

    Raises:
        InvalidInput: one of them cannot be read, or they do not belong together. Never shows a part of them.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    der = _certificate_bytes(certificate_pem.strip())
    if der is None:
        field = "credentials.user_certificate"
        raise InvalidInput(
            f"{field} is no certificate: paste it whole, from -----BEGIN CERTIFICATE----- to its end line.", field=field
        )
    certificate = _load(der)
    field = "credentials.user_private_key"
    try:
        key = load_pem_private_key(key_pem.strip().encode(), password.encode() if password else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidInput(
            f"{field} cannot be read: paste the PEM text whole; if it is protected, give user_private_key_password.",
            field=field,
        ) from None  # the library's own text could show a part of it
    if not isinstance(key, RSAPrivateKey):
        raise InvalidInput(f"{field} is no RSA key, and OPC UA user certificates are RSA: make one.", field=field)
    if certificate.public_key() != key.public_key():
        raise InvalidInput(f"{field} does not belong to credentials.user_certificate: give the pair.", field=field)
    return certificate, key


def _load(der: bytes) -> Certificate:
    from cryptography import x509

    return x509.load_der_x509_certificate(der)


def _certificate_bytes(text: str) -> bytes | None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        if "-----BEGIN" in text:
            return x509.load_pem_x509_certificate(text.encode()).public_bytes(Encoding.DER)
        der = base64.b64decode("".join(text.split()), validate=True)
        x509.load_der_x509_certificate(der)
    except (ValueError, binascii.Error):
        return None
    return der


def _name(certificate: Certificate) -> str:
    from cryptography.x509.oid import NameOID

    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(found[0].value) if found else certificate.subject.rfc4514_string()
    return "".join(c if c.isprintable() else "?" for c in text[:200])
