"""What a Modbus reading may cost is a tested number: processor time beside that of plain decoding.

Plain decoding is what nobody can do without: the eight values of one answer, by ``struct``, in eight lines. The answer
comes out of memory on both sides, so that neither sockets nor other processes are in the figures.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.clock import SystemClock
from shared.connectors import Connector, Connectors
from shared.connectors.modbus_frames import DATA_AT, Frames
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from tests.benchmarks.modbus import COUNT, SIGNALS

MOST = 20.0
"""Times. 13 to 15 were seen, also on a busy machine."""
READS = 2_000
ROUNDS = 5


def _answers() -> list[bytes]:
    """Three temperatures change from answer to answer, as in an oven."""
    fixed = range(1_003, 1_000 + COUNT)
    return [
        bytes(DATA_AT) + struct.pack(f">{COUNT}H", *(1_800 + (7 * turn + at) % 16 for at in range(3)), *fixed)
        for turn in range(16)
    ]


ANSWERS = _answers()


def decoded(frame: bytes) -> dict[str, Any]:
    """As short as it can be written."""
    words = struct.unpack_from(f">{COUNT}H", frame, DATA_AT)
    deck1, deck2, deck3 = struct.unpack_from(">3h", frame, DATA_AT)
    (setpoint,) = struct.unpack(">f", struct.pack(">2H", words[7], words[6]))
    (energy,) = struct.unpack_from(">I", frame, DATA_AT + 32)
    found = {"temperature.deck1": deck1 * 0.1, "temperature.deck2": deck2 * 0.1, "temperature.deck3": deck3 * 0.1}
    found |= {"temperature.setpoint": setpoint, "door.open": words[9] & 1 == 1, "energy.kwh": energy * 0.001}
    return found | {"status": {1012: "baking"}.get(words[12]), "time.remaining": words[23]}


class FromMemory:
    """Stands where the socket stands."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, *request: Any) -> bytes:
        self.asked += 1
        return ANSWERS[self.asked % 16]


@pytest.fixture
async def connector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connector]:
    """One oven whose connection is open."""
    source = FromMemory()
    monkeypatch.setattr(Frames, "ask", lambda _, *request: source.ask(*request))
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
    connectors = Connectors(http, SystemClock())
    options = {"signals": SIGNALS, "keep_open": True}
    config = {"endpoint": "127.0.0.1", "port": server.sockets[0].getsockname()[1], "additional_config": options}
    yield connectors.open(protocol="modbus", equipment_id="oven-1", config=config)
    await connectors.close()
    await http.close()
    server.close()


@pytest.mark.quiet
async def test_a_modbus_reading_costs_a_bounded_number_of_plain_decodings(connector: Connector) -> None:
    first = await connector.get_current_reading()
    assert first.error_code is None, first.reason
    said = {key: value.value for key, value in first.values.items()}
    for key, value in decoded(ANSWERS[1]).items():
        assert said[key] == (pytest.approx(value) if isinstance(value, float) else value)
    ours, plain = [], []
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for _ in range(READS):
            await connector.get_current_reading()
        ours.append(time.thread_time() - begun)
        begun = time.thread_time()
        for turn in range(READS):
            decoded(ANSWERS[turn % 16])
        plain.append(time.thread_time() - begun)
    # The least of each: noise only ever adds.
    ratio = min(ours) / min(plain)
    each = f"{min(ours) / READS * 1e6:.1f} us a reading, {min(plain) / READS * 1e6:.1f} us a decoding"
    assert ratio < MOST, f"{ratio:.1f} times: {each}"
    print(f"{ratio:.1f} times: {each}")
