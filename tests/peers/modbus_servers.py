"""The independent Modbus servers: a C program on libmodbus, and modbus-serial on Node.js; over TCP or a pty pair."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from tests.peers.conftest import SERVERS, ScriptedServer, need, need_node

__all__ = ["SerialLine", "build_libmodbus", "libmodbus", "modbus_serial"]

APPEARS_WITHIN = 10.0


def build_libmodbus(folder: Path) -> Path:
    """Compile the server; skips or fails where that is not possible."""
    need(shutil.which("gcc") is not None, "gcc")
    need(Path("/usr/include/modbus/modbus.h").exists(), "libmodbus-dev")
    program = folder / "modbus"
    source = str(SERVERS / "modbus.c")
    command = ["gcc", "-Wall", "-O1", "-o", str(program), source, "-I/usr/include/modbus", "-lmodbus"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return program


def libmodbus(program: Path, *arguments: str) -> ScriptedServer:
    """Start the libmodbus server."""
    return ScriptedServer([str(program), *arguments], program.with_name(f"{'-'.join(arguments[:1])}.log"))


def modbus_serial(folder: Path, *arguments: str) -> ScriptedServer:
    """Start the modbus-serial server."""
    need_node("modbus-serial")
    return ScriptedServer(["node", str(SERVERS / "modbus.js"), *arguments], folder / "modbus-serial.log")


class SerialLine:
    """Two serial ports that are joined by a cable, as far as programs can tell: a pair of ptys by socat."""

    def __init__(self, folder: Path) -> None:
        need(shutil.which("socat") is not None, "socat")
        links = [folder / "ours", folder / "theirs"]
        ends = [f"pty,raw,echo=0,link={link}" for link in links]
        self._process = subprocess.Popen(["socat", *ends], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + APPEARS_WITHIN
        while not all(link.exists() for link in links):
            assert self._process.poll() is None, "socat ended"
            assert time.monotonic() < deadline, "socat made no ports"
            time.sleep(0.01)
        self.ours, self.theirs = (str(link.resolve()) for link in links)
        """Like ``/dev/pts/3``."""

    def pull(self) -> None:
        """The cable, for good."""
        self._process.terminate()
        self._process.wait(10)
