"""Planted faults: each must be reported with its file, its line and a sentence, and nothing else may be.

``// fault: words`` at the end of a line: this line is reported with these words; several are parted by ``|``.
``// fault file:line: words`` on a line of its own: another file is.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.infra.gate import ROOT, judged_alone
from tests.infra.problem import Place, Problem

FAULTS = Path(__file__).parent / "faults"
FILES = sorted(FAULTS.glob("*.bicep"))
_HERE = re.compile(r"// fault: (.+)$")
_THERE = re.compile(r"^// fault ([\w./-]+):(\d+): (.+)$")


def expected(file: Path) -> list[tuple[Place, str]]:
    """The places and the words that the file announces."""
    own = file.relative_to(ROOT).as_posix()
    found: list[tuple[Place, str]] = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        if there := _THERE.match(line):
            place = Place((FAULTS / there[1]).relative_to(ROOT).as_posix(), int(there[2]))
            found.append((place, there[3]))
        elif here := _HERE.search(line):
            found += [(Place(own, number), words.strip()) for words in here[1].split(" | ")]
    return found


def met(problem: Problem, faults: list[tuple[Place, str]]) -> bool:
    return any(problem.at == place and words in problem.sentence for place, words in faults)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_planted_fault_is_reported_and_nothing_else(file: Path) -> None:
    faults = expected(file)
    assert faults, "plant a fault"
    problems = judged_alone(ROOT, file.relative_to(ROOT).as_posix())
    missed = [f"{place}: {words}" for place, words in faults if not any(met(p, [(place, words)]) for p in problems)]
    alarms = [str(problem) for problem in problems if not met(problem, faults)]
    assert not missed, "\n".join(["not reported:", *missed, "reported:", *map(str, problems)])
    assert not alarms, "\n".join(["reported, but not planted:", *alarms])
