"""The vault in a folder: what lies on the disk, and what is said when it was damaged."""

# ruff: noqa: ASYNC240 - looking at a few small files is the subject here
from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

import pytest

from shared.clock import ManualClock
from shared.errors import BrokenSettings, NotFound, OvenbridgeError, Unavailable
from shared.secrets.file_vault import FileVault

WORD = "hidden-word-4711"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "vault"


@pytest.fixture
def vault(folder: Path, clock: ManualClock) -> FileVault:
    return FileVault(folder, clock)


async def test_it_survives_a_restart(vault: FileVault, folder: Path, clock: ManualClock) -> None:
    written = await vault.set("oven", WORD)
    again = FileVault(folder, clock)
    assert await again.get("oven") == written
    assert [m.name for m in await again.list()] == ["oven"]


async def test_only_this_user_may_read_it(vault: FileVault, folder: Path) -> None:
    await vault.set("oven", WORD)
    assert folder.stat().st_mode & 0o777 == 0o700
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert {p.name for p in files} == {"vault.key", "oven.secret"}, "no temporary file is left"
    for path in files:
        assert path.stat().st_mode & 0o777 == 0o600
        assert WORD.encode() not in path.read_bytes()


async def test_rights_that_were_widened_are_narrowed(vault: FileVault, folder: Path, clock: ManualClock) -> None:
    await vault.set("oven", WORD)
    folder.chmod(0o755)
    (folder / "vault.key").chmod(0o644)
    await FileVault(folder, clock).check()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "vault.key").stat().st_mode & 0o777 == 0o600


async def test_equal_values_look_different(vault: FileVault, folder: Path) -> None:
    await vault.set("a", WORD)
    await vault.set("b", WORD)
    first, second = (folder / "a.secret").read_bytes(), (folder / "b.secret").read_bytes()
    assert first[:12] != second[:12], "a nonce is used once"
    assert first[12:] != second[12:]


async def test_another_key_is_said(vault: FileVault, folder: Path, clock: ManualClock) -> None:
    await vault.set("oven", WORD)
    (folder / "vault.key").write_bytes(b"k" * 32)
    other = FileVault(folder, clock)
    for attempt in (other.get("oven"), other.list()):
        with pytest.raises(Unavailable, match=r"vault\.key.*Restore") as caught:
            await attempt
        assert WORD not in str(caught.value)


async def test_a_missing_key_is_said_and_never_replaced(vault: FileVault, folder: Path, clock: ManualClock) -> None:
    await vault.set("oven", WORD)
    (folder / "vault.key").unlink()
    other = FileVault(folder, clock)
    for attempt in (other.check(), other.get("oven"), other.set("new", "x")):
        with pytest.raises(BrokenSettings, match="missing"):
            await attempt
    assert not (folder / "vault.key").exists()


async def test_a_damaged_key_is_said(vault: FileVault, folder: Path, clock: ManualClock) -> None:
    await vault.set("oven", WORD)
    (folder / "vault.key").write_bytes(b"short")
    with pytest.raises(BrokenSettings, match="damaged"):
        await FileVault(folder, clock).get("oven")


@pytest.mark.parametrize("damage", [b"", b"x" * 10, b"x" * 100])
async def test_a_damaged_secret_is_said(vault: FileVault, folder: Path, damage: bytes) -> None:
    await vault.set("oven", WORD)
    await vault.set("other", WORD)
    (folder / "oven.secret").write_bytes(damage)
    with pytest.raises(Unavailable, match="oven"):
        await vault.get("oven")
    assert (await vault.get("other")).value == WORD
    await vault.set("oven", "new")
    assert (await vault.get("oven")).value == "new"


async def test_a_secret_under_another_name_is_refused(vault: FileVault, folder: Path) -> None:
    """The name is part of what is sealed: a credential cannot be slipped under another's name."""
    await vault.set("oven", WORD)
    (folder / "other.secret").write_bytes((folder / "oven.secret").read_bytes())
    with pytest.raises(Unavailable):
        await vault.get("other")


async def test_a_changed_bit_is_noticed(vault: FileVault, folder: Path) -> None:
    await vault.set("oven", WORD)
    sealed = bytearray((folder / "oven.secret").read_bytes())
    for position in range(len(sealed)):
        sealed[position] ^= 1
        (folder / "oven.secret").write_bytes(sealed)
        with pytest.raises(Unavailable):
            await vault.get("oven")
        sealed[position] ^= 1


async def test_a_crash_while_writing_keeps_the_old(vault: FileVault, folder: Path, clock: ManualClock) -> None:
    await vault.set("oven", WORD)
    left = folder / ".oven.secret.0123abcd"
    left.write_bytes(b"half of a new one")
    os.utime(left, (time.time() - 3600,) * 2)
    again = FileVault(folder, clock)
    assert (await again.get("oven")).value == WORD
    assert [m.name for m in await again.list()] == ["oven"]
    assert not left.exists(), "swept away at start"


async def test_a_folder_that_cannot_be_is_said(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "plain").write_text("a file")
    with pytest.raises(Unavailable, match="vault folder"):
        await FileVault(tmp_path / "plain" / "vault", clock).check()


async def test_nothing_is_logged(vault: FileVault, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await vault.set("oven", WORD)
    await vault.get("oven")
    (folder / "oven.secret").write_bytes(b"damaged")
    with pytest.raises(OvenbridgeError) as caught:
        await vault.get("oven")
    assert WORD not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert WORD not in caplog.text


async def test_two_at_the_first_moment_agree_on_a_key(folder: Path, clock: ManualClock) -> None:
    one, two = FileVault(folder, clock), FileVault(folder, clock)
    await asyncio.gather(one.set("a", "1"), two.set("b", "2"))
    third = FileVault(folder, clock)
    assert [(await third.get(n)).value for n in "ab"] == ["1", "2"]


async def test_reading_creates_nothing(vault: FileVault, folder: Path) -> None:
    with pytest.raises(NotFound):
        await vault.get("oven")
    assert not list(folder.glob("*.secret"))
