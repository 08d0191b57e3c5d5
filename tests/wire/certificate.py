"""A self-signed certificate for servers on this machine, and one for a client that signs in with it."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

__all__ = ["client_certificate", "server_context"]


def server_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What a server on 127.0.0.1 needs for TLS, and the file that its clients must trust (elliptic curve, one day)."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(a)) for a in ("127.0.0.1", "::1"))]
    certificate = _signed(key, "localhost", timedelta(days=1), names)
    trusted, private = folder / "server.crt", folder / "server.key"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted


def client_certificate(folder: Path, *, name: str = "relay", days: int = 365) -> tuple[Path, x509.Certificate]:
    """A PEM file with key and certificate, as an Entra app registration takes it; ``days`` from now it expires."""
    key = rsa.generate_private_key(65537, 2048)
    certificate = _signed(key, name, timedelta(days=days), [x509.DNSName(name)])
    path = folder / f"{name}.pem"
    path.write_bytes(_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
    path.chmod(0o400)
    return path, certificate


def _signed(key: Any, name: str, valid_for: timedelta, names: list[Any]) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + valid_for) - timedelta(days=1))
        .not_valid_after(now + valid_for)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    return builder.sign(key, hashes.SHA256())


def _pem(key: Any) -> bytes:
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
