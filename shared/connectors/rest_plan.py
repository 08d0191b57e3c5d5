"""What a REST device needs, worked out once from its configuration: URLs, headers, parsed addresses.

Everything that can be wrong is found here, before anything is sent, and named by its field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from shared.connectors.config_problems import parsed_config, unfilled
from shared.connectors.credentials import Credentials
from shared.connectors.mapping import SignalSpec, canonical_key
from shared.connectors.oauth import TokenRequest
from shared.connectors.path_templates import PLACEHOLDER, url_below
from shared.connectors.paths import Path, Select, as_text, parse_path, parse_rooted
from shared.connectors.profiles import Profile
from shared.connectors.rest_config import RestConfig, RestOptions
from shared.connectors.rest_items import Pick
from shared.connectors.rest_order import WriteSpec
from shared.connectors.rest_paging import PagePlan
from shared.connectors.source_time import Times, zone_of
from shared.errors import InvalidInput
from shared.ids import digest_id
from shared.json_text import canonical
from shared.outgoing.targets import TargetPolicy
from shared.outgoing.tls import check_ca
from shared.outgoing.urls import SplitUrl, split_url

__all__ = ["Items", "MappedSignal", "Order", "RestPlan", "plan"]

SHARED_SECONDS = 10.0
"""Where one answer holds several machines: machines of an account are read within the same seconds."""


@dataclass(frozen=True, slots=True)
class MappedSignal:
    """One signal of the mapping with its parsed address."""

    key: str
    spec: SignalSpec
    path: Path
    timestamp: Path | None = None
    """Its own time of measurement; ``None``: that of the answer."""


@dataclass(frozen=True, slots=True)
class Items:
    """One answer, several machines or points in time."""

    path: Path
    where: tuple[tuple[Path, str], ...]
    newest: Path | None
    chosen: bool
    """Addresses begin at one item; else at the answer, whose list has the items of all pages."""

    def pick(self, times: Times) -> Pick:
        """Begin to look for ours."""
        return Pick(self.where, self.newest, times)


@dataclass(frozen=True, slots=True)
class Order:
    """How one signal is written."""

    spec: WriteSpec
    template: str
    """Of the path, with ``{value}`` still in it."""


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
    times: Times
    """How times are read; ``now`` is filled in at every read."""
    moved: Mapping[str, Path]
    """Without a mapping: field of the guide -> where it stands here."""
    items: Items | None
    pages: PagePlan | None = field(repr=False)
    orders: Mapping[str, Order] = field(repr=False)
    """By signal key."""
    names: Mapping[str, str]
    """What may stand in braces."""
    base: SplitUrl = field(repr=False)
    account: str
    """Digest of origin and credentials: who shares answers and a vendor's patience."""
    share_seconds: float
    temperature_unit: str
    timeout_seconds: float
    verify: bool
    ca_pem: str | None = field(repr=False)
    unreadable: str | None
    """Why this device cannot be read as it is configured; said by every read."""
    note: str | None
    """What nobody has verified about this protocol name; said beside every success of a connection test."""

    def page_key(self, url: str) -> str:
        """The same for the same question to the same account."""
        parts = (url, str(self.verify), self.ca_pem or "", canonical(dict(self.headers)))
        return digest_id(*parts)


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
    data_url = url_below(base, options.data_endpoint, values, "additional_config.data_endpoint")
    status_url = None
    if options.status_endpoint:
        status_url = url_below(base, options.status_endpoint, values, "additional_config.status_endpoint")
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
        timestamp=_timestamp(options, values),
        times=Times(options.timestamp_form, zone_of(options.timestamp_zone), options.max_age),
        moved={
            name: _filled(address, values, f"field_addresses.{name}")
            for name, address in options.field_addresses.items()
        },
        items=_items(options, values),
        pages=None if options.paging is None else PagePlan.of(options.paging, data_url, base.origin),
        orders=_orders(options, base, values),
        names=MappingProxyType(values),
        base=base,
        account=_account(base.origin, given.credentials),
        share_seconds=_share_seconds(options),
        temperature_unit=options.temperature_unit,
        timeout_seconds=options.timeout,
        verify=options.verify_ssl,
        ca_pem=options.ca_certificate,
        unreadable=_unreadable(profile, options),
        note=None if profile.verified else profile.note,
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


