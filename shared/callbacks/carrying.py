"""How a notification gets to its receiver: by HTTP, or into an MQTT broker, from here or through a relay in a plant.

The same code carries in the hub and on a relay; which addresses are allowed is said by the policy of the process that
connects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from shared.callbacks.mqtt_target import is_mqtt, mqtt_target
from shared.errors import DeviceError, InvalidInput, OvenbridgeError
from shared.outgoing.failures import OutgoingError
from shared.outgoing.http import OutgoingHttp

__all__ = ["MAX_ANSWER_BYTES", "Carrier", "NotCarried", "Parcel", "Reply", "Via"]

MAX_ANSWER_BYTES = 16_384
"""So much of an answer is read; a longer one costs the connection."""
NOT_OF_MQTT = ("content-type", "authorization")
"""Headers that have another place in an MQTT message, or none."""


class NotCarried(OvenbridgeError):
    """A notification did not get an answer. ``reason`` is a word for programs, ``detail`` a sentence for people."""

    status = 502
    title = "Receiver not reached"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Parcel(NamedTuple):
    """A notification, ready to leave. What is secret of it never shows itself."""

    url: str
    """As the subscriber wrote it, perhaps with ``user:password@``."""
    headers: Mapping[str, str]
    content: bytes
    timeout_seconds: float
    ca_pem: str | None = None
    """A CA that is believed beside the system's."""

    def __repr__(self) -> str:
        return f"Parcel(timeout_seconds={self.timeout_seconds})"


class Reply(NamedTuple):
    """What the receiver said."""

    status: int | None
    """Of HTTP; ``None``: a broker, which has taken the message (PUBACK)."""
    ms: float
    """From the first look-up to the last byte of the answer, beside the receiver."""
    body: bytes = b""
    """The beginning of it."""


class Via(Protocol):
    """The way through a relay; ``services.py`` plugs it in."""

    async def knows(self, relay_id: str) -> bool:
        """Is there such a relay?"""
        ...

    async def carry(
        self, relay_id: str, callback_id: str, headers: Mapping[str, str], content: bytes, timeout_seconds: float
    ) -> Reply:
        """Have the relay deliver it once.

        Args:
            relay_id: which.
            callback_id: whose address and credentials are put in when the relay fetches the order, and not before:
                an order that waits is stored in the clear.
            headers: without those credentials.
            content: the body.
            timeout_seconds: of the attempt. After it the relay does not begin any more.

        Raises:
            NotCarried: there was no answer.
        """
        ...


class Carrier:
    """Carries from this process."""

    def __init__(self, http: OutgoingHttp) -> None:
        self._http = http

    async def carry(self, parcel: Parcel) -> Reply:
        """Deliver it once.

        Raises:
            NotCarried: there was no answer.
        """
        if is_mqtt(parcel.url):
            return await self._publish(parcel)
        try:
            answer = await self._http.send(
                "POST",
                parcel.url,
                headers=parcel.headers,
                content=parcel.content,
                timeout_seconds=parcel.timeout_seconds,
                max_answer_bytes=MAX_ANSWER_BYTES,
                ca_pem=parcel.ca_pem,
            )
        except OutgoingError as error:
            raise NotCarried(_in_words(error.detail), reason=error.kind) from error
        return Reply(answer.status, answer.elapsed_ms, answer.body)

    async def _publish(self, parcel: Parcel) -> Reply:
        from shared.connectors.mqtt_publishing import Publication, publish

        try:
            target = mqtt_target(parcel.url, field="url", clear_text=self._http.targets.allow_http)
            named = {name: text for name, text in parcel.headers.items() if name.lower() not in NOT_OF_MQTT}
            message = Publication(target.topic, parcel.content, "application/json", named)
            ms = await publish(
                message,
                self._http.targets,
                host=target.host,
                port=target.port,
                tls=target.tls,
                ca_pem=parcel.ca_pem,
                username=target.username,
                password=target.password,
                timeout_seconds=parcel.timeout_seconds,
            )
        except InvalidInput as error:
            raise NotCarried(error.detail, reason="unsafe") from error
        except DeviceError as error:
            raise NotCarried(_in_words(error.detail), reason=error.code) from error
        return Reply(None, ms)


def _in_words(sentence: str) -> str:
    """In the fields of a callback, not of a machine."""
    return sentence.replace("ca_certificate", "caCertificate").replace(
        ", or set verify_ssl to false for this device only", ""
    )
