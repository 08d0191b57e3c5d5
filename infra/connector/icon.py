"""``icon.png``: a loaf on the brand colour, drawn here so that no binary stands in the tree without its source."""

from __future__ import annotations

import struct
import zlib

__all__ = ["icon"]

SIZE = 160
BACKGROUND, LOAF, CUT = 0, 1, 2
PALETTE = bytes((0x7A, 0x3E, 0x1D, 0xF2, 0xC9, 0x8A, 0x7A, 0x3E, 0x1D))


def icon() -> bytes:
    """The picture. Stored, not compressed: the same bytes with every version of zlib."""
    rows = b"".join(b"\x00" + bytes(_colour(x, y) for x in range(SIZE)) for y in range(SIZE))
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", PALETTE), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _colour(x: int, y: int) -> int:
    across, down = (x - 80) / 58, (y - 84) / 36
    if across * across + down * down > 1:
        return BACKGROUND
    for cut in (-28, 0, 28):
        if abs(x - 80 - cut + (y - 84) * 0.45) < 4 and 60 <= y <= 96:
            return CUT
    return LOAF


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
