"""The document store on Cosmos DB when things go wrong, through the real SDK.

What it promises when nothing does: ``tests/contract``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from azure.core.credentials import AccessToken

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.clock import ManualClock
from shared.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, Unavailable
from shared.metrics import COSMOS_CHARGE, STORE_CALLS, Measure
from shared.storage import (
    BatchOperation,
    BucketQuery,
    Create,
    Delete,
    Document,
    DocumentStore,
    Equals,
    In,
    Increment,
    Patch,
    PatchOperation,
    Query,
    Range,
    RemovePath,
    Replace,
    SetPath,
)
from shared.storage.cosmos import CosmosStore
from shared.topology import topology
from tests.wire.cosmos import CONTRIBUTOR, CREATE_ONLY, READER, CosmosServer, Fault, token
from tests.wire.cosmos_backend import DATABASE, connection_to

OVEN = ("oven-1",)
DAY = ("oven-1", "2026-11-21")
CONTAINERS = list(topology().containers)


def rule(id: str = "r1", **more: Any) -> Document:
    return {"id": id, "equipmentId": "oven-1", "kind": "high", **more}


def reading(n: int, **more: Any) -> Document:
    return {"id": f"r{n:03}", "equipmentId": "oven-1", "day": "2026-11-21", "ts": f"t{n:03}", **more}


@pytest.fixture
def server() -> Iterator[CosmosServer]:
    with CosmosServer() as running:
        running.create_topology(DATABASE)
        yield running


@asynccontextmanager
async def opened(
    server: CosmosServer, clock: ManualClock, *, patience: float = 5.0, connection: AzureConnection | None = None
) -> AsyncIterator[CosmosStore]:
    wanted = connection or connection_to(server)
    store = CosmosStore(wanted, AzureIdentity(), database=DATABASE, clock=clock, patience=patience)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(server: CosmosServer, clock: ManualClock) -> AsyncIterator[CosmosStore]:
    async with opened(server, clock) as one:
        await one.upsert("alertRules", rule("warm", n=0))  # the account and the container are known from here on
        yield one


@pytest.fixture
async def hasty(server: CosmosServer, clock: ManualClock) -> AsyncIterator[CosmosStore]:
    """One that loses its patience soon."""
    async with opened(server, clock, patience=0.5) as one:
        await one.upsert("alertRules", rule("warm", n=0))
        yield one


# Every operation, its work done exactly once -------------------------------------------------------------------------

Action = Callable[[DocumentStore], Awaitable[Any]]

WRITES: dict[str, Action] = {
    "create": lambda s: s.create("alertRules", rule("new", n=1)),
    "replace": lambda s: s.replace("alertRules", rule("there", n=1)),
    "upsert": lambda s: s.upsert("alertRules", rule("there", n=1)),
    "patch": lambda s: s.patch("alertRules", OVEN, "there", [SetPath("n", 1)]),
    "delete": lambda s: s.delete("alertRules", OVEN, "there"),
    "batch": lambda s: s.batch("alertRules", OVEN, [Create(rule("new", n=1)), Delete("there")]),
}
READS: dict[str, Action] = {
    "read": lambda s: s.read("alertRules", OVEN, "there"),
    "query": lambda s: s.query("alertRules", Query(order_by="kind"), partition=OVEN),
}
ALL = WRITES | READS


@pytest.mark.parametrize("operation", ALL)
@pytest.mark.parametrize("status", [429, 449, 408, 410, 500, 503])
async def test_a_server_that_is_busy_is_asked_again(
    server: CosmosServer, store: CosmosStore, operation: str, status: int
) -> None:
    await store.create("alertRules", rule("there", n=0))
    server.answer_next([status, status], operation=operation)
    with server.counting() as count:
        await ALL[operation](store)
    assert count.by_operation()["alertRules", operation] == 3


@pytest.mark.parametrize("operation", ALL)
async def test_when_patience_ends_the_caller_is_told_when_to_return(
    server: CosmosServer, hasty: CosmosStore, operation: str
) -> None:
    await hasty.create("alertRules", rule("there", n=0))
    server.fail(Fault(operation=operation, status=429, retry_after_ms=60, times=None))
    started = time.monotonic()
    with server.counting() as count, pytest.raises(Unavailable) as caught:
        await ALL[operation](hasty)
    assert time.monotonic() - started < 1.5
    assert "request units" in caught.value.detail
    assert "alertRules" in caught.value.detail
    assert caught.value.retry_after >= 1
    assert 3 <= count.calls <= 12, "asked at the pace that the server sets, and by nobody but us"


async def test_the_servers_pace_is_kept(server: CosmosServer, store: CosmosStore) -> None:
    server.fail(Fault(operation="read", status=429, retry_after_ms=150))
    started = time.monotonic()
    await store.read("alertRules", OVEN, "warm")
    assert time.monotonic() - started >= 0.15
    server.fail(Fault(operation="read", status=429, retry_after_ms=60_000, times=None))
    started = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        await store.read("alertRules", OVEN, "warm")
    assert time.monotonic() - started < 1, "no use in waiting for what lies beyond patience"
    assert caught.value.retry_after == 60


async def test_a_replica_that_is_behind_is_no_missing_document(server: CosmosServer, store: CosmosStore) -> None:
    server.fail(Fault(operation="read", status=404, substatus=1002))
    assert (await store.read("alertRules", OVEN, "warm")).document["n"] == 0


async def check_done(store: DocumentStore, operation: str) -> None:
    """What the write leaves."""
    if operation in ("delete", "batch"):
        with pytest.raises(NotFound):
            await store.read("alertRules", OVEN, "there")
    elif operation != "create":
        assert (await store.read("alertRules", OVEN, "there")).document["n"] == 1
    if operation in ("create", "batch"):
        assert (await store.read("alertRules", OVEN, "new")).document["n"] == 1


@pytest.mark.parametrize("cut", ["before", "after", "half"])
@pytest.mark.parametrize("operation", WRITES)
async def test_a_cut_connection_neither_loses_nor_doubles_a_write(
    server: CosmosServer, store: CosmosStore, operation: str, cut: Any
) -> None:
    """And what was done, though the answer was lost, is no conflict."""
    there = await store.create("alertRules", rule("there", n=0))
    fault = Fault(operation=operation, truncate=True) if cut == "half" else Fault(operation=operation, cut=cut)
    server.fail(fault)
    result = await WRITES[operation](store)
    await check_done(store, operation)
    if operation in ("create", "replace", "upsert", "patch"):
        assert result == await store.read("alertRules", OVEN, result.document["id"])
        assert result.etag not in ("", there.etag)
    if operation == "batch":
        assert result == [await store.read("alertRules", OVEN, "new"), None]


@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize("fault", [Fault(cut="before"), Fault(cut="after"), Fault(truncate=True)], ids=repr)
async def test_a_cut_connection_does_not_spoil_a_read(
    server: CosmosServer, store: CosmosStore, operation: str, fault: Fault
) -> None:
    await store.create("alertRules", rule("there", n=0))
    server.fail(Fault(operation=operation, cut=fault.cut, truncate=fault.truncate))
    await READS[operation](store)


# Lost answers, one by one --------------------------------------------------------------------------------------------


async def test_a_real_conflict_stays_one(server: CosmosServer, store: CosmosStore) -> None:
    await store.create("alertRules", rule("there", by="another"))
    server.fail(Fault(operation="create", cut="before"))
    with pytest.raises(Conflict):
        await store.create("alertRules", rule("there", by="me"))
    with pytest.raises(Conflict):
        await store.create("alertRules", rule("there", by="another"))


async def test_a_connection_that_never_came_about_leaves_no_doubt(server: CosmosServer, store: CosmosStore) -> None:
    await store.create("alertRules", rule("there", n=1))
    port = server.port
    server.stop()
    with pytest.raises(TimeoutError):  # connections that were open are found broken, and left
        async with asyncio.timeout(0.3):
            await store.read("alertRules", OVEN, "there")
    again = asyncio.create_task(store.create("alertRules", rule("there", n=1)))
    await asyncio.sleep(0.2)  # a try or two
    server.start()
    with pytest.raises(Conflict):
        await again
    assert server.port == port


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_changes_with_an_etag(server: CosmosServer, store: CosmosStore, cut: Any) -> None:
    writes: list[Callable[[str], Awaitable[Any]]] = [
        lambda etag: store.replace("alertRules", rule("there", n=1), etag=etag),
        lambda etag: store.patch("alertRules", OVEN, "there", [SetPath("n", 2), Increment("times")], etag=etag),
        lambda etag: store.delete("alertRules", OVEN, "there", etag=etag),
    ]
    for number, write in enumerate(writes):
        etag = (await store.upsert("alertRules", rule("there", n=0, times=0))).etag
        server.fail(Fault(operation=("replace", "patch", "delete")[number], cut=cut))
        await write(etag)
        if number < 2:
            now = (await store.read("alertRules", OVEN, "there")).document
            assert now.get("times", 1) == 1
            assert now["n"] == number + 1


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_stale_etag_stays_stale(server: CosmosServer, store: CosmosStore, cut: Any) -> None:
    old = await store.create("alertRules", rule("there", n=0))
    await store.replace("alertRules", rule("there", n=7))
    for operation, write in (
        ("replace", store.replace("alertRules", rule("there", n=1), etag=old.etag)),
        ("patch", store.patch("alertRules", OVEN, "there", [SetPath("n", 1)], etag=old.etag)),
        ("delete", store.delete("alertRules", OVEN, "there", etag=old.etag)),
    ):
        server.fail(Fault(operation=operation, cut=cut))
        with pytest.raises(PreconditionFailed):
            await write
    assert (await store.read("alertRules", OVEN, "there")).document["n"] == 7


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_change_of_state_is_made_once_and_known_as_ours(
    server: CosmosServer, store: CosmosStore, cut: Any
) -> None:
    await store.create("alertRules", rule("there", status="pending", times=0))
    server.fail(Fault(operation="patch", cut=cut))
    changes: list[PatchOperation] = [SetPath("status", "mine"), Increment("times")]
    mine = await store.patch("alertRules", OVEN, "there", changes, when={"status": "pending"})
    assert (mine.document["status"], mine.document["times"]) == ("mine", 1)
    server.fail(Fault(operation="patch", cut=cut))
    with pytest.raises(PreconditionFailed):
        await store.patch("alertRules", OVEN, "there", [SetPath("status", "yours")], when={"status": "pending"})


@pytest.mark.parametrize(("cut", "stands"), [("before", 0), ("after", 1)])
async def test_what_only_counts_is_not_counted_twice(
    server: CosmosServer, store: CosmosStore, cut: Any, stands: int
) -> None:
    """Nothing shows whether it was done. Better said than guessed."""
    server.fail(Fault(operation="patch", cut=cut))
    with pytest.raises(Unavailable, match="may have been made"):
        await store.patch("alertRules", OVEN, "warm", [Increment("n")])
    assert (await store.read("alertRules", OVEN, "warm")).document["n"] == stands
    server.fail(Fault(operation="batch", cut=cut))
    with pytest.raises(Unavailable, match="may have been made"):
        await store.batch("alertRules", OVEN, [Patch("warm", [Increment("n")])])
    assert (await store.read("alertRules", OVEN, "warm")).document["n"] == 2 * stands


@pytest.mark.parametrize("cut", ["before", "after"])
@pytest.mark.parametrize("batch", [False, True])
async def test_a_count_with_a_mark_is_counted_once(
    server: CosmosServer, store: CosmosStore, cut: Any, batch: bool
) -> None:
    server.fail(Fault(operation="batch" if batch else "patch", cut=cut))
    changes: list[PatchOperation] = [Increment("n"), SetPath("at", "2026-11-21T10:00:00.001Z")]
    if batch:
        await store.batch("alertRules", OVEN, [Patch("warm", changes)])
    else:
        await store.patch("alertRules", OVEN, "warm", changes)
    assert (await store.read("alertRules", OVEN, "warm")).document["n"] == 1


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_batch_is_done_once(server: CosmosServer, store: CosmosStore, cut: Any) -> None:
    await store.create("alertRules", rule("gone", n=0))
    etag = (await store.create("alertRules", rule("there", n=0))).etag
    operations: list[BatchOperation] = [
        Create(rule("new", n=0)),
        Patch("new", [Increment("n", 5), SetPath("x", 1)]),
        Replace(rule("there", n=1), etag),
        Patch("warm", [Increment("n")]),
        Delete("gone"),
    ]
    server.fail(Fault(operation="batch", cut=cut))
    results = await store.batch("alertRules", OVEN, operations)
    assert [r and r.document["n"] for r in results][1:] == [5, 1, 1, None]
    assert {d["id"]: d["n"] for d in server.documents("alertRules", DATABASE)} == {"new": 5, "there": 1, "warm": 1}


async def test_a_batch_that_failed_for_a_reason_says_it(server: CosmosServer, store: CosmosStore) -> None:
    await store.create("alertRules", rule("there"))
    server.fail(Fault(operation="batch", cut="before"))
    with pytest.raises(Conflict):
        await store.batch("alertRules", OVEN, [Create(rule("a")), Create(rule("there", other=1))])
    with pytest.raises(NotFound):
        await store.read("alertRules", OVEN, "a")


@pytest.mark.parametrize("cut", ["before", "after"])
@pytest.mark.parametrize("operation", ["create", "batch"])
async def test_several_creates(server: CosmosServer, store: CosmosStore, operation: str, cut: Any) -> None:
    some = [rule("a"), rule("b"), {**rule("c"), "equipmentId": "oven-2"}]
    server.fail(Fault(operation=operation, cut=cut))
    assert await store.create_each("alertRules", some) == [True, True, True]
    assert await store.create_each("alertRules", some) == [False, False, False]


async def test_creates_in_one_partition_go_together(server: CosmosServer, store: CosmosStore) -> None:
    some = [rule(f"n{n}") for n in range(20)]
    with server.counting() as count:
        assert await store.create_each("alertRules", [*some, some[3]]) == [True] * 20 + [False]
    assert count.by_operation() == {("alertRules", "batch"): 1}
    apart = [{**rule(f"n{n}"), "equipmentId": f"oven-{n}"} for n in range(2, 90)]
    with server.counting() as count:
        assert await store.create_each("alertRules", apart) == [True] * 88
    assert count.by_operation() == {("alertRules", "create"): 88}


async def test_one_that_cannot_be_written_is_told_the_others_are(server: CosmosServer, hasty: CosmosStore) -> None:
    server.fail(Fault(operation="create", item_id="b", status=503, times=None))
    some = [{**rule(name), "equipmentId": name} for name in "abc"]
    with pytest.raises(Unavailable):
        await hasty.create_each("alertRules", some)
    server.heal()
    assert await hasty.create_each("alertRules", some) == [False, True, False]


# Time ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ALL)
async def test_a_server_that_hangs_is_given_up(server: CosmosServer, hasty: CosmosStore, operation: str) -> None:
    await hasty.create("alertRules", rule("there", n=0))
    server.fail(Fault(operation=operation, delay_seconds=3, times=None))
    started = time.monotonic()
    with pytest.raises(Unavailable, match="no answer in time"):
        await ALL[operation](hasty)
    assert time.monotonic() - started < 2.5


async def test_one_request_that_hangs_is_made_again(server: CosmosServer, clock: ManualClock) -> None:
    async with opened(server, clock, patience=2.5) as store:
        await store.create("alertRules", rule("there", n=0))
        server.fail(Fault(operation="create", delay_seconds=30))
        await store.create("alertRules", rule("new", n=1))


async def test_a_caller_that_leaves_leaves_nothing_behind(server: CosmosServer, store: CosmosStore) -> None:
    server.fail(Fault(operation="read", delay_seconds=0.2, times=None))
    tasks = [asyncio.create_task(store.read("alertRules", OVEN, "warm")) for _ in range(10)]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    assert all(isinstance(o, asyncio.CancelledError) for o in await asyncio.gather(*tasks, return_exceptions=True))
    server.heal()
    await store.read("alertRules", OVEN, "warm")


# Settings, keys, roles, containers -----------------------------------------------------------------------------------


async def told(store: DocumentStore, *words: str) -> str:
    """Every way of asking says the same."""
    sentences = set()
    for ask in (store.read("alertRules", OVEN, "a"), store.create("alertRules", rule()), store.check()):
        with pytest.raises(Unavailable) as caught:
            await ask
        sentences.add(caught.value.detail)
        for word in words:
            assert word in caught.value.detail
    return " ".join(sentences)


async def test_half_set_settings_are_told_by_the_calls(server: CosmosServer, clock: ManualClock) -> None:
    connection = AzureConnection("CosmosConnection", wanted=True, problem="CosmosConnection is half set.")
    async with opened(server, clock, connection=connection) as store:
        await told(store, "CosmosConnection is half set.")


@pytest.mark.parametrize(
    "text", ["AccountEndpoint=http://localhost:1/", "nonsense=", "AccountEndpoint=http://127.0.0.1:1/;AccountKey=abc;"]
)
async def test_a_malformed_connection_string(server: CosmosServer, clock: ManualClock, text: str) -> None:
    connection = AzureConnection("CosmosConnection", wanted=True, connection_string=text)
    async with opened(server, clock, connection=connection) as store:
        await told(store, "CosmosConnection", "malformed", "CosmosConnection__accountEndpoint")


async def test_a_wrong_key(server: CosmosServer, clock: ManualClock) -> None:
    key, server.key = server.key, "d3Jvbmc="
    connection = connection_to(server)
    server.key = key
    async with opened(server, clock, connection=connection) as store:
        said = await told(store, "CosmosConnection", "key", "CosmosConnection__accountEndpoint")
        assert "d3Jvbmc" not in said
        server.key = "d3Jvbmc="
        await store.create("alertRules", rule())


async def test_keys_that_are_switched_off(server: CosmosServer, store: CosmosStore) -> None:
    server.key_allowed = False
    await told(store, "key", "switched off", "CosmosConnection__accountEndpoint")
    server.key_allowed = True
    await store.read("alertRules", OVEN, "warm")


async def test_nobody_there(server: CosmosServer, clock: ManualClock) -> None:
    server.stop()
    async with opened(server, clock, patience=0.5) as store:
        await told(store, "no connection")
        server.start()
        await store.create("alertRules", rule())


@pytest.mark.parametrize("missing", ["alertRules", "all"])
async def test_a_missing_container(server: CosmosServer, clock: ManualClock, missing: str) -> None:
    database = "elsewhere" if missing == "all" else DATABASE
    containers = server._account.databases[DATABASE].containers
    taken = containers.pop("alertRules")
    store = CosmosStore(connection_to(server), AzureIdentity(), database=database, clock=clock, patience=1)
    try:
        said = await told(store, "alertRules", database, "infra/main.bicep")
        assert ("events" in said) == (missing == "all")
        if missing != "all":
            containers["alertRules"] = taken
            await store.create("alertRules", rule())
            await store.check()
            del containers["alertRules"]
            await told(store, "alertRules", "infra/main.bicep")
            containers["alertRules"] = taken
            assert (await store.read("alertRules", OVEN, "r1")).document["id"] == "r1"
            with pytest.raises(NotFound):
                await store.read("alertRules", OVEN, "r2")
    finally:
        await store.close()


async def test_a_container_that_was_made_anew(server: CosmosServer, store: CosmosStore) -> None:
    """It has another resource id; no restart is needed."""
    server._account.databases[DATABASE].containers.clear()
    del server._account.databases[DATABASE]
    server.create_topology(DATABASE)
    await store.create("alertRules", rule())
    assert (await store.read("alertRules", OVEN, "r1")).document["id"] == "r1"
    with pytest.raises(NotFound):
        await store.read("alertRules", OVEN, "warm")


async def test_a_container_of_another_making(server: CosmosServer, clock: ManualClock) -> None:
    containers = server._account.databases[DATABASE].containers
    readings, rules = containers["readings"], containers["alertRules"]
    readings.definition["defaultTtl"] = 5
    rules.definition["partitionKey"] = {"paths": ["/pk"], "kind": "Hash"}
    async with opened(server, clock) as store:
        with pytest.raises(Unavailable, match=r"readings has the default time to live 5; it needs 7776000"):
            await store.create("readings", reading(1))
        with pytest.raises(Unavailable, match=r"alertRules has the partition key pk; it needs equipmentId"):
            await store.create("alertRules", rule())
        with pytest.raises(Unavailable, match=r"(?s)alertRules.*readings|readings.*alertRules"):
            await store.check()


class Identity:
    """Signs in as somebody of the test."""

    def __init__(self, subject: str) -> None:
        self.subject = subject

    def credential(self) -> Any:
        return self

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken(token(self.subject), int(time.time()) + 3600)

    async def close(self) -> None: ...


@asynccontextmanager
async def signed_in(clock: ManualClock, roles: dict[str, Any]) -> AsyncIterator[tuple[CosmosServer, CosmosStore]]:
    with CosmosServer(tls=True) as server:
        server.create_topology(DATABASE)
        server.roles["app"] = roles
        connection = AzureConnection("CosmosConnection", wanted=True, address=server.secure_endpoint)
        identity = cast("AzureIdentity", Identity("app"))
        store = CosmosStore(connection, identity, database=DATABASE, clock=clock)
        try:
            yield server, store
        finally:
            await store.close()


async def test_an_identity_with_its_roles(clock: ManualClock) -> None:
    """As the deployment gives them: everything but the audit container, where it may only add and read."""
    roles: dict[str, Any] = dict.fromkeys(CONTAINERS, CONTRIBUTOR) | {"audit": CREATE_ONLY}
    async with signed_in(clock, roles) as (server, store):
        await store.check()
        await store.create("alertRules", rule())
        entry = {"id": "s:1", "stream": "s", "month": "2026-11", "seq": 1}
        created = await store.create("audit", entry)
        assert await store.read("audit", ("s", "2026-11"), "s:1") == created
        assert (await store.query("audit", Query(), partition=("s",))).items == [created]
        for forbidden in (
            store.replace("audit", {**entry, "seq": 2}),
            store.delete("audit", ("s", "2026-11"), "s:1"),
            store.patch("audit", ("s", "2026-11"), "s:1", [SetPath("seq", 2)]),
            store.upsert("audit", {**entry, "seq": 2}),
        ):
            with pytest.raises(Unavailable, match="audit"):
                await forbidden
        assert {e.subject for e in server.journal.entries} == {"app"}


async def test_a_role_that_is_missing(clock: ManualClock) -> None:
    async with signed_in(clock, {"events": CONTRIBUTOR}) as (server, store):
        said = await told(
            store, "alertRules", "Cosmos DB Built-in Data Contributor", "minutes", "CosmosConnection__clientId"
        )
        assert "ey" not in said.split(), "no token"
        assert "principal" not in said
        with pytest.raises(Unavailable) as caught:
            await store.check()
        assert all(name in caught.value.detail for name in CONTAINERS if name != "events")
        server.roles["app"] = {"*": READER}
        with pytest.raises(Unavailable, match="alertRules"):
            await store.create("alertRules", rule())
        with pytest.raises(NotFound):
            await store.read("alertRules", OVEN, "r1")
        with pytest.raises(Unavailable, match="Contributor"):
            await store.check()
        server.roles["app"] = {"*": CONTRIBUTOR}
        await store.create("alertRules", rule())
        await store.check()


async def test_an_identity_that_cannot_sign_in(server: CosmosServer, clock: ManualClock) -> None:
    from azure.core.exceptions import ClientAuthenticationError

    class Nobody(Identity):
        async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
            raise ClientAuthenticationError("secret-tenant-detail")

    connection = AzureConnection("CosmosConnection", wanted=True, address="https://127.0.0.1:1/")
    identity = cast("AzureIdentity", Nobody("nobody"))
    store = CosmosStore(connection, identity, database=DATABASE, clock=clock, patience=1)
    try:
        said = await told(store, "Signing in", "CosmosConnection__clientId")
        assert "secret-tenant-detail" not in said
    finally:
        await store.close()


# The readiness probe -------------------------------------------------------------------------------------------------


async def test_the_check_proves_all_rights_once_and_then_costs_next_to_nothing(
    server: CosmosServer, clock: ManualClock, store: CosmosStore
) -> None:
    with server.counting() as count:
        await store.check()
    assert count.calls == 2 * len(CONTAINERS) - 1, "nothing of the audit may be deleted"
    with server.counting() as count:
        for _ in range(3 * len(CONTAINERS)):
            await store.check()
    assert count.calls == 3 * (2 * len(CONTAINERS) - 1), "one container at a time, each in its turn"
    assert [name for name in CONTAINERS if server.documents(name, DATABASE)] == ["alertRules"]
    clock.advance(301)
    with server.counting() as count:
        await store.check()
    assert count.calls == 2 * len(CONTAINERS) - 1


async def test_after_bad_news_the_check_is_thorough(server: CosmosServer, store: CosmosStore) -> None:
    await store.check()
    fault = server.fail(Fault(operation="delete", status=403, times=None))
    with pytest.raises(Unavailable):
        await store.check()
    with server.counting() as count, pytest.raises(Unavailable):
        await store.check()
    assert count.calls == 2 * len(CONTAINERS) - 1
    server.heal(fault)
    await store.check()


# What it costs -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def heard(measure: Measure) -> AsyncIterator[list[tuple[float, dict[str, str]]]]:
    found: list[tuple[float, dict[str, str]]] = []

    def listener(value: float, attributes: dict[str, str]) -> None:
        found.append((value, attributes))

    measure.listeners.append(listener)
    try:
        yield found
    finally:
        measure.listeners.remove(listener)


async def test_every_request_is_counted_and_charged(server: CosmosServer, store: CosmosStore) -> None:
    bucket = BucketQuery("ts", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", 60, {"a": ("a",)})
    await store.create_each("readings", [reading(n) for n in range(25)])
    server.page_limit = 10
    async with heard(COSMOS_CHARGE) as charges, heard(STORE_CALLS) as calls:
        with server.counting() as count:
            for action in ALL.values():
                await store.upsert("alertRules", rule("there", n=0))
                await action(store)
                await store.upsert("alertRules", rule("new", n=0))
                await store.delete("alertRules", OVEN, "new")
            await store.query("readings", Query(), partition=DAY)
            await store.buckets("readings", bucket, partition=DAY)
            for error, call in (
                (NotFound, store.read("alertRules", OVEN, "nothing")),
                (Conflict, store.create("alertRules", rule("there"))),
                (Conflict, store.batch("alertRules", OVEN, [Create(rule("there"))])),
                (InvalidInput, store.patch("alertRules", OVEN, "there", [RemovePath("nothing")])),
            ):
                with pytest.raises(error):
                    await call
            server.answer_next([429, 503], operation="read")
            await store.read("alertRules", OVEN, "there")
    assert sum(value for value, _ in charges) == pytest.approx(count.charge)
    assert sum(value for value, _ in calls) == count.calls
    assert {a["operation"] for _, a in charges} == {*ALL}
    assert {a["container"] for _, a in calls} == {"alertRules", "readings"}
    said = sum(1 for _, a in calls if a == {"container": "readings", "operation": "query"})
    assert said == 4, "each page by itself: 25 by tens, and none for the sums"


async def test_the_latest_reading_is_one_request(server: CosmosServer, store: CosmosStore) -> None:
    await store.create_each("readings", [reading(n) for n in range(40)])
    with server.counting() as count:
        page = await store.query("readings", Query(order_by="ts", descending=True, limit=1), partition=DAY)
    assert (page.items[0].document["id"], count.calls) == ("r039", 1)
    query = Query((Range("ts", ge="t000"),), order_by="ts", limit=10)
    with server.counting() as count:
        for _ in range(4):
            page = await store.query("readings", query, partition=DAY)
            query = Query(query.where, "ts", limit=10, continuation=page.continuation)
    assert (page.continuation, count.calls) == (None, 4)


async def test_only_a_page_that_ends_among_equals_costs_another_request(
    server: CosmosServer, store: CosmosStore
) -> None:
    await store.create_each("readings", [{**reading(n), "ts": f"t{n // 10}"} for n in range(40)])
    with server.counting() as count:
        page = await store.query("readings", Query(order_by="ts", limit=10), partition=DAY)
    assert (len(page.items), count.calls) == (10, 1)
    with server.counting() as count:
        page = await store.query("readings", Query(order_by="ts", limit=15), partition=DAY)
    assert (len(page.items), count.calls) == (15, 2)


async def test_no_order_is_ever_asked_across_partitions(server: CosmosServer, store: CosmosStore) -> None:
    days = [f"2026-11-{n:02}" for n in range(1, 29)]
    some = [{**reading(n), "day": days[n % 28], "values": {"a": n}} for n in range(100)]
    await store.create_each("readings", some)
    query = Query((In("day", tuple(days)),), order_by="ts", limit=30)
    found: list[str] = []
    while True:
        page = await store.query("readings", query, partition=DAY[:1])
        found += [item.document["id"] for item in page.items]
        if page.continuation is None:
            break
        query = Query(query.where, "ts", limit=30, continuation=page.continuation)
    assert found == [d["id"] for d in some]
    bucket = BucketQuery("ts", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 60, {"a": ("values", "a")})
    await store.buckets("readings", bucket, partition=DAY[:1])
    assert server.observed.cross_partition_orders == []
    assert server.observed.cross_partition_groups == []


# Pages ---------------------------------------------------------------------------------------------------------------


async def test_pages_are_full_though_cosmos_gives_less(server: CosmosServer, store: CosmosStore) -> None:
    await store.create_each("readings", [reading(n) for n in range(50)])
    server.page_limit = 3
    for partition, order in ((DAY, "ts"), (DAY, None), (DAY[:1], None), (None, None)):
        sizes, seen, continuation = [], set(), None
        for _ in range(10):
            page = await store.query(
                "readings", Query(order_by=order, limit=20, continuation=continuation), partition=partition
            )
            sizes.append(len(page.items))
            seen |= {item.document["id"] for item in page.items}
            continuation = page.continuation
            if continuation is None:
                break
        assert (sizes, len(seen)) == ([20, 20, 10], 50)


async def test_side_by_side_queries_keep_their_own_places(server: CosmosServer, store: CosmosStore) -> None:
    """The SDK keeps the last answer's headers in a variable that all requests share."""
    for name in range(8):
        some = [{**rule(f"r{n:02}"), "equipmentId": f"oven-{name}"} for n in range(30)]
        await store.create_each("alertRules", some)

    async def all_of(name: int) -> list[str]:
        found: list[str] = []
        continuation = None
        while True:
            query = Query(limit=3, continuation=continuation)
            page = await store.query("alertRules", query, partition=(f"oven-{name}",))
            found += [item.document["id"] for item in page.items if item.document["id"] != "warm"]
            continuation = page.continuation
            if continuation is None:
                return found

    async def noise() -> None:
        for _ in range(40):
            await store.read("alertRules", OVEN, "warm")
            await store.upsert("alertRules", rule("warm", n=1))

    found = await asyncio.gather(*(all_of(n) for n in range(8)), *(noise() for _ in range(4)))
    assert found[:8] == [[f"r{n:02}" for n in range(30)]] * 8