def _signals(options: RestOptions, values: Mapping[str, str]) -> tuple[MappedSignal, ...] | None:
    if options.signals is None:
        return None
    return tuple(
        MappedSignal(
            canonical_key(key),
            spec,
            _filled(spec.at, values, f"signals['{key}'].at"),
            _filled(spec.timestamp_at, values, f"signals['{key}'].timestamp_at") if spec.timestamp_at else None,
        )
        for key, spec in options.signals.items()
    )


def _timestamp(options: RestOptions, values: Mapping[str, str]) -> Path | None:
    if options.timestamp_at is not None:
        return _filled(options.timestamp_at, values, "timestamp_at")
    if options.item is not None and options.item.newest is not None:
        return _filled(options.item.newest, values, "item.newest")
    return None


def _items(options: RestOptions, values: Mapping[str, str]) -> Items | None:
    if options.items is None:
        return None
    path = _filled(options.items, values, "items")
    item = options.item
    if item is None:
        return Items(path, (), None, chosen=False)
    where = tuple(
        (parse_path(address), _text(as_text(wanted), values, f"item.where['{address}']"))
        for address, wanted in item.where.items()
    )
    return Items(path, where, None if item.newest is None else parse_path(item.newest), chosen=True)


def _text(text: str, values: Mapping[str, str], place: str) -> str:
    unknown = sorted(set(PLACEHOLDER.findall(text)) - values.keys())
    if unknown:
        raise unfilled(place, unknown[0], values)
    return PLACEHOLDER.sub(lambda match: values[match[1]], text)


def _orders(options: RestOptions, base: SplitUrl, values: Mapping[str, str]) -> dict[str, Order]:
    orders: dict[str, Order] = {}
    for key, spec in (options.signals or {}).items():
        if spec.write is None:
            continue
        place = f"signals['{key}'].write"
        unknown = sorted(spec.write.names() - values.keys())
        if unknown:
            raise unfilled(f"{place}.body", unknown[0], {**values, "value": ""})
        template = spec.write.path if spec.write.path is not None else options.data_endpoint or ""
        url_below(base, template, {**values, "value": "0"}, f"additional_config.{place}.path")
        orders[canonical_key(key)] = Order(spec.write, template)
    return orders


def _account(origin: str, credentials: Credentials) -> str:
    given = credentials.model_dump(exclude_defaults=True)
    return digest_id(origin, canonical(given) if given else b"")


def _share_seconds(options: RestOptions) -> float:
    if options.share_seconds is not None:
        return options.share_seconds
    return SHARED_SECONDS if options.item or options.paging or _chooses(options) else 0.0


def _chooses(options: RestOptions) -> bool:
    """Some address picks a machine by its name: ``units[id={unit}].temperature``."""
    suspects = [spec.at for spec in (options.signals or {}).values() if "=" in spec.at and "{" in spec.at]
    return any(isinstance(step, Select) and "{" in step.value for at in suspects for step in parse_rooted(at).steps)


def _filled(text: str, values: Mapping[str, str], place: str) -> Path:
    path = parse_rooted(text)
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
    absolute = url if "://" in url else url_below(base, url, {}, field)
    elsewhere = targets.check_url(absolute, field=field).origin != base.origin
    options = given.additional_config
    # A device may go unverified; a token service on another host never does.
    verify = options.verify_ssl or elsewhere
    return TokenRequest(absolute, given.credentials, verify, options.ca_certificate, options.timeout)


def _unreadable(profile: Profile, options: RestOptions) -> str | None:
    needed = set(profile.cannot_read_without)
    given = {name for name in ("data_endpoint", "signals", "field_addresses") if getattr(options, name)}
    return profile.cannot_read_because if needed and not needed & given else None


def _check_ca(options: RestOptions) -> None:
    if options.ca_certificate is None:
        return
    try:
        check_ca(options.ca_certificate)
    except InvalidInput as err:
        raise InvalidInput(err.detail, field="additional_config.ca_certificate") from err
