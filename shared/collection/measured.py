"""What is measured of polls. Which machine it was stands in logs; here only words of short lists."""

from __future__ import annotations

from functools import lru_cache

from shared.metrics import POLL_DURATION, POLL_LAG, POLL_WITHIN_SECONDS, in_time
from shared.signals import Quality, Reading
from shared.tracing import note

__all__ = ["note_lag", "note_read"]


@lru_cache(maxsize=256)
def _way(protocol: str | None) -> tuple[str, str]:
    """The connector that reads it, and whose machine it is, out of the protocol's name."""
    from shared.connectors.profiles import profile_of

    profile = profile_of(protocol) if protocol else None
    return ("unknown", "unknown") if profile is None else (profile.connector, profile.names[0])


def note_read(protocol: str | None, reading: Reading, seconds: float) -> None:
    """A machine was read, successfully or not."""
    way, vendor = _way(protocol)
    outcome = "ok" if reading.error_code is None else reading.error_code
    if outcome == "ok" and reading.quality is Quality.BAD:
        outcome = "bad"
    POLL_DURATION.record(seconds, protocol=way, vendor=vendor, outcome=outcome)
    if outcome != "ok":
        note("not read", equipment_id=reading.equipment_id, outcome=outcome)


def note_lag(seconds: float) -> None:
    """A sound machine's poll began so long after its instant."""
    late = max(0.0, seconds)
    POLL_LAG.record(late, on_time=in_time(late, POLL_WITHIN_SECONDS))
