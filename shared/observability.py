"""Structured logs: one JSON object a line, with the correlation id, and without secrets.

The correlation id is set once where a call, a timer or a message comes in, and travels in a context variable;
messages and stored deliveries carry it on to the last attempt.
"""

from __future__ import annotations

import logging
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

__all__ = ["REDACTED", "bound", "configure_logging", "correlation_id", "masked", "new_correlation_id", "redact"]

REDACTED = "[redacted]"

_correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)
_function: ContextVar[str | None] = ContextVar("function", default=None)

# Query parameters and JSON or header fields whose value is a secret, wherever they turn up in a text.
_QUERY = re.compile(
    r"(?i)([?&;]|\b)(code|sig|key|api_key|apikey|token|access_token|client_secret|password|secret)=([^&\s\"'<>]+)"
)
_FIELD = re.compile(
    r"(?i)([\"']?(?:authorization|x-functions-key|x-api-key|password|passwd|client_secret|clientsecret|api_key|apikey"
    r"|access_token|refresh_token|token|secret|signing_secret)[\"']?\s*[:=]\s*)"
    r"(?:[\"']([^\"']*)[\"']|((?:basic|bearer|token)\s+\S+|[^\s,;}\]\"'&]+))"
)
_SCHEME = re.compile(r"(?i)\b(basic|bearer)\s+[a-z0-9+/=._~-]{6,}")
_USERINFO = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^/\s@\"']+@")


def redact(text: str) -> str:
    """The text without what may be a secret: ``code``, ``sig``, Authorization, passwords, tokens, user:password@."""
    text = _USERINFO.sub(rf"\1{REDACTED}@", text)
    text = _QUERY.sub(rf"\1\2={REDACTED}", text)
    text = _SCHEME.sub(rf"\1 {REDACTED}", text)
    return _FIELD.sub(rf"\1{REDACTED}", text)


_SECRET_FIELDS = frozenset(
    (
        "password", "passwd", "secret", "clientsecret", "signingsecret", "apikey", "accesstoken", "refreshtoken",
        "idtoken", "token", "authorization", "proxyauthorization", "xfunctionskey", "xapikey", "code", "sig",
        "signature", "privatekey", "credentials", "key", "cookie", "setcookie",
    )
)  # fmt: skip
"""Names of fields, in lower case without separators, whose value is a secret."""


def masked(value: Any) -> Any:
    """A copy of a JSON value in which the values of fields with a secret's name, and secrets in texts, are hidden."""
    if isinstance(value, Mapping):
        return {
            name: REDACTED
            if item is not None and str(name).lower().replace("_", "").replace("-", "") in _SECRET_FIELDS
            else masked(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "replace"))
    return redact(value) if isinstance(value, str) else value


def new_correlation_id() -> str:
    """A fresh correlation id: 32 hex digits, so that it can serve as a W3C trace id."""
    return uuid.uuid4().hex


def correlation_id() -> str | None:
    """The correlation id of what is going on, if anything is."""
    return _correlation_id.get()


@contextmanager
def bound(correlation: str, function: str | None = None) -> Iterator[None]:
    """Everything logged inside carries this correlation id (and the name of the function)."""
    token = _correlation_id.set(correlation)
    function_token = _function.set(function if function is not None else _function.get())
    try:
        yield
    finally:
        _function.reset(function_token)
        _correlation_id.reset(token)


class _JsonLine(logging.Formatter):
    """One JSON object a line. Extra fields given as ``extra={"fields": {...}}`` stand beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if (correlation := _correlation_id.get()) is not None:
            line["correlation_id"] = correlation
        if (function := _function.get()) is not None:
            line["function"] = function
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line.update({str(k): redact(v) if isinstance(v, str) else v for k, v in fields.items()})
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()


def configure_logging(level: str = "INFO") -> None:
    """Send all logs to stderr as JSON lines. For the local host; in Azure the platform collects the records."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These speak of every connection at INFO, with URLs in full.
    for chatty in ("httpx", "httpcore", "aiohttp.access", "asyncio"):
        logging.getLogger(chatty).setLevel("WARNING")
