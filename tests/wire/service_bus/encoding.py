"""AMQP messages as bytes: taken apart into sections, and put together for delivery.

What a sender wrote (properties, application properties, body) is kept byte by byte; header and message annotations are
the broker's and written here by hand. Contract: AMQP 1.0 part 1 (types) and part 3 (messaging, section 3.2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import proton

__all__ = ["Incoming", "Malformed", "header", "message_annotations", "parse", "split_batch"]

HEADER, DELIVERY_ANNOTATIONS, MESSAGE_ANNOTATIONS, PROPERTIES = 0x70, 0x71, 0x72, 0x73
APPLICATION_PROPERTIES, DATA, SEQUENCE, VALUE, FOOTER = 0x74, 0x75, 0x76, 0x77, 0x78

SCHEDULED = "x-opt-scheduled-enqueue-time"

_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


class Malformed(Exception):
    """These bytes are no AMQP message."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as a sender gave it to us."""

    bare: bytes
    """Everything but header and annotations, as it was encoded."""
    message_id: str | None
    ttl_seconds: float | None
    scheduled: int | None
    """Not before this time; milliseconds since the epoch."""
    annotations: Mapping[str, str]
    """The sender's own annotations that a receiver sees again."""
    properties: Mapping[str, Any]
    """Application properties."""

    def with_properties(self, more: Mapping[str, str]) -> bytes:
        """The bare message with these application properties beside its own."""
        spare = proton.Message(properties={**self.properties, **more})
        added = b"".join(_pick(bytes(spare.encode()), APPLICATION_PROPERTIES))
        head = b"".join(_pick(self.bare, PROPERTIES))
        return head + added + b"".join(_pick(self.bare, DATA, SEQUENCE, VALUE, FOOTER))


def _value_size(raw: bytes, at: int) -> int:
    """How many bytes the value at this place takes, constructor included."""
    code = raw[at]
    if code == 0x00:  # described: descriptor, then value
        descriptor = 1 + _value_size(raw, at + 1)
        return descriptor + _value_size(raw, at + descriptor)
    kind = code >> 4
    if kind in _WIDTHS:
        return 1 + _WIDTHS[kind]
    if kind in {0xA, 0xC, 0xE}:
        return 2 + int(raw[at + 1])
    if kind in {0xB, 0xD, 0xF}:
        return 5 + int(struct.unpack_from(">I", raw, at + 1)[0])
    raise Malformed(f"constructor 0x{code:02x}")


def _sections(raw: bytes) -> Iterator[tuple[int, int, int]]:
    """(descriptor, start, end) of each section. Raises ``Malformed``."""
    at = 0
    while at < len(raw):
        try:
            if raw[at] != 0x00 or raw[at + 1] not in {0x53, 0x80}:
                raise Malformed("a section begins with a descriptor")
            short = raw[at + 1] == 0x53
            descriptor = raw[at + 2] if short else int(struct.unpack_from(">Q", raw, at + 2)[0])
            value = at + (3 if short else 10)
            end = value + _value_size(raw, value)
        except (IndexError, struct.error) as error:
            raise Malformed("cut off") from error
        if not HEADER <= descriptor <= FOOTER or end > len(raw):
            raise Malformed("no message section")
        yield descriptor, at, end
        at = end


def _pick(raw: bytes, *wanted: int) -> list[bytes]:
    return [raw[start:end] for descriptor, start, end in _sections(raw) if descriptor in wanted]


def split_batch(raw: bytes) -> list[bytes]:
    """The messages of a transfer: those inside a batch envelope, or the one itself.

    A batch has the message format 0x80013700 and one data section per encoded message. Proton does not tell the format
    of an incoming transfer, so an envelope is known by its content: every body section is data, and in each of them
    stands a whole AMQP message. Raises ``Malformed``.
    """
    inside: list[bytes] = []
    for descriptor, start, end in _sections(raw):
        if descriptor in {SEQUENCE, VALUE}:
            return [raw]
        if descriptor == DATA:
            content = _binary(raw, start, end)
            if not content or not _is_message(content):
                return [raw]
            inside.append(content)
    return inside or [raw]


def _binary(raw: bytes, start: int, end: int) -> bytes:
    value = start + (3 if raw[start + 1] == 0x53 else 10)
    return raw[value + (2 if raw[value] == 0xA0 else 5) : end]


def _is_message(content: bytes) -> bool:
    try:
        return bool(list(_sections(content)))
    except Malformed:
        return False


def parse(raw: bytes) -> Incoming:
    """Read one message. Raises ``Malformed``."""
    kept = [raw[start:end] for descriptor, start, end in _sections(raw) if descriptor >= PROPERTIES]
    message = proton.Message()
    try:
        message.decode(raw)
    except proton.ProtonException as error:
        raise Malformed(str(error)) from error
    annotations = dict(message.annotations or {})
    scheduled = annotations.pop(SCHEDULED, None)
    return Incoming(
        bare=b"".join(kept),
        message_id=None if message.id is None else str(message.id),
        ttl_seconds=message.ttl or None,
        scheduled=None if scheduled is None else int(scheduled),
        annotations={str(key): value for key, value in annotations.items() if isinstance(value, str)},
        properties=dict(message.properties or {}),
    )


def header(failed_deliveries: int, ttl_seconds: float | None) -> bytes:
    """The header section. The count is always written: proton leaves a 0 out, and the SDK then reports ``None``."""
    ttl = b"\x40" if ttl_seconds is None else b"\x70" + struct.pack(">I", min(int(ttl_seconds * 1000), 0xFFFFFFFF))
    fields = b"\x41" + b"\x40" + ttl + b"\x42" + b"\x70" + struct.pack(">I", failed_deliveries)
    return b"\x00\x53\x70\xc0" + bytes([len(fields) + 1, 5]) + fields


def message_annotations(values: Mapping[str, str | int | datetime]) -> bytes:
    """The annotations section. ``int``: a long; a key that ends in ``state``: an int; ``datetime``: a timestamp."""
    pairs = b"".join(_symbol(key) + _annotation(key, value) for key, value in values.items())
    count = struct.pack(">I", 2 * len(values))
    return b"\x00\x53\x72\xd1" + struct.pack(">I", len(pairs) + 4) + count + pairs


def _symbol(text: str) -> bytes:
    raw = text.encode("ascii")
    return b"\xa3" + bytes([len(raw)]) + raw


def _annotation(key: str, value: str | int | datetime) -> bytes:
    if isinstance(value, str):
        raw = value.encode()
        return b"\xb1" + struct.pack(">I", len(raw)) + raw
    if isinstance(value, datetime):
        return b"\x83" + struct.pack(">q", round(value.astimezone(UTC).timestamp() * 1000))
    return (b"\x71" + struct.pack(">i", value)) if key.endswith("state") else (b"\x81" + struct.pack(">q", value))
