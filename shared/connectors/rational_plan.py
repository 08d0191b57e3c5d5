"""What a Rational oven needs, worked out once from its configuration: live values and batches, each of them optional.

Live values come over OPC UA, batches over REST, both from the vendor's cloud; ``endpoint`` says which cloud, and
decides every address that credentials go to. No option leads anywhere else, so that whoever may change options cannot
have stored credentials sent to a listener.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from shared.connectors import opc_ua_plan, rest_plan
from shared.connectors.config_problems import parsed_config
from shared.connectors.device_options import DeviceConfig, DeviceOptions
from shared.connectors.opc_ua_config import OpcUaOptions
from shared.connectors.path_templates import PathTemplate
from shared.connectors.paths import BadAddress, Path, parse_path
from shared.connectors.profiles import Cloud, Profile, profile_of
from shared.connectors.rational_fields import FIELDS
from shared.connectors.rest_config import RestOptions
from shared.connectors.rest_plan import RestPlan
from shared.errors import DeviceNotSupported, FieldProblem, InvalidInput
from shared.ids import digest_id
from shared.json_text import canonical
from shared.outgoing.targets import TargetPolicy
from shared.outgoing.urls import SplitUrl, split_url

__all__ = ["BatchOptions", "BatchPlan", "LivePlan", "RationalPlan", "plan"]

HACCP_PATH = "/api/public/haccp-service/haccps"
LIVE_PROFILE = "opc30200-combi"
_OPC_UA_ONLY = frozenset(OpcUaOptions.model_fields) - frozenset(RestOptions.model_fields)
_REST_ONLY = frozenset((*RestOptions.model_fields, *RestOptions.ALSO_KNOWN)) - frozenset(OpcUaOptions.model_fields)
_OWN_REST = ("data_endpoint", "path")
_LIVE_SECRETS = frozenset(("username", "password", "user_certificate", "user_private_key", "user_private_key_password"))

NO_LIVE = (
    "Live values of a Rational oven come from ConnectedCooking's OPC UA server, which asks for a user name: give "
    "username and password in credentials, with unit_id where the user sees several devices. If only its batches are "
    "wanted, set supports_realtime to false."
)
NO_LIVE_HERE = (
    "Live values of a Rational oven come over OPC UA: give an endpoint at connectedcooking.com or opc.tcp://host:4840. "
    "If you have a REST source of your own for this oven, give data_endpoint and signals in additional_config; if only "
    "its batches are wanted, set supports_realtime to false."
)
SWITCHED_OFF = "{what} is false in additional_config."
NO_BATCHES = (
    "Batches are not imported: the vendor's REST service asks for an API client (account, Integrations, type Base "
    "API). Give its token_url, client_id and client_secret in credentials, or a token."
)
NO_BATCHES_HERE = (
    "Batches are not imported: they come over HTTPS, and this endpoint is an OPC UA server elsewhere. Register the "
    "oven with an endpoint at connectedcooking.com."
)


class BatchOptions(DeviceOptions):
    """``additional_config`` as far as it is about what is read, and about batches."""

    live_values: bool | None = Field(None, description="false: none. Default: as soon as there is a user name.")
    batch_import: bool | None = Field(None, description="false: none. Default: as soon as there is an API client.")
    batch_path: PathTemplate = Field(HACCP_PATH, description="Path of the batches on the vendor's REST service.")
    batch_group_id: str | int | None = Field(None, description="Only batches of this group of the account.")
    batch_page_size: int = Field(32, ge=1, le=100)
    batch_overlap_hours: float = Field(24.0, ge=0, le=168, description="So far before the last import is asked again.")
    batch_interval_minutes: int = Field(60, ge=10, le=1440, description="Pause between two imports.")
    batch_timeout: float = Field(30.0, ge=1, le=60, description="Seconds for one page.")
    batch_query: dict[str, Annotated[str, Field(max_length=200)]] = Field(
        default_factory=dict, max_length=20, description="More query parameters, or others in place of ours."
    )
    batch_fields: dict[str, str] = Field(
        default_factory=dict, max_length=20, description="Where a batch holds something, where that differs."
    )
    device_serial: str | int | None = Field(
        None, description="Serial number as batches name it. Default: the machine's serial_number, then unit_id."
    )

    @field_validator("batch_fields")
    @classmethod
    def _known_fields(cls, value: dict[str, str]) -> dict[str, str]:
        for name, address in value.items():
            if name not in FIELDS.names:
                raise ValueError(f"['{name[:40]}']: is none of {', '.join(sorted(FIELDS.names))}")
            try:
                parse_path(address)
            except BadAddress as err:
                raise ValueError(f"['{name}']: {err}") from err
        return value


OWN_OPTIONS = frozenset(BatchOptions.model_fields) - frozenset(DeviceOptions.model_fields)


class _BatchConfig(DeviceConfig):
    """The part of the configuration that is only ours."""

    additional_config: BatchOptions = Field(default_factory=BatchOptions)


@dataclass(frozen=True, slots=True)
class LivePlan:
    """How live values are read: the connector of another protocol, with a configuration in its words."""

    connector: Literal["opc_ua", "rest_api"]
    profile: Profile
    config: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How batches are asked for."""

    source: RestPlan = field(repr=False)
    """URL, headers, token and TLS of the account."""
    account: str
    """The same for ovens of one account: they are asked for together, and wait together. Tells no secret."""
    group_id: str | None
    page_size: int
    overlap_hours: float
    interval_minutes: int
    query: Mapping[str, str]
    serial: str | None
    """As configured for batches."""
    unit_id: str | None
    fields: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class RationalPlan:
    """Ready to be read."""

    live: LivePlan | None
    why_no_live: str
    batches: BatchPlan | None
    why_no_batches: str


