"""Documents that were written or read lately, as they stand on disk.

One process owns the file, so what the writer committed is the truth: a point read of a recent document needs neither
a statement nor another thread, and a patch needs no look-up. Where several processes share it, a document is believed
as long as no other process has changed it. Only bytes are kept: every reader parses its own
copy.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

from shared.storage.sqlite_changes import Place, Row

__all__ = ["ELSEWHERE", "DocumentCache"]

LARGEST = 64 * 1024
"""Bytes of the largest document that is kept."""

LEAST = 1_024
"""So many of the youngest entries are kept whatever their size (64 MB at the very worst)."""

OVERHEAD = 700
"""Bytes of an entry beside its body: keys, columns, objects."""

ELSEWHERE = Row("", None, b"", None, None)
"""Stands for "look on disk": the document is too large to be kept, or was deleted."""


class DocumentCache:
    """Place -> row, the oldest entries go first. Written by the writer thread and the reader, read by everybody."""

    def __init__(self, budget: int = 48 * 1024 * 1024, *, generation_of: Callable[[Place], int] | None = None) -> None:
        self._budget = budget
        self.generation_of = generation_of
        """How often other processes have changed what is there; ``None``: there are none."""
        self._rows: OrderedDict[Place, Row] = OrderedDict()
        self._bytes = 0
        self._entered = 0
        self._guard = threading.Lock()

    def get(self, place: Place) -> Row | None:
        """The row as committed; ``ELSEWHERE`` or ``None``: ask the disk."""
        row = self._rows.get(place)
        if self.generation_of is None or row is None or row.generation == self.generation_of(place):
            return row
        return None

    def mark(self) -> int:
        """Take this before reading from disk; give it to :meth:`fill`."""
        return self._entered

    def committed(self, rows: Iterable[tuple[Place, Row | None]]) -> None:
        """What the writer has just committed (``None``: deleted)."""
        with self._guard:
            for place, row in rows:
                if row is not None and self.generation_of is not None:
                    row.generation = self.generation_of(place)
                self._enter(place, ELSEWHERE if row is None or len(row.body) > LARGEST else row)
            self._trim()

    def fill(self, rows: Iterable[tuple[Place, Row]], mark: int) -> None:
        """What was read from disk since ``mark``.

        A row may be outdated by the time it comes here. Then the writer has entered a younger one, and that is still
        here: at least ``LEAST`` of the youngest entries always are, and no more than that came since ``mark``.
        """
        with self._guard:
            for place, row in rows:
                known = self._rows.get(place)
                if known is not None and known.generation < row.generation:
                    known = None  # outdated by another process
                if self._entered - mark < LEAST and known is None and len(row.body) <= LARGEST:
                    self._enter(place, row)
            self._trim()

    def _enter(self, place: Place, row: Row) -> None:
        old = self._rows.pop(place, None)
        if old is not None:
            self._bytes -= len(old.body) + OVERHEAD
        self._rows[place] = row
        self._bytes += len(row.body) + OVERHEAD
        self._entered += 1

    def _trim(self) -> None:
        while self._bytes > self._budget and len(self._rows) > LEAST:
            _, row = self._rows.popitem(last=False)
            self._bytes -= len(row.body) + OVERHEAD
