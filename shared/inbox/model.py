"""A message as it came in from outside, what we thought of it, and what it led to."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from shared.clock import parse_iso
from shared.errors import NotFound
from shared.observability import REDACTED
from shared.storage import Document, PartitionKey

__all__ = ["InboundMessage", "Status", "Verdict", "body_fields", "kept_headers", "message_id", "partition_of"]

Verdict = Literal["verified", "unsigned", "rejected"]
"""``verified``: the sender's signature is right. ``unsigned``: only the secret path says who it is. ``rejected``: the
signature is missing, wrong or too old; the message has no effect."""

Status = Literal["received", "handled", "failed", "rejected", "answered"]
"""``received``: waits for its effect. ``answered``: a question, answered on the spot."""

SOURCE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ID = re.compile(r"w:([a-z0-9][a-z0-9-]{0,62}):(\d{4}-\d{2}-\d{2}):[0-9a-f]{32}")

PACKED_OVER_BYTES = 262_144
MAX_HEADERS = 40
MAX_HEADER = 1_024
_TRANSPORT = ("x-forwarded-", "x-arr-", "x-appservice-", "x-azure-", "x-ms-", "x-site-", "x-waws-", "x-original-")
"""Headers of the way here, not of the sender."""
_SECRET_WORDS = ("authorization", "cookie", "token", "secret", "password", "api-key", "apikey", "functions-key")


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """One message in the inbox."""

    id: str
    source: str
    received_at: datetime
    event: str | None
    """What the sender calls it, where the platform has such a name."""
    verdict: Verdict
    reason: str | None
    """Why it was rejected, or why it failed."""
    status: Status
    headers: Mapping[str, str]
    raw: bytes
    sha256: str
    size: int
    """Bytes as they came; ``raw`` may be the beginning only of what was answered on the spot."""
    duplicates: int
    """How often it came again."""
    replays: int
    """How often a person had it handled again."""
    sends: int
    """How often it was put into the queue."""
    handled_at: datetime | None
    effect: Mapping[str, Any] | None
    """What it led to."""
    equipment_id: str | None
    work_order_id: str | None
    correlation_id: str | None

    @classmethod
    def from_document(cls, document: Document) -> InboundMessage:
        """The message back from its stored form."""
        raw = _body(document)
        return cls(
            id=document["id"],
            source=document["source"],
            received_at=parse_iso(document["receivedAt"]),
            event=document.get("event"),
            verdict=document["verdict"],
            reason=document.get("reason"),
            status=document["status"],
            headers=document.get("headers", {}),
            raw=raw,
            sha256=document["sha256"],
            size=document.get("bytes", len(raw)),
            duplicates=document.get("duplicates", 0),
            replays=document.get("replays", 0),
            sends=document.get("sends", 0),
            handled_at=parse_iso(document["handledAt"]) if document.get("handledAt") else None,
            effect=document.get("effect"),
            equipment_id=document.get("equipmentId"),
            work_order_id=document.get("workOrderId"),
            correlation_id=document.get("correlationId"),
        )


def _body(document: Document) -> bytes:
    if "bodyPacked" in document:
        return zlib.decompress(base64.b64decode(document["bodyPacked"]))
    if "bodyBase64" in document:
        return base64.b64decode(document["bodyBase64"])
    return str(document.get("body", "")).encode()


def message_id(source: str, day: str, digest: str) -> str:
    """``w:{source}:{day}:{digest}``: says in which partition it stands."""
    return f"w:{source}:{day}:{digest}"


def partition_of(id: str) -> PartitionKey:
    """Source and day. Raises ``NotFound`` for what is no id of ours."""
    parts = _ID.fullmatch(id)
    if parts is None:
        raise NotFound("There is no such message in the inbox; ids look like `w:press:2026-11-21:0123...`.")
    return parts[1], parts[2]


def body_fields(raw: bytes) -> dict[str, Any]:
    """The body as it came: as text where it is UTF-8, else as base64; a large one packed, for a document of the store
    has an end (2 MB), and JSON escapes what it holds."""
    if len(raw) > PACKED_OVER_BYTES:
        return {"bodyPacked": base64.b64encode(zlib.compress(raw, 6)).decode()}
    try:
        return {"body": raw.decode()}
    except UnicodeDecodeError:
        return {"bodyBase64": base64.b64encode(raw).decode()}


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What the sender said about the message, without credentials and without what proxies added."""
    kept: dict[str, str] = {}
    for name in sorted(headers):
        lower = name.lower()
        if lower.startswith(_TRANSPORT) or lower in ("host", "connection", "accept", "accept-encoding", "via"):
            continue
        secret = any(word in lower for word in _SECRET_WORDS)
        kept[lower[:100]] = REDACTED if secret else headers[name][:MAX_HEADER]
        if len(kept) == MAX_HEADERS:
            break
    return kept
