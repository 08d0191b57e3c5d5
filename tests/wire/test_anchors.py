"""Anchors in Azure Storage, through the SDK: against Azurite, over a line that fails, and with every refusal."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared.audit.anchoring import Anchoring
from shared.audit.shelf import AnchorShelf
from shared.azure_connections import AzureConnection, AzureConnections
from shared.azure_identity import AzureIdentity
from shared.blobs.blob_storage import API_VERSION, BlobStorage
from shared.clock import ManualClock
from shared.errors import Conflict, NotFound, OvenbridgeError, Unavailable
from shared.services import Services
from shared.settings import Settings
from shared.storage import Query, SetPath
from tests.wire import azurite
from tests.wire.azure import AzureWire
from tests.wire.certificate import server_context
from tests.wire.serving import Serving

pytestmark = pytest.mark.xdist_group("azurite")

ACTOR = {"id": "token:1", "name": "Anna", "how": "api_token"}


def connection(**settings: str) -> AzureConnection:
    return AzureConnections.from_environment(settings).anchors


@asynccontextmanager
async def storage(
    where: AzureConnection, container: str = "audit-anchors", patience: float = 10.0, identity: Any = None
) -> AsyncIterator[BlobStorage]:
    known = identity or AzureIdentity()
    blobs = BlobStorage(where, known, container=container, patience_seconds=patience)
    try:
        yield blobs
    finally:
        await blobs.close()
        await known.close()


@pytest.fixture
async def container() -> str:
    name = f"anchors-{uuid.uuid4().hex}"
    await azurite.running().make_container(name)
    return name


@pytest.fixture
async def blobs(container: str) -> AsyncIterator[BlobStorage]:
    async with storage(connection(**azurite.running().settings), container) as found:
        yield found


async def add(house: Services, stream: str, count: int = 1) -> None:
    for _ in range(count):
        await house.audit.append(stream, actor=ACTOR, action="equipment.changed", target="x")


# The whole story ---------------------------------------------------------------------------------------------------


async def test_anchors_seals_and_verification(house: Services, clock: ManualClock, blobs: BlobStorage) -> None:
    house.__dict__["anchor_blobs"] = blobs
    for _ in range(3):
        await add(house, "token", 2)
        await add(house, "equipment:A")
        await asyncio.gather(house.anchoring.anchor(), house.anchoring.anchor())
        clock.advance(3600)
    await house.anchoring.seal()
    assert [name async for name in blobs.names()] == [
        *(f"anchor-{n:09d}.json" for n in (1, 2, 3)),
        "seal-000000001.json",
    ]
    evidence = await house.audit_proof.evidence()
    assert (evidence.first_break, evidence.anchors, evidence.read) == (None, 3, 3)
    found = await house.audit_proof.verify("token")
    assert found.anchored is not None
    assert (found.intact, found.anchored.seq) == (True, 6)
    with pytest.raises(Conflict):
        await blobs.create("anchor-000000001.json", b"{}")
    assert (await house.audit_proof.check_daily()).intact


async def test_in_azure_the_role_refuses_what_the_audit_log_never_does(tmp_path: Path, clock: ManualClock) -> None:
    """Cosmos DB with the roles that infra/ gives the app's identity, anchors in blobs: all of it through the SDKs."""
    server = azurite.running()
    with AzureWire(clock=clock, blobs=server) as azure:
        await azure.make_blob_containers()
        house = Services(Settings(data_dir=tmp_path, azure=azure.connections), clock)
        try:
            for _ in range(3):
                await asyncio.gather(*(add(house, stream, 2) for stream in ("token", "equipment:A")))
                assert await house.anchoring.anchor() == 1
                clock.advance(3600)
            assert await house.anchoring.seal() is True
            found = await house.audit_proof.check_daily()
            assert (found.intact, found.streams, found.entries) == (True, 2, 12)
            page = await house.store.query("audit", Query(limit=1), partition=("token",))
            entry = page.items[0].document
            for call in (
                house.store.replace("audit", {**entry, "target": "else"}),
                house.store.upsert("audit", {**entry, "target": "else"}),
                house.store.delete("audit", ("token", entry["month"]), entry["id"]),
                house.store.patch("audit", ("token", entry["month"]), entry["id"], [SetPath("target", "else")]),
            ):
                with pytest.raises(OvenbridgeError):
                    await call
            assert (await house.audit_proof.verify("token")).intact
            # What nobody else can do either, shown on the account itself.
            azure.cosmos.seed("audit", [{**entry, "target": "else"}])
            assert not (await house.audit_proof.check_daily()).intact
        finally:
            await house.close()


