"""Devices of types we know (the profiles with a model): finding them, and making their mappings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from asyncua import ua

from shared.connectors.discovery import DiscoveredDevice, Discovery
from shared.connectors.mapping import SignalSpec
from shared.connectors.opc_ua_address import NodeAddress, parse_node
from shared.connectors.opc_ua_browse import (
    HAS_SUBTYPE,
    OBJECTS,
    PROPERTY_TYPE,
    Found,
    Limits,
    below,
    local,
    references,
    unit_of,
    values_below,
)
from shared.connectors.opc_ua_model import Matched, match
from shared.connectors.opc_ua_nodes import address_of, node_id, read_all, read_namespaces
from shared.connectors.opc_ua_plan import NodeSignal
from shared.connectors.opc_ua_session import Door
from shared.connectors.profiles import DeviceModel, Profile, profiles
from shared.connectors.values import is_temperature
from shared.errors import DeviceProtocolError

__all__ = ["device_signals", "discover"]

DEVICE_INTEGRATION = "http://opcfoundation.org/UA/DI/"
DEVICE_SET = 5001
SUPERTYPES = 5
"""So far up a device's own type is looked for among its parents."""


async def discover(door: Door, limits: Limits) -> Discovery:
    """Devices of known types with ready mappings; where there are none, the values below Objects.

    Raises:
        UaStatusCodeError, OSError: of asyncua; the caller translates.
    """
    namespaces = await read_namespaces(door)
    devices: list[DiscoveredDevice] = []
    for profile in _modelled():
        model = profile.opc_ua
        if model is None or model.namespace not in namespaces:
            continue
        for place in await _devices(door, model, namespaces, limits):
            signals = await _device_mapping(door, place.node, model, namespaces, limits)
            devices.append(
                DiscoveredDevice(
                    place.name, model.type_name, profile.names[0], str(address_of(place.node, namespaces)), signals
                )
            )
    if devices:
        return Discovery(tuple(devices), (), tuple(limits.notes))
    nodes = await values_below(door, namespaces, limits)
    return Discovery((), tuple(nodes), tuple(limits.notes))


async def device_signals(
    door: Door, profile: Profile, device: NodeAddress | None, limits: Limits
) -> tuple[NodeSignal, ...]:
    """The signals of one device whose type we know, as the profile maps them.

    Raises:
        DeviceProtocolError: there is no such device, or several and none was named.
    """
    model = profile.opc_ua
    assert model is not None, "asked for profiles with a model only"  # noqa: S101
    namespaces = await read_namespaces(door)
    if device is not None:
        place = node_id(device, namespaces)
        if place is None:
            raise DeviceProtocolError(f"The server has no namespace {device.uri}, so the device is not there.")
    else:
        found = await _devices(door, model, namespaces, limits) if model.namespace in namespaces else []
        if len(found) != 1:
            names = ", ".join(str(address_of(one.node, namespaces)) for one in found[:10])
            raise DeviceProtocolError(
                f"The server has {len(found)} devices of the type {model.type_name}: name one as device in "
                f"additional_config ({names})."
                if found
                else f"The server has no device of the type {model.type_name} that this user may see: is the user "
                "name the right one, has the device been shared? discover lists what there is."
            )
        place = found[0].node
    mapping = await _device_mapping(door, place, model, namespaces, limits)
    if not mapping:
        raise DeviceProtocolError(
            f"The device has none of the values of a {model.type_name}: is the node right? discover lists what there "
            "is."
        )
    specs = {key: SignalSpec.model_validate(options) for key, options in mapping.items()}
    return tuple(NodeSignal(key, spec, parse_node(spec.at)) for key, spec in specs.items())


def _modelled() -> list[Profile]:
    return [profile for profile in {id(p): p for p in profiles().values()}.values() if profile.opc_ua is not None]


