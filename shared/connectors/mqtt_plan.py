"""What an MQTT device needs, worked out once from its configuration. What can be wrong is found here, by its field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.connectors.config_problems import parsed_config, unfilled
from shared.connectors.mapping import canonical_key
from shared.connectors.mqtt_config import MqttConfig, MqttOptions
from shared.connectors.mqtt_topics import BadTopic, parse_at, placeholders, with_values
from shared.connectors.paths import Path, parse_path
from shared.connectors.profiles import Profile
from shared.connectors.rest_plan import MappedSignal
from shared.errors import InvalidInput
from shared.ids import digest_id
from shared.outgoing.targets import TargetPolicy
from shared.outgoing.tls import check_ca
from shared.outgoing.urls import SplitUrl, split_url

__all__ = ["MqttPlan", "TopicSignal", "plan"]

SCHEMES = ("mqtt", "mqtts")


@dataclass(frozen=True, slots=True)
class TopicSignal:
    """One signal of the mapping, and the topics it is read from."""

    topic: str | None
    """``None``: every message of the device."""
    mapped: MappedSignal


@dataclass(frozen=True, slots=True)
class MqttPlan:
    """Ready to connect."""

    host: str
    port: int
    where: str
    """``host:port``."""
    tls: bool
    verify: bool
    ca_pem: str | None = field(repr=False)
    client_id: str
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    filters: tuple[str, ...]
    """What is subscribed to."""
    paths: tuple[str, ...]
    """Of these, the ones whose messages hold signals without a topic of their own."""
    signals: tuple[TopicSignal, ...] | None
    """``None``: the guide's field names are read."""
    timestamp: Path | None
    temperature_unit: str
    partial: bool
    session_expiry: int
    timeout_seconds: float


def plan(config: Mapping[str, Any], profile: Profile, equipment_id: str, targets: TargetPolicy) -> MqttPlan:
    """Check a configuration and work it out.

    Raises:
        InvalidInput: naming every field that is wrong.
        UnsafeTarget: an address we do not connect to.
    """
    given = parsed_config(MqttConfig, config, profile.defaults)
    options = given.additional_config
    broker = _broker(given, targets)
    values = options.variables(equipment_id)
    signals = _signals(options, values)
    paths = tuple(
        _topic(text, values, "path" if len(options.path) == 1 else f"path[{number}]")
        for number, text in enumerate(options.path)
    )
    _paths_where_needed(paths, signals)
    filters = tuple(dict.fromkeys([*paths, *(s.topic for s in signals or () if s.topic is not None)]))
    _check_security(given, broker)
    return MqttPlan(
        host=broker.host,
        port=broker.port,
        where=f"{broker.host}:{broker.port}",
        tls=broker.scheme == "mqtts",
        verify=options.verify_ssl,
        ca_pem=options.ca_certificate,
        client_id=_client_id(options, values, filters),
        username=given.credentials.username,
        password=given.credentials.password,
        filters=filters,
        paths=paths,
        signals=signals,
        timestamp=None
        if options.timestamp_at is None
        else _path(parse_path(options.timestamp_at), values, "timestamp_at"),
        temperature_unit=options.temperature_unit,
        partial=options.partial_messages,
        session_expiry=options.session_expiry,
        timeout_seconds=options.timeout,
    )


def _broker(given: MqttConfig, targets: TargetPolicy) -> SplitUrl:
    written = given.endpoint if "://" in given.endpoint else f"mqtt://{given.endpoint}"
    targets.check_url(written, field="endpoint", schemes=SCHEMES)
    parts = split_url(written, field="endpoint", schemes=SCHEMES)
    if parts.rest.strip("/"):
        raise InvalidInput(
            "endpoint is the broker alone, such as mqtts://10.0.0.2:8883; the topic stands in additional_config.path.",
            field="endpoint",
        )
    if given.port is None or given.port == parts.port:
        return parts
    if parts.port_written:
        raise InvalidInput(
            f"port {given.port} contradicts the port {parts.port} in endpoint: leave one of them out.", field="port"
        )
    return SplitUrl(parts.scheme, parts.host, given.port, parts.address, parts.userinfo, parts.rest, port_written=True)


def _signals(options: MqttOptions, values: Mapping[str, str]) -> tuple[TopicSignal, ...] | None:
    if options.signals is None:
        return None
    found: list[TopicSignal] = []
    for key, spec in options.signals.items():
        place = f"signals['{key}'].at"
        topic, path = parse_at(spec.at)
        filled = None if topic is None else _topic(topic, values, place)
        found.append(TopicSignal(filled, MappedSignal(canonical_key(key), spec, _path(path, values, place))))
    return tuple(found)


def _paths_where_needed(paths: tuple[str, ...], signals: tuple[TopicSignal, ...] | None) -> None:
    if paths or (signals is not None and all(signal.topic is not None for signal in signals)):
        return
    raise InvalidInput(
        "additional_config.path is missing: give the topic of the device's messages, such as "
        "bakery/oven/{unit}/telemetry (or a topic in every signal: @bakery/oven/7/temperature).",
        field="additional_config.path",
    )


def _topic(text: str, values: Mapping[str, str], place: str) -> str:
    unknown = sorted(placeholders(text) - values.keys())
    if unknown:
        raise unfilled(place, unknown[0], values)
    try:
        return with_values(text, values)
    except BadTopic as err:
        field = f"additional_config.{place}"
        raise InvalidInput(f"{field}: {err}.", field=field) from None


def _path(path: Path, values: Mapping[str, str], place: str) -> Path:
    unknown = sorted(path.placeholders() - values.keys())
    if unknown:
        raise unfilled(place, unknown[0], values)
    return path.filled(values)


def _client_id(options: MqttOptions, values: Mapping[str, str], filters: tuple[str, ...]) -> str:
    """The name of the session. Other topics make another one: a session never forgets what it once subscribed to."""
    if options.client_id is not None:
        unknown = sorted(placeholders(options.client_id) - values.keys())
        if unknown:
            raise unfilled("client_id", unknown[0], values)
        name = options.client_id
        for key in placeholders(name):
            name = name.replace(f"{{{key}}}", values[key])
        return name
    return f"ovenbridge-{values['id']}-{digest_id(*sorted(filters))[:6]}"


def _check_security(given: MqttConfig, broker: SplitUrl) -> None:
    options = given.additional_config
    if broker.scheme == "mqtt":
        if given.credentials.password and not options.allow_plain_password:
            raise InvalidInput(
                "endpoint begins with mqtt://, over which the password would be sent in the clear: use mqtts://, or "
                "set additional_config.allow_plain_password to true where the network is your own.",
                field="endpoint",
            )
        if options.ca_certificate is not None:
            raise InvalidInput(
                "additional_config.ca_certificate has no effect with mqtt://: use mqtts://, usually at port 8883.",
                field="additional_config.ca_certificate",
            )
    elif options.ca_certificate is not None:
        try:
            check_ca(options.ca_certificate)
        except InvalidInput as err:
            raise InvalidInput(err.detail, field="additional_config.ca_certificate") from err
