"""``python -m tests.wire [command ...]``: run a program over the protocol servers that stand in for Azure.

``make run BACKEND=azure`` runs the sample bakery so. Without a command it says the settings and serves until Ctrl-C.
"""

from __future__ import annotations

import os
import sys

from tests.wire.azure import run


def main(command: list[str]) -> int:
    """Serve while the command runs; its exit code."""
    try:
        return run(command, os.environ)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
