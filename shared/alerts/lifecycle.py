"""An alert from its first moment to its last: pure functions over its stored document.

::

    active_unacknowledged --acknowledge--> active_acknowledged
            |        \\                          |      |
          clears     resolve                  clears  resolve
            |           \\                       |      |
            v            +------------------> closed <--+
    cleared_unacknowledged --acknowledge, resolve--^

Each function answers with a new document, or with the very one it was given when there is nothing to change: doing
the same twice keeps the first. What is to be told is noted in the document itself (``unpublished``) by the same write
that makes it true, and told after.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from shared.access import Caller
from shared.alerts.conditions import EXACT
from shared.alerts.model import AlertState, Rule, Severity, alert_type_of, status_of
from shared.alerts.rule_forms import as_written
from shared.alerts.sentences import duration, message, rule_text
from shared.alerts.transition import Transition
from shared.alerts.units import unit_of
from shared.clock import compact, iso, parse_iso
from shared.errors import Conflict, NotFound
from shared.events.catalogue import ALERT_ACKNOWLEDGED, ALERT_RAISED, ALERT_RESOLVED, ALERT_SHELVED
from shared.storage import Document

__all__ = [
    "acknowledge",
    "alert_id",
    "cleared",
    "comment",
    "document_id",
    "is_active",
    "place_of",
    "raised",
    "reported",
    "resolve",
    "shelve",
    "shown",
    "state_of",
    "told_again",
    "unshelve",
]

MAX_COMMENTS = 200
MAX_HISTORY = 200
MAX_TEXT = 500
ITSELF = "Ovenbridge"
"""Who did what nobody did."""


def alert_id(equipment_id: str, document_id: str) -> str:
    """The API's id of an alert: ``{equipment}:{rule}:{opened}``, which says where it is kept."""
    return f"{equipment_id}:{document_id.removeprefix('a:')}"


def place_of(api_id: str) -> tuple[str, str]:
    """``(equipment id, document id)`` of an API id. Raises ``NotFound`` for what is no id of ours."""
    equipment_id, _, rest = api_id.partition(":")
    if not equipment_id or rest.count(":") != 1 or len(api_id) > 255 or any(c in "/\\?#" for c in api_id):
        raise NotFound("There is no alert of this id; ids look like {equipment}:{rule}:{time} (see the list).")
    return equipment_id, f"a:{rest}"


def document_id(rule_id: str, opened_at: datetime) -> str:
    """The same for the same alert, so that raising it twice makes one."""
    return f"a:{rule_id}:{compact(opened_at)}"


def state_of(alert: Document) -> AlertState:
    """Where the alert stands."""
    return AlertState(alert["state"])


def is_active(alert: Document) -> bool:
    """Does the condition hold, as far as is known, and has nobody closed it?"""
    return state_of(alert) in (AlertState.ACTIVE_UNACKNOWLEDGED, AlertState.ACTIVE_ACKNOWLEDGED)


