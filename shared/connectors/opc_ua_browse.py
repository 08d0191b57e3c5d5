"""Looking around in a server: which devices of known types, and which values there are. Bounded in every direction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import BadTooManyOperations

from shared.connectors.discovery import DiscoveredDevice, DiscoveredNode, Discovery
from shared.connectors.mapping import SignalSpec
from shared.connectors.opc_ua_address import NodeAddress
from shared.connectors.opc_ua_model import Matched, match
from shared.connectors.opc_ua_nodes import address_of, node_id, plain, read_all, read_namespaces
from shared.connectors.opc_ua_plan import NodeSignal
from shared.connectors.opc_ua_session import Door
from shared.connectors.profiles import DeviceModel, Profile, profiles
from shared.connectors.values import is_temperature
from shared.errors import DeviceProtocolError

__all__ = ["Limits", "device_signals", "discover"]

DEVICE_INTEGRATION = "http://opcfoundation.org/UA/DI/"
DEVICE_SET = 5001
OBJECTS = ua.NodeId(ua.Int32(85), ua.Int16(0))
SERVER = ua.NodeId(ua.Int32(2253), ua.Int16(0))
HIERARCHICAL = ua.NodeId(ua.Int32(33), ua.Int16(0))
HAS_SUBTYPE = ua.NodeId(ua.Int32(45), ua.Int16(0))
PROPERTY_TYPE = ua.NodeId(ua.Int32(68), ua.Int16(0))
AT_ONCE = 50
"""Nodes browsed in one request; fewer where the server says so."""
MOST_REFERENCES = 2_000
"""Asked of one node."""
SUPERTYPES = 5
"""So far up a device's own type is looked for among its parents."""

_UNITS = {4408652: "C", 4604232: "F", 20529: "%", 4937544: "kWh", 5068110: "min"}
"""By UnitId (UNECE Recommendation 20); others keep the name the server shows."""


@dataclass(slots=True)
class Limits:
    """How far a look around goes."""

    until: float
    """``monotonic()``."""
    nodes: int = 5_000
    """Looked at in all."""
    depth: int = 8
    listed: int = 500
    """Values in the answer."""
    seen: int = 0
    notes: list[str] = field(default_factory=list)

    def left(self) -> bool:
        """May we go on?"""
        if self.seen >= self.nodes:
            self._note(f"Stopped after {self.nodes:,} nodes; there are more.")
            return False
        if monotonic() >= self.until:
            self._note("Stopped because the time was up; there is more.")
            return False
        return True

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True, slots=True)
class _Found:
    """One node below another."""

    node: ua.NodeId
    path: str
    is_variable: bool
    type: ua.NodeId
    depth: int

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


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
    nodes = await _values(door, namespaces, limits)
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
    return tuple(NodeSignal(key, spec, _parsed(spec.at)) for key, spec in specs.items())


def _parsed(at: str) -> NodeAddress:
    from shared.connectors.opc_ua_address import parse_node

    return parse_node(at)


def _modelled() -> list[Profile]:
    return [profile for profile in {id(p): p for p in profiles().values()}.values() if profile.opc_ua is not None]


async def _devices(door: Door, model: DeviceModel, namespaces: Sequence[str], limits: Limits) -> list[_Found]:
    """Objects whose type is the model's, or one derived from it, in the device set or anywhere below Objects."""
    wanted = ua.NodeId(ua.Int32(model.type_id), ua.Int16(namespaces.index(model.namespace)))
    start = OBJECTS
    if DEVICE_INTEGRATION in namespaces:
        start = ua.NodeId(ua.Int32(DEVICE_SET), ua.Int16(namespaces.index(DEVICE_INTEGRATION)))
    found: list[_Found] = []
    derived: dict[ua.NodeId, bool] = {wanted: True}
    level = [_Found(start, "", is_variable=False, type=ua.NodeId(), depth=0)]
    for _ in range(4):  # devices stand in the set itself, or inside of machines and lines
        below = [one for one in await _below(door, level, limits) if not one.is_variable]
        await _learn(door, {one.type for one in below}, derived)
        found += [one for one in below if derived.get(one.type, False)]
        level = [one for one in below if not derived.get(one.type, False)]
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
            parents = await _references(door, [chain[-1]], HAS_SUBTYPE, ua.BrowseDirection.Inverse)
            if not parents[0]:
                break
            chain.append(_local(parents[0][0].NodeId))
            if chain[-1] in derived:
                break
        answer = derived.get(chain[-1], False)
        derived.update(dict.fromkeys(chain[:-1] if len(chain) > 1 else chain, answer))


async def _device_mapping(
    door: Door, device: ua.NodeId, model: DeviceModel, namespaces: Sequence[str], limits: Limits
) -> dict[str, dict[str, Any]]:
    """Signal to options, with the units and ranges the server tells."""
    level = [_Found(device, "", is_variable=False, type=ua.NodeId(), depth=0)]
    nodes: dict[str, _Found] = {}
    for _ in range(model_depth(model) + 1):  # one more for the properties of the values
        level = await _below(door, level, limits)
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
    door: Door, matched: Sequence[Matched], nodes: dict[str, _Found]
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
        found[path] = (_unit(value), span) if kind == "EngineeringUnits" else (unit, _range(value))
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


def _unit(value: Any) -> str | None:
    if not isinstance(value, ua.EUInformation):
        return None
    shown = str(value.DisplayName.Text or "").strip()[:20] if value.DisplayName is not None else ""
    return _UNITS.get(value.UnitId) or {"°C": "C", "°F": "F"}.get(shown, shown) or None


