"""What goes wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.wire.cosmos.protocol import Call, CosmosError

__all__ = ["Fault", "Faults"]

_KNOWN: dict[int, tuple[str, int, str]] = {
    401: ("Unauthorized", 0, "The input authorization token can't serve the request."),
    403: ("Forbidden", 5300, "Request blocked by Auth."),
    408: ("RequestTimeout", 0, "Request timed out. More info: https://aka.ms/cosmosdb-tsg-request-timeout"),
    410: ("Gone", 1002, "The requested resource is no longer available at the server."),
    429: (
        "429",
        3200,
        "Request rate is large. More Request Units may be needed, so no changes were made. Please retry later.",
    ),
    449: ("RetryWith", 0, "Conflicting request to resource has been attempted. Retry to avoid conflicts."),
    500: ("InternalServerError", 0, "Unknown server error occurred when processing this request."),
    503: (
        "ServiceUnavailable",
        0,
        "Service is currently unavailable. More info: https://aka.ms/cosmosdb-tsg-service-unavailable",
    ),
}


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong, for the requests it fits. What is not given fits all."""

    operation: str | None = None
    """As in the journal: create, read, upsert, replace, patch, delete, query, batch, ..."""
    container: str | None = None
    item_id: str | None = None
    status: int | None = None
    """Answer with this status instead of doing anything."""
    substatus: int | None = None
    retry_after_ms: int = 0
    """With a 429 or 449: how long to wait, says the answer."""
    delay_seconds: float = 0.0
    """Wait before anything else."""
    cut: Literal["before", "after"] | None = None
    """Cut the connection before the request is handled, or after it has been, with the answer lost."""
    truncate: bool = False
    """Send only half of the answer's body, then cut."""
    times: int | None = 1
    """How often; ``None``: until it is cleared."""
    skip: int = 0
    """Let so many fitting requests pass first."""

    def fits(self, call: Call) -> bool:
        """Is it meant?"""
        return (
            self.operation in (None, call.operation)
            and self.container in (None, call.container)
            and self.item_id in (None, call.item_id)
        )

    def error(self) -> CosmosError:
        """The refusal, for ``status``."""
        status = self.status or 500
        code, substatus, message = _KNOWN.get(status, ("Error", 0, "An injected fault."))
        headers = {"x-ms-retry-after-ms": str(self.retry_after_ms)} if status in (429, 449) else {}
        chosen = substatus if self.substatus is None else self.substatus
        return CosmosError(status, code, message, substatus=chosen, headers=headers)


class Faults:
    """The faults that are to come."""

    def __init__(self) -> None:
        self.pending: list[Fault] = []

    def take(self, call: Call) -> Fault | None:
        """The first that fits this call, counted down."""
        for fault in self.pending:
            if not fault.fits(call):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.pending.remove(fault)
            return fault
        return None
