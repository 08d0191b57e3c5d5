"""Without a token: the developer on this machine, the holder of a function key, or nobody."""

from __future__ import annotations

import pytest

from shared.access import Role
from shared.access.identify import Access
from shared.clock import ManualClock
from shared.errors import Forbidden, Unauthorized
from shared.services import Services
from shared.settings import Settings


@pytest.fixture
def tokens_only(house: Services, clock: ManualClock) -> Access:
    return Access(house.store, Settings(), house.audit, clock)


SPOOFED = {
    "x-ms-client-principal": "eyJyb2xlcyI6WyJhZG1pbiJdfQ==",
    "x-ms-client-principal-id": "00000000-0000-0000-0000-000000000001",
    "x-ms-client-principal-name": "boss@example.com",
    "x-ms-token-aad-id-token": "eyJhbGciOiJub25lIn0.e30.",
}


async def test_a_principal_that_anybody_can_claim_gives_nothing(tokens_only: Access) -> None:
    assert await tokens_only.identify(SPOOFED, key_checked=False) is None


async def test_a_function_key_is_good_for_reading(tokens_only: Access) -> None:
    caller = await tokens_only.identify({"x-functions-key": "checked by the host"}, key_checked=True)
    assert caller is not None
    assert (caller.id, caller.how, caller.roles) == ("key", "function_key", frozenset({Role.VIEWER}))
    assert await tokens_only.identify({"x-functions-key": "anything"}, key_checked=False) is None


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:7071", "127.0.0.1:7071", "127.9.9.9", "[::1]:7071", "oven.localhost:80"]
)
async def test_the_developer_calls_this_machine(house: Services, host: str) -> None:
    caller = await house.access.identify({"host": host}, key_checked=False)
    assert caller is not None
    assert (caller.id, caller.how) == ("developer", "loopback")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7071",
        "localhost.evil.example",
        "evillocalhost",
        "127.0.0.1.nip.io:7071",
        "192.168.1.10:7071",
        "0.0.0.0:7071",
        "[::]:7071",
        "[::1",
        "localhost@evil.example",
        "evil.example#localhost",
    ],
)
async def test_a_page_whose_name_was_made_to_resolve_here_gets_nothing(house: Services, host: str) -> None:
    """DNS rebinding: the browser believes that it talks to the page's own server, and says so in the Host."""
    for key_checked in (True, False):
        with pytest.raises(Forbidden, match="localhost"):
            await house.access.identify({"host": host}, key_checked=key_checked)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "", "file://", "x"]
)
async def test_a_page_from_elsewhere_gets_nothing(house: Services, origin: str) -> None:
    """CSRF: a form or a fetch of any page reaches 127.0.0.1; with it comes the page's Origin."""
    with pytest.raises(Forbidden, match="web page"):
        await house.access.identify({"host": "localhost:7071", "origin": origin}, key_checked=False)


@pytest.mark.parametrize("origin", ["http://localhost:7071", "http://127.0.0.1:3000", "http://[::1]:7071"])
async def test_our_own_pages_work(house: Services, origin: str) -> None:
    assert await house.access.identify({"host": "localhost:7071", "origin": origin}, key_checked=False)


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-forwarded-host"])
async def test_what_a_tunnel_passed_on_is_not_the_developer(house: Services, name: str) -> None:
    """A tunnel that rewrites the Host would otherwise make the whole world an administrator."""
    with pytest.raises(Unauthorized, match="tunnel"):
        await house.access.identify({"host": "localhost:7071", name: "203.0.113.9"}, key_checked=False)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(access_mode="developer"),
        Settings(access_mode="developer", serves_loopback=True, website_hostname="ovenbridge.azurewebsites.net"),
    ],
    ids=["not on loopback", "in Azure"],
)
async def test_developer_mode_needs_a_loopback_host(house: Services, clock: ManualClock, settings: Settings) -> None:
    """Even if somebody got past the check of the settings."""
    exposed = Access(house.store, settings, house.audit, clock)
    assert await exposed.identify({"host": "localhost"}, key_checked=False) is None


async def test_a_token_works_through_a_tunnel_in_developer_mode(house: Services) -> None:
    developer = await house.access.identify({"host": "localhost"}, key_checked=False)
    assert developer is not None
    _, token = await house.access.tokens.create(name="t", roles=[Role.VIEWER], expires_at=None, caller=developer)
    headers = {"authorization": f"bearer {token}", "host": "dev.example", "x-forwarded-for": "203.0.113.9"}
    caller = await house.access.identify(headers, key_checked=False)
    assert caller is not None
    assert caller.roles == {Role.VIEWER}, "the token decides, not the address"
