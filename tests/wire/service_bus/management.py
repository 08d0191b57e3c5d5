"""``$management``: what cannot be said with transfers alone."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import proton
from proton import Array, Data, int32, timestamp

from tests.wire.service_bus.broker import BrokerQueue, Entry, LockLost, NotThere
from tests.wire.service_bus.encoding import parse

if TYPE_CHECKING:
    from tests.wire.service_bus.connection import Node, Peer
    from tests.wire.service_bus.namespace import Namespace

__all__ = ["Management"]

PREFIX = "com.microsoft:"
LOCK_LOST = f"{PREFIX}message-lock-lost"
MESSAGE_NOT_FOUND = f"{PREFIX}message-not-found"

Answer = tuple[int, Any]
"""Status and body."""

REFUSED = {
    f"{PREFIX}server-busy": 503,
    LOCK_LOST: 410,
    MESSAGE_NOT_FOUND: 404,
    "amqp:unauthorized-access": 401,
    "amqp:not-found": 404,
}


class Management:
    """Answers requests."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._known: dict[str, Callable[[BrokerQueue, str, dict[str, Any]], Answer]] = {
            "schedule-message": self._schedule,
            "cancel-scheduled-message": self._cancel,
            "renew-lock": self._renew,
            "peek-message": self._peek,
            "update-disposition": self._update,
            "receive-by-sequence-number": self._receive,
        }

    def answer(self, peer: Peer, node: Node, raw: bytes) -> None:
        """Do what is asked and answer."""
        request = proton.Message()
        request.decode(raw)
        asked: dict[Any, Any] = request.properties or {}
        operation = str(asked.get("operation", "")).removeprefix(PREFIX)
        fault = self._namespace.faults.strike("manage", node.queue)
        if fault is not None and fault.action == "cut":
            peer.cut()
            return
        if fault is not None and fault.action == "refuse":
            self._refuse(peer, node, request, REFUSED.get(fault.condition, 500), fault.condition)
            return
        handler = self._known.get(operation)
        if handler is None:
            self._refuse(peer, node, request, 501, "amqp:not-implemented")
            return
        queue = self._namespace.queue(node.queue, dead=node.dead)
        content: Any = request.body or {}
        body = {str(key): value for key, value in content.items()}
        try:
            status, answer = handler(queue, node.queue, body)
        except LockLost:
            self._refuse(peer, node, request, 410, LOCK_LOST)
            return
        except NotThere:
            self._refuse(peer, node, request, 404, MESSAGE_NOT_FOUND)
            return
        if fault is None or fault.action != "lose answer":
            text = "OK" if status == 200 else "NoContent"
            peer.reply(node.address, request, {"statusCode": int32(status), "statusDescription": text}, answer)
        self._namespace.pump_soon()

    def _refuse(self, peer: Peer, node: Node, request: Any, status: int, condition: str) -> None:
        properties = {
            "statusCode": int32(status),
            "statusDescription": "The operation was refused.",
            "errorCondition": proton.symbol(condition),
        }
        peer.reply(node.address, request, properties, None)

    # Operations --------------------------------------------------------------------------------------------------

    def _schedule(self, queue: BrokerQueue, name: str, body: dict[str, Any]) -> Answer:
        messages = [parse(bytes(one["message"])) for one in body["messages"]]
        numbers = self._namespace.put(name, messages)
        self._namespace.operations.note("schedule", name, len(messages))
        return 200, {"sequence-numbers": _array(Data.LONG, numbers)}

    def _cancel(self, queue: BrokerQueue, name: str, body: dict[str, Any]) -> Answer:
        numbers = _elements(body["sequence-numbers"])
        queue.cancel(numbers)
        self._namespace.operations.note("cancel", name, len(numbers))
        return 200, {}

    def _renew(self, queue: BrokerQueue, name: str, body: dict[str, Any]) -> Answer:
        locks = _elements(body["lock-tokens"])
        for lock in locks:
            queue.held(lock)
        ends = [queue.renew(lock, self._namespace.now()) for lock in locks]
        self._namespace.operations.note("renew", name, len(locks))
        return 200, {"expirations": _array(Data.TIMESTAMP, [self._namespace.as_machine_time(end) for end in ends])}

    def _peek(self, queue: BrokerQueue, name: str, body: dict[str, Any]) -> Answer:
        found = queue.peek(int(body["from-sequence-number"]), int(body["message-count"]))
        self._namespace.operations.note("peek", name, len(found))
        if not found:
            return 204, None
        return 200, {"messages": [{"message": self._namespace.encode(name, entry)} for entry in found]}

    def _update(self, queue: BrokerQueue, name: str, body: dict[str, Any]) -> Answer:
        locks: list[uuid.UUID] = _elements(body["lock-tokens"])
        for lock in locks:
            queue.held(lock)
        status = str(body["disposition-status"])
        for lock in locks:
            self._dispose(queue, lock, status, body)
        self._namespace.operations.note("update-disposition", name, len(locks))
        return 200, {}

    def _dispose(self, queue: BrokerQueue, lock: uuid.UUID, status: str, body: dict[str, Any]) -> None:
        match status:
            case "completed":
                queue.complete(lock)
            case "abandoned":
                queue.abandon(lock)
            case "defered":
                queue.defer(lock)
            case "suspended":
                reason, description = body.get("deadletter-reason"), body.get("deadletter-description")
                queue.dead_letter(lock, str(reason or ""), str(description or ""))
            case _:
                raise NotThere

    def _receive(self, queue: BrokerQueue, name: str, body: dict[str, Any]) -> Answer:
        entries = queue.take_deferred(_elements(body["sequence-numbers"]), self._namespace.now())
        self._namespace.operations.note("receive-deferred", name, len(entries))
        delete = int(body["receiver-settle-mode"]) == 0
        messages = [self._locked(queue, name, entry, delete=delete) for entry in entries]
        return 200, {"messages": messages}

    def _locked(self, queue: BrokerQueue, name: str, entry: Entry, *, delete: bool) -> dict[str, Any]:
        content = {"lock-token": entry.lock, "message": self._namespace.encode(name, entry)}
        if delete and entry.lock is not None:
            queue.complete(entry.lock)
        return content


def _array(kind: int, values: list[int]) -> Array:
    return Array(
        cast("Any", proton.UNDESCRIBED), kind, *[timestamp(v) if kind == Data.TIMESTAMP else v for v in values]
    )


def _elements(array: Any) -> list[Any]:
    return list(array.elements) if isinstance(array, Array) else list(array)
