"""Keeping systems of record informed: who is told of a record, and what happens to one queue message.

First the update stands in the store, then its message is sent; before a call is made it stands there, too. A process
that dies leaves an update whose message comes again, or which the sweeper wakes. An upsert is simply made again. A
call that may not be made twice is not: it becomes ``unknown``, and a person looks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from shared.clock import Clock, iso, parse_iso
from shared.errors import NotFound, OvenbridgeError, Unavailable
from shared.ids import digest_id
from shared.messaging import Queue
from shared.metrics import RECORD_UPDATES
from shared.outgoing.failures import OutgoingError
from shared.platforms.connections import PlatformConnection, PlatformConnections, Secrets
from shared.platforms.records.answers import no_answer
from shared.platforms.records.places import Missing, words_of
from shared.platforms.records.port import Intended, Outcome, RecordSystem, wanted, whole
from shared.platforms.records.updates import (
    OPEN,
    QUEUE,
    SENDING,
    UpdateStore,
    intended_of,
    new_update,
    noted,
    parse_wake,
    settled,
    to_send,
    wake,
)

if TYPE_CHECKING:
    from shared.storage import Document, DocumentStore
    from shared.work.sessions import Sessions

__all__ = ["SYSTEMS", "RecordKeeping"]

SYSTEMS = ("rest_record", "salesforce", "dataverse")
KNOWN_FOR = timedelta(seconds=10)
GRACE = timedelta(seconds=30)
"""An update that is overdue by so much lost its message."""
VAULT_PAUSE = timedelta(seconds=30)
BACK = timedelta(days=1)
"""What ended so long before the connection was made is left alone."""
SWEPT = 200
MAX_INTENDED = 200_000
"""Bytes of a call, at most: it is kept until it is answered."""

log = logging.getLogger("ovenbridge.records")


class RecordKeeping:
    """The room's service. Implements :class:`shared.work.sessions.RecordSubscriber`."""

    def __init__(
        self,
        store: DocumentStore,
        queue: Queue,
        connections: PlatformConnections,
        sessions: Callable[[], Sessions],
        clock: Clock,
        *,
        base_url: str,
    ) -> None:
        self._updates = UpdateStore(store, clock)
        self._queue = queue
        self._connections = connections
        self._sessions = sessions
        self._clock = clock
        self._base_url = base_url
        self._listed: tuple[datetime, list[PlatformConnection]] | None = None
        self._busy_until: dict[str, datetime] = {}

    # Who is told -------------------------------------------------------------------------------------------------

    async def accept(self, record: Document) -> None:
        """See the port of sessions: durably owed when this returns."""
        words: Mapping[str, Any] | None = None
        messages = []
        for connection in await self._systems():
            words = words or words_of(record, base_url=self._base_url)
            if not connection.enabled or _before(record, connection):
                continue
            if wanted(connection.options, words, ended=record["ended"]):
                message = await self._owe(record, connection)
                if message is not None:
                    messages.append(message)
        if messages:
            await self._queue.send(QUEUE, messages)

    async def _owe(self, record: Document, connection: PlatformConnection) -> Any:
        now = self._clock.now()
        update = new_update(record, connection.id, connection.platform, now)
        if await self._updates.create(update):
            return wake(update)
        changed = await self._updates.change(record["id"], connection.id, lambda known: _newer(known, record, now))
        if changed is None:
            # The same again, after a crash perhaps: its message may be the one that was never sent.
            stored = await self._updates.find(record["id"], connection.id)
            changed = stored.document if stored is not None else None
        return wake(changed) if changed is not None and _due(changed, now) else None

    async def _systems(self) -> list[PlatformConnection]:
        """All connections to systems of record, at most some seconds old."""
        now = self._clock.now()
        if self._listed is None or now - self._listed[0] >= KNOWN_FOR:
            found = [one for one in await self._connections.list() if one.platform in SYSTEMS]
            self._listed = (now, found)
        return self._listed[1]

    # One message -------------------------------------------------------------------------------------------------

    async def work(self, body: bytes) -> None:
        """Bring one update a step on; returning settles the message.

        Raises:
            InvalidInput: the message is none of ours.
            Unavailable: store, vault or queue are away; the message comes again.
        """
        called = parse_wake(body)
        stored = await self._updates.find(called.record_id, called.connection)
        if stored is None or stored.document["status"] not in OPEN or called.number < stored.document["wake"]:
            return  # done, or it has another message
        now = self._clock.now()
        update = stored.document
        if update["status"] == SENDING and now < parse_iso(update["sending"]["until"]):
            # Somebody else is at it. Should he have died, somebody looks again when his time is over.
            until = parse_iso(update["sending"]["until"])
            await self._queue.send(QUEUE, [wake(update, at=until, suffix=f"after-{update['attempts']}")])
            return
        connection = await self._usable(update)
        if connection is None:
            return
        busy = self._busy_until.get(connection.id)
        if busy is not None and now < busy:
            await self._later(update, busy)
            return
        try:
            # Before the call is noted: a vault that is away must not leave a call in doubt that was never made.
            credentials = await self._connections.credentials(connection)
        except Unavailable as error:
            log.warning("The credentials of %s cannot be read now: %s", connection.id, error.detail)
            await self._later(update, now + VAULT_PAUSE)
            return
        claimed = await self._claim(update, connection, now)
        if claimed is not None:
            await self._make(claimed, connection, credentials)

    async def _usable(self, update: Document) -> PlatformConnection | None:
        try:
            connection = await self._connections.known(update["id"])
        except NotFound:
            await self._end(update, "failed", "The connection was deleted.")
            return None
        if not connection.enabled or connection.platform not in SYSTEMS:
            await self._end(update, "failed", "The connection is switched off; switch it on, then replay.")
            return None
        return connection

    async def _claim(self, update: Document, connection: PlatformConnection, now: datetime) -> Document | None:
        """Write down the call that is to be made; ``None``: there is none to be made."""
        options = whole(connection.options)
        left = update.get("sending")
        if left is not None and not left["repeatable"]:
            sentence = (
                "The process died while it was being told, so whether it was recorded is not known; look there, then "
                "replay it or settle it by hand."
            )
            await self._end(update, "unknown", sentence)
            return None
        if left is not None and left["creates"]:
            # The same words under the same key as before: a system that knows the key would refuse others.
            return await self._note(update, intended_of(update), left["revision"], left["digest"], options, now)
        try:
            record = (await self._sessions().get(update["recordId"])).document
            intended, digest = self._intend(record, update, connection)
        except NotFound:
            await self._end(update, "failed", "The record is no longer kept.")
            return None
        except Missing as missing:
            await self._end(update, "skipped", missing.sentence)
            return None
        except ValidationError:
            await self._end(update, "failed", "The options of the connection do not fit this version: save it anew.")
            return None
        if intended is None or (update["told"] and digest == update["digest"]):
            await self._nothing_new(update, record)
            return None
        if len(intended.body or b"") > MAX_INTENDED:
            await self._end(update, "failed", f"The mapping makes more than {MAX_INTENDED:,} bytes of it.")
            return None
        return await self._note(update, intended, record["revision"], digest, options, now)

    def _intend(
        self, record: Document, update: Document, connection: PlatformConnection
    ) -> tuple[Intended | None, str]:
        words = words_of(record, base_url=self._base_url)
        created = (update["externalId"] or "") if update["told"] else None
        words["created_id"] = update["externalId"]
        # A create has one key for good (until a person asks for another one), a change has one per content.
        key = digest_id("record", record["id"], connection.id, str(update["generation"]))
        words["idempotency_key"] = key
        system = self._system(connection)
        intended = system.intend(connection, words, created)
        if intended is None:
            return None, ""
        plain = [str(value) for value in intended.headers.values() if value != key]
        digest = digest_id(intended.method, intended.url, intended.body or b"", *plain)
        if not intended.creates:
            words["idempotency_key"] = digest_id(key, digest)
            intended = system.intend(connection, words, created)
        return intended, digest

    async def _note(
        self,
        update: Document,
        intended: Intended,
        revision: int,
        digest: str,
        options: Mapping[str, Any],
        now: datetime,
    ) -> Document | None:
        def change(current: Document) -> Document | None:
            if current["status"] != update["status"] or current["wake"] != update["wake"]:
                return None
            if current["attempts"] != update["attempts"]:
                return None
            return noted(current, intended, revision, digest, options["timeout_seconds"], now)

        return await self._updates.change(update["recordId"], update["id"], change)

    async def _make(self, claimed: Document, connection: PlatformConnection, credentials: Secrets) -> None:
        """Make the call, then write down what became of it, then send the message of the next try."""
        intended = intended_of(claimed)
        outcome = await self._send(connection, credentials, intended)
        if outcome.status in (400, 401, 403) and outcome.result == "later":
            fresh = await self._fresh(connection)
            if fresh is not None and fresh != credentials:
                outcome = await self._send(connection, fresh, intended)
        now = self._clock.now()
        self._heed(connection, outcome, now)
        attempt = claimed["attempts"]

        def change(current: Document) -> Document | None:
            if current["attempts"] != attempt or "sending" not in current:
                return None  # somebody judged us dead and went on
            return settled(current, outcome, whole(connection.options)["max_attempts"], now)

        after = await self._updates.change(claimed["recordId"], claimed["id"], change)
        RECORD_UPDATES.record(1, system=connection.platform, outcome=outcome.result)
        try:
            await self._connections.note(connection, None if outcome.result == "recorded" else outcome.sentence)
        except OvenbridgeError as error:
            log.warning("How connection %s is doing is written later: %s", connection.id, error.detail)
        if after is None:
            return
        if after["status"] in OPEN:
            at = parse_iso(after["wakeAt"])
            await self._queue.send(QUEUE, [wake(after, at=at if at > now else None)])
        elif after["status"] != "recorded":
            log.error("%s was not told of %s: %s", connection.id, after["recordId"], outcome.sentence)

    async def _fresh(self, connection: PlatformConnection) -> Secrets | None:
        """The credentials as they are by now; ``None``: the vault is away."""
        try:
            return await self._connections.credentials(connection, fresh=True)
        except OvenbridgeError as error:
            log.warning("The credentials of %s cannot be read anew: %s", connection.id, error.detail)
            return None

    async def _send(self, connection: PlatformConnection, credentials: Secrets, intended: Intended) -> Outcome:
        """Bounded as a whole: whoever finds the call later takes us for dead by then."""
        try:
            async with asyncio.timeout(2 * whole(connection.options)["timeout_seconds"]):
                return await self._system(connection).send(connection, credentials, intended)
        except TimeoutError:
            late = OutgoingError("It did not answer in time, the fetching of a token included.", kind="timeout")
            return no_answer(late, repeatable=intended.repeatable)

    def _heed(self, connection: PlatformConnection, outcome: Outcome, now: datetime) -> None:
        """A system that asks us to come less often is left alone with everything else, too."""
        if outcome.busy:
            self._busy_until[connection.id] = now + timedelta(seconds=outcome.retry_after or 10.0)
        elif outcome.result == "recorded":
            self._busy_until.pop(connection.id, None)

    async def _later(self, update: Document, at: datetime) -> None:
        def change(current: Document) -> Document | None:
            if current["wake"] != update["wake"] or current["status"] not in OPEN:
                return None
            return current | {"wake": current["wake"] + 1, "wakeAt": iso(at)}

        after = await self._updates.change(update["recordId"], update["id"], change)
        if after is not None:
            await self._queue.send(QUEUE, [wake(after, at=at)])

    async def _end(self, update: Document, status: str, sentence: str) -> None:
        """Without a call."""
        now = self._clock.now()

        def change(current: Document) -> Document | None:
            if current["wake"] != update["wake"] or current["attempts"] != update["attempts"]:
                return None
            dropped = ("wakeAt",) if status == "unknown" else ("wakeAt", "sending")
            rest = {name: value for name, value in current.items() if name not in dropped}
            return rest | {"status": status, "error": sentence, "changedAt": iso(now)}

        await self._updates.change(update["recordId"], update["id"], change)
        RECORD_UPDATES.record(1, system=update["platform"], outcome=status)
        (log.info if status == "skipped" else log.error)(
            "%s is not told of %s: %s", update["id"], update["recordId"], sentence
        )

    async def _nothing_new(self, update: Document, record: Document) -> None:
        """It is there already, word for word (or later changes are not told)."""
        now = self._clock.now()

        def change(current: Document) -> Document | None:
            if current["wake"] != update["wake"]:
                return None
            rest = {name: value for name, value in current.items() if name not in ("wakeAt", "sending")}
            after = rest | {"status": "recorded", "error": None, "sentRevision": record["revision"]}
            return to_send(after, now) if current["wantedRevision"] > record["revision"] else after

        after = await self._updates.change(update["recordId"], update["id"], change)
        if after is not None and after["status"] in OPEN:
            await self._queue.send(QUEUE, [wake(after)])

    def _system(self, connection: PlatformConnection) -> RecordSystem:
        return cast("RecordSystem", self._connections.platform(connection.platform))

    # The sweeper -------------------------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Wake what is overdue; how many. Each waking has an id of its own, so that no queue takes it for the first."""
        now = self._clock.now()
        overdue = await self._updates.overdue(now - GRACE, SWEPT)
        messages = [wake(update, suffix=f"swept-{iso(now)}") for update in overdue]
        if messages:
            await self._queue.send(QUEUE, messages)
        return len(messages)


def _before(record: Document, connection: PlatformConnection) -> bool:
    """An import of history must not flood a system that was connected later; a replay tells of it all the same."""
    return parse_iso(record.get("endedAt") or record["happenedAt"]) < connection.created_at - BACK


def _newer(known: Document, record: Document, now: datetime) -> Document | None:
    """There is more to tell than what was known."""
    if known["wantedRevision"] >= record["revision"]:
        return None
    after = known | {"wantedRevision": record["revision"], "workOrderId": record.get("workOrderId")}
    if known["status"] in OPEN or known["status"] == "unknown":
        return after  # told when the one before is through; in doubt nothing is sent
    return to_send(after, now)


def _due(update: Document, now: datetime) -> bool:
    return update["status"] == "waiting" and parse_iso(update["wakeAt"]) <= now
