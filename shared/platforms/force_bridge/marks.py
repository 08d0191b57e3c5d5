"""Which notification of an object was applied last: what is older is late and changes nothing any more.

FORCE Bridge tries again what was not taken, so order is not kept; the chapter asks receivers to go by the time of the
event. What if the process dies after the mark was set? The same message finds its own mark and goes on.
"""

from __future__ import annotations

from shared.clock import Clock, iso
from shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from shared.ids import digest_id
from shared.platforms.force_bridge.received import Notified
from shared.storage import Document, DocumentStore

__all__ = ["Marks"]

CONTAINER = "notificationMarks"
MAX_TRIES = 10


class Marks:
    """One document per object and event type of a sender."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def why_late(self, sender: str, message_id: str, said: Notified) -> str | None:
        """``None``: it is the newest, and now marked so. Else a sentence: it is late, or nothing new.

        Args:
            sender: whose order it is: a connection, or a hook source without one.
            message_id: of the inbox; the same message is never late behind itself.
            said: what it says.

        Raises:
            Unavailable: the store is away, or too many others mark the same object.
        """
        if said.at is None:
            return None  # it has no place in an order
        name = f"force_bridge:{digest_id(sender, said.subject)}"
        mark: Document = {
            "id": name,
            "at": iso(said.at),
            "content": said.content,
            "message": message_id,
            "ends": list(said.ends),
            "markedAt": iso(self._clock.now()),
        }
        for _ in range(MAX_TRIES):
            try:
                stored = await self._store.read(CONTAINER, (name,), name)
            except NotFound:
                try:
                    await self._store.create(CONTAINER, mark)
                except Conflict:
                    continue
                return None
            why = _why_late(stored.document, mark)
            if why is not None or stored.document["message"] == message_id:
                return why
            try:
                await self._store.replace(CONTAINER, mark, etag=stored.etag)
            except (PreconditionFailed, NotFound):
                continue
            return None
        raise Unavailable("Too many notifications of one object at once. Try again.", retry_after=1.0)


def _why_late(known: Document, new: Document) -> str | None:
    if known["message"] == new["message"]:
        return None
    if new["at"] < known["at"]:
        return f"late: it happened at {new['at']}, and what happened at {known['at']} was applied already"
    if new["at"] > known["at"]:
        return None
    if new["content"] == known["content"]:
        return "nothing new: the same was applied already, told by another registration or another way"
    before, after = new["ends"]
    if after is not None and after == known["ends"][0] and before != known["ends"][1]:
        return f"late: what followed on it within the same millisecond ({known['at']}) was applied already"
    return None
