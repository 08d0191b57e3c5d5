"""The queries of docs/audit.md, read out of it: what stands there is what is tested."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["QUERIES", "AuditorQuery"]

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "audit.md"


@dataclass(frozen=True)
class AuditorQuery:
    """One of them."""

    title: str
    container: str
    sql: str
    parameters: dict[str, str]
    """``@name`` -> the example's value."""


def _read() -> list[AuditorQuery]:
    found = []
    for title, head, sql in re.findall(
        r"\n([^\n]+)\n\n```sql\n-- ([^\n]+)\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL
    ):
        container, _, rest = head.partition(":")
        parameters = {name: json.loads(value) for name, value in re.findall(r'(@\w+)=("[^"]*")', rest)}
        found.append(AuditorQuery(title, container, " ".join(sql.split()), parameters))
    return found


QUERIES = _read()