async def test_more_names_than_a_page_holds(blobs: BlobStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"anchor-{n:09d}.json" for n in range(1, 31)]
    await asyncio.gather(*(blobs.create(name, b"x") for name in names))
    client = blobs._client()
    list_names = client.list_blob_names

    class Small:
        def list_blob_names(self, **how: Any) -> Any:
            return list_names(**how, results_per_page=7)

    monkeypatch.setattr(blobs, "_client", Small)
    assert [name async for name in blobs.names("anchor-")] == names


async def test_the_services_use_it_when_the_settings_say_so(tmp_path: Path, container: str) -> None:
    settings = Settings.from_environment({"DATA_DIR": str(tmp_path), **azurite.running().settings})
    house = Services(settings)
    assert isinstance(house.anchor_blobs, BlobStorage)
    await house.close()


async def test_documents_in_azure_and_no_anchors_there_is_no_silent_folder(tmp_path: Path) -> None:
    """A folder would be gone with the instance."""
    given = {
        "DATA_DIR": str(tmp_path),
        "WEBSITE_HOSTNAME": "app.azurewebsites.net",
        "CosmosConnection__accountEndpoint": "https://account.documents.azure.com:443/",
    }
    house = Services(Settings.from_environment(given))
    with pytest.raises(Unavailable, match=r"AuditAnchorsConnection is not set.*AuditAnchorsConnection__blobServiceUri"):
        await house.anchor_blobs.check()
    await house.close()


# A line that fails -------------------------------------------------------------------------------------------------


class Line:
    """A TCP line to Azurite that can be cut after the server has answered, before the client hears of it."""

    def __init__(self) -> None:
        self.cut_answers_to = b""
        self.cut = 0
        self._server: asyncio.Server | None = None
        self._open: list[asyncio.StreamWriter] = []
        self._ends: list[asyncio.Future[None]] = []

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*self._ends)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = asyncio.get_running_loop().create_future()
        self._open.append(writer)
        self._ends.append(end)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", azurite.running().port)
        asked = bytearray()

        async def forth() -> None:
            while data := await reader.read(65_536):
                if data[:4] in (b"PUT ", b"GET ", b"HEAD"):
                    asked[:] = data
                up_writer.write(data)
            up_writer.close()

        forward = asyncio.create_task(forth())
        try:
            while data := await up_reader.read(65_536):
                if self.cut_answers_to and asked.startswith(self.cut_answers_to) and not self.cut:
                    self.cut += 1
                    writer.transport.abort()
                    break
                writer.write(data)
        finally:
            forward.cancel()
            await asyncio.gather(forward, return_exceptions=True)
            up_writer.close()
            writer.close()
            end.set_result(None)


@pytest.fixture
async def line() -> AsyncIterator[tuple[Line, AzureConnection]]:
    found = Line()
    port = await found.start()
    text = azurite.running().connection_string.replace(f":{azurite.running().port}/", f":{port}/")
    yield found, connection(AuditAnchorsConnection=text)
    await found.stop()


async def test_an_answer_that_got_lost(
    house: Services, clock: ManualClock, container: str, line: tuple[Line, AzureConnection]
) -> None:
    """The blob was written, the SDK repeats the write and is told that there is one: it is ours."""
    await add(house, "token")
    async with storage(line[1], container) as blobs:
        await blobs.check()
        line[0].cut_answers_to = b"PUT "
    async with storage(line[1], container) as blobs:
        assert await Anchoring(house.store, AnchorShelf(blobs), clock).anchor() == 1
        assert line[0].cut == 1
        assert [name async for name in blobs.names()] == ["anchor-000000001.json"]
    async with storage(line[1], container) as blobs:
        line[0].cut = 0
        with pytest.raises(Conflict):
            await blobs.create("plain", b"x")
        assert await blobs.read("plain") == b"x", "the port leaves it to the caller to compare"


