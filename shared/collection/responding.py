"""Responses to alerts with everything they need plugged in: what writes to machines is a floor above the alerts."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from shared.alerts.response_acts import Acts
from shared.alerts.response_call import Calls
from shared.alerts.response_checks import ResponseChecks
from shared.alerts.response_ports import Tasks
from shared.alerts.response_rehearsal import ResponseRehearsal
from shared.alerts.response_work import ResponseWork
from shared.alerts.rules import AlertRules
from shared.audit.log import AuditLog
from shared.clock import Clock
from shared.collection.alert_writes import AlertWrites
from shared.collection.control import RemoteControl
from shared.equipment.registry import EquipmentRegistry
from shared.events import EventLog
from shared.messaging import Queue
from shared.outgoing.http import OutgoingHttp
from shared.secrets import Vault
from shared.settings import Settings
from shared.storage import DocumentStore

if TYPE_CHECKING:
    from shared.alerts.service import Alerts

__all__ = ["Responding"]


class House(Protocol):
    """What responses need of ``Services``; each is built when it is asked for."""

    @property
    def store(self) -> DocumentStore: ...
    @property
    def queue(self) -> Queue: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def http(self) -> OutgoingHttp: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def equipment(self) -> EquipmentRegistry: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def events(self) -> EventLog: ...
    @property
    def alert_rules(self) -> AlertRules: ...
    @property
    def alerts(self) -> Alerts: ...
    @property
    def tasks(self) -> Tasks: ...
    @property
    def control(self) -> RemoteControl: ...


class Responding:
    """Checking, doing and rehearsing."""

    def __init__(self, house: House) -> None:
        self._house = house

    @cached_property
    def checks(self) -> ResponseChecks:
        """What is checked when a rule is saved."""
        house = self._house
        return ResponseChecks(self._writes, house.http.targets, house.equipment.shared_credentials)

    @cached_property
    def _writes(self) -> AlertWrites:
        return AlertWrites(lambda: self._house.control)

    @cached_property
    def _acts(self) -> Acts:
        house = self._house
        calls = Calls(house.http, house.vault, house.equipment.shared_credentials)
        return Acts(self._writes, calls, lambda: house.tasks, lambda: house.events)

    @cached_property
    def work(self) -> ResponseWork:
        """Doing them."""
        house = self._house
        return ResponseWork(
            house.store,
            house.queue,
            house.alert_rules,
            self.checks,
            house.equipment,
            self._acts,
            house.audit,
            house.clock,
            alerts=lambda: house.alerts,
            events=lambda: house.events,
        )

    @cached_property
    def rehearsal(self) -> ResponseRehearsal:
        """Saying what they would do."""
        house = self._house
        return ResponseRehearsal(
            self._acts, self.checks, self.work.budget, house.audit, house.clock, base_url=house.settings.base_url
        )
