"""Exports: every record once over all parts, the files of a day written once, nothing that comes late missed."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.services import Services
from shared.storage import Document
from shared.work.sessions_export import COLUMNS
from shared.work.sessions_found import FoundRecord
from tests.api import Api, run_timer

DAY = "from=2026-11-21T00:00:00Z&to=2026-11-22T00:00:00Z"


async def take(house: Services, name: str, **more: Any) -> Document:
    now = house.clock.now()
    told: dict[str, Any] = {
        "kind": "session",
        "source": "some_platform",
        "account": "main",
        "external_id": name,
        "as_of": now,
        "asked": True,
        "ended": True,
        "started_at": now - timedelta(minutes=30),
        "ended_at": now - timedelta(minutes=5),
        "title": f"=Title {name}",
        "work_order_id": "WO-7",
        "external_data": {"work_order_id": "WO-7", "job_type": "repair"},
        "details": {"people": ["Ada", "Bob"]},
    }
    return (await house.work.sessions.take(FoundRecord(**(told | more)))).record


def parquet(data: bytes, tmp_path: Path, said: str) -> list[tuple[Any, ...]]:
    file = tmp_path / "x.parquet"
    file.write_bytes(data)
    with duckdb.connect() as reader:
        return reader.execute(said.format(f"read_parquet('{file}')")).fetchall()


async def test_the_forms_agree(api: Api, house: Services, tmp_path: Path) -> None:
    record = await take(house, "one")
    lines = await api.get(f"/api/v1/sessions/export?{DAY}&format=jsonl")
    assert (lines.status, lines.headers["content-type"]) == (200, "application/x-ndjson")
    row = json.loads(lines.body)
    assert list(row) == [column.name for column in COLUMNS]
    assert row["id"] == record["id"]
    assert (row["people"], row["duration_seconds"], row["ended"]) == ("Ada; Bob", 1500.0, True)
    assert json.loads(row["external_data"])["job_type"] == "repair"
    text = await api.get(f"/api/v1/sessions/export?{DAY}")
    [line] = list(csv.DictReader(io.StringIO(text.body.decode(), newline="")))
    assert (line["id"], line["title"], line["ended"]) == (record["id"], "'=Title one", "true")
    table = await api.get(f"/api/v1/sessions/export?{DAY}&format=parquet")
    found = parquet(table.body, tmp_path, "SELECT id, title, duration_seconds FROM {}")
    assert found == [(record["id"], "=Title one", 1500.0)]
    assert table.headers["content-disposition"].endswith('.parquet"')


async def test_parts_join_to_the_whole(api: Api, house: Services) -> None:
    for number in range(7):
        await take(house, f"s{number}", started_at=house.clock.now() - timedelta(minutes=number))
    await take(house, "call", kind="call")
    path = f"/api/v1/sessions/export?{DAY}&limit=3&kind=session"
    whole = b""
    parts = 0
    while path:
        answer = await api.get(path)
        whole += answer.body
        parts += 1
        link = answer.headers.get("link", "")
        path = link[1 : link.index(">")].partition("7071")[2] if link else ""
    rows = list(csv.DictReader(io.StringIO(whole.decode(), newline="")))
    assert parts == 3
    assert sorted(row["external_id"] for row in rows) == [f"s{number}" for number in range(7)]


async def test_what_changed_since(api: Api, house: Services, clock: ManualClock) -> None:
    await take(house, "old")
    await take(house, "open", ended=False, ended_at=None)
    clock.advance(3600)
    await take(house, "open", started_at=clock.now() - timedelta(minutes=90))
    answer = await api.get(
        "/api/v1/sessions/export?from=2026-11-21T10:30:00Z&to=2026-11-22T00:00:00Z&by=changed&format=jsonl"
    )
    [row] = [json.loads(line) for line in answer.body.splitlines()]
    assert (row["external_id"], row["revision"], row["ended"]) == ("open", 2, True)


async def test_the_files_of_each_day(api: Api, house: Services, clock: ManualClock, tmp_path: Path) -> None:
    await take(house, "one")
    await run_timer("keep_session_files")
    names = (await api.get("/api/v1/exports")).json()["files"]
    assert len(names) == 28, "fourteen days that are over, in two forms; not today"
    assert "sessions/year-2026/month-11/sessions-2026-11-20.parquet" in names
    assert (await api.get("/api/v1/exports/sessions/2026-11-21")).status == 404
    clock.advance(86_400)
    late = await take(house, "late", started_at=clock.now() - timedelta(days=3), ended_at=clock.now())
    await run_timer("keep_session_files")
    data = (await api.get("/api/v1/exports/sessions/2026-11-21")).body
    assert parquet(data, tmp_path, "SELECT external_id FROM {}") == [("one",)]
    await run_timer("keep_session_files")
    assert (await api.get("/api/v1/exports/sessions/2026-11-21")).body == data
    clock.advance(86_400)
    await run_timer("keep_session_files")
    text = (await api.get("/api/v1/exports/sessions/2026-11-22?format=csv")).body.decode()
    assert late["id"] in text, "what comes late is in the file of the day it came"
    assert len((await api.get("/api/v1/exports?month=2026-11")).json()["files"]) == 30 + 2 - 0
    assert (await api.get("/api/v1/exports/sessions/yesterday")).status == 400


async def test_killed_between_two_files(house: Services, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = house.export_blobs
    real = blobs.create
    left = 5

    async def dying(name: str, data: bytes) -> None:
        nonlocal left
        if left == 0:
            raise Unavailable("killed")
        left -= 1
        await real(name, data)

    monkeypatch.setattr(blobs, "create", dying)
    with pytest.raises(Unavailable):
        await house.work.exports.keep_days()
    monkeypatch.setattr(blobs, "create", real)
    assert len(await house.work.exports.keep_days()) == 23
    assert await house.work.exports.keep_days() == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "from=2026-11-21T00:00:00Z&to=2026-11-20T00:00:00Z",
        "from=2024-11-21T00:00:00Z&to=2026-11-20T00:00:00Z",
        f"{DAY}&format=xlsx",
        f"{DAY}&limit=10001",
        f"{DAY}&continuation=nonsense",
    ],
)
async def test_what_cannot_be_exported(api: Api, query: str) -> None:
    assert (await api.get(f"/api/v1/sessions/export?{query}")).status == 400


def test_the_container_in_azure_is_the_one_that_the_templates_make() -> None:
    from shared.settings import Settings

    root = Path(__file__).resolve().parents[3]
    given = {"AuditAnchorsConnection__blobServiceUri": "https://x.blob.core.windows.net", "DATA_DIR": "/nowhere"}
    house = Services(Settings.from_environment(given))
    assert house.export_blobs._container == "work-exports"  # type: ignore[attr-defined]
    assert "var exportsContainer = 'work-exports'" in (root / "infra" / "main.bicep").read_text("utf-8")


async def test_a_day_with_too_much_holds_up_no_other(
    house: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.work.sessions_export.MAX_PAGE", 1)
    monkeypatch.setattr("shared.work.sessions_export.MAX_DAY", 1)
    for name in ("one", "two", "three"):
        await take(house, name)
    clock.advance(86_400)
    await take(house, "four")
    clock.advance(86_400)
    written = await house.work.exports.keep_days()
    assert not [name for name in written if "2026-11-21" in name]
    assert [name for name in written if "2026-11-22" in name], "the day after is there"