def _range(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, ua.Range) or not value.Low < value.High:
        return None
    return float(value.Low), float(value.High)


async def _values(door: Door, namespaces: Sequence[str], limits: Limits) -> list[DiscoveredNode]:
    """Every value below Objects, except the server's own."""
    level = [_Found(OBJECTS, "", is_variable=False, type=ua.NodeId(), depth=0)]
    found: list[_Found] = []
    units: dict[str, ua.NodeId] = {}
    visited: set[ua.NodeId] = {OBJECTS, SERVER}
    while level and level[0].depth < limits.depth and limits.left() and len(found) < limits.listed:
        below = [one for one in await _below(door, level, limits) if one.node not in visited]
        visited |= {one.node for one in below}
        below = [one for one in below if one.node.NamespaceIndex != 0]
        properties = [one for one in below if one.is_variable and one.type == PROPERTY_TYPE]
        units |= {one.path.rpartition("/")[0]: one.node for one in properties if one.name == "EngineeringUnits"}
        level = [one for one in below if one not in properties]
        found += [one for one in level if one.is_variable]
    if len(found) > limits.listed:
        limits.notes.append(f"{len(found):,} values were found; the first {limits.listed:,} are listed.")
        found = found[: limits.listed]
    return await _listed(door, found, units, namespaces)


async def _listed(
    door: Door, found: Sequence[_Found], units: dict[str, ua.NodeId], namespaces: Sequence[str]
) -> list[DiscoveredNode]:
    if not found:
        return []
    ids = [one.node for one in found]
    with_unit = [one.path for one in found if one.path in units]
    told = await read_all(door, [units[path] for path in with_unit])
    unit_of = {
        path: _unit(None if answer.Value is None else answer.Value.Value)
        for path, answer in zip(with_unit, told, strict=True)
    }
    values = await read_all(door, ids)
    access = await read_all(door, ids, AttributeIds.UserAccessLevel)
    listed = []
    for one, answer, rights in zip(found, values, access, strict=True):
        shown = plain(answer.Value)
        kind = "" if answer.Value is None else answer.Value.VariantType.name
        level = plain(rights.Value)
        listed.append(
            DiscoveredNode(
                at=str(address_of(one.node, namespaces)),
                path=one.path,
                data_type=f"{kind}[]" if isinstance(shown, list) else kind,
                value=shown[:200] if isinstance(shown, str) else None if isinstance(shown, list | dict) else shown,
                unit=unit_of.get(one.path),
                writable=isinstance(level, int) and bool(level & 2),
            )
        )
    return listed


async def _below(door: Door, level: Sequence[_Found], limits: Limits) -> list[_Found]:
    """The children of these nodes."""
    children: list[_Found] = []
    for first in range(0, len(level), AT_ONCE):
        if not limits.left():
            break
        part = level[first : first + AT_ONCE]
        answers = await _references(door, [one.node for one in part], HIERARCHICAL, ua.BrowseDirection.Forward)
        for parent, references in zip(part, answers, strict=True):
            for reference in references:
                name = str(reference.BrowseName.Name or "")[:200]
                children.append(
                    _Found(
                        _local(reference.NodeId),
                        f"{parent.path}/{name}" if parent.path else name,
                        reference.NodeClass == ua.NodeClass.Variable,
                        _local(reference.TypeDefinition),
                        parent.depth + 1,
                    )
                )
        limits.seen += sum(len(references) for references in answers)
    return children


async def _references(
    door: Door, nodes: Sequence[ua.NodeId], kind: ua.NodeId, direction: ua.BrowseDirection
) -> list[list[ua.ReferenceDescription]]:
    parameters = ua.BrowseParameters()
    parameters.RequestedMaxReferencesPerNode = ua.UInt32(MOST_REFERENCES)
    for node in nodes:
        one = ua.BrowseDescription()
        one.NodeId = node
        one.BrowseDirection = direction
        one.ReferenceTypeId = kind
        one.IncludeSubtypes = True
        one.NodeClassMask = ua.UInt32(0 if kind == HAS_SUBTYPE else ua.NodeClass.Object | ua.NodeClass.Variable)
        one.ResultMask = ua.UInt32(ua.BrowseResultMask.All)
        parameters.NodesToBrowse.append(one)
    session = door.uaclient.session
    try:
        results = await session.browse(parameters)
    except BadTooManyOperations:
        if len(nodes) == 1:
            raise
        half = len(nodes) // 2
        return [
            *await _references(door, nodes[:half], kind, direction),
            *await _references(door, nodes[half:], kind, direction),
        ]
    found = [list(result.References or ()) for result in results]
    open_points = [(i, result.ContinuationPoint) for i, result in enumerate(results) if result.ContinuationPoint]
    for _ in range(20):  # a server that gives a few references at a time
        if not open_points:
            break
        more = ua.BrowseNextParameters()
        more.ReleaseContinuationPoints = False
        more.ContinuationPoints = [point for _, point in open_points]
        parts = await session.browse_next(more)
        for (place, _), part in zip(open_points, parts, strict=True):
            found[place] += part.References or ()
        open_points = [
            (place, part.ContinuationPoint)
            for (place, _), part in zip(open_points, parts, strict=True)
            if part.ContinuationPoint
        ]
    return found


def _local(node: ua.NodeId) -> ua.NodeId:
    """An ExpandedNodeId of this server, as a plain one that compares equal."""
    return ua.NodeId(node.Identifier, node.NamespaceIndex)
