"""What an OPC UA device needs, worked out once from its configuration. Everything that can be wrong is found here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.connectors.config_problems import parsed_config, unfilled
from shared.connectors.mapping import SignalSpec, canonical_key
from shared.connectors.opc_ua_address import BadNodeAddress, NodeAddress, parse_node
from shared.connectors.opc_ua_certificates import Pin, parse_pin
from shared.connectors.opc_ua_config import OpcUaConfig, OpcUaCredentials, OpcUaOptions, SecurityMode, SecurityPolicy
from shared.connectors.profiles import Profile
from shared.errors import InvalidInput
from shared.outgoing.targets import TargetPolicy
from shared.outgoing.urls import split_url

__all__ = ["NodeSignal", "OpcUaPlan", "plan"]

SCHEMES = ("opc.tcp",)


@dataclass(frozen=True, slots=True)
class NodeSignal:
    """One signal of the mapping with its node."""

    key: str
    spec: SignalSpec
    node: NodeAddress


@dataclass(frozen=True, slots=True)
class OpcUaPlan:
    """Ready to be read."""

    url: str
    """As the server is told: with the host's name, whatever address is connected to."""
    host: str
    port: int
    policy: SecurityPolicy
    mode: SecurityMode
    pins: tuple[Pin, ...]
    allow_plain_password: bool
    credentials: OpcUaCredentials = field(repr=False)
    signals: tuple[NodeSignal, ...] | None
    """``None``: the profile's device type says what there is."""
    device: NodeAddress | None
    temperature_unit: str
    timeout_seconds: float

    @property
    def where(self) -> str:
        """``host:port``, for people."""
        return f"{self.host}:{self.port}"

    @property
    def secured(self) -> bool:
        """Are messages signed at least?"""
        return self.policy != "None"


def plan(config: Mapping[str, Any], profile: Profile, equipment_id: str, targets: TargetPolicy) -> OpcUaPlan:
    """Check a configuration and work it out.

    Raises:
        InvalidInput: naming every field that is wrong (``additional_config.signals['temperature.core'].at``).
        UnsafeTarget: an address we do not connect to.
    """
    given = parsed_config(OpcUaConfig, config, profile.defaults)
    options = given.additional_config
    if profile.requires_signals and options.signals is None:
        raise InvalidInput(
            f"protocol {profile.names[0]} knows no nodes by itself: give additional_config.signals, such as "
            '{"temperature.deck1": "nsu=http://vendor.example/oven/;s=Deck1.Temperature"}.',
            field="additional_config.signals",
        )
    url, host, port = _address(given, targets)
    _check_security(given)
    values = options.variables(equipment_id)
    field_name = "additional_config.server_cert"
    return OpcUaPlan(
        url=url,
        host=host,
        port=port,
        policy=options.security_policy,
        mode=options.security_mode,
        pins=tuple(parse_pin(text, field=field_name) for text in options.server_cert or ()),
        allow_plain_password=options.allow_plain_password,
        credentials=given.credentials,
        signals=_signals(options, values),
        device=None if options.device is None else _filled(options.device, values, "device"),
        temperature_unit=options.temperature_unit,
        timeout_seconds=options.timeout,
    )


def _address(given: OpcUaConfig, targets: TargetPolicy) -> tuple[str, str, int]:
    written = given.endpoint if "://" in given.endpoint else f"opc.tcp://{given.endpoint}"
    targets.check_url(written, field="endpoint", schemes=SCHEMES)
    parts = split_url(written, field="endpoint", schemes=SCHEMES)
    if given.port is not None and parts.port_written and given.port != parts.port:
        raise InvalidInput(
            f"port {given.port} contradicts the port {parts.port} in endpoint: leave one of them out.", field="port"
        )
    port = given.port if given.port is not None else parts.port
    host = f"[{parts.host}]" if ":" in parts.host else parts.host
    # The port always stands in it: servers compare the text with the endpoints they know.
    return f"opc.tcp://{host}:{port}{parts.rest}", parts.host, port


def _check_security(given: OpcUaConfig) -> None:
    options, credentials = given.additional_config, given.credentials
    if options.security_policy != "None":
        return
    if credentials.username and not options.allow_plain_password and not options.server_cert:
        field_name = "additional_config.security_policy"
        raise InvalidInput(
            f"{field_name} None sends the password to whoever answers: use Basic256Sha256; or pin the server's "
            "certificate as server_cert, so that the password is encrypted to it; or set allow_plain_password to true "
            "where the network is your own.",
            field=field_name,
        )


def _signals(options: OpcUaOptions, values: Mapping[str, str]) -> tuple[NodeSignal, ...] | None:
    if options.signals is None:
        return None
    return tuple(
        NodeSignal(canonical_key(key), spec, _filled(spec.at, values, f"signals['{key}'].at"))
        for key, spec in options.signals.items()
    )


def _filled(text: str, values: Mapping[str, str], place: str) -> NodeAddress:
    node = parse_node(text)
    unknown = sorted(node.placeholders() - values.keys())
    if unknown:
        raise unfilled(place, unknown[0], values)
    try:
        return node.filled(values)
    except BadNodeAddress as err:
        raise InvalidInput(f"additional_config.{place}: {err}.", field=f"additional_config.{place}") from None
