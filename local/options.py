"""The command line of ``python -m local``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from local.functions import APPS
from shared.errors import BrokenSettings
from shared.sqlite_crew import MOST_WORKERS

__all__ = ["parse_options"]


class _Parser(argparse.ArgumentParser):
    """One line and exit code 2 come from the caller, as for every other thing that is wrong at the start."""

    def error(self, message: str) -> NoReturn:
        raise BrokenSettings(f"{message[:1].upper()}{message[1:]}. See `python -m local --help`.")


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the arguments.

    Raises:
        BrokenSettings: there is no such option or value.
    """
    parser = _Parser(
        prog="python -m local",
        description="Run an Ovenbridge function app on this machine, without Azure: HTTP, timers and queues, with "
        "everything kept in one folder.",
        epilog="Ready when GET /api/health/ready answers 200. SIGTERM or Ctrl-C ends it within 10 seconds. "
        "Exit code 2: it could not start, one line says why. `python -m local audit verify` checks the audit log.",
    )
    parser.add_argument("--app", choices=sorted(APPS), default="cloud", help="which app to run (default: cloud)")
    parser.add_argument("--port", type=_port, help="TCP port (default: Host.LocalHttpPort of the settings, else 7071)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1). On an address that others can reach, function keys and API "
        "tokens are asked for",
    )
    parser.add_argument("--data", metavar="DIR", help="folder for store, queues, vault and keys (default: ./data)")
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="settings file (default: local.settings.json, if there is one). Environment variables win over it",
    )
    parser.add_argument("--enable-auth", action="store_true", help="ask for function keys on loopback, too")
    parser.add_argument(
        "--log-format",
        choices=["json", "text"],
        help="logs on stderr as JSON lines or for people (default: text on a terminal, else json)",
    )
    parser.add_argument(
        "--workers",
        type=_workers,
        default=1,
        metavar="N",
        help="processes that share the work, for more than one core (default: 1). The first owns the timers",
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--entry", metavar="MODULE", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"a number of processes is 1 to {MOST_WORKERS}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 (any free one) to 65535")
    return int(text)
