"""What was asked: a list of requests with what each cost, and a count between two moments."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Count", "Entry", "Journal"]

_DATA = frozenset(
    {"create", "read", "upsert", "replace", "patch", "delete", "query", "batch", "read_feed", "delete_partition"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One request."""

    method: str
    container: str | None
    operation: str
    charge: float
    """Request units."""
    status: int
    """0: the connection was cut without an answer."""
    item_id: str | None = None
    subject: str | None = None


@dataclass(slots=True)
class Count:
    """Requests since some moment."""

    entries: list[Entry] = field(default_factory=list)

    @property
    def data(self) -> list[Entry]:
        """Only those that touch documents: what the SDK asks about the account and the containers left out."""
        return [entry for entry in self.entries if entry.operation in _DATA]

    @property
    def calls(self) -> int:
        """How many touched documents."""
        return len(self.data)

    @property
    def charge(self) -> float:
        """What those cost together, in request units."""
        return round(sum(entry.charge for entry in self.data), 2)

    def by_operation(self) -> Counter[tuple[str | None, str]]:
        """How many for each container and operation."""
        return Counter((entry.container, entry.operation) for entry in self.data)


class Journal:
    """The last 100,000 requests, and whoever counts them."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=100_000)
        self._counts: list[Count] = []

    def note(self, entry: Entry) -> None:
        """One more."""
        self.entries.append(entry)
        for count in self._counts:
            count.entries.append(entry)

    def of(self, operations: Iterable[str]) -> list[Entry]:
        """Those of these operations."""
        wanted = set(operations)
        return [entry for entry in self.entries if entry.operation in wanted]

    @contextmanager
    def counting(self) -> Iterator[Count]:
        """Count what comes while the block runs."""
        count = Count()
        self._counts.append(count)
        try:
            yield count
        finally:
            self._counts = [other for other in self._counts if other is not count]
