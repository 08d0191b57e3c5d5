"""Chains and anchors against each other: whatever is done to either is named."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from shared import json_text
from shared.audit import AuditLog
from shared.audit.anchor import Head
from shared.audit.chain import entry_hash
from shared.clock import ManualClock
from shared.services import Services
from shared.storage import Document, Query

ACTOR = {"id": "token:1", "name": "Anna", "how": "api_token"}
HOUR = 3600.0


@pytest.fixture
async def folder(house: Services, clock: ManualClock, tmp_path: Path) -> Path:
    """Two sealed days of three anchors each, and two anchors of today."""
    for _ in range(2):
        for _ in range(3):
            await add(house)
            await house.anchoring.anchor()
            clock.advance(HOUR)
        await house.anchoring.seal()
        clock.advance(21 * HOUR)
    for _ in range(2):
        await add(house)
        await house.anchoring.anchor()
        clock.advance(HOUR)
    found = tmp_path / "data" / "audit-anchors"
    assert sorted(path.name for path in found.iterdir()) == [
        *(f"anchor-{n:09d}.json" for n in range(1, 9)),
        *(f"seal-{n:09d}.json" for n in (1, 2)),
    ]
    return found


async def add(house: Services) -> None:
    for stream in ("token", "equipment:A"):
        await house.audit.append(stream, actor=ACTOR, action="equipment.changed", target="x")


async def entries(house: Services, stream: str = "token") -> list[Document]:
    page = await house.store.query("audit", Query(limit=1000), partition=(stream,))
    return sorted((item.document for item in page.items), key=lambda d: d["seq"])


async def remove(house: Services, documents: list[Document]) -> None:
    for document in documents:
        await house.store.delete("audit", (document["stream"], document["month"]), document["id"])


async def test_untouched_it_holds(house: Services, folder: Path) -> None:
    found = await house.audit_proof.verify("token")
    assert (found.intact, found.entries, found.first_break, found.doubt) == (True, 8, None, None)
    assert found.anchored is not None
    assert (found.anchored.since, found.anchored.anchors) == ("2026-11-21T10:00:00.000Z", 8)
    assert (found.anchored.seq, found.anchored.anchor, found.anchored.at) == (8, 8, "2026-11-23T11:00:00.000Z")
    evidence = await house.audit_proof.evidence()
    assert (evidence.first_break, evidence.anchors, evidence.seals, evidence.read) == (None, 8, 2, 8)
    quick = await house.audit_proof.evidence(opened=lambda _seal: False)
    assert quick.read == 2, "sealed anchors are not opened one by one"
    assert quick.witnesses == evidence.witnesses


async def cut_the_tail(house: Services) -> None:
    await remove(house, (await entries(house))[6:])


async def cut_back_to_yesterday(house: Services) -> None:
    await remove(house, (await entries(house))[2:])


async def cut_and_go_on(house: Services) -> None:
    """Cut off three and write as many others, with a chain that holds by itself."""
    await remove(house, (await entries(house))[5:])
    for _ in range(3):
        await AuditLog(house.store, house.clock).append(
            "token", actor=ACTOR, action="equipment.changed", target="innocent"
        )


async def write_anew(house: Services) -> None:
    previous = ""
    for document in await entries(house):
        if document["seq"] == 4:
            document["actor"] = {**ACTOR, "name": "Somebody else"}
        if previous:
            document["prevHash"] = previous
        document["hash"] = previous = entry_hash(document)
        await house.store.replace("audit", document)


async def remove_all(house: Services) -> None:
    await remove(house, await entries(house))


@pytest.mark.parametrize(
    ("tamper", "kind", "seq", "anchor"),
    [
        (cut_the_tail, "head_missing", 7, 7),
        (cut_back_to_yesterday, "head_missing", 3, 3),
        (cut_and_go_on, "rewritten", 6, 6),
        (write_anew, "rewritten", 4, 4),
        (remove_all, "stream_missing", 1, 1),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
async def test_what_the_chain_alone_cannot_show(
    house: Services,
    folder: Path,
    tamper: Callable[[Services], Awaitable[None]],
    kind: str,
    seq: int,
    anchor: int,
) -> None:
    await tamper(house)
    assert (await house.audit.verify("token")).intact, "without anchors nobody sees it"
    found = (await house.audit_proof.verify("token")).first_break
    assert found is not None
    assert (found.kind, found.seq, found.anchor) == (kind, seq, anchor)
    assert found.detail.endswith(".")
    assert "token" in await house.audit_proof.streams(await house.audit_proof.evidence())
    assert (await house.audit_proof.verify("equipment:A")).intact


def change(path: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_bytes())
    alter(document)
    path.chmod(0o600)
    path.write_bytes(json_text.canonical(document))


def another_hash(document: dict[str, Any]) -> None:
    document["anchors"][0]["sha256"] = "0" * 64


def remove_files(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / f"anchor-{number:09d}.json").unlink()


def swap(folder: Path, one: str, other: str) -> None:
    beside = folder / "beside"
    (folder / one).rename(beside)
    (folder / other).rename(folder / one)
    beside.rename(folder / other)


def renumbered(folder: Path, one: int, other: int) -> None:
    """Swapped with care: each says the number that it is called by."""
    swap(folder, f"anchor-{one:09d}.json", f"anchor-{other:09d}.json")
    for number in (one, other):
        change(folder / f"anchor-{number:09d}.json", lambda d, n=number: d.update(number=n))  # type: ignore[misc]


def forget_heads(document: dict[str, Any]) -> None:
    document["heads"] = []


TAMPERED: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "a loose anchor removed": (lambda f: (f / "anchor-000000007.json").unlink(), "anchor_missing", 7),
    "a sealed anchor removed": (lambda f: (f / "anchor-000000002.json").unlink(), "anchor_missing", 2),
    "the newest sealed ones and all after removed": (
        lambda f: remove_files(f, 6, 7, 8),
        "anchor_missing",
        6,
    ),
    "a loose anchor changed": (lambda f: change(f / "anchor-000000007.json", forget_heads), "anchor_altered", 8),
    "a sealed anchor changed": (lambda f: change(f / "anchor-000000002.json", forget_heads), "anchor_altered", 2),
    "an anchor that is none": (lambda f: change(f / "anchor-000000005.json", dict.clear), "anchor_altered", 5),
    "an anchor with more": (
        lambda f: change(f / "anchor-000000008.json", lambda d: d.update(x=1)),
        "anchor_altered",
        8,
    ),
    "anchors swapped": (
        lambda f: swap(f, "anchor-000000007.json", "anchor-000000008.json"),
        "anchor_altered",
        7,
    ),
    "anchors swapped with care": (lambda f: renumbered(f, 7, 8), "anchor_altered", 7),
    "sealed anchors swapped with care": (lambda f: renumbered(f, 1, 2), "anchor_altered", 1),
    "a seal removed": (lambda f: (f / "seal-000000001.json").unlink(), "seal_missing", 1),
    "a seal changed": (lambda f: change(f / "seal-000000001.json", forget_heads), "seal_altered", 1),
    "seals swapped": (lambda f: swap(f, "seal-000000001.json", "seal-000000002.json"), "seal_altered", 1),
    "the newest seal changed": (lambda f: change(f / "seal-000000002.json", forget_heads), "seal_altered", 2),
    "the newest seal with another hash": (
        lambda f: change(f / "seal-000000002.json", another_hash),
        "anchor_altered",
        4,
    ),
    "the newest seal cut short": (
        lambda f: change(f / "seal-000000002.json", lambda d: d.update(through=5)),
        "seal_altered",
        2,
    ),
}


@pytest.mark.parametrize("what", list(TAMPERED))
async def test_anchors_that_were_touched(house: Services, folder: Path, what: str) -> None:
    tamper, kind, number = TAMPERED[what]
    tamper(folder)
    found = (await house.audit_proof.evidence()).first_break
    assert found is not None, what
    assert (found.kind, found.anchor) == (kind, number)
    assert found.detail.endswith(".")


@pytest.mark.parametrize("what", [what for what in TAMPERED if "sealed anchor" not in what or "removed" in what])
async def test_most_of_it_shows_without_opening_sealed_anchors(house: Services, folder: Path, what: str) -> None:
    """What the API looks at, every time."""
    tamper, kind, number = TAMPERED[what]
    tamper(folder)
    found = (await house.audit_proof.evidence(opened=lambda _seal: False)).first_break
    if what in ("an anchor that is none", "the newest seal changed", "the newest seal with another hash"):
        assert found is None, "only opening the sealed anchors shows it"
        return
    assert found is not None, what
    # That a seal does not say what its anchors say is not seen; that the next one does not follow it is.
    assert (found.kind, found.anchor) == (kind, number + (what == "a seal changed"))


async def test_an_anchor_for_a_chain_written_anew_does_not_help(
    house: Services, folder: Path, clock: ManualClock
) -> None:
    """Whoever may write the store has the app anchor the forged chain: the old anchors are still there."""
    await write_anew(house)
    await AuditLog(house.store, clock).append("token", actor=ACTOR, action="equipment.changed", target="x")
    await house.anchoring.anchor()
    clock.advance(HOUR)
    await house.anchoring.seal()
    found = (await house.audit_proof.verify("token")).first_break
    assert found is not None
    assert (found.kind, found.seq, found.anchor) == ("rewritten", 4, 4)


async def test_an_entry_of_long_ago_that_nobody_saw_is_doubted(
    house: Services, folder: Path, clock: ManualClock
) -> None:
    """A stream put in later, with times of last week."""
    now = clock.now()
    clock.set(now.replace(day=21, hour=10))
    await house.audit.append("equipment:FORGED", actor=ACTOR, action="equipment.changed", target="x")
    clock.set(now)
    assert (await house.audit_proof.verify("equipment:FORGED")).anchored is None
    head = (await entries(house, "equipment:FORGED"))[0]
    await house.anchoring.anchor(
        also=[Head(stream="equipment:FORGED", seq=1, hash=head["hash"], at=head["at"])],
    )
    found = await house.audit_proof.verify("equipment:FORGED")
    assert found.doubt is not None
    assert (found.intact, found.doubt.kind, found.doubt.seq, found.doubt.anchor) == (True, "backdated", 1, 9)