async def test_pages_over_several_machines_of_cosmos(clock: ManualClock) -> None:
    with CosmosServer(physical_partitions=4) as server:
        server.create_topology(DATABASE)
        async with opened(server, clock) as store:
            some = [{**reading(n), "equipmentId": f"oven-{n % 7}", "day": f"d{n % 5}"} for n in range(100)]
            await store.create_each("readings", some)
            scopes: list[tuple[Any, set[str]]] = [
                (None, {d["id"] for d in some}),
                (("oven-3",), {d["id"] for d in some if d["equipmentId"] == "oven-3"}),
            ]
            for partition, expected in scopes:
                seen: list[str] = []
                continuation = None
                while True:
                    query = Query((Equals("equipmentId", "oven-3"),) if partition else (), limit=7)
                    page = await store.query(
                        "readings", Query(query.where, limit=7, continuation=continuation), partition=partition
                    )
                    seen += [item.document["id"] for item in page.items]
                    continuation = page.continuation
                    if continuation is None:
                        break
                assert sorted(seen) == sorted(expected)


# The client ----------------------------------------------------------------------------------------------------------


async def test_the_client_is_made_once_and_each_container_read_once(server: CosmosServer, clock: ManualClock) -> None:
    async with opened(server, clock) as store:
        assert not server.journal.entries, "making it asks nothing"
        await asyncio.gather(*(store.create("alertRules", rule(f"r{n}")) for n in range(30)))
        assert len(server.journal.of(["read_container"])) == 1
        assert len(server.journal.of(["read_account"])) <= 2