@pytest.mark.process
async def test_the_service_goes_away_and_comes_back() -> None:
    with azurite.own() as server:
        await server.make_container("audit-anchors")
        async with storage(connection(**server.settings), patience=3.0) as blobs:
            await blobs.create("a", b"x")
            port = server.port
            server.stop()
            for call in (blobs.create("b", b"x"), blobs.read("a"), blobs.check()):
                with pytest.raises(Unavailable, match="did not answer"):
                    await call
            back = azurite.Azurite(port=port)
            back.start()
            try:
                await back.make_container("audit-anchors")
                await blobs.create("b", b"x")
                assert await blobs.read("b") == b"x", "no restart is needed"
            finally:
                back.stop()


# Refusals ----------------------------------------------------------------------------------------------------------

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def saying(handler: Handler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """An HTTPS server that answers as told; its address."""

    def application() -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", handler)
        return app

    context, trusted = server_context(tmp_path)
    import ssl

    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=str(trusted)))
    server = Serving(application, tls=context)
    server.start()
    try:
        yield server.url
    finally:
        await asyncio.to_thread(server.stop)


class Token:
    """An identity with a token."""

    def credential(self) -> Any:
        return self

    async def get_token(self, *scopes: str, **_: Any) -> Any:
        import time

        from azure.core.credentials import AccessToken

        assert scopes == ("https://storage.azure.com/.default",)
        return AccessToken("the-token", int(time.time()) + 3600)

    async def close(self) -> None: ...


async def test_by_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[web.Request] = []

    async def created(request: web.Request) -> web.Response:
        await request.read()
        asked.append(request)
        return web.Response(status=201, headers={"ETag": '"1"', "Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"})

    async with saying(created, tmp_path, monkeypatch) as url:
        where = connection(AuditAnchorsConnection__blobServiceUri=url, AuditAnchorsConnection__clientId="c")
        async with storage(where, identity=Token()) as blobs:
            await blobs.create("anchor-000000001.json", b"{}")
    (request,) = asked
    assert (request.method, request.path) == ("PUT", "/audit-anchors/anchor-000000001.json")
    assert request.headers["If-None-Match"] == "*"
    assert request.headers["Authorization"] == "Bearer the-token"
    assert request.headers["x-ms-version"] == API_VERSION


REFUSALS: dict[str, tuple[int, str, dict[str, str], type[OvenbridgeError], str]] = {
    "no role": (
        403,
        "AuthorizationPermissionMismatch",
        {},
        Unavailable,
        r"`Storage Blob Data Contributor`.*audit-anch",
    ),
    "firewall": (403, "AuthorizationFailure", {}, Unavailable, "network rules"),
    "keys are off": (
        403,
        "KeyBasedAuthenticationNotPermitted",
        {},
        Unavailable,
        "AuditAnchorsConnection__blobServiceUri",
    ),
    "bad token": (401, "InvalidAuthenticationInfo", {}, Unavailable, "refused us"),
    "no container": (404, "ContainerNotFound", {}, Unavailable, "infra/main.bicep"),
    "no blob": (404, "BlobNotFound", {}, NotFound, "no blob x"),
    "exists": (409, "BlobAlreadyExists", {}, Conflict, "blob x already"),
    "immutable": (409, "BlobImmutableDueToPolicy", {}, Conflict, "blob x already"),
    "condition": (412, "ConditionNotMet", {}, Conflict, "blob x already"),
    "being deleted": (409, "ContainerBeingDeleted", {}, Unavailable, "409"),
    "version": (400, "InvalidHeaderValue", {}, Unavailable, "protocol version"),
    "busy": (503, "ServerBusy", {"Retry-After": "7"}, Unavailable, "503"),
    "broken": (500, "InternalError", {}, Unavailable, "500"),
    "no code": (418, "", {}, Unavailable, "418"),
}


