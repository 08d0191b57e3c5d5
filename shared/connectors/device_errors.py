"""From what went wrong on the way out to what it means for a device. The one boundary for REST devices."""

from __future__ import annotations

from shared.errors import (
    DeviceConnectionError,
    DeviceError,
    DeviceProtocolError,
    DeviceTimeout,
    DeviceTlsError,
)
from shared.outgoing.failures import Kind, OutgoingError

__all__ = ["device_error"]

_MEANING: dict[Kind, type[DeviceError]] = {
    "timeout": DeviceTimeout,
    "tls": DeviceTlsError,
    "protocol": DeviceProtocolError,
    "too_large": DeviceProtocolError,
}
"""Everything else: it could not be reached."""


def device_error(err: OutgoingError, *, prefix: str = "") -> DeviceError:
    """The device's error of the same cause, with the same sentence."""
    return _MEANING.get(err.kind, DeviceConnectionError)(prefix + err.detail)
