"""Who may do what: the account key, tokens, and what a role allows."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from azure.core.exceptions import AzureError
from azure.cosmos import CosmosClient
from azure.cosmos.aio import CosmosClient as AioClient
from azure.cosmos.exceptions import CosmosHttpResponseError

from shared.clock import ManualClock
from tests.wire.cosmos import CONTRIBUTOR, CREATE_ONLY, READER, CosmosServer, signature, token
from tests.wire.cosmos.conftest import call, rows, sync_client

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
"""The client verifies no certificate of 127.0.0.1."""

WRITER = "6f1c8a52-0000-4000-8000-000000000001"
ENTRY = {"id": "s:1", "stream": "s", "month": "2026-11", "seq": 1}
KEY = ["s", "2026-11"]


class Token(NamedTuple):
    """As azure-core has it."""

    token: str
    expires_on: int


class Credential:
    """Gives tokens of one subject."""

    def __init__(self, subject: str, seconds: float = 3600) -> None:
        self.subject, self.seconds = subject, seconds

    def given(self) -> Token:
        """One."""
        return Token(token(self.subject, seconds=self.seconds), int(time.time() + 3600))


class SyncCredential(Credential):
    """For the sync client."""

    def get_token(self, *scopes: str, **options: Any) -> Token:
        """As asked."""
        return self.given()


class AioCredential(Credential):
    """For the aio client."""

    async def get_token(self, *scopes: str, **options: Any) -> Token:
        """As asked."""
        return self.given()

    async def close(self) -> None:
        """Nothing to let go of."""

    async def __aenter__(self) -> AioCredential:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Nothing to let go of."""


@pytest.fixture
async def secure(clock: ManualClock) -> AsyncIterator[CosmosServer]:
    """A server with https, whose writer may do everything but change the audit log."""
    with CosmosServer(clock=clock, tls=True) as server:
        server.create_topology()
        server.roles[WRITER] = {"readings": CONTRIBUTOR, "audit": CREATE_ONLY, "equipment": READER}
        yield server


@pytest.fixture(params=["sync", "aio"])
async def database(request: pytest.FixtureRequest, secure: CosmosServer) -> AsyncIterator[Any]:
    """The database, as the writer sees it."""
    if request.param == "sync":
        with sync_client(secure.secure_endpoint, SyncCredential(WRITER)) as client:
            yield client.get_database_client("ovenbridge")
    else:
        async with AioClient(secure.secure_endpoint, AioCredential(WRITER)) as aio:  # type: ignore[arg-type]
            yield aio.get_database_client("ovenbridge")


async def test_the_writer_of_the_audit_log_adds_and_reads_and_nothing_else(database: Any, secure: CosmosServer) -> None:
    audit = database.get_container_client("audit")
    await call(audit.create_item(ENTRY))
    assert (await call(audit.read_item("s:1", KEY)))["seq"] == 1
    assert await rows(audit.query_items("SELECT VALUE c.seq FROM c ORDER BY c.seq", partition_key=KEY)) == [1]
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: audit.replace_item("s:1", {**ENTRY, "seq": 2}), "items/replace"),
        (lambda: audit.upsert_item({**ENTRY, "seq": 2}), "items/upsert"),
        (lambda: audit.patch_item("s:1", KEY, [{"op": "set", "path": "/seq", "value": 2}]), "items/replace"),
        (lambda: audit.delete_item("s:1", KEY), "items/delete"),
        (lambda: audit.delete_all_items_by_partition_key(KEY), "items/delete"),
        (lambda: audit.execute_item_batch([("delete", ("s:1",))], KEY), "items/delete"),
        (lambda: audit.execute_item_batch([("read", ("s:1",)), ("upsert", (ENTRY,))], KEY), "items/upsert"),
    ]
    for attempt, action in refused:
        with pytest.raises(CosmosHttpResponseError) as no:
            await call(attempt())
        assert (no.value.status_code, no.value.sub_status) == (403, 5300)
        assert f"principal [{WRITER}] does not have required RBAC permissions to perform action" in str(no.value)
        assert f"/sqlDatabases/containers/{action}] on resource [dbs/ovenbridge/colls/audit]" in str(no.value)
    assert [(document["id"], document["seq"]) for document in secure.documents("audit")] == [("s:1", 1)]
    assert {entry.subject for entry in secure.journal.of(["create", "read"])} == {WRITER}


async def test_a_batch_of_what_is_allowed(database: Any) -> None:
    audit = database.get_container_client("audit")
    done = await call(audit.execute_item_batch([("create", (ENTRY,)), ("read", ("s:1",))], KEY))
    assert [one["statusCode"] for one in done] == [201, 200]


async def test_rights_are_per_container(database: Any) -> None:
    with pytest.raises(CosmosHttpResponseError, match="items/create"):
        await call(database.get_container_client("equipment").create_item({"id": "a"}))
    assert (
        await rows(database.get_container_client("equipment").query_items("SELECT * FROM c", partition_key="a")) == []
    )
    with pytest.raises(CosmosHttpResponseError, match="containers/executeQuery") as refused:
        await rows(database.get_container_client("alerts").query_items("SELECT * FROM c", partition_key="a"))
    assert refused.value.status_code == 403
    await call(database.get_container_client("readings").upsert_item({"id": "a", "equipmentId": "E", "day": "d"}))


async def test_no_token_makes_or_deletes_containers(database: Any) -> None:
    with pytest.raises(CosmosHttpResponseError, match="cannot be authorized by AAD token in data plane") as refused:
        await call(database.delete_container("audit"))
    assert refused.value.status_code == 403


async def test_a_stranger_does_not_even_get_the_account(secure: CosmosServer) -> None:
    with pytest.raises(CosmosHttpResponseError, match="databaseAccounts/readMetadata") as refused:
        CosmosClient(secure.secure_endpoint, SyncCredential("nobody"))  # type: ignore[arg-type]
    assert refused.value.status_code == 403


@pytest.mark.parametrize("credential", [SyncCredential(WRITER, seconds=-5), "type=aad"])
async def test_a_token_that_is_none_any_more(secure: CosmosServer, credential: Any) -> None:
    if isinstance(credential, str):
        credential = SyncCredential(WRITER)
        credential.given = lambda: Token("no.such.token", int(time.time() + 3600))
    with pytest.raises(CosmosHttpResponseError, match="AAD token is refused") as refused:
        CosmosClient(secure.secure_endpoint, credential)
    assert refused.value.status_code == 401


async def test_no_token_goes_over_http(secure: CosmosServer) -> None:
    with pytest.raises(AzureError, match="TLS"):
        CosmosClient(secure.endpoint, SyncCredential(WRITER))  # type: ignore[arg-type]


async def test_keys_can_be_switched_off(secure: CosmosServer) -> None:
    secure.key_allowed = False
    with pytest.raises(CosmosHttpResponseError, match="Local Authorization is disabled") as refused:
        CosmosClient(secure.endpoint, secure.key)
    assert refused.value.status_code == 401
    secure.key_allowed = True
    with sync_client(secure.endpoint, secure.key):
        pass


async def test_a_signature_has_its_time(secure: CosmosServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "_now", lambda: real() + timedelta(minutes=16))
    with pytest.raises(CosmosHttpResponseError, match="not valid at the current time") as refused:
        CosmosClient(secure.endpoint, secure.key)
    assert refused.value.status_code == 403


real = signature._now
