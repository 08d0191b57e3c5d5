"""HTTPS with the site's own certificate; a newer file is used without a restart."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path

from shared.errors import BrokenSettings

__all__ = ["CERTIFICATE", "KEY", "SiteCertificate"]

log = logging.getLogger("ovenbridge.host")

CERTIFICATE, KEY = "TLS_CERTIFICATE_FILE", "TLS_KEY_FILE"
EVERY_SECONDS = 30.0
"""Between two looks at the files."""


class SiteCertificate:
    """A certificate with its chain, and its key, in PEM files."""

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """Raises ``BrokenSettings`` when the files cannot be used."""
        self._certificate = certificate
        self._key = key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._stamp = self._stamped()
        try:
            self._load()
        except (OSError, ssl.SSLError) as error:
            raise BrokenSettings(self._sentence(error)) from error

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> SiteCertificate | None:
        """As the settings say; ``None``: plain HTTP. Raises ``BrokenSettings``."""
        certificate, key = settings.get(CERTIFICATE, ""), settings.get(KEY, "")
        if not certificate:
            if key:
                raise BrokenSettings(f"{KEY} is set and {CERTIFICATE} is not: name the certificate's file, too.")
            return None
        return cls(Path(certificate), Path(key) if key else None)

    async def follow(self) -> None:
        """Use newer files as they come, until cancelled. Those that cannot be used change nothing."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            self.look()

    def look(self) -> None:
        """Use the files if they are others than before: connections that are opened from now on see the new one."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            # Into a context of its own first: half a pair must not get into the one that serves.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
            self._load()
        except (OSError, ssl.SSLError) as error:
            log.error("The certificate before is still used: %s", self._sentence(error))
        else:
            log.warning("%s has a new certificate; it is used from now on.", CERTIFICATE)

    def _load(self) -> None:
        self.context.load_cert_chain(self._certificate, self._key)

    def _stamped(self) -> tuple[object, ...]:
        return tuple(_stamp(file) for file in (self._certificate, self._key) if file is not None)

    def _sentence(self, error: Exception) -> str:
        why = getattr(error, "strerror", None) or type(error).__name__
        return (
            f"{CERTIFICATE} is not usable ({why}): write a PEM file with the certificate and its chain, and the key "
            f"that belongs to it into the same file or into {KEY}, without a password, readable for us."
        )


def _stamp(file: Path) -> object:
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
