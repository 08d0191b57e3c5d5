"""Writes ``docs/settings.md`` from the settings model: ``python -m local.settings_page``.

With ``--check`` it only says whether the page is in step; a test does the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from shared.settings import Settings

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

_HEAD = """\
# Settings

Written by `python -m local.settings_page` from `shared/settings.py`; change it there.

A setting is an environment variable: an app setting in Azure, a value in `local.settings.json` under
`python -m local` (the environment wins over the file). An empty value is no value. A value that cannot be used stops
the start with one line that names the setting. What the local host reads beside these stands in `local-host.md`.

| setting | values | default | what it does |
|---|---|---|---|
"""

_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def page() -> str:
    """The page as it should be."""
    return _HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items() if not field.exclude)


def _row(name: str, field: FieldInfo) -> str:
    values = ", ".join(_values(field)) or "text"
    description = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{name.upper()}` | {values} | {_default(field.default)} | {description} |\n"


def _values(field: FieldInfo) -> Iterator[str]:
    kind: Any = field.annotation
    if isinstance(kind, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Literal:
        yield " or ".join(f"`{choice}`" for choice in get_args(kind))
    elif kind is bool:
        yield "`true` or `false`"
    elif kind in (int, float):
        yield "whole number" if kind is int else "number"
    elif kind is Path:
        yield "folder"
    for rule in field.metadata:
        for bound, words in _BOUNDS.items():
            if (limit := getattr(rule, bound, None)) is not None:
                yield f"{words} {limit:,}"


def _default(value: Any) -> str:
    if value in ("", None):
        return "empty"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def main(arguments: list[str]) -> int:
    """Write or check; answers with the exit code."""
    wanted = page()
    if "--check" not in arguments:
        PAGE.write_text(wanted, "utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text("utf-8") == wanted:
        return 0
    sys.stderr.write("docs/settings.md is out of step: run `python -m local.settings_page`.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
