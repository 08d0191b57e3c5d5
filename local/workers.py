"""More processes: ``--workers N``. The first takes connections and owns the timers; it hands connections out in turn.

A worker is the same host over the same data folder, without timers and without a door of its own: connections come to
it over a socket pair. It ends with the first process, whatever way that ends; when it dies alone it is started again in
its place, and finds there the messages that were its predecessor's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from shared.errors import BrokenSettings

__all__ = ["Post", "Workers", "refuse_workers"]

log = logging.getLogger("ovenbridge.host.workers")

READY = b"r"
START_SECONDS = 20.0
"""So long the first process waits for the others at the start, before it says that it is ready."""
LONGEST_PAUSE = 15.0
"""Seconds between starts of a worker that does not stay."""
SOUND_SECONDS = 30.0
"""A worker that lived so long is started again at once."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Post:
    """A worker's end: what place it has, and where its connections come from."""

    slot: int
    size: int
    control: socket.socket
    door: socket.socket
    """The first process's listening socket, for its address."""

    @classmethod
    def parse(cls, text: str) -> Post:
        """Read the hidden option ``--worker SLOT/SIZE/CONTROL/DOOR/PARENT``."""
        slot, size, control, door, parent = (int(part) for part in text.split("/"))
        _end_with_parent(parent)
        post = cls(slot, size, socket.socket(fileno=control), socket.socket(fileno=door))
        post.control.setblocking(False)
        return post

    def ready(self) -> None:
        """Tell the first process that connections may come."""
        self.control.send(READY)

    def receive(self, take: Callable[[socket.socket], Awaitable[None]], gone: Callable[[], None]) -> None:
        """From now on take what comes; ``gone``: the first process is."""
        loop = asyncio.get_running_loop()
        taking: set[asyncio.Task[None]] = set()

        def readable() -> None:
            while True:
                try:
                    said, handles, _, _ = socket.recv_fds(self.control, 1, 1)
                except BlockingIOError:
                    return
                except OSError:
                    said, handles = b"", []
                if not said:
                    loop.remove_reader(self.control.fileno())
                    gone()
                    return
                for handle in handles:
                    task = asyncio.ensure_future(take(socket.socket(fileno=handle)))
                    taking.add(task)
                    task.add_done_callback(taking.discard)

        loop.add_reader(self.control.fileno(), readable)


def _end_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the one that started it ends. Where it cannot, the closed socket tells."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


@dataclass(slots=True)
class _Worker:
    slot: int
    process: asyncio.subprocess.Process | None = None
    control: socket.socket | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Workers:
    """The other processes of this host."""

    def __init__(self, size: int, arguments: Sequence[str], door: socket.socket) -> None:
        """
        Args:
            size: how many processes there are, this one included.
            arguments: how this one was started, without its workers.
            door: the listening socket; workers only ask it for its address.
        """
        self.size = size
        self._arguments = arguments
        self._door = door
        self._workers = [_Worker(slot) for slot in range(1, size)]
        self._turn = 0
        self._stopping = False
        self._keepers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start them, and keep them up."""
        self._keepers = [
            asyncio.create_task(self._keep(worker), name=f"worker {worker.slot}") for worker in self._workers
        ]

    async def all_ready(self) -> None:
        """Wait until they take connections, but not for ever: one that cannot start says why in its own log."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                for worker in self._workers:
                    await worker.ready.wait()

    def hand_over(self, connection: socket.socket) -> bool:
        """Give it to whose turn it is; ``False``: it is this process's own turn."""
        self._turn = (self._turn + 1) % self.size
        if self._turn == 0:
            return False
        worker = self._workers[self._turn - 1]
        if worker.control is None or not worker.ready.is_set():
            return False
        try:
            socket.send_fds(worker.control, [b"c"], [connection.fileno()])
        except OSError:  # full, or just dead
            return False
        connection.close()
        return True

    def tell_to_stop(self) -> None:
        """Send them home."""
        self._stopping = True
        for worker in self._workers:
            if worker.process is not None and worker.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.send_signal(signal.SIGTERM)

    async def ended(self, seconds: float) -> None:
        """Wait for them; whoever is not gone after so long is killed."""
        if self._keepers:
            _, late = await asyncio.wait(self._keepers, timeout=seconds)
            for worker in self._workers:
                if late and worker.process is not None and worker.process.returncode is None:
                    log.warning("worker %d does not end and is killed", worker.slot)
                    worker.process.kill()

    async def _keep(self, worker: _Worker) -> None:
        pause = 0.0
        while not self._stopping:
            began = time.monotonic()
            try:
                how = _how(await self._run(worker))
            except OSError as error:
                how = error.strerror or "it could not be started"
            if self._stopping:
                return
            pause = 0.0 if time.monotonic() - began > SOUND_SECONDS else min(LONGEST_PAUSE, pause * 2 or 0.1)
            log.error("worker %d ended (%s) and is started again", worker.slot, how)
            await asyncio.sleep(pause)

    async def _run(self, worker: _Worker) -> int:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        worker.ready.clear()
        with ours:
            with theirs:
                worker.process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "local",
                    *self._arguments,
                    "--worker",
                    f"{worker.slot}/{self.size}/{theirs.fileno()}/{self._door.fileno()}/{os.getpid()}",
                    pass_fds=(theirs.fileno(), self._door.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                )
            worker.control = ours
            try:
                if self._stopping:  # told while it was being started
                    worker.process.send_signal(signal.SIGTERM)
                if await asyncio.get_running_loop().sock_recv(ours, 1) == READY:
                    worker.ready.set()
                return await worker.process.wait()
            finally:
                worker.control = None
                worker.ready.clear()


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def refuse_workers(app: str, workers: int) -> None:
    """Raises ``BrokenSettings`` where there can be one process only."""
    if app == "relay" and workers > 1:
        raise BrokenSettings("--workers: a relay is one process; leave the option out.")
