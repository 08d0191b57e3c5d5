"""One update per record and system: what it was told, what it owes, and the call that is being made.

The document is the authority, the queue only wakes. ``status`` of the stored form:

* ``waiting`` - to be told, or told again; ``wakeAt`` says when somebody looks.
* ``sending`` - a call was written down and is being made, or its process died.
* ``recorded`` - it is there.
* ``skipped`` - a value that the mapping needs is not known.
* ``failed`` - given up, with the reason; a person may replay it.
* ``unknown`` - a call that must not be repeated may have had its effect; a person looks and decides.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import json_text
from shared.clock import Clock, iso
from shared.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, Unavailable
from shared.ids import digest_id
from shared.messaging import Outgoing
from shared.platforms.records.port import Intended, Outcome
from shared.storage import Document, DocumentStore, Equals, Page, Query, Range, Stored, every

__all__ = [
    "CONTAINER",
    "OPEN",
    "QUEUE",
    "SENDING",
    "WAITING",
    "UpdateStore",
    "Wake",
    "intended_of",
    "new_update",
    "parse_wake",
    "settled",
    "to_send",
    "wake",
]

CONTAINER = "recordUpdates"
QUEUE = "record-updates"
WAITING, SENDING = "waiting", "sending"
OPEN = (WAITING, SENDING)
MAX_TRIES = 20
HISTORY = 20
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 3_600.0
MARGIN = timedelta(seconds=5)
"""A call that lasted so much longer than it may is one whose process died."""


@dataclass(frozen=True, slots=True)
class Wake:
    """What a message says."""

    record_id: str
    connection: str
    number: int


def wake(update: Document, *, at: datetime | None = None, suffix: str = "") -> Outgoing:
    """The message for an update as it stands; each ``wake`` of an update has its own id."""
    body = {"recordId": update["recordId"], "connection": update["id"], "wake": update["wake"]}
    name = digest_id("record-update", update["recordId"], update["id"], str(update["wake"]), suffix)
    return Outgoing(json_text.dump(body), name, at=at, correlation_id=update["recordId"][:128])


def parse_wake(body: bytes) -> Wake:
    """Raises ``InvalidInput``: the message is none of ours."""
    try:
        told = json_text.load(body)
        found = Wake(told["recordId"], told["connection"], told["wake"])
    except (ValueError, TypeError, KeyError) as err:
        raise InvalidInput("This is no message of an update of a record.") from err
    if not (isinstance(found.record_id, str) and isinstance(found.connection, str) and isinstance(found.number, int)):
        raise InvalidInput("This is no message of an update of a record.")
    return found


def new_update(record: Document, connection: str, platform: str, now: datetime) -> Document:
    """What a record owes a system from now on."""
    return {
        "id": connection,
        "connection": connection,
        "recordId": record["id"],
        "kind": record["kind"],
        "platform": platform,
        "status": WAITING,
        "wantedRevision": record["revision"],
        "sentRevision": 0,
        "wake": 1,
        "wakeAt": iso(now),
        "attempts": 0,
        "tries": 0,
        "generation": 0,
        "externalId": None,
        "told": False,
        "digest": None,
        "error": None,
        "workOrderId": record.get("workOrderId"),
        "createdAt": iso(now),
        "changedAt": iso(now),
        "history": [],
    }


def to_send(update: Document, now: datetime) -> Document:
    """To be looked at now, by a new message."""
    return {
        **{name: value for name, value in update.items() if name != "sending"},
        "status": WAITING,
        "wake": update["wake"] + 1,
        "wakeAt": iso(now),
        "tries": 0,
        "changedAt": iso(now),
    }


def noted(update: Document, intended: Intended, revision: int, digest: str, seconds: float, now: datetime) -> Document:
    """The call stands here before it is made."""
    until = now + timedelta(seconds=2 * seconds) + MARGIN
    return {
        **update,
        "status": SENDING,
        "attempts": update["attempts"] + 1,
        "tries": update["tries"] + 1,
        "wakeAt": iso(until),
        "changedAt": iso(now),
        "sending": {
            "method": intended.method,
            "url": intended.url,
            "body": None if intended.body is None else base64.b64encode(intended.body).decode("ascii"),
            "headers": dict(intended.headers),
            "repeatable": intended.repeatable,
            "creates": intended.creates,
            "revision": revision,
            "digest": digest,
            "at": iso(now),
            "until": iso(until),
        },
    }


def intended_of(update: Document) -> Intended:
    """The call that was written down."""
    sending = update["sending"]
    body = None if sending["body"] is None else base64.b64decode(sending["body"])
    return Intended(
        sending["method"],
        sending["url"],
        body,
        sending["headers"],
        repeatable=sending["repeatable"],
        creates=sending["creates"],
    )


def settled(update: Document, outcome: Outcome, max_attempts: int, now: datetime) -> Document:
    """After a call. ``status`` is ``waiting`` where another one follows; then ``wake`` is a new one."""
    sending = update["sending"]
    line = {
        "n": update["attempts"],
        "at": sending["at"],
        "result": outcome.result,
        "status": outcome.status,
        "detail": outcome.sentence,
        "ms": None if outcome.elapsed_ms is None else round(outcome.elapsed_ms, 1),
    }
    after: Document = {
        **{name: value for name, value in update.items() if name not in ("wakeAt", "sending")},
        "history": [*update["history"], line][-HISTORY:],
        "changedAt": iso(now),
    }
    if outcome.result == "recorded":
        after |= {
            "status": "recorded",
            "told": True,
            "externalId": outcome.external_id or update["externalId"],
            "digest": sending["digest"],
            "sentRevision": sending["revision"],
            "recordedAt": iso(now),
            "error": None,
            "tries": 0,
        }
        return to_send(after, now) if update["wantedRevision"] > sending["revision"] else after
    after["error"] = outcome.sentence
    if outcome.result == "later":
        if update["tries"] >= max_attempts:
            last = f"{outcome.sentence} That was the last of {update['tries']} attempts; replay it when it can work."
            return after | {"status": "failed", "error": last}
        pause = max(min(FIRST_PAUSE * 2.0 ** (update["tries"] - 1), LONGEST_PAUSE), outcome.retry_after or 0.0)
        # What was written down stays: if it may have had its effect, the very same call is made again.
        kept = {"sending": sending} if outcome.in_doubt and sending["creates"] else {}
        return {
            **after,
            **kept,
            "status": WAITING,
            "wake": update["wake"] + 1,
            "wakeAt": iso(now + timedelta(seconds=pause)),
        }
    return after | {"status": outcome.result} | ({"sending": sending} if outcome.result == "unknown" else {})


class UpdateStore:
    """Reading and writing them."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find(self, record_id: str, connection: str) -> Stored | None:
        """One update."""
        try:
            return await self._store.read(CONTAINER, (record_id,), connection)
        except NotFound:
            return None

    async def of(self, record_id: str) -> list[Document]:
        """What became of a record everywhere."""
        found = every(self._store, CONTAINER, Query(limit=100), partition=(record_id,), at_most=100)
        return sorted([stored.document async for stored in found], key=lambda one: str(one["id"]))

    async def create(self, update: Document) -> bool:
        """Whether there was none yet."""
        try:
            await self._store.create(CONTAINER, update)
        except Conflict:
            return False
        return True

    async def change(
        self, record_id: str, connection: str, change: Callable[[Document], Document | None]
    ) -> Document | None:
        """Change it as it stands now; ``None``: ``change`` left it alone, or there is none.

        Raises:
            Unavailable: others change it all the time.
        """
        for _ in range(MAX_TRIES):
            stored = await self.find(record_id, connection)
            after = None if stored is None else change(stored.document)
            if stored is None or after is None:
                return None
            try:
                return (await self._store.replace(CONTAINER, after, etag=stored.etag)).document
            except (PreconditionFailed, NotFound):
                continue
        raise Unavailable("Too many others change this update at once. Try again.", retry_after=1.0)

    async def overdue(self, before: datetime, at_most: int) -> list[Document]:
        """Those whose message should have come."""
        query = Query((Range("wakeAt", lt=iso(before)),), limit=at_most)
        return [stored.document async for stored in every(self._store, CONTAINER, query, at_most=at_most)]

    async def with_status(self, status: str, connection: str | None, limit: int, continuation: str | None) -> Page:
        """A page of those that stand so, unordered."""
        where = [Equals("status", status)]
        if connection is not None:
            where.append(Equals("connection", connection))
        return await self._store.query(CONTAINER, Query(where, limit=limit, continuation=continuation))
