"""The errors of Ovenbridge.

::

    OvenbridgeError
    ├── InvalidInput          400  the caller's words are wrong; names the field
    │   └── UnsafeTarget      400  an address we will not connect to
    ├── Unauthorized          401  nobody we know
    ├── Forbidden             403  known, but not allowed to do this
    ├── NotFound              404
    ├── Conflict              409  exists already, or not possible in this state
    ├── LengthRequired        411  a chunked body arrived empty
    ├── PreconditionFailed    412  somebody else changed it first
    ├── PayloadTooLarge       413
    ├── UnsupportedMediaType  415
    ├── TooManyRequests       429  carries retry_after
    ├── Unavailable           503  a backend is away; carries retry_after
    ├── RelaySilent           504  the relay of a plant device does not answer
    ├── BrokenSettings        503  the process cannot work like this
    └── DeviceError                a device could not be read
        ├── DeviceAuthenticationError   it refused our credentials
        ├── DeviceConnectionError       it could not be reached
        │   └── DeviceTlsError          its certificate or TLS was not accepted
        ├── DeviceTimeout               it did not answer in time
        ├── DeviceThrottled             it asks us to come less often
        ├── DeviceNotSupported          this version has no way to read it
        └── DeviceProtocolError         it answered something we cannot read

A foreign library's exception is translated into one of these once, at the boundary
(``raise ... from err``), into a sentence that tells a person what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "BrokenSettings",
    "Conflict",
    "DeviceAuthenticationError",
    "DeviceConnectionError",
    "DeviceError",
    "DeviceNotSupported",
    "DeviceProtocolError",
    "DeviceThrottled",
    "DeviceTimeout",
    "DeviceTlsError",
    "FieldProblem",
    "Forbidden",
    "InvalidInput",
    "LengthRequired",
    "NotFound",
    "OvenbridgeError",
    "PayloadTooLarge",
    "PreconditionFailed",
    "RelaySilent",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnsafeTarget",
    "UnsupportedMediaType",
]


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing that is wrong with one field."""

    field: str
    """Where it is, as the caller wrote it: ``iot_endpoint``, ``credentials.token_url``, ``signals.temperature.at``."""
    problem: str
    """What is wrong and what would be right. Never the rejected value: it may be a secret."""


class OvenbridgeError(Exception):
    """Anything Ovenbridge says no with. ``detail`` is a sentence for a person."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidInput(OvenbridgeError):
    """The caller's words are wrong. Nothing was stored."""

    status = 400
    title = "Invalid input"

    def __init__(self, detail: str, *, field: str | None = None, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(detail)
        self.problems: tuple[FieldProblem, ...] = tuple(problems) or (
            (FieldProblem(field, detail),) if field is not None else ()
        )


class UnsafeTarget(InvalidInput):
    """An address that Ovenbridge will not connect to (SSRF guard)."""

    title = "Unsafe target"


class Unauthorized(OvenbridgeError):
    """The caller is nobody we know."""

    status = 401
    title = "Not signed in"


class Forbidden(OvenbridgeError):
    """The caller is known and may not do this."""

    status = 403
    title = "Not allowed"


class NotFound(OvenbridgeError):
    """There is no such thing."""

    status = 404
    title = "Not found"


class Conflict(OvenbridgeError):
    """It exists already, or its state does not allow this."""

    status = 409
    title = "Conflict"


class LengthRequired(OvenbridgeError):
    """A chunked body arrived empty: the Functions host passes bodies only with a Content-Length."""

    status = 411
    title = "Content-Length required"


class PreconditionFailed(OvenbridgeError):
    """The etag is stale: somebody else changed it first. Read it again, then repeat the change."""

    status = 412
    title = "Changed in the meantime"


class PayloadTooLarge(OvenbridgeError):
    """The body is over the limit."""

    status = 413
    title = "Body too large"


class UnsupportedMediaType(OvenbridgeError):
    """The body is not of a type this route reads."""

    status = 415
    title = "Unsupported media type"


class TooManyRequests(OvenbridgeError):
    """The caller is too fast."""

    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        """Seconds to wait before the next try."""


class Unavailable(OvenbridgeError):
    """A backend (store, queue, vault) is away or throttles us. Nothing is lost; try again."""

    status = 503
    title = "Temporarily unavailable"

    def __init__(self, detail: str, *, retry_after: float = 5.0, advice: str = "") -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        """Seconds to wait before the next try."""
        self.advice = advice
        """What to do, fit for strangers: settings and roles, no names of accounts, paths or machines. Empty: none."""


class RelaySilent(OvenbridgeError):
    """A device stands in a plant whose relay does not answer. The sentence says since when."""

    status = 504
    title = "The relay does not answer"


class BrokenSettings(OvenbridgeError):
    """The process cannot work with these settings. The detail names the setting and what to write."""

    status = 503
    title = "Broken settings"


class DeviceError(OvenbridgeError):
    """A device could not be read."""

    status = 502
    title = "Device error"
    code: ClassVar[str] = "device_error"
    """Stable word for connection logs and clients."""

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        """Seconds the device or its vendor's cloud asked us to stay away; ``None``: it did not say."""


class DeviceAuthenticationError(DeviceError):
    """The device refused our credentials. Polling faster does not help."""

    code = "authentication_failed"


class DeviceConnectionError(DeviceError):
    """The device could not be reached: name, route, port or certificate."""

    code = "cannot_connect"


class DeviceTlsError(DeviceConnectionError):
    """The device's certificate was not accepted, or no common TLS was found. The sentence says what to install."""

    code = "tls_failed"


class DeviceThrottled(DeviceError):
    """The device or its vendor's cloud asks us to come less often."""

    code = "throttled"


class DeviceNotSupported(DeviceError):
    """This version has no way to read this device; the sentence says what would be needed."""

    code = "not_supported"


class DeviceTimeout(DeviceError):
    """The device did not answer in time."""

    code = "timeout"


class DeviceProtocolError(DeviceError):
    """The device answered something we cannot read."""

    code = "unexpected_answer"
