"""One client's AMQP connection: proton does the protocol, this decides what links and transfers mean."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import proton
from proton import Condition, Delivery

from tests.wire.service_bus.broker import BrokerQueue, Entry, LockLost
from tests.wire.service_bus.encoding import Incoming, Malformed, parse, split_batch
from tests.wire.service_bus.faults import Fault
from tests.wire.service_bus.tokens import Refused, covers

if TYPE_CHECKING:
    from tests.wire.service_bus.namespace import Namespace

__all__ = ["Node", "Peer"]

CBS = "$cbs"
MANAGEMENT = "$management"
DEAD_LETTERS = "$deadletterqueue"

LOCK_LOST = "com.microsoft:message-lock-lost"
NOT_FOUND = "amqp:not-found"
UNAUTHORIZED = "amqp:unauthorized-access"
TOO_LARGE = "amqp:link:message-size-exceeded"
BUSY = "com.microsoft:server-busy"

CREDIT = 1000
"""Transfers that a sender may have under way."""


@dataclass(frozen=True, slots=True)
class Node:
    """What an address names."""

    kind: str
    """``cbs``, ``queue`` or ``management``."""
    queue: str
    dead: bool
    """Its dead-letter queue."""
    address: str

    @classmethod
    def at(cls, address: str) -> Node:
        """Read ``amqps://host/queue/$DeadLetterQueue/$management`` and its shorter forms."""
        path = address.split("://", 1)[1].partition("/")[2] if "://" in address else address
        parts = [part for part in path.split("/") if part]
        lower = [part.lower() for part in parts]
        kind = "management" if MANAGEMENT in lower else "cbs" if lower == [CBS] else "queue"
        names = [part for part, low in zip(parts, lower, strict=True) if low not in {MANAGEMENT, DEAD_LETTERS}]
        return cls(kind, "/".join(names), DEAD_LETTERS in lower, address)


