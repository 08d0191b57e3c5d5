"""All rules over one folder of Bicep files."""

from __future__ import annotations

from pathlib import Path

from tests.infra.app_settings import check_app_settings
from tests.infra.evaluation import Evaluator
from tests.infra.hardening import check_hardening
from tests.infra.interfaces import check_interfaces
from tests.infra.problem import Problem
from tests.infra.program import Program
from tests.infra.resources import check_resources
from tests.infra.roles import check_roles
from tests.infra.secrets import check_secrets
from tests.infra.symbols import check_symbols
from tests.infra.wheels import Wheels

__all__ = ["ROOT", "WHEELS", "judged"]

ROOT = Path(__file__).resolve().parents[2]
WHEELS = Wheels(ROOT / ".azure-models")


def judged(root: Path, folder: str = "infra", wheels: Wheels = WHEELS) -> list[Problem]:
    """What is wrong with the Bicep files of a folder, in the order of files and lines.

    Raises:
        ModelsMissing: the wheels with the models are not there.
    """
    program = Program(root, folder)
    evaluator = Evaluator(program)
    found = {
        *check_symbols(program),
        *check_interfaces(evaluator),
        *check_resources(evaluator, wheels),
        *check_hardening(evaluator),
        *check_roles(evaluator),
        *check_secrets(program),
        *check_app_settings(evaluator),
    }
    return sorted(found | evaluator.problems | set(program.problems))
