"""Signing in, by Microsoft's own DefaultAzureCredential: in Functions, on a relay, and when it does not work."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import azure_identity, azure_sign_in
from shared.azure_identity import AzureIdentity
from tests.wire.certificate import client_certificate
from tests.wire.identity import EntraServer, ManagedIdentityServer, TokenFault
from tests.wire.identity.tokens import TENANT, read

ROOT = Path(__file__).resolve().parents[2]
VAULT = "https://vault.azure.net/.default"
COSMOS = "https://oven.documents.azure.com/.default"


@pytest.fixture(autouse=True)
def nothing_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_")):
            monkeypatch.delenv(name)


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagedIdentityServer]:
    made = ManagedIdentityServer()
    made.start()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    made.stop()


@pytest.fixture
async def identity(platform: ManagedIdentityServer) -> AsyncIterator[AzureIdentity]:
    made = AzureIdentity(platform.client_id)
    yield made
    await made.close()


async def info(identity: AzureIdentity, scope: str = VAULT) -> Any:
    credential: Any = identity.credential()
    return await credential.get_token_info(scope)


async def refused(identity: AzureIdentity) -> str:
    from azure.core.exceptions import ClientAuthenticationError

    with pytest.raises(ClientAuthenticationError) as caught:
        await info(identity)
    assert caught.value.response is None, "that is how it is told from a service that refuses us"
    return str(caught.value.message)


async def test_in_functions_the_platforms_endpoint_gives_the_token(
    platform: ManagedIdentityServer, identity: AzureIdentity
) -> None:
    got = await info(identity)
    claims = read(got.token)
    assert (claims["aud"], claims["appid"], claims["oid"]) == (
        "https://vault.azure.net",
        platform.client_id,
        platform.oid,
    )
    assert claims["exp"] == got.expires_on
    assert got.refresh_on < got.expires_on, "fetched anew halfway"


async def test_each_resource_is_asked_for_once_however_many_ask(
    platform: ManagedIdentityServer, identity: AzureIdentity
) -> None:
    platform.fault = TokenFault(200, delay=0.1)
    await asyncio.gather(*(info(identity, scope) for scope in (VAULT, COSMOS) for _ in range(40)))
    await info(identity)
    assert sorted(platform.asked) == ["https://oven.documents.azure.com", "https://vault.azure.net"]


async def test_both_forms_of_asking_work(platform: ManagedIdentityServer, identity: AzureIdentity) -> None:
    token = await identity.credential().get_token(VAULT)
    assert read(token.token)["exp"] == token.expires_on
    assert identity.credential() is identity.credential()


async def test_a_token_that_ends_soon_is_fetched_anew(platform: ManagedIdentityServer, identity: AzureIdentity) -> None:
    platform.expires_in = 0
    await info(identity)
    await info(identity)
    assert len(platform.asked) == 2


async def test_no_slow_way_is_walked_in_functions(
    platform: ManagedIdentityServer, identity: AzureIdentity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the endpoint of virtual machines nor ``az``, whether or not there is a token."""
    called = tmp_path / "called"
    for name in ("az", "azd", "pwsh"):
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\ntouch {called}\nsleep 20\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    from azure.identity.aio import DefaultAzureCredential  # noqa: F401 - its import is not what is measured

    begun = time.monotonic()
    await info(identity)
    with_token = time.monotonic() - begun
    await identity.close()
    platform.assigned.clear()
    begun = time.monotonic()
    await refused(identity)
    without = time.monotonic() - begun
    platform.fault = TokenFault(200, text="<html>a proxy that knows no JSON</html>")
    await refused(identity)
    assert not called.exists()
    assert with_token < 1
    assert without < 1


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (TokenFault(500), azure_sign_in.AILING),
        (TokenFault(429), azure_sign_in.AILING),
        (TokenFault(200, text="<html>not json</html>"), azure_sign_in.AILING),
        (TokenFault(502, text="<html>a proxy</html>"), azure_sign_in.AILING),
        (TokenFault(200, delay=5), azure_sign_in.AILING),
    ],
    ids=["500", "429", "no-json", "proxy", "slow"],
)
async def test_a_platform_that_ails_is_said_and_recovers(
    platform: ManagedIdentityServer,
    identity: AzureIdentity,
    monkeypatch: pytest.MonkeyPatch,
    fault: TokenFault,
    sentence: str,
) -> None:
    monkeypatch.setattr(azure_identity, "PATIENCE_SECONDS", 1.0)
    platform.fault = fault
    begun = time.monotonic()
    assert await refused(identity) == sentence
    assert time.monotonic() - begun < 3
    platform.fault = None
    await info(identity)


