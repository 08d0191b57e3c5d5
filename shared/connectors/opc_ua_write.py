"""Writing one node: as the type it has, and read back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

from shared.connectors.opc_ua_nodes import node_id, plain, read_all, read_namespaces, status_name
from shared.connectors.opc_ua_plan import NodeSignal
from shared.connectors.opc_ua_session import Door
from shared.connectors.opc_ua_status import reason_of
from shared.errors import DeviceAuthenticationError, DeviceError, DeviceProtocolError, InvalidInput

__all__ = ["Order", "same", "write_node"]

_WHOLE: dict[ua.VariantType, tuple[int, int]] = {
    ua.VariantType.SByte: (-(2**7), 2**7 - 1),
    ua.VariantType.Byte: (0, 2**8 - 1),
    ua.VariantType.Int16: (-(2**15), 2**15 - 1),
    ua.VariantType.UInt16: (0, 2**16 - 1),
    ua.VariantType.Int32: (-(2**31), 2**31 - 1),
    ua.VariantType.UInt32: (0, 2**32 - 1),
    ua.VariantType.Int64: (-(2**63), 2**63 - 1),
    ua.VariantType.UInt64: (0, 2**64 - 1),
}


@dataclass(slots=True)
class Order:
    """How far an order came, for whoever has to tell a person when something went wrong."""

    key: str
    sent: bool = False
    answered: bool = False

    def told(self, err: DeviceError) -> DeviceError:
        """The error with what it means for the order."""
        if self.answered:
            return type(err)(f"{self.key} was written, and reading it back failed: {err.detail}")
        if self.sent:
            return type(err)(
                f"{err.detail} {self.key} may have been written all the same: read it before trying again."
            )
        return err


async def write_node(door: Door, signal: NodeSignal, raw: bool | float | str, order: Order) -> ua.DataValue:
    """Write ``raw``, note in ``order`` how far it came, and answer what the node says then.

    Raises:
        InvalidInput: the node takes no such value.
        DeviceError: the server refuses.
    """
    namespaces = await read_namespaces(door)
    node = node_id(signal.node, namespaces)
    if node is None:
        raise DeviceProtocolError(f"The server has no namespace {signal.node.uri}, so nothing was written.")
    before = (await read_all(door, [node]))[0]
    if status_name(before).startswith("Bad") or before.Value is None or before.Value.Value is None:
        raise DeviceProtocolError(
            f"{signal.key} cannot be read now, so its type is not known and nothing was written: "
            f"{reason_of(status_name(before))}."
        )
    kind = before.Value.VariantType
    if before.Value.is_array:
        raise InvalidInput(f"{signal.key} is a list at the server, which cannot be written.", field="signal")
    # Without times and status: many servers take a bare value only (OPC 10000-4 section 5.11.4).
    value = ua.DataValue(Value=ua.Variant(_typed(signal.key, raw, kind), kind), SourceTimestamp=None)
    order.sent = True
    status = (await door.uaclient.session.write_attributes([node], [value], AttributeIds.Value))[0]
    name = ua.status_codes.get_name_and_doc(status.value)[0]
    if name.startswith("Bad"):
        order.sent = False
        raise _refused(signal.key, name)
    order.answered = True
    return (await read_all(door, [node]))[0]


def _typed(key: str, raw: bool | float | str, kind: ua.VariantType) -> Any:
    if kind == ua.VariantType.Boolean:
        flag = {"true": True, "false": False, "1": True, "0": False}.get(str(raw).lower())
        if flag is None:
            raise InvalidInput(f"{key} takes true or false.", field="value")
        return flag
    if kind == ua.VariantType.String:
        return raw if isinstance(raw, str) else str(raw)
    number = _number(key, raw)
    if kind in _WHOLE:
        low, high = _WHOLE[kind]
        whole = round(number)  # 230.5 / 0.1 is 2305.0000000000005
        if abs(number - whole) > 1e-6 or not low <= whole <= high:
            raise InvalidInput(f"{key} takes whole numbers from {low} to {high}.", field="value")
        return whole
    if kind in (ua.VariantType.Float, ua.VariantType.Double):
        return float(number)
    raise InvalidInput(f"{key} is a {kind.name} at the server, which cannot be written.", field="signal")


def _number(key: str, raw: bool | float | str) -> float | int:
    if isinstance(raw, bool):
        return int(raw)
    try:
        number = float(raw) if isinstance(raw, str) else raw
    except ValueError:
        raise InvalidInput(f"{key} takes a number.", field="value") from None
    if not math.isfinite(number):
        raise InvalidInput(f"{key} takes a number that is finite.", field="value")
    return number


def _refused(key: str, name: str) -> DeviceError:
    kind = DeviceAuthenticationError if name == "BadUserAccessDenied" else DeviceProtocolError
    return kind(f"The server refuses to write {key}: {reason_of(name)}. Nothing has changed.")


def same(raw: bool | float | str, answer: ua.DataValue) -> bool:
    """Did the node take it? A Float keeps seven digits."""
    now = plain(answer.Value)
    if isinstance(now, bool | str):
        return str(now).lower() == str(raw).lower()
    try:
        return isinstance(now, int | float) and math.isclose(float(raw), float(now), rel_tol=1e-6, abs_tol=1e-9)
    except ValueError:
        return False
