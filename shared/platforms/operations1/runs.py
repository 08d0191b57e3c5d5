"""What was begun because a worker asked: one document for a profile's tag, a report and its step.

So a button that is pressed twice begins once: whoever creates the document does it, the others join. Statuses:
``starting`` (somebody is at it), ``running`` (begun, and its result is awaited), ``done``, ``failed`` (certainly not
begun), ``unknown`` (nobody knows), ``given_up`` (it took too long).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from shared.ids import digest_id
from shared.platforms.operations1.happenings import CONTAINER
from shared.platforms.operations1.judgement import TagAnswer
from shared.signals import Quality
from shared.storage import Document, DocumentStore, Stored

__all__ = ["Runs", "answer_of", "begun_at", "run_id_of"]

STARTING_TAKES = timedelta(seconds=90)
"""Who has not said more after so long has died."""
MAX_TRIES = 10


def run_id_of(profile_id: str, tag: str, report_id: str, step_id: str | None) -> str:
    """The same for the same button of the same report."""
    return digest_id("run", profile_id, tag, report_id, step_id or "")


def begun_at(run: Document) -> datetime:
    """When it was begun."""
    return parse_iso(run["startedAt"])


class Runs:
    """The documents."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def read(self, run_id: str) -> Stored:
        """One run; one whose process died says so. Raises ``NotFound``."""
        if len(run_id) != 32 or not run_id.isalnum() or not run_id.isascii():
            raise NotFound("There is no such result; its address is in the answer of the request.")
        try:
            stored = await self._store.read(CONTAINER, (f"run:{run_id}",), f"run:{run_id}")
        except NotFound as err:
            raise NotFound("There is no such result; results are kept for 90 days.") from err
        run = stored.document
        if run["status"] == "starting" and self._clock.now() - begun_at(run) > STARTING_TAKES:
            said = "Ovenbridge was stopped while it was begun, so it may have been: look at the machine."
            return Stored({**run, "status": "unknown", "reason": said}, stored.etag)
        return stored

    async def begin(
        self, run_id: str, said: Mapping[str, Any], may_again: Callable[[Document], bool]
    ) -> tuple[Stored, bool]:
        """The run, and whether it is ours to begin. Raises ``Unavailable``."""
        for _ in range(MAX_TRIES):
            new: Document = {
                **said,
                "id": f"run:{run_id}",
                "status": "starting",
                "startedAt": iso(self._clock.now()),
                "number": 1,
            }
            try:
                known = await self.read(run_id)
            except NotFound:
                try:
                    return await self._store.create(CONTAINER, new), True
                except Conflict:
                    continue
            if not may_again(known.document):
                return known, False
            try:
                again = {**new, "number": known.document.get("number", 1) + 1}
                return await self._store.replace(CONTAINER, again, etag=known.etag), True
            except (PreconditionFailed, NotFound):
                continue
        raise Unavailable("Too many begin this at once. Try again.", retry_after=1.0)

    async def note(self, stored: Stored, **changes: Any) -> Stored:
        """The run with these changes; where somebody else changed it meanwhile, as they left it."""
        document = {**stored.document, **changes, "changedAt": iso(self._clock.now())}
        try:
            return await self._store.replace(CONTAINER, document, etag=stored.etag)
        except (PreconditionFailed, NotFound):
            return await self.read(document["id"].removeprefix("run:"))


def answer_of(run: Document, now: datetime) -> TagAnswer:
    """What a worker is told of a run."""
    run_id = run["id"].removeprefix("run:")
    status = run["status"]
    if status == "done":
        age = max(0.0, (now - parse_iso(run.get("changedAt") or run["startedAt"])).total_seconds())
        return TagAnswer(run.get("value"), run.get("unit", ""), Quality.GOOD, round(age, 3), run.get("reason"), run_id)
    if status in ("starting", "running"):
        said = "It was begun and has not ended yet: ask again in a moment."
        return TagAnswer(None, "", Quality.UNCERTAIN, None, said, run_id, running=True)
    return TagAnswer(None, "", Quality.BAD, None, run.get("reason") or "It failed.", run_id)
