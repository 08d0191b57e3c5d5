"""Function keys: made once, kept in the data folder, asked for where the host enforces them.

Contract: ``reference/functions-runtime.md`` 3.1, row *auth*: the header ``x-functions-key`` before the query parameter
``code``; the master key opens everything, a host key every function, a function's own key that function.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import BrokenSettings

__all__ = ["Keys", "read_keys"]


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of this host."""

    master: str = field(repr=False)
    host: tuple[str, ...] = field(repr=False)
    by_function: Mapping[str, tuple[str, ...]] = field(repr=False, default_factory=dict)
    """By lower-case function name."""

    def opens(self, level: str, function: str, key: str) -> bool:
        """Does this key open a function of that level (``anonymous``, ``function``, ``admin``)?"""
        if level == "anonymous":
            return True
        if not key:
            return False
        if _same(key, self.master):
            return True
        if level == "admin":
            return False
        own = self.by_function.get(function.lower(), ())
        return any(_same(key, other) for other in (*self.host, *own))


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode("utf-8", "surrogateescape"), b.encode())


def read_keys(path: Path) -> Keys:
    """The keys in this file; made on the first start, readable by the owner alone.

    Raises:
        BrokenSettings: the file is there and cannot be read.
    """
    if not path.exists():
        _write(path)
    try:
        raw = json.loads(path.read_text("utf-8"))
        return Keys(
            master=_key(raw["masterKey"]),
            host=tuple(_key(v) for v in raw["functionKeys"].values()),
            by_function={
                name.lower(): tuple(_key(v) for v in given.values()) for name, given in raw.get("functions", {}).items()
            },
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as err:
        raise BrokenSettings(
            f"The key file {path} cannot be read ({type(err).__name__}); mend it, or remove it to get new keys."
        ) from err


def _key(value: object) -> str:
    if not isinstance(value, str) or len(value) < 16:
        raise ValueError("a key is a text of at least 16 characters")
    return value


def _write(path: Path) -> None:
    content = {"masterKey": secrets.token_urlsafe(40), "functionKeys": {"default": secrets.token_urlsafe(40)}}
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({**content, "functions": {}}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
