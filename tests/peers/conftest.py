"""The independent servers, one process each per session, and what to do where one is not installed."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".peers"
SERVERS = Path(__file__).parent / "servers"
STARTS_WITHIN = 60.0


def need(there: bool, what: str) -> None:
    """Skip, saying what is missing; where CI requires the peers, fail."""
    if there:
        return
    reason = f"{what} is not installed here: make peers installs it"
    if os.environ.get("OVENBRIDGE_PEERS") == "required":
        pytest.fail(f"{reason}, and OVENBRIDGE_PEERS=required", pytrace=False)
    pytest.skip(reason)


def need_node(package: str) -> None:
    """Skip or fail without Node.js or without this npm package."""
    need(shutil.which("node") is not None, "node")
    need((PEERS / "node_modules" / package).is_dir(), f"the npm package {package}")


class ScriptedServer:
    """A server script that says ``{"ready": ...}`` and takes commands, one line of JSON each, on its standard input."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        self._lines: queue.Queue[str | None] = queue.Queue()
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, text=True
            )
        threading.Thread(target=self._listen, daemon=True).start()
        self.ready: dict[str, Any] = self._answer(STARTS_WITHIN)["ready"]

    async def tell(self, do: str, **more: Any) -> dict[str, Any]:
        """Give a command; what it answered."""
        return await asyncio.to_thread(self._tell, {"do": do, **more})

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _tell(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._answer(30.0)
        assert "failed" not in answer, answer.get("error")
        return answer

    def _answer(self, seconds: float) -> dict[str, Any]:
        while True:
            line = self._lines.get(timeout=seconds)
            assert line is not None, f"the server ended: {self._log.read_text('utf-8')[-2000:]}"
            if line.startswith("{"):  # libraries greet people on standard output
                found: dict[str, Any] = json.loads(line)
                return found

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._lines.put(line)
        except ValueError:
            pass  # closed by stop()
        self._lines.put(None)


@pytest.fixture(scope="session")
def opc_ua_peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    """node-opcua: ``kitchen`` (secured, OPC 30200) and ``plain``; their ports are in ``ready``."""
    need_node("node-opcua")
    folder = tmp_path_factory.mktemp("opcua")
    server = ScriptedServer(["node", str(SERVERS / "opcua.js"), str(folder / "pki")], folder / "opcua.log")
    try:
        yield server
    finally:
        server.stop()
