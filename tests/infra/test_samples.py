"""No false alarms: valid files of every construct, and the templates themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra.gate import ROOT, judged, judged_alone

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.bicep"))


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_what_is_right_is_not_reported(file: Path) -> None:
    assert not [str(problem) for problem in judged_alone(ROOT, file.relative_to(ROOT).as_posix())]


def test_nothing_is_wrong_with_infra() -> None:
    assert not [str(problem) for problem in judged(ROOT)]
