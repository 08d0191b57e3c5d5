"""Which messages tell of the same happening.

The platform gives its messages no ids. While a webhook is upgraded, an old and a new one run side by side and both
tell of everything, in two versions that need not be alike. So what was told is remembered for a while: what comes
again in another version, which has not told it yet, is the same happening; and so is what comes again in the same
version with nothing in it changed.

One document per subject (an order's state, a report's values). It is written before the effect; who dies after that
finds itself in it when the message comes again, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from shared.storage import Document, DocumentStore

__all__ = ["CONTAINER", "Happenings", "Said", "noted"]

CONTAINER = "instructionRecords"
MAX_TRIES = 20
REMEMBERED = 10
"""Happenings of one subject."""

Said = Literal["new", "mine", "known", "late"]
"""``mine``: this very message has told it before, and may not have carried it out."""
Told = list[dict[str, Any]]


def noted(
    told: Told,
    *,
    content: Any,
    digest: str,
    version: str,
    key: str,
    at: datetime,
    within: timedelta,
    lasting: bool,
) -> tuple[Told, Said]:
    """What this message is beside what was told before, and what is told now. Pure.

    Args:
        told: happenings of the subject, oldest first.
        content: what both versions would say of it.
        digest: of the whole, to tell a repetition in one version from a new happening.
        version: of the message.
        key: of the message.
        at: when it came.
        within: versions of one happening come within so long.
        lasting: is the content a state, which is news only when it changes, however much later it is told?
    """
    for one in told:
        if one["by"] == key:
            return told, "mine"
    for place, one in enumerate(told):
        near = abs(at - parse_iso(one["at"])) <= within
        if near and one["content"] == content and version not in one["versions"]:
            paired = {**one, "versions": [*one["versions"], version]}
            return [*told[:place], paired, *told[place + 1 :]], "known"
    last = told[-1] if told else None
    if last is not None and last["content"] == content:
        near = abs(at - parse_iso(last["at"])) <= within
        if lasting or (near and last["digest"] == digest):
            return told, "known"
    if lasting and last is not None and at < parse_iso(last["at"]):
        return told, "late"
    new = {"content": content, "digest": digest, "versions": [version], "by": key, "at": iso(at)}
    return [*told, new][-REMEMBERED:], "new"


class Happenings:
    """The documents."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def read(self, id: str) -> tuple[Document, str | None]:
        """The document and its etag; an empty one and ``None`` where there is none yet."""
        try:
            stored = await self._store.read(CONTAINER, (id,), id)
        except NotFound:
            return {"id": id}, None
        return dict(stored.document), stored.etag

    async def write(self, document: Document, etag: str | None) -> bool:
        """Write it over the one it was made from; ``False``: somebody else was faster."""
        document = {**document, "updatedAt": iso(self._clock.now())}
        try:
            if etag is None:
                await self._store.create(CONTAINER, document)
            else:
                await self._store.replace(CONTAINER, document, etag=etag)
        except (Conflict, PreconditionFailed):
            return False
        return True

    async def once(self, id: str, decide: Callable[[Told], tuple[Told, Said]]) -> Said:
        """Decide on one subject. Raises ``Unavailable``; repeat then."""
        for _ in range(MAX_TRIES):
            document, etag = await self.read(id)
            before: Told = document.get("told", [])
            after, said = decide(before)
            if after is before or await self.write({**document, "told": after}, etag):
                return said
        raise Unavailable("Too many messages tell of this at once. Try again.", retry_after=1.0)
