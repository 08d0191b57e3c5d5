"""Writing to machines of a plant, through their relay. A command is done at most once, whatever breaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.collection.reach import WriteFailed, perhaps
from shared.errors import InvalidInput, Unavailable
from shared.relay.answers import UnreadableAnswer, read_signals
from shared.relay.messages import CommandAnswer, CommandError, CommandKind
from shared.signals import Reading, SignalValue, Value
from shared.telemetry.document import from_document

if TYPE_CHECKING:
    from shared.equipment.model import Equipment
    from shared.relay.hub_commands import CommandBroker

__all__ = ["PlantReach"]

ON_THE_WAY = 10.0
"""Seconds for a command to reach the relay and its answer to come back."""

NOT_DONE = ("expired", "invalid", "not_assigned", "relay_error")
"""What a relay says before it has given the order."""


class PlantReach:
    """The way to a machine through its relay (``shared.collection.reach.Reach``)."""

    def __init__(self, broker: CommandBroker, *, seconds: float) -> None:
        self._broker = broker
        self._seconds = seconds

    async def read(self, equipment: Equipment, key: str, actor: Mapping[str, str]) -> Reading:
        """What it says now. Raises ``WriteFailed``, ``RelaySilent``."""
        answer = await self._ask(equipment, "read_now", {}, actor)
        if not answer.ok:
            error = _error(answer)
            raise WriteFailed(error.code, error.detail)
        try:
            return from_document(answer.body["reading"])
        except (ValueError, TypeError, KeyError, AttributeError) as err:
            raise UnreadableAnswer("The relay's reading cannot be read. Have hub and relay one version?") from err

    async def write(self, equipment: Equipment, key: str, value: Value, actor: Mapping[str, str]) -> SignalValue:
        """Give the order. Raises ``WriteFailed``, ``RelaySilent``; the sentence says whether it may be done."""
        try:
            answer = await self._ask(equipment, "write", {"signal": key, "value": value}, actor)
        except Unavailable as err:  # our own store: the order may stand there, and be done, while we cannot look
            raise WriteFailed("unavailable", f"{err.detail} {perhaps(key)}") from err
        if not answer.ok:
            raise _not_written(key, _error(answer))
        try:
            return read_signals({"after": answer.body["after"]})["after"]
        except (UnreadableAnswer, KeyError) as err:
            raise WriteFailed(
                "unexpected_answer", f"{key} was written, and what the relay says of it cannot be read."
            ) from err

    async def _ask(
        self, equipment: Equipment, kind: CommandKind, body: Mapping[str, Any], actor: Mapping[str, str]
    ) -> CommandAnswer:
        if equipment.relay_id is None:
            raise InvalidInput("relay_id is missing: say which relay reads this machine.", field="relay_id")
        return await self._broker.ask(
            equipment.relay_id,
            kind,
            equipment_id=equipment.id,
            body=body,
            actor=actor,
            seconds=self._seconds + ON_THE_WAY,
        )


def _error(answer: CommandAnswer) -> CommandError:
    return answer.error or CommandError(code="device_error", detail="The relay could not do it, and does not say why.")


def _not_written(key: str, error: CommandError) -> WriteFailed:
    if error.code in NOT_DONE:
        return WriteFailed(error.code, f"Nothing was written. {error.detail}")
    if error.code in ("timeout", "internal_error", "device_error") and "may have been written" not in error.detail:
        # The relay's own deadline does not know how far its connector had come.
        return WriteFailed(error.code, f"{error.detail} {perhaps(key)}")
    return WriteFailed(error.code, error.detail)
