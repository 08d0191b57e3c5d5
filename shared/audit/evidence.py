"""The anchors and seals, read back and held together: are they as they were written, and what do they say?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.audit.anchor import ZERO, Anchor, Seal
from shared.audit.chain import Break
from shared.audit.shelf import AnchorShelf, Unreadable
from shared.audit.witness import Witness

__all__ = ["Evidence", "gather"]

SEALS_AT_ONCE, ANCHORS_AT_ONCE = 64, 256
"""So many are in memory at a time: years of them would be hundreds of megabytes."""

Look = tuple[str, str | None]
"""When an anchor was written, and from when on it looked."""


@dataclass(slots=True)
class Evidence:
    """What the anchors say."""

    anchors: int = 0
    seals: int = 0
    read: int = 0
    """So many anchors were opened and held against their seals; the others are known by their seals alone."""
    first_break: Break | None = None
    doubt: Break | None = None
    newest: str | None = None
    """When the newest anchor or seal was written."""
    witnesses: dict[str, list[Witness]] = field(default_factory=dict)
    """By stream, for the streams that were wanted."""

    def of(self, stream: str) -> Sequence[Witness]:
        """Everything that was anchored of a stream."""
        return self.witnesses.get(stream, ())


def _nothing(_number: int) -> bool:
    return False


async def gather(
    shelf: AnchorShelf, *, wanted: Callable[[str], bool], opened: Callable[[int], bool] = _nothing
) -> Evidence:
    """Read the seals, and the anchors that no seal holds yet; check both sequences.

    A seal holds what its anchors hold and their hashes: 365 blobs a year tell everything, and the anchors behind them
    need to be opened only to prove that they are still there as they were.

    Args:
        shelf: where they are.
        wanted: of which streams the witnesses are kept.
        opened: the seals, by number, whose anchors are opened too.
    """
    contents = await shelf.contents()
    found = Evidence(anchors=len(contents.anchors), seals=len(contents.seals))
    walk = _Walk(found, wanted)
    for start in range(0, len(contents.seals), SEALS_AT_ONCE):
        for seal in await shelf.seals(contents.seals[start : start + SEALS_AT_ONCE]):
            walk.over_seal(seal)
            if isinstance(seal, Seal) and opened(seal.number):
                walk.into_seal(seal, await shelf.anchors(anchor.number for anchor in seal.anchors))
    walk.note(_missing("anchor", contents.anchors))
    gone = walk.looks.keys() - set(contents.anchors)
    walk.note(_gone("anchor", min(gone)) if gone else None)
    loose = [number for number in contents.anchors if number not in walk.looks]
    for start in range(0, len(loose), ANCHORS_AT_ONCE):
        for anchor in await shelf.anchors(loose[start : start + ANCHORS_AT_ONCE]):
            walk.over_loose(anchor)
    if found.first_break is not None:
        found.doubt = None
    return found


@dataclass(slots=True)
class _Walk:
    """What must be remembered on the way from the first seal to the newest anchor."""

    found: Evidence
    wanted: Callable[[str], bool]
    hashes: dict[int, str] = field(default_factory=lambda: {0: ZERO})
    """Of the anchors, by number."""
    looks: dict[int, Look] = field(default_factory=dict)
    """Of the sealed anchors, by number."""
    seal: int = 0
    """The number of the seal before,"""
    previous: str = ZERO
    """its hash,"""
    at: str = ""
    """and its time."""
    through: int = 0
    """The last anchor that was sealed."""

    def note(self, broken: Break | None) -> None:
        """Only the first counts: what comes after may follow from it."""
        self.found.first_break = self.found.first_break or broken

    def over_seal(self, seal: Seal | Unreadable) -> None:
        """The next seal."""
        if seal.number != self.seal + 1:
            self.note(_gone("seal", self.seal + 1))
        self.seal = seal.number
        if isinstance(seal, Unreadable):
            self.note(_unreadable("seal", seal))
            self.previous = seal.sha256
            return
        if seal.previous != self.previous:
            self.note(_unchained("seal", seal.number))
        self.note(_gap_between_seals(seal, self.through))
        if seal.at < self.at and self.found.doubt is None:
            detail = f"Seal {seal.number} says {seal.at}, the one before it {self.at}: a clock was wrong."
            self.found.doubt = Break(None, "clock_back", detail, seal.number)
        self.previous, self.at = seal.sha256, seal.at
        self.through = max(self.through, seal.through)
        self.looks |= {anchor.number: (anchor.at, anchor.since) for anchor in seal.anchors}
        self.hashes |= {anchor.number: anchor.sha256 for anchor in seal.anchors}
        self.found.newest = seal.at
        for head in seal.heads:
            at, since = self.looks.get(head.anchor, (seal.at, None))
            self._keep(head.stream, Witness(head.anchor, at, since, head.seq, head.hash))

    def into_seal(self, seal: Seal, anchors: Sequence[Anchor | Unreadable]) -> None:
        """Hold the anchors of a seal against it."""
        self.found.read += len(anchors)
        for anchor in anchors:
            self.note(_broken_anchor(anchor, self.hashes))
        told = {(h.anchor, h.stream, h.seq, h.hash) for h in seal.heads}
        held = {(a.number, h.stream, h.seq, h.hash) for a in anchors if isinstance(a, Anchor) for h in a.heads}
        if told != held:
            detail = f"Seal {seal.number} does not say what its anchors say: it was replaced."
            self.note(Break(None, "seal_altered", detail, seal.number))

    def over_loose(self, anchor: Anchor | Unreadable) -> None:
        """The next anchor that no seal holds."""
        self.found.read += 1
        self.hashes[anchor.number] = anchor.sha256
        self.note(_broken_anchor(anchor, self.hashes))
        if isinstance(anchor, Anchor):
            self.found.newest = max(self.found.newest or "", anchor.at)
            for head in anchor.heads:
                self._keep(head.stream, Witness(anchor.number, anchor.at, anchor.since, head.seq, head.hash))

    def _keep(self, stream: str, witness: Witness) -> None:
        if self.wanted(stream):
            self.found.witnesses.setdefault(stream, []).append(witness)


def _broken_anchor(anchor: Anchor | Unreadable, hashes: Mapping[int, str]) -> Break | None:
    if isinstance(anchor, Unreadable):
        return _unreadable("anchor", anchor)
    if anchor.sha256 != hashes[anchor.number]:
        detail = f"Anchor {anchor.number} is not the one that was sealed: it was replaced."
        return Break(None, "anchor_altered", detail, anchor.number)
    if anchor.previous != hashes.get(anchor.number - 1):
        return _unchained("anchor", anchor.number)
    return None


def _missing(what: str, present: Sequence[int]) -> Break | None:
    for expected, number in enumerate(present, start=1):
        if number != expected:
            return _gone(what, expected)
    return None


def _gone(what: str, number: int) -> Break:
    return Break(None, f"{what}_missing", f"{what.capitalize()} {number} is missing: it was removed.", number)


def _unreadable(what: str, document: Unreadable) -> Break:
    if not document.sha256:
        return _gone(what, document.number)
    detail = f"{what.capitalize()} {document.number} was changed after it was written: {document.problem}."
    return Break(None, f"{what}_altered", detail, document.number)


def _unchained(what: str, number: int) -> Break:
    detail = (
        f"{what.capitalize()} {number} does not follow the one before it: one of the two was replaced, or they were "
        "put into another order."
    )
    return Break(None, f"{what}_altered", detail, number)


def _gap_between_seals(seal: Seal, done: int) -> Break | None:
    listed = [anchor.number for anchor in seal.anchors]
    if listed == list(range(done + 1, seal.through + 1)) and seal.through >= done:
        return None
    detail = f"Seal {seal.number} does not go on where the one before it ended: one of the two was replaced."
    return Break(None, "seal_altered", detail, seal.number)
