"""Writing to machines on the word of an alert's rule: what ``shared.alerts.response_ports.Writes`` asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.alerts.response_ports import Acted, Outcome
from shared.collection.control import RemoteControl, WriteOrder, WriteOutcome
from shared.errors import OvenbridgeError, RelaySilent, TooManyRequests, Unavailable
from shared.signals import Value

__all__ = ["AlertWrites"]

PERHAPS = ("may have", "may yet be")
NOT_DONE = ("nothing was written", "was not fetched, and will not be done")
AFTERWARDS = "was written, and"
"""What the sentences of connectors and relays say of an order that failed (``connectors.base.Connector.write``)."""


class AlertWrites:
    """The same way, with the same checks and the same entries, as an order that a person gives."""

    def __init__(self, control: Callable[[], RemoteControl]) -> None:
        self._control = control

    async def check(self, equipment_id: str, signal: str, value: Value) -> str:
        """See ``Writes``."""
        return await self._control().check(equipment_id, signal, value)

    async def write(
        self, equipment_id: str, signal: str, value: Value, *, reason: str, actor: Mapping[str, str]
    ) -> Acted:
        """See ``Writes``."""
        if value is None:
            return Acted("failed", "The rule names no value to write.")
        try:
            outcome = await self._control().write(equipment_id, WriteOrder(signal, value, reason), actor)
        except TooManyRequests as error:
            return Acted("again", error.detail, retry_after=error.retry_after)
        except RelaySilent as error:
            return Acted("again" if _says(error.detail, NOT_DONE) else "unknown", error.detail)
        except Unavailable as error:  # raised before the order alone: what fails later is part of the outcome
            return Acted("again", error.detail, retry_after=error.retry_after)
        except OvenbridgeError as error:  # not allowed, not there, not such a value: no try would help
            return Acted("failed", error.detail)
        return _judge(outcome)


def _judge(outcome: WriteOutcome) -> Acted:
    signal, value = outcome.order.signal, outcome.order.value
    said = {
        "before": None if outcome.before is None else outcome.before.value,
        "after": None if outcome.after is None else outcome.after.value,
    }
    detail = outcome.error_details or ""
    if outcome.success:
        unit = f" {outcome.before.unit}".rstrip() if outcome.before is not None else ""
        note = "" if outcome.verified else f" It is not verified: {detail or 'the machine says something else'}."
        before = _plain(said["before"])
        return Acted("done", f"{signal} was set to {_plain(value)}{unit}; before it was {before}{unit}.{note}", said)
    if outcome.before is None:
        return Acted("again", detail, said)
    if AFTERWARDS in detail:
        return Acted("done", f"It is not verified: {detail}", said)
    return Acted(_failed(detail), detail, said)


def _plain(value: Value) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "on", False: "off", None: "not known"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _failed(detail: str) -> Outcome:
    if _says(detail, PERHAPS):
        return "unknown"
    return "again" if _says(detail, NOT_DONE) else "failed"


def _says(detail: str, words: tuple[str, ...]) -> bool:
    return any(word in detail.lower() for word in words)
