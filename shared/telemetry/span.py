"""Spans of time and the day partitions they touch."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from shared import json_text
from shared.clock import day_of
from shared.errors import InvalidInput

__all__ = ["at_hour", "at_midnight", "continuation", "days_of", "months_of", "read_continuation"]


def at_hour(moment: datetime) -> datetime:
    """The beginning of its UTC hour."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def at_midnight(day: str) -> datetime:
    """The beginning of a day ``2026-11-21``, UTC."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def days_of(start: datetime, end: datetime) -> Iterator[str]:
    """The UTC days of ``start <= t < end``, in order."""
    moment = at_midnight(day_of(start))
    while moment < end:
        yield day_of(moment)
        if moment.date() == date.max:  # the calendar ends here
            return
        moment += timedelta(days=1)


def months_of(start: datetime, end: datetime) -> Iterator[str]:
    """The UTC months of ``start <= t < end``, in order."""
    last = ""
    for day in days_of(start, end):
        if day[:7] != last:
            last = day[:7]
            yield last


def continuation(question: str, place: list[str | None]) -> str:
    """An opaque text that leads on from this place, for the same question only."""
    return base64.urlsafe_b64encode(json_text.dump([_digest(question), place])).decode().rstrip("=")


def read_continuation(text: str, question: str) -> list[str | None]:
    """The place a continuation of ours leads to.

    Raises:
        InvalidInput: it is none, or belongs to another question.
    """
    try:
        whose, place = json_text.load(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError, binascii.Error):
        whose, place = None, None
    if whose != _digest(question) or not isinstance(place, list):
        raise InvalidInput(
            "This continuation is none of ours, or belongs to another query: repeat the query with the same "
            "parameters, or leave the continuation out to begin anew.",
            field="continuation",
        )
    return place


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:12]
