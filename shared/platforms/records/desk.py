"""What people see and do about systems of record: what became of a record, telling again, settling by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, NotFound
from shared.messaging import Queue
from shared.platforms.connections import PlatformConnections
from shared.platforms.records.updates import QUEUE, SENDING, UpdateStore, new_update, to_send, wake
from shared.platforms.records.work import SYSTEMS

if TYPE_CHECKING:
    from shared.access import Caller
    from shared.audit.log import AuditLog
    from shared.storage import Document, DocumentStore, Page
    from shared.work.sessions import Sessions

__all__ = ["RecordDesk"]


class RecordDesk:
    """For people."""

    def __init__(
        self,
        store: DocumentStore,
        queue: Queue,
        connections: PlatformConnections,
        sessions: Callable[[], Sessions],
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._updates = UpdateStore(store, clock)
        self._queue = queue
        self._connections = connections
        self._sessions = sessions
        self._audit = audit
        self._clock = clock

    async def of(self, record_id: str) -> list[Document]:
        """What became of a record in every system."""
        return await self._updates.of(record_id)

    async def standing(self, status: str, connection: str | None, *, limit: int, continuation: str | None) -> Page:
        """Updates that stand so, of one system or of all."""
        return await self._updates.with_status(status, connection, limit, continuation)

    async def replay(self, record_id: str, connection_id: str, *, caller: Caller, anew: bool = False) -> Document:
        """Tell a system (again).

        ``anew``: forget that it was told; where records are created, that makes another one.

        Raises:
            NotFound: there is no such record or connection.
            Conflict: it is being told just now, or the connection is none to a system of record.
        """
        record = (await self._sessions().get(record_id)).document
        connection = await self._connections.get(connection_id)
        if connection.platform not in SYSTEMS:
            raise Conflict(f"{connection_id} is no system of record; there are connections to {', '.join(SYSTEMS)}.")
        now = self._clock.now()
        async with self._audit.recorded(
            f"record:{record_id}",
            actor=caller.actor,
            action="record.replayed",
            target=f"{record_id} {connection_id}",
            after={"anew": anew},
        ):
            update = new_update(record, connection.id, connection.platform, now)
            if not await self._updates.create(update):
                changed = await self._updates.change(
                    record_id, connection_id, lambda current: _again(current, record, now, anew)
                )
                if changed is None:
                    raise Conflict("It is being told just now; look again in a minute.")
                update = changed
            await self._queue.send(QUEUE, [wake(update)])
        return update

    async def settle(self, record_id: str, connection_id: str, *, external_id: str | None, caller: Caller) -> Document:
        """A person looked there and says: it is there.

        Raises:
            NotFound: nothing is owed to this system.
            Conflict: nobody is in doubt about it.
        """
        now = self._clock.now()

        def change(current: Document) -> Document | None:
            if current["status"] not in ("unknown", "failed"):
                return None
            rest = {name: value for name, value in current.items() if name not in ("wakeAt", "sending")}
            sending = current.get("sending") or {}
            return rest | {
                "status": "recorded",
                "told": True,
                "externalId": external_id or current["externalId"],
                "digest": sending.get("digest"),
                "sentRevision": sending.get("revision", current["wantedRevision"]),
                "recordedAt": iso(now),
                "changedAt": iso(now),
                "error": None,
            }

        async with self._audit.recorded(
            f"record:{record_id}",
            actor=caller.actor,
            action="record.settled",
            target=f"{record_id} {connection_id}",
            after={"external_id": external_id},
        ):
            if await self._updates.find(record_id, connection_id) is None:
                raise NotFound(f"{connection_id[:64]} was not to be told of this record.")
            after = await self._updates.change(record_id, connection_id, change)
            if after is None:
                raise Conflict("Only what failed or is unknown can be settled by hand.")
        return after


def _again(current: Document, record: Document, now: datetime, anew: bool) -> Document | None:
    if current["status"] == SENDING and now < parse_iso(current["sending"]["until"]):
        return None
    after = to_send(current, now) | {"wantedRevision": record["revision"], "digest": None}
    if anew:
        after |= {"told": False, "externalId": None, "generation": current["generation"] + 1}
    elif not current["told"] and current.get("sending", {}).get("repeatable"):
        after["sending"] = current["sending"]
    return after
