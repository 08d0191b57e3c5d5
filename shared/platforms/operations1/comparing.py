"""Is what a worker entered what the machine says? Pure."""

from __future__ import annotations

from dataclasses import dataclass

from shared.platforms.operations1.entered import as_number
from shared.platforms.operations1.judgement import TagAnswer
from shared.platforms.operations1.webhook_options import Tolerance
from shared.signals import Value

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """An entered value beside the machine's own."""

    entered: Value
    machine: Value
    """``None``: it has no usable value."""
    unit: str
    agrees: bool | None
    """``None``: nobody can judge, and ``reason`` says why."""
    reason: str | None
    allowed: float | None = None
    """How far apart they may be, in ``unit``; ``None``: they are no numbers."""


def compare(entered: Value, answer: TagAnswer, tolerance: Tolerance) -> Comparison:
    """Compare them.

    Args:
        entered: by a worker.
        answer: what can be said of the machine's own value.
        tolerance: how far numbers may be apart; texts and switches agree or do not.
    """
    machine = answer.value
    if machine is None:
        return Comparison(entered, None, answer.unit, None, answer.reason or "The machine has no usable value.")
    if isinstance(machine, bool):
        said = _switch(entered)
        if said is None:
            return Comparison(entered, machine, answer.unit, None, "The machine says yes or no; this was not entered.")
        return Comparison(entered, machine, answer.unit, said is machine, None)
    if isinstance(machine, str):
        agrees = str(entered).strip().casefold() == machine.strip().casefold()
        return Comparison(entered, machine, answer.unit, agrees, None)
    number = as_number(entered)
    if number is None:
        return Comparison(entered, machine, answer.unit, None, "No number was entered, and the machine says one.")
    allowed = max(tolerance.absolute or 0.0, abs(machine) * (tolerance.percent or 0.0) / 100)
    # What people see as exactly the tolerance is within it: 87.3 - 85.3 is 2.0000000000000018.
    slack = max(abs(number), abs(machine), 1.0) * 1e-9
    return Comparison(number, machine, answer.unit, abs(number - machine) <= allowed + slack, None, allowed)


_YES = frozenset({"true", "yes", "on", "1", "ja", "ok"})
_NO = frozenset({"false", "no", "off", "0", "nein"})


def _switch(value: Value) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(value).strip().casefold()
    return True if word in _YES else False if word in _NO else None
