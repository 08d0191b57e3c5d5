"""What is sent to Azure, and that it works there with nothing but what ``requirements.txt`` brings."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from infra.package import Ignored, build, files, main

ROOT = Path(__file__).resolve().parents[2]

TOP_LEVEL = {"function_app.py", "functions", "host.json", "infra", "requirements.txt", "shared"}

ONLY_REQUIRED = """
import importlib.abc, json, pkgutil, sys

allowed = set(json.loads(sys.argv[1]))

class OnlyRequired(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names and not top.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"{name} is not in requirements.txt", name=name)
        return None

sys.meta_path.insert(0, OnlyRequired())
sys.path.insert(0, ".")
import function_app
count = len(function_app.app.get_functions())
import functions, shared
for package in (functions, shared):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        __import__(module.name)
from shared.topology import topology
print(json.dumps({"functions": count, "containers": len(topology().containers), "from": shared.__path__[0]}))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, unpacked where nothing else is."""
    folder = tmp_path_factory.mktemp("package")
    build(ROOT, folder / "app.zip")
    with zipfile.ZipFile(folder / "app.zip") as package:
        package.extractall(folder / "site")
    return folder / "site"


def test_it_holds_the_app_and_nothing_else(unpacked: Path) -> None:
    assert {entry.name for entry in unpacked.iterdir()} == TOP_LEVEL
    assert [p.name for p in (unpacked / "infra").iterdir()] == ["topology.json"]
    assert {p.suffix for p in unpacked.rglob("*") if p.is_file()} <= {".py", ".json", ".txt"}


def test_it_holds_every_module_of_ours(unpacked: Path) -> None:
    """A rule of ``.funcignore`` that is too wide (``data`` for ``shared/x/data``) takes a module away unseen."""
    for folder in ("functions", "shared"):
        ours = {p.relative_to(ROOT) for p in (ROOT / folder).rglob("*.py")}
        assert ours == {p.relative_to(unpacked) for p in (unpacked / folder).rglob("*.py")}


def test_it_indexes_with_required_packages_alone(unpacked: Path) -> None:
    allowed = sorted({"function_app", "functions", "shared"} | required_modules())
    done = subprocess.run(
        [sys.executable, "-c", ONLY_REQUIRED, json.dumps(allowed)],
        cwd=unpacked,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["functions"] == len(read_json("tests/runtime/functions.json")["function_app"])
    assert seen["containers"] == len(read_json("infra/topology.json")["containers"])
    assert Path(seen["from"]).resolve() == (unpacked / "shared").resolve()


def test_what_it_imports_late_is_required_too(unpacked: Path) -> None:
    """Heavy libraries are imported inside functions, where indexing does not see them."""
    known = {"functions", "shared"} | required_modules() | set(sys.stdlib_module_names)
    wanted = {top: path for path in unpacked.rglob("*.py") for top in imported(path)}
    assert {top: path for top, path in wanted.items() if top not in known} == {}
    assert {"aiohttp", "cryptography"} <= set(wanted), "the scan sees no late imports any more"


def test_the_same_tree_makes_the_same_bytes(tmp_path: Path) -> None:
    build(ROOT, tmp_path / "one.zip")
    build(ROOT, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_make_package_says_what_it_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "app.zip")]) == 0
    assert re.search(r"app\.zip: \d+ files, [\d,]+ bytes, SHA-256 [0-9a-f]{64}$", capsys.readouterr().out)


def test_leftovers_stay_at_home(tmp_path: Path) -> None:
    """What lies about on a developer's machine."""
    root = tmp_path / "tree"
    shutil.copytree(ROOT / "infra", root / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".funcignore", root)
    for leftover in (
        ".venv/pyvenv.cfg",
        ".venv313/lib/python3.13/site-packages/x.py",
        ".git/HEAD",
        ".env",
        ".azure/prod/.env",
        "local.settings.json",
        "data/ovenbridge.db",
        "functions/__pycache__/iot.cpython-311.pyc",
        "__pycache__/function_app.cpython-311.pyc",
        "shared/.DS_Store",
        "dist/ovenbridge-0.1.0.zip",
        "infra/relay/relay.env",
    ):
        (root / leftover).parent.mkdir(parents=True, exist_ok=True)
        (root / leftover).write_text("x")
    assert files(root) == ["infra/topology.json"]


@pytest.mark.parametrize(
    ("rule", "path", "by_func", "by_azd"),
    [
        pytest.param(".venv*", ".venv/lib/x.py", False, True, id="a star is at least one character for func"),
        pytest.param("data", "shared/data/x.py", False, True, id="anywhere for azd, at the root for func"),
        pytest.param("/data", "data.py", True, False, id="up to the end of a word for func, whole for azd"),
        pytest.param("/data", "data/x.db", True, True, id="a folder at the root"),
        pytest.param("**/__pycache__", "functions/__pycache__/x.pyc", True, True, id="at any depth"),
        pytest.param("/infra/*\n!/infra/topology.json", "infra/topology.json", False, False, id="kept"),
        pytest.param("!/infra/topology.json\n/infra/*", "infra/topology.json", False, True, id="the last wins for azd"),
        pytest.param("/infra\n!/infra/topology.json", "infra/topology.json", False, True, id="not out of a folder"),
        pytest.param("/infra/*\n!/infra/topology.json", "infra/modules/a.bicep", True, True, id="its neighbours"),
        pytest.param("# /data", "data/x", False, False, id="a comment"),
    ],
)
def test_each_tool_reads_the_rules_its_own_way(rule: str, path: str, by_func: bool, by_azd: bool) -> None:
    ignored = Ignored(rule)
    assert (ignored.by_func(path), ignored.by_azd(path)) == (by_func, by_azd)


def test_a_rule_that_they_read_differently_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".funcignore").write_text("data\n")
    (tmp_path / "shared" / "data").mkdir(parents=True)
    (tmp_path / "shared" / "data" / "x.py").write_text("")
    with pytest.raises(ValueError, match=r"func would send shared/data/x\.py, azd would not"):
        files(tmp_path)


def read_json(name: str) -> Any:
    """A committed file."""
    return json.loads((ROOT / name).read_text("utf-8"))


def required_modules() -> set[str]:
    """The top-level modules of the packages of ``requirements.txt`` and of what they require themselves."""
    waiting = [
        line.partition("==")[0].strip()
        for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    done: set[str] = set()
    while waiting:
        name = canonical(waiting.pop())
        if name in done:
            continue
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another Python or platform
        done.add(name)
        waiting += [re.split(r"[^A-Za-z0-9._-]", r, maxsplit=1)[0] for r in requires if "extra ==" not in r]
    return {top for top, owners in metadata.packages_distributions().items() if {canonical(o) for o in owners} & done}


def canonical(name: str) -> str:
    """A package's name as the index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(path: Path) -> Iterator[str]:
    """The top-level modules that a file imports at run time, also inside functions."""
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]
