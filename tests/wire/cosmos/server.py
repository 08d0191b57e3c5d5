"""The server: HTTP on a loop and a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import tempfile
import threading
import time
import urllib.parse
import uuid
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from shared.clock import Clock, SystemClock
from shared.topology import topology
from tests.wire.certificate import server_context
from tests.wire.cosmos import signature
from tests.wire.cosmos.containers import Container
from tests.wire.cosmos.faults import Fault, Faults
from tests.wire.cosmos.indexing import policy_of
from tests.wire.cosmos.journal import Count, Entry, Journal
from tests.wire.cosmos.partitions import key_from_document, ranges
from tests.wire.cosmos.protocol import Answer, Call, CosmosError
from tests.wire.cosmos.queries import Observed
from tests.wire.cosmos.service import Account, Database, name_operation

__all__ = ["TEST_KEY", "CosmosServer"]

TEST_KEY = base64.b64encode(hashlib.sha512(b"a key for tests, known to everybody").digest()).decode()
_HANDSHAKE_SECONDS = 2.0


class CosmosServer:
    """A Cosmos DB account on this machine.

    ``clock``: where documents' times and expiries come from; :meth:`advance` moves on from there. ``tls``: serve https
    too, with a certificate that nobody signed, for tokens (azure-core sends none over http).
    ``consistency``: the account's default, as the deployment sets it; the answers are always the newest.
    ``physical_partitions``: over how many the documents of each container are spread.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        key: str = TEST_KEY,
        clock: Clock | None = None,
        tls: bool = False,
        consistency: str = "Strong",
        physical_partitions: int = 1,
    ) -> None:
        self.key = key
        self.key_allowed = True
        """``False``: only tokens (``disableLocalAuth``)."""
        self.roles: dict[str, dict[str, Collection[str]]] = {}
        """Token subject -> container (``*``: all) -> data actions; see ``roles.CONTRIBUTOR`` and its like."""
        self.journal = Journal()
        self.port = port
        self.secure_port = 0
        self._clock, self._ahead = clock or SystemClock(), 0.0
        self._tls = tls
        self._faults = Faults()
        self._account = Account(self._now, physical_partitions, consistency)
        self._account.roles = self.roles
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None
        self._failed: BaseException | None = None

    # life

    def start(self) -> Self:
        """Serve. Returns when the port is open. Raises OSError when it cannot be."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="cosmos-wire", daemon=True)
        self._thread.start()
        ready.wait()
        if self._failed is not None:
            raise self._failed
        return self

    def stop(self) -> None:
        """Close every connection and the port. Documents stay; a second start serves them again."""
        loop, stopping, thread = self._loop, self._stopping, self._thread
        if loop is None or stopping is None or thread is None:
            return
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        self._loop = self._stopping = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:
            self._failed = error
        finally:
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = web.Server(self._handle, keepalive_timeout=300, access_log=None)
        listeners = [await loop.create_server(server, "127.0.0.1", self.port)]
        self.port = listeners[0].sockets[0].getsockname()[1]
        try:
            if self._tls:
                listeners.append(await self._listen_securely(loop, server))
            ready.set()
            await self._stopping.wait()
        finally:
            await _stop_listening(listeners)
            await _let_go(server)

    async def _listen_securely(self, loop: asyncio.AbstractEventLoop, server: web.Server) -> asyncio.Server:
        with tempfile.TemporaryDirectory() as folder:
            context, _ = server_context(Path(folder))
        listener = await loop.create_server(
            server, "127.0.0.1", self.secure_port, ssl=context, ssl_handshake_timeout=_HANDSHAKE_SECONDS
        )
        self.secure_port = listener.sockets[0].getsockname()[1]
        return listener

    # where it is

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def secure_endpoint(self) -> str:
        """``https://127.0.0.1:port``, when ``tls`` was asked for."""
        return f"https://127.0.0.1:{self.secure_port}"

    @property
    def connection_string(self) -> str:
        """What the SDK's ``from_connection_string`` takes."""
        return f"AccountEndpoint={self.endpoint}/;AccountKey={self.key};"

    # what tests do to it

    def create_topology(self, database: str = "ovenbridge") -> None:
        """The database and all containers of ``infra/topology.json``, as the deployment makes them."""
        with self._lock:
            made = self._account.create_database(database)
            for spec in topology().containers.values():
                several = len(spec.partition_key) > 1
                paths = [f"/{name}" for name in spec.partition_key]
                key = {"paths": paths, "kind": "MultiHash" if several else "Hash", "version": 2}
                definition: dict[str, Any] = {"id": spec.name, "partitionKey": key, "indexingPolicy": policy_of(spec)}
                if spec.ttl_seconds is not None:
                    definition["defaultTtl"] = spec.ttl_seconds
                self._account.create_container(made, definition)

    def advance(self, seconds: float) -> None:
        """Move the server's clock."""
        self._ahead += seconds

    def fail(self, fault: Fault) -> Fault:
        """Let something go wrong; returns it, for :meth:`heal`."""
        with self._lock:
            self._faults.pending.append(fault)
        return fault

    def answer_next(self, statuses: Iterable[int], **fits: Any) -> None:
        """Answer the next fitting requests with these statuses, one each."""
        for status in statuses:
            self.fail(Fault(status=status, **fits))

    def heal(self, fault: Fault | None = None) -> None:
        """Take this fault back; all of them without one."""
        with self._lock:
            self._faults.pending = [f for f in self._faults.pending if fault is not None and f is not fault]

    def counting(self) -> AbstractContextManager[Count]:
        """``with server.counting() as count:`` and then ``count.calls``, ``count.charge``, ``count.by_operation()``."""
        return self.journal.counting()

    def seed(self, container: str, documents: Iterable[Mapping[str, Any]], database: str = "ovenbridge") -> None:
        """Put documents in without HTTP, for large data sets. Raises :class:`CosmosError`."""
        with self._lock:
            found = self._find(database, container)
            for document in documents:
                found.upsert(key_from_document(document, found.paths), dict(document))

    def documents(self, container: str, database: str = "ovenbridge") -> list[dict[str, Any]]:
        """Every living document of a container, in the order of creation."""
        with self._lock:
            items = sorted(self._find(database, container).items(), key=lambda item: item.number)
            return [item.body for item in items]

    def clear(self, database: str = "ovenbridge") -> None:
        """Empty the containers, forget faults and observations; definitions stay."""
        with self._lock:
            for container in self._account.databases[database].containers.values():
                container.partitions.clear()
            self._faults.pending.clear()
            self._account.queries.observed = Observed()

    def _find(self, database: str, container: str) -> Container:
        found: Database = self._account.databases[database]
        return found.containers[container]

    @property
    def observed(self) -> Observed:
        """Queries that the product must not send."""
        return self._account.queries.observed

    @property
    def cross_partition_orders(self) -> list[tuple[str, str]]:
        """(container, query) of every ORDER BY that came without a partition key."""
        return self.observed.cross_partition_orders

    @property
    def page_limit(self) -> int | None:
        """No page is longer than this, whatever the client asks; ``None``: as asked."""
        return self._account.queries.page_limit

    @page_limit.setter
    def page_limit(self, limit: int | None) -> None:
        self._account.queries.page_limit = limit

    def _now(self) -> float:
        return self._clock.now().timestamp() + self._ahead

    # requests

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        segments = tuple(urllib.parse.unquote(part) for part in path.split("/") if part)
        base = f"{'https' if request.secure else 'http'}://{request.host}/"
        body = await request.content.read()
        call = Call(request.method, "/".join(segments), segments, request.headers, body, base)
        with contextlib.suppress(CosmosError):
            name_operation(call)
        with self._lock:
            fault = self._faults.take(call)
        if fault is None:
            return self._respond(request, call, self._answer(call))
        return await self._misbehave(request, call, fault)

    def _answer(self, call: Call, fault: Fault | None = None) -> Answer:
        activity = call.header("x-ms-activity-id") or str(uuid.uuid4())
        try:
            if fault is not None and fault.status is not None:
                raise fault.error()
            call.subject = signature.caller_of(call, self.key, key_allowed=self.key_allowed)
            with self._lock:
                answer = self._account.perform(call)
        except CosmosError as error:
            answer = Answer.refusal(error, activity)
            answer.charge = 0.0 if error.status in (401, 429) else 1.0
        answer.headers["x-ms-activity-id"] = activity
        return answer

    async def _misbehave(self, request: web.BaseRequest, call: Call, fault: Fault) -> web.StreamResponse:
        if fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        if fault.cut == "before":
            return self._hang_up(request, call)
        answer = self._answer(call, fault)
        if fault.cut == "after":
            return self._hang_up(request, call, answer)
        if not fault.truncate:
            return self._respond(request, call, answer)
        response = web.StreamResponse(status=answer.status, headers=self._headers(call, answer))
        response.content_length = len(answer.body)
        await response.prepare(request)
        await response.write(answer.body[: len(answer.body) // 2])
        return self._hang_up(request, call, answer)

    def _hang_up(self, request: web.BaseRequest, call: Call, answer: Answer | None = None) -> web.StreamResponse:
        self._note(call, 0, answer.charge if answer else 0.0)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    def _respond(self, request: web.BaseRequest, call: Call, answer: Answer) -> web.StreamResponse:
        self._note(call, answer.status, answer.charge)
        body = answer.body if answer.status not in (204, 304) else None
        if call.header("prefer") == "return=minimal" and call.method != "GET" and answer.status < 300:
            body = None if call.operation in ("create", "upsert", "replace", "patch") else body
        return web.Response(status=answer.status, body=body, headers=self._headers(call, answer))

    def _note(self, call: Call, status: int, charge: float) -> None:
        entry = Entry(call.method, call.container, call.operation, charge, status, call.item_id, call.subject)
        self.journal.note(entry)

    def _headers(self, call: Call, answer: Answer) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "x-ms-request-charge": str(answer.charge),
            "x-ms-gatewayversion": "2.0.0",
            "x-ms-serviceversion": "version=2.14.0.0",
            **answer.headers,
        }
        if answer.etag is not None:
            headers["etag"] = answer.etag
        if call.container is not None:
            headers.update(self._place(call))
        return headers

    def _place(self, call: Call) -> dict[str, str]:
        """Which container, and how far its partitions are: what the SDK keeps for session consistency."""
        database = self._account.databases.get(call.segments[1])
        container = database.containers.get(call.segments[3]) if database else None
        if container is None:
            return {}
        tokens = ",".join(f"{r.id}:-1#{container.lsn}" for r in ranges(self._account.physical))
        alternative = "/".join(call.segments[:4])
        return {
            "x-ms-session-token": tokens,
            "x-ms-alt-content-path": urllib.parse.quote(alternative),
            "x-ms-content-path": container.rid,
            "lsn": str(container.lsn),
        }


async def _stop_listening(listeners: list[asyncio.Server]) -> None:
    """Accept nothing more, let what was accepted come up, and only then close: asyncio loses a socket that was accepted
    in the very round in which its listener is closed."""
    loop = asyncio.get_running_loop()
    for listener in listeners:
        for socket in listener.sockets:
            loop.remove_reader(socket.fileno())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for listener in listeners:
        listener.close()


async def _let_go(server: web.Server) -> None:
    """Close every connection, also those whose TLS handshake had begun when the port closed: they come up meanwhile.

    Not by a TLS farewell: the other side may be a loop that waits for us to end."""
    this, deadline = asyncio.current_task(), time.monotonic() + _HANDSHAKE_SECONDS
    while others := [task for task in asyncio.all_tasks() if task is not this]:
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.wait(others, timeout=0.01)
        if time.monotonic() > deadline:
            break
    await server.shutdown(0.05)
    await asyncio.sleep(0)
