"""``python -m tests.infra [folder]``: prints what is wrong with the Bicep files; exit code 1 when something is."""

from __future__ import annotations

import sys

from tests.infra.gate import ROOT, judged
from tests.infra.wheels import ModelsMissing


def main(arguments: list[str]) -> int:
    """Print the problems; answers with the exit code."""
    try:
        problems = judged(ROOT, arguments[0] if arguments else "infra")
    except ModelsMissing as err:
        print(err, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems." if problems else "Nothing found. This is not `bicep build`: docs/infra-gate.md.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
