"""The Key Vault adapter through Microsoft's SDK, against a server that says no in every way the service does."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from shared.azure_connections import AzureConnection, AzureConnections
from shared.azure_identity import AzureIdentity
from shared.clock import ManualClock
from shared.equipment.credentials import CredentialSets
from shared.errors import NotFound, OvenbridgeError, Unavailable
from shared.metrics import VAULT_CALLS
from shared.secrets import key_vault, key_vault_calls, key_vault_errors
from shared.secrets.key_vault import KeyVault
from tests.wire.identity import ManagedIdentityServer, TokenFault
from tests.wire.key_vault import Fault, FixedToken, KeyVaultServer

WORD = "hunter2-hunter2"


@pytest.fixture
def server(clock: ManualClock) -> Iterator[KeyVaultServer]:
    made = KeyVaultServer(clock=clock)
    made.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_vault_calls, "PAUSES", (0.01, 0.04, 0.1))
    monkeypatch.setattr(key_vault, "SETTLE_PAUSE_SECONDS", 0.05)


@pytest.fixture
async def vault(server: KeyVaultServer, clock: ManualClock) -> AsyncIterator[KeyVault]:
    made = over(server, clock)
    yield made
    await made.close()


def over(server: KeyVaultServer, clock: ManualClock, identity: object = None) -> KeyVault:
    connection = AzureConnection("KEY_VAULT_URI", wanted=True, address=server.url)
    who = cast("AzureIdentity", identity or FixedToken())
    return KeyVault(connection, who, clock=clock, ca_file=server.ca_file)


async def refused(call: Awaitable[object]) -> Unavailable:
    """What it says; never a value, an address or a tenant, so that it can be shown to anybody."""
    with pytest.raises(Unavailable) as caught:
        await call
    said = caught.value.detail
    assert caught.value.advice in ("", said)
    for word in (WORD, "127.0.0.1", "login.windows.net", "oid="):
        assert word not in said
    return caught.value


# Many askers, few calls ------------------------------------------------------------------------------------------


async def test_many_who_ask_at_once_are_one_call(server: KeyVaultServer, vault: KeyVault) -> None:
    await vault.set("account", WORD)
    await vault.close()
    server.calls.clear()
    server.faults.append(Fault(delay=0.05))
    found = await asyncio.gather(*(vault.get("account") for _ in range(200)))
    assert {s.value for s in found} == {WORD}
    assert server.calls == ["GET /secrets/account"]


async def test_those_who_fail_together_fail_once(server: KeyVaultServer, vault: KeyVault) -> None:
    results = await asyncio.gather(*(vault.get("nobody") for _ in range(50)), return_exceptions=True)
    assert all(isinstance(r, NotFound) for r in results)
    assert len(server.calls) == 1


async def test_what_was_read_a_moment_ago_is_not_read_again(
    server: KeyVaultServer, vault: KeyVault, clock: ManualClock
) -> None:
    other = over(server, clock)
    await other.set("account", "first")
    assert (await vault.get("account")).value == "first"
    await other.set("account", "second")
    server.calls.clear()
    clock.advance(4.9)
    assert (await vault.get("account")).value == "first"
    assert server.calls == []
    clock.advance(0.2)
    assert (await vault.get("account")).value == "second"
    assert server.calls == ["GET /secrets/account"]
    await other.close()


async def test_what_we_changed_ourselves_is_seen_at_once(server: KeyVaultServer, vault: KeyVault) -> None:
    await vault.set("account", "first")
    await vault.get("account")
    await vault.set("account", "second")
    assert (await vault.get("account")).value == "second"
    await vault.delete("account")
    with pytest.raises(NotFound):
        await vault.get("account")


async def test_a_read_that_was_under_way_does_not_bring_the_old_value_back(
    server: KeyVaultServer, vault: KeyVault, clock: ManualClock
) -> None:
    await vault.set("account", "first")
    await vault.close()
    server.faults.append(Fault(method="GET", late=0.3, times=1))
    reading = asyncio.create_task(vault.get("account"))
    async with asyncio.timeout(5):
        while not any(call.startswith("GET") for call in server.calls):  # noqa: ASYNC110 - it is in another thread
            await asyncio.sleep(0.01)
    await vault.set("account", "second")
    assert (await vault.get("account")).value == "second"
    clock.advance(6)
    assert (await vault.get("account")).value == "second", "not the answer that is still on its way"
    assert (await reading).value == "first"
    assert (await vault.get("account")).value == "second"


async def test_an_asker_who_gives_up_disappoints_nobody(server: KeyVaultServer, vault: KeyVault) -> None:
    await vault.set("account", WORD)
    await vault.close()
    server.faults.append(Fault(delay=0.1))
    hasty, patient = (asyncio.create_task(vault.get("account")) for _ in range(2))
    await asyncio.sleep(0.02)
    hasty.cancel()
    assert (await patient).value == WORD
    assert hasty.cancelled()


async def test_nothing_is_kept_in_memory_for_its_own_sake(vault: KeyVault, clock: ManualClock) -> None:
    for n in range(20):
        await vault.set(f"key-{n}", WORD)
    clock.advance(5)
    await vault.get("key-3")
    assert list(vault._recent) == ["key-3"]


async def test_every_request_is_counted(server: KeyVaultServer, vault: KeyVault) -> None:
    seen: list[dict[str, str]] = []
    VAULT_CALLS.listeners.append(listener := lambda value, attributes: seen.append(attributes))
    try:
        await vault.set("key", WORD)
        server.faults.append(Fault(503, times=1, method="GET"))
        await vault.close()
        await vault.get("key")
        await vault.get("key")
        await vault.delete("key")
    finally:
        VAULT_CALLS.listeners.remove(listener)
    # The first of all asks how to sign in; the read is repeated once and then remembered.
    assert [s["method"] for s in seen] == ["PUT", "PUT", "GET", "GET", "DELETE"]
    assert server.challenged == 1


async def test_an_account_shared_by_a_hundred_ovens_costs_one_call_also_when_its_password_changes(
    server: KeyVaultServer, vault: KeyVault, clock: ManualClock
) -> None:
    person = over(server, clock)
    await person.set("vendor-account", '{"password": "first"}')
    instance = CredentialSets(vault, clock)
    server.calls.clear()

    async def everybody(*, refused: bool) -> set[str]:
        """A hundred ovens, polled at once."""
        loads = (instance.load("vendor-account", fresh=refused) for _ in range(100))
        return {values["password"] for values in await asyncio.gather(*loads)}

    assert await everybody(refused=False) == {"first"}
    clock.advance(599)
    await person.set("vendor-account", '{"password": "second"}')
    server.calls.clear()
    assert await everybody(refused=False) == {"first"}, "remembered for ten minutes"
    assert server.calls == []
    assert await everybody(refused=True) == {"second"}
    assert await everybody(refused=True) == {"second"}, "the device refuses this one, too"
    assert server.calls == ["GET /secrets/vendor-account"]
    clock.advance(600)
    assert await everybody(refused=False) == {"second"}
    assert len(server.calls) == 2
    await person.close()


# A vault that cannot just now --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(503, times=2),
        Fault(500, times=3),
        Fault(429, code="Throttled", retry_after="0.2", times=2),
        Fault(429, code="Throttled", retry_after="Sat, 01 Jan 2000 00:00:00 GMT", times=1),
        Fault(429, code="Throttled", retry_after="soon", times=1),
        Fault(503, plain="<html>", times=2),
        Fault(cut="before", times=2),
        Fault(cut="after", times=2),
    ],
    ids=lambda fault: f"{fault.status or ''}{fault.cut}{fault.retry_after or ''}",
)
async def test_what_passes_is_waited_for(server: KeyVaultServer, vault: KeyVault, fault: Fault) -> None:
    await vault.set("key", "before")
    server.faults.append(replace(fault))
    written = await vault.set("key", WORD)
    assert server.faults[0].times == 0
    server.faults[:] = [replace(fault)]
    await vault.close()
    assert await vault.get("key") == written
    server.faults[:] = [replace(fault)]
    assert [m.name for m in await vault.list()] == ["key"]
    server.faults[:] = [replace(fault)]
    await vault.delete("key")
    server.faults.clear()
    assert await vault.list() == []


async def test_out_of_order_is_said_after_four_tries(server: KeyVaultServer, vault: KeyVault) -> None:
    server.faults.append(Fault(503, message=WORD, times=100))
    said = await refused(vault.set("key", WORD))
    assert "KEY_VAULT_URI is out of order" in said.detail
    assert 100 - server.faults[0].times == 4


async def test_a_pause_beyond_our_patience_is_handed_on_at_once(server: KeyVaultServer, vault: KeyVault) -> None:
    server.faults.append(Fault(429, code="Throttled", retry_after="120"))
    begun = time.monotonic()
    said = await refused(vault.get("key"))
    assert said.retry_after == 120
    assert "too often" in said.detail
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("asked", ["99999999", "-5", "nan", "inf", "Sat, 99 Foo 2000", ""])
async def test_odd_pauses_are_survived(server: KeyVaultServer, vault: KeyVault, asked: str) -> None:
    server.faults.append(Fault(429, retry_after=asked))
    assert 0 < (await refused(vault.get("key"))).retry_after <= 3600


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("1e9", 3600.0), ("nan", None), ("soon", None), ("", None)],
)
def test_what_a_pause_means(said: str, seconds: float | None) -> None:
    error = Exception()
    error.response = SimpleNamespace(headers={"Retry-After": said})  # type: ignore[attr-defined]
    assert key_vault_errors.retry_after(error) == seconds
    assert key_vault_errors.retry_after(Exception()) is None


async def test_our_patience_ends(server: KeyVaultServer, vault: KeyVault, monkeypatch: pytest.MonkeyPatch) -> None:
    await vault.check()
    monkeypatch.setattr(key_vault, "CHECK_SECONDS", 0.2)
    server.faults.append(Fault(delay=3))
    begun = time.monotonic()
    assert "did not answer within 0.2 s" in (await refused(vault.check())).detail
    assert time.monotonic() - begun < 2
    server.faults.clear()
    await vault.check()


async def test_a_server_that_says_nothing_is_left_after_the_read_timeout(
    server: KeyVaultServer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_vault_calls, "READ_SECONDS", 0.1)
    vault = over(server, clock)
    server.faults.append(Fault(delay=2, times=2))
    with pytest.raises(NotFound):
        await vault.get("key")
    await vault.close()


async def test_a_vault_that_comes_back_is_found_without_a_restart(
    server: KeyVaultServer, vault: KeyVault, clock: ManualClock
) -> None:
    await vault.set("key", WORD)
    server.stop()
    clock.advance(6)
    said = await refused(vault.get("key"))
    assert "cannot be reached" in said.detail
    assert "firewall" in said.detail
    server.start()
    assert (await vault.get("key")).value == WORD


async def test_a_name_that_does_not_resolve(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def nowhere(host: object, *_: object, **__: object) -> object:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere)
    connection = AzureConnection("KEY_VAULT_URI", wanted=True, address="https://kv-typo.vault.azure.net/")
    vault = KeyVault(connection, cast("AzureIdentity", FixedToken()), clock=clock)
    said = await refused(vault.get("key"))
    assert "cannot be resolved" in said.detail
    assert "kv-typo" not in said.detail
    assert asked == ["kv-typo.vault.azure.net"], "a wrong name does not become right by asking again"
    await vault.close()


# Strangers in between ----------------------------------------------------------------------------------------------


async def test_a_certificate_that_nobody_vouches_for(
    server: KeyVaultServer, clock: ManualClock, tmp_path: Path
) -> None:
    stranger = KeyVaultServer()
    connection = AzureConnection("KEY_VAULT_URI", wanted=True, address=server.url)
    token = FixedToken()
    vault = KeyVault(connection, cast("AzureIdentity", token), clock=clock, ca_file=stranger.ca_file)
    assert "certificate" in (await refused(vault.set("key", WORD))).detail
    assert (server.calls, token.given) == ([], 0)
    await vault.close()
    stranger.close()


async def test_ssl_cert_file_is_honoured_for_an_emulator(
    server: KeyVaultServer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.settings.items():
        monkeypatch.setenv(name, value)
    connection = AzureConnections.from_environment(server.settings).key_vault
    vault = KeyVault(connection, cast("AzureIdentity", FixedToken()), clock=clock)
    await vault.check()
    await vault.close()


async def test_our_token_goes_to_nobody_who_speaks_for_another_service(
    server: KeyVaultServer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_vault_calls, "_is_loopback", lambda address: False)
    token = FixedToken()
    vault = over(server, clock, token)
    said = await refused(vault.set("key", WORD))
    assert "not a Key Vault" in said.detail
    assert (token.given, server.calls) == (0, []), "as everywhere but on this machine"
    await vault.close()


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("https://127.0.0.1:8443/", True),
        ("https://localhost:8443", True),
        ("https://[::1]:8443", True),
        ("https://kv.vault.azure.net/", False),
        ("https://localhost.evil.example/", False),
        ("https://127.0.0.1.evil.example/", False),
        ("https://10.0.0.4/", False),
        ("https://127.0.0.1@kv.example/", False),
        ("", False),
    ],
)
def test_only_this_machine_is_an_emulator(address: str, loopback: bool) -> None:
    assert key_vault_calls._is_loopback(address) is loopback


async def test_a_token_for_another_service_is_refused(server: KeyVaultServer, clock: ManualClock) -> None:
    vault = over(server, clock, FixedToken("https://management.azure.com"))
    assert "does not accept our token" in (await refused(vault.get("key"))).detail
    assert server.calls == []
    await vault.close()


async def test_another_web_site_is_no_empty_vault(server: KeyVaultServer, vault: KeyVault) -> None:
    server.faults.append(Fault(404, plain="<h1>Not here</h1>"))
    said = await refused(vault.get("key"))
    assert "not a Key Vault" in said.detail
    assert "Not a Key Vault".lower() in (await refused(vault.check())).detail.lower()
    await refused(vault.delete("key"))


# Roles -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "verb", "call"),
    [
        ("getSecret/action", "read", lambda v: v.get("key")),
        ("getSecret/action", "read", lambda v: v.check()),
        ("setSecret/action", "write", lambda v: v.set("key", WORD)),
        ("readMetadata/action", "list", lambda v: v.list()),
        ("delete", "delete", lambda v: v.delete("key")),
    ],
)
async def test_a_role_that_is_not_there_yet_is_named_and_needs_no_restart(
    server: KeyVaultServer, vault: KeyVault, action: str, verb: str, call: Callable[[KeyVault], Awaitable[object]]
) -> None:
    await vault.set("key", WORD)
    await vault.close()
    server.denied = {action}
    said = await refused(call(vault))
    assert f"may not {verb} secrets in the vault of KEY_VAULT_URI" in said.detail
    assert "Key Vault Secrets Officer" in said.detail
    assert "minutes" in said.detail
    server.denied = set()
    await call(vault)


async def test_a_firewall_is_not_mistaken_for_a_role(server: KeyVaultServer, vault: KeyVault) -> None:
    server.faults.append(Fault(403, code="Forbidden", inner="ForbiddenByFirewall", message="Client address: 192.0.2.1"))
    said = await refused(vault.check())
    assert "firewall" in said.detail
    assert "role" not in said.detail
    assert "192.0.2.1" not in said.detail


async def test_a_disabled_secret_counts_as_none(server: KeyVaultServer, vault: KeyVault) -> None:
    await vault.set("key", WORD)
    await vault.close()
    server.secrets.change("key", "", {"attributes": {"enabled": False}})
    with pytest.raises(NotFound, match="disabled"):
        await vault.get("key")


async def test_a_half_set_connection_is_said_by_every_call_and_none_is_made(clock: ManualClock) -> None:
    connection = AzureConnections.from_environment({"KEY_VAULT_URI": "kv-oven"}).key_vault
    vault = KeyVault(connection, cast("AzureIdentity", None), clock=clock)
    for call in (vault.get("a"), vault.set("a", WORD), vault.delete("a"), vault.list(), vault.check()):
        assert "https://<vault>.vault.azure.net/" in (await refused(call)).detail
    await vault.close()


# Soft delete -------------------------------------------------------------------------------------------------------


async def test_deleting_does_not_wait_for_the_vault(server: KeyVaultServer, vault: KeyVault) -> None:
    await vault.set("key", WORD)
    server.secrets.settling_seconds = 30
    begun = time.monotonic()
    await vault.delete("key")
    await vault.delete("key")
    assert time.monotonic() - begun < 1
    with pytest.raises(NotFound):
        await vault.get("key")


async def test_a_deleted_name_is_recovered_and_gets_the_new_value(server: KeyVaultServer, vault: KeyVault) -> None:
    server.secrets.settling_seconds = 0.6
    await vault.set("oven-account", "old")
    await vault.delete("oven-account")
    written = await vault.set("oven-account", "new")
    assert (await vault.get("oven-account")).value == "new"
    assert [v.value for v in server.secrets.versions("oven-account")] == ["old", "new"]
    assert server.secrets.versions("oven-account")[-1].id == written.version


async def test_two_who_bring_a_name_back_do_not_get_in_each_others_way(
    server: KeyVaultServer, vault: KeyVault, clock: ManualClock
) -> None:
    server.secrets.settling_seconds = 0.3
    await vault.set("key", "old")
    await vault.delete("key")
    other = over(server, clock)
    await asyncio.gather(vault.set("key", "one"), other.set("key", "two"))
    clock.advance(6)
    assert (await vault.get("key")).value in ("one", "two")
    await other.close()


async def test_who_may_not_recover_is_told_to_choose_another_name(server: KeyVaultServer, vault: KeyVault) -> None:
    await vault.set("key", WORD)
    await vault.delete("key")
    server.denied = {"recover/action"}
    said = await refused(vault.set("key", WORD))
    assert "Choose another name" in said.detail
    assert "secrets/recover" in said.detail


async def test_a_name_that_stays_busy_is_given_up(
    server: KeyVaultServer, vault: KeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_vault, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(key_vault, "SETTLE_PAUSE_SECONDS", 0.05)
    await vault.set("key", WORD)
    server.secrets.settling_seconds = 30
    await vault.delete("key")
    said = await refused(vault.set("key", WORD))
    assert "still at work" in said.detail
    assert said.retry_after == 60


# Lists -------------------------------------------------------------------------------------------------------------


async def test_a_fault_between_two_pages_neither_repeats_nor_loses_a_name(
    server: KeyVaultServer, vault: KeyVault
) -> None:
    server.page_size = 2
    names = [f"key-{n}" for n in range(7)]
    for name in names:
        await vault.set(name, WORD)
    server.calls.clear()
    server.faults += [Fault(cut="after", times=1, method="GET"), Fault(503, times=2, method="GET")]
    assert [m.name for m in await vault.list()] == names
    assert server.calls == ["GET /secrets"] * 5, "four pages, one of them twice"


# Who we are --------------------------------------------------------------------------------------------------------


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagedIdentityServer]:
    made = ManagedIdentityServer()
    made.start()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    made.stop()


async def test_the_managed_identity_opens_the_vault(
    server: KeyVaultServer, platform: ManagedIdentityServer, clock: ManualClock
) -> None:
    identity = AzureIdentity(platform.client_id)
    vault = over(server, clock, identity)
    platform.assigned.clear()
    said = await refused(vault.check())
    assert "not assigned" in said.detail
    platform.assigned.add(platform.client_id)
    await vault.check()
    await vault.set("key", WORD)
    assert platform.asked[-1:] == ["https://vault.azure.net"]
    assert len(platform.asked) == 2, "one for the refusal, one token for all calls"
    await vault.close()
    await identity.close()


async def test_a_sign_in_that_hangs_is_named(
    server: KeyVaultServer, platform: ManagedIdentityServer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_vault, "CHECK_SECONDS", 0.6)
    identity = AzureIdentity(platform.client_id)
    vault = over(server, clock, identity)
    platform.fault = TokenFault(200, delay=3)
    assert "The sign-in for the vault of KEY_VAULT_URI did not answer" in (await refused(vault.check())).detail
    platform.fault = None
    await identity.close()
    await vault.check()
    await vault.close()
    await identity.close()


async def test_no_value_and_no_token_reaches_the_log(
    server: KeyVaultServer, vault: KeyVault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await vault.set("key", WORD)
    for fault in (Fault(503), Fault(400, code="BadParameter", message="value"), Fault(cut="after"), Fault(403)):
        server.faults[:] = [fault]
        with pytest.raises(OvenbridgeError):
            await vault.set("key", WORD)
    assert WORD not in caplog.text
    assert "eyJ" not in caplog.text
