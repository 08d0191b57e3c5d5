"""What is said on a line while it is ours: requests, one after the other, and what to do when one fails."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from shared.clock import Clock
from shared.connectors.modbus_blocks import Block
from shared.connectors.modbus_errors import cannot_open, ended, refusal, refused_everything
from shared.connectors.modbus_line import Line
from shared.connectors.modbus_outcome import ADDRESS_CODES, GATEWAY_CODES, Garbled, Lost, NoAnswer, Outcome, Refused
from shared.connectors.modbus_place import NetworkPlace
from shared.connectors.modbus_plan import ModbusPlan
from shared.connectors.values import bad
from shared.errors import DeviceConnectionError, DeviceError, DeviceNotSupported, UnsafeTarget
from shared.outgoing.targets import NameNotFound, TargetPolicy
from shared.signals import SignalValue

if TYPE_CHECKING:
    from shared.connectors.modbus_wire import ModbusConnection

__all__ = ["Ask", "Talk", "read_signals"]

SUSPICIONS = 2
"""So often in a row a device has to answer only in a new connection before we believe that it always does."""
CONNECT_SHARE = 0.6
"""Of the whole time, so that a dead host leaves some for the sentence and the others."""

R = TypeVar("R")
Ask = Callable[["ModbusConnection"], Awaitable[R]]


@dataclass(slots=True)
class Talk:
    """One device's turn on its line."""

    plan: ModbusPlan
    line: Line
    targets: TargetPolicy
    clock: Clock
    last: dict[str, tuple[Any, SignalValue]]
    """By signal: what stood in the device the time before, and the value made of it. Most of an oven's values are those
    of a second ago."""
    requests: int = 0

    async def ask(self, ask: Ask[R], *, repeatable: bool = True) -> R:
        """One request; a second try in a new connection where the first may have been the connection's fault.

        Raises:
            Refused: the device's own no.
            DeviceError: no answer. The unit counts as missing where that is what it means.
        """
        connection = self._kept() or await self._opened()
        reused, handed_on = connection.requests > 0, self.requests == 0
        try:
            answer = await self._once(connection, ask)
        except (NoAnswer, Lost) as err:
            if not repeatable or not self._worth_another(reused, err):
                raise self._missed(err, connection) from None
            answer = await self._again(ask, reused=reused, handed_on=handed_on)
        else:
            if reused:
                self.line.suspicions = 0
        self.line.units.answered(self.plan.unit)
        return answer

    def _worth_another(self, reused: bool, err: Outcome) -> bool:
        health = self.line.units.of(self.plan.unit)
        if health.misses or self.plan.place.framing == "rtu":
            # On a bus a frame gets lost now and then; a unit that was there a moment ago is asked twice.
            return health.misses == 0 and health.known and isinstance(err, NoAnswer)
        return reused

    async def _again(self, ask: Ask[R], *, reused: bool, handed_on: bool) -> R:
        if self.plan.place.framing == "rtu":
            # RTU has no transaction numbers: a late answer must not be taken for the next one.
            await asyncio.sleep(self.plan.options.answer_timeout)
        connection = self._kept() or await self._opened()
        try:
            answer = await self._once(connection, ask)
        except (NoAnswer, Lost) as err:
            raise self._missed(err, connection) from None
        if reused:
            self.line.suspect(handed_on=handed_on, after=SUSPICIONS)
        return answer

    async def _once(self, connection: ModbusConnection, ask: Ask[R]) -> R:
        if (seconds := self._rest()) > 0:
            await asyncio.sleep(seconds)
        self.requests += 1
        try:
            return await ask(connection)
        except Refused as err:
            if err.code in GATEWAY_CODES:
                self.line.units.missed(self.plan.unit, self.line.now, self.clock.now())
            else:
                self.line.units.answered(self.plan.unit)
            raise
        except Garbled as err:
            self.line.drop()
            raise ended(self.plan, err, None) from None
        except BaseException:  # cancelled too: an answer that is still on its way must not meet the next question
            self.line.drop()
            raise
        finally:
            self.line.used_at = self.line.now

    def _rest(self) -> float:
        """Seconds until the device may be asked again."""
        options, line = self.plan.options, self.line
        until = line.used_at + options.pause_between_requests
        if self.plan.place.framing == "rtu" and (health := line.units.of(self.plan.unit)).misses:
            until = max(until, health.missed_at + options.answer_timeout)  # its late answer may still come
        return until - line.now

    def _missed(self, err: Outcome, connection: ModbusConnection) -> DeviceError:
        self.line.units.missed(self.plan.unit, self.line.now, self.clock.now())
        return ended(self.plan, err, connection.answered_as)

    def _kept(self) -> ModbusConnection | None:
        """What is open, if it is of use; it is closed if not."""
        line = self.line
        kept = line.connection
        if kept is None:
            return None
        place = self.plan.place
        if (
            kept.alive
            and (kept.place is place or kept.place == place)
            and not (line.one_request_each and kept.requests)
        ):
            return kept
        line.drop()
        return None

    async def _opened(self) -> ModbusConnection:
        connection = self.line.connection = await self._open()
        return connection

    async def _open(self) -> ModbusConnection:
        try:
            from shared.connectors.modbus_wire import ModbusConnection
        except ImportError as err:
            raise DeviceNotSupported(
                f"This process has no {err.name or 'pymodbus'} and cannot read Modbus: set polled_from to relay, or "
                "install requirements.txt."
            ) from err
        place = self.plan.place
        addresses = await self._addresses(place) if isinstance(place, NetworkPlace) else ()
        try:
            return await ModbusConnection.open(place, addresses, self.plan.options.timeout * CONNECT_SHARE)
        except (OSError, TimeoutError, ValueError) as err:
            error = cannot_open(place, err)
            self.line.failed(error)
            raise error from err

    async def _addresses(self, place: NetworkPlace) -> tuple[str, ...]:
        try:
            return await self.targets.addresses(place.host, place.port, field="endpoint")
        except UnsafeTarget as err:
            raise DeviceConnectionError(err.detail) from err
        except NameNotFound as err:
            raise DeviceConnectionError(
                f"The name {place.host} is not found ({err}): check the spelling, or write the IP address."
            ) from err


