"""A node of the GraphQL API as a record of ours. Pure; lenient: what cannot be read is left out, and said where it
matters. Enumerations stay the words they are; the platform's own words are kept beside."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared import json_text
from shared.clock import iso, parse_iso
from shared.errors import InvalidInput
from shared.platforms.scope_ar.options import ConnectionOptions, References
from shared.work.sessions_found import FoundCapture, FoundRecord, Kind

__all__ = ["SOURCE", "captures_in", "found_record", "kind_of_type", "nodes_of"]

SOURCE = "scope_ar"
MAX_TEXT = 500

_KINDS: Mapping[str, Kind] = {"scenariosession": "session", "call": "call", "callsession": "call"}
_FILE_KEYS = ("fileurl", "thumbnailurl", "downloadurl")
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2}(?:\.\d{1,6})?)")


def kind_of_type(type_name: Any) -> Kind | None:
    """What a ``__typename`` is to us; ``None``: something else, or not told."""
    return _KINDS.get(type_name.lower()) if isinstance(type_name, str) else None


def found_record(
    node: Mapping[str, Any],
    *,
    kind: Kind,
    account: str,
    as_of: datetime,
    asked: bool,
    options: ConnectionOptions,
    references: References | None = None,
    external_id: str | None = None,
    captures: Sequence[FoundCapture] | None = None,
    gaps: Iterable[str] = (),
) -> FoundRecord:
    """A session or a call.

    Args:
        node: as the API gives it.
        kind: what it is.
        account: the connection.
        as_of: when it was asked for, or when the message with it came in.
        asked: an answer to a question.
        options: of the connection.
        references: keys of the external data; default: those of the options.
        external_id: the id it was asked for by; default: its own.
        captures: what was made during it.
        gaps: what is known to be missing.
    """
    release = _object(node.get("scenarioRelease"))
    scenario = _object(release.get("scenario"))
    ended_at, state = _moment(node.get("endedAt") or node.get("finishedAt")), _text(node.get("state"))
    external, said = _external_data(node)
    keys = references or options.references
    missing = [*gaps, *said, *_dropped(node)]
    return FoundRecord(
        kind=kind,
        source=SOURCE,
        account=account,
        external_id=external_id or str(node["id"]),
        as_of=as_of,
        asked=asked,
        version=_moment(node.get("updatedAt")),
        state=state,
        ended=ended_at is not None or (state or "").lower() in options.ended_states,
        started_at=_moment(node.get("startedAt")),
        ended_at=ended_at,
        duration_seconds=_duration(node.get("duration"), options),
        idle_seconds=_duration(node.get("idleDuration"), options),
        title=_text(scenario.get("name")) or _text(node.get("name")),
        details=_details(node, release, scenario),
        steps_possible=_count(node.get("numberOfStepsPossible")),
        steps_viewed=_count(node.get("numberOfStepsViewed")),
        percent_viewed=_number(node.get("percentOfStepsViewed")),
        steps=_steps(node),
        happenings=_happenings(node),
        external_data=external,
        work_order_id=_reference(external, keys.work_order),
        equipment_id=_reference(external, keys.equipment),
        batch_id=_reference(external, keys.batch),
        alert_id=_reference(external, keys.alert),
        captures=None if captures is None else tuple(captures),
        gaps=tuple(dict.fromkeys(missing)),
        told=_without_files(node),
    )


def nodes_of(connection: Any) -> list[dict[str, Any]] | None:
    """The nodes of a GraphQL connection, in either form; ``None``: it was not asked for, or refused."""
    if isinstance(connection, list):
        return [node for node in connection if isinstance(node, dict)]
    if not isinstance(connection, dict):
        return None
    if isinstance(connection.get("nodes"), list):
        return [node for node in connection["nodes"] if isinstance(node, dict)]
    if isinstance(connection.get("edges"), list):
        return [edge["node"] for edge in connection["edges"] if isinstance(edge, dict) and _object(edge.get("node"))]
    return None


def captures_in(nodes: Iterable[Mapping[str, Any]]) -> list[tuple[FoundCapture, str]]:
    """Captures with the address of each one's file."""
    found: list[tuple[FoundCapture, str]] = []
    for node in nodes:
        url = _file_url(node)
        if url is None or not isinstance(node.get("id"), str | int):
            continue
        step = _object(_object(node.get("scenarioSessionStep")).get("scenarioStep"))
        taken = _moment(node.get("createdAt"))
        found.append((FoundCapture(str(node["id"]), _text(node.get("type")), _text(step.get("name")), taken), url))
    return found


# Parts ---------------------------------------------------------------------------------------------------------------


