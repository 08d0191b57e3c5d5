"""All rules over one folder of Bicep files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.infra.app_settings import check_app_settings
from tests.infra.contexts import check_contexts
from tests.infra.evaluation import Evaluator
from tests.infra.hardening import check_hardening
from tests.infra.interfaces import check_interfaces
from tests.infra.linter import check_linter
from tests.infra.problem import Problem
from tests.infra.program import Program
from tests.infra.resources import check_resources
from tests.infra.roles import check_roles
from tests.infra.second_opinion import check_second_opinion
from tests.infra.secrets import check_secrets
from tests.infra.symbols import check_symbols
from tests.infra.topology_bicep import check_topology
from tests.infra.topology_file import check_topology_file
from tests.infra.wheels import Wheels

__all__ = ["ROOT", "WHEELS", "judged", "judged_alone"]

ROOT = Path(__file__).resolve().parents[2]
WHEELS = Wheels(ROOT / ".azure-models")


def judged(root: Path, folder: str = "infra", *, instead: Mapping[str, str] | None = None) -> list[Problem]:
    """What is wrong with the Bicep files of a folder, in the order of files and lines: everything.

    Args:
        root: of the repository: code, topology and templates are held against each other.
        folder: with the templates.
        instead: texts that stand in for files.

    Raises:
        ModelsMissing: the wheels with the models are not there.
    """
    program = Program(root, folder, instead)
    evaluator = Evaluator(program)
    found = {
        *check_second_opinion(program),
        *check_app_settings(evaluator),
        *check_topology_file(program),
        *check_topology(evaluator),
    }
    return _sorted(program, [*found, *_of_templates(evaluator)])


def judged_alone(root: Path, file: str) -> list[Problem]:
    """What is wrong with one file and those it refers to, whatever deployment it may belong to."""
    program = Program(root, file)
    return _sorted(program, _of_templates(Evaluator(program)))


def _sorted(program: Program, found: Iterable[Problem]) -> list[Problem]:
    syntax = set(program.problems)
    return sorted({problem for problem in found if problem.at.file not in program.broken or problem in syntax})


def _of_templates(evaluator: Evaluator) -> Iterator[Problem]:
    yield from check_symbols(evaluator.program)
    yield from check_contexts(evaluator.program)
    yield from check_linter(evaluator.program)
    yield from check_interfaces(evaluator)
    yield from check_resources(evaluator, WHEELS)
    yield from check_hardening(evaluator)
    yield from check_roles(evaluator)
    yield from check_secrets(evaluator.program)
    yield from evaluator.problems
    yield from evaluator.program.problems
