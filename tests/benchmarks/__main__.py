"""``make bench``: every benchmark, one after the other, each in a process of its own.

``python -m tests.benchmarks [--only NAME ...]``; each prints its figures beside a yardstick of the same minute.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ORDER = (
    "delivery", "polling", "embedded", "outgoing", "spool", "cold_start", "azure_cost", "hooks", "modbus", "opc_ua",
    "relay_memory",
)  # fmt: skip


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> int:
    """Run them; 1 when one of them failed."""
    there = [name for name in ORDER if (HERE / f"{name}.py").exists()]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure.")
    parser.add_argument("--only", nargs="+", choices=there, metavar="NAME", help=f"of {', '.join(there)}")
    chosen = parser.parse_args().only or there
    load = os.getloadavg()[0]
    print(f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}\n", flush=True)
    failed = 0
    for name in chosen:
        failed += subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=False).returncode != 0
        print(flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