def plan(config: Mapping[str, Any], profile: Profile, equipment_id: str, targets: TargetPolicy) -> RationalPlan:
    """Check a configuration and work it out.

    Raises:
        InvalidInput: naming every field that is wrong.
        UnsafeTarget: an address we do not connect to.
    """
    given = config.get("additional_config") or {}
    if not isinstance(given, Mapping):
        raise InvalidInput("additional_config is an object: {...}.", field="additional_config")
    own = {name: value for name, value in given.items() if name in OWN_OPTIONS}
    rest = {name: value for name, value in given.items() if name not in OWN_OPTIONS}
    _nothing_misspelt(rest)
    options = parsed_config(_BatchConfig, {**_place(config), "additional_config": own}, {}).additional_config
    cloud = profile.cloud
    assert cloud is not None, "the profile names its cloud"  # noqa: S101
    there = _there(config, cloud, targets)
    live, why_no_live = _live(config, rest, options, there, cloud)
    if live is not None:
        _check_live(live, equipment_id, targets)
    batches, why_no_batches = _batches(config, rest, options, there, cloud, equipment_id, targets)
    return RationalPlan(live, why_no_live, batches, why_no_batches)


@dataclass(frozen=True, slots=True)
class _There:
    """What the endpoint is."""

    parts: SplitUrl
    vendor: bool
    """It is the vendor's own cloud."""
    over_opc_ua: bool


def _place(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: config[name] for name in ("protocol", "endpoint", "port") if name in config}


def _there(config: Mapping[str, Any], cloud: Cloud, targets: TargetPolicy) -> _There:
    endpoint, port = str(config.get("endpoint") or ""), config.get("port")
    schemes = ("https", "http", "opc.tcp")
    targets.check_url(endpoint, field="endpoint", schemes=schemes)
    parts = split_url(endpoint, field="endpoint", schemes=schemes)
    if port is not None and parts.port_written and port != parts.port:
        raise InvalidInput(
            f"port {port} contradicts the port {parts.port} in endpoint: leave one of them out.", field="port"
        )
    vendor = parts.host == cloud.domain or parts.host.endswith(f".{cloud.domain}")
    over_opc_ua = parts.scheme == "opc.tcp"
    if vendor and parts.scheme == "http":
        raise InvalidInput("endpoint: the vendor's cloud is reached with https:// only.", field="endpoint")
    if vendor and not over_opc_ua and (port or parts.port) != 443:
        raise InvalidInput("port: the vendor's cloud is reached at 443; leave the port out.", field="port")
    return _There(parts, vendor, over_opc_ua)


def _nothing_misspelt(rest: Mapping[str, Any]) -> None:
    known = {*_OPC_UA_ONLY, *_REST_ONLY, *DeviceOptions.model_fields, *RestOptions.model_fields}
    for name in rest:
        near = difflib.get_close_matches(name, OWN_OPTIONS, 1, 0.85) if name not in known else ()
        if near:
            said = f"is not known here, did you mean {near[0]}"
            where = f"additional_config['{name[:40]}']"
            raise InvalidInput(f"{where}: {said}.", problems=[FieldProblem(where, said)])


# Live values ---------------------------------------------------------------------------------------------------------


