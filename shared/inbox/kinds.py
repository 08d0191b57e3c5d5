"""What is particular to the senders of one kind: which options they have, how a message is judged at the door, and what
it leads to. Each platform registers its kinds in ``services.py``; the inbox knows none of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from shared.errors import InvalidInput, Unavailable
from shared.inbox.model import InboundMessage, Verdict

if TYPE_CHECKING:
    from shared.inbox.source import HookSource

__all__ = ["Kind", "Kinds", "Look", "LooksAtQuery", "NotNow", "SourceKeys", "body_key", "signed_in"]


@dataclass(frozen=True, slots=True, repr=False)
class SourceKeys:
    """The secrets of a source, out of the vault. Beside the current one there may be the one before it, for as long as
    a sender may take to change over."""

    signing: tuple[str, ...] = ()
    """As they were given."""
    credentials: tuple[Mapping[str, str], ...] = ()
    """``username`` and ``password``, for senders who use Basic."""


@dataclass(frozen=True, slots=True)
class Look:
    """A message, seen at the door."""

    verdict: Verdict
    reason: str | None = None
    """Why it was rejected: a sentence for the operator, shown to the sender."""
    event: str | None = None
    """What the sender calls it."""
    dedupe_key: str | None = None
    """What makes it the same message if it comes again; ``None``: every message is a new one."""
    within_seconds: int | None = None
    """The key counts for so long only."""
    equipment_id: str | None = None
    work_order_id: str | None = None


class NotNow(Unavailable):
    """What a message needs is away for longer than a queue tries: it waits in the inbox, and is handled again after
    growing pauses, for two days. The sentence says what it waits for."""


class Kind(Protocol):
    """One kind of sender."""

    def check(self, options: Mapping[str, Any], keys: SourceKeys) -> dict[str, Any]:
        """The options with their defaults. ``keys``: what would be stored.

        Raises:
            InvalidInput: they cannot work; names ``options.<field>``, ``signing_secret`` or ``credentials``.
        """
        ...

    def look(self, source: HookSource, keys: SourceKeys, raw: bytes, headers: Mapping[str, str], now: datetime) -> Look:
        """Judge a message over its raw bytes. Quick and without any call: the sender waits. Never raises for what the
        message says; names of headers are in lower case."""
        ...

    async def handle(self, source: HookSource, message: InboundMessage) -> Mapping[str, Any]:
        """Give it its effect, idempotently by ``(message.id, message.replays)``; answers what was done, for people.
        A ``work_order_id`` or ``equipment_id`` in it is what the message is found by from then on.

        Raises:
            InvalidInput: the message cannot have an effect, now or ever.
            NotNow: what it needs is away for longer; it waits.
            OvenbridgeError: not now; it is tried again.
        """
        ...


@runtime_checkable
class LooksAtQuery(Protocol):
    """A kind whose senders can show a secret in the address alone. The query is kept nowhere."""

    def look_with_query(
        self,
        source: HookSource,
        keys: SourceKeys,
        raw: bytes,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        now: datetime,
    ) -> Look:
        """As ``Kind.look``."""
        ...


class Kinds:
    """All kinds of this deployment, each made when it is first needed."""

    def __init__(self, makers: Mapping[str, Callable[[], Kind]]) -> None:
        self._makers = makers
        self._made: dict[str, Kind] = {}

    def names(self) -> list[str]:
        """What ``kind`` may be."""
        return sorted(self._makers)

    def get(self, name: str) -> Kind:
        """Raises ``InvalidInput``: there is none of this name."""
        if name not in self._made:
            if name not in self._makers:
                raise InvalidInput(f"There is no kind {name[:50]}; there are {', '.join(self.names())}.", field="kind")
            self._made[name] = self._makers[name]()
        return self._made[name]


def body_key(source: HookSource, raw: bytes) -> tuple[str | None, int | None]:
    """For senders without message ids: equal bodies within the source's own time are one message."""
    if source.identical_within_seconds:
        return f"body:{hashlib.sha256(raw).hexdigest()}", source.identical_within_seconds
    return None, None


def signed_in(keys: SourceKeys, headers: Mapping[str, str]) -> str | None:
    """Basic credentials (RFC 7617) compared in constant time; ``None``: right, or none are asked for."""
    if not keys.credentials:
        return None
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "The header Authorization with Basic credentials is missing."
    try:
        given = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return "The header Authorization holds no Basic credentials."
    right = False
    for pair in keys.credentials:
        expected = f"{pair.get('username', '')}:{pair.get('password', '')}".encode()
        right |= hmac.compare_digest(given, expected)
    return None if right else "The user name or the password is wrong."
