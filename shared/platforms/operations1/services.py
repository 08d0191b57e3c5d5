"""What hangs together in this room, built when it is first needed: ``house.platforms.operations1``."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from shared.errors import InvalidInput
from shared.platforms.operations1.happenings import Happenings
from shared.platforms.operations1.hook_kind import WebhookKind
from shared.platforms.operations1.values_told import ValuesTold

if TYPE_CHECKING:
    from shared.platforms.connections import PlatformConnection
    from shared.platforms.operations1.connection import RestPlatform
    from shared.platforms.operations1.orders import Orders
    from shared.platforms.operations1.rest import RestClient
    from shared.services import Services

__all__ = ["Operations1"]

PLATFORM = "operations1"


class Operations1:
    """The room's services."""

    def __init__(self, house: Services) -> None:
        self._house = house

    @cached_property
    def rest(self) -> RestClient:
        """Its REST API."""
        from shared.platforms.operations1.rest import RestClient

        house = self._house
        return RestClient(house.http, house.platforms.connections)

    @cached_property
    def platform(self) -> RestPlatform:
        """Checks and tries connections to it."""
        from shared.platforms.operations1.connection import RestPlatform

        house = self._house
        return RestPlatform(house.targets, self.rest, house.clock)

    @cached_property
    def orders(self) -> Orders:
        """Creating orders, each once."""
        from shared.platforms.operations1.orders import Orders

        house = self._house
        return Orders(self.rest, house.store, house.audit, house.clock)

    async def connection(self, wanted: str | None) -> PlatformConnection:
        """The connection of this name, or the only one there is. Raises ``InvalidInput``, ``NotFound``."""
        connections = self._house.platforms.connections
        if wanted is not None:
            found = await connections.known(wanted)
            if found.platform != PLATFORM:
                raise InvalidInput(f"{wanted} is no connection to Operations1.", field="connection_id")
            return found
        every = await connections.list(PLATFORM)
        if len(every) != 1:
            names = ", ".join(one.id for one in every[:10])
            said = (
                f"say which: connection_id is one of {names}." if every else "make one with POST /api/v1/connections."
            )
            raise InvalidInput(f"There are {len(every)} connections to Operations1; {said}", field="connection_id")
        return every[0]

    @cached_property
    def webhooks(self) -> WebhookKind:
        """The kind of its hook sources."""
        house = self._house
        happenings = Happenings(house.store, house.clock)
        values = ValuesTold(happenings, house.readings, house.equipment, house.alerts)
        return WebhookKind(house.events, happenings, values, house.external_requests.profiles)
