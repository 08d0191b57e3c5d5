"""Walking through a server's nodes, bounded in every direction, and listing the values there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import BadTooManyOperations

from shared.connectors.discovery import DiscoveredNode
from shared.connectors.opc_ua_nodes import address_of, plain, read_all
from shared.connectors.opc_ua_session import Door

__all__ = [
    "HAS_SUBTYPE",
    "OBJECTS",
    "PROPERTY_TYPE",
    "Found",
    "Limits",
    "below",
    "local",
    "references",
    "unit_of",
    "values_below",
]

OBJECTS = ua.NodeId(ua.Int32(85), ua.Int16(0))
SERVER = ua.NodeId(ua.Int32(2253), ua.Int16(0))
HIERARCHICAL = ua.NodeId(ua.Int32(33), ua.Int16(0))
HAS_SUBTYPE = ua.NodeId(ua.Int32(45), ua.Int16(0))
PROPERTY_TYPE = ua.NodeId(ua.Int32(68), ua.Int16(0))
AT_ONCE = 50
"""Nodes browsed in one request; fewer where the server says so."""
MOST_REFERENCES = 2_000
"""Asked of one node."""

_UNITS = {4408652: "C", 4604232: "F", 20529: "%", 4937544: "kWh", 5065038: "min"}
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
class Found:
    """One node below another."""

    node: ua.NodeId
    path: str
    is_variable: bool
    type: ua.NodeId
    depth: int

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


async def below(door: Door, level: Sequence[Found], limits: Limits) -> list[Found]:
    """The children of these nodes."""
    children: list[Found] = []
    for first in range(0, len(level), AT_ONCE):
        if not limits.left():
            break
        part = level[first : first + AT_ONCE]
        answers = await references(door, [one.node for one in part], HIERARCHICAL, ua.BrowseDirection.Forward)
        for parent, there in zip(part, answers, strict=True):
            for reference in there:
                name = str(reference.BrowseName.Name or "")[:200]
                children.append(
                    Found(
                        local(reference.NodeId),
                        f"{parent.path}/{name}" if parent.path else name,
                        reference.NodeClass == ua.NodeClass.Variable,
                        local(reference.TypeDefinition),
                        parent.depth + 1,
                    )
                )
        limits.seen += sum(len(there) for there in answers)
    return children


async def references(
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
            *await references(door, nodes[:half], kind, direction),
            *await references(door, nodes[half:], kind, direction),
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


def local(node: ua.NodeId) -> ua.NodeId:
    """An ExpandedNodeId of this server, as a plain one that compares equal."""
    return ua.NodeId(node.Identifier, node.NamespaceIndex)


def unit_of(value: Any) -> str | None:
    """``C`` of what stands at EngineeringUnits."""
    if not isinstance(value, ua.EUInformation):
        return None
    shown = str(value.DisplayName.Text or "").strip()[:20] if value.DisplayName is not None else ""
    return _UNITS.get(value.UnitId) or {"°C": "C", "°F": "F"}.get(shown, shown) or None


async def values_below(door: Door, namespaces: Sequence[str], limits: Limits) -> list[DiscoveredNode]:
    """Every value below Objects, except the server's own."""
    level = [Found(OBJECTS, "", is_variable=False, type=ua.NodeId(), depth=0)]
    found: list[Found] = []
    units: dict[str, ua.NodeId] = {}
    visited: set[ua.NodeId] = {OBJECTS, SERVER}
    while level and level[0].depth < limits.depth and limits.left() and len(found) < limits.listed:
        under = [one for one in await below(door, level, limits) if one.node not in visited]
        visited |= {one.node for one in under}
        under = [one for one in under if one.node.NamespaceIndex != 0]
        properties = [one for one in under if one.is_variable and one.type == PROPERTY_TYPE]
        units |= {one.path.rpartition("/")[0]: one.node for one in properties if one.name == "EngineeringUnits"}
        level = [one for one in under if one not in properties]
        found += [one for one in level if one.is_variable]
    if len(found) > limits.listed:
        limits.notes.append(f"{len(found):,} values were found; the first {limits.listed:,} are listed.")
        found = found[: limits.listed]
    return await _listed(door, found, units, namespaces)


async def _listed(
    door: Door, found: Sequence[Found], units: dict[str, ua.NodeId], namespaces: Sequence[str]
) -> list[DiscoveredNode]:
    if not found:
        return []
    ids = [one.node for one in found]
    with_unit = [one.path for one in found if one.path in units]
    told = await read_all(door, [units[path] for path in with_unit])
    spoken = {
        path: unit_of(None if answer.Value is None else answer.Value.Value)
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
                unit=spoken.get(one.path),
                writable=isinstance(level, int) and bool(level & 2),
            )
        )
    return listed
