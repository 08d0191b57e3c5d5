"""The same files through another parser, pycep: it refuses what tree-sitter takes, and the other way round."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache

from lark.exceptions import LarkError, UnexpectedInput
from pycep import BicepParser

from tests.infra.problem import Place, Problem
from tests.infra.program import Program

__all__ = ["UNREADABLE", "check_second_opinion"]

UNREADABLE: dict[str, str] = {}
"""Files that pycep cannot read although they are right, with the construct. Prefer to write them otherwise."""


def check_second_opinion(program: Program) -> Iterator[Problem]:
    """Files that pycep does not take, unless the list says why."""
    for name, file in program.files.items():
        found = _read(file.text)
        if found is None and name in UNREADABLE:
            yield Problem(Place(name, 1), "pycep reads this file by now: take it from tests/infra/second_opinion.py.")
        elif found is not None and name not in UNREADABLE:
            line, words = found
            yield Problem(Place(name, line), f"a second parser (pycep) does not take this: {words}")


@cache
def _parser() -> BicepParser:
    return BicepParser()


@lru_cache(maxsize=256)
def _read(text: str) -> tuple[int, str] | None:
    try:
        _parser().parse(text=text)
    except UnexpectedInput as err:
        return max(int(err.line), 1), " ".join(err.get_context(text, 30).split())
    except (LarkError, ValueError) as err:
        return 1, " ".join(str(err).split())[:120]
    return None
