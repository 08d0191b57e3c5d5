"""``python -m infra.openapi [--check]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.openapi.document import document
from local.functions import HttpFunction, load

FILE = Path(__file__).resolve().parents[2] / "functions" / "openapi.json"


def text() -> str:
    """The file as it should be."""
    functions = [function for function in load("function_app", "") if isinstance(function, HttpFunction)]
    return "".join(_lines(document(functions)))


def _lines(whole: dict[str, Any]) -> Iterator[str]:
    """A line for each path and each schema: small, and a change shows where it is."""
    yield "{\n"
    for last, (name, value) in _marked(whole):
        if name in ("paths", "components"):
            yield f'"{name}": {{\n'
            for inner_last, (inner, part) in _marked(value):
                yield from _part(inner, part, inner_last)
            yield "}" + _end(last)
        else:
            yield f"{_dumped(name)}: {_dumped(value)}{_end(last)}"
    yield "}\n"


def _part(name: str, part: Any, last: bool) -> Iterator[str]:
    if name != "schemas":
        yield f" {_dumped(name)}: {_dumped(part)}{_end(last)}"
        return
    yield f" {_dumped(name)}: {{\n"
    for inner_last, (inner, schema) in _marked(part):
        yield f"  {_dumped(inner)}: {_dumped(schema)}{_end(inner_last)}"
    yield " }" + _end(last)


def _marked(items: dict[str, Any]) -> Iterator[tuple[bool, tuple[str, Any]]]:
    for number, item in enumerate(items.items(), 1):
        yield number == len(items), item


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _end(last: bool) -> str:
    return "\n" if last else ",\n"


def main() -> int:
    """Write the file, or say that it is not in step."""
    if sys.argv[1:] == ["--check"]:
        if FILE.read_text("utf-8") == text():
            return 0
        sys.stderr.write(f"{FILE.name} is not in step with the code: run `python -m infra.openapi`.\n")
        return 1
    FILE.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
