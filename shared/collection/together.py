"""Which machines are due at the same instant: those that one answer of their vendor serves.

Machines are spread over their interval by their id. Where one call tells of all machines of an account, they are read
together instead, so that the call is made once and nobody is told an old answer. Only the time is decided here; who may
share what is the connectors' business, and goes by credentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.equipment.model import Equipment

__all__ = ["phase_name"]


def phase_name(device: Equipment) -> str:
    """What decides when a machine is due: its id, or where its account's answer comes from."""
    options = device.iot_config
    if not _shares(options):
        return device.id
    path = options.get("data_endpoint") or options.get("path") or ""
    return f"{device.endpoint} {device.port} {path}"


def _shares(options: Mapping[str, Any]) -> bool:
    seconds = options.get("share_seconds")
    if isinstance(seconds, int | float):
        return seconds > 0
    if options.get("item") or options.get("paging"):
        return True
    signals = options.get("signals")
    return isinstance(signals, Mapping) and any(_chooses(spec) for spec in signals.values())


def _chooses(spec: Any) -> bool:
    """``units[id={unit}].temperature``: one machine out of a list."""
    address = spec.get("at") if isinstance(spec, Mapping) else spec
    return isinstance(address, str) and "={" in address
