"""The plan of the house, held against the code: arrows go down only, nobody imports what is not theirs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT / "shared"

FLOORS = {
    "services": 8,
    "platform_services": 7,
    "work_services": 7,
    "platforms": 6,
    "relay": 6,
    "collection": 5,
    "alerts": 4,
    "callbacks": 4,
    "work": 4,
    "equipment": 3,
    "telemetry": 3,
    "inbox": 3,
    "access": 3,
    "events": 2,
    "connectors": 2,
    "audit": 2,
    "backends": 2,
    "storage": 1,
    "messaging": 1,
    "secrets": 1,
    "blobs": 1,
    "outgoing": 1,
}
"""DESIGN section 2. A module that stands alone in ``shared/`` is floor 0."""

HEAVY = (
    "aiohttp",
    "httpx_aiohttp",
    "pyreqwest",
    "cryptography",
    "azure.cosmos",
    "azure.servicebus",
    "azure.identity",
    "asyncua",
    "paho",
)

PLATFORM_WORDS = ("operations1", "scope_ar", "worklink", "innius", "forcam")


def _sources() -> list[Path]:
    return sorted(p for p in SHARED.rglob("*.py"))


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    """All modules a file imports anywhere, also inside functions; imports for types only are left out."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", _sources(), ids=_name)
def test_arrows_go_down(path: Path) -> None:
    room = _room(_name(path))
    floor = FLOORS.get(room, 0)
    for module, line in _imports(path):
        if not module.startswith("shared."):
            continue
        other = _room(module)
        if other == room:
            continue
        other_floor = FLOORS.get(other, 0)
        assert other_floor < floor or (floor == 0 and other_floor == 0), (
            f"{_name(path)}:{line} (floor {floor}) imports {module} (floor {other_floor})"
        )


@pytest.mark.parametrize("path", _sources(), ids=_name)
def test_shared_knows_no_functions_host(path: Path) -> None:
    for module, line in _imports(path):
        assert not module.startswith(("azure.functions", "functions.", "local.")), f"{_name(path)}:{line} {module}"


def test_every_room_is_on_the_plan() -> None:
    rooms = {p.name for p in SHARED.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms <= set(FLOORS), f"not on the plan: {rooms - set(FLOORS)}"


def test_no_sql_outside_the_backends() -> None:
    """A statement in a string anywhere else would bind a room to one backend."""
    allowed = {"storage", "messaging", "sqlite_file"}
    for path in _sources():
        # The relay's spool is a backend of its own: one file, one table, nobody else's statements.
        if _room(_name(path)) in allowed or _name(path).startswith("shared.relay.plant_spool"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value.upper()
                assert not ("SELECT " in text and " FROM " in text), f"{_name(path)}:{node.lineno}"
                assert not text.startswith(("INSERT INTO ", "UPDATE ", "DELETE FROM ")), f"{_name(path)}:{node.lineno}"


def test_no_platform_word_outside_its_folder() -> None:
    for path in _sources():
        if _room(_name(path)) in ("platforms", "platform_services", "services"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            word = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            assert not any(w in word.lower() for w in PLATFORM_WORDS), f"{_name(path)}:{getattr(node, 'lineno', 0)}"


def test_indexing_stays_light() -> None:
    """Cold start: indexing the app loads azure.functions, pydantic, httpx and our own code, nothing heavy."""
    code = (
        "import sys, function_app\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "sys.exit('loaded at index: ' + ', '.join(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_files_stay_small() -> None:
    """Nobody needs to scroll a thousand lines (STYLE section 3 puts the 90th percentile near 350)."""
    for path in [*_sources(), *sorted((ROOT / "functions").glob("*.py")), *sorted((ROOT / "local").rglob("*.py"))]:
        lines = len(path.read_text("utf-8").splitlines())
        assert lines <= 450, f"{path.relative_to(ROOT)} has {lines} lines: cut it by subject"