async def _devices(door: Door, model: DeviceModel, namespaces: Sequence[str], limits: Limits) -> list[Found]:
    """Objects whose type is the model's, or one derived from it, in the device set or anywhere below Objects."""
    wanted = ua.NodeId(ua.Int32(model.type_id), ua.Int16(namespaces.index(model.namespace)))
    start = OBJECTS
    if DEVICE_INTEGRATION in namespaces:
        start = ua.NodeId(ua.Int32(DEVICE_SET), ua.Int16(namespaces.index(DEVICE_INTEGRATION)))
    found: list[Found] = []
    derived: dict[ua.NodeId, bool] = {wanted: True}
    level = [Found(start, "", is_variable=False, type=ua.NodeId(), depth=0)]
    for _ in range(4):  # devices stand in the set itself, or inside of machines and lines
        under = [one for one in await below(door, level, limits) if not one.is_variable]
        await _learn(door, {one.type for one in under}, derived)
        found += [one for one in under if derived.get(one.type, False)]
        level = [one for one in under if not derived.get(one.type, False)]
        if found or not level or not limits.left():
            break
    return found


async def _learn(door: Door, types: Iterable[ua.NodeId], derived: dict[ua.NodeId, bool]) -> None:
    """Which of these types are the wanted one, or come from it."""
    for one in types:
        if one in derived or one.NamespaceIndex == 0:
            continue
        chain = [one]
        for _ in range(SUPERTYPES):
            parents = await references(door, [chain[-1]], HAS_SUBTYPE, ua.BrowseDirection.Inverse)
            if not parents[0]:
                break
            chain.append(local(parents[0][0].NodeId))
            if chain[-1] in derived:
                break
        answer = derived.get(chain[-1], False)
        derived.update(dict.fromkeys(chain[:-1] if len(chain) > 1 else chain, answer))


async def _device_mapping(
    door: Door, device: ua.NodeId, model: DeviceModel, namespaces: Sequence[str], limits: Limits
) -> dict[str, dict[str, Any]]:
    """Signal to options, with the units and ranges the server tells."""
    level = [Found(device, "", is_variable=False, type=ua.NodeId(), depth=0)]
    nodes: dict[str, Found] = {}
    for _ in range(model_depth(model) + 1):  # one more for the properties of the values
        level = await below(door, level, limits)
        nodes |= {one.path: one for one in level if "<" not in one.path}  # <No.>: a placeholder somebody left
        if not level:
            break
    variables = [path for path, one in nodes.items() if one.is_variable and one.type != PROPERTY_TYPE]
    matched = match(model, variables)
    described = await _described(door, matched, nodes)
    return {
        one.key: {"at": str(address_of(nodes[one.path].node, namespaces))} | _options(one, described) for one in matched
    }


def model_depth(model: DeviceModel) -> int:
    """Levels below the device that the model knows."""
    return max(rule.path.count("/") + 1 for rule in model.signals)


async def _described(
    door: Door, matched: Sequence[Matched], nodes: dict[str, Found]
) -> dict[str, tuple[str | None, tuple[float, float] | None]]:
    """Unit and range of each path, as far as the server tells them."""
    wanted = [
        (one.path, kind, nodes[f"{one.path}/{kind}"].node)
        for one in matched
        for kind in ("EngineeringUnits", "EURange")
        if f"{one.path}/{kind}" in nodes
    ]
    found: dict[str, tuple[str | None, tuple[float, float] | None]] = {}
    if not wanted:
        return found
    answers = await read_all(door, [node for _, _, node in wanted])
    for (path, kind, _), answer in zip(wanted, answers, strict=True):
        value = None if answer.Value is None else answer.Value.Value
        unit, span = found.get(path, (None, None))
        found[path] = (unit_of(value), span) if kind == "EngineeringUnits" else (unit, _range(value))
    return found


def _options(one: Matched, described: dict[str, tuple[str | None, tuple[float, float] | None]]) -> dict[str, Any]:
    options = dict(one.rule.spec)
    unit, span = described.get(one.path, (None, None))
    if "map" in options or "scale" in options:
        return options
    if unit is not None and not (is_temperature(one.key) and unit not in ("C", "F")):
        options["unit"] = unit
    if span is not None:
        options["min"], options["max"] = span
    return options


def _range(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, ua.Range) or not value.Low < value.High:
        return None
    return float(value.Low), float(value.High)
