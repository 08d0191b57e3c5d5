"""Where a machine is read from: the cloud, or a relay that stands in its plant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from shared.equipment.forms import EquipmentFields
from shared.equipment.model import Equipment
from shared.errors import InvalidInput

__all__ = ["LEAST_FROM_CLOUD", "KnowsRelay", "check_place", "placed"]

KnowsRelay = Callable[[str], Awaitable[bool]]

LEAST_FROM_CLOUD = 10
"""Seconds between two polls through the cloud's queue; a relay reads up to once a second."""


def placed(equipment: Equipment, given: EquipmentFields) -> Equipment:
    """With what goes without saying: who names a relay wants it to read, and who reads from the cloud has none."""
    if given.relay_id is not None and given.polled_from is None:
        equipment = replace(equipment, polled_from="relay")
    elif "relay_id" in given.model_fields_set and given.relay_id is None and given.polled_from is None:
        equipment = replace(equipment, polled_from="cloud")
    if equipment.polled_from == "relay":
        return equipment
    # What is named beside `cloud` stays, and is refused.
    return replace(equipment, relay_id=given.relay_id, relay_credential_ref=given.relay_credential_ref)


async def check_place(before: Equipment | None, after: Equipment, knows_relay: KnowsRelay | None) -> None:
    """Does it say who reads it, and can they?

    Raises:
        InvalidInput: naming the field.
    """
    if after.polled_from == "cloud":
        _nothing_of_a_relay(after)
        return
    if after.relay_id is None:
        raise InvalidInput(
            "relay_id is missing: say which relay reads it (GET /api/v1/relays lists them), or polled_from cloud.",
            field="relay_id",
        )
    same = before is not None and before.relay_id == after.relay_id
    if not same and knows_relay is not None and not await knows_relay(after.relay_id):
        raise InvalidInput(
            f"relay_id: there is no relay {after.relay_id}. Register it first with POST /api/v1/relays.",
            field="relay_id",
        )


def _nothing_of_a_relay(machine: Equipment) -> None:
    for field in ("relay_id", "relay_credential_ref"):
        if getattr(machine, field) is not None:
            raise InvalidInput(f"{field} goes with polled_from relay: leave one of them out.", field=field)
    if machine.poll_interval_seconds < LEAST_FROM_CLOUD:
        raise InvalidInput(
            f"poll_interval_seconds: at least {LEAST_FROM_CLOUD} for what is read from the cloud; a relay reads up to "
            "once a second.",
            field="poll_interval_seconds",
        )
