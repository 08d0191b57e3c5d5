"""The backends that keep the promises of the ports. One more backend is one more line here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from shared.clock import Clock
from shared.messaging import Queue, QueueReceiver
from shared.messaging.sqlite import SqliteQueue
from shared.secrets import Vault
from shared.secrets.file_vault import FileVault
from shared.sqlite_file import SqliteFile
from shared.storage import DocumentStore
from shared.storage.sqlite import SqliteStore
from tests.wire.cosmos_backend import REAL as REAL_COSMOS
from tests.wire.cosmos_backend import cosmos_store, real_cosmos_store
from tests.wire.key_vault.backend import REAL as REAL_VAULT
from tests.wire.key_vault.backend import key_vault, real_key_vault
from tests.wire.service_bus.backend import service_bus_queue
from tests.wire.service_bus.real import REAL as REAL_BUS
from tests.wire.service_bus.real import real_service_bus_queue

__all__ = ["QUEUES", "STORES", "VAULTS", "WholeQueue"]


class WholeQueue(Queue, QueueReceiver, Protocol):
    """Both sides of a queue."""


@asynccontextmanager
async def sqlite_store(folder: Path, clock: Clock) -> AsyncIterator[DocumentStore]:
    """Documents in one file."""
    store = SqliteStore(SqliteFile.open(folder / "ovenbridge.db"), clock)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def sqlite_queue(folder: Path, clock: Clock) -> AsyncIterator[WholeQueue]:
    """Queues in one file."""
    queue = SqliteQueue(SqliteFile.open(folder / "ovenbridge.db"), clock)
    try:
        yield queue
    finally:
        await queue.close()


@asynccontextmanager
async def file_vault(folder: Path, clock: Clock) -> AsyncIterator[Vault]:
    """Secrets in a folder."""
    yield FileVault(folder / "vault", clock)


STORES: dict[str, Callable[[Path, Clock], AbstractAsyncContextManager[DocumentStore]]] = {
    "sqlite": sqlite_store,
    "cosmos": cosmos_store,
    **({"cosmos_in_azure": real_cosmos_store} if REAL_COSMOS else {}),
}
QUEUES: dict[str, Callable[[Path, Clock], AbstractAsyncContextManager[WholeQueue]]] = {
    "sqlite": sqlite_queue,
    "service_bus": service_bus_queue,
    **({"service_bus_in_azure": real_service_bus_queue} if REAL_BUS else {}),
}
VAULTS: dict[str, Callable[[Path, Clock], AbstractAsyncContextManager[Vault]]] = {
    "file": file_vault,
    "key_vault": key_vault,
    **({"key_vault_in_azure": real_key_vault} if REAL_VAULT else {}),
}
