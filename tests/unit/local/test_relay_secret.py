"""Credentials given to a relay on site: from stdin, kept encrypted, never shown."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from local.relay_secret import main
from shared.clock import SystemClock
from shared.relay.plant_secrets import SiteSecrets
from shared.secrets.file_vault import FileVault


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_secret_is_set_found_listed_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, '{"username": "relay", "password": "swordfish"}\n')
    assert main(["set", "oven-key", "--data", str(tmp_path)]) == 0
    assert main(["list", "--data", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["oven-key is kept.", "oven-key"]
    assert "swordfish" not in shown.out + shown.err
    assert all(b"swordfish" not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert main(["delete", "oven-key", "--data", str(tmp_path)]) == 0
    assert main(["list", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["oven-key is forgotten."]


async def test_the_relay_finds_it(tmp_path: Path) -> None:
    vault = FileVault(tmp_path / "vault", SystemClock())
    await vault.set("oven-key", '{"token": "t"}')
    assert await SiteSecrets(vault, SystemClock(), {}).credentials("oven-key") == {"token": "t"}


@pytest.mark.parametrize("text", ["", "swordfish", "[]", "{}", '"swordfish"'])
def test_what_is_no_credential_set_is_refused_unshown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    give(monkeypatch, text)
    assert main(["set", "oven-key", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "JSON object" in said
    assert "swordfish" not in said


def test_a_name_that_no_vault_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, '{"token": "t"}')
    assert main(["set", "oven/key", "--data", str(tmp_path)]) == 2
    assert "hyphens" in capsys.readouterr().err
