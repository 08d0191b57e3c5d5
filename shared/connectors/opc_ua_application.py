"""Our own OPC UA application certificate: made once, kept in the vault with its key, the same for every server.

Each server has to be told once, by a person, to trust it; so it is renewed only as an explicit act. Two processes that
make one at the very first moment both ask the vault again afterwards and within ten minutes: the last one written wins,
before anybody can have trusted either.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared import json_text
from shared.clock import Clock
from shared.connectors.opc_ua_certificates import SeenCertificate, seen
from shared.errors import NotFound, Unavailable
from shared.secrets import Vault

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

__all__ = ["ApplicationCertificate", "OpcUaApplication"]

SECRET = "opc-ua-application"  # noqa: S105  # its name, not its value
LIFETIME = timedelta(days=5 * 365)
WARNED_BEFORE = timedelta(days=60)
REMEMBERED = timedelta(minutes=10)
KEY_BITS = 2048
"""What every policy we speak allows, and every server accepts."""
NAME = "Ovenbridge"
_BROKEN = (
    f"The secret {SECRET} in the vault is not what we wrote: restore it; or delete it, then a new certificate is made, "
    "which every server has to be told to trust."
)


@dataclass(frozen=True, slots=True)
class ApplicationCertificate:
    """Who we are to a server."""

    application_uri: str
    certificate: SeenCertificate
    certificate_pem: str
    loaded: Certificate = field(repr=False)
    private_key: RSAPrivateKey = field(repr=False)
    """Loaded once: checking an RSA key costs tens of milliseconds."""

    def warning(self, now: datetime) -> str | None:
        """A sentence when it ends soon, or has ended."""
        left = self.certificate.not_after - now
        if left > WARNED_BEFORE:
            return None
        when = f"{self.certificate.not_after:%Y-%m-%d}"
        what = f"expired on {when}" if left < timedelta() else f"expires on {when}"
        return (
            f"Our own OPC UA certificate {what}: make a new one with POST /api/v1/opc-ua/certificate/renew, then let "
            "every server trust it."
        )


class OpcUaApplication:
    """The certificate of this installation."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._lock = asyncio.Lock()
        self._known: tuple[ApplicationCertificate, datetime] | None = None

    async def certificate(self) -> ApplicationCertificate:
        """The one there is; made if there is none yet. Raises ``Unavailable``: the vault is away."""
        async with self._lock:
            if self._known is not None and abs(self._clock.now() - self._known[1]) < REMEMBERED:
                return self._known[0]
            try:
                return await self._read()
            except NotFound:
                return await self._make(f"urn:ovenbridge:{secrets.token_hex(8)}")
            except Unavailable:
                # What was true ten minutes ago is better than a reading that is lost because the vault is away.
                if self._known is not None:
                    return self._known[0]
                raise

    async def known_end(self) -> datetime | None:
        """When the certificate ends that there is; ``None``: there is none yet, and none is made. Raises
        ``Unavailable``."""
        async with self._lock:
            if self._known is not None and abs(self._clock.now() - self._known[1]) < REMEMBERED:
                return self._known[0].certificate.not_after
            try:
                return (await self._read()).certificate.not_after
            except NotFound:
                return None

    async def renew(self) -> ApplicationCertificate:
        """A new key and certificate under the same application URI. Raises ``Unavailable``."""
        async with self._lock:
            try:
                uri = (await self._read()).application_uri
            except (NotFound, Unavailable):  # broken, or away; if it is away, writing fails too
                uri = f"urn:ovenbridge:{secrets.token_hex(8)}"
            return await self._make(uri)

    async def _read(self) -> ApplicationCertificate:
        stored = await self._vault.get(SECRET)
        return self._remember(_loaded(json_text.load(stored.value)))

    async def _make(self, uri: str) -> ApplicationCertificate:
        now = self._clock.now().replace(microsecond=0)
        # A thread: making the key takes a tenth of a second and more.
        made = await asyncio.to_thread(_generated, uri, now)
        text = json_text.dump(made).decode()
        await self._vault.set(SECRET, text, expires_at=now + LIFETIME)
        return await self._read()

    def _remember(self, found: ApplicationCertificate) -> ApplicationCertificate:
        self._known = found, self._clock.now()
        return found


def _loaded(value: dict[str, Any]) -> ApplicationCertificate:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    try:
        pem = value["certificate"]
        certificate = x509.load_pem_x509_certificate(pem.encode())
        key = load_pem_private_key(value["privateKey"].encode(), None)
        uri = value["applicationUri"]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Unavailable(_BROKEN) from None  # the library's own text could show a part of the key
    shown = seen(certificate.public_bytes(Encoding.DER))
    if shown is None or not isinstance(key, RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise Unavailable(_BROKEN)
    return ApplicationCertificate(uri, shown, pem, certificate, key)


def _generated(uri: str, now: datetime) -> dict[str, str]:
    """After OPC 10000-6 section 6.2.2: URI and host name in the alternative names, the usages a client needs."""
    import socket

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = rsa.generate_private_key(public_exponent=65_537, key_size=KEY_BITS)
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, NAME), x509.NameAttribute(NameOID.ORGANIZATION_NAME, NAME)]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,  # self-signed: servers build its chain from itself
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    host = socket.gethostname()
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    if host.isascii():
        names.append(x509.DNSName(host))
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # the clocks of machines are often behind
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "applicationUri": uri,
        "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "privateKey": private.decode(),
    }
