"""Partial updates of one document."""

from __future__ import annotations

import copy
from typing import Any

from tests.wire.cosmos.protocol import bad_request

__all__ = ["patch_parts", "patched"]

_MAX_OPERATIONS = 10


def patch_parts(payload: Any) -> tuple[list[dict[str, Any]], str | None]:
    """The operations and the condition of a patch body. Raises 400."""
    condition = None
    if isinstance(payload, dict):
        condition, payload = payload.get("condition"), payload.get("operations")
    if not isinstance(payload, list) or not payload:
        raise bad_request("The patch request is invalid: give at least one operation.")
    if len(payload) > _MAX_OPERATIONS:
        raise bad_request(f"The number of patch operations can't exceed '{_MAX_OPERATIONS}'.")
    return payload, condition


def patched(document: dict[str, Any], operations: list[dict[str, Any]], keys: tuple[tuple[str, ...], ...]) -> Any:
    """The document after all operations, in their order; the one given stays as it is. Raises 400.

    ``keys``: the paths of the partition key, which no operation may touch; nor may one touch the id.
    """
    document = copy.deepcopy(document)
    for operation in operations:
        _apply(document, operation, keys)
    return document


def _apply(document: dict[str, Any], operation: dict[str, Any], keys: tuple[tuple[str, ...], ...]) -> None:
    kind = str(operation.get("op", "")).lower()
    path = _path(operation.get("path"), keys)
    if kind == "move":
        source = _path(operation.get("from"), keys)
        value = _value_at(document, source)
        _remove(document, source)
        _set(document, path, value, insert=True)
    elif kind == "remove":
        _remove(document, path)
    elif "value" not in operation:
        raise bad_request(f"The patch operation '{kind}' on '{_shown(path)}' needs a value.")
    elif kind == "incr":
        _increment(document, path, operation["value"])
    elif kind in ("set", "add"):
        _set(document, path, operation["value"], insert=kind == "add")
    elif kind == "replace":
        _value_at(document, path)
        _set(document, path, operation["value"], insert=False)
    else:
        raise bad_request(f"The patch operation '{kind}' is unknown: add, set, replace, remove, incr or move.")


def _path(text: Any, keys: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    if not isinstance(text, str) or not text.startswith("/") or text == "/":
        raise bad_request(f"The patch path '{text}' is invalid: it begins with a slash and names a property.")
    path = tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))
    if path == ("id",) or path[0] in ("_rid", "_self", "_etag", "_ts", "_attachments"):
        raise bad_request(f"Operation not allowed: cannot patch a system property: '{text}'.")
    if any(path == key[: len(path)] for key in keys):
        raise bad_request(f"Operation not allowed: cannot update the partition key of a document: '{text}'.")
    return path


def _shown(path: tuple[str, ...]) -> str:
    return "/" + "/".join(path)


def _missing(path: tuple[str, ...]) -> Exception:
    return bad_request(
        "For Operation(1): Add Operation can only create a child object of an existing node(array or object) and "
        f"cannot create path recursively, no path found beyond: '{_shown(path[:-1])}'. "
        f"The path was '{_shown(path)}'. Learn more: https://aka.ms/cosmosdbpatchdocs"
    )


def _parent(document: dict[str, Any], path: tuple[str, ...]) -> Any:
    node: Any = document
    for part in path[:-1]:
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            raise _missing(path)
    if not isinstance(node, dict | list):
        raise _missing(path)
    return node


def _value_at(document: dict[str, Any], path: tuple[str, ...]) -> Any:
    parent, last = _parent(document, path), path[-1]
    if isinstance(parent, dict) and last in parent:
        return parent[last]
    if isinstance(parent, list) and last.isdigit() and int(last) < len(parent):
        return parent[int(last)]
    raise _missing(path)


def _set(document: dict[str, Any], path: tuple[str, ...], value: Any, *, insert: bool) -> None:
    parent, last = _parent(document, path), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif last == "-" or (last.isdigit() and int(last) == len(parent)):
        parent.append(value)
    elif last.isdigit() and int(last) < len(parent):
        if insert:
            parent.insert(int(last), value)
        else:
            parent[int(last)] = value
    else:
        raise _missing(path)


def _remove(document: dict[str, Any], path: tuple[str, ...]) -> None:
    _value_at(document, path)
    parent, last = _parent(document, path), path[-1]
    if isinstance(parent, dict):
        del parent[last]
    else:
        del parent[int(last)]


def _increment(document: dict[str, Any], path: tuple[str, ...], by: Any) -> None:
    parent, last = _parent(document, path), path[-1]
    if isinstance(by, bool) or not isinstance(by, int | float):
        raise bad_request(f"The patch operation 'incr' on '{_shown(path)}' needs a number.")
    if isinstance(parent, dict) and last not in parent:
        parent[last] = by
        return
    present = _value_at(document, path)
    if isinstance(present, bool) or not isinstance(present, int | float):
        raise bad_request(f"The patch operation 'incr' on '{_shown(path)}' finds no number there.")
    _set(document, path, present + by, insert=False)