class Peer(asyncio.Protocol):
    """A connected client."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.audiences: dict[str, float] = {}
        """For what the client showed a token, and until when it is good."""
        self._amqp = proton.Transport(proton.Transport.SERVER)
        self._amqp.max_frame_size = 65_536
        self._amqp.sasl().allowed_mechs("ANONYMOUS MSSBCBS EXTERNAL")
        self._connection = proton.Connection()
        self._collector = proton.Collector()
        self._connection.collect(self._collector)
        self._amqp.bind(self._connection)
        self._socket: asyncio.Transport | None = None
        self._senders: list[Any] = []
        """Links on which we send."""

    # The socket --------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._socket = cast("asyncio.Transport", transport)
        self.namespace.peers.add(self)
        self.namespace.operations.note("connect", "")
        if self.namespace.faults.strike("connect", ""):
            self.cut()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        view = memoryview(data)
        while view and self._amqp.capacity() > 0:
            size = min(len(view), self._amqp.capacity())
            self._amqp.push(bytes(view[:size]))
            view = view[size:]
            self._dispatch()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.namespace.peers.discard(self)
        self._socket = None
        self._senders.clear()

    def flush(self) -> None:
        """Write out what proton has to say."""
        self._dispatch()
        while self._socket is not None and (size := self._amqp.pending()) > 0:
            self._socket.write(bytes(self._amqp.peek(size) or b""))
            self._amqp.pop(size)
        if self._socket is not None and self._amqp.pending() < 0:
            self._socket.close()

    def cut(self) -> None:
        """Close the socket without a word."""
        if self._socket is not None:
            self._socket.abort()
            self._socket = None

    def _dispatch(self) -> None:
        while self._socket is not None and (event := self._collector.peek()) is not None:
            handler = getattr(self, event.type.method, None)
            if handler is not None:
                handler(event)
            self._collector.pop()

    # Connection, session, links ----------------------------------------------------------------------------------

    def on_connection_remote_open(self, event: Any) -> None:
        """Hello."""
        event.connection.container = "service-bus"
        event.connection.open()

    def on_connection_remote_close(self, event: Any) -> None:
        """Goodbye."""
        event.connection.close()

    def on_session_remote_open(self, event: Any) -> None:
        """A session."""
        event.session.open()

    def on_session_remote_close(self, event: Any) -> None:
        """No session any more."""
        event.session.close()

    def on_link_remote_open(self, event: Any) -> None:
        """A link is asked for: is there such an entity, and may the client?"""
        link = event.link
        terminus = link.remote_source if link.is_sender else link.remote_target
        node = Node.at(terminus.address or "")
        refusal = self._refusal(node, "Listen" if link.is_sender else "Send")
        if node.kind == "queue":
            self.namespace.operations.note("attach", node.queue, refused=refusal is not None)
        if refusal is None or not self.namespace.refuse_without_terminus:
            link.source.copy(link.remote_source)
            link.target.copy(link.remote_target)
        else:
            link.source.type = link.target.type = proton.Terminus.UNSPECIFIED
        link.snd_settle_mode, link.rcv_settle_mode = link.remote_snd_settle_mode, link.remote_rcv_settle_mode
        link.max_message_size = self.namespace.max_message_size
        link.node = node
        link.open()
        if refusal is not None:
            link.condition = refusal
            link.close()
        elif link.is_sender:
            self._senders.append(link)
        else:
            link.flow(CREDIT)

    def _refusal(self, node: Node, right: str) -> Condition | None:
        if node.kind == "cbs":
            return None
        fault = self.namespace.faults.strike("attach", node.queue, "refuse", "detach")
        if fault is not None:
            return self.namespace.error(fault.condition, "The link was refused.")
        now = self.namespace.machine_time()
        if not any(until > now and covers(audience, node.address) for audience, until in self.audiences.items()):
            return self.namespace.error(UNAUTHORIZED, "Unauthorized access. No valid token for this entity.")
        rights = {"Send", "Listen"} if node.kind == "management" else {right}
        if not rights & self.namespace.rights(node.queue):
            claims = " or ".join(sorted(rights))
            return self.namespace.error(UNAUTHORIZED, f"Unauthorized access. '{claims}' claim(s) are required.")
        if node.queue not in self.namespace.queues:
            where = f"sb://{self.namespace.host}/{node.queue}"
            return self.namespace.error(NOT_FOUND, f"The messaging entity '{where}' could not be found.")
        return None

    def on_link_remote_close(self, event: Any) -> None:
        """The client takes a link away. What was locked over it stays locked."""
        self._gone(event.link)
        event.link.close()

    def on_link_remote_detach(self, event: Any) -> None:
        """The same, as if it might come back."""
        self._gone(event.link)
        event.link.detach()

    def _gone(self, link: Any) -> None:
        if link in self._senders:
            self._senders.remove(link)

    def on_link_flow(self, event: Any) -> None:
        """The client wants messages, or wants to hear that there are none."""
        link = event.link
        if link.is_sender and link in self._senders:
            self.pump(link)
            if link.drain_mode:
                link.drained()

    def detach_all(self, queue: str, condition: str) -> None:
        """Take away every link on this queue, as the service does when it moves an entity."""
        link = self._connection.link_head(proton.Endpoint.LOCAL_ACTIVE)
        while link is not None:
            following = link.next(proton.Endpoint.LOCAL_ACTIVE)
            if link.node.kind == "queue" and link.node.queue == queue:
                self._detach(link, condition)
            link = following
        self.flush()

    def _detach(self, link: Any, condition: str) -> None:
        self._gone(link)
        link.condition = self.namespace.error(condition, "The link was detached by the service.")
        link.close()

    # Transfers ---------------------------------------------------------------------------------------------------

    def on_delivery(self, event: Any) -> None:
        """A transfer came in, or one of ours was settled."""
        delivery, link = event.delivery, event.link
        if link.is_sender:
            if delivery.updated:
                self._settle(delivery, link)
            return
        if not delivery.readable or delivery.partial or link.state & proton.Endpoint.LOCAL_CLOSED:
            return
        raw = bytes(link.recv(delivery.pending) or b"")
        link.advance()
        link.flow(1)
        match link.node.kind:
            case "cbs":
                self._accept(delivery)
                self._token(raw)
            case "management":
                self._accept(delivery)
                self.namespace.management.answer(self, link.node, raw)
            case _:
                self._receive(delivery, link, raw)

    def _accept(self, delivery: Any) -> None:
        delivery.update(Delivery.ACCEPTED)
        delivery.settle()

    def _reject(self, delivery: Any, condition: str, text: str) -> None:
        delivery.local.condition = self.namespace.error(condition, text)
        delivery.update(Delivery.REJECTED)
        delivery.settle()

    def _receive(self, delivery: Any, link: Any, raw: bytes) -> None:
        """A sender's transfer: one message or a batch."""
        name = link.node.queue
        fault = self.namespace.faults.strike("send", name)
        if fault is not None and fault.action == "delay":
            self.namespace.later(fault.seconds, lambda: self._take_in(delivery, link, raw, None))
            return
        self._take_in(delivery, link, raw, fault)

    def _take_in(self, delivery: Any, link: Any, raw: bytes, fault: Fault | None) -> None:
        name = link.node.queue
        try:
            messages = [parse(part) for part in split_batch(raw)]
        except Malformed as error:
            self._reject(delivery, "amqp:decode-error", f"This is no message: {error}.")
            return
        refusal = self._send_refusal(name, raw, messages, fault)
        self.namespace.operations.note("send", name, len(messages), refused=refusal is not None)
        if fault is not None and fault.action == "cut":
            self.cut()
            return
        if fault is not None and fault.action == "detach":
            self._detach(link, fault.condition)
            return
        if refusal is not None:
            self._reject(delivery, *refusal)
        else:
            copies = 2 if fault is not None and fault.action == "double" else 1
            self.namespace.put(name, messages, copies=copies)
            if fault is None or fault.action != "lose answer":
                self._accept(delivery)
            elif fault.seconds < 0:
                self.cut()
        self.namespace.pump_soon()

    def _send_refusal(
        self, name: str, raw: bytes, messages: list[Incoming], fault: Fault | None
    ) -> tuple[str, str] | None:
        if fault is not None and fault.action == "refuse":
            return fault.condition, "The service refused the message."
        if len(raw) > self.namespace.max_message_size:
            return TOO_LARGE, f"The message is larger than {self.namespace.max_message_size} bytes."
        if self.namespace.over_send_limit(name, len(messages)):
            return BUSY, "The request was terminated because the namespace is being throttled. Error code: 50009."
        return None

    # Delivering --------------------------------------------------------------------------------------------------

    def pump_all(self) -> None:
        """Give every receiver what it has credit for."""
        for link in tuple(self._senders):
            self.pump(link)
        self.flush()

    def pump(self, link: Any) -> None:
        """Give this receiver what it has credit for."""
        if link.node.kind != "queue":
            return
        queue = self.namespace.queue(link.node.queue, dead=link.node.dead)
        while link.credit > 0 and (entry := queue.take(self.namespace.now())) is not None:
            name = link.node.queue
            self.namespace.operations.note("deliver", name)
            fault = self.namespace.faults.strike("deliver", name)
            if fault is not None and fault.action in {"cut", "lose answer"}:
                self.cut()
                return
            if fault is not None and fault.action == "detach":
                self._detach(link, fault.condition)
                return
            self._deliver(link, queue, entry)

    def _deliver(self, link: Any, queue: BrokerQueue, entry: Entry) -> None:
        lock = cast("uuid.UUID", entry.lock)
        delivery = link.delivery(lock.bytes_le)
        delivery.lock = lock
        link.send(self.namespace.encode(link.node.queue, entry))
        link.advance()
        if link.remote_snd_settle_mode == proton.Link.SND_SETTLED:  # receive and delete
            queue.complete(lock)
            delivery.settle()

    def _settle(self, delivery: Any, link: Any) -> None:
        """The client has decided about one of ours; it waits for the same outcome, settled."""
        name, lock = link.node.queue, getattr(delivery, "lock", None)
        if lock is None or delivery.remote_state == 0:
            if delivery.settled:
                delivery.settle()
            return
        fault = self.namespace.faults.strike("settle", name)
        if fault is not None and fault.action == "delay":
            self.namespace.later(fault.seconds, lambda: self._decide(delivery, link, lock, None))
            return
        self._decide(delivery, link, lock, fault)
        self.namespace.pump_soon()

    def _decide(self, delivery: Any, link: Any, lock: uuid.UUID, fault: Fault | None) -> None:
        if fault is not None and fault.action == "cut":
            self.cut()
            return
        if fault is not None and fault.action == "detach":
            self._detach(link, fault.condition)
            return
        if fault is not None and fault.action == "refuse":
            self._reject(delivery, fault.condition, "The lock supplied is invalid.")
            return
        queue = self.namespace.queue(link.node.queue, dead=link.node.dead)
        try:
            self._apply(queue, lock, delivery, link.node.queue)
        except LockLost:
            self._reject(delivery, LOCK_LOST, "The lock supplied is invalid. Either it expired, or it was settled.")
            return
        if fault is not None and fault.action == "lose answer":
            return
        self._echo(delivery)

    def _apply(self, queue: BrokerQueue, lock: uuid.UUID, delivery: Any, name: str) -> None:
        note = self.namespace.operations.note
        match delivery.remote_state:
            case Delivery.ACCEPTED:
                queue.complete(lock)
                note("complete", name)
            case Delivery.RELEASED:
                queue.release(lock)
                note("release", name)
            case Delivery.MODIFIED if delivery.remote.undeliverable:
                queue.defer(lock)
                note("defer", name)
            case Delivery.MODIFIED:
                queue.abandon(lock)
                note("abandon", name)
            case _:
                info = {str(k): v for k, v in dict(getattr(delivery.remote.condition, "info", None) or {}).items()}
                description = info.get("DeadLetterErrorDescription") or ""
                queue.dead_letter(lock, str(info.get("DeadLetterReason") or ""), str(description))
                note("dead-letter", name)

    def _echo(self, delivery: Any) -> None:
        state = delivery.remote_state
        if state == Delivery.MODIFIED:
            delivery.local.failed = delivery.remote.failed
            delivery.local.undeliverable = delivery.remote.undeliverable
        delivery.update(state)
        delivery.settle()

    # $cbs --------------------------------------------------------------------------------------------------------

    def _token(self, raw: bytes) -> None:
        request = proton.Message()
        request.decode(raw)
        properties: dict[Any, Any] = request.properties or {}
        audience = str(properties.get("name", ""))
        fault = self.namespace.faults.strike("token", Node.at(audience).queue)
        status, text = 202, "Accepted"
        try:
            if fault is not None and fault.action == "refuse":
                raise Refused(fault.condition)
            self.audiences[audience] = self.namespace.keys.check(str(request.body), audience)
        except Refused as error:
            status, text = 401, str(error)
        self.namespace.operations.note("token", Node.at(audience).queue, refused=status != 202)
        if fault is not None and fault.action == "lose answer":
            return
        self.reply(CBS, request, {"status-code": proton.int32(status), "status-description": text}, None)

    def reply(self, address: str, request: Any, properties: dict[str, Any], body: Any) -> None:
        """Answer on the link that the client opened for answers from this address."""
        answer = proton.Message(body=body, correlation_id=request.id, properties=properties)
        for link in self._senders:
            if link.node.address == address and link.node.kind != "queue":
                link.delivery(uuid.uuid4().bytes)
                link.send(answer.encode())
                link.advance()
                return
