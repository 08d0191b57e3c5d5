"""API tokens: only the right one, while it counts; wrong ones cost little and lock nobody out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.access import Caller, Role, system
from shared.access.identify import Access
from shared.access.tokens import parse_token
from shared.access.wrong_tokens import PER_ADDRESS, PER_TOKEN, REMEMBERED, WrongTokens
from shared.clock import ManualClock
from shared.errors import InvalidInput, TooManyRequests, Unauthorized
from shared.ids import new_id
from shared.services import Services
from shared.settings import Settings
from shared.storage import Query

ADMIN = system("test")


@pytest.fixture
def access(house: Services, clock: ManualClock) -> Access:
    """As in Azure: tokens only."""
    return Access(house.store, Settings(), house.audit, clock)


async def create(access: Access, *roles: Role, name: str = "dashboard", days: float | None = None) -> str:
    expires = access.tokens._clock.now() + timedelta(days=days) if days is not None else None
    _, token = await access.tokens.create(name=name, roles=roles or (Role.VIEWER,), expires_at=expires, caller=ADMIN)
    return token


async def who(access: Access, token: str, **headers: str) -> Caller | None:
    return await access.identify({"authorization": f"Bearer {token}", **headers}, key_checked=False)


async def test_the_holder_is_known_by_name_and_roles(access: Access) -> None:
    caller = await who(access, await create(access, Role.OPERATOR, Role.AUDITOR))
    assert caller is not None
    assert (caller.name, caller.how, caller.roles) == (
        "dashboard",
        "api_token",
        frozenset({Role.OPERATOR, Role.AUDITOR}),
    )
    assert caller.id.startswith("token:")
    assert caller.may(Role.VIEWER)
    assert not caller.may(Role.ENGINEER)


async def test_only_the_hash_is_stored(access: Access, house: Services) -> None:
    token = await create(access)
    stored = await house.store.query("apiTokens", Query())
    entries = await house.store.query("audit", Query())
    secret = token.rpartition("_")[2] if "_" not in token[20:] else token[20:]
    assert secret not in str([item.document for item in (*stored.items, *entries.items)])
    assert [item.document["action"] for item in entries.items] == ["token.created"]


@pytest.mark.parametrize(
    "presented",
    [
        "Bearer ",
        "Bearer nonsense",
        "Bearer ob_0123456789abcdef",
        "Bearer ob_0123456789abcdef_" + "A" * 43,
        "Basic dXNlcjpwYXNz",
        "ob_0123456789abcdef_" + "A" * 43,
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "\x00",
    ],
)
async def test_a_wrong_credential_never_falls_back(house: Services, access: Access, presented: str) -> None:
    for one in (access, house.access):  # tokens mode, developer mode
        for key_checked in (True, False):
            with pytest.raises(Unauthorized):
                await one.identify({"authorization": presented, "host": "localhost"}, key_checked=key_checked)


async def test_another_secret_with_a_known_id(access: Access) -> None:
    token = await create(access)
    assert await who(access, token)
    with pytest.raises(Unauthorized):
        await who(access, token[:20] + "A" * 43)


async def test_a_token_expires(access: Access, clock: ManualClock) -> None:
    token = await create(access, days=1)
    assert await who(access, token)
    clock.advance(86_399)
    assert await who(access, token)
    clock.advance(1)
    with pytest.raises(Unauthorized, match="expired"):
        await who(access, token)
    with pytest.raises(InvalidInput, match="expired already"):
        await create(access, days=-1)


async def test_a_revoked_token_ends_here_at_once_and_elsewhere_soon(
    access: Access, house: Services, clock: ManualClock
) -> None:
    elsewhere = Access(house.store, Settings(), house.audit, clock)
    token = await create(access)
    assert await who(access, token)
    assert await who(elsewhere, token)
    await access.revoke(token[3:19], caller=ADMIN)
    await access.revoke(token[3:19], caller=ADMIN)
    with pytest.raises(Unauthorized):
        await who(access, token)
    clock.advance(31)
    with pytest.raises(Unauthorized):
        await who(elsewhere, token)
    page = await house.audit.entries(stream="token")
    assert [entry.action for entry in page.entries] == ["token.revoked", "token.created"], "twice is once"


async def test_last_use_is_noted_now_and_then(access: Access, clock: ManualClock) -> None:
    token = await create(access)
    used: list[str] = []
    for _ in range(20):
        await who(access, token)
        used.append(str((await access.tokens.get(token[3:19])).last_used_at))
        clock.advance(60)
    assert len(set(used)) == 4, "every five minutes of twenty"


async def test_wrong_tokens_are_slowed_down_and_right_ones_are_not(access: Access, clock: ManualClock) -> None:
    token = await create(access)
    wrong = token[:20] + "A" * 43
    for _ in range(PER_TOKEN):
        with pytest.raises(Unauthorized):
            await who(access, wrong)
    with pytest.raises(TooManyRequests) as refused:
        await who(access, wrong)
    assert 0 < refused.value.retry_after <= 60
    assert await who(access, token), "the right one is not held up by the wrong one"
    clock.advance(61)
    with pytest.raises(Unauthorized):
        await who(access, wrong)


async def test_made_up_tokens_cost_no_reads_after_a_while(access: Access, house: Services) -> None:
    token = await create(access)
    assert await who(access, token)
    outcomes: list[type] = []
    for number in range(PER_ADDRESS + 20):
        try:
            await who(access, f"ob_{number:016x}_{'A' * 43}")
        except (Unauthorized, TooManyRequests) as error:
            outcomes.append(type(error))
    assert outcomes[0] is Unauthorized
    assert outcomes[-20:] == [TooManyRequests] * 20
    assert await who(access, token), "a caller that shares the address goes on"
    assert await who(access, await create(access), **{"x-forwarded-for": "1.2.3.4, 10.0.0.9:443"})


def test_counts_take_bounded_memory(clock: ManualClock) -> None:
    wrong = WrongTokens()
    for number in range(REMEMBERED + 500):
        wrong.count(f"address-{number}", new_id(), clock.now())
    assert len(wrong._tries) <= REMEMBERED


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_not(text: str) -> None:
    assert parse_token(text) is None or text.startswith("ob_")
