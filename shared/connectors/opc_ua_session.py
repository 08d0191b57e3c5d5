"""One conversation with an OPC UA server through asyncua: connect, ask, go. Every step has an end.

What asyncua 2.1 does by itself and we do not let it (reference/equipment.md 2.3 and 2.4):

- ``Client.connect`` starts a supervisor, a watchdog and a renewal task; a poll needs none of them, so the steps are
  taken one by one.
- ``set_security`` takes whatever certificate an unauthenticated GetEndpoints returns; here it is the pinned one.
- It asks for sessions of an hour. One that is lost in a pulled cable would hold its place at the server as long.
- It resolves the host's name itself; here the vetted addresses are connected to, and the name stays in the URL only.
- When a server refuses to open the channel, its reason is logged and lost, and an empty ``AssertionError`` comes out.
  :class:`_Protocol` keeps the reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.common.shortcuts import Shortcuts
from asyncua.crypto import security_policies
from asyncua.crypto.security_policies import SecurityPolicy
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from shared.signals import SignalValue

__all__ = ["POLICIES", "Door", "NotOpcUa", "bounded"]

log = logging.getLogger("ovenbridge.opc_ua")
logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)  # it logs every refusal as an error; we say it in words

SESSION_MS = 30_000
"""A session that is lost frees its place at the server after so long."""
MOST_BYTES = 16 * 1024 * 1024
"""Of one message. Larger ones come from no oven."""
GRACE_SECONDS = 0.5
"""So long a cancelled step may take to let go. Then it is left behind, its socket closed."""

POLICIES: dict[str, type[SecurityPolicy]] = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
    "None": security_policies.SecurityPolicyNone,
}

_MESSAGE_TYPES = (b"ACK", b"ERR", b"OPN", b"MSG", b"CLO", b"RHE")
"""What a message of the protocol begins with (OPC 10000-6 section 7.1.2.2)."""

R = TypeVar("R")
Known = tuple[object, tuple[str, ...], list[ua.NodeId | None], list[Callable[[Any], SignalValue]]]

_left_behind: set[asyncio.Task[Any]] = set()
"""The loop itself holds tasks only weakly."""


class NotOpcUa(Exception):
    """Something else listens at this port."""


class _Protocol(UASocketProtocol):
    """asyncua's, with a memory for the reason of a failure and a limit for what is taken in."""

    failure: Exception | None = None

    def data_received(self, data: bytes) -> None:
        if self.receive_buffer is None and len(data) >= 3 and not data.startswith(_MESSAGE_TYPES):
            self.failure = self.failure or NotOpcUa("it answers something that is not OPC UA")
            if self.transport is not None:
                self.transport.abort()
            return
        if len(self.receive_buffer or b"") + len(data) > MOST_BYTES:
            self.failure = self.failure or UaError(f"a message of more than {MOST_BYTES:,} bytes")
            if self.transport is not None:
                self.transport.abort()
            return
        super().data_received(data)

    def _fail_all_pending(self, exc: Exception) -> None:
        self.failure = self.failure or exc
        super()._fail_all_pending(exc)

    def _process_received_message(self, msg: Any) -> None:
        if self._open_secure_channel_exchange is not None and isinstance(msg, ua.Message):
            message: Any = msg
            try:
                # A refusal to open the channel is a ServiceFault in place of the answer.
                self.check_answer(message.body(), "")
            except UaStatusCodeError as refused:
                self.failure = refused
        super()._process_received_message(msg)


class _Transport(UaClient):
    last: _Protocol | None = None

    def _make_protocol(self) -> UASocketProtocol:
        self.last = self.protocol = _Protocol(self._timeout, security_policy=self.security_policy)
        self.protocol.on_connection_lost = self._on_transport_lost
        self.protocol.is_session_closing = self._is_session_closing
        return self.protocol


