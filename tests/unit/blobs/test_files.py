"""Blobs in a folder: what lies on the disk, and what a crash leaves behind."""

# ruff: noqa: ASYNC240 - looking at a few small files is the subject here
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shared.blobs.files import BlobFiles
from shared.errors import Conflict, Unavailable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "audit-anchors"


async def test_files_are_read_only_from_the_first_moment(folder: Path) -> None:
    await BlobFiles(folder).create("a/b.json", b"x")
    path = folder / "a" / "b.json"
    assert path.stat().st_mode & 0o777 == 0o440
    assert path.stat().st_nlink == 1, "no second name is left"
    assert [p.name for p in folder.rglob("*") if p.is_file()] == ["b.json"]


async def test_a_write_that_fails_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full disk: the write is refused before the name appears."""
    blobs = BlobFiles(folder)
    await blobs.create("before", b"x")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Unavailable, match=r"No space left.*check disk"):
            await blobs.create("a", b"x")
    assert [p.name for p in folder.rglob("*") if p.is_file()] == ["before"]
    await blobs.create("a", b"x")


@pytest.mark.parametrize("step", ["before the link", "after the link"])
async def test_killed_in_the_middle(folder: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process that dies leaves: a file beside, perhaps linked already. The next one is not bothered by it."""
    folder.mkdir(parents=True)
    beside = folder / ".a.0badcafe"
    beside.write_bytes(b"half" if step == "before the link" else b"whole")
    if step == "after the link":
        (folder / "a").hardlink_to(beside)
    os.utime(beside, (time.time() - 3600,) * 2)
    blobs = BlobFiles(folder)
    if step == "before the link":
        assert [name async for name in blobs.names()] == []
        await blobs.create("a", b"whole")
    else:
        with pytest.raises(Conflict):
            await blobs.create("a", b"other")
    assert await blobs.read("a") == b"whole"
    assert not beside.exists(), "old left-overs are swept"


async def test_a_fresh_file_of_another_writer_is_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / ".b.0badcafe").write_bytes(b"being written")
    await BlobFiles(folder).create("a", b"x")
    assert (folder / ".b.0badcafe").exists()


async def test_a_folder_that_cannot_be_used(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    for call in (BlobFiles(folder).check(), BlobFiles(folder).create("a", b"x")):
        with pytest.raises(Unavailable, match="cannot be used"):
            await call
