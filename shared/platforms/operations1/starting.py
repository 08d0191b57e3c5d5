"""Starting a process on a machine, and waiting for its result as long as a worker would.

What if the process dies here?

- before the order: the run says ``starting``, and after a while that nobody knows. Nothing starts by itself again.
- after the order: likewise; the audit log says whether it was given.
- while waiting: whoever asks next, the worker's second press or who fetches the result, looks on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.alerts.response_ports import Acted
from shared.clock import Clock
from shared.collection.alert_writes import AlertWrites
from shared.errors import OvenbridgeError
from shared.platforms.operations1.actions import ResultOf, Start
from shared.platforms.operations1.judgement import TagAnswer
from shared.platforms.operations1.runs import Runs, answer_of, begun_at, run_id_of
from shared.signals import Quality, Reading, Value
from shared.storage import Document, Stored
from shared.telemetry.readings import Readings

if TYPE_CHECKING:
    from shared.collection.control import RemoteControl

__all__ = ["Asking", "Starts"]

BREATHS = 3
LONGEST_BREATH = 2.0
"""Seconds; who asks for more does not get the order."""
LOOKS_EVERY = 1.0
"""Seconds between two looks at a machine while a worker waits."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, from where."""

    profile_id: str
    report_id: str | None
    order_id: str | None
    step_id: str | None
    by: str
    """Who called, for the audit log."""

    @property
    def actor(self) -> dict[str, str]:
        """As the audit log names it."""
        name = f"Request profile {self.profile_id}, report {self.report_id}, asked by {self.by}"
        return {"id": f"profile:{self.profile_id}", "name": name[:200], "how": "external_request"}


