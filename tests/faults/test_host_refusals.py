"""What cannot start says why in one line on stderr and ends with code 2."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.faults.host_process import SAMPLE_APP, refusal, running

pytestmark = pytest.mark.process


async def refused(*arguments: str, env: dict[str, str] | None = None) -> str:
    code, out, err = await refusal(*arguments, env=env)
    assert code == 2, (code, out, err)
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err.strip()


def settings(folder: Path, content: str) -> str:
    path = folder / "settings.json"
    path.write_text(content, "utf-8")
    return str(path)


async def test_port_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = await refused("--data", str(tmp_path), "--port", str(port))
    assert said == f"Port {port} on 127.0.0.1 is taken. Stop the other program, or choose another with --port."


@pytest.mark.parametrize("below", ["", "/folder"])
async def test_data_folder_unwritable(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("no folder")
    said = await refused("--data", f"{tmp_path}/file{below}", "--port", "0")
    assert said.startswith(f"The data folder {tmp_path}/file{below} cannot be written: ")
    assert said.endswith("Choose another with --data.")


async def test_data_folder_in_use(tmp_path: Path) -> None:
    async with running(tmp_path, *SAMPLE_APP) as host:
        said = await refused("--data", str(tmp_path), "--port", "0", *SAMPLE_APP)
        assert said == (
            f"The data folder {tmp_path} is in use by another host (process {host.process.pid}). "
            "Stop that one, or choose another with --data."
        )
        assert (await host.call("GET", "/api/echo"))[0] == 200


async def test_data_folder_with_a_broken_database(tmp_path: Path) -> None:
    (tmp_path / "ovenbridge.db").write_bytes(b"this is no database " * 500)
    assert "ovenbridge.db" in await refused("--data", str(tmp_path), "--port", "0", *SAMPLE_APP)


async def test_settings_file_is_no_json(tmp_path: Path) -> None:
    file = settings(tmp_path, '{"Values": {')
    said = await refused("--settings", file, "--data", str(tmp_path / "data"), "--port", "0")
    assert said == f"The settings file {file} is no valid JSON at line 1, column 13."


async def test_settings_file_is_missing(tmp_path: Path) -> None:
    said = await refused("--settings", str(tmp_path / "none.json"), "--port", "0")
    assert "none.json cannot be read: No such file or directory." in said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL is not usable"),
        ("CosmosConnection__clientId", "k3y", "CosmosConnection__accountEndpoint is missing"),
        ("ServiceBusConnection", "k3y", "ServiceBusConnection is no connection string"),
        ("KEY_VAULT_URI", "https://x/secrets/k3y", "KEY_VAULT_URI is not usable"),
        ("MAX_BODY_BYTES", "k3y", "MAX_BODY_BYTES is not usable"),
        ("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "big", "write a number of bytes"),
    ],
)
async def test_settings_that_cannot_be_used(tmp_path: Path, name: str, value: str, said: str) -> None:
    file = settings(tmp_path, json.dumps({"Values": {name: value}}))
    line = await refused("--settings", file, "--data", str(tmp_path / "data"), "--port", "0")
    assert said in line
    assert "k3y" not in line
    assert not (tmp_path / "data" / "ovenbridge.db").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--app", "clod"], "invalid choice: 'clod'"),
        (["--port", "x"], "a port is a number"),
        (["--bogus"], "nrecognized arguments: --bogus"),
        (["--host", "192.0.2.1"], "192.0.2.1 is no address of this machine"),
        (["--host", "no such host"], "is no address to listen on"),
    ],
)
async def test_options_that_cannot_be_used(tmp_path: Path, arguments: list[str], said: str) -> None:
    assert said in await refused("--data", str(tmp_path), *arguments)


async def test_developer_access_where_others_can_reach_it(tmp_path: Path) -> None:
    said = await refused("--host", "0.0.0.0", "--port", "0", "--data", str(tmp_path), env={"ACCESS_MODE": "developer"})
    assert "Set ACCESS_MODE=tokens." in said


async def test_a_missing_package(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError(\"No module named 'aiohttp'\", name='aiohttp')")
    said = await refused("--data", str(tmp_path / "data"), "--port", "0", env={"PYTHONPATH": str(tmp_path)})
    assert said == "The package aiohttp is missing. Run `make run`, or: pip install -r requirements-local.txt"


async def test_an_app_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "broken_app.py").write_text("import azure.functions\nnonsense\n")
    said = await refused(
        "--entry", "broken_app", "--data", str(tmp_path / "data"), "--port", "0", env={"PYTHONPATH": str(tmp_path)}
    )
    assert said.startswith("broken_app cannot be loaded: NameError: name 'nonsense' is not defined (")
    assert said.endswith("broken_app.py:2).")
