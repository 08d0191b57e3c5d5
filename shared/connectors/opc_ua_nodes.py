"""Reading many nodes in one request: addresses to node ids, data values to what the mapping takes."""

from __future__ import annotations

import base64
import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.ua import status_codes
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import BadTooManyOperations

from shared.clock import iso
from shared.connectors.opc_ua_address import NodeAddress
from shared.connectors.opc_ua_memory import OpcUaMemory
from shared.connectors.opc_ua_plan import NodeSignal
from shared.connectors.opc_ua_session import Door
from shared.connectors.opc_ua_status import GONE, reason_of
from shared.connectors.values import bad, is_temperature, reader
from shared.errors import DeviceProtocolError
from shared.signals import WELL_KNOWN_SIGNALS, Quality, SignalValue

__all__ = [
    "Read",
    "address_of",
    "node_id",
    "plain",
    "read_all",
    "read_namespaces",
    "read_signals",
    "status_name",
]

NAMESPACE_ARRAY = ua.NodeId(ua.Int32(2255), ua.Int16(0))
_NAMED = {0: "Good"}
OLDEST = datetime(1990, 1, 1, tzinfo=UTC)
"""Servers say *no time* as 1601 or 1970."""


@dataclass(frozen=True, slots=True)
class Read:
    """All signals of one read."""

    values: dict[str, SignalValue]
    all_gone: bool
    """Not one of the nodes is there."""


async def read_signals(
    door: Door, url: str, signals: Sequence[NodeSignal], memory: OpcUaMemory, temperature_unit: str
) -> Read:
    """Every signal in one request, together with the server's namespaces, which decide what the ids mean."""
    if door.known is not None and door.known[0] is signals:
        _, known, ids, readers = door.known
        answers = await read_all(door, [one for one in ids if one is not None])
        return _told(signals, ids, answers, known, readers)
    before = memory.namespaces.get(url)
    known = before or memory.keep(memory.namespaces, url, await read_namespaces(door))
    ids = [node_id(signal.node, known) for signal in signals]
    array, *answers = await read_all(door, [NAMESPACE_ARRAY, *(one for one in ids if one is not None)])
    found = _namespaces(array)
    if found != known:
        # The server was changed since: its indexes mean something else now.
        memory.keep(memory.namespaces, url, found)
        known = found
        ids = [node_id(signal.node, known) for signal in signals]
        answers = await read_all(door, [one for one in ids if one is not None])
    readers = [reader(signal.key, signal.spec, temperature_unit=temperature_unit) for signal in signals]
    door.known = signals, known, ids, readers
    return _told(signals, ids, answers, known, readers)


def _told(
    signals: Sequence[NodeSignal],
    ids: Sequence[ua.NodeId | None],
    answers: Sequence[ua.DataValue],
    known: Sequence[str],
    readers: Sequence[Callable[[Any], SignalValue]],
) -> Read:
    remaining = iter(answers)
    values: dict[str, SignalValue] = {}
    gone = 0
    for signal, one, read in zip(signals, ids, readers, strict=True):
        if one is None:
            gone += 1
            values[signal.key] = bad(_no_namespace(signal.node, known), _unit(signal))
            continue
        answer = next(remaining)
        gone += status_name(answer) in GONE
        values[signal.key] = _signal(signal, answer, read)
    return Read(values, gone == len(signals))


async def read_namespaces(door: Door) -> tuple[str, ...]:
    """URIs by index."""
    return _namespaces((await read_all(door, [NAMESPACE_ARRAY]))[0])


async def read_all(
    door: Door, nodes: Sequence[ua.NodeId], attribute: AttributeIds = AttributeIds.Value
) -> list[ua.DataValue]:
    """One request, or a few where the server takes fewer nodes at once. Not ``read_values``: it hides what failed."""
    size = len(nodes)
    answers: list[ua.DataValue] = []
    while len(answers) < len(nodes):
        part = list(nodes[len(answers) : len(answers) + size])
        try:
            found = await door.uaclient.session.read_attributes(part, attribute)
        except BadTooManyOperations:
            if size == 1:
                raise
            size = (size + 1) // 2
            continue
        if len(found) != len(part):
            raise DeviceProtocolError(f"The server answered {len(found)} of {len(part)} values: its log may say why.")
        answers += found
    return answers


