"""The first token of a host that asks everybody for one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from local.api_token import main
from shared.access import Caller, Role
from shared.services import Services
from shared.settings import Settings


def test_whoever_has_the_data_folder_gets_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--name", "first", "--data", str(tmp_path / "data"), "--days", "7"]) == 0
    token = capsys.readouterr().out.strip()

    async def who() -> tuple[Caller | None, list[str]]:
        house = Services(Settings(data_dir=tmp_path / "data"))
        try:
            caller = await house.access.identify({"authorization": f"Bearer {token}"}, key_checked=False)
            entries = (await house.audit.entries()).entries
            return caller, [f"{entry.action} by {entry.actor['id']}" for entry in entries]
        finally:
            await house.close()

    caller, entries = asyncio.run(who())
    assert caller is not None
    assert (caller.name, caller.roles) == ("first", frozenset({Role.ADMIN}))
    assert entries == ["token.created by system:local.api_token"]


def test_a_folder_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_text("a file")
    assert main(["--name", "first", "--data", str(tmp_path / "data")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--name", "x", "--role", "boss"], ["--name", "x", "--days", "0"]])
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
