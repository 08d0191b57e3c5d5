"""A chain held against what anchors saw of it: pure functions.

The chain proves that its entries belong together; an anchor proves that they stood there at a time. Whoever writes a
chain anew, cuts off its end or removes it whole has it contradict an anchor that cannot be written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.audit.chain import Anchored, Break, Link, Verification

__all__ = ["Witness", "hold_against"]


@dataclass(frozen=True, slots=True)
class Witness:
    """One anchored head of a stream."""

    anchor: int
    """The anchor's number."""
    at: str
    """When it was written."""
    since: str | None
    """From when on it looked for entries; ``None``: for all."""
    seq: int
    hash: str


def hold_against(found: Verification, ordered: Sequence[Link], witnesses: Sequence[Witness]) -> Verification:
    """The verdict on a chain, completed by what the anchors say.

    Args:
        found: the verdict on the chain by itself.
        ordered: its entries by number.
        witnesses: everything that was anchored of it.
    """
    if not witnesses:
        return found
    in_turn = sorted(witnesses, key=lambda witness: witness.anchor)
    newest = max(in_turn, key=lambda witness: (witness.seq, -witness.anchor))
    broken = found.first_break or _first_contradiction(found.stream, ordered, in_turn)
    return replace(
        found,
        intact=broken is None,
        first_break=broken,
        anchored=Anchored(
            since=in_turn[0].at, anchors=len(in_turn), seq=newest.seq, at=newest.at, anchor=newest.anchor
        ),
        doubt=None if broken else _first_doubt(ordered, in_turn),
    )


def _first_contradiction(stream: str, ordered: Sequence[Link], witnesses: Sequence[Witness]) -> Break | None:
    for witness in witnesses:
        seq, told = witness.seq, f"Anchor {witness.anchor} of {witness.at} holds entry {witness.seq}"
        if not ordered:
            detail = f"{told} of {stream}, and the stream is empty: it was removed."
            return Break(seq, "stream_missing", detail, witness.anchor)
        if len(ordered) < seq:
            detail = f"{told}, the stream ends with {len(ordered)}: the newest were cut off."
            return Break(seq, "head_missing", detail, witness.anchor)
        if ordered[seq - 1].hash != witness.hash:
            detail = f"{told} with another hash: the chain was written anew."
            return Break(seq, "rewritten", detail, witness.anchor)
    return None


def _first_doubt(ordered: Sequence[Link], witnesses: Sequence[Witness]) -> Break | None:
    """An entry that an earlier look should have found by its time: it was put in later, or a clock was wrong."""
    known = 0
    for witness in witnesses:
        for entry in ordered[known : witness.seq]:
            if witness.since is not None and entry.at < witness.since:
                detail = (
                    f"Entry {entry.seq} says that it was written {entry.at}, but an earlier look for everything up to "
                    f"{witness.since} did not find it; anchor {witness.anchor} is the first that holds it. It was "
                    "written later than it says, or a clock was wrong."
                )
                return Break(entry.seq, "backdated", detail, witness.anchor)
        known = max(known, witness.seq)
    return None