def node_id(node: NodeAddress, namespaces: Sequence[str]) -> ua.NodeId | None:
    """The id as this server means it today; ``None``: it has no such namespace."""
    index = node.index
    if node.uri is not None:
        if node.uri not in namespaces:
            return None
        index = namespaces.index(node.uri)
    identifier: Any = node.identifier
    if node.kind == "i":
        identifier = ua.Int32(int(node.identifier))
    elif node.kind == "g":
        identifier = uuid.UUID(node.identifier)
    elif node.kind == "b":
        identifier = base64.b64decode(node.identifier)
    return ua.NodeId(identifier, ua.Int16(index))


def address_of(node: ua.NodeId, namespaces: Sequence[str]) -> NodeAddress:
    """The id as we write it: by the namespace's URI, except for the standard's own."""
    identifier: Any = node.Identifier
    index = int(node.NamespaceIndex)
    if isinstance(identifier, bytes):
        kind, text = "b", base64.b64encode(identifier).decode()
    elif isinstance(identifier, uuid.UUID):
        kind, text = "g", str(identifier).upper()
    else:
        kind, text = ("i", str(identifier)) if isinstance(identifier, int) else ("s", str(identifier))
    uri = namespaces[index] if 0 < index < len(namespaces) else None
    return NodeAddress(kind, text, uri, 0 if uri is not None else index)  # type: ignore[arg-type]  # one of the four


def status_name(answer: ua.DataValue) -> str:
    """``Good``, ``BadNodeIdUnknown`` ..."""
    code = answer.StatusCode.value if answer.StatusCode is not None else 0
    # Info bits below say no more than where the value came from.
    return _NAMED.get(code & 0xFFFF_0000) or status_codes.get_name_and_doc(code & 0xFFFF_0000)[0]


def plain(variant: ua.Variant | None) -> Any:
    """A value as JSON has it. Lists stay lists, structures become objects: the mapping says what to do about them."""
    value = None if variant is None else variant.Value
    if variant is not None and variant.VariantType == ua.VariantType.Float and isinstance(value, float):
        # A Float carries seven digits: 180.3, not 180.3000030517578.
        return float(f"{value:.7g}") if math.isfinite(value) else value
    return _simple(value)


def _simple(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, ua.LocalizedText):
        return value.Text
    if isinstance(value, ua.QualifiedName):
        return value.Name
    if isinstance(value, datetime):
        return iso(value if value.tzinfo is not None else value.replace(tzinfo=UTC))
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list | tuple):
        return [_simple(item) for item in value]
    return {"type": type(value).__name__}


def _signal(signal: NodeSignal, answer: ua.DataValue, read: Callable[[Any], SignalValue]) -> SignalValue:
    name = status_name(answer)
    if name.startswith("Bad"):
        return bad(reason_of(name), _unit(signal))
    found = read(plain(answer.Value))
    if name.startswith("Uncertain") and found.quality is Quality.GOOD:
        found = replace(found, quality=Quality.UNCERTAIN, reason=reason_of(name))
    moment = answer.SourceTimestamp
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment is None or moment <= OLDEST:
        return found
    # In full: replace() takes three times as long, and there are hundreds of values a second.
    return SignalValue(found.value, found.quality, found.reason, found.unit, found.raw, found.raw_unit, moment)


def _unit(signal: NodeSignal) -> str:
    if is_temperature(signal.key):
        return "C"
    return WELL_KNOWN_SIGNALS.get(signal.key, signal.spec.unit or "")


def _namespaces(answer: ua.DataValue) -> tuple[str, ...]:
    found = None if answer.Value is None else answer.Value.Value
    if not isinstance(found, list):
        raise DeviceProtocolError(f"The server does not tell its namespaces ({status_name(answer)}).")
    return tuple(str(uri) for uri in found)


def _no_namespace(node: NodeAddress, known: Sequence[str]) -> str:
    there = ", ".join(known[1:6]) or "only its own standard one"
    return f"the server has no namespace {node.uri}; it has {there}"
