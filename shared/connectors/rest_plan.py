"""What a REST device needs, worked out once from its configuration: URLs, headers, parsed addresses.

Everything that can be wrong is found here, before anything is sent, and named by its field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from shared.connectors.config_problems import parsed_config, unfilled
from shared.connectors.mapping import SignalSpec, canonical_key
from shared.connectors.oauth import TokenRequest
from shared.connectors.paths import Path, parse_path
from shared.connectors.profiles import Profile
from shared.connectors.rest_config import RestConfig, RestOptions
from shared.errors import InvalidInput
from shared.outgoing.targets import TargetPolicy
from shared.outgoing.tls import check_ca
from shared.outgoing.urls import SplitUrl, split_url

__all__ = ["MappedSignal", "RestPlan", "plan"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class MappedSignal:
    """One signal of the mapping with its parsed address."""

    key: str
    spec: SignalSpec
    path: Path


@dataclass(frozen=True, slots=True)
class RestPlan:
    """Ready to be sent."""

    data_url: str = field(repr=False)
    data_path: str
    """The path without query: what an error may show."""
    status_url: str | None = field(repr=False)
    where: str
    """``host:port``."""
    headers: Mapping[str, str] = field(repr=False)
    oauth: TokenRequest | None = field(repr=False)
    signals: tuple[MappedSignal, ...] | None
    """``None``: the guide's field names are read."""
    timestamp: Path | None
    temperature_unit: str
    timeout_seconds: float
    verify: bool
    ca_pem: str | None = field(repr=False)
    unreadable: str | None
    """Why this device cannot be read as it is configured; said by every read."""


def plan(config: Mapping[str, Any], profile: Profile, equipment_id: str, targets: TargetPolicy) -> RestPlan:
    """Check a configuration and work it out.

    Raises:
        InvalidInput: naming every field that is wrong (``additional_config.signals['temperature.core'].at``).
        UnsafeTarget: an address we do not connect to.
    """
    given = parsed_config(RestConfig, config, profile.defaults)
    options = given.additional_config
    if profile.requires_signals and options.signals is None:
        raise InvalidInput(
            f"protocol {profile.names[0]} is your own mapping and nothing else: give additional_config.signals, such "
            'as {"temperature.cabinet": "data.temp"}.',
            field="additional_config.signals",
        )
    base = _base(given, targets)
    values = options.variables(equipment_id)
    data_url = _url(base, options.data_endpoint, values, "additional_config.data_endpoint")
    status_url = None
    if options.status_endpoint:
        status_url = _url(base, options.status_endpoint, values, "additional_config.status_endpoint")
    target = targets.check_url(data_url, field="endpoint")
    _check_ca(options)
    return RestPlan(
        data_url=data_url,
        data_path=data_url[len(target.origin) :].partition("?")[0] or "/",
        status_url=status_url,
        where=f"{target.host}:{target.port}",
        headers=_headers(given),
        oauth=_oauth(given, base, targets),
        signals=_signals(options, values),
        timestamp=None if options.timestamp_at is None else _filled(options.timestamp_at, values, "timestamp_at"),
        temperature_unit=options.temperature_unit,
        timeout_seconds=options.timeout,
        verify=options.verify_ssl,
        ca_pem=options.ca_certificate,
        unreadable=_unreadable(profile, options),
    )


def _base(given: RestConfig, targets: TargetPolicy) -> SplitUrl:
    targets.check_url(given.endpoint, field="endpoint")
    parts = split_url(given.endpoint, field="endpoint", schemes=("https", "http"))
    if given.port is None or given.port == parts.port:
        return parts
    if parts.port_written:
        raise InvalidInput(
            f"port {given.port} contradicts the port {parts.port} in endpoint: leave one of them out.", field="port"
        )
    return SplitUrl(parts.scheme, parts.host, given.port, parts.address, parts.userinfo, parts.rest, port_written=True)


def _url(base: SplitUrl, template: str | None, values: Mapping[str, str], field: str) -> str:
    """The template under the endpoint's own path: ``https://host/api`` and ``/ovens/{id}`` make ``/api/ovens/7``."""
    if not template:
        return base.wire
    if "?" in base.rest:
        raise InvalidInput(
            "endpoint has a query, so no path can follow it: move the query into data_endpoint.", field="endpoint"
        )
    filled = _PLACEHOLDER.sub(lambda match: _segment(match[1], values, field), template)
    return base.origin + base.rest.rstrip("/") + "/" + filled.removeprefix("/")


def _segment(name: str, values: Mapping[str, str], field: str) -> str:
    value = values.get(name)
    if value is None:
        raise InvalidInput(
            f"{field} has {{{name[:40]}}}, which has no value: give {name[:40]} in additional_config "
            f"(known here: {', '.join(sorted(values))}).",
            field=field,
        )
    if value in (".", ".."):
        raise InvalidInput(f"{field}: {{{name}}} is filled with {value}, which would change the path.", field=field)
    return quote(value, safe="")


def _signals(options: RestOptions, values: Mapping[str, str]) -> tuple[MappedSignal, ...] | None:
    if options.signals is None:
        return None
    return tuple(
        MappedSignal(canonical_key(key), spec, _filled(spec.at, values, f"signals['{key}'].at"))
        for key, spec in options.signals.items()
    )


def _filled(text: str, values: Mapping[str, str], place: str) -> Path:
    path = parse_path(text)
    unknown = sorted(path.placeholders() - values.keys())
    if unknown:
        raise unfilled(place, unknown[0], values)
    return path.filled(values)


def _headers(given: RestConfig) -> dict[str, str]:
    return {"Accept": "application/json", **given.additional_config.headers, **given.credentials.headers()}


def _oauth(given: RestConfig, base: SplitUrl, targets: TargetPolicy) -> TokenRequest | None:
    url = given.credentials.token_url
    if url is None:
        return None
    field = "credentials.token_url"
    absolute = url if "://" in url else _url(base, url, {}, field)
    elsewhere = targets.check_url(absolute, field=field).origin != base.origin
    options = given.additional_config
    # A device may go unverified; a token service on another host never does.
    verify = options.verify_ssl or elsewhere
    return TokenRequest(absolute, given.credentials, verify, options.ca_certificate, options.timeout)


def _unreadable(profile: Profile, options: RestOptions) -> str | None:
    needed = set(profile.cannot_read_without)
    given = {"data_endpoint"} if options.data_endpoint else set()
    if options.signals is not None:
        given.add("signals")
    return profile.cannot_read_because if needed and not needed & given else None


def _check_ca(options: RestOptions) -> None:
    if options.ca_certificate is None:
        return
    try:
        check_ca(options.ca_certificate)
    except InvalidInput as err:
        raise InvalidInput(err.detail, field="additional_config.ca_certificate") from err
