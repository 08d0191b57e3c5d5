"""Reading what a REST device answered: its status, and its JSON, each failure a sentence."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from shared.errors import DeviceAuthenticationError, DeviceError, DeviceProtocolError, DeviceThrottled
from shared.outgoing.answer import OutgoingAnswer

__all__ = ["MAX_ANSWER_BYTES", "NothingThere", "json_of", "order_refusal", "refusal"]

MAX_ANSWER_BYTES = 1_048_576


class NothingThere(DeviceProtocolError):
    """There is nothing at this path: 404, 410, or 416 for a page after the last."""


def refusal(answer: OutgoingAnswer, where: str, path: str, now: datetime) -> DeviceError | None:
    """What the status says, unless it is a success."""
    status = answer.status
    wait = _retry_after(answer, now)
    again = f", again in {wait:.0f} s" if wait is not None else ""
    if 200 <= status < 300:
        return None
    if status in (401, 403):
        meaning = "who we are" if status == 401 else "that we may read this"
        return DeviceAuthenticationError(
            f"{where} does not accept {meaning} ({status}): check the credentials and whether they have run out."
        )
    if status in (404, 410, 416):
        return NothingThere(f"{where} has nothing at {path} ({status}): check data_endpoint and the unit in it.")
    if status == 429:
        return DeviceThrottled(
            f"{where} asks to come less often (429){again}: raise poll_interval_seconds.", retry_after=wait
        )
    if 300 <= status < 400:
        return DeviceProtocolError(_redirect(answer, where))
    if status == 405:
        return DeviceProtocolError(f"{where} does not answer GET at {path} (405): check data_endpoint.")
    if status >= 500:
        return DeviceProtocolError(
            f"{where} reports an error of its own ({status}{again}) at {path}.", retry_after=wait
        )
    return DeviceProtocolError(f"{where} answered {status} at {path}, which is no answer to a read.")


_WHY_NO_ORDER = {
    400: "does not understand the order: check write.body and write.type",
    404: "has nothing there: check write.path",
    405: "does not take this method there: check write.method and write.path",
    409: "refuses it in its present state",
    410: "has nothing there any more: check write.path",
    415: "does not take this content_type: check write.content_type",
    422: "does not accept this value, or not in this form: check write.body and write.type",
}


def order_refusal(answer: OutgoingAnswer, where: str, at: str, key: str, now: datetime) -> DeviceError | None:
    """What the status of an order says, unless it is a success; ``at``: method and path."""
    status = answer.status
    if 200 <= status < 300:
        return None
    if status == 401:
        return DeviceAuthenticationError(f"{where} does not accept who we are (401), so {key} was not written.")
    if status == 403:
        return DeviceAuthenticationError(
            f"{where} does not let us write {key} (403): these credentials may only read, or remote control is off."
        )
    if status == 429:
        return DeviceThrottled(
            f"{where} asks to come less often (429), so {key} was not written.", retry_after=_retry_after(answer, now)
        )
    if status >= 500:
        return DeviceProtocolError(
            f"{where} reports an error of its own ({status}) at {at}. {key} may have been written all the same: read "
            "it before trying again."
        )
    reason = _WHY_NO_ORDER.get(status, "does not take the order")
    return DeviceProtocolError(f"{where} {reason} ({status} at {at}). {key} was not written.")


def json_of(answer: OutgoingAnswer, where: str, path: str) -> Any:
    """The document in an answer.

    Raises:
        DeviceProtocolError: there is none; the sentence says what came in its place.
    """
    if answer.truncated:
        raise DeviceProtocolError(
            f"{where} answered more than {MAX_ANSWER_BYTES // 1_048_576} MB at {path}: choose a data_endpoint for one "
            "machine."
        )
    body = answer.body.removeprefix(b"\xef\xbb\xbf").strip()
    if not body:
        raise DeviceProtocolError(f"{where} answered nothing ({answer.status}, empty) at {path}.")
    if body.startswith(b"<"):
        raise DeviceProtocolError(
            f"{where} answered a web page in place of JSON at {path}: is it a login page? Check data_endpoint and "
            "credentials."
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _lenient(body, answer, where, path)


def _lenient(body: bytes, answer: OutgoingAnswer, where: str, path: str) -> Any:
    """Devices write NaN, numbers of any length and other alphabets; what can be understood is not thrown away."""
    charset = re.search(r"charset=[\"']?([A-Za-z0-9_-]{1,40})", answer.headers.get("Content-Type", ""))
    try:
        return json.loads(body.decode(charset[1] if charset else "utf-8"))
    except (ValueError, LookupError, RecursionError) as err:
        kind = answer.headers.get("Content-Type", "no content type")[:60]
        raise DeviceProtocolError(f"{where} answered something that is no JSON ({kind}) at {path}.") from err


def _redirect(answer: OutgoingAnswer, where: str) -> str:
    try:
        host = urlsplit(answer.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    to = f"to {host[:100]}" if host else "to another path"
    return (
        f"{where} sends us on {to} ({answer.status}); redirects are not followed. If that is right, write that address "
        "as endpoint; if it is a login page, check the credentials."
    )


def _retry_after(answer: OutgoingAnswer, now: datetime) -> float | None:
    """Seconds, at most a day, from Retry-After as seconds or as a date; ``None`` for nonsense."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # a year of many digits
            return None
        seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    return min(seconds, 86_400.0) if seconds > 0 else None