class Starts:
    """Starts processes."""

    def __init__(self, runs: Runs, control: Callable[[], RemoteControl], readings: Readings, clock: Clock) -> None:
        self._runs = runs
        self._control = control
        self._writes = AlertWrites(control)
        self._readings = readings
        self._clock = clock

    async def start(self, tag: str, action: Start, asking: Asking, entered: Mapping[str, Value]) -> TagAnswer:
        """Start it, once for a report's step, and wait for its result."""
        began = asyncio.get_running_loop().time()
        if asking.report_id is None:
            return _nothing("This request names no report (progressId), so nothing was started.")
        value = action.value if action.value_from is None else entered.get(action.value_from)
        if value is None:
            return _nothing(f"Nothing is entered under {action.value_from} yet, so nothing was started.")

        def may_again(run: Document) -> bool:
            if run["status"] == "failed":
                return True
            pause = action.again_after_seconds
            over = pause is not None and self._clock.now() - begun_at(run) >= timedelta(seconds=pause)
            return over and run["status"] != "starting"

        said = {
            "profile": asking.profile_id,
            "tag": tag,
            "report": asking.report_id,
            "order": asking.order_id,
            "step": asking.step_id,
            "action": action.model_dump(mode="json"),
        }
        run_id = run_id_of(asking.profile_id, tag, asking.report_id, asking.step_id)
        run, ours = await self._runs.begin(run_id, said, may_again)
        if ours:
            run = await self._order(action, value, run, asking)
        return await self._wait(action.wait_seconds, run, began)

    async def look(self, run: Stored) -> Stored:
        """Has it ended? Asks the machine once."""
        document = run.document
        if document["status"] != "running" or document["action"]["do"] != "start":
            return run
        action = Start.model_validate(document["action"])
        wanted = action.result
        if wanted is None:
            return run
        reading = await self._reading(action, wanted, document)
        if reading is not None:
            ended = _holds(wanted, reading)
            value = reading.values.get(wanted.signal)
            usable = value is not None and value.value is not None and value.quality is not Quality.BAD
            if ended is False and not document.get("seenOther"):
                run = await self._runs.note(run, seenOther=True)
            elif ended and value is not None and usable and _is_new(document, value.value):
                return await self._runs.note(
                    run, status="done", value=_rounded(value.value, wanted.digits), unit=value.unit
                )
        if self._clock.now() - begun_at(document) > timedelta(seconds=wanted.within_seconds):
            said = f"It had not ended after {wanted.within_seconds} s; look at {action.equipment_id}."
            return await self._runs.note(run, status="given_up", reason=said)
        return run

    # Inside ------------------------------------------------------------------------------------------------------

    async def _order(self, action: Start, value: Value, run: Stored, asking: Asking) -> Stored:
        before: dict[str, Any] = {}
        if action.result is not None:
            before = await self._before(action, action.result, asking)
        reason = f"Report {asking.report_id}" + (f", order {asking.order_id}" if asking.order_id else "")
        acted = await self._given(action, value, reason[:200], asking)
        if acted.outcome == "done":
            if action.result is None:
                return await self._runs.note(run, status="done", value="started", reason=None)
            return await self._runs.note(run, status="running", **before)
        if acted.outcome == "unknown":
            return await self._runs.note(run, status="unknown", reason=acted.detail)
        return await self._runs.note(run, status="failed", reason=f"It was not started. {acted.detail}")

    async def _given(self, action: Start, value: Value, reason: str, asking: Asking) -> Acted:
        """Give the order; where the machine only wants a moment of peace, after that."""
        for _ in range(BREATHS):
            acted = await self._writes.write(
                action.equipment_id, action.signal, value, reason=reason, actor=asking.actor
            )
            if acted.outcome != "again" or acted.retry_after is None or acted.retry_after > LONGEST_BREATH:
                return acted
            await asyncio.sleep(acted.retry_after)
        return acted

    async def _before(self, action: Start, wanted: ResultOf, asking: Asking) -> dict[str, Any]:
        """Does the machine say already what it says at the end? Then that is no end of ours."""
        try:
            reading = await self._control().read_now(action.equipment_id, action.signal, asking.actor)
        except OvenbridgeError:
            return {"heldBefore": True}  # the order will fail as well, and say why
        value = reading.values.get(wanted.signal)
        return {
            "heldBefore": _holds(wanted, reading) is not False,
            "valueBefore": None if value is None else value.value,
            "valueKnown": value is not None and value.value is not None,
        }

    async def _reading(self, action: Start, wanted: ResultOf, run: Document) -> Reading | None:
        """What the machine says now; where it cannot be asked, what it said last, if that is news."""
        actor = {"id": f"profile:{run['profile']}", "name": f"Request profile {run['profile']}", "how": "system"}
        try:
            reading = await self._control().read_now(action.equipment_id, action.signal, actor)
            if reading.values:
                return reading
        except OvenbridgeError:
            pass  # a machine that is busy may not answer; its polls tell, and the time runs out
        stored = await self._readings.latest(action.equipment_id)
        return stored if stored is not None and stored.values and stored.at > begun_at(run) else None

    async def _wait(self, seconds: float, run: Stored, began: float) -> TagAnswer:
        loop = asyncio.get_running_loop()
        while True:
            if run.document["status"] == "running":
                run = await self.look(run)
            answer = answer_of(run.document, self._clock.now())
            left = began + seconds - loop.time()
            if not answer.running or left <= 0:
                return answer
            await asyncio.sleep(min(LOOKS_EVERY, left))
            run = await self._runs.read(run.document["id"].removeprefix("run:"))


def _holds(wanted: ResultOf, reading: Reading) -> bool | None:
    """Does it say that it has ended? ``None``: it does not say."""
    found = reading.values.get(wanted.when_signal)
    if found is None or found.value is None or found.quality is Quality.BAD:
        return None
    return any(_same(found.value, value) for value in wanted.when_equals)


def _is_new(run: Document, value: Value) -> bool:
    if not run.get("heldBefore") or run.get("seenOther"):
        return True
    return bool(run.get("valueKnown")) and value != run.get("valueBefore")


def _same(one: Value, other: Value) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.strip().casefold() == other.strip().casefold()
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _rounded(value: Value, digits: int | None) -> Value:
    if digits is None or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return round(value) if digits == 0 else round(value, digits)


def _nothing(reason: str) -> TagAnswer:
    return TagAnswer(None, "", Quality.BAD, None, reason)
