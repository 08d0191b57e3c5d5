"""Which platforms this deployment knows: whose messages are understood, and whose APIs are called.

Part of ``services.py``, in a file of its own because it grows with every platform. Each is made when first needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.events import Subscriber
    from shared.inbox.kinds import Kind, Kinds
    from shared.platforms.connections import Platform, PlatformConnections
    from shared.platforms.force_bridge.services import ForceBridgeRoom
    from shared.platforms.innius.services import Innius
    from shared.platforms.operations1.services import Operations1
    from shared.platforms.power_automate.services import PowerAutomateRoom
    from shared.platforms.records.services import Records
    from shared.platforms.scope_ar.services import ScopeArRoom
    from shared.services import Services
    from shared.work.sessions import RecordSubscriber

__all__ = ["Platforms"]


class Platforms:
    """What is plugged in for platforms."""

    def __init__(self, house: Services) -> None:
        self._house = house

    # Receiving ---------------------------------------------------------------------------------------------------

    @cached_property
    def kinds(self) -> Kinds:
        """The kinds of senders, by the name a hook source has for them."""
        from shared.inbox.kinds import Kinds

        return Kinds(
            {
                "generic": self._generic,
                "force_bridge": lambda: self.force_bridge.posted,
                "force_bridge_mqtt": lambda: self.force_bridge.fetched,
                "operations1": lambda: self.operations1.webhooks,
                "innius": lambda: self.innius.kind,
                "scope_ar": lambda: self.scope_ar.kind,
            }
        )

    @cached_property
    def force_bridge(self) -> ForceBridgeRoom:
        """A plant's manufacturing execution, both ways."""
        from shared.platforms.force_bridge.services import ForceBridgeRoom

        return ForceBridgeRoom(self._house)

    @cached_property
    def operations1(self) -> Operations1:
        """Work instructions."""
        from shared.platforms.operations1.services import Operations1

        return Operations1(self._house)

    @cached_property
    def innius(self) -> Innius:
        """States of machines and sensors, and tasks, both ways."""
        from shared.platforms.innius.services import Innius

        return Innius(self._house)

    @cached_property
    def scope_ar(self) -> ScopeArRoom:
        """Sessions and calls of WorkLink."""
        from shared.platforms.scope_ar.services import ScopeArRoom

        return ScopeArRoom(self._house)

    @cached_property
    def power_automate(self) -> PowerAutomateRoom:
        """Flows that are started by what happens."""
        from shared.platforms.power_automate.services import PowerAutomateRoom

        return PowerAutomateRoom(self._house)

    def _generic(self) -> Kind:
        from shared.inbox.generic import GenericKind

        return GenericKind(self._house.events)

    # Calling -----------------------------------------------------------------------------------------------------

    @cached_property
    def connections(self) -> PlatformConnections:
        """Where platforms have their own APIs, and how we speak to them."""
        from shared.platforms.connections import PlatformConnections

        house = self._house
        return PlatformConnections(house.store, house.vault, house.audit, house.clock, self._apis())

    def _apis(self) -> dict[str, Callable[[], Platform]]:
        """The platforms that can be connected to, by name."""
        return {
            "force_bridge": lambda: self.force_bridge.platform,
            "innius": lambda: self.innius.platform,
            "operations1": lambda: self.operations1.platform,
            "scope_ar": lambda: self.scope_ar.platform,
            **self.records.systems,
        }

    @cached_property
    def subscribers(self) -> tuple[Subscriber, ...]:
        """Who is handed every event."""
        return (self.force_bridge.outbound, self.innius.telling)

    # Recording ---------------------------------------------------------------------------------------------------

    @cached_property
    def records(self) -> Records:
        """Systems of record, where sessions and calls are attached to their work orders."""
        from shared.platforms.records.services import Records

        return Records(self._house)

    @cached_property
    def on_session(self) -> tuple[RecordSubscriber, ...]:
        """Who follows every revision of a session or a call, besides those who subscribe to its events."""
        return (self.records.keeping,)
