"""docs/batches.md and the Rational section of docs/equipment.md say what is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from functions.call import parse
from shared import json_text
from shared.connectors.rational_fields import FIELDS
from shared.connectors.rational_plan import OWN_OPTIONS, BatchOptions
from shared.settings import Settings
from shared.work.batches_forms import BatchChange, NewBatch
from shared.work.batches_import import SERVED
from shared.work.batches_import_pages import RECENT
from shared.work.batches_merge import MAX_VENDOR_BYTES

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "batches.md").read_text("utf-8")
OVENS = (DOCS / "equipment.md").read_text("utf-8")
EXAMPLES = [(kind, json_text.load(text)) for kind, text in re.findall(r"```json (\w+)\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize(("kind", "body"), EXAMPLES, ids=[kind for kind, _ in EXAMPLES])
def test_every_example_is_taken(kind: str, body: dict[str, Any]) -> None:
    parse(NewBatch, body) if kind == "open" else parse(BatchChange, body)


def test_every_option_and_unverified_name_is_explained() -> None:
    assert [name for name in OWN_OPTIONS if f"`{name}`" not in OVENS and f"`{name}:" not in OVENS] == []
    assert [name for name in FIELDS.unverified if f"`{name}`" not in OVENS] == []
    confirmed = [address for addresses in FIELDS.confirmed.values() for address in addresses]
    assert [name for name in confirmed if f"`{name}`" not in OVENS] == []


def test_numbers_are_those_of_the_code() -> None:
    assert f"{MAX_VENDOR_BYTES // 1024} KB" in PAGE
    assert f"for {SERVED.days} days" in PAGE
    assert RECENT.days == 1
    assert Settings().batches_retention_days == 2 * 365
    defaults = BatchOptions()
    assert f"| {defaults.batch_interval_minutes}, {defaults.batch_overlap_hours:g} |" in OVENS
    assert f"| {defaults.batch_page_size}, {defaults.batch_timeout:g} |" in OVENS
