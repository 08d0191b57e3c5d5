"""A webhook's envelope ``{version, fullVersion, realm, data}``, as far as we understand it.

The published schema of one version has changed without a new number, so nothing is demanded but an object with a
realm: what is acted on is looked for, and everything else may be there, be null or be missing.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from shared import json_text
from shared.errors import InvalidInput

__all__ = ["Envelope", "digest_of", "read_envelope"]

_VERSIONED = re.compile(r"[-.]v\d{1,4}$")
MAX_TEXT = 500


@dataclass(frozen=True, slots=True)
class Envelope:
    """One webhook."""

    realm: str
    versions: tuple[str, ...]
    """``version`` and ``fullVersion``, as text."""
    data: dict[str, Any]

    @property
    def version(self) -> str:
        """One text that tells the versions of one realm apart."""
        return "/".join((self.realm, *self.versions))

    @property
    def subject(self) -> str:
        """The realm without a version at its end: what an old and a new webhook have in common."""
        return _VERSIONED.sub("", self.realm)

    def text(self, *names: str) -> str | None:
        """The first of these fields of ``data`` that is a text with something in it."""
        for name in names:
            value = self.data.get(name)
            if isinstance(value, str) and value.strip():
                return value.strip()[:MAX_TEXT]
        return None

    def id(self, *names: str) -> str | None:
        """The first of these fields of ``data`` that is an id, as text."""
        for name in names:
            value = self.data.get(name)
            if isinstance(value, int | str) and not isinstance(value, bool) and str(value).strip():
                return str(value).strip()[:100]
        return None

    def number(self, name: str) -> int | None:
        """A whole number, or ``None``."""
        value = self.data.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def ids(self, *names: str) -> list[str]:
        """The first of these fields that is a list: its ids, as text."""
        for name in names:
            value = self.data.get(name)
            if isinstance(value, list):
                return [str(one) for one in value[:1_000] if isinstance(one, int | str) and not isinstance(one, bool)]
        return []

    @property
    def custom_order_id(self) -> str | None:
        """How the customer's own system calls the order."""
        order = self.data.get("order")
        inner = Envelope(self.realm, self.versions, order) if isinstance(order, dict) else None
        return self.id("customOrderId") or (inner.id("customOrderId") if inner is not None else None)


def read_envelope(raw: bytes) -> Envelope:
    """Understand a webhook. Raises ``InvalidInput``: it is none."""
    payload = json_text.load_foreign(raw)
    if not isinstance(payload, dict):
        raise InvalidInput("A webhook is a JSON object {version, fullVersion, realm, data}.", field="body")
    realm, data = payload.get("realm"), payload.get("data")
    if not isinstance(realm, str) or not realm:
        raise InvalidInput("This webhook has no realm, so nobody can say what it is about.", field="realm")
    if not isinstance(data, dict):
        raise InvalidInput("This webhook has no data.", field="data")
    versions = tuple(
        str(value)[:30]
        for value in (payload.get("version"), payload.get("fullVersion"))
        if isinstance(value, int | str) and not isinstance(value, bool) and value != ""
    )
    return Envelope(realm[:100], versions, data)


def digest_of(envelope: Envelope) -> str:
    """The same for the same happening told twice, whatever the order of fields and the version around it."""
    return hashlib.sha256(json_text.canonical([envelope.subject, envelope.data])).hexdigest()
