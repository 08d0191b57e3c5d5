"""Embedded blobs: files in a folder, created exclusively, read-only from their first moment.

A file appears under its name only when all of it is on disk: it is written beside and linked into place, and a link,
unlike a rename, never takes the place of another file. The mode 0440 keeps us and other programs from changing it by
mistake; it does not stop somebody who owns the folder. That is what the immutable container in Azure is for.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from shared.blobs.port import check_blob_name, check_blob_size
from shared.errors import Conflict, NotFound, Unavailable

__all__ = ["BlobFiles"]

R = TypeVar("R")

LEFT_OVER_SECONDS = 600
"""A temporary file of this age belongs to a write that never ended."""
FOLDER_MODE, FILE_MODE = 0o750, 0o440


class BlobFiles:
    """The blobs of one folder. Implements :class:`shared.blobs.port.BlobStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept = False

    async def create(self, name: str, data: bytes) -> None:
        """See the port."""
        path = self._path(name)
        check_blob_size(data)
        await self._off_loop(lambda: self._write(path, data))

    async def read(self, name: str) -> bytes:
        """See the port."""
        path = self._path(name)
        return await self._off_loop(lambda: _read(path, name))

    async def names(self, prefix: str = "") -> AsyncIterator[str]:
        """See the port."""
        for name in await self._off_loop(self._all):
            if name.startswith(prefix):
                yield name

    async def check(self) -> None:
        """See the port."""
        await self._off_loop(self._try_writing)

    async def close(self) -> None:
        """Nothing is held open."""

    # In a worker thread ------------------------------------------------------------------------------------------

    async def _off_loop(self, call: Callable[[], R]) -> R:
        try:
            return await asyncio.to_thread(call)
        except OSError as err:
            raise Unavailable(
                f"The folder {self._folder} cannot be used ({err.strerror}); check disk and rights."
            ) from None

    def _path(self, name: str) -> Path:
        return self._folder / check_blob_name(name)

    def _write(self, path: Path, data: bytes) -> None:
        self._make_folder(path.parent)
        self._sweep()
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                path.hardlink_to(temporary)
            except FileExistsError:
                name = path.relative_to(self._folder).as_posix()
                raise Conflict(f"There is a blob {name} already.") from None
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            _sync_folder(folder.parent)

    def _sweep(self) -> None:
        """What a crash left half written, once per process."""
        if self._swept:
            return
        self._swept = True
        for path in self._folder.rglob(".*"):
            if path.is_file() and path.stat().st_mtime < time.time() - LEFT_OVER_SECONDS:
                path.unlink(missing_ok=True)

    def _all(self) -> list[str]:
        found = (path for path in self._folder.rglob("*") if not path.name.startswith(".") and path.is_file())
        return sorted(path.relative_to(self._folder).as_posix() for path in found)

    def _try_writing(self) -> None:
        self._make_folder(self._folder)
        probe = self._folder / f".probe.{secrets.token_hex(4)}"
        try:
            probe.write_bytes(b"written to see whether writing works")
        finally:
            probe.unlink(missing_ok=True)


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"There is no blob {name}.") from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
