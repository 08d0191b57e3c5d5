"""What a relay needs of the hub. Two ways there: ``http_uplink.py``, and a queue of Service Bus for the readings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shared.errors import OvenbridgeError
from shared.relay.messages import Assignments, Command, CommandAnswer, Heartbeat, InboundBatch, InboundTaken

__all__ = ["HubAway", "HubRefused", "HubShut", "Uplink", "UplinkError"]


class UplinkError(OvenbridgeError):
    """The hub did not take it. Nothing is forgotten here for that."""

    status = 502
    title = "Hub not reached"

    def __init__(self, detail: str, *, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        """Seconds the hub asked us to wait; 0: it did not say."""


class HubAway(UplinkError):
    """It could not be reached, or cannot work right now: try again."""


class HubShut(UplinkError):
    """It does not let this relay in: a person has to look at RELAY_ID and RELAY_TOKEN. Trying again is cheap."""


class HubRefused(UplinkError):
    """It will never take this message, whoever sends it how often."""


class Uplink(Protocol):
    """The way to the hub. Every method is bounded in time and raises :class:`UplinkError`."""

    async def assignments(self, etag: str | None) -> Assignments | None:
        """What there is to do; ``None``: it is still what has this etag."""
        ...

    async def send(self, batch: bytes, message_id: str) -> None:
        """Hand over a packed ``ReadingBatch``; when this returns the hub has it durably."""
        ...

    async def heartbeat(self, beat: Heartbeat) -> None:
        """Say that we are alive."""
        ...

    async def commands(self, wait_seconds: float) -> Sequence[Command]:
        """What shall be done now; waits for it up to so many seconds (at most 20)."""
        ...

    async def answer(self, answer: CommandAnswer) -> None:
        """Say what came of a command."""
        ...

    async def inbound(self, batch: InboundBatch) -> InboundTaken:
        """Hand over what came in on site; what is named in the answer may be forgotten."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
