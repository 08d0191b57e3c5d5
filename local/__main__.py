"""``python -m local``: run a function app without Azure. See docs/local-host.md."""

from __future__ import annotations

import sys

from local.stopping import Stopping, end_now

OURS = ("functions", "shared", "local", "function_app", "relay_app")


def main() -> int:
    """Serve; answers with the exit code."""
    if sys.argv[1:2] == ["audit"]:
        return _audit(sys.argv[2:])
    stopping = Stopping()
    stopping.install()
    try:
        # Imported here, so that a missing package can be told in one line.
        from local.start import serve
        from shared.errors import BrokenSettings
    except ModuleNotFoundError as err:
        return _missing(err)
    try:
        serve(sys.argv[1:], stopping)
    except BrokenSettings as err:
        return _refuse(err.detail)
    except ModuleNotFoundError as err:
        return _missing(err)
    return 0


def _audit(arguments: list[str]) -> int:
    try:
        from local.audit import main as audit
    except ModuleNotFoundError as err:
        return _missing(err)
    return audit(arguments)


def _missing(err: ModuleNotFoundError) -> int:
    if (err.name or "").partition(".")[0] in OURS:
        raise err
    return _refuse(f"The package {err.name} is missing. Run `make run`, or: pip install -r requirements-local.txt")


def _refuse(sentence: str) -> int:
    sys.stderr.write(" ".join(sentence.split()) + "\n")
    return 2


if __name__ == "__main__":
    if (code := main()) == 0:
        end_now()
    sys.exit(code)
