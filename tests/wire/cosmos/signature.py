"""Who is calling: the account key's signature, or an Entra token.

The signature is checked as the service does. A token must be one of ``tests.wire.identity``; its expiry and its subject
count, its audience does not. :func:`token` makes one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import urllib.parse
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tests.wire.cosmos.protocol import Call, CosmosError
from tests.wire.identity.tokens import BadToken, issue, read

__all__ = ["caller_of", "resource_of", "token"]

_COLLECTIONS = frozenset({"dbs", "colls", "docs", "pkranges", "offers", "sprocs", "udfs", "triggers", "users"})
_SKEW_SECONDS = 900


def resource_of(segments: tuple[str, ...]) -> tuple[str, str]:
    """The type and the link that a request signs."""
    if not segments:
        return "", ""
    if segments[-2:] == ("operations", "partitionkeydelete"):
        return "colls", "/".join(segments[:-2])
    if len(segments) % 2:
        return segments[-1], "/".join(segments[:-1])
    if segments[0] == "offers":
        return "offers", segments[-1].lower()
    return segments[-2], "/".join(segments)


def caller_of(call: Call, key: str, *, key_allowed: bool = True) -> str | None:
    """The subject of the token, or ``None`` for the account key. Raises 401, and 403 for a stale date."""
    given = urllib.parse.unquote(call.header("authorization") or "")
    parts = dict(part.partition("=")[::2] for part in given.split("&"))
    kind, signature = parts.get("type"), given.partition("sig=")[2]
    if not signature or parts.get("ver") != "1.0":
        raise _unauthorized("Required Header authorization is missing. Ensure a valid Authorization token is passed.")
    if kind == "aad":
        return _subject(signature)
    if kind != "master":
        raise _unauthorized(f"The authorization token type {kind} is not served here.")
    if not key_allowed:
        raise _unauthorized("Local Authorization is disabled. Use an AAD token to authorize all requests.", 5202)
    _check_key(call, key, signature)
    return None


def _check_key(call: Call, key: str, signature: str) -> None:
    kind, link = resource_of(call.segments)
    date = (call.header("x-ms-date") or "").lower()
    for candidate in (link, link.rpartition("/")[2].lower()):
        payload = f"{call.method.lower()}\n{kind}\n{candidate}\n{date}\n\n"
        digest = hmac.new(base64.b64decode(key), payload.encode(), hashlib.sha256).digest()
        if hmac.compare_digest(base64.b64encode(digest).decode(), signature):
            break
    else:
        shown = f"{call.method.lower()}\n{kind}\n{link}\n{date}\n\n".replace("\n", "\\n")
        raise _unauthorized(
            "The input authorization token can't serve the request. The wrong key is being used or the expected "
            "payload is not built as per the protocol. For more info: https://aka.ms/cosmosdb-tsg-unauthorized. "
            f"Server used the following payload to sign: '{shown}'"
        )
    _check_date(date)


def _check_date(date: str) -> None:
    try:
        signed = parsedate_to_datetime(date)
    except ValueError as error:
        raise _unauthorized("The 'x-ms-date' header is missing or no date.") from error
    if abs((_now() - signed).total_seconds()) > _SKEW_SECONDS:
        raise CosmosError(403, "Forbidden", "The authorization token is not valid at the current time.")


def _now() -> datetime:
    """The machine's clock, not the account's: the client signs by the same one."""
    return datetime.now(UTC)


def _subject(text: str) -> str:
    try:
        return str(read(text)["oid"])
    except (BadToken, KeyError) as error:
        raise _unauthorized(f"The AAD token is refused: {error}.", 5000) from error


def _unauthorized(message: str, substatus: int = 0) -> CosmosError:
    return CosmosError(401, "Unauthorized", message, substatus=substatus)


def token(subject: str, *, seconds: float = 3600) -> str:
    """A token of this subject (its ``oid``), good for so many seconds."""
    return issue("https://cosmos.azure.com", oid=subject, client_id=subject, expires_in=seconds)[0]