class Door(Client):
    """asyncua's client, taken step by step, to addresses that were vetted."""

    def __init__(self, url: str, addresses: Sequence[str], port: int, *, timeout: float) -> None:
        super().__init__(url, timeout=timeout)
        self._addresses = addresses
        self._port = port
        self._step_seconds = timeout
        self._transport = self.uaclient = _Transport(timeout)
        self.nodes = Shortcuts(self.uaclient.session)
        self.session_timeout = SESSION_MS
        self.secure_channel_timeout = 2 * SESSION_MS
        self.max_messagesize = MOST_BYTES
        self.name = self.description = "Ovenbridge"
        self.product_uri = "urn:ovenbridge"
        self.stage = "connect"
        """How far it came, for the sentence about a failure."""
        self.known: Known | None = None
        """What was read before in this session: the signals, the namespaces, ids and readers of the nodes. A server
        keeps the indexes of its namespaces while a session lasts."""

    @property
    def failure(self) -> Exception | None:
        """Why the connection ended, where asyncua's own exception does not say."""
        return self._transport.last.failure if self._transport.last is not None else None

    @property
    def alive(self) -> bool:
        """As far as we have heard."""
        protocol = self._transport.last
        if protocol is None or protocol.transport is None:
            return False
        return protocol.failure is None and not protocol.transport.is_closing()

    async def connect_socket(self) -> None:
        """To the first of the vetted addresses that answers. Raises ``OSError``, ``TimeoutError``."""
        last: Exception = OSError("no address")
        share = max(1.0, self._step_seconds / len(self._addresses))
        for address in self._addresses:
            try:
                async with asyncio.timeout(share):
                    await self.uaclient.connect_socket(address, self._port)
                return
            except (OSError, TimeoutError) as err:
                last = err
        raise last

    async def open_channel(self) -> None:
        """Socket, greeting, channel."""
        self.stage = "connect"
        await self.connect_socket()
        self.stage = "hello"
        await self.send_hello()
        self.stage = "channel"
        await self.open_secure_channel()

    def secure(self, policy: SecurityPolicy) -> None:
        """Before :meth:`open_channel`."""
        self.security_policy = policy  # type: ignore[assignment]  # asyncua infers the default's class
        self.uaclient.set_security(policy)

    def user_policies(self) -> list[ua.UserTokenPolicy]:
        """Ways to sign in that the server offers, known after ``create_session``."""
        return list(self._policy_ids)

    def prefer(self, policies: list[ua.UserTokenPolicy]) -> None:
        """asyncua takes the first policy of the kind it needs: put the right one first."""
        self._policy_ids = policies

    async def leave(self, seconds: float = 1.0) -> None:
        """Close session and channel, in at most so many seconds; then the socket in any case. Never raises."""
        try:
            await bounded(self._leave(), seconds, self.abort)
        except Exception as err:  # noqa: BLE001  # the answer is in our hands; how the other side says goodbye is its own
            log.debug("An OPC UA session did not end in good order: %s", type(err).__name__)
        finally:
            self.abort()

    async def _leave(self) -> None:
        await self.close_session()
        await self.close_secure_channel()

    def abort(self) -> None:
        """Drop the socket now, without a word."""
        protocol = self._transport.last
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()


async def bounded(work: Coroutine[Any, Any, R], seconds: float, abort: Callable[[], None]) -> R:
    """Wait for ``work`` so long and no longer, whether it can be cancelled or not.

    Raises:
        TimeoutError: it was not done; ``abort`` was called and the work cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        # Not asyncio.timeout: it would wait for as long as the work takes to unwind.
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        abort()
        task.cancel()
        _leave_behind(task)
        raise
    if done:
        return task.result()
    abort()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=GRACE_SECONDS)
    if not done:
        _leave_behind(task)
    elif not task.cancelled():
        task.exception()  # looked at: how it ended no longer matters
    raise TimeoutError


def _leave_behind(task: asyncio.Task[Any]) -> None:
    _left_behind.add(task)
    task.add_done_callback(_ended)


def _ended(task: asyncio.Task[Any]) -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        task.exception()
