"""Tables of the embedded store: one per container, with a column for every indexed property.

A rowid table with a unique index over (partition, id) and not ``WITHOUT ROWID``: bodies are appended at the end, so
that a hundred creates with random ids dirty a few dozen pages of bodies and not a hundred, whatever is stored already.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared import json_text
from shared.topology import ContainerSpec

__all__ = ["SEPARATOR", "Table", "column_value", "create_tables"]

SEPARATOR = "\x1f"
"""Between the levels of a hierarchical key, in its text form. Key values may not hold it."""

NULL, FALSE, TRUE, NESTED = b"0", b"1", b"2", b"3"
"""How JSON values without a SQLite twin stand in a column: never equal to text or number, and not SQL's NULL, which
means that the property is absent. SQLite sorts NULL < numbers < text < blobs."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One container's table."""

    spec: ContainerSpec
    name: str
    columns: tuple[str, ...]
    """Names of the indexed properties; their columns are ``x_<name>``."""

    @classmethod
    def of(cls, spec: ContainerSpec) -> Table:
        """The table of a container."""
        return cls(spec, f"doc_{spec.name}", spec.indexed)

    def values(self, document: dict[str, Any]) -> list[Any]:
        """What stands in the columns for this document."""
        get = document.get
        return [column_value(get(name, _ABSENT)) for name in self.columns]

    def indexes(self) -> dict[str, str]:
        """Name -> definition of what every query of the ports needs."""
        wanted = {f"{self.name}_expiry": "(expires_at) WHERE expires_at IS NOT NULL"}
        alone = self.spec.partition_key == ("id",)
        for name in self.columns:
            keys = f'("x_{name}", id)' if alone else f'(pk, "x_{name}", id)'
            wanted[f"{self.name}_{name}"] = keys
        return wanted


_ABSENT: Any = object()


def column_value(value: Any) -> Any:
    """A JSON value as it stands in a column."""
    if isinstance(value, str):
        return value
    if value is _ABSENT:
        return None
    if value is None:
        return NULL
    if value is True:
        return TRUE
    if value is False:
        return FALSE
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else float(value)
    if isinstance(value, float):
        return value
    return NESTED


def create_tables(connection: sqlite3.Connection, tables: Sequence[Table]) -> None:
    """Create what is missing; a property that became indexed gets its column filled."""
    for table in tables:
        columns = "".join(f', "x_{name}"' for name in table.columns)
        connection.execute(
            f'CREATE TABLE IF NOT EXISTS "{table.name}" (number INTEGER PRIMARY KEY, pk TEXT NOT NULL, '
            f"id TEXT NOT NULL, etag TEXT NOT NULL, expires_at INTEGER, body BLOB NOT NULL{columns}, UNIQUE (pk, id))"
        )
        _add_columns(connection, table)
        for index, definition in table.indexes().items():
            connection.execute(f'CREATE INDEX IF NOT EXISTS "{index}" ON "{table.name}" {definition}')


def _add_columns(connection: sqlite3.Connection, table: Table) -> None:
    present = {row[1] for row in connection.execute(f'PRAGMA table_info("{table.name}")')}
    for name in table.columns:
        if f"x_{name}" in present:
            continue
        connection.execute(f'ALTER TABLE "{table.name}" ADD COLUMN "x_{name}"')
        connection.create_function(
            "property", 2, lambda body, key: column_value(json_text.load(body).get(key, _ABSENT)), deterministic=True
        )
        connection.execute(f'UPDATE "{table.name}" SET "x_{name}" = property(body, ?)', (name,))  # noqa: S608 - our own names
