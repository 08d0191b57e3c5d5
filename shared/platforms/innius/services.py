"""What is plugged together for innius, each made when it is first needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.platforms.innius.receiver import InniusKind
    from shared.services import Services

__all__ = ["Innius"]


class Innius:
    """Both directions."""

    def __init__(self, house: Services) -> None:
        self._house = house

    @cached_property
    def kind(self) -> InniusKind:
        """What innius sends."""
        from shared.platforms.innius.effects import Effects
        from shared.platforms.innius.receiver import InniusKind

        house = self._house
        return InniusKind(Effects(house.equipment, house.alerts, house.tasks))
