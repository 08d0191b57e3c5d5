"""What a FORCE Bridge server says when it says no, as errors of ours."""

from __future__ import annotations

from typing import Any

from shared import json_text
from shared.errors import InvalidInput, OvenbridgeError, Unavailable
from shared.outgoing.answer import OutgoingAnswer
from shared.outgoing.failures import OutgoingError

__all__ = ["ForceAway", "ForceRefused", "away", "refused"]

MAX_SAID = 300


class ForceRefused(OvenbridgeError):
    """The server answered, and the answer is no: trying the same again does not help."""

    status = 502
    title = "The platform refused it"

    def __init__(self, detail: str, *, answered: int, code: str = "") -> None:
        super().__init__(detail)
        self.answered = answered
        self.code = code


class ForceAway(Unavailable):
    """No usable answer now: try again later."""


def away(err: OutgoingError) -> OvenbridgeError:
    """Nobody answered."""
    if err.kind == "unsafe":
        return ForceRefused(err.detail, answered=0, code="unsafe")
    return ForceAway(f"FORCE Bridge cannot be reached: {err.detail}", retry_after=10.0)


def refused(answer: OutgoingAnswer, what: str) -> OvenbridgeError:
    """Its ``{code, message, status}``, or a sentence made of the status alone. ``what``: ``POST callbacks``."""
    said = _said(answer.body)
    message = str(said.get("message") or said.get("error_description") or said.get("error") or "")[:MAX_SAID]
    code = str(said.get("code") or "")[:50]
    words = f"{what}: FORCE Bridge answered {answer.status}{f' ({code})' if code else ''}"
    words += f": {message}" if message else " without saying why."
    if answer.status == 429 or answer.status >= 500:
        return ForceAway(words, retry_after=_seconds(answer.headers.get("retry-after")))
    if answer.status in (401, 403):
        words += " Check client id and secret, and what the client may do there."
    return ForceRefused(words, answered=answer.status, code=code)


def _said(body: bytes) -> dict[str, Any]:
    try:
        value = json_text.load_foreign(body)
    except InvalidInput:
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(value: str | None) -> float:
    return min(float(value), 3_600.0) if value is not None and value.isdecimal() else 15.0
