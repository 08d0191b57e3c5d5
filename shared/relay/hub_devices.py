"""Machines of a plant asked through their relay, as machines of the cloud are asked directly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.connectors import ConnectionTest
from shared.connectors.discovery import DiscoveredDevice, DiscoveredNode, Discovery
from shared.errors import InvalidInput
from shared.relay.answers import UnreadableAnswer, certificate_from, test_from
from shared.relay.hub_assignments import device_of
from shared.relay.messages import CommandAnswer, CommandError, CommandKind

if TYPE_CHECKING:
    from shared.access.model import Caller
    from shared.connectors.base import ServerCertificate
    from shared.equipment.model import Equipment
    from shared.relay.hub_commands import CommandBroker

__all__ = ["PlantDevices"]

ON_THE_WAY = 10.0
"""Seconds for a command to reach the relay and its answer to come back."""


class PlantDevices:
    """Asks machines of a plant."""

    def __init__(self, broker: CommandBroker, *, deadline_seconds: float) -> None:
        self._broker = broker
        self._deadline = deadline_seconds

    async def test(self, equipment: Equipment, caller: Caller) -> ConnectionTest:
        """Read the machine now, as it is described here: the relay need not know it yet.

        Raises:
            RelaySilent: its relay is not there, or did not answer in time.
            UnreadableAnswer: the relay is of another version.
        """
        answer = await self._ask(equipment, caller, "test_connection", self._deadline, {})
        return test_from(answer.body) if answer.ok else _failed(answer)

    async def discover(self, equipment: Equipment, caller: Caller, seconds: float) -> Discovery | ConnectionTest:
        """What there is at the machine's address, or why it could not be asked. Raises as :meth:`test`."""
        answer = await self._ask(equipment, caller, "discover", seconds, {"seconds": seconds * 0.9})
        return _discovery(answer.body) if answer.ok else _failed(answer)

    async def certificate(
        self, equipment: Equipment, caller: Caller, seconds: float
    ) -> ServerCertificate | ConnectionTest:
        """The certificate that the machine's server shows on site now, or why it could not be asked. Raises as
        :meth:`test`."""
        answer = await self._ask(equipment, caller, "certificate", seconds, {})
        return certificate_from(answer.body) if answer.ok else _failed(answer)

    async def _ask(
        self, equipment: Equipment, caller: Caller, kind: CommandKind, seconds: float, body: Mapping[str, Any]
    ) -> CommandAnswer:
        if equipment.relay_id is None:
            raise InvalidInput("relay_id is missing: say which relay reads this machine.", field="relay_id")
        device = device_of(equipment, timeout_seconds=seconds)
        return await self._broker.ask(
            equipment.relay_id,
            kind,
            equipment_id=equipment.id,
            body={**body, "device": device.model_dump(mode="json")},
            actor=caller.actor,
            seconds=seconds + ON_THE_WAY,
        )


def _failed(answer: CommandAnswer) -> ConnectionTest:
    error = answer.error or CommandError(code="device_error", detail="The relay could not do it, and does not say why.")
    return ConnectionTest(False, error.code, None, (), error.detail)


class _Device(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    name: str
    type: str
    profile: str
    address: str
    signals: dict[str, dict[str, Any]]


class _Node(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    at: str
    path: str
    data_type: str
    value: float | int | str | bool | None = None
    unit: str | None = None
    writable: bool = False


class _Found(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    devices: list[_Device] = []
    nodes: list[_Node] = []
    notes: list[str] = []


def _discovery(body: Mapping[str, Any]) -> Discovery:
    try:
        found = _Found.model_validate(dict(body))
    except ValidationError as err:
        raise UnreadableAnswer("What the relay found cannot be read. Have hub and relay one version?") from err
    return Discovery(
        tuple(DiscoveredDevice(d.name, d.type, d.profile, d.address, d.signals) for d in found.devices),
        tuple(DiscoveredNode(n.at, n.path, n.data_type, n.value, n.unit, n.writable) for n in found.nodes),
        tuple(found.notes),
    )
