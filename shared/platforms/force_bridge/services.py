"""FORCE Bridge with everything it needs plugged in."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from shared.errors import NotFound
from shared.platforms.connections import PlatformConnection, Secrets
from shared.platforms.force_bridge.api import ForceApi
from shared.platforms.force_bridge.kind import FETCHED, POSTED, NotificationKind
from shared.platforms.force_bridge.platform import ForcePlatform

if TYPE_CHECKING:
    from shared.inbox.source import HookSource
    from shared.platforms.force_bridge.context import ProductionContext
    from shared.platforms.force_bridge.keeper import Keeper
    from shared.platforms.force_bridge.outbound import Outbound
    from shared.services import Services

__all__ = ["ForceBridgeRoom"]


class ForceBridgeRoom:
    """Both directions."""

    def __init__(self, house: Services) -> None:
        self._house = house

    @cached_property
    def posted(self) -> NotificationKind:
        """Notifications that are posted to us."""
        return self._kind(POSTED)

    @cached_property
    def fetched(self) -> NotificationKind:
        """Notifications that wait at a broker."""
        return self._kind(FETCHED)

    def _kind(self, name: str) -> NotificationKind:
        from shared.platforms.force_bridge.marks import Marks

        house = self._house
        return NotificationKind(house.events, Marks(house.store, house.clock), lambda: self.context, name=name)

    @cached_property
    def platform(self) -> ForcePlatform:
        """What a connection to it needs."""
        house = self._house
        return ForcePlatform(house.targets, self._api_with, knows_relay=house.relays.exists, source_of=self._source)

    def _api_with(self, credentials: Secrets) -> ForceApi:
        async def given(connection: PlatformConnection, fresh: bool) -> Secrets:
            return credentials

        return ForceApi(self._house.http, given, self._house.clock, via=lambda: self._house.relay_hub.calls)

    @cached_property
    def api(self) -> ForceApi:
        """Calling servers."""

        async def kept(connection: PlatformConnection, fresh: bool) -> Secrets:
            return await self._house.platforms.connections.credentials(connection, fresh=fresh)

        return ForceApi(self._house.http, kept, self._house.clock, via=lambda: self._house.relay_hub.calls)

    async def _source(self, source_id: str) -> HookSource | None:
        try:
            return await self._house.hook_sources.get(source_id)
        except NotFound:
            return None

    @cached_property
    def context(self) -> ProductionContext:
        """Workplaces' states as facts of machines."""
        from shared.platforms.force_bridge.context import ProductionContext

        house = self._house
        return ProductionContext(
            house.platforms.connections, self.api, house.contexts, house.clock, read_soon=self._read_soon
        )

    async def _read_soon(self, equipment_id: str) -> None:
        try:
            equipment, _ = await self._house.equipment.get(equipment_id)
        except NotFound:
            return
        if equipment.iot_enabled and equipment.supports_realtime and equipment.polled_from == "cloud":
            await self._house.polling.soon(equipment_id)

    @cached_property
    def keeper(self) -> Keeper:
        """Our registrations there."""
        from shared.platforms.force_bridge.keeper import Keeper

        house = self._house
        return Keeper(
            house.store,
            house.platforms.connections,
            self.api,
            house.hook_sources,
            lambda: house.events,
            house.clock,
            base_url=house.settings.base_url,
            resync=self.context.resync,
        )

    @cached_property
    def outbound(self) -> Outbound:
        """What we tell it."""
        from shared.platforms.force_bridge.outbound import Outbound

        house = self._house
        return Outbound(
            house.store,
            house.queue,
            lambda: house.platforms.connections,
            lambda: self.api,
            house.clock,
            alerts=lambda: house.alerts,
        )
