"""The anchors and seals, read back and held together: are they as they were written, and what do they say?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from shared.audit.anchor import ZERO, Anchor, Seal
from shared.audit.chain import Break
from shared.audit.shelf import AnchorShelf, Unreadable
from shared.audit.witness import Witness

__all__ = ["Evidence", "gather"]

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
    seals = await shelf.seals(contents.seals)
    found = Evidence(anchors=len(contents.anchors), seals=len(seals))
    found.first_break = _broken_sequence("seal", seals) or _missing("anchor", contents.anchors)
    looks: dict[int, Look] = {}
    hashes: dict[int, str] = {0: ZERO}
    done = 0
    for seal in seals:
        if isinstance(seal, Unreadable):
            continue
        found.first_break = found.first_break or _gap_between_seals(seal, done)
        done = max(done, seal.through)
        looks |= {anchor.number: (anchor.at, anchor.since) for anchor in seal.anchors}
        hashes |= {anchor.number: anchor.sha256 for anchor in seal.anchors}
        _keep(found, wanted, _of_seal(seal, looks))
    loose = [number for number in contents.anchors if number not in looks]
    gone = [number for number in looks if number not in set(contents.anchors)]
    if gone and found.first_break is None:
        found.first_break = _gone("anchor", min(gone))
    rest = await shelf.anchors(loose)
    await _open(found, shelf, [s for s in seals if isinstance(s, Seal) and opened(s.number)], hashes)
    hashes |= {anchor.number: anchor.sha256 for anchor in rest}
    found.read += len(rest)
    for anchor in rest:
        found.first_break = found.first_break or _broken_anchor(anchor, hashes)
        if isinstance(anchor, Anchor):
            _keep(found, wanted, _of_anchor(anchor))
    times = [anchor.at for anchor in rest if isinstance(anchor, Anchor)]
    sealed = [seal.at for seal in seals if isinstance(seal, Seal)]
    found.newest = max([*times[-1:], *sealed[-1:]], default=None)
    found.doubt = None if found.first_break else _clock_went_back("seal", sealed)
    return found


async def _open(found: Evidence, shelf: AnchorShelf, seals: Sequence[Seal], hashes: Mapping[int, str]) -> None:
    """Hold anchors against their seals."""
    for seal in seals:
        anchors = await shelf.anchors(anchor.number for anchor in seal.anchors)
        found.read += len(anchors)
        for anchor in anchors:
            found.first_break = found.first_break or _broken_anchor(anchor, hashes)
        told = {(h.anchor, h.stream, h.seq, h.hash) for h in seal.heads}
        held = {(a.number, h.stream, h.seq, h.hash) for a in anchors if isinstance(a, Anchor) for h in a.heads}
        if told != held and found.first_break is None:
            detail = f"Seal {seal.number} does not say what its anchors say: it was replaced."
            found.first_break = Break(None, "seal_altered", detail, seal.number)


def _broken_sequence(what: str, documents: Sequence[Seal | Unreadable]) -> Break | None:
    missing = _missing(what, [document.number for document in documents])
    before = ZERO
    for document in documents:
        if missing is not None and missing.anchor is not None and missing.anchor < document.number:
            return missing
        if isinstance(document, Unreadable):
            return _unreadable(what, document)
        if document.previous != before:
            return _unchained(what, document.number)
        before = document.sha256
    return missing


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


def _clock_went_back(what: str, times: Sequence[str]) -> Break | None:
    for number, (before, after) in enumerate(pairwise(times), start=2):
        if after < before:
            detail = f"{what.capitalize()} {number} says {after}, the one before it {before}: a clock was wrong."
            return Break(None, "clock_back", detail, number)
    return None


def _keep(found: Evidence, wanted: Callable[[str], bool], told: Iterator[tuple[str, Witness]]) -> None:
    for stream, witness in told:
        if wanted(stream):
            found.witnesses.setdefault(stream, []).append(witness)


def _of_seal(seal: Seal, looks: Mapping[int, Look]) -> Iterator[tuple[str, Witness]]:
    for head in seal.heads:
        at, since = looks.get(head.anchor, (seal.at, None))
        yield head.stream, Witness(head.anchor, at, since, head.seq, head.hash)


def _of_anchor(anchor: Anchor) -> Iterator[tuple[str, Witness]]:
    for head in anchor.heads:
        yield head.stream, Witness(anchor.number, anchor.at, anchor.since, head.seq, head.hash)
