"""Listing machines: filters and pages over the unordered stream that every store gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.equipment.model import Equipment
from shared.storage import Condition, DocumentStore, Equals, Query

__all__ = ["EquipmentFilter", "EquipmentPage", "list_page"]

CONTAINER = "equipment"

MOST_LOOKS = 20
"""Store pages read for one page of an answer; a rare match comes with the next page, then."""


@dataclass(frozen=True, slots=True)
class EquipmentFilter:
    """What is looked for; ``None``: anything."""

    site: str | None = None
    iot_enabled: bool | None = None
    search: str | None = None
    """Part of the name, the id or the serial number, in any case."""
    accepts: Callable[[str], bool] | None = None
    """By id, for what is not written in the registry itself."""

    @property
    def conditions(self) -> list[Condition]:
        """What the store decides."""
        found: list[Condition] = []
        if self.site is not None:
            found.append(Equals("site", self.site))
        if self.iot_enabled is not None:
            found.append(Equals("iotEnabled", self.iot_enabled))
        return found

    def matches(self, equipment: Equipment) -> bool:
        """What is decided here."""
        if self.accepts is not None and not self.accepts(equipment.id):
            return False
        if self.search is None:
            return True
        wanted = self.search.casefold()
        return any(
            wanted in (text or "").casefold() for text in (equipment.name, equipment.id, equipment.serial_number)
        )


@dataclass(frozen=True, slots=True)
class EquipmentPage:
    """Some machines. A page may hold fewer than asked for, even none, while ``continuation`` says that more follow."""

    equipment: list[Equipment]
    continuation: str | None


async def list_page(
    store: DocumentStore, wanted: EquipmentFilter, *, limit: int, continuation: str | None
) -> EquipmentPage:
    """One page. Raises ``InvalidInput`` for a continuation that is not ours."""
    found: list[Equipment] = []
    for _ in range(MOST_LOOKS):
        query = Query(wanted.conditions, limit=limit - len(found), continuation=continuation)
        page = await store.query(CONTAINER, query)
        machines = (Equipment.from_document(item.document) for item in page.items)
        found += [machine for machine in machines if wanted.matches(machine)]
        continuation = page.continuation
        # Filling the last places one by one would cost a query each.
        if continuation is None or len(found) > limit * 3 // 4 or len(found) == limit:
            break
    return EquipmentPage(found, continuation)
