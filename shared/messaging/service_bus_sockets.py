"""Sockets that azure-servicebus 7.15 forgets.

When the service closes a connection first, the SDK notes that it is gone and never closes its own end: each broken
connection would leave a socket in CLOSE_WAIT until the garbage collector comes by. The SDK has no public hook for this,
so its closing is completed from here; where its inside is another one day, nothing is done, and a test says so.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

__all__ = ["close_sockets_too"]

log = logging.getLogger("ovenbridge.servicebus")

CLOSE_SECONDS = 1.0


def close_sockets_too(part: Any) -> None:
    """From now on, when this sender or receiver closes a connection, for whatever reason, the socket is closed too."""
    create = getattr(part, "_create_handler", None)
    if create is None:
        return

    def create_and_complete(auth: Any) -> None:
        create(auth)
        _complete(getattr(part, "_handler", None))

    part._create_handler = create_and_complete


def _complete(handler: Any) -> None:
    close = getattr(handler, "close_async", None)
    if close is None:
        return

    async def close_all() -> None:
        connection = getattr(handler, "_connection", None)
        try:
            await close()
        finally:
            transport = getattr(connection, "_transport", None)
            if transport is not None:
                await _close(transport)

    handler.close_async = close_all


async def _close(transport: Any) -> None:
    """Closing one that is closed already is no error."""
    session = getattr(transport, "session", None)  # over WebSockets: forgotten where the handshake failed
    for closing in (transport.close, *((session.close,) if session is not None else ())):
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await closing()
        except Exception as error:  # noqa: BLE001 - it was broken before; there is nothing to save
            log.debug("A socket to Service Bus did not close well: %r", error)
