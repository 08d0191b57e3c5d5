"""An HTTP or HTTPS application on this machine, in a thread with a loop of its own.

So it serves tests whose loops come and go, and a test that blocks its loop cannot block the server.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable

from aiohttp import web

__all__ = ["Serving"]


class Serving:
    """``start()`` returns when it listens, ``stop()`` when the port is free again."""

    def __init__(self, application: Callable[[], web.Application], *, port: int = 0, tls: ssl.SSLContext | None = None):
        self.port = port
        """The port asked for; after ``start`` the one it has."""
        self._application = application
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._up = threading.Event()
        self._failed: BaseException | None = None
        self._over: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """``https://127.0.0.1:port`` without a slash at the end."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen. Raises ``OSError``: the port is taken."""
        self._up.clear()
        self._failed = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="wire", daemon=True)
        self._thread.start()
        self._up.wait()
        if self._failed is not None:
            self._thread.join()
            raise self._failed

    def stop(self) -> None:
        """Close every connection and the port. Doing it twice is no error."""
        if self._thread is None or self._loop is None or self._over is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._thread = None

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        runner = web.AppRunner(self._application(), access_log=None, handle_signals=False, shutdown_timeout=0.05)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self._tls)
            await site.start()
            self.port = runner.addresses[0][1]
        except OSError as err:
            self._failed = err
            await runner.cleanup()
            return
        finally:
            self._up.set()
        await self._over.wait()
        # Not by a TLS farewell: the other side may be a loop that waits for us to end.
        for connection in runner.server.connections if runner.server is not None else ():
            if connection.transport is not None:
                connection.transport.abort()
        await runner.cleanup()
        await asyncio.sleep(0)
