"""``host.json``: the parts of it that the local host follows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import BrokenSettings

__all__ = ["HostJson", "read_host_json"]

ROOT = Path(__file__).resolve().parent.parent
"""The folder of the function apps: host.json and the entry files stand here."""

_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class HostJson:
    """What ``host.json`` says, with the Functions host's defaults."""

    route_prefix: str = "api"
    function_timeout_seconds: float | None = 1800.0
    """``None``: no limit (``-1`` in the file)."""
    max_concurrent_calls: int = 16
    """Messages of one queue function at a time."""
    max_lock_renewal_seconds: float = 300.0
    max_outstanding_requests: int = 1024
    """HTTP requests at a time; beyond it 429. The host's own default is unbounded; ours is not."""


def _seconds(value: Any, name: str) -> float | None:
    if value == "-1":
        return None
    found = _SPAN.fullmatch(str(value))
    if found is None:
        raise BrokenSettings(f'host.json: {name} is not usable; write a time span such as "00:05:00".')
    days, hours, minutes, seconds, _ = found.groups()
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60.0 + int(seconds)


def _count(section: dict[str, Any], name: str, default: int) -> int:
    value = section.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value == 0 or value < -1:
        raise BrokenSettings(f"host.json: {name} is not usable; write a whole number above 0.")
    return default if value == -1 else value


def read_host_json(path: Path = ROOT / "host.json") -> HostJson:
    """Read the file.

    Raises:
        BrokenSettings: it is missing, no JSON, or a value in it cannot be used.
    """
    try:
        raw = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as err:
        raise BrokenSettings(f"{path} cannot be read: {err}.") from err
    extensions = raw.get("extensions", {})
    http = extensions.get("http", {})
    bus = extensions.get("serviceBus", {})
    standard = HostJson()
    return HostJson(
        route_prefix=str(http.get("routePrefix", standard.route_prefix)).strip("/"),
        function_timeout_seconds=_seconds(raw.get("functionTimeout", "00:30:00"), "functionTimeout"),
        max_concurrent_calls=_count(bus, "maxConcurrentCalls", standard.max_concurrent_calls),
        max_lock_renewal_seconds=_seconds(
            bus.get("maxAutoLockRenewalDuration", "00:05:00"), "maxAutoLockRenewalDuration"
        )
        or 0.0,
        max_outstanding_requests=_count(http, "maxOutstandingRequests", standard.max_outstanding_requests),
    )
