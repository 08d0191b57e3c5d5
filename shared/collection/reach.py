"""Two ways to a machine's knobs: from here, or through whoever stands beside it. Both read, and give one order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from shared.connectors import Connector, Connectors
from shared.equipment.connection_test import ConnectionTester
from shared.errors import Conflict, InvalidInput, OvenbridgeError
from shared.signals import Reading, SignalValue, Value

if TYPE_CHECKING:
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry

__all__ = ["DirectReach", "Reach", "WriteFailed", "perhaps"]


class WriteFailed(OvenbridgeError):
    """The machine's trouble, not the caller's."""

    status = 502
    title = "Device error"

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        """``DeviceError.code``, or a word like it."""


class Reach(Protocol):
    """A way to a machine."""

    async def read(self, equipment: Equipment, key: str, actor: Mapping[str, str]) -> Reading:
        """What it says now.

        Raises:
            Conflict: it can only be read, so ``key`` need not be asked for.
            WriteFailed, RelaySilent: it cannot be asked.
        """
        ...

    async def write(self, equipment: Equipment, key: str, value: Value, actor: Mapping[str, str]) -> SignalValue:
        """Give the order, once, and tell what it says then.

        Raises:
            InvalidInput: the machine takes no such value; nothing was written.
            WriteFailed, RelaySilent: the sentence says whether it may have been written all the same.
        """
        ...


class DirectReach:
    """From here, by the machine's connector."""

    def __init__(self, registry: EquipmentRegistry, connectors: Connectors, *, seconds: float) -> None:
        self._registry = registry
        self._device = ConnectionTester(connectors, seconds)
        self._seconds = seconds

    async def read(self, equipment: Equipment, key: str, actor: Mapping[str, str]) -> Reading:
        """See :class:`Reach`."""

        async def ask(connector: Connector) -> Reading | WriteFailed | None:
            if type(connector).write is Connector.write:
                return None
            return await connector.read_now()

        try:
            form = await self._registry.connector_config(equipment, fresh=True)
            reading = await self._device.ask(equipment, form, ask, lambda code, detail, _: WriteFailed(code, detail))
        except InvalidInput as error:  # the stored configuration's fault, not the caller's
            raise WriteFailed("invalid_configuration", error.detail) from error
        if isinstance(reading, WriteFailed):
            raise reading
        if reading is None:
            raise Conflict(
                f"{key} cannot be written: devices of the protocol {equipment.protocol} are only read by this "
                "version. OPC UA, Modbus and REST devices can be written."
            )
        return reading

    async def write(self, equipment: Equipment, key: str, value: Value, actor: Mapping[str, str]) -> SignalValue:
        """See :class:`Reach`."""

        async def ask(connector: Connector) -> SignalValue | WriteFailed:
            return await connector.write(key, value)

        def failed(code: str, detail: str, ms: float | None) -> WriteFailed:
            if ms is not None:  # our own deadline: the connector could not say how far it had come
                detail = f"The machine did not answer within {self._seconds:g} s. {perhaps(key)}"
            elif code == "device_error":
                detail = f"{detail} {perhaps(key)}"
            return WriteFailed(code, detail)

        form = await self._registry.connector_config(equipment)
        found = await self._device.ask(equipment, form, ask, failed)
        if isinstance(found, WriteFailed):
            raise found
        return found


def perhaps(key: str) -> str:
    """What to say where nobody knows."""
    return f"It may have taken {key} all the same: look at its value before you try again."
