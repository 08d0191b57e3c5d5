"""What a test can make go wrong, and what was asked of the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Action", "Fault", "Faults", "Moment", "Operation", "Operations"]

Moment = Literal["connect", "token", "attach", "send", "deliver", "settle", "manage"]
"""When a fault strikes. ``deliver``: after a message was locked, when it should go out."""

Action = Literal["refuse", "detach", "cut", "lose answer", "double", "delay"]
"""``refuse``: with the condition; ``detach``: the link is detached with the condition; ``cut``: the socket is closed
without a word; ``lose answer``: it is done and the answer never sent; ``double``: what is sent comes in twice, past the
duplicate detection; ``delay``: it is done later."""


@dataclass(slots=True, eq=False)
class Fault:
    """One thing that goes wrong."""

    action: Action
    moment: Moment
    queue: str | None
    """``None``: any."""
    times: int | None
    """``None``: until it is cleared."""
    condition: str
    seconds: float
    struck: int = 0


@dataclass(slots=True)
class Faults:
    """Those that still wait to strike. Used inside the server's thread."""

    armed: list[Fault] = field(default_factory=list)

    def strike(self, moment: Moment, queue: str, *actions: Action) -> Fault | None:
        """The fault that strikes now, if any; of these kinds only, if kinds are named."""
        for fault in self.armed:
            if fault.moment != moment or fault.queue not in {None, queue} or (actions and fault.action not in actions):
                continue
            fault.struck += 1
            if fault.times is not None and fault.struck >= fault.times:
                self.armed.remove(fault)
            return fault
        return None


@dataclass(frozen=True, slots=True)
class Operation:
    """Something a client asked for."""

    kind: str
    """``connect``, ``token``, ``attach``, ``send``, ``deliver``, ``complete``, ``abandon``, ``dead-letter``, ``defer``,
    ``release``, ``schedule``, ``cancel``, ``renew``, ``peek``, ``receive-deferred``, ``update-disposition``."""
    queue: str
    messages: int
    refused: bool = False


@dataclass(slots=True)
class Operations:
    """The log, and sums over it for the cost bench."""

    log: list[Operation] = field(default_factory=list)

    def note(self, kind: str, queue: str, messages: int = 1, *, refused: bool = False) -> None:
        """One more."""
        self.log.append(Operation(kind, queue, messages, refused))

    def calls(self, kind: str, queue: str | None = None) -> int:
        """How often it was done (a batch is one)."""
        return sum(1 for o in self._of(kind, queue))

    def messages(self, kind: str, queue: str | None = None) -> int:
        """How many messages it was done with."""
        return sum(o.messages for o in self._of(kind, queue))

    def by_kind(self) -> dict[str, int]:
        """Messages of each kind."""
        sums: Counter[str] = Counter()
        for operation in self.log:
            sums[operation.kind] += operation.messages
        return dict(sums)

    def _of(self, kind: str, queue: str | None) -> Iterable[Operation]:
        return (o for o in self.log if o.kind == kind and queue in {None, o.queue} and not o.refused)