def _steps(node: Mapping[str, Any]) -> tuple[dict[str, Any], ...] | None:
    nodes = nodes_of(node.get("steps"))
    if nodes is None:
        return None
    done = {str(one.get("id")) for one in nodes_of(node.get("completedSteps")) or []}
    steps = []
    for one in nodes:
        step = _object(one.get("scenarioStep"))
        name = step.get("id") or one.get("id")
        steps.append(
            {
                "id": None if name is None else str(name)[:MAX_TEXT],
                "name": _text(step.get("name")),
                "order": _count(step.get("orderIndex")),
                "sequence": _text(_object(step.get("scenarioSequence")).get("name")),
                "completed": bool({str(step.get("id")), str(one.get("id"))} & done) if done else None,
            }
        )
    return tuple(steps)


def _happenings(node: Mapping[str, Any]) -> tuple[dict[str, Any], ...] | None:
    nodes = nodes_of(node.get("events"))
    if nodes is None:
        return None
    happenings = []
    for one in nodes:
        at = _moment(one.get("createdAt") or one.get("receivedAt"))
        external, _ = _external_data(one)
        happenings.append(
            {
                "id": None if one.get("id") is None else str(one["id"])[:MAX_TEXT],
                "type": _text(one.get("type")),
                "at": iso(at) if at else None,
                "external_data": external,
            }
        )
    return tuple(happenings)


def _details(node: Mapping[str, Any], release: Mapping[str, Any], scenario: Mapping[str, Any]) -> dict[str, Any] | None:
    people = [_text(_object(one.get("createdBy")).get("name")) for one in nodes_of(node.get("parts")) or []]
    details = {
        "database_id": None if node.get("databaseId") is None else str(node["databaseId"])[:MAX_TEXT],
        "session_type": _text(node.get("sessionType")),
        "scenario_version": None if release.get("version") is None else str(release["version"])[:MAX_TEXT],
        "release_type": _text(release.get("type")),
        "author": _text(_object(release.get("author")).get("name")),
        "group": _text(_object(scenario.get("originGroup")).get("name")),
        "people": list(dict.fromkeys(name for name in people if name)) or None,
    }
    told = {name: value for name, value in details.items() if value is not None}
    return told or None


def _dropped(node: Mapping[str, Any]) -> list[str]:
    """Connections leave out what a token may not read, without a word: noticed where a count tells."""
    said = []
    shown, viewed = nodes_of(node.get("steps")), _count(node.get("numberOfStepsViewed"))
    if shown is not None and viewed is not None and len(shown) < viewed:
        said.append(f"Of {viewed} steps that were viewed {len(shown)} are shown: the token may not read the others.")
    for name, connection in node.items():
        total = _count(_object(connection).get("totalCount"))
        nodes = nodes_of(connection)
        if total is not None and nodes is not None and len(nodes) < total:
            said.append(f"Of {total} {name} {len(nodes)} are shown: the token may not read the others.")
    return said


def _external_data(node: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """An object, or one written as text."""
    value = node.get("externalData")
    if isinstance(value, str) and value.strip():
        try:
            value = json_text.load_foreign(value.encode())
        except (InvalidInput, UnicodeEncodeError):
            value = None
        if not isinstance(value, dict):
            return None, ["Its externalData is no JSON object and could not be read."]
    return (value, []) if isinstance(value, dict) else (None, [])


def _reference(external: Mapping[str, Any] | None, keys: Iterable[str]) -> str | None:
    for key in keys:
        value: Any = (external or {}).get(key)
        if value is None and "." in key:
            value = external
            for part in key.split("."):
                value = _object(value).get(part)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = f"{value:g}" if isinstance(value, float) else str(value)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _without_files(value: Any) -> Any:
    """Addresses of files open them without a sign-in: they are not kept."""
    if isinstance(value, dict):
        return {
            key: _without_files(inner)
            for key, inner in value.items()
            if not (isinstance(inner, str) and key.lower() in _FILE_KEYS)
        }
    return [_without_files(inner) for inner in value] if isinstance(value, list) else value


def _file_url(node: Mapping[str, Any]) -> str | None:
    for value in (node, *node.values()):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key.lower() == "fileurl" and isinstance(inner, str) and inner:
                    return inner
    return None


def _duration(value: Any, options: ConnectionOptions) -> float | None:
    """Its type is not published: a number in the configured unit, or ``h:mm:ss``."""
    if isinstance(value, str) and (parts := _CLOCK.fullmatch(value.strip())):
        return int(parts[1] or 0) * 3600.0 + int(parts[2]) * 60 + float(parts[3])
    number = _number(value)
    if number is None or number < 0:
        return None
    return round(number / 1000 if options.duration_unit == "milliseconds" else number, 3)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 <= number < 1e9 else None


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return parse_iso(value)
    except (ValueError, OverflowError):
        return None


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return "".join(c if c.isprintable() else " " for c in value).strip()[:MAX_TEXT] or None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
