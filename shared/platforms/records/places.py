"""What a mapping may say of a session or a call: ``{work_order_id}`` in a path, ``"{duration_seconds}"`` in a body.

A body is a JSON value whose texts have places, never a text that becomes JSON; a value in a path is percent-encoded
whole. So nothing that somebody entered can become structure. Names are a fixed list; nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from shared.storage import Document
from shared.work.sessions_fields import RECORD_FIELDS

__all__ = ["FIELDS", "Missing", "fill", "fill_path", "names_in", "odata_key", "path_value", "problem_with", "words_of"]

FIELDS: Mapping[str, str] = {
    **RECORD_FIELDS,
    "record_id": "id",
    "account": "account",
}
"""Places, and where their values stand in the record."""
COMPUTED = ("url", "summary", "captures", "created_id", "idempotency_key")
_GROUPS = re.compile(
    r"external_data\.[^{}\r\n]{1,100}|details\.[^{}\r\n]{1,100}|oven\.[A-Za-z0-9_.-]{1,100}\.(?:min|max|average|last)"
)
_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_ALONE = re.compile(r"\{([^{}]+)\}")
MAX_DEPTH = 10


class Missing(Exception):
    """A place that has to be filled has no value."""

    def __init__(self, name: str, why: str | None = None) -> None:
        super().__init__(name)
        self.sentence = why or f"It has no {name}."


def names_in(template: Any) -> Iterator[str]:
    """The places of a text, or of all texts in a JSON value."""
    if isinstance(template, str):
        yield from (found[1] for found in _PLACE.finditer(template) if found[1] is not None)
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from names_in(value)
    elif isinstance(template, list):
        for value in template:
            yield from names_in(value)


def problem_with(template: Any) -> str | None:
    """What is wrong with a template, for people; ``None``: nothing."""
    if _deep(template, MAX_DEPTH):
        return f"it is nested deeper than {MAX_DEPTH} levels"
    for name in names_in(template):
        if name not in FIELDS and name not in COMPUTED and not _GROUPS.fullmatch(name):
            known = ", ".join((*FIELDS, *COMPUTED, "external_data.<key>", "details.<key>", "oven.<signal>.max"))
            return f"there is no place {{{name[:60]}}}; there are {known}"
    return None


def words_of(record: Document, *, base_url: str) -> dict[str, Any]:
    """Every value that a place may stand for."""
    words: dict[str, Any] = {name: record.get(path) for name, path in FIELDS.items()}
    words["url"] = f"{base_url}/api/v1/{record['kind']}s/{record['id']}"
    words["captures"] = len(record.get("captures") or ())
    words["summary"] = _summary(record)
    for group, path in (("external_data", "externalData"), ("details", "details")):
        for key, value in (record.get(path) or {}).items():
            words[f"{group}.{key}"] = value
    for signal, stats in ((record.get("readings") or {}).get("signals") or {}).items():
        for name in ("min", "max", "average", "last"):
            words[f"oven.{signal}.{name}"] = stats.get(name)
    return words


def fill(
    template: Any, words: Mapping[str, Any], *, keep_empty: bool = False, quoted: Callable[[str], str] | None = None
) -> Any:
    """A JSON value with its places filled. A text that is one place alone becomes the value itself; a property whose
    value is not known is left out (``keep_empty``: is null), so that nothing known elsewhere is wiped out.

    ``quoted``: how values are written inside longer texts.
    """
    if isinstance(template, str):
        alone = _ALONE.fullmatch(template)
        if alone is not None and quoted is None:
            return words.get(alone[1])
        return _written(template, words, quoted or (lambda text: text))
    if isinstance(template, Mapping):
        filled = {}
        for name, value in template.items():
            binds = str(name).endswith("@odata.bind")
            one = fill(value, words, keep_empty=keep_empty, quoted=odata_key if binds else None)
            if keep_empty or not (one is None or (binds and _lacks(value, words))):
                filled[name] = one
        return filled
    if isinstance(template, list):
        return [fill(value, words, keep_empty=keep_empty) for value in template]
    return template


def fill_path(template: str, words: Mapping[str, Any], quoted: Callable[[str], str] | None = None) -> str:
    """A path with its places filled, each value percent-encoded whole.

    Raises:
        Missing: a value is not known, or would be a step up in the path.
    """
    for name in names_in(template):
        if words.get(name) in (None, ""):
            raise Missing(name)
    return _written(template, words, quoted or path_value)


def path_value(text: str) -> str:
    """A value as one segment of a path. Raises ``Missing`` for ``.`` and ``..``."""
    if text in (".", ".."):
        raise Missing("value", f"The value {text} cannot stand in a path.")
    return quote(text, safe="")


def odata_key(text: str) -> str:
    """A value inside the quotes of an OData key: quotes are doubled, then all is percent-encoded."""
    return quote(text.replace("'", "''"), safe="")


def _written(template: str, words: Mapping[str, Any], quoted: Callable[[str], str]) -> str:
    def said(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        return quoted(_text(words.get(found[1])))

    return _PLACE.sub(said, template)


def _lacks(template: Any, words: Mapping[str, Any]) -> bool:
    return any(words.get(name) in (None, "") for name in names_in(template))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _summary(record: Document) -> str:
    what = "Session" if record["kind"] == "session" else "Call"
    parts = [f"{what} “{str(record['title'])[:100]}”" if record.get("title") else what]
    if record.get("durationSeconds") is not None:
        parts.append(f"{round(record['durationSeconds'] / 60, 1):g} min")
    if record.get("stepsViewed") is not None and record.get("stepsPossible") is not None:
        parts.append(f"{record['stepsViewed']} of {record['stepsPossible']} steps")
    if record.get("equipmentName") or record.get("equipmentId"):
        parts.append(str(record.get("equipmentName") or record["equipmentId"]))
    return ", ".join(parts)


def _deep(value: Any, left: int) -> bool:
    if isinstance(value, Mapping):
        return left == 0 or any(_deep(one, left - 1) for one in value.values())
    if isinstance(value, list):
        return left == 0 or any(_deep(one, left - 1) for one in value)
    return False
