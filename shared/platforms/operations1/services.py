"""What hangs together in this room, built when it is first needed: ``house.platforms.operations1``."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from shared.errors import InvalidInput
from shared.platforms.operations1.happenings import Happenings
from shared.platforms.operations1.hook_kind import WebhookKind
from shared.platforms.operations1.runs import answer_of
from shared.platforms.operations1.values_told import ValuesTold

if TYPE_CHECKING:
    from shared.platforms.connections import PlatformConnection
    from shared.platforms.operations1.acting import Acting
    from shared.platforms.operations1.connection import RestPlatform
    from shared.platforms.operations1.orders import Orders
    from shared.platforms.operations1.requests import ExternalRequests
    from shared.platforms.operations1.rest import RestClient
    from shared.platforms.operations1.runs import Runs
    from shared.platforms.operations1.starting import Starts
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

    @cached_property
    def requests(self) -> ExternalRequests:
        """A worker's instruction asks for a value."""
        from shared.platforms.operations1.requests import ExternalRequests

        house = self._house
        return ExternalRequests(
            house.store,
            house.readings,
            house.equipment,
            house.audit,
            house.inbox,
            house.clock,
            acting=lambda: self.acting,
        )

    @cached_property
    def runs(self) -> Runs:
        """What was begun because a worker asked."""
        from shared.platforms.operations1.runs import Runs

        return Runs(self._house.store, self._house.clock)

    @cached_property
    def starts(self) -> Starts:
        """Starting processes."""
        from shared.platforms.operations1.starting import Starts

        house = self._house
        return Starts(self.runs, lambda: house.control, house.readings, house.clock)

    @cached_property
    def acting(self) -> Acting:
        """The actions of request profiles."""
        from shared.platforms.operations1.acting import Acting
        from shared.platforms.operations1.calling import Callers
        from shared.platforms.operations1.machine_told import HubKnows, MachinesTold

        house = self._house
        shared_sets = house.equipment.shared_credentials
        callers = Callers(self.runs, house.http, house.vault, shared_sets, house.audit, house.clock)
        machines = MachinesTold(house.readings, house.clock, HubKnows(house.equipment, house.health, house.alerts))
        return Acting(self.starts, callers, machines, house.equipment, house.control)

    async def result(self, run_id: str) -> dict[str, Any]:
        """What became of something that was begun; the machine is asked if that is not known yet. Raises
        ``NotFound``."""
        run = (await self.starts.look(await self.runs.read(run_id))).document
        answer = answer_of(run, self._house.clock.now())
        return {
            "id": run_id,
            "status": "running" if run["status"] == "starting" else run["status"],
            "tag": run["tag"],
            "value": answer.value,
            "unit": answer.unit,
            "reason": answer.reason,
            "profile": run["profile"],
            "report_id": run["report"],
            "order_id": run.get("order"),
            "started_at": run["startedAt"],
            "changed_at": run.get("changedAt"),
        }

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
