"""What Service Bus says no with, as a sentence that tells a person what to do.

Translated once, here. The SDK's own words are kept as the cause; they name entities and tracking ids, never keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from shared.azure_connections import AzureConnection
from shared.errors import InvalidInput, Unavailable

__all__ = ["BUSY_PAUSE_SECONDS", "Trouble", "Use", "malformed", "trouble"]

Use = Literal["send", "receive"]

ROLES: dict[Use, str] = {"send": "Azure Service Bus Data Sender", "receive": "Azure Service Bus Data Receiver"}
_VERBS: dict[Use, str] = {"send": "send to", "receive": "receive from"}

BUSY_PAUSE_SECONDS = 2.0
"""The service says: once throttled (50009), come back after two seconds."""

OPERATOR_SECONDS = 30.0
"""``Retry-After`` when a person has to do something first."""

UNAUTHORIZED = "amqp:unauthorized-access"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failed call: what to say, and whether trying again may help."""

    error: Unavailable | InvalidInput
    again: Literal["now", "later", "reopened", "no"]
    """``now``: the connection is gone, a new one may do. ``later``: after a pause. ``reopened``: once over a new link,
    if the one that failed was old (its token or the queue may be another by now). ``no``: it would fail again."""
    rebuild: bool
    """The SDK's sender or receiver is in no state to be used again."""


def trouble(error: BaseException, connection: AzureConnection, queue: str, use: Use) -> Trouble:
    """What became of a call on this queue."""
    from azure.core.exceptions import ClientAuthenticationError
    from azure.servicebus import exceptions as sdk

    words = _Words(connection, queue, use)
    inner = getattr(error, "inner_exception", None) or error.__cause__
    for found in (error, inner):
        if isinstance(found, ClientAuthenticationError) and not isinstance(found, sdk.ServiceBusError):
            return Trouble(words.unavailable(str(found.message), OPERATOR_SECONDS), "no", rebuild=True)
    if isinstance(error, sdk.MessageSizeExceededError):
        return Trouble(InvalidInput("The message is larger than the queue takes.", field="body"), "no", rebuild=False)
    if isinstance(error, sdk.ServiceBusServerBusyError):
        return Trouble(words.unavailable(words.busy, 2 * BUSY_PAUSE_SECONDS), "later", rebuild=False)
    if isinstance(error, sdk.MessagingEntityNotFoundError):
        return Trouble(words.unavailable(words.missing, OPERATOR_SECONDS), "reopened", rebuild=True)
    if isinstance(error, sdk.ServiceBusQuotaExceededError):
        return Trouble(words.unavailable(words.full, OPERATOR_SECONDS), "no", rebuild=False)
    if isinstance(error, sdk.MessagingEntityDisabledError):
        return Trouble(words.unavailable(words.disabled, OPERATOR_SECONDS), "reopened", rebuild=True)
    if isinstance(error, sdk.ServiceBusAuthorizationError) or _condition(error) == UNAUTHORIZED:
        return Trouble(words.unavailable(words.forbidden, OPERATOR_SECONDS), "reopened", rebuild=True)
    if isinstance(error, sdk.ServiceBusAuthenticationError):
        return Trouble(words.unavailable(words.unknown_caller, OPERATOR_SECONDS), "reopened", rebuild=True)
    return _unexplained(error, words)


def _unexplained(error: BaseException, words: _Words) -> Trouble:
    from azure.servicebus import exceptions as sdk

    if isinstance(error, TimeoutError | sdk.OperationTimeoutError):
        return Trouble(words.unavailable(words.silent), "now", rebuild=True)
    if _condition(error) == "amqp:unknown-error":
        return Trouble(words.unavailable(words.closed), "now", rebuild=True)
    if isinstance(error, sdk.ServiceBusConnectionError | sdk.ServiceBusCommunicationError | OSError):
        return Trouble(words.unavailable(words.unreachable), "now", rebuild=True)
    return Trouble(words.unavailable(words.other(error)), "now", rebuild=True)


def _condition(error: BaseException) -> str:
    """The AMQP condition behind an SDK error, which has no public name for it."""
    value: Any = getattr(error, "_condition", None)
    value = getattr(value, "value", value)
    return value.decode() if isinstance(value, bytes) else str(value or "")


class _Words:
    """The sentences for one queue. Settings, roles and files, no names of accounts: anybody may read them."""

    def __init__(self, connection: AzureConnection, queue: str, use: Use) -> None:
        setting, verb = connection.setting, _VERBS[use]
        by_key = bool(connection.connection_string)
        where = setting if by_key else f"{setting}__fullyQualifiedNamespace"
        host = f"the namespace of {where}"
        role = (
            f'give the app\'s identity the role "{ROLES[use]}" on the queue {queue}; infra/main.bicep does that. A new '
            "role takes some minutes to be known; no restart is needed"
        )
        make = "Deploy infra/main.bicep, which creates the queues of infra/topology.json"
        if queue.startswith("relay-") and queue.endswith("-commands"):
            make = f"Name the relay in `relays` of infra/main.bicep and deploy it: that creates the queue {queue}"
        self.missing = f"There is no queue {queue} in {host}. {make}, or correct {where}."
        self.forbidden = (
            f"We may not {verb} the queue {queue} in {host}: "
            + (f"use a key in {setting} whose policy allows it" if by_key else role)
            + "."
        )
        self.unknown_caller = (
            f"The key in {setting} is not accepted. Copy the connection string again."
            if by_key
            else f"Our identity is not accepted by {host}. Check that {setting}__clientId names the app's "
            f"user-assigned identity, and {role}."
        )
        self.busy = f"Service Bus throttles {host}; the queue {queue} takes no more for the moment."
        self.full = f"The queue {queue} in {host} is full. Look why nothing takes messages out of it."
        self.disabled = f"The queue {queue} in {host} is disabled. Enable it, or deploy infra/main.bicep again."
        network = "port 5671 must be open from here; where only 443 is, set SERVICE_BUS_TRANSPORT=websockets"
        self.silent = f"The queue {queue} in {host} did not answer in time. If that lasts: {network}."
        self.closed = (
            f"The link to the queue {queue} in {host} was closed without a reason. If that lasts: is the queue "
            f'deployed (infra/main.bicep), and has the app\'s identity the role "{ROLES[use]}" on it?'
        )
        self.unreachable = f"Service Bus cannot be reached. Check {where} and the network: {network}."
        self.malformed = (
            f"{setting} is no usable connection string: it needs Endpoint=sb://<namespace>.servicebus.windows.net/, "
            f"SharedAccessKeyName and SharedAccessKey. By identity, set {setting}__fullyQualifiedNamespace instead."
        )

    def other(self, error: BaseException) -> str:
        """For what nobody foresaw; the log has the SDK's words."""
        return f"Service Bus failed unexpectedly ({type(error).__name__}); the log has the details."

    def unavailable(self, text: str, retry_after: float = 5.0) -> Unavailable:
        """As our error."""
        return Unavailable(text, retry_after=retry_after, advice=text)


def malformed(connection: AzureConnection) -> Unavailable:
    """The connection string is none."""
    return _Words(connection, "", "send").unavailable(_Words(connection, "", "send").malformed, OPERATOR_SECONDS)
