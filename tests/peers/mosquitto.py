"""A mosquitto broker as a process of its own, and a publisher that is mosquitto's own, too."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Self

__all__ = ["Broker", "installed", "publish"]

STARTS_WITHIN = 10.0


def installed() -> bool:
    """Is there a broker to start?"""
    return shutil.which("mosquitto") is not None or Path("/usr/sbin/mosquitto").exists()


class Broker:
    """Listens on a port of loopback that stays the same over :meth:`stop` and :meth:`start`; keeps what it has on disk.

    ``lines`` go into its configuration.
    """

    def __init__(self, folder: Path, *lines: str, anonymous: bool = True) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        config = [
            "user root",  # started as root it would give up its rights, and could not write into a folder of ours
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {str(anonymous).lower()}",
            "persistence true",
            f"persistence_location {folder}/",
            *lines,
        ]
        (folder / "mosquitto.conf").write_text("\n".join(config) + "\n", "utf-8")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Until it listens."""
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220  # takes no time; it is waited for below
                [program, "-c", str(self.folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        async with asyncio.timeout(STARTS_WITHIN):
            while not await _listens(self.port):
                assert self._process.poll() is None, self.log()
                await asyncio.sleep(0.01)

    async def stop(self, *, kill: bool = False) -> None:
        """End it; ``kill``: without giving it time to write down what it has."""
        process, self._process = self._process, None
        if process is not None:
            (process.kill if kill else process.terminate)()
            await asyncio.to_thread(process.wait, 10)

    def log(self) -> str:
        """What it said last."""
        return (self.folder / "mosquitto.log").read_text("utf-8", "replace")[-3000:]


def publish(
    port: int, messages: Iterable[tuple[str, str]], *, retain: bool = False, qos: int = 1, user: str | None = None,
    password: str | None = None, ca: Path | None = None,
) -> None:  # fmt: skip
    """Send ``(topic, payload)`` one after the other, and wait until the broker has them all. Call it in a thread."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(100)
    if user is not None:
        client.username_pw_set(user, password)
    if ca is not None:
        client.tls_set(str(ca))
    client.connect("localhost" if ca else "127.0.0.1", port)
    client.loop_start()
    try:
        for sent in [client.publish(topic, payload, qos, retain) for topic, payload in messages]:
            sent.wait_for_publish(20)
            assert sent.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
