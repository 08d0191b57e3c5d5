"""The rules every machine has that is read, unless its profile or the machine itself says otherwise.

Limits of temperatures are never a default: only a site knows them. A profile can carry rules of its own
(``profile:{name}``), and a rule under a default's id in a machine's own scope takes the default's place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.alerts.model import ERROR_WORDS, Kind, Rule, Severity

if TYPE_CHECKING:
    from shared.equipment.model import Equipment

__all__ = ["BUILTIN", "BUILT_IN_RULES", "resolved"]

BUILTIN = "builtin"
"""The scope of the rules below."""

BUILT_IN_RULES: tuple[Rule, ...] = (
    Rule(
        id="builtin-connection_lost",
        scope=BUILTIN,
        kind=Kind.CONNECTION_LOST,
        name="Connection lost",
        on_delay_seconds=60.0,
        failures=2,
        severity=Severity.WARNING,
    ),
    Rule(
        id="builtin-equipment_error",
        scope=BUILTIN,
        kind=Kind.EQUIPMENT_ERROR,
        name="Equipment error",
        signal="status",
        equals=ERROR_WORDS,
        severity=Severity.CRITICAL,
    ),
    Rule(id="builtin-stale", scope=BUILTIN, kind=Kind.STALE, name="No new data", severity=Severity.WARNING),
)


def resolved(rule: Rule, equipment: Equipment) -> Rule:
    """The rule with what depends on the machine's poll interval worked out."""
    if rule.kind is Kind.STALE and rule.after_seconds is None:
        return replace(rule, after_seconds=equipment.stale_after_seconds)
    if rule.kind is Kind.REACH:
        return replace(rule, gap_seconds=equipment.stale_after_seconds)
    return rule
