"""What is plugged together for innius, each made when it is first needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.platforms.innius.connection import InniusApi
    from shared.platforms.innius.keys import SigningKeys
    from shared.platforms.innius.notification import SignedNotifications
    from shared.platforms.innius.receiver import InniusKind
    from shared.platforms.innius.rest import InniusRest
    from shared.platforms.innius.telling import Telling
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

    @cached_property
    def keys(self) -> SigningKeys:
        """What our own webhooks are signed with."""
        from shared.platforms.innius.keys import SigningKeys

        house = self._house
        return SigningKeys(house.store, house.vault, house.audit, house.clock)

    @cached_property
    def notifications(self) -> SignedNotifications:
        """How our own webhooks are written."""
        from shared.platforms.innius.notification import SignedNotifications

        return SignedNotifications(self.keys)

    @cached_property
    def telling(self) -> Telling:
        """When our own webhooks are told, and of what."""
        from shared.platforms.innius.looking import Looking
        from shared.platforms.innius.telling import Telling

        house = self._house
        looking = Looking(lambda: house.alerts, lambda: house.readings, lambda: house.health, house.clock)
        return Telling(house.store, lambda: house.callbacks, lambda: house.equipment, looking, house.clock)

    @cached_property
    def rest(self) -> InniusRest:
        """innius's own API."""
        from shared.platforms.innius.rest import InniusRest

        return InniusRest(self._house.http, self._house.platforms.connections)

    @cached_property
    def platform(self) -> InniusApi:
        """Connections to it."""
        from shared.platforms.innius.connection import InniusApi

        return InniusApi(self._house.targets, self.rest)
