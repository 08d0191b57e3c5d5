"""One conversation with an MQTT 5 broker through paho: connect, take, acknowledge, go. No thread, nothing left behind.

What paho 2.2 does by itself and we do not let it (reference/equipment.md 4):

- ``connect`` resolves the host's name, connects and shakes hands while everybody waits. Here the socket is made by
  asyncio, to a vetted address, and paho gets it ready made (:class:`_Client`).
- ``loop_start`` keeps a thread that tries again for ever, also with a wrong password. Here paho is called when its
  socket has something, and a lost connection is the end of this conversation.
- An exception in a callback ends its loop without a word. Here callbacks note and nothing else.

How one knows that the broker has nothing more: SUBSCRIBE is repeated, and its answer stands in the queue behind what
was waiting. Repeating a subscription changes nothing and interrupts nothing (MQTT 5, 3.8.4).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from shared.connectors.mqtt_failures import ended, refused_connect, refused_topic
from shared.connectors.mqtt_plan import MqttPlan
from shared.errors import DeviceError, DeviceProtocolError, DeviceTimeout

__all__ = ["MOST_BYTES", "MOST_UNACKNOWLEDGED", "Arrival", "Session"]

MOST_UNACKNOWLEDGED = 200
"""Messages that the broker may have sent without having heard that they are stored (Receive Maximum)."""
MOST_PACKET = 256 * 1024
"""Bytes of one message. Brokers leave larger ones out (Maximum Packet Size)."""
MOST_BYTES = 4 * 1024 * 1024
"""Bytes taken in before they are stored; then the network waits."""
PACKETS_A_TURN = 50
"""Then others have their turn."""
QUIET_SECONDS = 0.05
"""For brokers that answer SUBSCRIBE before they have sent what was waiting."""
GOODBYE_SECONDS = 0.5
KEEPALIVE = 60
"""Longer than any conversation: no ping is ever needed."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came."""

    topic: str
    payload: bytes
    retained: bool
    """It stood at the broker before we subscribed."""
    again: bool
    """The broker says that it sent it before."""
    mid: int
    """What it is acknowledged by; 0: it need not be."""


class _Client(Client):
    """paho's, with a socket that is connected already."""

    ready_socket: socket.socket

    def _create_socket(self) -> Any:
        return self.ready_socket


