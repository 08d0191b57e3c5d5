"""Logs of the local host: JSON lines for machines, short coloured lines for people. Both without secrets."""

from __future__ import annotations

import logging
import sys
from datetime import datetime
from typing import Literal

from shared.observability import configure_logging, masked

__all__ = ["LogFormat", "configure"]

LogFormat = Literal["json", "text"]

_COLOURS = {"DEBUG": "\x1b[2m", "INFO": "", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[1;31m"}


class TextLine(logging.Formatter):
    """``10:30:00 warning  http  the sentence  [correlation id]``."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        where = record.name.removeprefix("ovenbridge.")
        line = f"{at} {record.levelname.lower():<7} {where}: {_one_line(record.getMessage())}"
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line += "".join(f" {k}={_one_line(str(v))}" for k, v in masked(fields).items())
        if (correlation := getattr(record, "correlation_id", None)) is not None:
            line += f" [{correlation[:12]}]"
        if record.exc_text:
            line += "\n" + record.exc_text
        start = _COLOURS.get(record.levelname, "") if self._colour else ""
        return f"{start}{line}\x1b[0m" if start else line


def _one_line(text: str) -> str:
    # A caller's words in a message must not look like a line of ours.
    return text.replace("\r", "\\r").replace("\n", "\\n")


def configure(level: str, form: LogFormat | None) -> None:
    """Send all logs to stderr. ``form`` is ``None``: text when a person is looking, JSON otherwise."""
    person = sys.stderr.isatty()
    configure_logging(level)
    if form == "text" or (form is None and person):
        logging.getLogger().handlers[0].setFormatter(TextLine(colour=person))
