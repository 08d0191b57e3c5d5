"""Where a machine's connection leads: one origin, so that addresses can be compared and vetted."""

from __future__ import annotations

from dataclasses import dataclass

from shared.connectors.profiles import profile_of
from shared.errors import InvalidInput
from shared.outgoing.targets import TargetPolicy
from shared.outgoing.urls import DEFAULT_PORTS, split_url

__all__ = ["Address", "address_of"]

_SCHEMES: dict[str, tuple[str, ...]] = {
    "opc_ua": ("opc.tcp",),
    "modbus": ("modbus+tcp",),
    "mqtt": ("mqtt", "mqtts"),
    "rational": ("https", "http", "opc.tcp"),
}
"""By the connector that reads a protocol name: a vendor may be reached over any of them."""
_HTTP = ("https", "http")
_SERIAL = ("modbus+rtu",)


@dataclass(frozen=True, slots=True)
class Address:
    """Scheme, host and port of a machine, or of the cloud that speaks for it."""

    url: str
    """``opc.tcp://10.0.0.5:4840``: without a path."""
    schemes: tuple[str, ...]

    async def vet(self, targets: TargetPolicy, *, field: str) -> None:
        """Look the name up and check every address of it.

        Raises:
            InvalidInput, UnsafeTarget: we do not connect there; the sentence names ``field``.
        """
        if self.schemes is _SERIAL:
            return  # a port of the machine that reads it, looked at by the connector's own check
        await targets.check_resolves(self.url, field=field, schemes=self.schemes)


def address_of(protocol: str, endpoint: str, port: int | None, *, field: str) -> Address:
    """The address of a connection; ``port`` stands for the port that ``endpoint`` leaves out.

    For protocols other than HTTP a bare host or IP is enough, as the guide allows (``Connection endpoint URL/IP``).

    Raises:
        InvalidInput: it is no address; the sentence names ``field``.
    """
    profile = profile_of(protocol)
    connector = profile.connector if profile is not None else protocol
    if connector == "modbus" and (serial := _serial_port(endpoint)) is not None:
        return serial
    schemes = _SCHEMES.get(connector, _HTTP)
    written = endpoint
    if schemes is not _HTTP and "://" not in written:
        written = f"{schemes[0]}://{written}"
    parts = split_url(written, field=field, schemes=schemes)
    if port is not None and parts.port_written and parts.port != port:
        raise InvalidInput(
            f"{field} names port {parts.port}, and port {port} is given beside it: leave one of them out.", field=field
        )
    number = port if port is not None else parts.port
    host = f"[{parts.host}]" if ":" in parts.host else parts.host
    default = number == DEFAULT_PORTS.get(parts.scheme)
    return Address(f"{parts.scheme}://{host}" + ("" if default else f":{number}"), schemes)


def _serial_port(endpoint: str) -> Address | None:
    from shared.connectors.modbus_place import is_serial

    if not is_serial(endpoint):
        return None
    scheme = f"{_SERIAL[0]}://"
    return Address(scheme + endpoint.strip().partition("?")[0].removeprefix(scheme), _SERIAL)