class Session:
    """Lives for one poll. ``durable``: the broker keeps the session afterwards, and its messages."""

    def __init__(self, plan: MqttPlan, client_id: str, *, durable: bool) -> None:
        self._plan = plan
        self._durable = durable
        self._loop = asyncio.get_running_loop()
        self._client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._client.suppress_exceptions = True
        self._socket: socket.socket | None = None
        self._reading = False
        self._changed = asyncio.Event()
        self._greeted = False
        self._granted: dict[int, list[ReasonCode]] = {}
        self._acknowledged: dict[int, ReasonCode] = {}
        """What we published, and what the broker said of it."""
        self._failure: DeviceError | None = None
        self._arrived: list[Arrival] = []
        self._bytes = 0
        self._unacknowledged: list[int] = []
        self.present = False
        """The broker knew this session: what was sent meanwhile has waited."""
        self._listen()

    # Beginning and end -------------------------------------------------------------------------------------------

    async def connect(self, addresses: Sequence[str], context: ssl.SSLContext | None, *, until: float) -> None:
        """To the first of the vetted addresses that answers, and in.

        Args:
            addresses: vetted; nothing else is connected to.
            context: ``None``: without TLS.
            until: on :func:`time.monotonic`.

        Raises:
            DeviceError: the broker said no, with a sentence.
            OSError, ssl.SSLError, TimeoutError: it was not reached.
        """
        sock = await self._reach(addresses, until)
        try:
            if context is not None:
                # Its handshake is driven by asyncio below; nothing blocks.
                sock = context.wrap_socket(sock, server_hostname=self._plan.host, do_handshake_on_connect=False)
                async with asyncio.timeout(until - monotonic()):
                    await _shake_hands(self._loop, sock)
        except (ConnectionError, ssl.SSLEOFError) as err:
            sock.close()
            raise ended(self._plan, None, "", greeted=False) from err
        except BaseException:
            sock.close()
            raise
        self._socket = self._client.ready_socket = sock
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._plan.session_expiry if self._durable else 0
        properties.ReceiveMaximum = MOST_UNACKNOWLEDGED
        properties.MaximumPacketSize = MOST_PACKET
        if self._plan.username is not None:
            self._client.username_pw_set(self._plan.username, self._plan.password)
        self._client.connect(
            self._plan.host, self._plan.port, KEEPALIVE, clean_start=not self._durable, properties=properties
        )
        if not await self._wait(lambda: self._greeted, until):
            raise DeviceTimeout(f"The broker {self._plan.where} accepted the connection and did not answer in time.")

    async def leave(self) -> None:
        """Say goodbye and close the socket, in any case. Never raises. What was not acknowledged comes again."""
        if self._socket is not None and self._failure is None:
            with contextlib.suppress(Exception):  # the answer is in our hands; how the broker parts is its own
                self._client.disconnect()
                await self._wait(lambda: self._failure is not None, monotonic() + GOODBYE_SECONDS, raising=False)
        self.abort()

    def abort(self) -> None:
        """Close the socket now, without a word."""
        self._client.on_socket_close = self._client.on_socket_unregister_write = None
        sock, self._socket = self._socket, None
        if sock is not None:
            if sock.fileno() >= 0:
                self._loop.remove_reader(sock.fileno())
                self._loop.remove_writer(sock.fileno())
            sock.close()

    # Messages ----------------------------------------------------------------------------------------------------

    async def fetch(self, *, retained: bool, until: float) -> list[Arrival]:
        """What the broker has for us now; empty: nothing. At most a window of it, the rest after :meth:`acknowledge`.

        Args:
            retained: also what stands at the broker; else only when the subscription is new.
            until: on :func:`time.monotonic`; what came until then is answered.

        Raises:
            DeviceError: it refused the subscription, or the connection ended.
        """
        mid = self._subscribe(retained)
        in_time = await self._wait(lambda: mid in self._granted or self._full, until)
        if not in_time and not self._arrived:
            raise DeviceTimeout(f"The broker {self._plan.where} did not answer the subscription in time.")
        self._check_granted(mid)
        if not self._arrived:
            await self._wait(lambda: bool(self._arrived), min(until, monotonic() + QUIET_SECONDS))
        return self._taken()

    async def next(self, *, until: float) -> list[Arrival]:
        """What comes next, as soon as it comes; empty: nothing until then. Raises ``DeviceError``."""
        await self._wait(lambda: bool(self._arrived), until)
        return self._taken()

    def acknowledge(self) -> None:
        """What was fetched is stored: the broker may forget it. The next :meth:`fetch` proves that it heard."""
        for mid in self._unacknowledged:
            self._client.ack(mid, 1)
        self._unacknowledged.clear()
        self._read_on()

    async def publish(
        self, topic: str, payload: bytes, content_type: str, properties: Mapping[str, str], *, until: float
    ) -> ReasonCode | None:
        """Send a message, QoS 1; what the broker said of it, ``None``: nothing in time. Raises ``DeviceError``.

        Args:
            topic: without wildcards.
            payload: text.
            content_type: of it.
            properties: of the user.
            until: on :func:`time.monotonic`.
        """
        more = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        more.ContentType = content_type
        more.PayloadFormatIndicator = 1
        if properties:
            more.UserProperty = list(properties.items())
        sent = self._client.publish(topic, payload, qos=1, properties=more)
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._failure or ended(self._plan, None, "", greeted=True)
        await self._wait(lambda: sent.mid in self._acknowledged, until)
        return self._acknowledged.pop(sent.mid, None)

    def _subscribe(self, retained: bool) -> int:
        when = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if retained else SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
        wanted = [(topic, SubscribeOptions(qos=1, retainHandling=when)) for topic in self._plan.filters]
        code, mid = self._client.subscribe(wanted)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise self._failure or ended(self._plan, None, "", greeted=True)
        return mid

    def _check_granted(self, mid: int) -> None:
        for topic, code in zip(self._plan.filters, self._granted.pop(mid, ()), strict=False):
            if code.is_failure:
                raise refused_topic(self._plan, topic, code.value, str(code))

    def _taken(self) -> list[Arrival]:
        taken, self._arrived, self._bytes = self._arrived, [], 0
        self._unacknowledged += [arrival.mid for arrival in taken if arrival.mid]
        self._read_on()
        return taken

    # What paho calls, and what calls paho ------------------------------------------------------------------------

    def _listen(self) -> None:
        client = self._client
        client.on_socket_open = lambda *_: self._read_on()
        client.on_socket_close = lambda *_: self._close_socket()
        client.on_socket_register_write = lambda *_: self._on_write()
        client.on_socket_unregister_write = lambda *_: self._off_write()
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish

    def _on_connect(self, _client: Any, _data: Any, flags: Any, code: ReasonCode, _properties: Any) -> None:
        if code.is_failure:
            self._end(refused_connect(self._plan, code.value, str(code)))
            return
        self._greeted, self.present = True, flags.session_present
        self._changed.set()

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, code: ReasonCode | None, _properties: Any) -> None:
        said = code.value if flags.is_disconnect_packet_from_server and code is not None else None
        self._end(ended(self._plan, said, str(code), greeted=self._greeted))

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any) -> None:
        self._granted[mid] = codes
        self._changed.set()

    def _on_publish(self, _client: Any, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        self._acknowledged[mid] = code
        self._changed.set()

    def _on_message(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        mid = message.mid if message.qos else 0
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # falls under no filter: acknowledged and left
        self._arrived.append(Arrival(topic, bytes(message.payload), message.retain, message.dup, mid))
        self._bytes += len(message.payload)
        self._changed.set()

    def _read(self) -> None:
        sock = self._socket
        for _ in range(PACKETS_A_TURN):
            if self._full or not self._guarded(self._client.loop_read):
                break
            if not isinstance(sock, ssl.SSLSocket) or not sock.pending():
                return
        if self._full:
            self._stop_reading()
        elif self._socket is not None and isinstance(sock, ssl.SSLSocket) and sock.pending():
            # Decrypted already, so the socket itself will not call us for it.
            self._loop.call_soon(self._read_if_open)

    def _read_if_open(self) -> None:
        if self._socket is not None and self._reading:
            self._read()

    def _guarded(self, step: Any) -> bool:
        """One step of paho's; ``False``: the connection is over."""
        try:
            code = step()
        except Exception as err:  # noqa: BLE001  # a packet that paho cannot take apart must not reach the event loop
            self._end(ended(self._plan, None, str(err), greeted=self._greeted))
            return False
        if self._client._in_packet["remaining_length"] > 2 * MOST_PACKET:
            # We asked the broker not to. paho would take in 256 MB.
            self._end(DeviceProtocolError(f"{self._plan.where} sends a packet of more than {2 * MOST_PACKET:,} bytes."))
            self._close_socket()
            return False
        return code == MQTTErrorCode.MQTT_ERR_SUCCESS and self._failure is None

    @property
    def _full(self) -> bool:
        return len(self._arrived) >= MOST_UNACKNOWLEDGED or self._bytes >= MOST_BYTES

    def _read_on(self) -> None:
        if self._socket is not None and not self._reading and self._socket.fileno() >= 0:
            self._reading = True
            self._loop.add_reader(self._socket.fileno(), self._read)
            if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                self._loop.call_soon(self._read_if_open)

    def _stop_reading(self) -> None:
        if self._socket is not None and self._reading and self._socket.fileno() >= 0:
            self._reading = False
            self._loop.remove_reader(self._socket.fileno())

    def _on_write(self) -> None:
        if self._socket is not None and self._socket.fileno() >= 0:
            self._loop.add_writer(self._socket.fileno(), self._guarded, self._client.loop_write)

    def _off_write(self) -> None:
        if self._socket is not None and self._socket.fileno() >= 0:
            self._loop.remove_writer(self._socket.fileno())

    def _close_socket(self) -> None:
        self._stop_reading()
        self._off_write()

    def _end(self, failure: DeviceError) -> None:
        self._failure = self._failure or failure
        self._changed.set()

    async def _wait(self, done: Any, until: float, *, raising: bool = True) -> bool:
        """Until ``done()``; ``False``: it was not in time. Raises the failure that ended the connection."""
        while not done():
            if self._failure is not None and raising:
                raise self._failure
            left = until - monotonic()
            if left <= 0:
                return False
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()
        return True

    async def _reach(self, addresses: Sequence[str], until: float) -> socket.socket:
        last: Exception = TimeoutError()
        for number, address in enumerate(addresses):
            share = max(0.2, (until - monotonic()) / (len(addresses) - number))
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                async with asyncio.timeout(share):
                    await self._loop.sock_connect(sock, (address, self._plan.port))
            except (OSError, TimeoutError) as err:
                sock.close()
                last = err
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise last


async def _shake_hands(loop: asyncio.AbstractEventLoop, sock: ssl.SSLSocket) -> None:
    while True:
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            await _ready(loop.add_reader, loop.remove_reader, sock)
        except ssl.SSLWantWriteError:
            await _ready(loop.add_writer, loop.remove_writer, sock)


async def _ready(add: Any, remove: Any, sock: ssl.SSLSocket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    add(sock.fileno(), note)
    try:
        await ready
    finally:
        remove(sock.fileno())
