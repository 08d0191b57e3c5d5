"""Production context: a workplace's operating state and the phase of its operation, kept as facts of the machine.

Notifications are incomplete (a phase names its operation and no workplace), so what is missing is looked up; and they
can get lost, so after a gap the server's word is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.clock import Clock
from shared.errors import NotFound, OvenbridgeError
from shared.platforms.connections import PlatformConnection, PlatformConnections
from shared.platforms.force_bridge.api import ForceApi, quoted
from shared.platforms.force_bridge.kind import Applied
from shared.platforms.force_bridge.options import ForceOptions, read_options
from shared.platforms.force_bridge.platform import NAME
from shared.platforms.force_bridge.received import PHASE_CHANGED, SHIFT_CHANGED, STATE_CHANGED, Notified, text
from shared.platforms.force_bridge.refusals import ForceRefused
from shared.telemetry.context import Fact, MachineContexts

__all__ = ["ProductionContext"]

log = logging.getLogger("ovenbridge.force_bridge")

STATE = "operating_state"
STATE_DETAIL = "operating_state_detail"
PHASE = "operation_phase"
OPERATION = "operation_id"
SHIFT = "shift_id"
LOOKED_UP_ONE_BY_ONE = 20
"""So many workplaces are asked for singly; more of them as a list."""


class Polls(Protocol):
    """Reading machines."""

    async def soon(self, equipment_id: str) -> None: ...


class ProductionContext:
    """Keeps it."""

    def __init__(
        self,
        connections: PlatformConnections,
        api: ForceApi,
        contexts: MachineContexts,
        clock: Clock,
        *,
        read_soon: Callable[[str], Any] | None = None,
    ) -> None:
        """``read_soon``: asks for a reading of a machine whose context changed, so that alerts follow at once."""
        self._connections = connections
        self._api = api
        self._contexts = contexts
        self._clock = clock
        self._read_soon = read_soon

    async def apply(self, connection_id: str, said: Notified, received_at: datetime) -> Applied:
        """What a notification tells of a machine of ours.

        Raises:
            OvenbridgeError: what it leaves out cannot be looked up now.
        """
        try:
            connection = await self._connections.known(connection_id)
        except NotFound:
            log.warning("A hook source names the connection %s, which there is not (any more)", connection_id)
            return Applied()
        if connection.platform != NAME:
            return Applied()
        options = read_options(connection.options)
        if said.event_type == PHASE_CHANGED:
            return await self._phase(connection, options, said, received_at)
        equipment = options.equipment_of(said.workplace_id)
        if equipment is None:
            return Applied(None, said.work_order_id)
        told: dict[str, str | None] = {}
        if said.event_type == STATE_CHANGED:
            told = {STATE: said.state, STATE_DETAIL: said.state_detail or said.state}
        elif said.event_type == SHIFT_CHANGED:
            told = {SHIFT: text(said.data.get("shiftId"))}
        facts = await self._tell(connection, options, equipment, told, said.at or received_at)
        return Applied(equipment, said.work_order_id, facts)

    async def _phase(
        self, connection: PlatformConnection, options: ForceOptions, said: Notified, received_at: datetime
    ) -> Applied:
        phase, operation = said.spelled("currentOperationPhase"), said.operation_id
        workplace, order = said.workplace_id, said.work_order_id
        if (workplace is None or order is None) and operation is not None and options.workplaces:
            found = await self._operation(connection, operation)
            workplace = workplace or _id(found.get("currentWorkplace")) or text(found.get("workplaceId"))
            order = order or _id(found.get("productionOrder"))
        equipment = options.equipment_of(workplace)
        if equipment is None:
            return Applied(None, order)
        told = {PHASE: phase, OPERATION: operation}
        facts = await self._tell(connection, options, equipment, told, said.at or received_at)
        return Applied(equipment, order, facts)

    async def _operation(self, connection: PlatformConnection, operation: str) -> Mapping[str, Any]:
        try:
            answer = await self._api.get(connection, f"operations/{quoted(operation)}")
        except ForceRefused as err:
            if err.answered != 404:
                log.warning("The operation %s cannot be looked up: %s", operation, err.detail)
            return {}
        return _properties(answer)

    async def _tell(
        self,
        connection: PlatformConnection,
        options: ForceOptions,
        equipment: str,
        told: Mapping[str, str | None],
        since: datetime,
    ) -> Mapping[str, str] | None:
        known = {name: value for name, value in told.items() if value is not None}
        if not known:
            return None
        until = self._clock.now() + timedelta(hours=options.believed_hours)
        facts = {name: Fact(value, since, connection.name, until) for name, value in known.items()}
        if await self._contexts.tell(equipment, facts) and self._read_soon is not None:
            try:
                await self._read_soon(equipment)
            except OvenbridgeError as err:
                # The plan reads it within its interval all the same.
                log.info("%s is not read at once: %s", equipment, err.detail)
        return known

    # After a gap -------------------------------------------------------------------------------------------------

    async def resync(self, connection: PlatformConnection, options: ForceOptions) -> None:
        """Take the server's word for the state of every workplace of ours.

        Raises:
            OvenbridgeError: it cannot be asked now.
        """
        wanted = dict(options.workplaces)
        asked_at = self._clock.now()
        if len(wanted) <= LOOKED_UP_ONE_BY_ONE:
            for workplace in wanted:
                try:
                    answer = await self._api.get(connection, f"workplaces/{quoted(workplace)}")
                except ForceRefused as err:
                    log.warning("The workplace %s cannot be looked up: %s", workplace, err.detail)
                    continue
                await self._state_now(connection, options, workplace, _properties(answer), asked_at)
            return
        async for item in self._api.each(connection, "workplaces", "workplaces"):
            properties = _properties(item)
            workplace = text(properties.get("id")) or ""
            if workplace in wanted:
                await self._state_now(connection, options, workplace, properties, asked_at)

    async def _state_now(
        self,
        connection: PlatformConnection,
        options: ForceOptions,
        workplace: str,
        properties: Mapping[str, Any],
        asked_at: datetime,
    ) -> None:
        state = properties.get("operatingState")
        if not isinstance(state, dict):
            return
        word = text(state.get("workplaceStateId"))
        detail = text(state.get("description")) or text(state.get("code")) or word
        equipment = options.workplaces[workplace]
        known = await self._contexts.known(equipment)
        # An answer has no time of its own: it is as old as the question, and confirms what is so already.
        for name, value in ((STATE, word), (STATE_DETAIL, detail)):
            before = known.get(name)
            since = before.since if before is not None and before.value == value else asked_at
            await self._tell(connection, options, equipment, {name: value}, since)


def _properties(answer: Any) -> Mapping[str, Any]:
    properties = answer.get("properties") if isinstance(answer, dict) else None
    return properties if isinstance(properties, dict) else {}


def _id(value: Any) -> str | None:
    return text(value.get("id")) if isinstance(value, dict) else None
