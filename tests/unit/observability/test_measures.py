"""Every measure is recorded somewhere, with the attributes it declares, in their order, and never with an id."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import metrics
from shared.metrics import ALL, Measure

ROOT = Path(__file__).resolve().parents[3]
NAMES = {name: value for name, value in vars(metrics).items() if isinstance(value, Measure)}


def recordings() -> Iterator[tuple[str, str, list[str]]]:
    """Where, which measure, with which attributes."""
    for room in ("shared", "functions"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                if node.func.attr != "record" or not isinstance(node.func.value, ast.Name | ast.Attribute):
                    continue
                owner = node.func.value
                name = owner.id if isinstance(owner, ast.Name) else owner.attr
                if name in NAMES:
                    where = f"{path.relative_to(ROOT)}:{node.lineno}"
                    yield where, name, [str(keyword.arg) for keyword in node.keywords]


RECORDINGS = list(recordings())


@pytest.mark.parametrize(("where", "name", "attributes"), RECORDINGS, ids=[f"{w} {n}" for w, n, _ in RECORDINGS])
def test_a_recording_gives_the_declared_attributes(where: str, name: str, attributes: list[str]) -> None:
    assert tuple(attributes) == NAMES[name].attributes


@pytest.mark.parametrize("name", sorted(NAMES))
def test_nothing_is_declared_that_nobody_records(name: str) -> None:
    assert name in {recorded for _, recorded, _ in RECORDINGS}


def test_the_list_is_whole_and_well_named() -> None:
    assert set(NAMES.values()) == set(ALL)
    assert len({measure.name for measure in ALL}) == len(ALL)
    for measure in ALL:
        assert re.fullmatch(r"[a-z]+(\.[a-z_]+)+", measure.name)
        assert measure.kind in ("counter", "histogram", "gauge")
        assert not {"equipment", "equipment_id", "callback", "callback_id", "id", "url"} & set(measure.attributes)
