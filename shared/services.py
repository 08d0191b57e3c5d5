"""The one place that decides who is plugged into whom; ``backends.py`` decides which backend runs.

Every service is built on first use, once per process, inside the running loop; heavy libraries are imported where
they are needed. Handlers call :func:`services`; tests put their own in place with :func:`use`.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from shared.backends import Backends

if TYPE_CHECKING:
    from shared.access.identify import Access
    from shared.alerts.response_planning import ResponsePlanning
    from shared.alerts.rules import AlertRules
    from shared.alerts.service import Alerts
    from shared.audit.anchoring import Anchoring
    from shared.audit.log import AuditLog
    from shared.audit.proof import AuditProof
    from shared.audit.shelf import AnchorShelf
    from shared.callbacks.delivery import Deliveries
    from shared.callbacks.registry import Callbacks
    from shared.collection.control import RemoteControl
    from shared.collection.health import ConnectionHealth
    from shared.collection.ingest import Ingest
    from shared.collection.poll import Polling
    from shared.collection.responding import Responding
    from shared.collection.summary import ConnectionSummary
    from shared.connectors import Connectors
    from shared.connectors.opc_ua_application import OpcUaApplication
    from shared.equipment.registry import EquipmentRegistry
    from shared.events import EventLog
    from shared.inbox.handling import InboundWork
    from shared.inbox.hooks import Hooks
    from shared.inbox.service import Inbox
    from shared.inbox.sources import HookSources
    from shared.platform_services import Platforms
    from shared.platforms.force_bridge.lan import LanNotifications
    from shared.platforms.operations1.local_requests import LocalRequests
    from shared.platforms.operations1.requests import ExternalRequests
    from shared.relay.hub import RelayHub
    from shared.relay.hub_registry import Relays
    from shared.relay.plant_inbound import FetchLan, PlantInbound
    from shared.relay.plant_relay import PlantRelay
    from shared.telemetry.context import MachineContexts
    from shared.telemetry.readings import Readings
    from shared.work.batches import Batches
    from shared.work.tasks import Tasks
    from shared.work_services import Work

__all__ = ["Services", "services", "use"]

log = logging.getLogger("ovenbridge.settings")


class Services(Backends):
    """Everything a handler may need, plugged together."""

    async def close(self) -> None:
        """Let go of connections and files, as far as they were opened. Never needed for durability."""
        blobs = ("anchor_blobs", "capture_blobs", "export_blobs")
        for name in ("plant", "connectors", "http", "vault", *blobs, "_queue", "store", "identity"):
            if name in self.__dict__:
                await self.__dict__[name].close()

    # Floor 2 -----------------------------------------------------------------------------------------------------

    @cached_property
    def audit(self) -> AuditLog:
        """Who changed what."""
        from shared.audit.log import AuditLog

        return AuditLog(self.store, self.clock)

    @cached_property
    def _anchor_shelf(self) -> AnchorShelf:
        from shared.audit.shelf import AnchorShelf

        return AnchorShelf(self.anchor_blobs)

    @cached_property
    def anchoring(self) -> Anchoring:
        """Noting where the audit log stands, where nobody can rewrite it."""
        from shared.audit.anchoring import Anchoring

        return Anchoring(self.store, self._anchor_shelf, self.clock)

    @cached_property
    def audit_proof(self) -> AuditProof:
        """Is the audit log what was written?"""
        from shared.audit.proof import AuditProof

        return AuditProof(self.audit, self.anchoring, self._anchor_shelf, self.clock)

    @cached_property
    def events(self) -> EventLog:
        """What happened, and telling it."""
        from shared.events import EventLog

        return EventLog(self.store, self.clock, (self.callbacks, self.response_planning, *self.platforms.subscribers))

    @cached_property
    def connectors(self) -> Connectors:
        """Ways to read a device."""
        from shared.connectors import Connectors

        return Connectors(self.http, self.clock, self.opc_ua_application)

    @cached_property
    def opc_ua_application(self) -> OpcUaApplication:
        """Who we are to OPC UA servers."""
        from shared.connectors.opc_ua_application import OpcUaApplication

        return OpcUaApplication(self.vault, self.clock)

    # Floor 3 -----------------------------------------------------------------------------------------------------

    @cached_property
    def access(self) -> Access:
        """Who is calling."""
        from shared.access.identify import Access

        return Access(self.store, self.settings, self.audit, self.clock)

    @cached_property
    def equipment(self) -> EquipmentRegistry:
        """The machines."""
        from shared.equipment.registry import EquipmentRegistry

        return EquipmentRegistry(
            self.store, self.vault, self.audit, self.targets, self.clock, knows_relay=self.relays.exists
        )

    @cached_property
    def readings(self) -> Readings:
        """What the machines said."""
        from shared.telemetry.readings import Readings

        return Readings(self.store, self.clock, retention_days=self.settings.readings_retention_days)

    @cached_property
    def contexts(self) -> MachineContexts:
        """What other systems know of the machines."""
        from shared.telemetry.context import MachineContexts

        return MachineContexts(self.store, self.clock)

    @cached_property
    def inbox(self) -> Inbox:
        """What came in from outside, as it came."""
        from shared.inbox.service import Inbox

        return Inbox(self.store, self.queue, self.audit, self.clock)

    @cached_property
    def hook_sources(self) -> HookSources:
        """Who may call in."""
        from shared.inbox.sources import HookSources

        return HookSources(self.store, self.vault, self.audit, self.clock)

    @cached_property
    def hooks(self) -> Hooks:
        """The door for what calls in."""
        from shared.inbox.hooks import Hooks

        return Hooks(self.hook_sources, self.inbox, self.platforms.kinds, self.clock)

    @cached_property
    def inbound(self) -> InboundWork:
        """What the messages in the inbox lead to."""
        from shared.inbox.handling import InboundWork

        return InboundWork(self.store, self.inbox, self.hook_sources, self.clock, kinds=self.platforms.kinds)

    @cached_property
    def platforms(self) -> Platforms:
        """The platforms we receive from and call."""
        from shared.platform_services import Platforms

        return Platforms(self)

    @cached_property
    def lan_notifications(self) -> LanNotifications:
        """Notifications that wait at brokers."""
        from shared.platforms.force_bridge.lan import LanNotifications

        return LanNotifications(self.hook_sources, self.inbox, self.targets, self.clock)

    # Floor 4 -----------------------------------------------------------------------------------------------------

    @cached_property
    def callbacks(self) -> Callbacks:
        """Who wants to be told; the subscriber of all events."""
        from shared.callbacks.registry import Callbacks

        return Callbacks(
            self.store,
            self.queue,
            self.vault,
            self.audit,
            self.targets,
            self.clock,
            knows_relay=self.relays.exists,
        )

    @cached_property
    def deliveries(self) -> Deliveries:
        """Telling them."""
        from shared.callbacks import standard
        from shared.callbacks.delivery import Deliveries
        from shared.platforms.force_bridge.notification import render
        from shared.platforms.power_automate import flat

        return Deliveries(
            self.store,
            self.queue,
            self.http,
            self.callbacks,
            self.audit,
            self.clock,
            dialects={
                "force": render,
                "standard": standard.render,
                "flat": flat.render,
                "innius": self.platforms.innius.notifications.render,
            },
            base_url=self.settings.base_url,
            timeout_seconds=self.settings.delivery_timeout_seconds,
            retry_seconds=self.settings.delivery_retry_seconds,
            via=lambda: self.relay_hub.delivery,
        )

    @cached_property
    def alert_rules(self) -> AlertRules:
        """What counts as wrong."""
        from shared.alerts.rules import AlertRules

        return AlertRules(self.store, self.audit, self.clock, checks=lambda: self.responding.checks)

    @cached_property
    def alerts(self) -> Alerts:
        """What is wrong now, and who has seen it."""
        from shared.alerts.service import Alerts

        return Alerts(
            self.store,
            self.alert_rules,
            self.readings,
            self.equipment,
            self.events,
            self.audit,
            self.clock,
            base_url=self.settings.base_url,
        )

    @cached_property
    def response_planning(self) -> ResponsePlanning:
        """What an alert's rule wants done; a subscriber of all events."""
        from shared.alerts.response_planning import ResponsePlanning

        return ResponsePlanning(self.store, self.queue, self.alert_rules, self.equipment, self.clock)

    @cached_property
    def responding(self) -> Responding:
        """Checking it, doing it, saying what would be done."""
        from shared.collection.responding import Responding

        return Responding(self)

    @cached_property
    def tasks(self) -> Tasks:
        """What somebody is to do."""
        from shared.work.tasks import Tasks

        return Tasks(self.store, self.equipment, self.events, self.audit, self.clock, base_url=self.settings.base_url)

    @cached_property
    def batches(self) -> Batches:
        """What was baked."""
        from shared.work.batches import Batches

        return Batches(
            self.store,
            self.equipment,
            self.events,
            self.audit,
            self.clock,
            base_url=self.settings.base_url,
            retention_days=self.settings.batches_retention_days,
        )

    @cached_property
    def work(self) -> Work:
        """What else was done: sessions, calls, imports of batches."""
        from shared.work_services import Work

        return Work(self)

    # Floor 5 -----------------------------------------------------------------------------------------------------

    @cached_property
    def health(self) -> ConnectionHealth:
        """Whether the machines can be reached."""
        from shared.collection.health import ConnectionHealth

        return ConnectionHealth(self.store, self.clock)

    @cached_property
    def ingest(self) -> Ingest:
        """The one way every reading takes."""
        from shared.collection.ingest import Ingest

        return Ingest(self.readings, self.alerts, self.health, self.events, contexts=self.contexts)

    @cached_property
    def polling(self) -> Polling:
        """Planning polls and reading devices."""
        from shared.collection.poll import Polling

        return Polling(
            self.store,
            self.queue,
            self.equipment,
            self.connectors,
            self.health,
            self.ingest,
            self.clock,
            deadline_seconds=self.settings.poll_deadline_seconds,
        )

    @cached_property
    def control(self) -> RemoteControl:
        """Writing to machines."""
        from shared.collection.control import RemoteControl

        return RemoteControl(
            self.equipment,
            self.connectors,
            self.audit,
            self.clock,
            deadline_seconds=self.settings.poll_deadline_seconds,
            through_relay=lambda: self.relay_hub.reach,
        )

    @cached_property
    def connection_summary(self) -> ConnectionSummary:
        """The hourly lines of the connection log."""
        from shared.collection.summary import ConnectionSummary

        return ConnectionSummary(self.readings, self.equipment, self.health)

    # Floor 6: relays ---------------------------------------------------------------------------------------------

    @cached_property
    def relays(self) -> Relays:
        """The relays in the plants, as the hub knows them."""
        from shared.relay.hub_keys import RelayKeys
        from shared.relay.hub_registry import Relays

        return Relays(self.store, self.access, self.audit, self.clock, keys=RelayKeys(lambda: self.vault))

    @cached_property
    def relay_hub(self) -> RelayHub:
        """What the hub does for and with its relays."""
        from shared.relay.hub import RelayHub
        from shared.relay.hub_calls import CallKey

        return RelayHub(
            self.relays,
            self.store,
            self.queue,
            self.equipment,
            self.ingest,
            self.events,
            self.audit,
            self.clock,
            self.settings,
            profiles=self.external_requests.profiles.every,
            destinations=self.callbacks.sealed.destination,
            hooks=self.hooks,
            call_key=CallKey(lambda: self.vault),
        )

    @cached_property
    def plant(self) -> PlantRelay:
        """The relay that this process is, in the relay app."""
        from shared.relay.plant_start import plant_relay

        return plant_relay(
            self.settings,
            self.clock,
            connectors=lambda: self.connectors,
            vault=lambda: self.vault,
            http=lambda: self.http,
            fetcher=self._lan_fetcher,
            queue=(lambda: self._queue) if self.settings.azure.service_bus.wanted else None,
            opc_ua=lambda: self.opc_ua_application,
        )

    def _lan_fetcher(self, inbound: PlantInbound) -> FetchLan:
        """Takes what waits at brokers on a relay's own network."""
        from shared.platforms.force_bridge.lan import LanNotifications

        at_hand = timedelta()  # the assignments are in memory
        return LanNotifications(inbound.sources, inbound, self.targets, self.clock, known_for=at_hand).fetch

    # Floor 6: platforms ------------------------------------------------------------------------------------------

    @cached_property
    def external_requests(self) -> ExternalRequests:
        """A worker's instruction asks for a value."""
        return self.platforms.operations1.requests

    @cached_property
    def local_requests(self) -> LocalRequests:
        """The same on a relay, without the hub."""
        from shared.platforms.operations1.local_requests import LocalRequests

        return LocalRequests(self.plant.request_profile, self.plant.latest, self.clock)


_services: Services | None = None


def services() -> Services:
    """The services of this process, built from the environment on first use."""
    global _services
    if _services is None:
        from shared.settings import Settings

        settings = Settings.as_far_as_usable()
        if settings.problem:
            log.error("Nothing can be done with these settings: %s", settings.problem)
        _services = Services(settings)
    return _services


def use(replacement: Services | None) -> None:
    """Put other services in place (``None``: build anew from the environment); for tests and the local host."""
    global _services
    _services = replacement
