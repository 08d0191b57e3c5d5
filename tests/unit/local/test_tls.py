"""HTTPS of the local host: the site's certificate, a newer one without a restart, a sentence for a wrong one."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from local.tls import SiteCertificate
from shared.errors import BrokenSettings
from tests.unit.relay.certificates import write_pair

NEXT_YEAR = datetime.now(UTC) + timedelta(days=300)


async def shown(certificate: SiteCertificate) -> int:
    """The serial number that a caller sees."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(served, "127.0.0.1", 0, ssl=certificate.context) as server:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
    return x509.load_der_x509_certificate(der).serial_number


async def test_a_newer_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    certificate, key = tmp_path / "site.crt", tmp_path / "site.key"
    first = write_pair(certificate, key, ends=NEXT_YEAR)
    served = SiteCertificate(certificate, key)
    assert await shown(served) == first
    old_key = key.read_bytes()
    second = write_pair(certificate, key, ends=NEXT_YEAR)
    new_key = key.read_bytes()
    key.write_bytes(old_key)
    served.look()
    assert await shown(served) == first, "a pair that does not belong together changes nothing"
    key.write_bytes(new_key)
    served.look()
    assert await shown(served) == second
    certificate.unlink()
    served.look()
    assert await shown(served) == second


def test_both_in_one_file(tmp_path: Path) -> None:
    certificate, key = tmp_path / "site.crt", tmp_path / "site.key"
    write_pair(certificate, key, ends=NEXT_YEAR)
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    assert SiteCertificate.of({"TLS_CERTIFICATE_FILE": str(both)}) is not None
    assert SiteCertificate.of({}) is None


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    certificate, key = tmp_path / "site.crt", tmp_path / "site.key"
    write_pair(certificate, key, ends=NEXT_YEAR)
    with pytest.raises(BrokenSettings, match="TLS_CERTIFICATE_FILE is not usable"):
        SiteCertificate.of({"TLS_CERTIFICATE_FILE": str(tmp_path / "none.pem")})
    with pytest.raises(BrokenSettings, match="the key that belongs to it"):
        SiteCertificate.of({"TLS_CERTIFICATE_FILE": str(certificate)})
    with pytest.raises(BrokenSettings, match="name the certificate's file"):
        SiteCertificate.of({"TLS_KEY_FILE": str(key)})
