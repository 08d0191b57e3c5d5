"""The hub through Service Bus: readings straight into the queue that the hub reads, commands out of the relay's own.

Everything else goes over HTTPS as ever. So readings leave the plant while the hub itself is away, and no call stands
open for commands.

What if the process dies here? After the queue took a batch and before the spool forgot it: it is sent again under the
same message id, and the queue drops it. After a command was fetched: its message comes again, and the hub gives out no
command twice, so that nothing is left to be done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from shared.errors import InvalidInput, PayloadTooLarge, Unavailable
from shared.messaging import Outgoing
from shared.relay.messages import (
    MAX_COMMANDS,
    Assignments,
    Command,
    CommandAnswer,
    Heartbeat,
    InboundBatch,
    InboundTaken,
    Wake,
    unpack,
)
from shared.relay.signing import SIGNATURE, key_of
from shared.relay.uplink import HubAway, HubRefused, HubShut, UplinkError
from shared.topology import topology

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.messaging import Queue, QueueReceiver, Received
    from shared.relay.http_uplink import HttpUplink

__all__ = ["QueueUplink"]

log = logging.getLogger("ovenbridge.relay")

QUEUE = "relay-ingest"
AHEAD = timedelta(minutes=4)
"""A clock that is further ahead keeps its readings here: the hub takes none from more than five minutes ahead."""

T = TypeVar("T")


class QueueUplink:
    """Implements :class:`shared.relay.uplink.Uplink`."""

    def __init__(
        self, http: HttpUplink, queue: Queue, receiver: QueueReceiver, *, relay_id: str, token: str, clock: Clock
    ) -> None:
        """Args:
        http: for everything but readings and waiting for commands.
        queue: where readings are sent; not closed here.
        receiver: where the relay's own queue is read.
        relay_id: as the hub registered it.
        token: the relay's own: batches are signed with a key made of it.
        clock: of this machine.
        """
        self._http = http
        self._queue = queue
        self._receiver = receiver
        self._token = token
        self._clock = clock
        self._own_queue = topology().commands_of(relay_id)
        self._commands_by: str | None = None
        """``None``: the hub has not said since the start."""
        self._shut: HubShut | None = None
        self._ahead = timedelta()
        self._held: dict[str, Received] = {}
        """Messages under lock whose commands are being done, by command."""

    async def assignments(self, etag: str | None) -> Assignments | None:
        """See the port. The first time in full: where commands are waited for stands there."""
        found = await self._noted(self._http.assignments(None if self._commands_by is None else etag))
        if found is None:
            return None
        self._commands_by = found.commands_by
        return None if found.etag == etag else found

    async def send(self, batch: bytes, message_id: str) -> None:
        """See the port. Nothing is sent that the hub would not believe: not with a token that it refuses, and not with
        times of the future."""
        if self._shut is not None:
            raise HubShut(f"Readings wait here. {self._shut.detail}")
        if self._ahead > AHEAD:
            raise HubAway(
                f"The clock of this machine is {self._ahead.total_seconds():.0f} s ahead of the hub's: set it right "
                "(NTP). Readings wait here until then."
            )
        try:
            properties = {SIGNATURE: key_of(self._token).sign(batch)}
        except InvalidInput as error:
            raise HubShut(error.detail) from error
        try:
            await self._queue.send(QUEUE, [Outgoing(batch, message_id, properties=properties)])
        except InvalidInput as error:
            raise HubRefused(error.detail) from error
        except Unavailable as error:
            raise HubAway(error.detail) from error

    async def heartbeat(self, beat: Heartbeat) -> None:
        """See the port."""
        await self._noted(self._http.heartbeat(beat))

    async def commands(self, wait_seconds: float) -> Sequence[Command]:
        """See the port."""
        if self._commands_by != "queue":
            return await self._http.commands(wait_seconds)
        woken = await self._woken(wait_seconds)
        if not woken:
            return ()
        try:
            commands = await self._http.commands(0)
        except UplinkError:
            for received in woken.values():
                await self._settle("abandon", received)
            raise
        given = {command.id for command in commands}
        for command_id, received in woken.items():
            if command_id in given:
                self._held[command_id] = received
            else:
                # Given out before, to us, or too old: the hub knows, and whoever asked has heard.
                await self._settle("complete", received)
        return commands

    async def answer(self, answer: CommandAnswer) -> None:
        """See the port. Only when the hub has the answer is the message done with."""
        await self._http.answer(answer)
        received = self._held.pop(answer.id, None)
        if received is not None:
            await self._settle("complete", received)

    async def inbound(self, batch: InboundBatch) -> InboundTaken:
        """See the port."""
        return await self._http.inbound(batch)

    async def close(self) -> None:
        """See the port."""
        await self._http.close()

    # Inside ------------------------------------------------------------------------------------------------------

    async def _woken(self, wait_seconds: float) -> dict[str, Received]:
        """Messages for us, under lock, by command."""
        try:
            async with asyncio.timeout(wait_seconds):
                found = await self._receiver.receive(self._own_queue, MAX_COMMANDS)
        except TimeoutError:
            return {}
        except Unavailable as error:
            raise HubAway(error.detail) from error
        woken: dict[str, Received] = {}
        for received in found:
            try:
                wake = unpack(Wake, received.body)
            except (InvalidInput, PayloadTooLarge) as error:
                log.error("A message in %s is none for a relay: %s", self._own_queue, error.detail)
                await self._settle("dead_letter", received, error.detail)
                continue
            if wake.id in woken or self._held.pop(wake.id, None) is not None:  # its lock ran out: it is being done
                await self._settle("complete", received)
            else:
                woken[wake.id] = received
        return woken

    async def _settle(self, how: str, received: Received, *words: str) -> None:
        """Best effort: a message that is not settled comes again, and finds nothing left to be done."""
        try:
            await getattr(self._receiver, how)(self._own_queue, received, *words)
        except Unavailable as error:
            log.info("A message in %s could not be settled and comes again: %s", self._own_queue, error.detail)

    async def _noted(self, call: Awaitable[T]) -> T:
        """Whether the hub lets us in, and what time it has."""
        try:
            done = await call
        except HubShut as error:
            self._shut = error
            raise
        self._shut = None
        if self._http.hub_date is not None:
            self._ahead = self._clock.now() - _moment(self._http.hub_date, self._clock)
        return done


def _moment(date: str, clock: Clock) -> datetime:
    try:
        found = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return clock.now()
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
