"""The hub's half of the relay, plugged together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shared.relay.hub_assignments import RelayAssignments
from shared.relay.hub_calls import CallKey, PlantCalls, fill_calls
from shared.relay.hub_commands import CommandBroker, Fill
from shared.relay.hub_control import PlantReach
from shared.relay.hub_delivery import Destinations, PlantDelivery, fill_with
from shared.relay.hub_devices import PlantDevices
from shared.relay.hub_inbound import RelayInbound
from shared.relay.hub_intake import RelayIntake
from shared.relay.hub_registry import Relays
from shared.relay.hub_silence import RelayWatch
from shared.relay.messages import CommandKind

if TYPE_CHECKING:
    from shared.audit.log import AuditLog
    from shared.clock import Clock
    from shared.collection.ingest import Ingest
    from shared.equipment.registry import EquipmentRegistry
    from shared.events import EventLog
    from shared.inbox.hooks import Hooks
    from shared.messaging import Queue
    from shared.settings import Settings
    from shared.storage import DocumentStore

__all__ = ["RelayHub"]


class RelayHub:
    """What the hub does for and with its relays. Each part is made when it is asked for."""

    def __init__(
        self,
        registry: Relays,
        store: DocumentStore,
        queue: Queue,
        equipment: EquipmentRegistry,
        ingest: Ingest,
        events: EventLog,
        audit: AuditLog,
        clock: Clock,
        settings: Settings,
        *,
        profiles: Callable[[], Awaitable[Mapping[str, Mapping[str, Any]]]],
        destinations: Destinations,
        hooks: Hooks,
        call_key: CallKey,
    ) -> None:
        self.registry = registry
        self._store = store
        self._queue = queue
        self._equipment = equipment
        self._ingest = ingest
        self._events = events
        self._audit = audit
        self._clock = clock
        self._settings = settings
        self._profiles = profiles
        self._destinations = destinations
        self._hooks = hooks
        self._call_key = call_key

    @cached_property
    def assignments(self) -> RelayAssignments:
        """What each relay has to do."""
        return RelayAssignments(
            self._equipment,
            self._profiles,
            self.registry,
            timeout_seconds=self._settings.poll_deadline_seconds,
            hook_sources=self.inbound.assigned,
        )

    @cached_property
    def intake(self) -> RelayIntake:
        """What the relays read."""
        return RelayIntake(self._queue, self.registry, self._equipment, self._ingest, self._audit, self._clock)

    @cached_property
    def inbound(self) -> RelayInbound:
        """What comes in at the relays."""
        return RelayInbound(self._hooks.sources, self._hooks.kinds, self._hooks.inbox, self._clock)

    @cached_property
    def watch(self) -> RelayWatch:
        """Whether the relays are alive."""
        return RelayWatch(self.registry, self._events, self._clock, base_url=self._settings.base_url)

    @cached_property
    def commands(self) -> CommandBroker:
        """What is wanted of the relays."""
        fills: dict[CommandKind, Fill] = {"deliver": fill_with(self._destinations), "call": fill_calls(self._call_key)}
        return CommandBroker(self._store, self.registry, self._clock, queue=self._queue, fills=fills)

    @cached_property
    def devices(self) -> PlantDevices:
        """Machines of the plants, asked through their relays."""
        return PlantDevices(self.commands, deadline_seconds=self._settings.poll_deadline_seconds)

    @cached_property
    def reach(self) -> PlantReach:
        """The way of orders to machines of the plants."""
        return PlantReach(self.commands, seconds=self._settings.poll_deadline_seconds / 2)

    @cached_property
    def delivery(self) -> PlantDelivery:
        """The way of notifications to receivers in the plants."""
        return PlantDelivery(self.commands, self.registry)

    @cached_property
    def calls(self) -> PlantCalls:
        """The way of requests to platforms in the plants."""
        return PlantCalls(self.commands, self._call_key)
