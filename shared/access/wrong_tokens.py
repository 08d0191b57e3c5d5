"""Counting wrong credentials, so that a client gone wild does not turn every try into work.

Guessing is no danger (256 random bits); load is. The counts live in this process and take bounded memory. A right
token is never held up by wrong ones, not even from the same address: many callers may share one.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta

from shared.errors import TooManyRequests

__all__ = ["WrongTokens"]

WINDOW = timedelta(seconds=60)
PER_TOKEN = 10
"""Wrong tries with one token id from one address in a window."""
PER_ADDRESS = 100
"""Wrong tries from one address in a window; beyond it, ids that this process does not know are not looked up."""
REMEMBERED = 10_000


class WrongTokens:
    """Tries per (address, token id) and per address."""

    def __init__(self) -> None:
        self._tries: OrderedDict[tuple[str, str], tuple[datetime, int]] = OrderedDict()

    def refuse_if_wild(self, address: str, now: datetime) -> None:
        """Before looking up an id that we do not know. Raises ``TooManyRequests``."""
        since, tries = self._tries.get((address, ""), (now, 0))
        self._refuse(since, tries, PER_ADDRESS, now)

    def count(self, address: str, token_id: str, now: datetime) -> None:
        """One more wrong try. Raises ``TooManyRequests`` when there were too many."""
        for key, most in (((address, ""), PER_ADDRESS), ((address, token_id), PER_TOKEN)):
            since, tries = self._tries.get(key, (now, 0))
            if now - since >= WINDOW:
                since, tries = now, 0
            self._tries[key] = (since, tries + 1)
            self._tries.move_to_end(key)
            while len(self._tries) > REMEMBERED:
                self._tries.popitem(last=False)
            self._refuse(since, tries, most, now)

    @staticmethod
    def _refuse(since: datetime, tries: int, most: int, now: datetime) -> None:
        remaining = (since + WINDOW - now).total_seconds()
        if tries >= most and remaining > 0:
            raise TooManyRequests(
                "Too many wrong credentials from here. Check the token, then try again later.", retry_after=remaining
            )
