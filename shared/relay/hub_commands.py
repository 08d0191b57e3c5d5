"""Commands for relays: written down, fetched by the relay's long poll, answered under the command's id.

A command is done at most once: it is given out only by whoever marks it as given, and never again. When the process or
the relay dies after that, whoever asked hears that there was no answer, and decides. That is right for writing to an
oven, and no loss for asking it something.

Relay and asker meet in the store, whatever processes they talk to; where it is the same one, a bell saves the wait. A
relay that is registered so waits at a queue of its own in place of the long poll; what comes there only wakes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

from shared.clock import Clock, iso
from shared.errors import (
    InvalidInput,
    NotFound,
    OvenbridgeError,
    PayloadTooLarge,
    PreconditionFailed,
    RelaySilent,
    Unavailable,
)
from shared.ids import new_id
from shared.json_text import dump
from shared.messaging import Outgoing
from shared.relay.messages import (
    MAX_COMMANDS,
    Command,
    CommandAnswer,
    CommandError,
    CommandKind,
    Commands,
    Wake,
    pack,
)
from shared.storage import Document, DocumentStore, Equals, Query, SetPath
from shared.topology import topology

if TYPE_CHECKING:
    from shared.messaging import Queue
    from shared.relay.hub_model import Relay
    from shared.relay.hub_registry import Relays

__all__ = ["LONGEST_WAIT", "CommandBroker"]

CONTAINER = "relayCommands"

LONGEST_WAIT = 20.0
"""Seconds a relay may wait for commands: below what proxies cut."""
LOOK_EVERY = 1.0
"""Seconds until the store is looked into again, for what other processes wrote."""
MAX_ANSWER = 1_500_000
"""Bytes of an answer: a document of Cosmos DB takes 2 MB."""
MOST_BYTES = 800_000
"""Bytes of commands given out at a time; the others a moment later."""

log = logging.getLogger("ovenbridge.relay")

Fill = Callable[[Command], Awaitable[Command]]


class CommandBroker:
    """Between people who want something of a plant's machine and the relay that stands beside it."""

    def __init__(
        self,
        store: DocumentStore,
        relays: Relays,
        clock: Clock,
        *,
        look_every: float = LOOK_EVERY,
        queue: Queue | None = None,
        fills: Mapping[CommandKind, Fill] | None = None,
    ) -> None:
        """``queue``: wakes relays that hear of commands by their own queue.

        ``fills``: what is put into a command of a kind when it is given out. Secrets, for a stored command has none;
        only the relay itself, with its own token, fetches its commands."""
        self._store = store
        self._relays = relays
        self._clock = clock
        self._look_every = look_every
        self._queue = queue
        self._fills = fills or {}
        self._bell = _Bell()

    # Those who ask -----------------------------------------------------------------------------------------------

    async def ask(
        self,
        relay_id: str,
        kind: CommandKind,
        *,
        equipment_id: str | None,
        body: Mapping[str, Any],
        actor: Mapping[str, str],
        seconds: float,
        answer_seconds: float | None = None,
        task: str = "reads this machine",
    ) -> CommandAnswer:
        """Have something done by a relay, and wait for its answer.

        Args:
            relay_id: who is to do it.
            kind: what.
            equipment_id: with which machine.
            body: as :class:`Command` says for this kind. Never a secret: it is stored.
            actor: who wants it, ``Caller.actor``.
            seconds: how long to wait. After it the relay does not begin any more.
            answer_seconds: how long to wait for the answer, if longer: what was done in time is heard of.
            task: what the relay does for whoever reads the sentence about its silence.

        Raises:
            NotFound: there is no such relay.
            RelaySilent: it is not there, or did not answer in time.
        """
        relay = await self._relays.get(relay_id)
        if relay.standing(self._clock.now()) != "online":
            raise _away(relay, task)
        now = self._clock.now()
        command = Command(
            id=new_id(),
            kind=kind,
            equipment_id=equipment_id,
            body=dict(body),
            expires_at=now + timedelta(seconds=seconds),
            actor=dict(actor),
        )
        document: Document = {
            "id": command.id,
            "relayId": relay_id,
            "status": "waiting",
            "createdAt": iso(now),
            "command": command.model_dump(mode="json"),
        }
        await self._store.create(CONTAINER, document)
        self._bell.ring(relay_id)
        await self._wake(relay, command)
        patience = max(seconds, answer_seconds or 0.0)
        answer = await self._await_answer(relay_id, command.id, patience)
        if answer is None:
            raise await self._no_answer(relay, command.id, patience, task)
        return answer

    async def _wake(self, relay: Relay, command: Command) -> None:
        """Tell a relay that waits at its queue. The message holds no command: that stays in the store, where it is
        given out once. Raises ``Unavailable``: nothing is done."""
        if relay.commands_by != "queue" or self._queue is None:
            return
        wake = pack(Wake(id=command.id, expires_at=command.expires_at))
        try:
            await self._queue.send(topology().commands_of(relay.id), [Outgoing(wake, command.id)])
        except (Unavailable, InvalidInput) as error:
            log.warning("Relay %s could not be woken: %s", relay.id, error.detail)
            operation = SetPath("status", "expired")
            try:
                await self._store.patch(CONTAINER, (relay.id,), command.id, [operation], when={"status": "waiting"})
            except PreconditionFailed:
                return  # it was fetched all the same: then there is an answer to wait for
            raise Unavailable(
                f"Relay {relay.id} could not be told, and nothing is done: {error.detail}", retry_after=30.0
            ) from error

    async def check_queue(self, relay_id: str) -> None:
        """Can this relay be woken by its own queue?

        Raises:
            InvalidInput: it cannot, with these settings.
            Unavailable: not now; the sentence names the queue and says what to do.
        """
        name = topology().commands_of(relay_id)
        try:
            if self._queue is None:
                raise InvalidInput("There are no queues.")
            await self._queue.check_queue(name)
        except InvalidInput:
            raise InvalidInput(
                f"There can be no queue {name} here: relays reach queues of Service Bus alone. Set "
                "ServiceBusConnection on the hub, or leave commands_by at http.",
                field="commands_by",
            ) from None

    async def _await_answer(self, relay_id: str, command_id: str, seconds: float) -> CommandAnswer | None:
        end = monotonic() + seconds
        while True:
            with self._bell.heard(command_id) as heard:
                stored = await self._store.read(CONTAINER, (relay_id,), command_id)
                if (said := stored.document.get("answer")) is not None:
                    return CommandAnswer.model_validate(said)
                left = end - monotonic()
                if left <= 0:
                    return None
                await heard.wait(min(left, self._look_every))

    async def _no_answer(self, relay: Relay, command_id: str, seconds: float, task: str) -> RelaySilent:
        given = True
        try:
            operation = SetPath("status", "expired")
            await self._store.patch(CONTAINER, (relay.id,), command_id, [operation], when={"status": "waiting"})
            given = False
        except PreconditionFailed:
            pass  # it was fetched: it may have been done, or may yet be
        relay = await self._relays.get(relay.id)
        if relay.standing(self._clock.now()) != "online":
            return _away(relay, task)
        done = "It was fetched, so it may have been done." if given else "It was not fetched, and will not be done."
        return RelaySilent(
            f"Relay {relay.id} did not answer within {seconds:g} s; its last heartbeat came at {_last(relay)}. {done}"
        )

    # The relay ---------------------------------------------------------------------------------------------------

    async def give(self, relay_id: str, wait_seconds: float) -> Commands:
        """Commands that wait for a relay; waits for the first one, at most so long (and at most 20 s)."""
        end = monotonic() + min(max(wait_seconds, 0.0), LONGEST_WAIT)
        while True:
            with self._bell.heard(relay_id) as heard:
                if found := await self._claim(relay_id):
                    return Commands(commands=tuple(found))
                left = end - monotonic()
                if left <= 0:
                    return Commands()
                await heard.wait(min(left, self._look_every))

    async def _claim(self, relay_id: str) -> list[Command]:
        query = Query((Equals("status", "waiting"),), order_by="createdAt", limit=MAX_COMMANDS)
        page = await self._store.query(CONTAINER, query, partition=(relay_id,))
        now = self._clock.now()
        claimed: list[Command] = []
        size = 0
        for item in page.items:
            command = Command.model_validate(item.document["command"])
            expired = command.expires_at <= now
            if not expired:
                size += len(dump(item.document["command"]))
                if claimed and size > MOST_BYTES:
                    break
            operation = SetPath("status", "expired" if expired else "given")
            try:
                await self._store.patch(CONTAINER, (relay_id,), command.id, [operation], when={"status": "waiting"})
            except (PreconditionFailed, NotFound):
                continue
            if expired or (filled := await self._filled(relay_id, command)) is None:
                continue
            left = (command.expires_at - now).total_seconds()
            claimed.append(filled.model_copy(update={"valid_seconds": left}))
        return claimed

    async def _filled(self, relay_id: str, command: Command) -> Command | None:
        """With what is never stored in it; ``None``: it cannot be had, and whoever asked hears why."""
        fill = self._fills.get(command.kind)
        if fill is None:
            return command
        try:
            return await fill(command)
        except OvenbridgeError as error:
            said = CommandError(code="not_given", detail=error.detail[:2_000])
            await self.answered(relay_id, CommandAnswer(id=command.id, ok=False, error=said, at=self._clock.now()))
            return None

    async def answered(self, relay_id: str, answer: CommandAnswer) -> None:
        """Take an answer. The first one counts; saying it again is no error.

        Raises:
            NotFound: there is no such command of this relay.
            PayloadTooLarge: more than can be stored.
        """
        said = answer.model_dump(mode="json")
        if len(dump(said)) > MAX_ANSWER:
            raise PayloadTooLarge(f"The answer is too long: at most {MAX_ANSWER:,} bytes are kept. Tell less.")
        operations = [SetPath("answer", said), SetPath("status", "answered")]
        try:
            await self._store.patch(CONTAINER, (relay_id,), answer.id, operations, when={"status": "given"})
        except NotFound:
            raise NotFound("There is no such command of this relay; it may have been forgotten since.") from None
        except PreconditionFailed:
            return
        self._bell.ring(answer.id)


