"""schemathesis asks the running app what `openapi.json` allows, and what it forbids.

No server error, and no answer that the document does not know. `make test-api` looks longer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.openapi.__main__ import FILE
from tests.benchmarks.wire import start

PATIENCE = 3_600 if "SCHEMATHESIS_EXAMPLES" in os.environ else 280
pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(PATIENCE + 20)]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "3")
"""For each operation."""
PHASES = os.environ.get("SCHEMATHESIS_PHASES", "examples,fuzzing")
SAME_AGAIN = "^/(ffwebservice|api/v2)/"
"""Other spellings of addresses that are asked anyway."""


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    data = tmp_path_factory.mktemp("data")
    process, line = start("-m", "local", "--port", "0", "--data", str(data), env=environment)
    try:
        yield "http://" + line.split("http://")[1].split()[0].rstrip("/")
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_everything_it_is_asked(base_url: str, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(FILE)),
        *("--url", base_url, "--max-examples", EXAMPLES, "--phases", PHASES),
        *("--exclude-path-regex", SAME_AGAIN),
        *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
        *("--checks", "response_schema_conformance"),
        *(
            "--request-timeout",
            "20",
            "--seed",
            "7",
            "--no-color",
            "--warnings",
            "off",
            "--suppress-health-check",
            "all",
        ),
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.openapi.hooks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
