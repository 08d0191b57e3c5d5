"""The MQTT broker of the sample bakery: mosquitto, where this machine has it.

No broker comes from PyPI that would do: amqtt speaks MQTT 3.1.1, mqttools keeps no QoS 1 for who is away, and the hub
reads through a durable session of MQTT 5. So without mosquitto the proofer is left out, and that is said.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from pathlib import Path

from local.bakery.children import Child, StartFailed, spawn, stop_all

__all__ = ["MISSING", "find_broker", "start_broker"]

MISSING = "mosquitto is not installed (apt-get install mosquitto), so there is no broker for the MQTT proofer."
START_SECONDS = 10.0


def find_broker() -> str | None:
    """The program. Debian puts it where not everybody looks."""
    return shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))


async def start_broker(program: str, folder: Path, port: int) -> Child:
    """A broker on loopback (``port`` 0: any free one) that keeps sessions in ``folder``. Raises ``StartFailed``."""
    port = port or _free_port()
    settings = _write_settings(folder, port)
    with (folder / "mosquitto.log").open("wb") as log:
        process = await spawn(program, "-c", str(settings), stdout=log.fileno(), stderr=log.fileno())
    child = Child("the MQTT broker", process, port)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _listens(port):
                if process.returncode is not None:
                    break
                await asyncio.sleep(0.02)
            else:
                return child
    except TimeoutError:
        pass
    except asyncio.CancelledError:
        await stop_all([child])  # nobody else knows of it yet
        raise
    await stop_all([child])
    raise StartFailed(f"mosquitto did not start; {folder / 'mosquitto.log'} says why.")


def _write_settings(folder: Path, port: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = (
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {folder}/",
        # Started as root it would give up its rights, and could not write into a folder of ours.
        *(("user root",) if os.geteuid() == 0 else ()),
    )
    file = folder / "mosquitto.conf"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
