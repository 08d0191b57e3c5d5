"""How long a device that failed is left alone. Pure, and the same for the same failure: judging a failure twice
(a message that came twice) gives the same pause."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b

from shared.clock import iso

__all__ = ["AUTHENTICATION_FAILED", "pause_seconds"]

AUTHENTICATION_FAILED = "authentication_failed"
"""``DeviceAuthenticationError.code``."""

LONGEST = 300.0
"""Seconds. An oven that comes back is seen within so long."""

AUTHENTICATION_FIRST = 300.0
AUTHENTICATION_LONGEST = 3600.0
"""Seconds. Knocking with a wrong password locks accounts; new credentials end the pause at once."""

LONGEST_ASKED = 3600.0
"""Seconds. A device that asks for more with Retry-After is asked again after this all the same."""


def pause_seconds(
    equipment_id: str,
    at: datetime,
    *,
    failures: int,
    interval_seconds: int,
    error_code: str | None,
    retry_after: float | None = None,
) -> float:
    """Seconds from the failure until the next attempt may be made.

    Exponential from the poll interval up to five minutes with full jitter, so that a hundred ovens behind one dead
    switch do not come back as one wave. Refused credentials: five minutes up to an hour, half of it jitter.

    Args:
        equipment_id: whose failure.
        at: when it failed.
        failures: how many in a row, this one included.
        interval_seconds: the device's poll interval.
        error_code: ``DeviceError.code``.
        retry_after: what the device asked for, in seconds; honoured up to an hour.
    """
    doublings = min(max(failures, 1) - 1, 20)
    chance = _chance(equipment_id, at)
    if error_code == AUTHENTICATION_FAILED:
        top = min(AUTHENTICATION_LONGEST, AUTHENTICATION_FIRST * 2.0**doublings)
        pause = top * (0.5 + chance / 2)
    else:
        top = min(max(LONGEST, interval_seconds), interval_seconds * 2.0**doublings)
        pause = top * chance
    return max(pause, min(retry_after or 0.0, LONGEST_ASKED))


def _chance(equipment_id: str, at: datetime) -> float:
    """Evenly spread over 0 to 1, and the same for the same failure."""
    digest = blake2b(f"{equipment_id} {iso(at)}".encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56
