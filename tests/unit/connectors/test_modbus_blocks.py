"""Many signals, few requests: nothing is missed, no request is too long, no gap too wide."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.mapping import SignalSpec
from shared.connectors.modbus_address import ModbusAddress, parse_address
from shared.connectors.modbus_blocks import MAX_BITS, Block, blocks_of
from shared.connectors.modbus_plan import ModbusSignal
from shared.connectors.values import reader

KINDS = ("int16", "float32", "float64", "string10", "bit3")


def _made(key: str, address: ModbusAddress) -> ModbusSignal:
    spec = SignalSpec(at="x")
    return ModbusSignal(key, spec, address, reader(key, spec))


def _signal(at: str, key: str = "x") -> ModbusSignal:
    return _made(key, parse_address(at))


def _addresses() -> st.SearchStrategy[ModbusAddress]:
    start = st.one_of(st.integers(0, 400), st.integers(0, 65_000)).map(hex)
    registers = st.builds("{}:{}:{}".format, st.sampled_from(("holding", "input")), start, st.sampled_from(KINDS))
    bits = st.builds("{}:{}".format, st.sampled_from(("coil", "discrete")), st.integers(0, 9_000))
    return st.one_of(registers, bits).map(parse_address)


SIGNALS = st.lists(_addresses(), min_size=1, max_size=60).map(
    lambda found: [_made(f"s{n}", address) for n, address in enumerate(found)]
)


@given(SIGNALS, st.integers(0, 20), st.integers(5, 125))
def test_everything_wanted_is_read_within_the_limits(signals: list[ModbusSignal], gap: int, most: int) -> None:
    blocks = blocks_of(signals, gap, most)
    served = [signal.key for block in blocks for signal in block.signals]
    assert sorted(served) == sorted(signal.key for signal in signals)
    for block in blocks:
        _check(block, gap, most)


def _check(block: Block, gap: int, most: int) -> None:
    assert block.count <= (MAX_BITS if block.table in ("coil", "discrete") else most)
    wanted: set[int] = set()
    for signal in block.signals:
        assert signal.address.table == block.table
        assert block.start <= signal.address.start
        assert signal.address.end <= block.start + block.count
        wanted.update(range(signal.address.start, signal.address.end))
    assert min(wanted) == block.start
    assert max(wanted) == block.start + block.count - 1
    marks = sorted(wanted)
    assert all(after - before - 1 <= gap for before, after in pairwise(marks))


@given(SIGNALS)
def test_the_default_merges_what_it_may(signals: list[ModbusSignal]) -> None:
    blocks = blocks_of(signals, 8, 120)
    for one, other in pairwise(blocks):
        if one.table == other.table:
            limit = MAX_BITS if one.table in ("coil", "discrete") else 120
            apart = other.start - one.start - one.count > 8
            together = max(signal.address.end for signal in (*one.signals, other.signals[0])) - one.start
            assert apart or together > limit, "two requests where one would do"


@given(SIGNALS, st.integers(0, 20))
def test_parts_get_smaller_and_lose_nothing(signals: list[ModbusSignal], gap: int) -> None:
    waiting = list(blocks_of(signals, gap, 120))
    last: list[str] = []
    for _ in range(1_000):
        if not waiting:
            break
        block = waiting.pop()
        parts = block.parts(120)
        assert all(part.span != block.span for part in parts), "a refused request would be repeated for ever"
        if parts:
            waiting.extend(parts)
        else:
            last.extend(signal.key for signal in block.signals)
    assert sorted(last) == sorted(signal.key for signal in signals)


def test_nine_signals_in_four_requests() -> None:
    at = ("holding:0:int16", "holding:1:int16", "holding:4", "holding:30:bit0", "holding:30:bit1", "holding:33:int32")
    more = ("input:0:float32", "input:2:float32", "coil:3")
    blocks = blocks_of([_signal(text) for text in (*at, *more)], 8, 120)
    assert [block.span for block in blocks] == [
        ("coil", 3, 1),
        ("holding", 0, 5),
        ("holding", 30, 5),
        ("input", 0, 4),
    ]


def test_a_block_falls_apart_at_its_gaps_first() -> None:
    (block,) = blocks_of([_signal(at) for at in ("holding:0", "holding:1", "holding:5", "holding:5:bit2")], 8, 120)
    assert block.span == ("holding", 0, 6)
    runs = block.parts(120)
    assert [run.span for run in runs] == [("holding", 0, 2), ("holding", 5, 1)]
    assert [part.span for part in runs[0].parts(120)] == [("holding", 0, 1), ("holding", 1, 1)]
    assert runs[1].parts(120) == ()
