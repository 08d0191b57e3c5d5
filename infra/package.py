"""Builds the package that goes to Azure: ``make package``, or ``python -m infra.package [--out FILE]``.

It takes the files that ``func azure functionapp publish`` and ``azd deploy`` would take. Both honour ``.funcignore``,
each in its own way; a file that one would send and the other would leave out is an error here. The same tree makes the
same bytes, so that the SHA-256 tells what was built. Azure itself installs the packages of ``requirements.txt`` (remote
build).
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ignored", "build", "files", "main"]

ROOT = Path(__file__).resolve().parent.parent
NEVER_SENT = {".funcignore", ".gitignore", "local.settings.json", "project.lock.json"}
"""By func whatever ``.funcignore`` says."""
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Rule:
    """One line, as git reads it."""

    keeps: bool
    folders_only: bool
    pattern: re.Pattern[str]


class Ignored:
    """The rules of a ``.funcignore``, as each tool reads them. Paths are relative, with ``/``."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        self._rules = [_git_rule(line) for line in lines]
        bare = [(line.startswith("!"), line.removeprefix("!").removeprefix("/")) for line in lines]
        self._func_ignores = _func_pattern([line for keeps, line in bare if not keeps])
        self._func_keeps = _func_pattern([line for keeps, line in bare if keeps])
        self._kept = [line for keeps, line in bare if keeps]

    def by_func(self, path: str) -> bool:
        """Does Azure Functions Core Tools leave this file out? Its rules match the beginning of the path, up to the end
        of a word; a rule that keeps wins over all others, wherever it stands."""
        return bool(self._func_ignores.match(path)) and not self._func_keeps.match(path)

    def by_azd(self, path: str) -> bool:
        """Does the Azure Developer CLI leave this file out? Its rules are git's."""
        parts = path.split("/")
        return any(
            self._git("/".join(parts[:depth]), folder=depth < len(parts)) is True for depth in range(1, len(parts) + 1)
        )

    def whole_folder(self, path: str) -> bool:
        """Do both leave out everything in it? Then nobody needs to look inside."""
        return (
            self._git(path, folder=True) is True
            and bool(self._func_ignores.match(f"{path}/"))
            and not any(kept.startswith(f"{path}/") for kept in self._kept)
        )

    def _git(self, path: str, *, folder: bool) -> bool | None:
        for rule in reversed(self._rules):
            if (folder or not rule.folders_only) and rule.pattern.fullmatch(path):
                return not rule.keeps
        return None


def _git_rule(line: str) -> _Rule:
    keeps = line.startswith("!")
    pattern = line.removeprefix("!")
    folders_only = pattern.endswith("/")
    pattern = pattern.rstrip("/")
    from_root = "/" in pattern
    text = re.escape(pattern.removeprefix("/"))
    text = text.replace(r"\*\*/", "(?:.*/)?").replace(r"/\*\*", "/.*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return _Rule(keeps, folders_only, re.compile(text if from_root else f"(?:.*/)?{text}"))


def _func_pattern(lines: list[str]) -> re.Pattern[str]:
    """Every rule stands at the beginning and ends with a word; ``*`` is at least one character."""
    if not lines:
        return re.compile("(?!)")
    texts = [re.escape(line).replace(r"\*\*", "(?:.+)").replace(r"\*", "(?:[^/]+)") for line in lines]
    return re.compile(rf"(?:{'|'.join(texts)})\b", re.ASCII)


def files(root: Path) -> list[str]:
    """The files to send, sorted.

    Raises:
        ValueError: func and azd would not send the same ones.
    """
    ignored = Ignored((root / ".funcignore").read_text("utf-8"))
    sent = []
    for path in sorted(_below(root, root, ignored)):
        func, azd = ignored.by_func(path), ignored.by_azd(path)
        if func != azd:
            sends, leaves = ("azd", "func") if func else ("func", "azd")
            raise ValueError(
                f".funcignore: {sends} would send {path}, {leaves} would not. Write a rule both understand."
            )
        if not func:
            sent.append(path)
    return sent


def _below(folder: Path, root: Path, ignored: Ignored) -> Iterator[str]:
    for entry in folder.iterdir():
        path = entry.relative_to(root).as_posix()
        if entry.is_dir():
            if not ignored.whole_folder(path):
                yield from _below(entry, root, ignored)
        elif entry.name not in NEVER_SENT:
            yield path


def build(root: Path, out: Path) -> list[str]:
    """Write the zip; answers with the files in it. Raises ``ValueError`` as :func:`files` does."""
    sent = files(root)
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for path in sent:
            entry = zipfile.ZipInfo(path, _DATE)
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            package.writestr(entry, (root / path).read_bytes())
    return sent


def main(arguments: list[str]) -> int:
    """Build and say what was built; answers with the exit code."""
    version = re.search(r'^VERSION = "(.+)"$', (ROOT / "shared" / "version.py").read_text("utf-8"), re.MULTILINE)
    name = f"ovenbridge-{version[1] if version else '0'}.zip"
    parser = argparse.ArgumentParser(prog="python -m infra.package", description="Build the package for Azure.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / name, help=f"default: dist/{name}")
    out: Path = parser.parse_args(arguments).out
    try:
        sent = build(ROOT, out)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    content = out.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    sys.stdout.write(f"{out}: {len(sent)} files, {len(content):,} bytes, SHA-256 {digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
