"""What hangs together in this room, built when it is first needed: ``house.platforms.operations1``."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from shared.platforms.operations1.happenings import Happenings
from shared.platforms.operations1.hook_kind import WebhookKind
from shared.platforms.operations1.values_told import ValuesTold

if TYPE_CHECKING:
    from shared.services import Services

__all__ = ["Operations1"]


class Operations1:
    """The room's services."""

    def __init__(self, house: Services) -> None:
        self._house = house

    @cached_property
    def webhooks(self) -> WebhookKind:
        """The kind of its hook sources."""
        house = self._house
        happenings = Happenings(house.store, house.clock)
        values = ValuesTold(happenings, house.readings, house.equipment, house.alerts)
        return WebhookKind(house.events, happenings, values, house.external_requests.profiles)
