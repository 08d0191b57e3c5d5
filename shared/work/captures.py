"""Copies of what was made during a session, while the addresses of the files live.

The addresses open the files without a sign-in and end soon: they are never kept, only what they led to. Fetched from
listed hosts alone, over the vetted way out, without credentials, within bounds; each file once, whoever tries.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from shared.blobs import BlobStore
from shared.clock import Clock, iso
from shared.errors import Conflict, InvalidInput, NotFound
from shared.outgoing.failures import OutgoingError
from shared.outgoing.http import OutgoingHttp
from shared.storage import Document
from shared.work.sessions_model import CAPTURE_WAITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.outgoing.answer import OutgoingAnswer
    from shared.work.sessions import Sessions

__all__ = ["CaptureRules", "Captures"]

MAX_HOPS = 2
"""A host may send on to another listed one (to where it stores files) so often."""
MAX_TRIES = 5
AT_ONCE = 20
"""So many files are fetched for one message; the rest when it is handled again."""


@dataclass(frozen=True, slots=True)
class CaptureRules:
    """What may be fetched."""

    hosts: frozenset[str]
    """Host names, lower case."""
    types: frozenset[str]
    max_bytes: int
    timeout_seconds: float


class _NotYet(Exception):
    """It may work another time; the sentence says why not now."""


class _Never(Exception):
    """It will not work; the sentence says why."""


class Captures:
    """Fetches, keeps, gives back."""

    def __init__(self, sessions: Sessions, blobs: Callable[[], BlobStore], http: OutgoingHttp, clock: Clock) -> None:
        self._sessions = sessions
        self._blobs = blobs
        self._http = http
        self._clock = clock

    async def copy(self, record: Document, urls: Mapping[str, str], rules: CaptureRules) -> int:
        """Copy what is not copied yet; how many still wait.

        Args:
            record: with its captures.
            urls: where each file is, by the platform's id of the capture.
            rules: what may be fetched.

        Raises:
            Unavailable: our own store or blobs are away.
        """
        waiting = [one for one in record.get("captures", []) if one["status"] == CAPTURE_WAITS]
        left = 0
        for number, capture in enumerate(waiting):
            if capture["externalId"] not in urls:
                continue
            if number >= AT_ONCE:
                left += 1
                continue
            noted = await self._one(record["id"], capture, urls[capture["externalId"]], rules)
            await self._sessions.note_capture(record["id"], capture["id"], noted)
            left += noted["status"] == CAPTURE_WAITS
        return left

    async def read(self, record: Document, capture_id: str) -> tuple[Mapping[str, Any], bytes]:
        """A copy with what is known of it. Raises ``NotFound``: there is none; the sentence says why."""
        for capture in record.get("captures", []):
            if capture["id"] == capture_id:
                if capture["status"] != "copied":
                    raise NotFound(
                        f"This capture was not copied: {capture.get('reason') or 'it is still to be fetched'}"
                    )
                return capture, await self._blobs().read(capture["blob"])
        raise NotFound("This record has no such capture.")

    async def _one(self, record_id: str, capture: Document, url: str, rules: CaptureRules) -> dict[str, Any]:
        tries = capture.get("tries", 0) + 1
        try:
            answer, content_type = await self._fetch(url, rules)
        except _Never as error:
            return {"status": "failed", "reason": str(error), "tries": tries}
        except _NotYet as error:
            status = CAPTURE_WAITS if tries < MAX_TRIES else "failed"
            return {"status": status, "reason": str(error), "tries": tries}
        digest = hashlib.sha256(answer.body).hexdigest()
        blob = f"{record_id}/{capture['id']}-{digest[:16]}"
        with contextlib.suppress(Conflict):  # a process that died here wrote the same bytes: see the digest in the name
            await self._blobs().create(blob, answer.body)
        return {
            "status": "copied",
            "reason": None,
            "tries": tries,
            "blob": blob,
            "contentType": content_type,
            "bytes": len(answer.body),
            "sha256": digest,
            "copiedAt": iso(self._clock.now()),
        }

    async def _fetch(self, url: str, rules: CaptureRules) -> tuple[OutgoingAnswer, str]:
        for _ in range(MAX_HOPS + 1):
            _check_host(url, rules)
            answer = await self._get(url, rules)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer, _checked(answer, rules)
            url = _onward(url, answer)
        raise _Never("Its address sends on and on.")

    async def _get(self, url: str, rules: CaptureRules) -> OutgoingAnswer:
        try:
            return await self._http.send(
                "GET",
                url,
                headers={"Accept": "*/*"},
                content=b"",
                timeout_seconds=rules.timeout_seconds,
                max_answer_bytes=rules.max_bytes,
            )
        except OutgoingError as error:
            if error.kind in ("unsafe", "too_large"):
                raise _Never(error.detail) from error
            raise _NotYet(error.detail) from error


def _onward(url: str, answer: OutgoingAnswer) -> str:
    try:
        return urljoin(url, answer.headers.get("Location", ""))
    except ValueError:
        raise _Never("Its address sends on to what is no address.") from None


def _check_host(url: str, rules: CaptureRules) -> None:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        raise _Never("Its address is none.") from None
    if parts.scheme not in ("https", "http") or parts.username is not None:
        raise _Never("Its address is none that files are fetched from.")
    if host not in rules.hosts:
        raise _Never(f"Its file is at {host[:100]}, which is not listed: add it to capture_hosts if it is trusted.")


def _checked(answer: OutgoingAnswer, rules: CaptureRules) -> str:
    if answer.status in (408, 425, 429) or answer.status >= 500:
        raise _NotYet(f"The file's host answered {answer.status}.")
    if answer.status != 200:
        ended = " (its address has ended, or needs a sign-in)" if answer.status in (401, 403, 404, 410) else ""
        raise _Never(f"The file's host answered {answer.status}{ended}.")
    if answer.truncated:
        raise _Never(f"The file has over {rules.max_bytes:,} bytes (max_capture_bytes).")
    content_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type not in rules.types:
        raise _Never(f"The file is {content_type[:60] or 'of no type'}, which is none of capture_types.")
    if not answer.body:
        raise _NotYet("The file was empty.")
    return content_type


def rules_for(url: str, hosts: tuple[str, ...], types: tuple[str, ...], max_bytes: int, seconds: float) -> CaptureRules:
    """Rules with the host of ``url`` among the listed ones. Raises ``InvalidInput``: it is no URL."""
    host = urlsplit(url).hostname
    if host is None:
        raise InvalidInput("This is no URL.", field="url")
    return CaptureRules(frozenset({host.lower(), *hosts}), frozenset(types), max_bytes, seconds)