@pytest.mark.parametrize("what", list(REFUSALS))
async def test_every_refusal_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    status, code, headers, kind, words = REFUSALS[what]

    async def refuse(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response(status=404, headers={"x-ms-error-code": "BlobNotFound"})
        return web.Response(status=status, headers={"x-ms-error-code": code, **headers} if code else headers)

    monkeypatch.setattr("asyncio.sleep", _at_once)
    async with saying(refuse, tmp_path, monkeypatch) as url:
        where = connection(AuditAnchorsConnection__blobServiceUri=url)
        async with storage(where, identity=Token()) as blobs:
            with pytest.raises(kind, match=words) as raised:
                await blobs.create("x", b"secret-content")
    assert "the-token" not in raised.value.detail
    assert "127.0.0.1" not in raised.value.detail
    if what == "busy":
        assert isinstance(raised.value, Unavailable)
        assert raised.value.retry_after == 7.0


_sleep = asyncio.sleep


async def _at_once(_seconds: float) -> None:
    await _sleep(0)


async def test_to_whoever_may_only_create_a_blob_that_is_there_is_a_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the right to add alone, Azure answers 403 where a blob would be replaced."""

    async def refuse(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response(status=200, headers={"Content-Length": "1", "x-ms-blob-type": "BlockBlob"})
        return web.Response(status=403, headers={"x-ms-error-code": "AuthorizationPermissionMismatch"})

    async with saying(refuse, tmp_path, monkeypatch) as url:
        where = connection(AuditAnchorsConnection__blobServiceUri=url)
        async with storage(where, identity=Token()) as blobs:
            with pytest.raises(Conflict):
                await blobs.create("x", b"y")


async def test_one_that_never_answers_is_left_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with saying(hang, tmp_path, monkeypatch) as url:
        where = connection(AuditAnchorsConnection__blobServiceUri=url)
        async with storage(where, identity=Token(), patience=0.3) as blobs:
            for call in (blobs.create("x", b"y"), blobs.read("x"), blobs.check()):
                with pytest.raises(Unavailable, match="did not answer"):
                    await call
            with pytest.raises(Unavailable, match="did not answer"):
                _ = [name async for name in blobs.names()]


async def test_settings_that_cannot_work() -> None:
    good = azurite.running().connection_string
    wrong = {
        "no key": ({"AuditAnchorsConnection": "AccountName=x"}, "not usable"),
        "nonsense": ({"AuditAnchorsConnection": "a=b"}, "not usable"),
        "half set": ({"AuditAnchorsConnection__clientId": "x"}, "half set"),
        "not base64": ({"AuditAnchorsConnection": good.replace(azurite.KEY, "%%%")}, "account key"),
        "wrong key": ({"AuditAnchorsConnection": good.replace("Eby8", "AAAA")}, "account key is wrong"),
        "http by identity": ({"AuditAnchorsConnection__blobServiceUri": azurite.running().url}, "did not answer|https"),
    }
    for what, (settings, words) in wrong.items():
        identity = Token() if what == "http by identity" else None
        async with storage(connection(**settings), patience=3.0, identity=identity) as blobs:
            with pytest.raises(Unavailable, match=words) as raised:
                await blobs.create("x", b"y")
            assert azurite.KEY not in str(raised.value), what


async def test_a_container_that_is_not_there() -> None:
    async with storage(connection(**azurite.running().settings), "nobody-made-it") as blobs:
        for call in (blobs.create("x", b"y"), blobs.read("x"), blobs.check()):
            with pytest.raises(Unavailable, match=r"nobody-made-it is missing.*infra/main\.bicep"):
                await call


# What the Functions host does with the same service ----------------------------------------------------------------


async def test_leases_as_the_functions_host_takes_them_for_timers(container: str) -> None:
    """AzureWebJobsStorage: one instance holds the lease of a timer. The local host needs none: one process runs.

    Timers of ours do not rely on it: every one may run twice at once (`test_two_instances_at_once_write_one`).
    """
    from azure.core.exceptions import HttpResponseError, ResourceExistsError
    from azure.storage.blob.aio import BlobLeaseClient, BlobServiceClient

    server = azurite.running()
    async with BlobServiceClient.from_connection_string(server.connection_string, api_version=API_VERSION) as service:
        blob = service.get_blob_client(container, "locks/host/Host.Functions.anchor_audit.Listener")
        await blob.upload_blob(b"")
        first, second = BlobLeaseClient(blob), BlobLeaseClient(blob)
        await first.acquire(lease_duration=15)
        with pytest.raises(ResourceExistsError) as held:
            await second.acquire(lease_duration=15)
        assert _code(held.value) == "LeaseAlreadyPresent"
        await first.renew()
        with pytest.raises(HttpResponseError) as without:
            await blob.upload_blob(b"status", overwrite=True)
        assert (without.value.status_code, _code(without.value)) == (412, "LeaseIdMissing")
        await blob.upload_blob(b"status", overwrite=True, lease=first)
        await first.release()
        await second.acquire(lease_duration=15)
        await second.release()


def _code(error: Any) -> str:
    return str(getattr(error.error_code, "value", error.error_code))
