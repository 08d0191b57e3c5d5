"""Remote control: one value written to one machine, on somebody's word.

In this order: is it allowed, is the value one that may be written, what does the machine say now, the entry in the
audit log, the order, what the machine says then. Nothing is repeated by itself.

What if the process dies here?

- before the audit entry: nothing happened.
- after it: the log tells of a write that may not have happened. The other way round cannot be.
- after the order: the entry ``signal.read_back`` is missing, and the next poll shows what the machine says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

from shared.audit.log import AuditLog
from shared.clock import Clock
from shared.collection.reach import DirectReach, Reach, WriteFailed
from shared.collection.writing import Writable, check_kind, same, writable
from shared.errors import (
    Conflict,
    PreconditionFailed,
    RelaySilent,
    TooManyRequests,
    Unavailable,
)
from shared.signals import Quality, Reading, SignalValue, Value

if TYPE_CHECKING:
    from shared.connectors import Connectors
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry

__all__ = ["RemoteControl", "WriteOrder", "WriteOutcome"]

log = logging.getLogger("ovenbridge.control")

SECONDS_BETWEEN = 1.0
"""At most one order in so many seconds to one machine."""


@dataclass(frozen=True, slots=True)
class WriteOrder:
    """What is to be written, and why."""

    signal: str
    value: bool | int | float | str
    """In the unit that readings show: Celsius for temperatures."""
    reason: str
    """For the audit log."""
    expected: bool | int | float | str | None = None
    """What the signal has to say now; ``None``: whatever it says."""


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """What became of it."""

    success: bool
    """The machine took the order."""
    status: str
    """``written``, or the ``DeviceError.code`` of what went wrong."""
    order: WriteOrder
    before: SignalValue | None
    """``None``: it could not be read, so nothing was written."""
    after: SignalValue | None
    """What the machine says afterwards; ``None``: nobody knows."""
    response_time_ms: float | None
    error_details: str | None
    """A sentence for a person; beside a success, why it is not verified."""

    @property
    def verified(self) -> bool:
        """The machine says afterwards what was ordered."""
        return self.after is not None and self.after.quality is Quality.GOOD


class RemoteControl:
    """Writes to machines. One for the process: it knows who was written to a moment ago."""

    def __init__(
        self,
        equipment: EquipmentRegistry,
        connectors: Connectors,
        audit: AuditLog,
        clock: Clock,
        *,
        deadline_seconds: float,
        through_relay: Callable[[], Reach],
    ) -> None:
        self._equipment = equipment
        self._audit = audit
        self._clock = clock
        # Half for reading what it says now, half for writing and reading back.
        self._direct = DirectReach(equipment, connectors, seconds=deadline_seconds / 2)
        self._through_relay = through_relay
        self._busy: set[str] = set()
        self._begun: dict[str, datetime] = {}

    async def check(self, equipment_id: str, signal: str, value: Value) -> str:
        """Whether this may be ordered, as far as is known without asking the machine; the machine's name.

        Raises:
            NotFound: no such machine.
            Conflict: this machine, or this signal of it, is not written from here; the sentence says why.
            InvalidInput: the value is none that may be written.
        """
        equipment, _ = await self._equipment.get(equipment_id)
        _allowed(equipment)
        writable(equipment.iot_config, signal).check(value)
        return equipment.name

    async def read_now(self, equipment_id: str, signal: str, actor: Mapping[str, str]) -> Reading:
        """What a machine that is open for remote control says now, asked of itself; nothing is changed.

        Raises:
            NotFound: no such machine.
            Conflict: it is not open for remote control, or can only be read by polling.
            OvenbridgeError: it cannot be asked.
        """
        equipment, _ = await self._equipment.get(equipment_id)
        _allowed(equipment)
        reach = self._direct if equipment.polled_from == "cloud" else self._through_relay()
        return await reach.read(equipment, signal, actor)

    async def write(
        self, equipment_id: str, order: WriteOrder, actor: Mapping[str, str], *, etag: str | None = None
    ) -> WriteOutcome:
        """Write one value; the machine's own trouble is part of the outcome.

        Args:
            equipment_id: which machine.
            order: what to write.
            actor: ``Caller.actor``, for the audit log.
            etag: of the machine's configuration that the caller has seen; ``None``: whichever.

        Raises:
            NotFound: no such machine.
            PreconditionFailed: its configuration, or the value to be replaced, is not the expected one.
            Conflict: this machine, or this signal of it, is not written from here; the sentence says why.
            InvalidInput: the value is none that may be written.
            TooManyRequests: it is written to already, or was less than a second ago.
            Unavailable: our own store or vault is away; nothing was written.
            RelaySilent: its relay did not answer; the sentence says whether it may have been written all the same.
        """
        equipment, current = await self._equipment.get(equipment_id)
        if etag is not None and etag != current:
            raise PreconditionFailed(
                f"The configuration of {equipment.name} was changed in the meantime, so nothing was written. "
                "Look at it again."
            )
        _allowed(equipment)
        target = writable(equipment.iot_config, order.signal)
        target.check(order.value)
        with self._turn(equipment):
            return await self._write(equipment, target, order, actor)

    # Inside ------------------------------------------------------------------------------------------------------

    async def _write(
        self, equipment: Equipment, target: Writable, order: WriteOrder, actor: Mapping[str, str]
    ) -> WriteOutcome:
        reach = self._direct if equipment.polled_from == "cloud" else self._through_relay()
        try:
            before = await self._before(reach, equipment, target, actor)
        except WriteFailed as error:
            return _failed(error.code, f"Nothing was written. {error.detail}", order)
        except RelaySilent as error:
            raise RelaySilent(f"Nothing was written: the value was to be read first. {error.detail}") from error
        check_kind(target, order.value, before)
        if order.expected is not None and not same(before.value, order.expected):
            raise PreconditionFailed(
                f"{target.key} is {_said(before)} now, not what you expected, so nothing was written."
            )
        begun = monotonic()
        stream = f"equipment:{equipment.id}"
        try:
            async with self._audit.recorded(
                stream,
                actor=actor,
                action="signal.written",
                target=equipment.id,
                before=_noted(target.key, before),
                after={"signal": target.key, "value": order.value, "unit": before.unit, "reason": order.reason},
            ) as entry:
                begun = monotonic()
                after = await reach.write(equipment, target.key, order.value, actor)
        except WriteFailed as error:
            return _failed(error.code, error.detail, order, before, _ms(begun))
        took = _ms(begun)
        outcome = WriteOutcome(True, "written", order, before, after, took, after.reason)
        noted = _noted(target.key, after) | {"announced": entry.seq, "verified": outcome.verified}
        try:
            await self._audit.append(stream, actor=actor, action="signal.read_back", target=equipment.id, after=noted)
        except Unavailable as error:
            # It is written, and its entry stands; only what the machine said afterwards does not.
            log.error("Cannot note what %s says after entry %s: %s", equipment.id, entry.seq, error.detail)
        return outcome

    async def _before(
        self, reach: Reach, equipment: Equipment, target: Writable, actor: Mapping[str, str]
    ) -> SignalValue:
        reading = await reach.read(equipment, target.key, actor)
        found = reading.values.get(target.key)
        if reading.error_code is not None or found is None:
            raise WriteFailed(
                reading.error_code or "unexpected_answer", reading.reason or f"The machine does not tell {target.key}."
            )
        if found.value is None and found.raw is None:
            raise WriteFailed("unexpected_answer", f"{target.key} cannot be read now: {found.reason}.")
        return found

    @contextmanager
    def _turn(self, equipment: Equipment) -> Iterator[None]:
        """One order at a time, and not one after the other without a breath."""
        now = self._clock.now()
        since = (now - self._begun[equipment.id]).total_seconds() if equipment.id in self._begun else SECONDS_BETWEEN
        if equipment.id in self._busy:
            raise TooManyRequests(
                f"Something else is being written to {equipment.name}, so this was not. Look at what it says then.",
                retry_after=SECONDS_BETWEEN,
            )
        if 0 <= since < SECONDS_BETWEEN:  # below 0 the clock was put back
            raise TooManyRequests(
                f"{equipment.name} was written to less than {SECONDS_BETWEEN:g} s ago, so this was not. Try again.",
                retry_after=SECONDS_BETWEEN - since,
            )
        self._begun = {
            one: at for one, at in self._begun.items() if 0 <= (now - at).total_seconds() < SECONDS_BETWEEN
        } | {equipment.id: now}
        self._busy.add(equipment.id)
        try:
            yield
        finally:
            self._busy.discard(equipment.id)


def _allowed(equipment: Equipment) -> None:
    name = equipment.name
    if equipment.protocol is None:
        raise Conflict(f"{name} has no IoT configuration yet, so nothing can be written to it.")
    if not equipment.supports_remote_control:
        raise Conflict(
            f"{name} is not open for remote control. An engineer opens it with supports_remote_control: true, after "
            "making sure that nobody is hurt when it starts by itself."
        )
    if not equipment.iot_enabled:
        raise Conflict(f"The connection to {name} is switched off (iot_enabled), so nothing is written to it.")


def _failed(
    code: str, detail: str, order: WriteOrder, before: SignalValue | None = None, ms: float | None = None
) -> WriteOutcome:
    return WriteOutcome(False, code, order, before, None, ms, detail)


def _said(value: SignalValue) -> str:
    return f"{value.value} {value.unit}".rstrip()


def _noted(key: str, value: SignalValue) -> dict[str, Any]:
    noted = {"signal": key, "value": value.value, "unit": value.unit}
    if value.quality is not Quality.GOOD:
        noted |= {"quality": value.quality.value, "quality_reason": value.reason}
    return noted


def _ms(begun: float) -> float:
    return round((monotonic() - begun) * 1000, 1)
