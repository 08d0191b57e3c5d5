"""A webhook of either generation, understood: what it tells of, or why nothing is made of it. Pure.

Generation 2 has ``X-Scope-Topic`` and points at a node (``{"data": {"id", "url"}}``) or carries the result of its
subscription's query. Generation 1 names a resource with hyphens (or underscores: the documents have both) and tells of
everything. Its ``time`` is when it was sent, and orders nothing. No address in a body is ever called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared import json_text
from shared.errors import InvalidInput
from shared.platforms.scope_ar.options import HookOptions
from shared.work.sessions_found import Kind

__all__ = ["TOPIC", "Notice", "error_messages", "event_name", "read"]

TOPIC = "x-scope-topic"
MAX_ID = 1_024

_GENERATION_1_EVENTS = frozenset(
    f"{word}{ending}"
    for word, endings in (
        ("create", ("", "d")),
        ("update", ("", "d")),
        ("pause", ("", "d")),
        ("resume", ("", "d")),
        ("complete", ("", "d")),
        ("finish", ("", "ed")),
        ("end", ("", "ed")),
    )
    for ending in endings
)
_ID_IN_BROKEN = re.compile(rb'\A\s*\{\s*"data"\s*:\s*\{\s*"id"\s*:\s*"([^"\\]{1,1024})"')


@dataclass(frozen=True, slots=True)
class Notice:
    """What a webhook says."""

    event: str
    kind: Kind | None = None
    """What it tells of; ``None``: nothing is made of it, and ``why`` says why."""
    external_id: str | None = None
    node: Mapping[str, Any] | None = None
    """The thing itself, where the subscription has a query."""
    problems: tuple[str, ...] = ()
    """What came beside it: ``errors`` of the query, an unreadable body."""
    refused: bool = False
    """The query found nothing that the subscription may read."""
    why: str | None = None


def event_name(headers: Mapping[str, str], raw: bytes) -> str | None:
    """What the sender calls it, for the inbox; never raises."""
    if topic := headers.get(TOPIC):
        return topic.strip()[:100]
    try:
        found = _folded(json_text.load_foreign(raw))
        resource = _folded(found.get("data"))
    except InvalidInput:
        return None
    event = found.get("event")
    kind = resource.get("resource_type") or found.get("type")
    return f"{kind}.{event}"[:100] if isinstance(event, str) and isinstance(kind, str) else None


def read(headers: Mapping[str, str], raw: bytes, options: HookOptions) -> Notice:
    """Understand a webhook.

    Raises:
        InvalidInput: it should tell of a session or a call, and does not say which one.
    """
    if topic := headers.get(TOPIC, "").strip():
        return _generation_2(topic[:100], headers, raw, options)
    return _generation_1(raw, options)


# Generation 2 --------------------------------------------------------------------------------------------------------


def _generation_2(topic: str, headers: Mapping[str, str], raw: bytes, options: HookOptions) -> Notice:
    kind = _kind_of(topic.partition("/")[0], options.session_topics, options.call_topics)
    if kind is None:
        return Notice(topic, why=f"Nothing is made of the topic {topic}: see session_topics and call_topics.")
    webhook_type = headers.get("x-scope-webhook-type", "node").strip().lower()
    if webhook_type != "node":
        return Notice(topic, why=f"Nothing is made of webhooks of the type {webhook_type[:40]}, only of nodes.")
    try:
        body = json_text.load_foreign(raw)
    except InvalidInput as error:
        if (found := _ID_IN_BROKEN.match(raw)) is None:
            raise
        said = found[1].decode("utf-8", "replace")
        return Notice(topic, kind, said, problems=(f"{error.detail} Its id could be read all the same.",))
    return _pointer_or_result(topic, kind, body)


def _pointer_or_result(topic: str, kind: Kind, body: Any) -> Notice:
    if not isinstance(body, dict):
        raise InvalidInput("The body is no JSON object.", field="body")
    problems = error_messages(body.get("errors"))
    data = body.get("data")
    if isinstance(data, dict) and set(data) <= {"id", "url"} and "id" in data:
        return Notice(topic, kind, _id(data["id"]), problems=problems)
    node = _node_in(data)
    if node is None:
        if problems:
            return Notice(topic, kind, problems=problems, refused=True)
        raise InvalidInput(
            "The body holds neither data.id nor the result of a query with the id of a node: add `id` to the query of "
            "the subscription, or leave the query out.",
            field="data",
        )
    return Notice(topic, kind, _id(node["id"]), node=node, problems=problems)


def _node_in(data: Any) -> Mapping[str, Any] | None:
    """The node of a query's result: the data itself, under ``node``, or under a name of the query's own."""
    if not isinstance(data, dict):
        return None
    for candidate in (data, data.get("node"), *data.values()):
        if isinstance(candidate, dict) and isinstance(candidate.get("id"), str | int):
            return candidate
    return None


def error_messages(errors: Any) -> tuple[str, ...]:
    """The sentences of GraphQL's ``errors``; they stand beside a 200."""
    if not isinstance(errors, list):
        return () if errors in (None, {}, "") else ("The answer has errors in a form that is not known.",)
    said = [str(error.get("message") or "no message") if isinstance(error, dict) else str(error) for error in errors]
    return tuple(dict.fromkeys("".join(c if c.isprintable() else " " for c in text)[:300] for text in said[:20]))


# Generation 1 --------------------------------------------------------------------------------------------------------


def _generation_1(raw: bytes, options: HookOptions) -> Notice:
    body = _folded(json_text.load_foreign(raw))
    resource = _folded(body.get("data"))
    event, what = str(body.get("event") or "").lower(), str(body.get("type") or "").lower()
    named = str(resource.get("resource_type") or "")
    full = f"{named or what}.{event}"[:100]
    if what != "resource":
        return Notice(full, why=f"Nothing is made of the type {what[:40] or '(none)'}, only of resources.")
    kind = _kind_of("".join(c for c in named if c.isalnum()), options.session_types, options.call_types)
    if kind is None:
        return Notice(full, why=f"Nothing is made of {named[:40] or 'a resource without a type'}: see session_types.")
    if event not in _GENERATION_1_EVENTS:
        return Notice(full, why=f"Nothing is made of the event {event[:40] or '(none)'}.")
    return Notice(full, kind, _id(resource.get("resource_id")))


def _folded(value: Any) -> dict[str, Any]:
    """Keys in lower case with underscores. Not an object: empty."""
    if not isinstance(value, dict):
        return {}
    return {key.lower().replace("-", "_"): inner for key, inner in value.items()}


def _kind_of(name: str, sessions: tuple[str, ...], calls: tuple[str, ...]) -> Kind | None:
    folded = name.strip().lower()
    return "session" if folded in sessions else "call" if folded in calls else None


def _id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value.strip()) <= MAX_ID:
        raise InvalidInput("The body does not say which one it tells of: its id is missing.", field="data")
    return value.strip()
