"""Secrets in answers: some receivers repeat what they were sent, and what they answer is kept for people to read."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared import json_text
from shared.redaction import REDACTED

__all__ = ["secrets_in", "without"]

LEAST = 4
"""Characters: what is shorter is part of too many words."""
LEAST_IN_URL = 8
"""Likewise of a part of a secret address: `hooks` is none."""
_PARTS = re.compile(r"[/?&=#;:@]")


def secrets_in(
    *, url: str | None = None, headers: Mapping[str, str] | None = None, body: Any = None
) -> tuple[str, ...]:
    """What must not be shown of a request, the longest first; also as JSON writes it.

    Args:
        url: the whole address, if more of it is secret than where it leads.
        headers: those that are secret.
        body: the part of it that is secret.
    """
    found = {*_texts(body)}
    for value in (headers or {}).values():
        found |= {value, value.partition(" ")[2] or value}
    if url is not None:
        place, _, rest = url.partition("://")[2].partition("/")
        user = place.rpartition("@")[0]
        parts = {rest, user, *_PARTS.split(rest)}
        found |= {part for part in parts if len(part) >= LEAST_IN_URL}
        found |= {user.partition(":")[2], base64.b64encode(user.encode()).decode("ascii")} if user else set()
    found |= {json_text.dump(secret).decode()[1:-1] for secret in found}
    return tuple(sorted((one for one in found if len(one) >= LEAST), key=len, reverse=True))


def without(text: str, secrets: Iterable[str]) -> str:
    """The text without them. Before it is cut: half a secret is one, too."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)
