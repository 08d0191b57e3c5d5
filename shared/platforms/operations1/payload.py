"""What an external request asks for.

Two shapes are known (``reference/platforms.md`` 1.2 and 1.3): the cloud's envelope ``{version, fullVersion, realm,
data}``, whose data is the whole report, and the device's own, with ``row`` and ``progressId`` at the top, which holds
one step. Neither schema is published whole, so nothing is demanded of them: tags are looked for anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from shared.errors import InvalidInput

__all__ = ["Asked", "objects", "read_payload"]

MAX_TAGS = 1_000
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as we understand it."""

    shape: Literal["cloud", "local", "unknown"]
    versions: tuple[str, ...]
    """``version`` and ``fullVersion`` of the envelope, as text; empty where there is no envelope."""
    realm: str | None
    tags: tuple[str, ...]
    """Names of all interaction tags in it that are not archived, each once."""
    report_id: str | None
    order_id: str | None
    step_id: str | None = None
    """The step, or the interaction, whose button was pressed."""

    @property
    def whole(self) -> bool:
        """Does it hold the whole report, so that a tag that is not in it is not asked for?"""
        return self.shape == "cloud"


def read_payload(payload: Any) -> Asked:
    """Understand a request. Raises ``InvalidInput`` only when it is no JSON object."""
    if not isinstance(payload, dict):
        raise InvalidInput("An external request is a JSON object.", field="body")
    versions = tuple(
        str(value)
        for value in (payload.get("version"), payload.get("fullVersion"))
        if isinstance(value, int | str) and not isinstance(value, bool) and value != ""
    )
    shape: Literal["cloud", "local", "unknown"] = "unknown"
    if "realm" in payload:
        shape = "cloud"
    elif "row" in payload or "progressId" in payload:
        shape = "local"
    realm = payload.get("realm")
    return Asked(
        shape=shape,
        versions=versions,
        realm=realm if isinstance(realm, str) else None,
        tags=tuple(dict.fromkeys(_tag_names(payload)))[:MAX_TAGS],
        report_id=_first_id(payload, ("progressId", "reportId")) or _report_of_cloud(payload),
        order_id=_first_id(payload, ("orderId",)),
        step_id=_first_id(payload, ("stepId", "rowId")) or _button(payload),
    )


def _tag_names(payload: dict[str, Any]) -> Iterator[str]:
    for node in objects(payload):
        tags = node.get("interactionTags")
        if not isinstance(tags, list):
            continue
        for tag in tags:
            if isinstance(tag, dict) and tag.get("archived") is not True:
                name = tag.get("name")
                if isinstance(name, str) and 0 < len(name) <= MAX_NAME:
                    yield name


def objects(payload: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every object in the tree, from the top down; without recursion, because a report may be large."""
    level: list[Any] = [payload]
    while level:
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                yield node
                below.extend(value for value in node.values() if isinstance(value, dict | list))
            elif isinstance(node, list):
                below.extend(value for value in node if isinstance(value, dict | list))
        level = below


def _report_of_cloud(payload: dict[str, Any]) -> str | None:
    """The data of an envelope is the report."""
    return _first_id({"id": data.get("id")}, ("id",)) if isinstance(data := payload.get("data"), dict) else None


def _button(payload: dict[str, Any]) -> str | None:
    """Of a whole report: the only interaction that asks, where there is one."""
    asking = [
        node.get("id")
        for node in objects(payload)
        if isinstance(tags := node.get("interactionTags"), list)
        and any(
            isinstance(tag, dict)
            and tag.get("interactionType") == "external-request"
            and tag.get("archived") is not True
            for tag in tags
        )
    ]
    only = asking[0] if len(asking) == 1 else None
    return str(only)[:100] if isinstance(only, int | str) and not isinstance(only, bool) else None


def _first_id(payload: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """An id at the top or directly under ``data``; null is normal."""
    data = payload.get("data")
    for place in (payload, data if isinstance(data, dict) else {}):
        for name in names:
            value = place.get(name)
            if isinstance(value, int | str) and not isinstance(value, bool) and value != "":
                return str(value)[:100]
    return None
