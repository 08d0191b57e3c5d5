"""Azurite, Microsoft's emulator of Azure Storage, as far as blobs go: a process of its own, everything in memory.

It comes from npm (``make .stamps/azurite``; pinned in ``package.json`` beside this file) and is started without
``--skipApiVersionCheck``: the adapter pins a version of the protocol that it knows, and these tests prove it.
Without ``--disableTelemetry`` it would call home. 145 MB each, so that the tests that need it share one
(``xdist_group("azurite")``).

What it does not prove: immutability policies (it has none), Entra roles, network rules.
"""

from __future__ import annotations

import queue
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

__all__ = ["ACCOUNT", "KEY", "Azurite", "running"]

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".azurite" / "node_modules" / ".bin" / "azurite-blob"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Published by Microsoft: every Azurite has it."""
READY_SECONDS = 60.0
"""It listens after two seconds; on a busy machine later."""
STOP_SECONDS = 10.0


class Azurite:
    """``start()`` returns when it listens, ``stop()`` when it is gone."""

    def __init__(self, *, port: int = 0) -> None:
        self.port = port
        """The port asked for; after ``start`` the one it has."""
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Of the account, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        """As the SDK takes it."""
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.url};"

    @property
    def settings(self) -> dict[str, str]:
        """What the app's environment needs."""
        return {"AuditAnchorsConnection": self.connection_string}

    def start(self) -> None:
        """Run it. Raises ``RuntimeError``: it is not installed, or does not come up."""
        if not PROGRAM.exists():
            raise RuntimeError(f"Azurite is not installed in {PROGRAM.parents[2]}: run `make .stamps/azurite`.")
        flags = ["--inMemoryPersistence", "--disableTelemetry", "--silent", "--extentMemoryLimit", "256"]
        self._process = subprocess.Popen(
            [PROGRAM, *flags, "--blobHost", "127.0.0.1", "--blobPort", str(self.port)],
            cwd=PROGRAM.parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said: list[str] = []
        lines: queue.Queue[str | None] = queue.Queue()
        assert self._process.stdout is not None
        threading.Thread(target=_listen, args=(self._process.stdout, lines), daemon=True).start()
        until = time.monotonic() + READY_SECONDS
        while (port := _port_in(said)) is None:
            try:
                line = lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                self.stop()
                raise RuntimeError(f"Azurite did not start: {''.join(said)[-2000:]}")
            said.append(line)
        self.port = port

    def stop(self) -> None:
        """End it. Doing it twice is no error."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    async def make_container(self, name: str) -> None:
        """As infra/main.bicep does in Azure, for a new deployment: one that was there is emptied."""
        from azure.core.exceptions import ResourceExistsError
        from azure.storage.blob.aio import BlobServiceClient

        from shared.blobs.blob_storage import API_VERSION

        async with BlobServiceClient.from_connection_string(self.connection_string, api_version=API_VERSION) as service:
            try:
                await service.create_container(name)
            except ResourceExistsError:
                container = service.get_container_client(name)
                async for blob in container.list_blob_names():
                    await container.delete_blob(blob)


def _listen(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    """Read on after it is up, too: a full pipe would stop it."""
    try:
        for line in stream:
            lines.put(line)
    except ValueError:
        pass  # closed by stop()
    lines.put(None)


def _port_in(said: list[str]) -> int | None:
    found = re.search(r"successfully listens on http://127\.0\.0\.1:(\d+)", "".join(said))
    return int(found[1]) if found else None


@cache
def running() -> Azurite:
    """The one of this test process, started when the first test asks; it ends with the process."""
    import atexit

    server = Azurite()
    server.start()
    atexit.register(server.stop)
    return server


@contextmanager
def own() -> Iterator[Azurite]:
    """One for a test that stops it."""
    server = Azurite()
    server.start()
    try:
        yield server
    finally:
        server.stop()
