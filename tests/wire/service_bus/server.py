"""The server as tests hold it: a thread with a loop of its own, and hooks that are safe to call from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Self, TypeVar

from shared.clock import Clock, SystemClock
from shared.topology import QueueSpec, topology
from tests.wire.service_bus.broker import BrokerQueue
from tests.wire.service_bus.connection import Peer
from tests.wire.service_bus.faults import Action, Fault, Moment, Operation
from tests.wire.service_bus.namespace import Namespace
from tests.wire.service_bus.tokens import Keys, StaticCredential

__all__ = ["ServiceBusServer"]

T = TypeVar("T")

STANDARD_LIMIT = 262_144
"""Largest message of the Standard tier, in bytes."""


class ServiceBusServer:
    """A Service Bus namespace on the loopback address.

    Args:
        port: 0 takes a free one.
        queues: their settings; default: those of ``infra/topology.json``.
        clock: whose time counts for locks, schedules, expiry and duplicates; default: the machine's.
        max_message_size: what a transfer may weigh, in bytes.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        queues: Iterable[QueueSpec] | None = None,
        clock: Clock | None = None,
        max_message_size: int = STANDARD_LIMIT,
    ) -> None:
        self.port = port
        specs = list(topology().queues.values() if queues is None else queues)
        self._namespace = Namespace(specs, clock or SystemClock(), max_message_size)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None

    # Running -----------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen. Raises ``OSError`` when the port is taken."""
        started: list[BaseException | None] = []
        ready = threading.Event()

        def run() -> None:
            try:
                asyncio.run(self._serve(ready))
            except OSError as error:
                started.append(error)
                ready.set()

        self._thread = threading.Thread(target=run, name="service-bus", daemon=True)
        self._thread.start()
        ready.wait(10)
        if started:
            self._thread.join()
            self._thread = None
            raise started[0] or OSError("the server did not start")
        return self

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = await self._loop.create_server(lambda: Peer(self._namespace), "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._namespace.host = self.namespace
        self._namespace.tick()
        ready.set()
        await self._stopping.wait()
        server.close()
        self._namespace.stop()
        await asyncio.sleep(0)

    def stop(self) -> None:
        """Close every connection without a word, and listen no more. What was enqueued stays: ``start`` again."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *args: object) -> None:
        self.stop()

    def _do(self, call: Callable[[], T]) -> T:
        """Run it in the server's thread and answer what it answers."""
        if self._thread is None or self._loop is None:
            return call()

        async def run() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    # How to reach it ---------------------------------------------------------------------------------------------

    @property
    def namespace(self) -> str:
        """``localhost:port``, for a client with a credential and ``use_tls=False``."""
        return f"localhost:{self.port}"

    @property
    def connection_string(self) -> str:
        """With the namespace's key; says that it is an emulator, so that clients speak plain AMQP."""
        return self.connection_string_with(self.keys.key)

    def connection_string_with(self, key: str) -> str:
        """The same with another key."""
        return (
            f"Endpoint=sb://{self.namespace};SharedAccessKeyName={self.keys.policy};SharedAccessKey={key};"
            "UseDevelopmentEmulator=true"
        )

    @property
    def keys(self) -> Keys:
        """The secrets of this namespace."""
        return self._namespace.keys

    def credential(self, *, seconds: float = 3600) -> StaticCredential:
        """An identity that the namespace knows."""
        return StaticCredential(self.keys.jwt(seconds=seconds))

    # Hooks -------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Move the namespace's time on, and do what has become due."""

        def move() -> None:
            self._namespace.offset += seconds
            self._namespace.tick()

        self._do(move)

    def depth(self, queue: str, state: str = "active") -> int:
        """How many messages are ``active``, ``scheduled``, ``deferred``, ``locked``, ``dead_lettered``; or ``all`` that
        the queue itself holds."""
        return self._do(lambda: self._namespace.queue(queue, dead=False).count(state))

    def message_ids(self, queue: str, *, dead: bool = False) -> list[str]:
        """The ids of what the queue holds, by sequence number."""

        def ids() -> list[str]:
            found = self._namespace.queue(queue, dead=dead)
            return [found.entries[number].message.message_id or "" for number in sorted(found.entries)]

        return self._do(ids)

    def fail(
        self,
        action: Action,
        moment: Moment,
        *,
        queue: str | None = None,
        times: int | None = 1,
        condition: str = "com.microsoft:server-busy",
        seconds: float = 0.0,
    ) -> Fault:
        """Let something go wrong, once by default; ``times=None``: until :meth:`clear_faults`. See ``faults.py``.

        ``seconds``: of a delay. With ``lose answer`` at a send, a negative value also cuts the connection.
        """
        fault = Fault(action, moment, queue, times, condition, seconds)
        self._do(lambda: self._namespace.faults.armed.append(fault))
        return fault

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self._do(self._namespace.faults.armed.clear)

    def cut(self) -> None:
        """Close every client's socket without a word."""

        def cut() -> None:
            for peer in tuple(self._namespace.peers):
                peer.cut()

        self._do(cut)

    def detach(self, queue: str, condition: str = "amqp:link:detach-forced") -> None:
        """Take away every link on this queue."""

        def detach() -> None:
            for peer in tuple(self._namespace.peers):
                peer.detach_all(queue, condition)

        self._do(detach)

    def deny(self, right: str, queue: str | None = None, *, cut: bool = True) -> None:
        """Nobody has the right ``Send`` or ``Listen`` (on this queue): a role that is missing or not yet known. Links
        that are open stay usable unless they are cut."""
        self._do(lambda: self._namespace.denied.add((right, queue)))
        if cut:
            self.cut()

    def allow(self, right: str, queue: str | None = None) -> None:
        """Take a denial back."""
        self._do(lambda: self._namespace.denied.discard((right, queue)))

    def remove_queue(self, queue: str) -> None:
        """As if it had never been deployed."""
        self._do(lambda: self._namespace.queues.pop(queue))
        self.cut()

    def add_queue(self, spec: QueueSpec) -> None:
        """Deploy one more."""
        self._do(lambda: self._namespace.queues.__setitem__(spec.name, BrokerQueue.of(spec)))

    def clear(self) -> None:
        """Empty every queue, and forget ids, faults, operations and :meth:`advance`. Links stay."""

        def clear() -> None:
            for name, queue in self._namespace.queues.items():
                self._namespace.queues[name] = BrokerQueue.of(queue.spec)
            self._namespace.offset = 0.0
            self._namespace.faults.armed.clear()
            self._namespace.operations.log.clear()

        self._do(clear)

    def limit_sends(self, per_second: int | None) -> None:
        """Messages that one queue takes per second; beyond it: server busy."""

        def limit() -> None:
            self._namespace.send_limit = per_second

        self._do(limit)

    def omit_info(self, on: bool = True) -> None:
        """Leave ``info`` out of every error from now on."""

        def switch() -> None:
            self._namespace.omit_info = on

        self._do(switch)

    def refuse_without_terminus(self, on: bool) -> None:
        """How links are refused; see :class:`Namespace`."""

        def switch() -> None:
            self._namespace.refuse_without_terminus = on

        self._do(switch)

    # What was asked of it ----------------------------------------------------------------------------------------

    @property
    def operations(self) -> list[Operation]:
        """Everything so far."""
        return self._do(lambda: list(self._namespace.operations.log))

    def calls(self, kind: str, queue: str | None = None) -> int:
        """How often an operation succeeded (a batch is one)."""
        return self._do(lambda: self._namespace.operations.calls(kind, queue))

    def messages(self, kind: str, queue: str | None = None) -> int:
        """How many messages it was done with."""
        return self._do(lambda: self._namespace.operations.messages(kind, queue))

    def forget_operations(self) -> None:
        """Count from nothing again."""
        self._do(self._namespace.operations.log.clear)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return self._do(lambda: len(self._namespace.peers))
