"""What is plugged together for systems of record, each made when it is first needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.platforms.connections import Platform
    from shared.platforms.records.calling import SystemCalls
    from shared.platforms.records.desk import RecordDesk
    from shared.platforms.records.work import RecordKeeping
    from shared.services import Services

__all__ = ["Records"]


class Records:
    """Systems of record."""

    def __init__(self, house: Services) -> None:
        self._house = house

    @cached_property
    def systems(self) -> Mapping[str, Callable[[], Platform]]:
        """The kinds of systems, by the name of their platform; each is made once, for its tokens' sake."""
        made: dict[str, Platform] = {}

        def of(name: str) -> Callable[[], Platform]:
            def get() -> Platform:
                if name not in made:
                    made[name] = self._make(name)
                return made[name]

            return get

        return {name: of(name) for name in ("rest_record", "salesforce", "dataverse")}

    @cached_property
    def _calls(self) -> SystemCalls:
        from shared.platforms.records.calling import SystemCalls

        return SystemCalls(self._house.http, self._house.clock)

    def _make(self, name: str) -> Platform:
        targets = self._house.targets
        if name == "salesforce":
            from shared.platforms.records.salesforce import Salesforce

            return Salesforce(self._calls, targets)
        if name == "dataverse":
            from shared.platforms.records.dataverse import Dataverse

            return Dataverse(self._calls, targets)
        from shared.platforms.records.rest import RestRecord

        return RestRecord(self._calls, targets)

    @cached_property
    def keeping(self) -> RecordKeeping:
        """Keeping them informed."""
        from shared.platforms.records.work import RecordKeeping

        house = self._house
        return RecordKeeping(
            house.store,
            house.queue,
            house.platforms.connections,
            lambda: house.work.sessions,
            house.clock,
            base_url=house.settings.base_url,
        )

    @cached_property
    def desk(self) -> RecordDesk:
        """What people see and do about it."""
        from shared.platforms.records.desk import RecordDesk

        house = self._house
        return RecordDesk(
            house.store,
            house.queue,
            house.platforms.connections,
            lambda: house.work.sessions,
            house.audit,
            house.clock,
        )
