"""What every blob backend promises: created once, whole, and never anything else under that name."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.azure_connections import AzureConnections
from shared.azure_identity import AzureIdentity
from shared.blobs import BlobStore, check_blob_name
from shared.blobs.blob_storage import BlobStorage
from shared.blobs.files import BlobFiles
from shared.blobs.port import MAX_BLOB_BYTES
from shared.errors import Conflict, InvalidInput, NotFound
from tests.wire import azurite


@pytest.fixture(params=["files", pytest.param("azurite", marks=pytest.mark.xdist_group("azurite"))])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    if request.param == "files":
        yield BlobFiles(tmp_path / "blobs")
        return
    server = azurite.running()
    container = f"contract-{uuid.uuid4().hex}"
    await server.make_container(container)
    identity = AzureIdentity()
    connection = AzureConnections.from_environment(server.settings).anchors
    storage = BlobStorage(connection, identity, container=container)
    yield storage
    await storage.close()
    await identity.close()


async def test_what_was_created_is_read_back(blobs: BlobStore) -> None:
    data = bytes(range(256)) * 5_000
    await blobs.create("anchor-000000001.json", data)
    await blobs.create("empty", b"")
    assert await blobs.read("anchor-000000001.json") == data
    assert await blobs.read("empty") == b""


async def test_a_name_is_given_once(blobs: BlobStore) -> None:
    await blobs.create("one", b"first")
    for data in (b"second", b"first", b""):
        with pytest.raises(Conflict, match="one"):
            await blobs.create("one", data)
    assert await blobs.read("one") == b"first"


async def test_of_many_at_once_one_succeeds(blobs: BlobStore) -> None:
    outcomes = await asyncio.gather(
        *(blobs.create("race", str(n).encode() * 10_000) for n in range(10)), return_exceptions=True
    )
    won = [n for n, outcome in enumerate(outcomes) if outcome is None]
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [Conflict] * 9
    assert await blobs.read("race") == str(won[0]).encode() * 10_000


async def test_what_is_not_there(blobs: BlobStore) -> None:
    with pytest.raises(NotFound, match="nothing"):
        await blobs.read("nothing")
    assert [name async for name in blobs.names()] == []


async def test_names_come_in_order_by_prefix(blobs: BlobStore) -> None:
    for name in ("b", "a-10", "a-2", "a/z", "a/b/c", "A"):
        await blobs.create(name, b"x")
    assert [name async for name in blobs.names()] == sorted(["b", "a-10", "a-2", "a/z", "a/b/c", "A"])
    assert [name async for name in blobs.names("a-")] == ["a-10", "a-2"]
    assert [name async for name in blobs.names("a/b")] == ["a/b/c"]
    assert [name async for name in blobs.names("none")] == []


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".hidden", "a/.b", "a b", "ä", "a\n", "a?b", "a#b", "x" * 201]
)
async def test_names_that_no_backend_could_hold(blobs: BlobStore, name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        await blobs.create(name, b"x")
    with pytest.raises(InvalidInput, match="name"):
        await blobs.read(name)


@settings(deadline=None)
@given(st.text(max_size=12) | st.from_regex(r"[./A-Za-z0-9_-]{1,12}", fullmatch=True))
def test_a_good_name_stays_below_its_folder(name: str) -> None:
    try:
        check_blob_name(name)
    except InvalidInput:
        return
    assert ".." not in Path(name).parts
    assert Path("/f", name).resolve().is_relative_to("/f")
    assert not any(part.startswith(".") for part in Path(name).parts)


async def test_one_that_is_too_large_is_refused(blobs: BlobStore) -> None:
    with pytest.raises(InvalidInput, match="bytes"):
        await blobs.create("large", b"x" * (MAX_BLOB_BYTES + 1))
    assert [name async for name in blobs.names()] == []


async def test_it_says_that_it_works(blobs: BlobStore) -> None:
    await blobs.check()
    assert [name async for name in blobs.names()] == [], "a check leaves nothing behind"


async def test_closing_twice_and_going_on(blobs: BlobStore) -> None:
    await blobs.create("a", b"x")
    await blobs.close()
    await blobs.close()
    assert await blobs.read("a") == b"x", "the next use connects again"
