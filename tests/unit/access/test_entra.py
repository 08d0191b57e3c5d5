"""Signed in with Entra: believed only where the platform strips what others send, and good for its app roles."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.access import Role
from shared.access.entra import PRINCIPAL, platform_strips_headers, principal
from shared.access.identify import Access
from shared.clock import ManualClock
from shared.errors import Forbidden, OvenbridgeError, Unauthorized
from shared.services import Services
from shared.settings import Settings

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
OBJECT = "0b3b3d7e-5c0c-4c6c-9d5a-000000000001"
AZURE = Settings(website_auth_enabled=True, website_hostname="hub.azurewebsites.net")


def header(*roles: str, auth_typ: str = "aad", **claims: str) -> dict[str, str]:
    said = {"oid": OBJECT, "name": "Ada Baker", "tid": TENANT} | claims
    body: dict[str, Any] = {
        "auth_typ": auth_typ,
        "name_typ": "name",
        "role_typ": "roles",
        "claims": [{"typ": typ, "val": val} for typ, val in said.items() if val]
        + [{"typ": "roles", "val": role} for role in roles],
    }
    return {PRINCIPAL: base64.b64encode(json.dumps(body).encode()).decode()}


@pytest.fixture
def access(house: Services, clock: ManualClock) -> Access:
    return Access(house.store, AZURE, house.audit, clock)


async def test_app_roles_are_roles(access: Access) -> None:
    caller = await access.identify(header("Engineer", "Auditor", "Something.Else"), key_checked=False)
    assert caller is not None
    assert (caller.id, caller.name, caller.how) == (f"entra:{OBJECT}", "Ada Baker", "entra")
    assert caller.roles == {Role.ENGINEER, Role.AUDITOR}
    assert caller.actor == {"id": f"entra:{OBJECT}", "name": "Ada Baker", "how": "entra"}


async def test_the_long_names_of_claims_are_read_too(access: Access) -> None:
    long = {
        "oid": "",
        "http://schemas.microsoft.com/identity/claims/objectidentifier": OBJECT,
        "http://schemas.microsoft.com/ws/2008/06/identity/claims/role": "admin",
    }
    caller = await access.identify(header(**long), key_checked=False)
    assert caller is not None
    assert caller.may(Role.ADMIN)


async def test_without_an_app_role_nothing_is_allowed(access: Access) -> None:
    caller = await access.identify(header(), key_checked=True)
    assert caller is not None
    with pytest.raises(Forbidden, match="Ada Baker"):
        caller.require(Role.VIEWER)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(website_auth_enabled=True),
        Settings(website_hostname="hub.azurewebsites.net"),
        Settings(website_auth_enabled=True, website_hostname="x", serves_loopback=True),
    ],
)
async def test_where_the_platform_strips_nothing_a_spoofed_header_gives_nothing(
    house: Services, clock: ManualClock, settings: Settings
) -> None:
    assert not platform_strips_headers(settings)
    exposed = Access(house.store, settings, house.audit, clock)
    assert await exposed.identify(header("Admin"), key_checked=False) is None


def test_the_platform_says_it_by_its_own_variables() -> None:
    said = {"WEBSITE_AUTH_ENABLED": "True", "WEBSITE_HOSTNAME": "hub.azurewebsites.net"}
    assert platform_strips_headers(Settings.from_environment(said))
    assert not platform_strips_headers(Settings.from_environment(said | {"WEBSITE_AUTH_ENABLED": "False"}))


async def test_an_entra_token_beside_the_principal_is_the_platforms_business(access: Access) -> None:
    caller = await access.identify({"authorization": "Bearer eyJhbGciOi.x.y", **header("Operator")}, key_checked=False)
    assert caller is not None
    assert caller.how == "entra"
    with pytest.raises(Unauthorized, match="ob_"):
        await access.identify({"authorization": "Bearer eyJhbGciOi.x.y"}, key_checked=True)


@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
async def test_a_wrong_api_token_is_wrong_whoever_signed_in(access: Access, name: str) -> None:
    token = "ob_0123456789abcdef_" + "a" * 43
    presented = f"Bearer {token}" if name == "authorization" else token
    with pytest.raises(Unauthorized, match="not valid"):
        await access.identify({name: presented, **header("Admin")}, key_checked=True)


async def test_an_api_token_may_stand_in_a_header_of_its_own(house: Services, access: Access) -> None:
    developer = await house.access.identify({"host": "localhost"}, key_checked=False)
    assert developer is not None
    _, token = await access.tokens.create(name="flow", roles=[Role.OPERATOR], expires_at=None, caller=developer)
    caller = await access.identify({"x-api-key": token}, key_checked=False)
    assert caller is not None
    assert (caller.name, caller.how) == ("flow", "api_token")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://hub.azurewebsites.net", "https://hub"])
async def test_another_page_cannot_use_the_session_of_a_person(access: Access, origin: str) -> None:
    with pytest.raises(Forbidden, match="web page"):
        await access.identify({"origin": origin, **header("Admin")}, key_checked=False)
    # A client that holds the token itself is no page with somebody's cookie.
    client = {"origin": origin, "authorization": "Bearer eyJ.x.y", **header("Admin")}
    assert await access.identify(client, key_checked=False)


async def test_our_own_page_may(access: Access) -> None:
    assert await access.identify({"origin": "https://hub.azurewebsites.net", **header("Viewer")}, key_checked=False)


def test_another_tenant_is_refused_where_one_is_set() -> None:
    strict = AZURE.model_copy(update={"entra_tenant_id": TENANT})
    assert principal(header("Admin"), strict).may(Role.ADMIN)
    for stranger in (header("Admin", tid="another"), header("Admin", tid="")):
        with pytest.raises(Forbidden, match="another organisation"):
            principal(stranger, strict)


def test_only_entra_counts() -> None:
    with pytest.raises(Unauthorized, match="Microsoft Entra"):
        principal(header("Admin", auth_typ="google"), AZURE)
    with pytest.raises(Unauthorized, match="object id"):
        principal(header("Admin", oid=""), AZURE)


def test_an_application_is_named_by_its_client_id() -> None:
    assert principal(header("Viewer", name="", azp="flow-app"), AZURE).name == "the application flow-app"


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda b: base64.b64encode(b).decode())))
def test_whatever_the_header_holds_it_is_a_clear_no(value: str) -> None:
    with pytest.raises(OvenbridgeError) as refused:
        principal({PRINCIPAL: value}, AZURE)
    assert refused.value.status == 401


def test_too_many_claims_are_said_so() -> None:
    with pytest.raises(Unauthorized, match="too many claims"):
        principal({PRINCIPAL: "A" * 70_000}, AZURE)
