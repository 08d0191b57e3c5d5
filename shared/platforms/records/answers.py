"""How the answers of systems of record are read: which failures pass, which stay, and which leave us in the dark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from shared import json_text
from shared.outgoing.answer import OutgoingAnswer
from shared.outgoing.failures import OutgoingError
from shared.platforms.records.port import Outcome

__all__ = ["at", "no_answer", "parsed", "refused", "retry_after", "short"]

BEFORE_ANY_BYTE = ("dns", "refused", "unreachable", "tls", "unsafe")
"""Failures of connecting: the request never left."""
NOT_DONE = (425, 429, 503)
"""The system says that it did nothing."""
MAX_PAUSE_SECONDS = 3_600.0
MAX_SAID = 300


def no_answer(error: OutgoingError, *, repeatable: bool) -> Outcome:
    """The call ended without an answer."""
    sent = error.kind not in BEFORE_ANY_BYTE
    if not sent or repeatable:
        return Outcome("later", error.detail, in_doubt=sent)
    return Outcome(
        "unknown",
        f"{error.detail} Whether it was recorded is not known; look there, then replay it or settle it by hand.",
    )


def refused(answer: OutgoingAnswer, said: str, now: datetime, *, repeatable: bool) -> Outcome:
    """An answer that is no success."""
    status, ms = answer.status, answer.elapsed_ms
    sentence = f"It answered {status}" + (f": {said}" if said else ".")
    if status in NOT_DONE:
        pause = retry_after(answer.headers, now)
        return Outcome("later", sentence, status, retry_after=pause, busy=True, elapsed_ms=ms)
    if status in (401, 403):
        return Outcome("later", f"{sentence} Check the credentials and their rights.", status, elapsed_ms=ms)
    if status >= 500 or status == 408:
        if repeatable:
            return Outcome("later", sentence, status, elapsed_ms=ms, in_doubt=True)
        return Outcome("unknown", f"{sentence} Whether it was recorded is not known.", status, elapsed_ms=ms)
    return Outcome("failed", sentence, status, elapsed_ms=ms)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait, as the header says in either form; nonsense is ignored, an hour is the most."""
    text = (headers.get("Retry-After") or "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), MAX_PAUSE_SECONDS) if seconds == seconds else None


def parsed(answer: OutgoingAnswer) -> Any:
    """The answer's JSON; ``None``: it is none."""
    try:
        return json_text.load(answer.body)
    except ValueError:
        return None


def at(value: Any, path: str) -> Any:
    """What stands at a dotted path: ``result.id``, ``items.0.id``."""
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def short(value: Any, mask: Callable[[str], str] = lambda text: text) -> str:
    """Words of an answer, fit to be shown: one line, cut."""
    if value is None:
        return ""
    text = " ".join("".join(c if c.isprintable() else " " for c in mask(str(value))).split())
    return text if len(text) <= MAX_SAID else text[: MAX_SAID - 1] + "…"