def _live(
    config: Mapping[str, Any], rest: Mapping[str, Any], options: BatchOptions, there: _There, cloud: Cloud
) -> tuple[LivePlan | None, str]:
    if options.live_values is False:
        return None, SWITCHED_OFF.format(what="live_values")
    given = dict(config.get("credentials") or {})
    secrets = {name: value for name, value in given.items() if name in _LIVE_SECRETS}
    own_rest = any(rest.get(name) for name in _OWN_REST)
    if not there.over_opc_ua and (own_rest or (rest.get("signals") is not None and not there.vendor)):
        found = secrets if secrets.get("username") else {k: v for k, v in given.items() if k not in _LIVE_SECRETS}
        kept = {name: value for name, value in rest.items() if name not in _OPC_UA_ONLY}
        return LivePlan("rest_api", _profile("rest_api"), _form(config, found, kept)), ""
    if not there.vendor and not there.over_opc_ua:
        return None, NO_LIVE_HERE
    if there.vendor and not (secrets.get("username") or secrets.get("user_certificate")):
        return None, NO_LIVE
    kept = {name: value for name, value in rest.items() if name not in _REST_ONLY}
    if rest.get("unit_id") not in (None, "") and "device" not in kept and there.vendor and "signals" not in kept:
        kept["device"] = cloud.opc_ua_device
    address = _place(config) if there.over_opc_ua else {"endpoint": cloud.opc_ua}
    return LivePlan("opc_ua", _profile(LIVE_PROFILE), _form(address, secrets, kept)), ""


def _form(place: Mapping[str, Any], credentials: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {**_place(place), "credentials": dict(credentials), "additional_config": dict(options)}


def _check_live(live: LivePlan, equipment_id: str, targets: TargetPolicy) -> None:
    if live.connector == "opc_ua":
        opc_ua_plan.plan(live.config, live.profile, equipment_id, targets)
    else:
        rest_plan.plan(live.config, live.profile, equipment_id, targets)


# Batches -------------------------------------------------------------------------------------------------------------


def _batches(
    config: Mapping[str, Any],
    rest: Mapping[str, Any],
    options: BatchOptions,
    there: _There,
    cloud: Cloud,
    equipment_id: str,
    targets: TargetPolicy,
) -> tuple[BatchPlan | None, str]:
    if options.batch_import is False:
        return None, SWITCHED_OFF.format(what="batch_import")
    given = {k: v for k, v in dict(config.get("credentials") or {}).items() if k not in _LIVE_SECRETS}
    if not given:
        return None, _wanted(options, NO_BATCHES)
    if not there.vendor and there.over_opc_ua:
        return None, _wanted(options, NO_BATCHES_HERE)
    place: Mapping[str, Any] = {"endpoint": cloud.rest} if there.vendor else config
    kept = {name: rest[name] for name in ("verify_ssl", "ca_certificate") if name in rest and not there.vendor}
    asked = {**kept, "data_endpoint": options.batch_path, "timeout": options.batch_timeout}
    source = rest_plan.plan(_form(place, given, asked), _profile("rest_api"), equipment_id, targets)
    group = None if options.batch_group_id is None else str(options.batch_group_id)
    return BatchPlan(
        source=source,
        account=_account(source, group, options),
        group_id=group,
        page_size=options.batch_page_size,
        overlap_hours=options.batch_overlap_hours,
        interval_minutes=options.batch_interval_minutes,
        query=dict(options.batch_query),
        serial=_text(options.device_serial),
        unit_id=_text(rest.get("unit_id")),
        fields={name: parse_path(address) for name, address in options.batch_fields.items()},
    ), ""


def _text(value: Any) -> str | None:
    return str(value).strip() or None if isinstance(value, str | int) and not isinstance(value, bool) else None


def _wanted(options: BatchOptions, reason: str) -> str:
    """Who asks for batches in so many words gets an error, not a silence."""
    if options.batch_import:
        raise InvalidInput(reason, field="credentials")
    return reason


def _account(source: RestPlan, group: str | None, options: BatchOptions) -> str:
    """Ovens that are asked for in the same words, with the same credentials."""
    who = source.oauth.key if source.oauth is not None else canonical(dict(source.headers)).decode()
    words = canonical([options.batch_query, options.batch_fields]).decode()
    return digest_id(source.data_url, who, group or "", words)


def _profile(name: str) -> Profile:
    found = profile_of(name)
    if found is None:
        raise DeviceNotSupported(f"The profile {name} is missing in this installation.")
    return found
