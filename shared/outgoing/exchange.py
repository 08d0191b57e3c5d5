"""One request, one answer, inside hard limits of time and size. Imported lazily (it loads aiohttp)."""

from __future__ import annotations

import asyncio
import time

import aiohttp
from yarl import URL

from shared.errors import UnsafeTarget
from shared.outgoing.answer import OutgoingAnswer, unpacked
from shared.outgoing.failures import OutgoingError, explain, too_late
from shared.outgoing.pool import Progress, progress_of_this_request
from shared.outgoing.targets import Target

__all__ = ["exchange"]

_RETRIED_BY_AIOHTTP = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""aiohttp itself sends these once more on a dead connection; twice is the bound for all."""


async def exchange(
    session: aiohttp.ClientSession,
    method: str,
    target: Target,
    headers: dict[str, str],
    content: bytes,
    timeout_seconds: float,
    max_answer_bytes: int,
    *,
    once: bool = False,
) -> OutgoingAnswer:
    """Send and read, all within ``timeout_seconds``.

    Raises:
        OutgoingError: no answer, or one that breaks off.
    """
    progress = Progress()
    url = _wire_url(target)
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_seconds):
            try:
                return await _once(session, method, url, headers, content, max_answer_bytes, progress, started)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as err:
                if once or not _may_send_again(err, method, progress):
                    raise
                progress = Progress()
                return await _once(session, method, url, headers, content, max_answer_bytes, progress, started)
    except TimeoutError as err:
        raise too_late(
            f"{target.host}:{target.port}",
            timeout_seconds,
            connected=progress.connected,
            answered=progress.answered,
            scheme=target.scheme,
        ) from err
    except (aiohttp.ClientError, UnsafeTarget, OSError, ValueError, RuntimeError) as err:
        # ValueError: a header with a line break. RuntimeError: the loop's own complaints about dead transports.
        raise explain(err, f"{target.host}:{target.port}") from err


def _wire_url(target: Target) -> URL:
    """The URL as aiohttp wants it, shown to say the same as what was vetted."""
    url = URL(target.url, encoded=True)
    written = target.url[len(target.origin) :]
    if url.raw_path_qs not in (written, "/" + written) or url.port != target.port:
        raise OutgoingError("The URL cannot be sent exactly as it is written: remove the ? at its end.", kind="unsafe")
    return url


def _may_send_again(err: Exception, method: str, progress: Progress) -> bool:
    """Only when a connection that was kept died under the request, before any byte of an answer."""
    half_answered = isinstance(err, aiohttp.ServerDisconnectedError) and not isinstance(err.message, str)
    return progress.reused and not progress.answered and not half_answered and method not in _RETRIED_BY_AIOHTTP


async def _once(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    headers: dict[str, str],
    content: bytes,
    max_answer_bytes: int,
    progress: Progress,
    started: float,
) -> OutgoingAnswer:
    progress_of_this_request.set(progress)
    response = await session.request(method, url, headers=headers, data=content or None, allow_redirects=False)
    progress.answered = True
    try:
        body, truncated = await _read(response, max_answer_bytes)
    except BaseException:
        response.close()
        raise
    if truncated:
        response.close()
    else:
        response.release()
    if response.headers.get("Content-Encoding"):
        body, truncated = unpacked(response.headers["Content-Encoding"], body, truncated, max_answer_bytes)
    elapsed_ms = (time.perf_counter() - started) * 1000
    return OutgoingAnswer(response.status, response.headers, body, elapsed_ms, truncated)


async def _read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """At most ``limit`` bytes, and whether there was more."""
    stream = response.content
    first = await stream.read(limit + 1)
    if stream.at_eof():
        return first[:limit], len(first) > limit
    chunks, size = [first], len(first)
    while size <= limit:
        chunk = await stream.read(limit + 1 - size)
        if not chunk:
            return b"".join(chunks), False
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)[:limit], True
