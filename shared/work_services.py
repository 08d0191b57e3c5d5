"""What people did, and with which oven: the part of ``services.py`` that knows of work. Made when first needed."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.services import Services
    from shared.work.batches_import import BatchImport
    from shared.work.captures import Captures
    from shared.work.service_levels import ServiceLevels
    from shared.work.sessions import Sessions
    from shared.work.sessions_export import SessionExport
    from shared.work.work_orders import WorkOrders

__all__ = ["Work"]


class Work:
    """Records of work, besides tasks and batches themselves."""

    def __init__(self, house: Services) -> None:
        self._house = house

    @cached_property
    def sessions(self) -> Sessions:
        """Who worked through instructions or was helped from afar, for which order and with which oven."""
        from shared.work.sessions import Sessions
        from shared.work.sessions_alerts import AlertNotes

        house = self._house
        notes = AlertNotes(house.alerts, base_url=house.settings.base_url)
        return Sessions(
            house.store,
            house.equipment,
            house.readings,
            house.events,
            house.clock,
            base_url=house.settings.base_url,
            subscribers=lambda: (notes, *house.platforms.on_session),
        )

    @cached_property
    def orders(self) -> WorkOrders:
        """What is known of work orders."""
        from shared.work.work_orders import WorkOrders

        house = self._house
        return WorkOrders(self.sessions, house.tasks, house.batches, house.alerts, house.inbox)

    @cached_property
    def captures(self) -> Captures:
        """Copies of what was made during sessions."""
        from shared.work.captures import Captures

        house = self._house
        return Captures(self.sessions, lambda: house.capture_blobs, house.http, house.clock)

    @cached_property
    def exports(self) -> SessionExport:
        """Records as tables."""
        from shared.work.sessions_export import SessionExport

        house = self._house
        return SessionExport(house.store, lambda: house.export_blobs, house.clock)

    @cached_property
    def service_levels(self) -> ServiceLevels:
        """How soon help came."""
        from shared.work.service_levels import ServiceLevels

        house = self._house
        return ServiceLevels(house.store, self.sessions, house.alerts.get, house.audit, house.clock)

    @cached_property
    def batch_import(self) -> BatchImport:
        """What vendors document of batches."""
        from shared.collection.batch_imports import note_batch_import
        from shared.connectors.oauth import TokenCache
        from shared.connectors.rational_haccp import RationalHaccp
        from shared.work.batches_import import BatchImport
        from shared.work.batches_import_state import ImportMarks

        house = self._house
        return BatchImport(
            house.batches,
            ImportMarks(house.store),
            house.equipment,
            RationalHaccp(house.http, house.clock, TokenCache(house.clock)),
            house.targets,
            house.clock,
            noted=partial(note_batch_import, house.store),
        )
