"""What Cosmos DB and its SDK say when something does not work, in our words. Nothing of their texts is passed on: they
hold addresses, ids of principals and parts of requests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from shared.azure_connections import AzureConnection
from shared.errors import Conflict, InvalidInput, NotFound, OvenbridgeError, PreconditionFailed, Unavailable

__all__ = ["Kind", "Subject", "Verdict", "error_of", "judge"]


class Kind(Enum):
    """What an answer means to us."""

    EXISTS = auto()
    ABSENT = auto()
    STALE = auto()
    INVALID = auto()
    TOO_LARGE = auto()
    NO_CONTAINER = auto()
    REFUSED = auto()
    FULL = auto()
    MISCONFIGURED = auto()
    LATER = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to make of a failure."""

    kind: Kind
    unsure: bool = False
    """It may have been done all the same."""
    wait: float | None = None
    """Seconds the server asks us to wait."""
    said: str = ""
    """``429``, ``503``, ``no connection``: for people."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a call was about."""

    container: str
    id: str | None = None
    operation: str = ""


_SURE_LATER = {410, 429, 449}
"""Not done, try again: a moved partition, too many requests, a conflict of concurrent writers."""

_STATUSES = {
    400: Kind.INVALID,
    401: Kind.REFUSED,
    403: Kind.REFUSED,
    404: Kind.ABSENT,
    409: Kind.EXISTS,
    412: Kind.STALE,
    413: Kind.TOO_LARGE,
}

_SUB_STATUSES = {
    (404, 1002): Kind.LATER,  # the replica is behind our session
    (404, 1003): Kind.NO_CONTAINER,
    (403, 3): Kind.LATER,  # the write region is moving
    (403, 1008): Kind.LATER,
    (403, 1014): Kind.FULL,
}


def judge(error: BaseException) -> Verdict:
    """What to make of an exception out of the SDK."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status:
        return _of_status(status, getattr(error, "sub_status", None), getattr(error, "headers", None) or {})
    from azure.core.exceptions import (
        AzureError,
        ClientAuthenticationError,
        ServiceRequestError,
        ServiceResponseTimeoutError,
    )

    if isinstance(error, ClientAuthenticationError):
        return Verdict(Kind.REFUSED, said="sign-in")
    if isinstance(error, ServiceRequestError):
        never = _never_sent(error)
        return Verdict(Kind.LATER, unsure=not never, said="no connection" if never else "connection lost")
    if isinstance(error, ServiceResponseTimeoutError):
        return Verdict(Kind.LATER, unsure=True, said="no answer in time")
    if isinstance(error, AzureError | OSError):
        return Verdict(Kind.LATER, unsure=True, said="connection lost")
    raise error


def _of_status(status: int, sub_status: int | None, headers: Mapping[str, Any]) -> Verdict:
    said = f"{status}" if not sub_status else f"{status}/{sub_status}"
    kind = _SUB_STATUSES.get((status, sub_status or 0)) or _STATUSES.get(status)
    if kind is Kind.LATER:
        return Verdict(kind, unsure=False, said=said)
    if kind is not None:
        return Verdict(kind, said=said)
    return Verdict(Kind.LATER, unsure=status not in _SURE_LATER, wait=_wait_of(headers), said=said)


def _wait_of(headers: Mapping[str, Any]) -> float | None:
    try:
        seconds = float(headers.get("x-ms-retry-after-ms", "")) / 1000
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _never_sent(error: BaseException) -> bool:
    """The SDK calls every broken connection a request that was never sent. It was not only if none came about."""
    from aiohttp import ClientConnectorError, ConnectionTimeoutError, InvalidURL

    inner = getattr(error, "inner_exception", None)
    return isinstance(inner, ClientConnectorError | ConnectionTimeoutError | InvalidURL)


def error_of(verdict: Verdict, subject: Subject, connection: AzureConnection, database: str) -> OvenbridgeError:
    """The error for our callers."""
    name = subject.container
    match verdict.kind:
        case Kind.EXISTS:
            return Conflict(f"{name} has a document {subject.id} already.")
        case Kind.ABSENT:
            return NotFound(f"{name} has no document {subject.id}.")
        case Kind.STALE:
            return PreconditionFailed(f"{subject.id} in {name} was changed in the meantime; read it again.")
        case Kind.INVALID:
            return InvalidInput(f"{name} cannot {subject.operation} this: {_why_invalid(subject.operation)}.")
        case Kind.TOO_LARGE:
            return InvalidInput("The document is too large, or the batch: 2 MB are allowed.", field="document")
        case _:
            return _unavailable(verdict, name, connection, database)


def _why_invalid(operation: str) -> str:
    if operation in ("patch", "batch"):
        return (
            "a path whose parent is not there or is no object, a property to remove that is not there, "
            "or a number to add to that is none"
        )
    return "Cosmos DB takes it for no valid request; check names, values and what is indexed"


def _unavailable(verdict: Verdict, name: str, connection: AzureConnection, database: str) -> Unavailable:
    match verdict.kind:
        case Kind.NO_CONTAINER:
            return Unavailable(
                f"The container {name} is missing in the Cosmos DB database {database}. Deploy infra/main.bicep, which "
                "makes it, or correct COSMOS_DATABASE.",
                retry_after=30.0,
            )
        case Kind.REFUSED:
            return Unavailable(_refused(verdict, name, connection), retry_after=30.0)
        case Kind.FULL:
            return Unavailable(
                f"A partition of {name} has reached Cosmos DB's 20 GB. Shorten its time to live, or delete some.",
                retry_after=3600.0,
            )
        case Kind.MISCONFIGURED:
            return Unavailable(
                f"{connection.setting} cannot be used: the address or the key is malformed. Set "
                f"{connection.setting}__accountEndpoint=https://<account>.documents.azure.com:443/.",
                retry_after=30.0,
            )
        case _:
            if verdict.said.startswith("429"):
                detail = f"Cosmos DB is out of request units for {name} just now. Try again."
            else:
                detail = f"Cosmos DB could not be used for {name} just now ({verdict.said}). Try again."
            return Unavailable(detail, retry_after=max(1.0, verdict.wait or 1.0))


def _refused(verdict: Verdict, name: str, connection: AzureConnection) -> str:
    if connection.connection_string:
        return (
            f"Cosmos DB refused the key of {connection.setting} ({verdict.said}): it is wrong or was renewed, or keys "
            f"are switched off. Set {connection.setting}__accountEndpoint to sign in by identity instead."
        )
    if verdict.said.startswith("403"):
        return (
            f"Cosmos DB does not let this app use {name} ({verdict.said}). Give its identity the data-plane role "
            "'Cosmos DB Built-in Data Contributor' on that container (infra/main.bicep does; it takes some minutes to "
            f"act), and check {connection.setting}__clientId and the account's firewall."
        )
    return (
        f"Signing in to Cosmos DB failed ({verdict.said}). Check {connection.setting}__credential=managedidentity and "
        f"{connection.setting}__clientId, and that the identity is assigned to this app."
    )
