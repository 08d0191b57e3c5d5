"""The embedded vault: one encrypted file per secret, AES-256-GCM, key file beside them.

It keeps credentials out of the store, its backups and every dump; it does not protect against somebody who can read
the folder as this user: the key lies in it. On Azure, Key Vault takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from shared import json_text
from shared.clock import Clock, iso, parse_iso
from shared.errors import BrokenSettings, NotFound, Unavailable
from shared.secrets.names import check_name, check_value
from shared.secrets.port import Secret, SecretMetadata

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["FileVault"]

R = TypeVar("R")

KEY_FILE = "vault.key"
SUFFIX = ".secret"
LEFT_OVER_SECONDS = 600
"""A temporary file of this age belongs to a write that never ended."""


class FileVault:
    """Secrets in a folder of mode 0700. Implements :class:`shared.secrets.port.Vault`."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._guard = threading.Lock()
        self._cipher: AESGCM | None = None

    async def get(self, name: str) -> Secret:
        """See the port."""
        check_name(name)
        return await self._off_loop(lambda: self._read(name))

    async def set(self, name: str, value: str, *, expires_at: datetime | None = None) -> Secret:
        """See the port."""
        check_name(name)
        check_value(value)
        whole = None if expires_at is None else expires_at.replace(microsecond=0)
        secret = Secret(name, value, secrets.token_hex(16), whole)
        await self._off_loop(lambda: self._write(secret))
        return secret

    async def delete(self, name: str) -> None:
        """See the port."""
        check_name(name)
        await self._off_loop(lambda: self._remove(name))

    async def list(self) -> Sequence[SecretMetadata]:
        """See the port."""
        return await self._off_loop(self._metadata)

    async def close(self) -> None:
        """Nothing is held open."""

    async def check(self) -> None:
        """See the port."""
        await self._off_loop(self._opened)

    # In a worker thread, one at a time ---------------------------------------------------------------------------

    async def _off_loop(self, call: Callable[[], R]) -> R:
        def guarded() -> R:
            with self._guard:
                try:
                    return call()
                except OSError as err:
                    raise Unavailable(
                        f"The vault folder {self._folder} cannot be used ({err.strerror}); check disk and rights."
                    ) from None

        return await asyncio.to_thread(guarded)

    def _opened(self) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if self._cipher is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            _sweep(self._folder)
            self._cipher = AESGCM(self._key())
        return self._cipher

    def _key(self) -> bytes:
        path = self._folder / KEY_FILE
        if not path.exists():
            if any(self._folder.glob(f"*{SUFFIX}")):
                raise BrokenSettings(
                    f"The vault's key file {path} is missing, so its secrets cannot be read. Restore it from a "
                    f"backup, or delete {self._folder} and enter the credentials again."
                )
            _write_file(path, secrets.token_bytes(32), lambda new: _link(new, path))
        key = path.read_bytes()
        if len(key) != 32:
            raise BrokenSettings(f"The vault's key file {path} is damaged; restore it from a backup.")
        path.chmod(0o600)
        return key

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{SUFFIX}"

    def _document(self, name: str) -> dict[str, Any]:
        from cryptography.exceptions import InvalidTag

        cipher = self._opened()
        try:
            sealed = self._path(name).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"The vault has no secret {name}.") from None
        try:
            plain = cipher.decrypt(sealed[:12], sealed[12:], name.encode())
        except (InvalidTag, ValueError):
            raise Unavailable(
                f"The secret {name} cannot be decrypted: {self._folder / KEY_FILE} is not the key it was written "
                "with, or the file was changed. Restore both from one backup, or enter the credentials again."
            ) from None
        document: dict[str, Any] = json_text.load(plain)
        return document

    def _read(self, name: str) -> Secret:
        document = self._document(name)
        expires = document["expiresAt"]
        return Secret(name, document["value"], document["version"], None if expires is None else parse_iso(expires))

    def _write(self, secret: Secret) -> None:
        document = {
            "value": secret.value,
            "version": secret.version,
            "updatedAt": iso(self._clock.now()),
            "expiresAt": None if secret.expires_at is None else iso(secret.expires_at),
        }
        nonce = secrets.token_bytes(12)
        sealed = self._opened().encrypt(nonce, json_text.dump(document), secret.name.encode())
        path = self._path(secret.name)
        _write_file(path, nonce + sealed, lambda new: new.replace(path))

    def _remove(self, name: str) -> None:
        self._opened()
        with contextlib.suppress(FileNotFoundError):
            self._path(name).unlink()
            _sync_folder(self._folder)

    def _metadata(self) -> Sequence[SecretMetadata]:
        self._opened()
        found: list[SecretMetadata] = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            name = path.name.removesuffix(SUFFIX)
            document = self._document(name)
            expires = document["expiresAt"]
            found.append(
                SecretMetadata(
                    name,
                    parse_iso(document["updatedAt"]),
                    None if expires is None else parse_iso(expires),
                )
            )
        return found


def _write_file(path: Path, data: bytes, put: Callable[[Path], object]) -> None:
    """All or nothing, and on disk when it returns: written beside, then put in place."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        put(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _link(new: Path, path: Path) -> None:
    """In place unless somebody was faster: a key is never replaced."""
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(new)


def _sweep(folder: Path) -> None:
    """What a crash left half written."""
    for path in folder.glob(".*"):
        if path.stat().st_mtime < time.time() - LEFT_OVER_SECONDS:
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