async def test_one_failure_is_tried_again(platform: ManagedIdentityServer, identity: AzureIdentity) -> None:
    platform.fault = TokenFault(500, times=1)
    await info(identity)


async def test_an_identity_that_is_not_assigned(platform: ManagedIdentityServer, identity: AzureIdentity) -> None:
    platform.assigned.clear()
    assert await refused(identity) == azure_sign_in.NOT_ASSIGNED
    platform.assigned.add(platform.client_id)
    await info(identity)


async def test_a_failing_resource_does_not_break_another_that_is_under_way(
    platform: ManagedIdentityServer, identity: AzureIdentity
) -> None:
    await info(identity)
    platform.fault = TokenFault(200, delay=0.3, times=1)
    slow = asyncio.create_task(info(identity, COSMOS))
    await asyncio.sleep(0.1)
    platform.assigned.clear()
    failing = asyncio.create_task(info(identity, "https://storage.azure.com/.default"))
    await asyncio.wait({failing})
    platform.assigned.add(platform.client_id)
    assert failing.exception() is not None
    assert read((await slow).token)["aud"] == "https://oven.documents.azure.com"


async def test_asking_says_whether_somebody_waits(platform: ManagedIdentityServer, identity: AzureIdentity) -> None:
    platform.fault = TokenFault(200, delay=0.2)
    waiting = asyncio.create_task(info(identity))
    await asyncio.sleep(0.05)
    assert identity.asking
    await waiting
    await asyncio.sleep(0)
    assert not identity.asking


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"AZURE_TOKEN_CREDENTIALS": "everything"}, azure_sign_in.CHOICE),
        (
            {
                "AZURE_TENANT_ID": TENANT,
                "AZURE_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
                "AZURE_CLIENT_CERTIFICATE_PATH": "/nowhere/relay.pem",
            },
            azure_sign_in.CERTIFICATE_FILE,
        ),
    ],
    ids=["choice", "certificate"],
)
async def test_a_broken_environment_is_said_when_a_token_is_asked_for(
    environment: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    identity = AzureIdentity()
    assert await refused(identity) == sentence
    await identity.close()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("AADSTS7000222: The provided client secret keys are expired.", azure_sign_in.CLIENT_EXPIRED),
        ("AADSTS7000215: Invalid client secret provided.", azure_sign_in.CLIENT_WRONG),
        ("AADSTS700027: Client assertion contains an invalid signature.", azure_sign_in.CERTIFICATE_REFUSED),
        ("AADSTS700016: Application was not found.", azure_sign_in.NO_APP),
        ("AADSTS90002: Tenant not found.", azure_sign_in.NO_TENANT),
        ("No MSI found for specified ClientId/ResourceId.", azure_sign_in.NOT_ASSIGNED),
    ],
)
def test_what_entra_says_is_said_in_words_that_help(said: str, sentence: str) -> None:
    error = RuntimeError(f"DefaultAzureCredential failed to retrieve a token from the included credentials. {said}")
    assert azure_sign_in.sign_in_problem(error) == sentence


