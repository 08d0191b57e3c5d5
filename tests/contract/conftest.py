"""The backend under test, once per backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.clock import ManualClock
from shared.secrets import Vault
from shared.storage import DocumentStore
from tests.contract.backends import QUEUES, STORES, VAULTS, WholeQueue


@pytest.fixture(params=list(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[DocumentStore]:
    async with STORES[request.param](tmp_path, clock) as backend:
        yield backend


@pytest.fixture(params=list(QUEUES))
async def queue(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[WholeQueue]:
    async with QUEUES[request.param](tmp_path, clock) as backend:
        yield backend


@pytest.fixture(params=list(VAULTS))
async def vault(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Vault]:
    async with VAULTS[request.param](tmp_path, clock) as backend:
        yield backend
