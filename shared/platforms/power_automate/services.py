"""What the room offers to the surfaces."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.platforms.power_automate.polling import EventPoll
    from shared.platforms.power_automate.subscriptions import Subscriptions
    from shared.services import Services

__all__ = ["PowerAutomateRoom"]


class PowerAutomateRoom:
    """Flows that are started by what happens."""

    def __init__(self, house: Services) -> None:
        self._house = house

    @cached_property
    def subscriptions(self) -> Subscriptions:
        """Who wants a flow started."""
        from shared.platforms.power_automate.subscriptions import Subscriptions

        return Subscriptions(self._house.callbacks)

    @cached_property
    def poll(self) -> EventPoll:
        """Flows that come and ask."""
        from shared.platforms.power_automate.polling import EventPoll

        return EventPoll(self._house.store, self._house.clock)