def _away(relay: Relay, task: str) -> RelaySilent:
    if relay.heartbeat_at is None:
        return RelaySilent(f"Relay {relay.id}, which {task}, was never heard of. Start it with its token in the plant.")
    return RelaySilent(
        f"Relay {relay.id}, which {task}, is silent since {_last(relay)}. Is it on, and does its network reach the hub?"
    )


def _last(relay: Relay) -> str:
    return iso(relay.heartbeat_at) if relay.heartbeat_at is not None else "no time"


class _Bell:
    """Wakes those of this process who wait for a word."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[_Heard]] = {}

    def ring(self, word: str) -> None:
        for heard in self._waiting.get(word, ()):
            heard.event.set()

    def heard(self, word: str) -> _Heard:
        return _Heard(self._waiting, word)


class _Heard:
    """Hears from the moment it is entered, so that nothing is missed between looking and waiting."""

    def __init__(self, waiting: dict[str, set[_Heard]], word: str) -> None:
        self._waiting = waiting
        self._word = word
        self.event = asyncio.Event()

    def __enter__(self) -> _Heard:
        self._waiting.setdefault(self._word, set()).add(self)
        return self

    def __exit__(self, *_: object) -> None:
        others = self._waiting[self._word]
        others.discard(self)
        if not others:
            del self._waiting[self._word]

    async def wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.event.wait(), seconds)
        except TimeoutError:
            return
