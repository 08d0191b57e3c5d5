"""Imports of batches in the connection log: a vendor's documentation that cannot be had is a connection that is lost.

The machine's connection status is about its live values and stays as it is.
"""

from __future__ import annotations

from datetime import datetime

from shared.collection.connection_log import ConnectionLog, LogEntry
from shared.storage import DocumentStore

__all__ = ["note_batch_import"]


async def note_batch_import(
    store: DocumentStore, equipment_id: str, at: datetime, problem: str | None, code: str | None
) -> None:
    """Write one line: why batches could not be fetched, or (without a problem) that they can be again."""
    entry = (
        LogEntry("batch_import_restored", at, "connected")
        if problem is None
        else LogEntry("batch_import_failed", at, "error", error_message=problem, error_code=code)
    )
    await ConnectionLog(store).write(equipment_id, entry)
