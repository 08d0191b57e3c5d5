"""Structured logs: one line each, with the correlation id, and without secrets.

The correlation id is set once where a call, a timer or a message comes in, and travels in a context variable;
messages and stored deliveries carry it on to the last attempt.

Secrets are taken out when a record is made, not when it is written: whatever handler a host or a telemetry package
installs, it never sees them.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.redaction import REDACTED, masked, redact

__all__ = [
    "REDACTED",
    "bound",
    "configure_logging",
    "correlation_id",
    "fields",
    "masked",
    "new_correlation_id",
    "protect_logs",
    "redact",
]

_correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)
_function: ContextVar[str | None] = ContextVar("function", default=None)


def new_correlation_id() -> str:
    """A fresh correlation id: 32 hex digits, so that it can serve as a W3C trace id."""
    return os.urandom(16).hex()


def correlation_id() -> str | None:
    """The correlation id of what is going on, if anything is."""
    return _correlation_id.get()


class _Bound:
    __slots__ = ("_correlation", "_function", "_tokens")

    def __init__(self, correlation: str, function: str | None) -> None:
        self._correlation = correlation
        self._function = function
        self._tokens: tuple[Token[str | None], Token[str | None]] | None = None

    def __enter__(self) -> None:
        function = self._function if self._function is not None else _function.get()
        self._tokens = (_correlation_id.set(self._correlation), _function.set(function))

    def __exit__(self, *_: object) -> None:
        if self._tokens is not None:
            _correlation_id.reset(self._tokens[0])
            _function.reset(self._tokens[1])


def bound(correlation: str, function: str | None = None) -> AbstractContextManager[None]:
    """Everything logged inside carries this correlation id (and the name of the function)."""
    return _Bound(correlation, function)


_OURS = "ovenbridge."
_tracebacks = logging.Formatter()

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MAX_TEXT = 32_768
"""Characters of one message or traceback; a body that ends up in an error text may be a megabyte."""


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} ... ({len(text)} characters)"


class _CleanRecord(logging.LogRecord):
    """A record that holds no secret, and knows the correlation id of where it was made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            self.msg = redact(_cut(self.getMessage()))
        except (TypeError, ValueError):
            # Arguments that do not fit the text: say what there is, a log line must not end the call.
            self.msg = f"{redact(str(self.msg))} (the values of this line do not fit it)"
        self.args = None
        if self.exc_info:
            self.exc_text = redact(_cut(_tracebacks.formatException(self.exc_info)))
            # As OpenTelemetry names them: its handler would take them from exc_info.
            self.__dict__["exception.type"] = getattr(self.exc_info[0], "__name__", "Exception")
            self.__dict__["exception.message"] = redact(_cut(str(self.exc_info[1])))
            self.__dict__["exception.stacktrace"] = self.exc_text
            # A handler that formats it anew would show what was just taken out.
            self.exc_info = None
        if self.stack_info:
            self.stack_info = redact(self.stack_info)
        self.correlation_id = _correlation_id.get()
        self.function = _function.get()

    @property
    def fields(self) -> dict[str, object]:
        """What was given with :func:`fields`."""
        return {name[len(_OURS) :]: value for name, value in self.__dict__.items() if name.startswith(_OURS)}


CHATTY = ("httpx", "httpcore", "aiohttp.access", "asyncio", "azure", "uamqp")
"""These speak of every connection or request at INFO: in Application Insights each line is paid for."""


def protect_logs() -> None:
    """From now on no log record of this process holds a secret, and libraries keep quiet. Twice is no error."""
    logging.setLogRecordFactory(_CleanRecord)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # In Azure the Functions worker owns the root logger and its level.
    level = os.environ.get("LOG_LEVEL", "")
    if level in LEVELS:
        logging.getLogger("ovenbridge").setLevel(level)


def fields(**values: object) -> dict[str, object]:
    """What stands beside a message: ``log.info("...", extra=fields(delivery=...))``; masked.

    JSON lines show them beside the message, Application Insights as custom dimensions.
    """
    return {f"{_OURS}{name}": _plain(value) for name, value in masked(values).items()}


def _plain(value: Any) -> Any:
    """Whoever writes an object out would do so without redaction."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else redact(str(value))


class _JsonLine(logging.Formatter):
    """One JSON object a line. Extra fields given as ``extra=fields(...)`` stand beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("correlation_id", "function"):
            if (value := getattr(record, name, None)) is not None:
                line[name] = value
        more = getattr(record, "fields", None)
        if isinstance(more, dict):
            line.update({name: value for name, value in more.items() if name not in line})
        if record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return orjson.dumps(line, default=_shown, option=orjson.OPT_NON_STR_KEYS).decode()


def _shown(value: object) -> str:
    return redact(str(value))


def configure_logging(level: str = "INFO") -> None:
    """Send all logs to stderr as JSON lines. For the local host; in Azure the platform collects the records."""
    protect_logs()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
