"""Access tokens for FORCE Bridge clients: both dialects, what is refused and how, and what such a token opens."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from functions.force_bridge import PREFIXES
from shared import services as services_module
from shared.access import Role, system
from shared.clock import ManualClock
from shared.services import Services
from shared.settings import Settings
from tests.api import Api, ApiAnswer

FORM = {"content-type": "application/x-www-form-urlencoded"}
GRANT = {"grant_type": "client_credentials", "scope": "read write"}
FFAUTH = "/ffauth/oauth2.0/accessToken"
CALLBACKS = "/ffwebservices/api/v3/callbacks"


@pytest.fixture
async def strict(tmp_path: Path, clock: ManualClock, house: Services) -> AsyncIterator[Services]:
    """As in Azure: tokens only."""
    settings = Settings(data_dir=tmp_path / "strict", allow_private_targets=True, allow_http_targets=True)
    built = Services(settings, clock)
    services_module.use(built)
    try:
        yield built
    finally:
        services_module.use(house)
        await built.close()


async def client(house: Services, *roles: Role, days: float | None = None) -> tuple[str, str]:
    expires = house.clock.now() + timedelta(days=days) if days is not None else None
    found, token = await house.access.tokens.create(
        name="force", roles=roles or (Role.ENGINEER,), expires_at=expires, caller=system("test")
    )
    return found.id, token


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


async def ask(path: str, who: dict[str, str], form: dict[str, str] = GRANT) -> ApiAnswer:
    return await Api().post(path, body=urlencode(form), headers=FORM | who)


async def opens(token: str, path: str = CALLBACKS) -> int:
    return (await Api({"authorization": f"bearer {token}"}).get(path)).status


PATHS = [f"/{prefix}/oauth/token" for prefix in PREFIXES] + ["/ffwebservices/oauth/token", "/ffwebservice/oauth/token"]


@pytest.mark.parametrize("path", [*PATHS, FFAUTH])
async def test_a_token_for_client_credentials(strict: Services, path: str) -> None:
    answer = await ask(path, basic(*await client(strict)))
    said = answer.json()
    assert (answer.status, said["token_type"], said["expires_in"], said["scope"]) == (200, "bearer", 3600, "read write")
    assert answer.headers["cache-control"] == "no-store"
    assert await opens(said["access_token"]) == 200


async def test_the_secret_in_the_form(strict: Services) -> None:
    client_id, token = await client(strict)
    for secret in (token, token[-43:]):
        answer = await ask(FFAUTH, {}, GRANT | {"client_id": client_id, "client_secret": secret})
        assert answer.status == 200
        assert await opens(answer.json()["access_token"]) == 200


async def test_a_secret_in_the_url_is_refused_unless_it_is_allowed(
    strict: Services, caplog: pytest.LogCaptureFixture
) -> None:
    client_id, token = await client(strict)
    query = urlencode(GRANT | {"client_id": client_id, "client_secret": token})
    with caplog.at_level(logging.DEBUG):
        refused = await Api().get(f"{FFAUTH}?{query}")
        assert (refused.status, refused.json()["error"]) == (403, "invalid_request")
        assert "replace this one" in refused.json()["message"]
        strict.settings = strict.settings.model_copy(update={"allow_secret_in_url": True})
        answer = await Api().get(f"{FFAUTH}?{query}")
    assert answer.status == 200
    assert await opens(answer.json()["access_token"]) == 200
    assert not [secret for secret in (token[-43:], answer.json()["access_token"]) if secret in caplog.text]


@pytest.mark.parametrize(
    ("who", "form", "status", "error"),
    [
        ({}, GRANT, 401, "invalid_client"),
        (basic("0" * 16, "A" * 43), GRANT, 401, "invalid_client"),
        (basic("nobody", "nothing"), GRANT, 401, "invalid_client"),
        ({"authorization": "Basic %%%"}, GRANT, 401, "invalid_client"),
        ({"authorization": ""}, GRANT, 401, "invalid_client"),
        ({}, {}, 400, "unsupported_grant_type"),
        ({}, {"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
async def test_what_is_refused(
    strict: Services, who: dict[str, str], form: dict[str, str], status: int, error: str
) -> None:
    answer = await ask(PATHS[0], who, form)
    said = answer.json()
    assert (answer.status, said["error"], said["status"]) == (status, error, status)
    assert said["error_description"] == said["message"]
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\xff\xfe", {}, 400),
        (b"a=1&a=2&grant_type=client_credentials", {}, 400),
        (b"{}", {"content-type": "application/json"}, 415),
        (b"x" * 20_000, {}, 413),
        (b"&".join(b"a%d=1" % n for n in range(30)), {}, 400),
    ],
)
async def test_bad_forms(strict: Services, body: bytes, headers: dict[str, str], status: int) -> None:
    assert (await Api().post(PATHS[0], body=body, headers=FORM | headers)).status == status


async def test_it_ends(strict: Services, clock: ManualClock) -> None:
    token = (await ask(PATHS[0], basic(*await client(strict)))).json()["access_token"]
    clock.advance(3599)
    assert await opens(token) == 200
    clock.advance(1)
    assert await opens(token) == 401


async def test_it_ends_with_its_client(strict: Services, clock: ManualClock) -> None:
    client_id, secret = await client(strict, days=0.01)
    said = (await ask(PATHS[0], basic(client_id, secret))).json()
    assert said["expires_in"] == 864
    other_id, other = await client(strict)
    token = (await ask(PATHS[0], basic(other_id, other))).json()["access_token"]
    assert await opens(token) == 200
    await strict.access.revoke(other_id, caller=system("test"))
    assert await opens(token) == 401
    assert (await ask(PATHS[0], basic(other_id, other))).status == 401


async def test_it_opens_what_its_client_opens(strict: Services) -> None:
    viewer = (await ask(PATHS[0], basic(*await client(strict, Role.VIEWER)))).json()["access_token"]
    api = Api({"authorization": f"bearer {viewer}"})
    assert (await api.get(CALLBACKS)).status == 200
    body = {"eventType": "EXTERNAL", "url": "http://third-party-system:24080/"}
    assert (await api.post(CALLBACKS, json=body)).status == 403


async def test_a_forged_one_opens_nothing(strict: Services) -> None:
    token = (await ask(PATHS[0], basic(*await client(strict)))).json()["access_token"]
    for wrong in (
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token.replace("ob_s", "ob_"),
        f"ob_s{'0' * 16}_{'A' * 43}",
    ):
        assert await opens(wrong) == 401


async def test_only_its_hash_is_stored(strict: Services) -> None:
    from shared.storage import Query

    token = (await ask(PATHS[0], basic(*await client(strict)))).json()["access_token"]
    (stored,) = (await strict.store.query("issuedTokens", Query())).items
    assert token[-43:] not in str(stored.document)


async def test_guessing_is_slowed_down(strict: Services) -> None:
    client_id, secret = await client(strict)
    wrong = {"x-forwarded-for": "10.0.0.9"} | basic(client_id, "A" * 43)
    statuses = [(await ask(PATHS[0], wrong)).status for _ in range(11)]
    assert statuses[-1] == 429
    assert (await ask(PATHS[0], basic(client_id, secret))).status == 200, "the right one is never held up"


async def test_a_relay_is_no_client(strict: Services) -> None:
    found, token = await strict.access.tokens.create(
        name="relay", roles=[], expires_at=None, caller=system("test"), relay_id="hall-1"
    )
    assert (await ask(PATHS[0], basic(found.id, token))).status == 401
