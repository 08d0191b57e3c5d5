"""One try: say it to the receiver, and judge what came back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from shared.callbacks.carrying import Carrier, NotCarried, Parcel, Reply, Via
from shared.callbacks.document import delivery_id
from shared.callbacks.model import Callback
from shared.callbacks.mqtt_target import MQTT_SCHEMES
from shared.callbacks.sealed import Destination
from shared.callbacks.signing import signature
from shared.clock import Clock, iso, parse_iso
from shared.errors import DeviceAuthenticationError
from shared.metrics import DELIVERY_ATTEMPTS, DELIVERY_LAG, FIRST_ATTEMPT_WITHIN_SECONDS, in_time
from shared.observability import redact
from shared.outgoing.echo import secrets_in, without
from shared.outgoing.urls import DEFAULT_PORTS
from shared.storage import Document
from shared.tracing import Span, span

__all__ = ["Attempts", "Dialect", "Notification", "Outcome"]

SHOWN_CHARACTERS = 500
"""So much of an answer is kept for people."""


class Notification(NamedTuple):
    """What a receiver gets: a body, and headers of its dialect."""

    body: bytes
    headers: Mapping[str, str]


Dialect = Callable[[Callback, Mapping[str, Any], str], Notification | Awaitable[Notification]]
"""Writes a notification: the callback, the event's stored form, how callers reach us. One that needs a key of ours to
sign with may have to wait for it; raises ``Unavailable`` then."""


class Outcome(NamedTuple):
    """How a try went."""

    confirmed: bool
    gone: bool
    """The receiver wants no more (410)."""
    tried: dict[str, Any]
    """For the log of tries: number, time, duration, status, reason, sentence, cut-off answer."""

    @property
    def refused_us(self) -> bool:
        """The receiver does not accept our credentials, or no longer."""
        return self.tried.get("status") in (401, 403) or self.tried.get("reason") == DeviceAuthenticationError.code

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        return str(self.tried.get("detail", "The receiver confirmed."))


@dataclass(frozen=True, slots=True)
class Attempts:
    """Makes tries."""

    carrier: Carrier
    via: Callable[[], Via]
    """The way through relays, made when it is needed."""
    clock: Clock
    dialects: Mapping[str, Dialect]
    base_url: str
    timeout_seconds: float

    async def make(self, callback: Callback, destination: Destination, document: Document) -> Outcome:
        """Send the notification once. Never raises for anything a receiver does."""
        with span("notify", "client") as now:
            trace = now.parent.traceparent if now.parent is not None else document.get("traceparent")
            outcome = await self._send(callback, destination, document, trace)
            DELIVERY_ATTEMPTS.record(1, outcome=_kind(outcome))
            if now.recording:
                _describe(now, callback, document, outcome)
            return outcome

    async def _send(
        self, callback: Callback, destination: Destination, document: Document, trace: str | None
    ) -> Outcome:
        number = document["attempt"] - document["firstAttempt"] + 1
        now = self.clock.now()
        if document["attempt"] == 0:
            late = (now - parse_iso(document["createdAt"])).total_seconds()
            DELIVERY_LAG.record(late, on_time=in_time(late, FIRST_ATTEMPT_WITHIN_SECONDS))
        written = self.dialects[callback.dialect](callback, document["event"], self.base_url)
        notification = written if isinstance(written, Notification) else await written
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery_id(callback.id, document["id"]),
            "webhook-timestamp": str(int(now.timestamp())),
            "x-ovenbridge-attempt": str(number),
            **notification.headers,
        }
        if destination.signing:
            headers["webhook-signature"] = signature(
                destination.signing,
                headers["webhook-id"],
                headers["webhook-timestamp"],
                notification.body,
                now.timestamp(),
            )
        if (correlation := document.get("correlationId")) is not None:
            headers["x-correlation-id"] = correlation
        if trace is not None:
            headers["traceparent"] = trace
        tried: dict[str, Any] = {"n": number, "at": iso(now)}
        if callback.deliver_via is not None:
            tried["via"] = callback.deliver_via
        try:
            reply = await self._carry(callback, destination, headers, notification.body)
        except NotCarried as error:
            tried |= {"reason": error.reason, "detail": error.detail}
            tried["ms"] = round((self.clock.now() - now).total_seconds() * 1000)
            return Outcome(False, False, tried)
        return _judge(reply, tried, destination)

    async def _carry(self, callback: Callback, destination: Destination, headers: dict[str, str], body: bytes) -> Reply:
        if callback.deliver_via is None:
            headers.update(destination.headers)
            return await self.carrier.carry(
                Parcel(destination.url, headers, body, self.timeout_seconds, destination.ca_pem)
            )
        return await self.via().carry(callback.deliver_via, callback.id, headers, body, self.timeout_seconds)


def missing_destination(document: Document, now: str) -> Outcome:
    """The vault has no target for this callback."""
    number = document["attempt"] - document["firstAttempt"] + 1
    detail = "The vault holds no address for this callback: delete it and register it again."
    return Outcome(False, False, {"n": number, "at": now, "reason": "no_destination", "detail": detail})


def _kind(outcome: Outcome) -> str:
    """For counting: confirmed, http_4xx, or why there was no answer."""
    if outcome.confirmed:
        return "confirmed"
    status = outcome.tried.get("status")
    return str(outcome.tried["reason"]) if status is None else f"http_{status // 100}xx"


def _describe(now: Span, callback: Callback, document: Document, outcome: Outcome) -> None:
    """Which event, which delivery, which attempt; the receiver by its host alone."""
    receiver = urlsplit(callback.origin)
    way = {"messaging.system": "mqtt"} if receiver.scheme in MQTT_SCHEMES else {"http.request.method": "POST"}
    now.set(
        {
            **way,
            "server.address": receiver.hostname or "",
            "server.port": receiver.port or DEFAULT_PORTS.get(receiver.scheme, 80),
            "ovenbridge.event_id": document["id"][2:],
            "ovenbridge.event_type": document["eventType"],
            "ovenbridge.callback_id": callback.id,
            "ovenbridge.delivery_id": delivery_id(callback.id, document["id"]),
            "ovenbridge.attempt": outcome.tried["n"],
        }
    )
    if (status := outcome.tried.get("status")) is not None:
        now.set({"http.response.status_code": status})
    if not outcome.confirmed:
        now.failed(outcome.sentence)


def _judge(reply: Reply, tried: dict[str, Any], destination: Destination) -> Outcome:
    status = reply.status
    tried["ms"] = round(reply.ms)
    if status is None:  # a broker has it: there is nothing more to say
        return Outcome(True, False, tried)
    tried["status"] = status
    if reply.body:
        said = reply.body.decode("utf-8", "replace")
        secrets = secrets_in(url=destination.url, headers=destination.headers)
        tried["answer"] = redact(without(said, secrets)[:SHOWN_CHARACTERS])
    if 200 <= status < 300:
        return Outcome(True, False, tried)
    tried |= {"reason": f"http_{status}", "detail": _sentence(status)}
    return Outcome(False, status == 410, tried)


def _sentence(status: int) -> str:
    if status == 410:
        return "The receiver answered 410: it wants no more notifications."
    if 300 <= status < 400:
        return f"The receiver answered {status}, a redirect, which is never followed: register the final address."
    if status in (401, 403):
        return f"The receiver answered {status}: check the credentials of this callback."
    if status == 404:
        return "The receiver answered 404: check the path of the URL."
    if status == 413:
        return "The receiver answered 413: the notification is too large for it."
    if status == 429:
        return "The receiver answered 429: it asks for fewer notifications."
    return f"The receiver answered {status}; only 2xx confirms a notification."
