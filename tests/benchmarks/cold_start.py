"""Cold start: the CPU time to index the cloud app, beside the bare import of what it cannot do without.

``python -m tests.benchmarks.cold_start``
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

YARDSTICK = "import azure.functions, pydantic, httpx"
INDEX = "import function_app; function_app.app.get_functions()"
LIMIT = 1.5


@dataclass(frozen=True)
class Result:
    """CPU seconds, the least of each: noise only ever adds."""

    yardstick: float
    index: float

    @property
    def ratio(self) -> float:
        return self.index / self.yardstick


def _cpu_seconds(statement: str, environment: dict[str, str]) -> float:
    code = f"import time\n{statement}\nprint(time.process_time())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return float(done.stdout)


def measure(pairs: int = 7) -> Result:
    """Fresh processes, in pairs, so that a noisy minute falls on both.

    Both sides run from bytecode, as a deployed package does: a machine that forbids writing it would let the
    libraries start from what pip compiled, and ours from source. The first pair, not counted, writes it.
    """
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        runs = [(_cpu_seconds(YARDSTICK, environment), _cpu_seconds(INDEX, environment)) for _ in range(pairs + 1)][1:]
    return Result(min(r[0] for r in runs), min(r[1] for r in runs))


def main() -> None:
    result = measure()
    print("Cold start (CPU ms, the least of 7 fresh processes)")
    print(f"  {YARDSTICK:<55} {result.yardstick * 1000:7.0f}")
    print(f"  {INDEX:<55} {result.index * 1000:7.0f}")
    print(f"  ratio {result.ratio:.2f} (limit {LIMIT})")


if __name__ == "__main__":
    main()
