"""The blob port: bytes under a name, written once. Implementations: ``blob_storage.py`` (Azure) and ``files.py``.

There is no replace and no delete: what is kept here is evidence. One contract suite (``tests/contract/test_blobs.py``)
runs on all backends.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Protocol

from shared.errors import InvalidInput

__all__ = ["MAX_BLOB_BYTES", "BlobStore", "check_blob_name"]

MAX_BLOB_BYTES = 33_554_432
"""A blob is written and read in one piece; larger ones need another way."""

_NAME = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


class BlobStore(Protocol):
    """The blobs of one container. A create has happened - durably - when its call returns.

    Every method may raise ``Unavailable`` (the backend is away, refuses us, or is not set up) with what to do.
    """

    async def create(self, name: str, data: bytes) -> None:
        """Write a new blob, whole or not at all.

        Raises ``Conflict`` when there is one of that name, which is then untouched. A client that repeats a write
        whose answer got lost meets its own blob: whoever wants to know compares what is there. Raises ``InvalidInput``
        for a name that a backend cannot hold and for data over ``MAX_BLOB_BYTES``."""
        ...

    async def read(self, name: str) -> bytes:
        """The whole blob. Raises ``NotFound``."""
        ...

    def names(self, prefix: str = "") -> AsyncIterator[str]:
        """The names that begin with ``prefix``, in the order of their bytes."""
        ...

    async def check(self) -> None:
        """Can we reach it and read? Returns, or raises ``Unavailable`` with what to do. For the readiness probe."""
        ...

    async def close(self) -> None:
        """Let go of connections. Never needed for durability."""
        ...


def check_blob_name(name: str) -> str:
    """The name, if every backend can hold it: segments of letters, digits and ``. _ -``, separated by ``/``.

    Raises:
        InvalidInput: it has another form, or over 200 characters.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "A blob's name is made of letters, digits and `. _ -`, in parts separated by `/` that begin with a letter "
            "or digit, at most 200 characters.",
            field="name",
        )
    return name


def check_blob_size(data: bytes) -> bytes:
    """The data, if it is not too large. Raises ``InvalidInput``."""
    if len(data) > MAX_BLOB_BYTES:
        raise InvalidInput(f"A blob may have {MAX_BLOB_BYTES:,} bytes; this one has {len(data):,}.", field="data")
    return data
