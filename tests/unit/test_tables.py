"""Tables: what goes in comes out in every form; another program reads our Parquet."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.tables import Column, render

COLUMNS = (
    Column("text", "text", "Words."),
    Column("number", "number", "Any number."),
    Column("whole", "integer", "A count."),
    Column("at", "time", "A moment."),
    Column("yes", "truth", "Or no."),
)
ROWS: list[dict[str, Any]] = [
    {"text": "Öl, “heiß”\n;x", "number": 1.25, "whole": 7, "at": "2026-11-21T10:00:00.123Z", "yes": True},
    {"text": None, "number": None, "whole": None, "at": None, "yes": None},
    {"text": {"a": [1]}, "number": 3, "whole": 2.0, "at": "nonsense", "yes": "yes"},
]


def rows_of(data: bytes, tmp_path: Path) -> list[tuple[Any, ...]]:
    file = tmp_path / "x.parquet"
    file.write_bytes(data)
    with duckdb.connect() as reader:
        said = f"""SELECT text, number, whole, epoch_ms("at"), yes FROM read_parquet('{file}')"""
        return reader.execute(said).fetchall()


def test_parquet_is_read_by_another_program(tmp_path: Path) -> None:
    assert rows_of(render(COLUMNS, ROWS, "parquet"), tmp_path) == [
        ("Öl, “heiß”\n;x", 1.25, 7, 1795255200123, True),
        (None, None, None, None, None),
        ('{"a":[1]}', 3.0, 2, None, None),
    ]


def test_types_do_not_depend_on_rows(tmp_path: Path) -> None:
    file = tmp_path / "empty.parquet"
    file.write_bytes(render(COLUMNS, [], "parquet"))
    with duckdb.connect() as reader:
        found = reader.execute(f"DESCRIBE SELECT * FROM read_parquet('{file}')").fetchall()
    assert [row[1] for row in found] == ["VARCHAR", "DOUBLE", "BIGINT", "TIMESTAMP WITH TIME ZONE", "BOOLEAN"]


def test_csv_and_json_lines() -> None:
    found = list(csv.reader(io.StringIO(render(COLUMNS, ROWS, "csv").decode(), newline="")))
    assert found[0] == ["text", "number", "whole", "at", "yes"]
    assert found[1] == ["Öl, “heiß”\n;x", "1.25", "7", "2026-11-21T10:00:00.123Z", "true"]
    assert found[2] == [""] * 5
    lines = render(COLUMNS, ROWS, "jsonl").decode().splitlines()
    assert json.loads(lines[2]) == {"text": '{"a":[1]}', "number": 3.0, "whole": 2, "at": None, "yes": None}
    assert render(COLUMNS, [], "csv", head=False) == b""


@pytest.mark.parametrize("text", ["=1+1", "+49", "-5", "@x", "\tx", "\rx"])
def test_a_spreadsheet_takes_no_text_for_a_formula(text: str) -> None:
    [_, row] = list(csv.reader(io.StringIO(render(COLUMNS[:1], [{"text": text}], "csv").decode(), newline="")))
    assert row == ["'" + text]
    assert json.loads(render(COLUMNS[:1], [{"text": text}], "jsonl"))["text"] == text


@settings(max_examples=30)
@given(
    st.lists(st.fixed_dictionaries({"text": st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"])))}))
)
def test_texts_survive(rows: list[dict[str, Any]]) -> None:
    from arro3.io import read_parquet

    table = read_parquet(io.BytesIO(render(COLUMNS[:1], rows, "parquet"))).read_all()
    assert table.column("text").to_pylist() == [row["text"] for row in rows]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e300, 2**70, True, "7"])
def test_numbers_that_are_no_counts_are_empty(value: Any) -> None:
    assert json.loads(render(COLUMNS[2:3], [{"whole": value}], "jsonl")) == {"whole": None}
