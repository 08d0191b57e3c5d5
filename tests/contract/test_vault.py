"""What every vault promises."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.errors import InvalidInput, NotFound
from shared.secrets import Vault


async def test_what_was_set_can_be_read(vault: Vault, clock: ManualClock) -> None:
    expires = clock.now() + timedelta(days=30)
    value = '{"password": "ä\\n\u2028' + "x" * 20_000 + '"}'
    written = await vault.set("oven-7-login", value, expires_at=expires)
    read = await vault.get("oven-7-login")
    assert (read.name, read.value, read.expires_at) == ("oven-7-login", value, expires)
    assert read.version == written.version != ""
    assert (await vault.set("empty", "")).value == (await vault.get("empty")).value == ""


async def test_a_new_value_is_a_new_version(vault: Vault) -> None:
    first = await vault.set("key", "one")
    second = await vault.set("key", "two")
    assert first.version != second.version
    assert (await vault.get("key")).value == "two"
    assert (await vault.get("key")).expires_at is None


async def test_what_is_not_there_is_not_found(vault: Vault) -> None:
    with pytest.raises(NotFound):
        await vault.get("nothing")
    await vault.delete("nothing")


async def test_what_was_deleted_is_gone(vault: Vault) -> None:
    await vault.set("key", "one")
    await vault.set("key", "two")
    await vault.delete("key")
    with pytest.raises(NotFound):
        await vault.get("key")
    assert await vault.list() == []


async def test_a_name_that_was_deleted_can_be_used_again(vault: Vault) -> None:
    await vault.set("key", "one")
    await vault.delete("key")
    written = await vault.set("key", "two")
    assert (await vault.get("key")) == written
    assert (await vault.get("key")).value == "two"
    assert [m.name for m in await vault.list()] == ["key"]


async def test_the_list_tells_everything_but_the_values(vault: Vault, clock: ManualClock) -> None:
    await vault.set("b", "value-of-b")
    clock.advance(5)
    expires = clock.now() + timedelta(days=1)
    await vault.set("a", "value-of-a", expires_at=expires)
    listed = {m.name: m for m in await vault.list()}
    assert set(listed) == {"a", "b"}
    assert listed["a"].updated_at == clock.now()
    assert listed["a"].expires_at == expires
    assert listed["b"].updated_at == clock.now() - timedelta(seconds=5)
    assert "value-of" not in repr(listed)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../up", "a_b", "ä", "x" * 128, "a.b", "a\n", None])
async def test_names_that_no_vault_can_hold(vault: Vault, name: Any) -> None:
    with pytest.raises(InvalidInput):
        await vault.set(name, "x")
    with pytest.raises(InvalidInput):
        await vault.get(name)
    with pytest.raises(InvalidInput):
        await vault.delete(name)


async def test_names_that_every_vault_can_hold(vault: Vault) -> None:
    for name in ("a", "0-9", "x" * 127, "-"):
        await vault.set(name, name)
        assert (await vault.get(name)).value == name


async def test_a_value_is_a_text(vault: Vault) -> None:
    with pytest.raises(InvalidInput) as caught:
        await vault.set("key", {"password": "hidden-word"})  # type: ignore[arg-type]
    assert "hidden-word" not in str(caught.value)


@pytest.mark.parametrize("value", ["x" * 25_001, "ä" * 12_501, "\ud800"])
async def test_values_that_no_vault_can_hold(vault: Vault, value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await vault.set("key", value)
    assert caught.value.problems[0].field == "value"
    assert value not in caught.value.detail
    with pytest.raises(NotFound):
        await vault.get("key")


async def test_values_up_to_the_limit(vault: Vault) -> None:
    for value in ("x" * 25_000, "ä" * 12_500, "a\x00b\r\n\t"):
        await vault.set("key", value)
        assert (await vault.get("key")).value == value


async def test_an_expired_secret_can_still_be_read(vault: Vault, clock: ManualClock) -> None:
    expired = clock.now() - timedelta(days=400)
    await vault.set("key", "old", expires_at=expired + timedelta(milliseconds=700))
    read = await vault.get("key")
    assert (read.value, read.expires_at) == ("old", expired)


async def test_more_names_than_a_page_holds_are_listed(vault: Vault) -> None:
    names = [f"key-{n:03}" for n in range(60)]
    await asyncio.gather(*(vault.set(name, "x") for name in names))
    assert [m.name for m in await vault.list()] == names


async def test_a_secret_does_not_show_itself(vault: Vault) -> None:
    written = await vault.set("key", "hidden-word")
    assert "hidden-word" not in repr(written) + str(written) + repr(await vault.get("key"))


async def test_many_at_once(vault: Vault) -> None:
    await asyncio.gather(*(vault.set(f"key-{n % 5}", str(n)) for n in range(50)))
    for n in range(5):
        assert int((await vault.get(f"key-{n}")).value) % 5 == n
    assert len(await vault.list()) == 5


async def test_the_check_says_yes(vault: Vault) -> None:
    await vault.check()
