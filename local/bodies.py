"""Reading request bodies: only with a ``Content-Length``, within the host's limit, not too slowly, not too many."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

__all__ = ["Bodies", "BodyRefused"]

LARGE = 1_048_576
"""Bodies over this many bytes count against what may be held in memory at once."""


class BodyRefused(Exception):
    """The body is not taken; answer with ``status`` and close the connection."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail


@dataclass(slots=True)
class Bodies:
    """The rules for bodies."""

    most_bytes: int = 104_857_600
    """The Functions host's limit (``FUNCTIONS_REQUEST_BODY_SIZE_LIMIT``)."""
    grace_seconds: float = 15.0
    """A body may take so long ..."""
    least_rate: float = 10_000.0
    """... plus its length divided by this, in bytes a second."""
    most_held: int = 536_870_912
    """All large bodies together, in bytes."""
    _held: int = 0

    async def read(self, request: web.BaseRequest) -> bytes:
        """The body, or nothing when the request has no ``Content-Length`` above 0: a chunked body arrives empty.

        Raises:
            BodyRefused: 413 too large, 408 too slow, 429 too many large ones at once.
        """
        length = request.content_length or 0
        if length == 0:
            return b""
        if length > self.most_bytes:
            raise BodyRefused(
                413, "Body too large", f"The body has {length:,} bytes; this host takes {self.most_bytes:,}."
            )
        content = request.content
        if content.is_eof():
            # It came with the header: no waiting, no timeout to set up.
            return content.read_nowait()
        if length > LARGE:
            return await self._read_large(request, length)
        return await self._read(request, length)

    async def _read_large(self, request: web.BaseRequest, length: int) -> bytes:
        if self._held and self._held + length > self.most_held:
            raise BodyRefused(429, "Too many requests", "Too many large bodies at once; send it again in a moment.")
        self._held += length
        try:
            return await self._read(request, length)
        finally:
            self._held -= length

    async def _read(self, request: web.BaseRequest, length: int) -> bytes:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        try:
            async with asyncio.timeout(self.grace_seconds + length / self.least_rate):
                return await request.content.readexactly(length)
        except TimeoutError as err:
            raise BodyRefused(408, "Too slow", "The body took too long to arrive.") from err
        except asyncio.IncompleteReadError as err:
            raise ConnectionResetError("the caller went away while sending") from err
