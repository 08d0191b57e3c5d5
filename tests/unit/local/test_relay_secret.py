"""Credentials given to a relay on site: from stdin, kept encrypted, never shown."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from local.relay_secret import main
from shared.clock import SystemClock
from shared.errors import InvalidInput
from shared.relay.plant_secrets import MissingSecret, SiteSecrets
from shared.relay.site_binding import Place, place_of
from shared.secrets.file_vault import FileVault


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_secret_is_set_found_listed_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, '{"username": "relay", "password": "swordfish"}\n')
    assert main(["set", "oven-key", "--for", "10.0.0.5:4840", "--data", str(tmp_path)]) == 0
    assert main(["bind", "oven-key", "--for", "Combi-2.plant.local", "--data", str(tmp_path)]) == 0
    assert main(["list", "--data", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "oven-key is kept, for 10.0.0.5:4840.",
        "oven-key is for 10.0.0.5:4840, combi-2.plant.local now.",
        "oven-key  for 10.0.0.5:4840, combi-2.plant.local",
    ]
    assert "swordfish" not in shown.out + shown.err
    assert all(b"swordfish" not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert main(["delete", "oven-key", "--data", str(tmp_path)]) == 0
    assert main(["list", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["oven-key is forgotten."]


async def kept(folder: Path, ref: str, text: str) -> SiteSecrets:
    vault = FileVault(folder / "vault", SystemClock())
    await vault.set(ref, text)
    return SiteSecrets(vault, SystemClock(), {"RELAY_SECRET_FROM_ENV": '{"for": "10.0.0.7", "credentials": {"a": 1}}'})


@pytest.mark.parametrize("place", [Place("10.0.0.5", 4840), Place("10.0.0.6", 502)])
async def test_a_secret_goes_where_it_is_for(tmp_path: Path, place: Place) -> None:
    secrets = await kept(tmp_path, "key", '{"for": ["10.0.0.5:4840", "10.0.0.6"], "credentials": {"token": "t"}}')
    assert await secrets.credentials("key", place) == {"token": "t"}
    assert await secrets.credentials("from-env", Place("10.0.0.7", 1)) == {"a": 1}


@pytest.mark.parametrize(
    "place", [Place("10.0.0.5", 4841), Place("10.0.0.66", 4840), Place("evil.example", 4840), None]
)
@pytest.mark.parametrize("owner", ["hub", "site"])
async def test_and_nowhere_else(tmp_path: Path, place: Place | None, owner: Any) -> None:
    secrets = await kept(tmp_path, "key", '{"for": ["10.0.0.5:4840", "10.0.0.6"], "credentials": {"token": "t"}}')
    with pytest.raises(MissingSecret, match=r"are for 10\.0\.0\.5:4840, 10\.0\.0\.6 and are never sent to"):
        await secrets.credentials("key", place, owner=owner)
    with pytest.raises(MissingSecret, match="never sent"):
        await secrets.credentials("from-env", place, owner=owner)


async def test_one_that_says_nothing_is_sent_nowhere_until_it_is_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place("10.0.0.5", 4840)
    secrets = await kept(tmp_path, "key", '{"token": "t"}')
    with pytest.raises(MissingSecret, match=r"relay_secret bind key --for 10\.0\.0\.5:4840`"):
        await secrets.credentials("key", place)
    assert await secrets.credentials("key", place, owner="hub") == {"token": "t"}, "the hub holds it to its address"
    assert await asyncio.to_thread(main, ["bind", "key", "--for", "10.0.0.5:4840", "--data", str(tmp_path)]) == 0
    assert await secrets.credentials("key", place, fresh=True) == {"token": "t"}


def test_where_it_may_go_has_to_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["set", "oven-key", "--data", str(tmp_path)])
    assert "--for" in capsys.readouterr().err
    assert main(["bind", "none", "--for", "10.0.0.5", "--data", str(tmp_path)]) == 2
    assert "no secret none here" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["https://10.0.0.5", "10.0.0.5/x", "0x7f.1", "host:0", "", "a b", "u@host"])
def test_what_is_no_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput):
        Place.parse(text)


@pytest.mark.parametrize(
    ("protocol", "endpoint", "port", "place"),
    [
        ("opc_ua", "10.0.0.5", None, "10.0.0.5:4840"),
        ("opc_ua", "opc.tcp://Combi-1.local:4841/path", None, "combi-1.local:4841"),
        ("modbus", "10.0.0.5", 1502, "10.0.0.5:1502"),
        ("rest_api", "https://oven.local/x", None, "oven.local:443"),
        ("mqtt", "mqtts://[fd00::5]", None, "[fd00::5]:8883"),
    ],
)
def test_where_a_machine_is(protocol: str, endpoint: str, port: int | None, place: str) -> None:
    assert str(place_of(protocol, endpoint, port)) == place


@pytest.mark.parametrize("text", ["", "swordfish", "[]", "{}", '"swordfish"', '{"for": "h", "credentials": {"a": 1}}'])
def test_what_is_no_credential_set_is_refused_unshown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    give(monkeypatch, text)
    assert main(["set", "oven-key", "--for", "h", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "JSON object" in said or "--for" in said
    assert "swordfish" not in said


def test_a_name_that_no_vault_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, '{"token": "t"}')
    assert main(["set", "oven/key", "--for", "h", "--data", str(tmp_path)]) == 2
    assert "hyphens" in capsys.readouterr().err
