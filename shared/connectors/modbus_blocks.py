"""Many signals, few requests: neighbours are read together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.connectors.modbus_address import Table
from shared.connectors.modbus_decode import Decoder, decoder
from shared.signals import SignalValue

if TYPE_CHECKING:
    from shared.connectors.modbus_plan import ModbusSignal

__all__ = ["MAX_BITS", "Block", "blocks_of"]

MAX_BITS = 2_000
"""Coils or discrete inputs of one request; the protocol's own limit."""
NEIGHBOURS, OVERLAPPING = 0, -1
"""Gaps: what touches goes together; only what shares a register."""


@dataclass(frozen=True, slots=True)
class Block:
    """One request and the signals it serves."""

    table: Table
    start: int
    count: int
    signals: tuple[ModbusSignal, ...]
    takers: tuple[tuple[str, Decoder, Callable[[Any], SignalValue]], ...]
    """Of the signals, one each: key, from registers to what stands there, from that to a value."""

    @property
    def span(self) -> tuple[Table, int, int]:
        """What is asked for."""
        return self.table, self.start, self.count

    def parts(self, max_registers: int) -> tuple[Block, ...]:
        """Smaller requests for a device that refused this one: first without gaps, then signal by signal.

        Empty where it is one signal already (or several in the same register).
        """
        for gap in (NEIGHBOURS, OVERLAPPING):
            smaller = blocks_of(self.signals, gap, max_registers)
            if len(smaller) > 1:
                return smaller
        return ()


def blocks_of(signals: Iterable[ModbusSignal], max_gap: int, max_registers: int) -> tuple[Block, ...]:
    """Signals in blocks: gaps of at most ``max_gap`` unused addresses are read along, no block is over the limit."""
    blocks: list[Block] = []
    waiting: list[ModbusSignal] = []
    for signal in sorted(signals, key=lambda one: (one.address.table, one.address.start, one.address.end)):
        if waiting and not _fits(waiting, signal, max_gap, max_registers):
            blocks.append(_block(waiting))
            waiting = []
        waiting.append(signal)
    if waiting:
        blocks.append(_block(waiting))
    return tuple(blocks)


def _fits(waiting: Sequence[ModbusSignal], signal: ModbusSignal, max_gap: int, max_registers: int) -> bool:
    first, address = waiting[0].address, signal.address
    end = max(one.address.end for one in waiting)
    limit = MAX_BITS if address.is_bits else max_registers
    return (
        address.table == first.table and address.start - end <= max_gap and max(end, address.end) - first.start <= limit
    )


def _block(signals: Sequence[ModbusSignal]) -> Block:
    first = signals[0].address
    end = max(one.address.end for one in signals)
    takers = tuple((one.key, decoder(one.address, first.start), one.value) for one in signals)
    return Block(first.table, first.start, end - first.start, tuple(signals), takers)