def test_what_nobody_foresaw_is_said_without_its_text() -> None:
    assert "AADSTS53003" in azure_sign_in.sign_in_problem(RuntimeError("AADSTS53003: blocked, client secret-word"))
    assert "secret-word" not in azure_sign_in.sign_in_problem(RuntimeError("secret-word"))
    assert azure_sign_in.sign_in_problem(TimeoutError()) == azure_sign_in.NO_IDENTITY


# A relay: an Entra app with a certificate, named by the environment alone --------------------------------------------

RELAY = """
import asyncio, json, os, sys, time
from shared.azure_identity import AzureIdentity
async def main():
    identity = AzureIdentity()
    said = []
    for _ in range(2):
        begun = time.monotonic()
        try:
            token = await identity.credential().get_token_info("https://servicebus.azure.net/.default")
            said.append(["token", token.token, time.monotonic() - begun])
        except Exception as error:
            said.append(["refused", error.message, time.monotonic() - begun])
        for renewed in sys.argv[1:]:
            os.replace(renewed, os.environ["AZURE_CLIENT_CERTIFICATE_PATH"])
            del sys.argv[1:]
    await identity.close()
    print(json.dumps(said))
asyncio.run(main())
"""


def relay(environment: dict[str, str], *renewed: Path) -> list[list[Any]]:
    """What a fresh process says, which knows nothing but these variables, when it asks twice.

    ``renewed``: a certificate that takes the place of the old one in between.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", RELAY, *map(str, renewed)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "unclosed" not in done.stderr.lower()
    found: list[list[Any]] = json.loads(done.stdout)
    return found


@pytest.fixture
def entra(tmp_path: Path) -> Iterator[EntraServer]:
    made = EntraServer(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.mark.process
def test_a_relay_signs_in_with_its_certificate_and_no_further_setting(entra: EntraServer, tmp_path: Path) -> None:
    path, certificate = client_certificate(tmp_path)
    environment = entra.environment | {"AZURE_CLIENT_CERTIFICATE_PATH": str(path)}
    first, again = relay(environment)
    assert first[:2] == again[:2] == ["refused", azure_sign_in.CERTIFICATE_REFUSED], "not registered yet"
    entra.certificates += [client_certificate(tmp_path, name="older")[1], certificate]
    first, again = relay(environment)
    assert first[0] == "token"
    assert read(first[1])["appid"] == entra.client_id
    assert again[1] == first[1], "kept until it ends"
    assert entra.asked[-1] == "https://servicebus.azure.net/.default"


@pytest.mark.process
def test_a_certificate_that_was_renewed_on_the_disk_is_used_without_a_restart(
    entra: EntraServer, tmp_path: Path
) -> None:
    path, _ = client_certificate(tmp_path, name="old")
    renewed, certificate = client_certificate(tmp_path, name="renewed")
    entra.certificates.append(certificate)
    first, again = relay(entra.environment | {"AZURE_CLIENT_CERTIFICATE_PATH": str(path)}, renewed)
    assert (first[0], again[0]) == ("refused", "token")


@pytest.mark.process
def test_a_client_secret_that_has_expired_is_named(entra: EntraServer) -> None:
    entra.expired_secret = True
    said = relay(entra.environment | {"AZURE_CLIENT_SECRET": "hunter2-hunter2"})
    assert said[0][:2] == ["refused", azure_sign_in.CLIENT_EXPIRED]


@pytest.mark.process
def test_entra_out_of_reach_is_told_from_no_identity_at_all(entra: EntraServer, tmp_path: Path) -> None:
    path, _ = client_certificate(tmp_path)
    entra.stop()
    said = relay(entra.environment | {"AZURE_CLIENT_CERTIFICATE_PATH": str(path)})
    assert said[0][:2] == ["refused", azure_sign_in.UNREACHABLE]
    assert said[0][2] < azure_identity.PATIENCE_SECONDS + 1
    nothing = relay({})
    assert nothing[0][:2] == ["refused", azure_sign_in.NO_IDENTITY]
    assert nothing[0][2] < azure_identity.PATIENCE_SECONDS + 1
