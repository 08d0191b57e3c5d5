"""Where anchors and seals are kept: reading and adding them, over the blob port."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.audit.anchor import Anchor, Seal, numbers, read_anchor, read_seal
from shared.blobs import BlobStore
from shared.errors import Conflict, NotFound

__all__ = ["AnchorShelf", "Contents", "Unreadable"]

AT_ONCE = 16
"""So many blobs are read at the same time."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something lies under the name of an anchor or seal that is none."""

    number: int
    sha256: str
    """Of the bytes as they are; empty: the blob is gone."""
    problem: str


@dataclass(frozen=True, slots=True)
class Contents:
    """Which anchors and seals there are, ascending."""

    anchors: list[int]
    seals: list[int]


class AnchorShelf:
    """The anchors and seals of one deployment."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def contents(self) -> Contents:
        """What there is: one call for 5,000 names, which is half a year."""
        # Seals first: an anchor that is sealed between the two lists would otherwise seem to be gone.
        seals = numbers([name async for name in self._blobs.names("seal-")], "seal")
        return Contents(numbers([name async for name in self._blobs.names("anchor-")], "anchor"), seals)

    async def anchors(self, wanted: Iterable[int]) -> list[Anchor | Unreadable]:
        """Read these."""
        return await _in_turn(self._anchor(number) for number in wanted)

    async def seals(self, wanted: Iterable[int]) -> list[Seal | Unreadable]:
        """Read these."""
        return await _in_turn(self._seal(number) for number in wanted)

    async def add(self, document: Anchor | Seal) -> bool:
        """Put it there; ``False``: another one has its number.

        A write that was repeated because its answer got lost meets its own document, and has happened.
        """
        data = document.to_bytes()
        try:
            await self._blobs.create(document.name, data)
        except Conflict:
            return await self._blobs.read(document.name) == data
        return True

    async def _anchor(self, number: int) -> Anchor | Unreadable:
        return _read(read_anchor, number, await self._bytes(f"anchor-{number:09d}.json"))

    async def _seal(self, number: int) -> Seal | Unreadable:
        return _read(read_seal, number, await self._bytes(f"seal-{number:09d}.json"))

    async def _bytes(self, name: str) -> bytes | None:
        try:
            return await self._blobs.read(name)
        except NotFound:
            return None


def _read(read: Callable[[int, bytes], R], number: int, data: bytes | None) -> R | Unreadable:
    if data is None:
        return Unreadable(number, "", "it is gone")
    try:
        return read(number, data)
    except ValueError as err:
        return Unreadable(number, hashlib.sha256(data).hexdigest(), str(err))


async def _in_turn(calls: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
    """All of them, in order, some at once."""
    found: list[R] = []
    waiting: list[Coroutine[Any, Any, R]] = []
    for call in calls:
        waiting.append(call)
        if len(waiting) == AT_ONCE:
            found += await asyncio.gather(*waiting)
            waiting = []
    return found + list(await asyncio.gather(*waiting))