async def read_signals(talk: Talk) -> dict[str, SignalValue]:
    """Every signal of the plan, with its value or the reason why it has none.

    Raises:
        DeviceError: nothing was read at all.
    """
    plan, line = talk.plan, talk.line
    found = plan.map.pending.copy()
    answered = False
    refusals: list[tuple[Refused, str]] = []
    waiting = deque(plan.blocks)
    while waiting:
        block = waiting.popleft()
        if line.refuses(plan.unit, block):
            waiting.extendleft(reversed(block.parts(plan.options.max_registers)))
            continue
        try:
            words = await talk.ask(_reading(plan, block))
        except Refused as err:
            parts = block.parts(plan.options.max_registers) if err.code in ADDRESS_CODES else ()
            if parts:
                line.refused(plan.unit, block)
                waiting.extendleft(reversed(parts))
                continue
            for signal in block.signals:
                sentence = refusal(signal.address, err)
                refusals.append((err, sentence))
                found[signal.key] = bad(sentence)
            if err.code in GATEWAY_CODES:
                _give_up(waiting, found, refusals[-1][1])
                break
        except DeviceError as err:
            if not answered:
                raise
            _give_up((block, *waiting), found, err.detail)
            break
        else:
            answered = True
            _fill(found, block, words, talk.last)
    if not answered and refusals:
        raise refused_everything(plan, *refusals[0])
    return found


def _fill(
    found: dict[str, SignalValue],
    block: Block,
    words: Sequence[int],
    last: dict[str, tuple[Any, SignalValue]],
) -> None:
    for key, take, value in block.takers:
        raw = take(words)
        known = last.get(key)
        if known is None or raw != known[0]:
            known = last[key] = raw, value(raw)
        found[key] = known[1]


def _reading(plan: ModbusPlan, block: Block) -> Ask[Sequence[int]]:
    seconds = plan.options.answer_timeout
    return lambda connection: connection.read(plan.unit, block.table, block.start, block.count, seconds)


def _give_up(blocks: Iterable[Block], found: dict[str, SignalValue], reason: str) -> None:
    """The rest is not asked any more: others wait for the line."""
    for block in blocks:
        for signal in block.signals:
            found[signal.key] = bad(reason)
