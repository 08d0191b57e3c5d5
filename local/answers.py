"""What the local host answers, by itself or for a function."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import azure.functions as func
from aiohttp import web
from multidict import CIMultiDict

__all__ = ["SERVER", "empty", "from_function", "problem"]

SERVER = "Ovenbridge"
"""The ``Server`` field: a name without versions."""

_OURS = frozenset({"content-length", "transfer-encoding", "connection", "server", "date"})
"""Header fields that the server writes, whatever the function says."""


def from_function(response: func.HttpResponse) -> web.Response:
    """A function's response as the host sends it: of a repeated header field the last value stays, except
    ``Set-Cookie``."""
    fields: CIMultiDict[str] = CIMultiDict({"Server": SERVER})
    for name, value in response.headers.items():
        lower = name.lower()
        if lower == "set-cookie":
            fields.add(name, value)
        elif lower not in _OURS:
            fields[name] = value
    if "Content-Type" not in fields:
        kind = response.mimetype or "text/plain"
        fields["Content-Type"] = f"{kind}; charset={response.charset}" if kind.startswith("text/") else kind
    return web.Response(body=response.get_body(), status=response.status_code, headers=fields)


def empty(status: int, fields: Mapping[str, str] | None = None) -> web.Response:
    """A bare status, as the host answers where a function is not asked."""
    return web.Response(status=status, headers={"Server": SERVER, **(fields or {})})


def problem(status: int, title: str, detail: str, **more: Any) -> web.Response:
    """A problem document (RFC 9457) of the host itself."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    fields = {"Server": SERVER, "Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if status == 429:
        fields["Retry-After"] = "1"
    return web.Response(body=json.dumps(body).encode(), status=status, headers=fields)
