"""Missing, half-set and broken settings, and rights that come later.

The app indexes, says what is wrong and what to do, gives nothing away, and needs no restart for what can be mended
while it runs.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared import readiness
from shared import services as services_module
from shared.access import Role
from shared.access.identify import DEVELOPER
from shared.azure_connections import AzureConnections
from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.services import Services
from shared.settings import Settings
from tests.api import Api, ApiAnswer
from tests.runtime.host import InvocationFailed, Worker
from tests.wire.azure import AzureWire
from tests.wire.identity import ManagedIdentityServer, TokenFault
from tests.wire.key_vault import AUDIENCE, Fault, KeyVaultServer
from tests.wire.service_bus.tokens import Keys

WORD = "hunter2-hunter2"
AZURE = {"WEBSITE_HOSTNAME": "oven.azurewebsites.net", "WEBSITE_INSTANCE_ID": "4f"}
TIMERS = {"settings": "plan_polls", "store": "watch_alerts", "vault": "warn_of_expiry", "anchors": "anchor_audit"}
"""A function that cannot work without it."""
ALL = ("store", "queue", "vault", "anchors")


# Settings that cannot be used: indexed by Microsoft's worker ---------------------------------------------------------


@dataclass(frozen=True)
class Broken:
    """Settings, and which check must say which words about them."""

    settings: dict[str, str]
    checks: dict[str, str]

    def __str__(self) -> str:
        return "+".join(self.settings) or "nothing"


def settings_check(name: str, value: str) -> Broken:
    """One setting whose value cannot be used."""
    return Broken({name: value}, {"settings": name})


BROKEN = [
    settings_check("MAX_BODY_BYTES", WORD),
    settings_check("LOG_LEVEL", WORD),
    settings_check("DELIVERY_TIMEOUT_SECONDS", "600"),
    settings_check("PUBLIC_URL", WORD),
    settings_check("COSMOS_DATABASE", f"a/{WORD}"),
    settings_check("ACCESS_MODE", WORD),
    settings_check("ACCESS_MODE", "developer"),
    settings_check("ENTRA_TENANT_ID", WORD),
    Broken(AZURE, dict(zip(ALL, ("CosmosC", "ServiceBusC", "KEY_VAULT_URI is not", "AuditAnchorsC"), strict=True))),
    Broken({"CosmosConnection__accountEndpoint": ""} | AZURE, {"store": "CosmosConnection__accountEndpoint=https://"}),
    Broken({"CosmosConnection__clientId": WORD}, {"store": "CosmosConnection__accountEndpoint is missing"}),
    Broken(
        {"CosmosConnection__accountEndpoint": "https://x", "CosmosConnection__credential": "managedidentity"},
        {"store": "CosmosConnection__clientId is missing"},
    ),
    Broken(
        {"CosmosConnection__accountEndpoint": "https://x", "CosmosConnection": f"AccountEndpoint=x;AccountKey={WORD}"},
        {"store": "are both set"},
    ),
    Broken({"CosmosConnection": WORD}, {"store": "is no connection string"}),
    Broken({"ServiceBusConnection": WORD}, {"queue": "is no connection string"}),
    Broken({"ServiceBusConnection__credential": WORD}, {"queue": "fullyQualifiedNamespace is missing"}),
    Broken({"ServiceBusConnection": f"Endpoint={WORD};SharedAccessKey={WORD}"}, {"queue": "ServiceBusConnection"}),
    Broken({"KEY_VAULT_URI": f"http://{WORD}"}, {"vault": "KEY_VAULT_URI"}),
    Broken({"KEY_VAULT_URI": f"https://x/secrets/{WORD}"}, {"vault": "KEY_VAULT_URI"}),
    Broken(
        {
            "CosmosConnection__accountEndpoint": "https://x",
            "CosmosConnection__clientId": "1111",
            "KEY_VAULT_URI": "https://x",
            "AZURE_CLIENT_ID": "2222",
        },
        {"vault": "AZURE_CLIENT_ID names another identity"},
    ),
]


@pytest.mark.process
@pytest.mark.xdist_group("runtime")
@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_a_broken_setting_does_not_keep_the_app_from_indexing_and_is_named(broken: Broken, tmp_path: Path) -> None:
    with Worker("function_app.py", {"DATA_DIR": str(tmp_path), **broken.settings}) as worker:
        about = worker.index()
        assert about.get("error") is None
        assert len(worker.functions) > 50
        alive = worker.http("health", "GET", "http://x/api/health")
        ready = worker.http("health_ready", "GET", "http://x/api/health/ready")
        failures = [_failure(worker, TIMERS[name], words) for name, words in broken.checks.items() if name in TIMERS]
    assert alive.status == 200
    assert (ready.status, ready.json()["status"]) == (503, "not_ready")
    checks = ready.json()["checks"]
    for name, words in broken.checks.items():
        assert checks[name]["status"] == "unavailable"
        assert words in checks[name]["advice"]
        assert "problem" not in checks[name], "strangers ask here"
    for said in (ready.body.decode(), worker.logs, *failures):
        assert WORD not in said


def _failure(worker: Worker, timer: str, words: str) -> str:
    with pytest.raises(InvocationFailed, match=re.escape(words)) as failed:
        worker.timer(timer)
    return str(failed.value)


@pytest.mark.process
@pytest.mark.xdist_group("runtime")
def test_with_a_broken_setting_every_call_is_answered_by_503(tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path), "READINGS_RETENTION_DAYS": WORD, "ACCESS_MODE": "developer"}
    with Worker("function_app.py", settings | {"SERVES_LOOPBACK": "true"}) as worker:
        worker.index()
        listed = worker.http("list_equipment", "GET", "http://x/api/v1/equipment")
        made = worker.http("create_equipment", "POST", "http://x/api/v1/equipment", body=b'{"name": "x"}')
        asked = worker.http(
            "answer_request", "POST", "http://x/api/requests/operations1", params={"profile": "operations1"}
        )
        called = worker.http(
            "receive_hook", "POST", "http://x/api/hooks/a/b", params={"source": "a", "token": "b" * 22}, body=b"{}"
        )
    for answer in (listed, made, asked, called):
        assert answer.status == 503
        assert "READINGS_RETENTION_DAYS" in answer.body.decode()
        assert WORD not in answer.body.decode()
    assert listed.headers["Retry-After"] == "30"
    assert WORD not in worker.logs
    assert not list(tmp_path.iterdir()), "nothing was kept anywhere"


# What comes later needs no restart ---------------------------------------------------------------------------------


@pytest.fixture
def vault_server() -> Iterator[KeyVaultServer]:
    made = KeyVaultServer()
    made.start()
    yield made
    made.close()


@pytest.fixture
def platform() -> Iterator[ManagedIdentityServer]:
    made = ManagedIdentityServer()
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def azure(
    vault_server: KeyVaultServer, platform: ManagedIdentityServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Services]:
    """An app that others can reach, whose credentials are in Key Vault, as its settings say."""
    monkeypatch.setattr(readiness, "REMEMBER_SECONDS", 0.0)
    monkeypatch.setattr(readiness, "REMEMBER_BAD_SECONDS", 0.0)
    environment = {"DATA_DIR": str(tmp_path / "data")} | platform.environment | vault_server.settings
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    services_module.use(None)
    house = services_module.services()
    try:
        yield house
    finally:
        services_module.use(None)
        await house.close()


async def ready(**how: dict[str, str]) -> ApiAnswer:
    return await Api().get("/api/health/ready", **how)


async def advice(check: str = "vault") -> str:
    answer = await ready()
    assert answer.status == 503
    found = {name: about for name, about in answer.json()["checks"].items() if about["status"] != "ok"}
    assert list(found) == [check]
    assert "127.0.0.1" not in answer.body.decode()
    return str(found[check]["advice"])


async def test_a_role_given_later_works_without_a_restart(azure: Services, vault_server: KeyVaultServer) -> None:
    vault_server.denied = {"*"}
    assert "may not read secrets in the vault of KEY_VAULT_URI" in await advice()
    assert "Key Vault Secrets Officer" in await advice()
    vault_server.denied = set()
    assert (await ready()).json()["checks"]["vault"] == {"status": "ok"}


async def test_an_identity_assigned_later_works_without_a_restart(
    azure: Services, platform: ManagedIdentityServer
) -> None:
    platform.assigned.clear()
    assert "not assigned" in await advice()
    platform.assigned.add(platform.client_id)
    assert (await ready()).status == 200


async def test_a_platform_that_ails_passes(azure: Services, platform: ManagedIdentityServer) -> None:
    platform.fault = TokenFault(500)
    assert "identity endpoint" in await advice()
    platform.fault = TokenFault(200, text="<html>a proxy</html>")
    assert "identity endpoint" in await advice()
    platform.fault = None
    assert (await ready()).status == 200


async def test_a_network_that_comes_back(azure: Services, vault_server: KeyVaultServer) -> None:
    assert (await ready()).status == 200
    vault_server.stop()
    assert "cannot be reached" in await advice()
    vault_server.start()
    assert (await ready()).status == 200


async def test_a_vault_that_hangs_is_named_in_time(azure: Services, vault_server: KeyVaultServer) -> None:
    vault_server.faults.append(Fault(delay=30))
    begun = time.monotonic()
    assert "KEY_VAULT_URI did not answer within 4 s" in await advice()
    assert time.monotonic() - begun < readiness.TIMEOUT_SECONDS


# Who sees what -----------------------------------------------------------------------------------------------------


async def token(house: Services, role: Role) -> dict[str, str]:
    _, shown = await house.access.tokens.create(name="monitor", roles=[role], expires_at=None, caller=DEVELOPER)
    return {"authorization": f"Bearer {shown}"}


@pytest.mark.parametrize("role", list(Role))
async def test_who_has_a_token_sees_details(azure: Services, vault_server: KeyVaultServer, role: Role) -> None:
    headers = await token(azure, role)
    vault_server.denied = {"*"}
    vault = (await ready(headers=headers)).json()["checks"]["vault"]
    assert "may not read" in vault["problem"]
    assert "problem" not in (await ready()).json()["checks"]["vault"]


async def test_credentials_that_end_soon_are_for_who_may_look(azure: Services, clock: ManualClock) -> None:
    headers = await token(azure, Role.VIEWER)
    await azure.vault.set("vendor-account", WORD, expires_at=clock.now())
    warned = (await ready(headers=headers)).json()
    assert warned["status"] == "ready", "a warning takes no app out of service"
    assert "The secret vendor-account in the vault expired on 2026-11-21" in warned["warnings"][0]
    assert WORD not in str(warned)
    assert "warnings" not in (await ready()).json()


async def test_a_wrong_token_still_learns_whether_the_app_works(azure: Services) -> None:
    answer = await ready(headers={"authorization": "Bearer ob_0123456789abcdef_" + "x" * 32})
    assert (answer.status, answer.json()["status"]) == (200, "ready")


async def test_a_store_that_is_away_keeps_nobody_waiting_for_who_asks(
    azure: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> object:
        raise Unavailable("The disk of machine-7 is full.")

    headers = await token(azure, Role.VIEWER)
    azure.__dict__.pop("access")  # another instance, which has not seen the token yet
    monkeypatch.setattr(azure.store, "read", away)
    monkeypatch.setattr(azure.store, "check", away)
    answer = await ready(headers=headers)
    assert answer.status == 503
    assert answer.json()["checks"]["store"]["advice"].startswith("Check the document store")
    assert "machine-7" not in answer.body.decode()

    async def hangs(*_: object, **__: object) -> object:
        return await asyncio.Event().wait()

    monkeypatch.setattr("functions.health.IDENTIFY_SECONDS", 0.05)
    monkeypatch.setattr(azure.store, "read", hangs)
    assert (await ready(headers=headers)).status == 503


def test_on_a_laptop_nothing_of_azure_is_asked_for() -> None:
    assert AzureConnections.from_environment({}) == AzureConnections()
    assert Settings.as_far_as_usable({}).problem == ""


# All of Azure ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AzureWire]:
    """The app on nothing but Azure, in its own process for as long as a test takes."""
    monkeypatch.setattr(readiness, "REMEMBER_SECONDS", 0.0)
    monkeypatch.setattr(readiness, "REMEMBER_BAD_SECONDS", 0.0)
    with AzureWire() as azure:
        for name, value in {**azure.environment, "DATA_DIR": str(tmp_path / "data")}.items():
            monkeypatch.setenv(name, value)
        services_module.use(None)
        try:
            yield azure
        finally:
            house = services_module.services()
            services_module.use(None)
            await house.close()


async def becomes_ready() -> bool:
    """Within ten seconds: a link that was refused is opened anew."""
    async with asyncio.timeout(10):
        while (await ready()).status != 200:  # noqa: ASYNC110 - asking is what is tried here
            await asyncio.sleep(0.1)
    return True


async def test_an_app_on_nothing_but_azure_is_ready(whole: AzureWire, tmp_path: Path) -> None:
    assert (await ready()).status == 200
    assert sorted(set(whole.identity.asked)) == ["https://127.0.0.1", AUDIENCE]
    assert not (tmp_path / "data" / "ovenbridge.db").exists()


async def test_roles_of_the_store_given_later(whole: AzureWire) -> None:
    roles = whole.cosmos.roles.pop(whole.identity.oid)
    said = await advice("store")
    assert "data-plane role" in said
    assert "minutes" in said
    whole.cosmos.roles[whole.identity.oid] = roles
    assert await becomes_ready()


async def test_a_container_that_was_forgotten(whole: AzureWire) -> None:
    containers = whole.cosmos._account.databases["ovenbridge"].containers
    events = containers.pop("events")
    assert "The container events is missing" in await advice("store")
    containers["events"] = events
    assert await becomes_ready()


async def test_a_queue_that_was_forgotten(whole: AzureWire) -> None:
    queues = whole.service_bus._namespace.queues
    polls = queues.pop("poll-batches")
    assert "There is no queue poll-batches" in await advice("queue")
    queues["poll-batches"] = polls
    assert await becomes_ready()


async def test_rights_on_a_queue_given_later(whole: AzureWire) -> None:
    whole.service_bus._namespace.denied.add(("Send", "callback-deliveries"))
    assert "may not send to the queue callback-deliveries" in await advice("queue")
    whole.service_bus._namespace.denied.clear()
    assert await becomes_ready()


async def test_a_key_that_was_renewed_and_put_back(whole: AzureWire) -> None:
    namespace = whole.service_bus._namespace
    ours = namespace.keys
    namespace.keys = Keys(key="YW5vdGhlciBrZXk=")
    said = await advice("queue")
    assert "ServiceBusConnection" in said
    assert ours.key not in said
    namespace.keys = ours
    assert await becomes_ready()


async def test_everything_away_and_back(whole: AzureWire) -> None:
    assert (await ready()).status == 200
    whole.key_vault.stop()
    whole.cosmos.stop()
    answer = await ready()
    failing = {name for name, about in answer.json()["checks"].items() if about["status"] != "ok"}
    assert (answer.status, failing) == (503, {"store", "vault"})
    whole.cosmos.start()
    whole.key_vault.start()
    assert await becomes_ready()