def shown(value: Any) -> Any:
    """Numbers with the digits people read, texts of a length they read."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT:
        return float(value) if abs(value) < 1e300 else None
    return value[:MAX_TEXT] if isinstance(value, str) else value


def raised(
    rule: Rule,
    transition: Transition,
    *,
    equipment_id: str,
    equipment_name: str,
    site: str | None,
    now: datetime,
    reading_id: str | None,
    shelved_until: datetime | None,
    correlation_id: str | None,
) -> Document:
    """The document of an alert that was raised just now."""
    alert: Document = {
        "id": document_id(rule.id, transition.opened_at),
        "equipmentId": equipment_id,
        "equipmentName": equipment_name,
        "site": site,
        "ruleId": rule.id,
        "ruleScope": rule.scope,
        "ruleName": rule.name,
        "ruleVersion": rule.version,
        "ruleText": rule_text(rule),
        # What was done about it stands with each response, as it was when it was done.
        "rule": {name: value for name, value in as_written(rule).items() if name != "responses"},
        "kind": rule.kind.value,
        "alertType": alert_type_of(rule).value,
        "severity": rule.severity.value,
        "message": message(rule, transition, equipment_name),
        "signal": rule.signal,
        "unit": unit_of(rule),
        "limit": shown(rule.limit),
        "value": shown(transition.value),
        "setpoint": shown(transition.setpoint),
        "quality": transition.quality.value,
        "reason": transition.note,
        "batchId": transition.batch,
        "peak": shown(transition.peak),
        "badReadings": transition.bad_readings,
        "conditionSince": iso(transition.since) if transition.since is not None else None,
        "triggeredAt": iso(transition.opened_at),
        "raisedAt": iso(now),
        "readingIdAtRaise": reading_id,
        "comments": [],
        "history": [],
        "correlationId": correlation_id,
    }
    alert = _noted(_in_state(alert, AlertState.ACTIVE_UNACKNOWLEDGED), now, "raised", ITSELF)
    if shelved_until is not None:
        return {**alert, "shelvedUntil": iso(shelved_until), "announced": False}
    return _to_tell({**alert, "announced": True}, ALERT_RAISED, "raised", transition.opened_at)


def reported(alert: Document, *, now: datetime, shelved_until: datetime | None) -> Document:
    """The same of a condition that somebody outside judged; ``alert``: what is said of it."""
    alert = {**alert, "raisedAt": iso(now), "comments": [], "history": []}
    alert = _noted(_in_state(alert, AlertState.ACTIVE_UNACKNOWLEDGED), now, "raised", ITSELF)
    if shelved_until is not None:
        return {**alert, "shelvedUntil": iso(shelved_until), "announced": False}
    return _to_tell({**alert, "announced": True}, ALERT_RAISED, "raised", parse_iso(alert["triggeredAt"]))


def told_again(alert: Document, word: Document) -> Document:
    """It was told of once more while it is open: a line in its history, and perhaps another severity.

    One that became worse is told of anew, and wants to be seen again.
    """
    known = any(line["at"] == word["at"] and line["action"] == "reported" for line in alert["history"])
    if known or alert.get("clearedAt") is not None:
        return alert
    moment = parse_iso(word["at"])
    changed = _noted(alert, moment, "reported", ITSELF, word["message"])
    severity = Severity(word["severity"] if "severity" in word else alert["severity"])
    if severity.value == alert["severity"] or not is_active(alert):
        return changed
    changed |= {"severity": severity.value, "message": word["message"]}
    order = [*Severity]
    if order.index(severity) < order.index(Severity(alert["severity"])):
        return changed
    seen = ("acknowledgedAt", "acknowledgedBy", "acknowledgedById", "acknowledgedComment")
    changed = _in_state({k: v for k, v in changed.items() if k not in seen}, AlertState.ACTIVE_UNACKNOWLEDGED)
    if not changed.get("announced") or changed.get("shelvedUntil") is not None:
        return changed
    return _to_tell(changed, ALERT_RAISED, f"raised:{compact(moment)}", moment)


def cleared(alert: Document, ended: Document, now: datetime) -> Document:
    """The condition went away. ``ended``: what the evaluation said of it, in stored form."""
    if alert.get("clearedAt") is not None:
        return alert
    known = ("clearedAt", "peak", "badReadings", "readingIdAtClear", "clearValue")
    changed: Document = {**alert, **{k: ended[k] for k in known if k in ended}}
    if ended.get("reason"):
        changed["clearReason"] = ended["reason"]
    changed = _noted(changed, now, "cleared", ITSELF, ended.get("reason"))
    if state_of(alert) is AlertState.CLOSED:
        return changed  # a person closed it before: what they did stays, and nobody is told again
    seen = state_of(alert) is AlertState.ACTIVE_ACKNOWLEDGED
    after = AlertState.CLOSED if seen else AlertState.CLEARED_UNACKNOWLEDGED
    changed = _ended(_in_state(changed, after), parse_iso(ended["clearedAt"]), None)
    return _tell_resolved(changed, now)


def acknowledge(alert: Document, caller: Caller, text: str | None, now: datetime) -> Document:
    """A person has seen it. Raises ``Conflict`` when it was closed unseen."""
    if alert.get("acknowledgedAt") is not None:
        return alert
    if state_of(alert) is AlertState.CLOSED:
        raise Conflict(f"This alert was closed by {_closer(alert)}; there is nothing left to acknowledge.")
    state = AlertState.ACTIVE_ACKNOWLEDGED if is_active(alert) else AlertState.CLOSED
    changed = {
        **alert,
        "acknowledgedAt": iso(now),
        "acknowledgedBy": caller.name,
        "acknowledgedById": caller.id,
        "acknowledgedComment": text,
    }
    changed = _noted(_in_state(changed, state), now, "acknowledged", caller.name, text)
    return _to_tell(changed, ALERT_ACKNOWLEDGED, "acknowledged", now, by=caller.name, comment=text)


def resolve(alert: Document, caller: Caller, text: str | None, now: datetime) -> Document:
    """A person closes it, whatever its condition does. While that goes on, the rule raises no new alert."""
    if state_of(alert) is AlertState.CLOSED:
        return alert
    was_active = is_active(alert)
    changed = _noted(_in_state(alert, AlertState.CLOSED), now, "resolved", caller.name, text)
    changed = {**changed, "closedAt": iso(now), "closedBy": caller.name, "closedById": caller.id, "closedComment": text}
    changed.pop("shelvedUntil", None)
    if not was_active:
        return changed  # that it is over was told when it cleared
    return _tell_resolved(_ended(changed, now, caller.name), now, by=caller.name, comment=text)


def shelve(alert: Document, caller: Caller, minutes: float, text: str | None, now: datetime) -> Document:
    """Silence it for so long; at most a day. Shelving again sets a new end."""
    if not is_active(alert):
        raise Conflict(f"Only an active alert can be shelved; this one is {alert['state'].replace('_', ' ')}.")
    until = iso(now + timedelta(minutes=minutes))
    if alert.get("shelvedUntil") == until:
        return alert
    changed = {**alert, "shelvedUntil": until, "shelvedBy": caller.name, "shelvedComment": text}
    said = f"for {duration(minutes * 60)}" + (f": {text}" if text else "")
    changed = _noted(changed, now, "shelved", caller.name, said)
    return _to_tell(
        changed, ALERT_SHELVED, f"shelved:{compact(now)}", now, by=caller.name, comment=text, shelved_until=until
    )


def unshelve(alert: Document, by: str | None, text: str | None, now: datetime) -> Document:
    """The silence ends, by a person or by its time. What is still active and unseen is told (again)."""
    if alert.get("shelvedUntil") is None:
        return alert
    changed = {k: v for k, v in alert.items() if k != "shelvedUntil"}
    changed = _noted(changed, now, "unshelved", by or ITSELF, text)
    if state_of(alert) is not AlertState.ACTIVE_UNACKNOWLEDGED:
        return changed
    key = f"raised:{compact(now)}" if alert.get("announced") else "raised"
    return _to_tell({**changed, "announced": True}, ALERT_RAISED, key, now)


def comment(alert: Document, caller: Caller, text: str, now: datetime) -> Document:
    """Add a remark; the same one twice in a row is one."""
    comments = alert.get("comments", [])
    if comments and comments[-1]["text"] == text and comments[-1]["byId"] == caller.id:
        return alert
    if len(comments) >= MAX_COMMENTS:
        raise Conflict(f"This alert has {MAX_COMMENTS} comments; that is the most it can hold.")
    added = {"at": iso(now), "by": caller.name, "byId": caller.id, "text": text}
    return {**alert, "comments": [*comments, added]}


# Parts ---------------------------------------------------------------------------------------------------------------


def _closer(alert: Document) -> str:
    return f"{alert.get('closedBy') or ITSELF} at {alert.get('closedAt') or alert.get('resolvedAt')}"


def _in_state(alert: Document, state: AlertState) -> Document:
    return {**alert, "state": state.value, "status": status_of(state).value}


def _ended(alert: Document, moment: datetime, by: str | None) -> Document:
    lasted = (moment - parse_iso(alert["triggeredAt"])).total_seconds()
    changed = {**alert, "resolvedAt": iso(moment), "resolvedBy": by, "durationSeconds": round(max(0.0, lasted), 3)}
    changed.pop("shelvedUntil", None)
    return changed


def _noted(alert: Document, now: datetime, action: str, by: str, text: str | None = None) -> Document:
    line: dict[str, Any] = {"at": iso(now), "by": by, "action": action}
    if text:
        line["comment"] = text
    return {**alert, "history": [*alert["history"], line][-MAX_HISTORY:]}


def _tell_resolved(alert: Document, now: datetime, *, by: str | None = None, comment: str | None = None) -> Document:
    if not alert.get("announced"):
        return alert  # raised and over while it was shelved: nobody was told, so nobody is told that it is over
    return _to_tell(alert, ALERT_RESOLVED, "resolved", now, by=by or ITSELF, comment=comment)


def _to_tell(alert: Document, event_type: str, key: str, moment: datetime, **more: Any) -> Document:
    mark = {"type": event_type, "key": key, "at": iso(moment), "status": alert["status"], **more}
    return {**alert, "unpublished": [*alert.get("unpublished", []), mark]}
