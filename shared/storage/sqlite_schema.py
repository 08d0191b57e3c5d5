"""Tables of the embedded store: one per container, with a column for every indexed property.

Measured on deliveries (900 bytes, random ids, 256 to a commit), processor time per insert:

=====================================================  ======
clustered by (partition, id), ``WITHOUT ROWID``         86 us
rowid table, unique (partition, id), indexes with id    35 us
the same, indexes that end with the rowid               20 us
=====================================================  ======

What counts is how many pages a commit dirties: bodies are appended at the end of the table whatever their id, and an
index entry goes beside the entries of the same value and moment, not to a random place.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared import json_text
from shared.topology import ContainerSpec

__all__ = ["HOUR", "SEPARATOR", "Index", "Table", "column_value", "create_tables", "purge_hour"]

SEPARATOR = "\x1f"
"""Between the levels of a hierarchical key, in its text form. Key values may not hold it."""

HOUR = 3_600_000_000
"""Microseconds."""

NULL, FALSE, TRUE, NESTED = b"0", b"1", b"2", b"3"
"""How JSON values without a SQLite twin stand in a column: never equal to text or number, and not SQL's NULL, which
means that the property is absent. SQLite sorts NULL < numbers < text < blobs."""

_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class Index:
    """An index over some properties, inside a partition or across all. Ends with the rowid, as all of SQLite's do."""

    name: str
    properties: tuple[str, ...]
    across: bool

    @property
    def definition(self) -> str:
        """Its columns, and which rows it leaves out."""
        columns = ", ".join(f'"x_{name}"' for name in self.properties)
        return f'({columns}) WHERE "x_{self.properties[0]}" IS NOT NULL' if self.across else f"(pk, {columns})"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One container's table."""

    spec: ContainerSpec
    name: str
    properties: tuple[str, ...]
    """The indexed properties; their columns are ``x_<name>``."""
    indexes: tuple[Index, ...]
    columns: tuple[str, ...]
    """All columns but the rowid, in the order of writing."""

    @classmethod
    def of(cls, spec: ContainerSpec) -> Table:
        """The table of a container."""
        name = f"doc_{spec.name}"
        within = [Index(f"{name}_in_{'_'.join(p)}", p, False) for p in spec.within]
        across = [Index(f"{name}_all_{'_'.join(p)}", p, True) for p in spec.across]
        columns = ("pk", "id", "etag", "expires_at", "body", "purge", *(f'"x_{p}"' for p in spec.indexed))
        return cls(spec, name, spec.indexed, (*within, *across), columns)

    def values(self, document: dict[str, Any]) -> list[Any]:
        """What stands in the columns for this document."""
        get = document.get
        return [
            value if type(value) is str else column_value(value)
            for value in [get(name, _ABSENT) for name in self.properties]
        ]


def column_value(value: Any) -> Any:
    """A JSON value as it stands in a column."""
    if isinstance(value, str):
        return value
    if value is _ABSENT:
        return None
    if value is None:
        return NULL
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else float(value)
    if isinstance(value, float):
        return value
    return NESTED


def purge_hour(expires_at: int | None) -> int | None:
    """The hour in which an expired row may be removed. Indexed in place of the exact time: a document that is written
    again within the hour keeps its entry."""
    return None if expires_at is None else expires_at // HOUR + 1


def create_tables(connection: sqlite3.Connection, tables: Sequence[Table]) -> None:
    """Create what is missing, drop indexes that are no longer wanted, fill the column of a newly indexed property."""
    for table in tables:
        columns = "".join(f', "x_{name}"' for name in table.properties)
        connection.execute(
            f'CREATE TABLE IF NOT EXISTS "{table.name}" (number INTEGER PRIMARY KEY, pk TEXT NOT NULL, '
            "id TEXT NOT NULL, etag TEXT NOT NULL, expires_at INTEGER, body BLOB NOT NULL, purge INTEGER"
            f"{columns}, UNIQUE (pk, id))"
        )
        _add_columns(connection, table)
        wanted = dict(_definitions(table))
        for name in _index_names(connection, table) - wanted.keys():
            connection.execute(f'DROP INDEX "{name}"')
        for name, definition in wanted.items():
            connection.execute(f'CREATE INDEX IF NOT EXISTS "{name}" ON "{table.name}" {definition}')


def _definitions(table: Table) -> Iterator[tuple[str, str]]:
    for index in table.indexes:
        yield index.name, index.definition
    if table.spec.ttl_seconds is not None:
        yield f"{table.name}_purge", "(purge) WHERE purge IS NOT NULL"


def _index_names(connection: sqlite3.Connection, table: Table) -> set[str]:
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", (table.name,)
    )
    return {name for (name,) in rows}


def _add_columns(connection: sqlite3.Connection, table: Table) -> None:
    present = {row[1] for row in connection.execute(f'PRAGMA table_info("{table.name}")')}
    missing = [name for name in table.properties if f"x_{name}" not in present]
    if not missing:
        return

    def value_of(body: bytes, name: str) -> Any:
        return column_value(json_text.load(body).get(name, _ABSENT))

    connection.create_function("property", 2, value_of, deterministic=True)
    for name in missing:
        connection.execute(f'ALTER TABLE "{table.name}" ADD COLUMN "x_{name}"')
        connection.execute(f'UPDATE "{table.name}" SET "x_{name}" = property(body, ?)', (name,))  # noqa: S608 - our own names