async def test_a_slow_start_is_not_begun_again_by_every_caller(server: CosmosServer, clock: ManualClock) -> None:
    async with opened(server, clock, patience=0.3) as store:
        server.fail(Fault(operation="read_account", delay_seconds=1.3, times=None))
        with pytest.raises(Unavailable):
            await store.create("alertRules", rule())
        for _ in range(5):
            try:
                await store.create("alertRules", rule())
            except Unavailable:
                continue
            break
        else:
            pytest.fail("nobody waited long enough")
        assert len(server.journal.of(["read_account"])) <= 2


async def test_it_can_be_used_again_after_closing(server: CosmosServer, clock: ManualClock) -> None:
    async with opened(server, clock) as store:
        await store.create("alertRules", rule())
        await store.close()
        await store.close()
        assert (await store.read("alertRules", OVEN, "r1")).document["id"] == "r1"


def test_another_event_loop_is_told(server: CosmosServer, clock: ManualClock) -> None:
    store = CosmosStore(connection_to(server), AzureIdentity(), database=DATABASE, clock=clock)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(store.create("alertRules", rule()))
        with pytest.raises(RuntimeError, match="event loop"):
            second.run(store.read("alertRules", OVEN, "r1"))
        first.run(store.close())
        second.run(store.read("alertRules", OVEN, "r1"))
        second.run(store.close())


async def test_nothing_of_the_requests_is_logged(
    server: CosmosServer, store: CosmosStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.fail(Fault(operation="read", cut="after"))
    for action in ALL.values():
        await store.upsert("alertRules", rule("there", n=0))
        await action(store)
        await store.upsert("alertRules", rule("new", n=0))
        await store.delete("alertRules", OVEN, "new")
    loud = [r for r in caplog.records if r.name.startswith("azure")]
    assert loud == []
    assert "authorization" not in caplog.text.casefold()


@pytest.mark.parametrize("etag", ['"\r\nx-evil: 1', "*", "ä", "", "x" * 10_000])
async def test_an_etag_that_is_none_fits_nothing(store: CosmosStore, etag: str) -> None:
    for change in (
        store.replace("alertRules", rule("warm"), etag=etag),
        store.patch("alertRules", OVEN, "warm", [SetPath("n", 1)], etag=etag),
        store.delete("alertRules", OVEN, "warm", etag=etag),
        store.batch("alertRules", OVEN, [Delete("warm", etag=etag)]),
    ):
        with pytest.raises(PreconditionFailed):
            await change
