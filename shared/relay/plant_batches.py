"""From the spool to messages: as many readings as fit into 200 KB packed."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass

from shared.errors import PayloadTooLarge
from shared.ids import digest_id
from shared.json_text import canonical
from shared.relay.messages import COMPRESSED_FROM, MAX_PACKED, MAX_READINGS, Lost, ReadingBatch
from shared.relay.plant_spool import ALARM, Batch, Spool

__all__ = ["Batches", "OutgoingBatch"]

FIRST_BYTES = 500_000
LEAST_BYTES, MOST_BYTES = 50_000, 4_000_000
"""Of the readings before packing; it adapts to how well they compress. Below the 8 MB that the hub unpacks."""


@dataclass(frozen=True, slots=True)
class OutgoingBatch:
    """A batch ready to leave."""

    batch: Batch
    packed: bytes
    message_id: str


class Batches:
    """Makes messages of what waits."""

    def __init__(self, spool: Spool, relay_id: str) -> None:
        self._spool = spool
        self._relay_id = relay_id
        self._bytes = FIRST_BYTES
        self._most = MAX_READINGS

    async def next(self) -> OutgoingBatch | None:
        """The next message; ``None``: nothing waits. The same again until it is acknowledged, or made smaller.

        Raises:
            Unavailable: the spool cannot be read.
        """
        while True:
            batch = await self._spool.next_batch(most=self._most, most_bytes=self._bytes)
            if batch is None:
                return None
            try:
                # In a thread: compressing takes milliseconds, in which machines want to be read.
                made = await asyncio.to_thread(_packed, self._relay_id, batch)
            except PayloadTooLarge as error:
                if len(batch.bodies) == 1:
                    await self._spool.set_aside(batch, error.detail)
                else:
                    self._bytes = max(LEAST_BYTES, self._bytes // 2)
                    self._most = max(1, len(batch.bodies) // 2)
                continue
            self._adapt(len(made.packed))
            return made

    def smaller(self, batch: Batch) -> None:
        """The hub refused this batch: find out which reading it is."""
        self._most = max(1, len(batch.bodies) // 2)

    def _adapt(self, packed: int) -> None:
        if packed < 80 * 1024:
            self._bytes = min(MOST_BYTES, self._bytes * 3 // 2)
        elif packed > 180 * 1024:
            self._bytes = max(LEAST_BYTES, self._bytes * 4 // 5)
        self._most = min(MAX_READINGS, self._most * 2)


def _packed(relay_id: str, batch: Batch) -> OutgoingBatch:
    """What ``pack`` makes of a ``ReadingBatch`` and its ``message_id``, byte for byte, without parsing every reading
    again: they are stored as canonical JSON. A test compares the two."""
    readings = b"[" + b",".join(batch.bodies) + b"]"
    empty = ReadingBatch.model_construct(
        relay_id=relay_id,
        first_seq=batch.first_seq,
        last_seq=batch.last_seq,
        priority="alarm" if batch.lane == ALARM else "history",
        readings=(),
        lost=Lost(history=batch.lost),
    )
    data = canonical(empty.model_dump(mode="json")).replace(b'"readings":[]', b'"readings":' + readings, 1)
    if len(data) > COMPRESSED_FROM:
        data = gzip.compress(data, compresslevel=6, mtime=0)
    if len(data) > MAX_PACKED:
        raise PayloadTooLarge(f"{len(batch.bodies)} readings have {len(data):,} bytes; at most {MAX_PACKED:,} travel.")
    message_id = f"{relay_id}:{batch.first_seq}-{batch.last_seq}:{digest_id(readings)[:16]}"
    return OutgoingBatch(batch, data, message_id)
