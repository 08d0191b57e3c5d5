"""The registry under trouble: death between two writes, rivals, lost secrets, caches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shared.access import Caller, Role
from shared.clock import ManualClock
from shared.equipment import EquipmentChange, EquipmentRegistry, IotConnectionConfig, NewEquipment
from shared.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, Unavailable, UnsafeTarget
from shared.outgoing.targets import TargetPolicy
from shared.services import Services
from tests.unit.collection.plant import Counting

ANNA = Caller("token:anna", "Anna", frozenset({Role.ENGINEER}), "api_token")

NEW = NewEquipment(
    id="oven-1",
    name="Oven 1",
    iot_protocol="rest_api",
    iot_endpoint="http://127.0.0.1:9",
    iot_credentials={"token": "first"},
)


def config(**changes: Any) -> IotConnectionConfig:
    body = {"protocol": "rest_api", "endpoint": "http://127.0.0.1:9", "credentials": {"token": "second"}}
    return IotConnectionConfig.model_validate(body | changes)


@pytest.fixture
def registry(house: Services) -> EquipmentRegistry:
    return house.equipment


@pytest.fixture
async def oven(registry: EquipmentRegistry) -> str:
    equipment, _ = await registry.create(NEW, ANNA)
    return equipment.id


@pytest.fixture
def faulty(house: Services) -> Counting:
    """Stands between the registry and the store, and fails where it is told to."""
    counting = Counting(house.store)
    house.equipment._store = counting.store
    return counting


async def token(house: Services) -> Any:
    """The token that a connector would be given by a process that has just started."""
    fresh = EquipmentRegistry(house.store, house.vault, house.audit, house.targets, house.clock)
    equipment, _ = await fresh.get("oven-1")
    return (await fresh.connector_config(equipment))["credentials"].get("token")


async def secrets(house: Services) -> int:
    return len(await house.vault.list())


async def actions(house: Services) -> list[str]:
    return [e.action for e in (await house.audit.entries(stream="equipment:oven-1")).entries[::-1]]


async def test_connectors_get_the_guides_form(house: Services, registry: EquipmentRegistry, oven: str) -> None:
    equipment, _ = await registry.get(oven)
    assert await registry.connector_config(equipment) == {
        "endpoint": "http://127.0.0.1:9",
        "port": None,
        "credentials": {"token": "first"},
        "additional_config": {},
    }


async def test_new_credentials_replace_the_old_ones(house: Services, registry: EquipmentRegistry, oven: str) -> None:
    before, _ = await registry.get(oven)
    await registry.configure_iot(oven, config(), ANNA)
    assert await token(house) == "second"
    assert await secrets(house) == 1, "the old set is gone"
    assert (await registry.connector_config(before))["credentials"] == {"token": "second"}, "who holds the old machine"


async def test_death_between_vault_and_document_leaves_the_old_connection_whole(
    house: Services, registry: EquipmentRegistry, oven: str, faulty: Counting, clock: ManualClock
) -> None:
    """Old address with new credentials would send them to the wrong place."""
    faulty.fail["replace"] = asyncio.CancelledError()  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        await registry.configure_iot(oven, config(endpoint="http://127.0.0.1:10"), ANNA)
    assert await token(house) == "first"
    assert await secrets(house) == 2, "the new set is an orphan"
    faulty.fail.clear()
    assert await registry.sweep_credentials() == 0, "it may still be put to use"
    clock.advance(3_601)
    assert await registry.sweep_credentials() == 1
    assert (await token(house), await secrets(house)) == ("first", 1)


async def test_an_answer_that_was_lost_loses_no_credentials(
    house: Services, registry: EquipmentRegistry, oven: str, faulty: Counting
) -> None:
    """The store says it is away, and has written all the same."""

    async def written_but_unsaid(*args: Any, **kwargs: Any) -> Any:
        await house.store.replace(*args, **kwargs)
        raise Unavailable("The answer got lost.")

    faulty_store: Any = faulty
    faulty_store.replace = written_but_unsaid
    with pytest.raises(Unavailable):
        await registry.configure_iot(oven, config(), ANNA)
    assert await token(house) == "second"
    assert await actions(house) == ["equipment.created", "equipment.iot_configured", "equipment.iot_configured.failed"]


async def test_a_refused_write_leaves_no_new_credentials(
    house: Services, registry: EquipmentRegistry, oven: str, faulty: Counting
) -> None:
    faulty.fail["replace"] = PreconditionFailed("Somebody was faster.")
    with pytest.raises(PreconditionFailed):
        await registry.configure_iot(oven, config(), ANNA)
    assert (await token(house), await secrets(house)) == ("first", 1)


async def test_no_change_without_an_audit_entry(house: Services, registry: EquipmentRegistry, oven: str) -> None:
    audit: Any = house.audit
    real = audit._create

    async def away(document: Any) -> Any:
        raise Unavailable("The audit log is away.")

    audit._create = away
    for attempt in (
        registry.configure_iot(oven, config(), ANNA),
        registry.change(oven, EquipmentChange(name="x"), ANNA),
        registry.delete(oven, ANNA),
        registry.create(NewEquipment(name="y", id="oven-2"), ANNA),
    ):
        with pytest.raises(Unavailable):
            await attempt
    audit._create = real
    equipment, _ = await registry.get(oven)
    assert equipment.name == "Oven 1"
    assert (await token(house), await secrets(house)) == ("first", 1)
    with pytest.raises(NotFound):
        await registry.get("oven-2")


async def test_rivals_without_etags_both_get_their_way(house: Services, registry: EquipmentRegistry, oven: str) -> None:
    await asyncio.gather(
        registry.change(oven, EquipmentChange(site="madrid"), ANNA),
        registry.change(oven, EquipmentChange(location="hall 2"), ANNA),
        registry.change(oven, EquipmentChange(poll_interval_seconds=60), ANNA),
    )
    equipment, _ = await registry.get(oven)
    assert (equipment.site, equipment.location, equipment.poll_interval_seconds) == ("madrid", "hall 2", 60)


async def test_rivals_who_register_the_same_id(house: Services, registry: EquipmentRegistry) -> None:
    outcomes = await asyncio.gather(*(registry.create(NEW, ANNA) for _ in range(5)), return_exceptions=True)
    assert sorted(type(o).__name__ for o in outcomes) == ["Conflict"] * 4 + ["tuple"]
    assert await secrets(house) == 1, "the losers' credentials are gone"
    puts = await asyncio.gather(*(registry.put("oven-2", NewEquipment(name="x"), ANNA) for _ in range(5)))
    assert sorted(p.created for p in puts) == [False] * 4 + [True]


async def test_deleting_takes_the_credentials_along(house: Services, registry: EquipmentRegistry, oven: str) -> None:
    await registry.delete(oven, ANNA)
    assert await secrets(house) == 0
    assert await actions(house) == ["equipment.created", "equipment.deleted"]


async def test_shared_credential_sets_are_not_ours_to_remove(
    house: Services, registry: EquipmentRegistry, oven: str, clock: ManualClock
) -> None:
    await house.vault.set("bakery-madrid", '{"token": "shared"}')
    stored = await house.store.read("equipment", (oven,), oven)
    await house.store.replace("equipment", {**stored.document, "credentialRef": "bakery-madrid"})
    assert await token(house) == "shared"
    await registry.delete(oven, ANNA)
    clock.advance(7_200)
    await registry.sweep_credentials()
    assert "bakery-madrid" in [s.name for s in await house.vault.list()]


async def test_a_vault_that_fails_to_forget_hinders_nobody(
    house: Services, registry: EquipmentRegistry, oven: str, clock: ManualClock
) -> None:
    vault: Any = house.vault
    real = vault.delete

    async def away(name: str) -> None:
        raise Unavailable("The vault is away.")

    vault.delete = away
    await registry.configure_iot(oven, config(), ANNA)
    vault.delete = real
    assert (await token(house), await secrets(house)) == ("second", 2)
    clock.advance(3_601)
    assert await registry.sweep_credentials() == 1


async def test_credentials_are_remembered_ten_minutes_and_asked_anew_on_demand(
    house: Services, registry: EquipmentRegistry, oven: str, clock: ManualClock
) -> None:
    equipment, _ = await registry.get(oven)
    assert equipment.credential_ref is not None
    await registry.connector_config(equipment)
    await house.vault.set(equipment.credential_ref, '{"token": "rotated"}')
    clock.advance(599)
    assert (await registry.connector_config(equipment))["credentials"] == {"token": "first"}
    assert (await registry.connector_config(equipment, fresh=True))["credentials"] == {"token": "rotated"}
    await house.vault.set(equipment.credential_ref, '{"token": "again"}')
    clock.advance(600)
    assert (await registry.connector_config(equipment))["credentials"] == {"token": "again"}


async def test_credentials_that_are_gone_are_said_to_be(
    house: Services, registry: EquipmentRegistry, oven: str, clock: ManualClock
) -> None:
    equipment, _ = await registry.get(oven)
    assert equipment.credential_ref is not None
    await house.vault.delete(equipment.credential_ref)
    clock.advance(601)
    with pytest.raises(InvalidInput, match="give them again"):
        await registry.connector_config(equipment)
    with pytest.raises(InvalidInput, match="give credentials again"):
        await registry.propose(oven, IotConnectionConfig(protocol="rest_api", endpoint="http://127.0.0.1:9", port=9))
    await registry.delete(oven, ANNA)
    with pytest.raises(NotFound):
        await registry.connector_config(equipment)


async def test_a_new_name_needs_neither_vault_nor_dns(house: Services, registry: EquipmentRegistry, oven: str) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("away")

    vault: Any = house.vault
    targets: Any = house.targets
    vault.get = targets.check_resolves = away
    equipment, _ = await registry.change(oven, EquipmentChange(name="Renamed"), ANNA)
    assert equipment.name == "Renamed"


@pytest.mark.parametrize(
    ("change", "polled"),
    [
        ({}, True),
        ({"iot_enabled": False}, False),
        ({"supports_realtime": False}, False),
        ({"iot_protocol": None, "iot_endpoint": None}, False),
    ],
)
async def test_who_is_polled(registry: EquipmentRegistry, oven: str, change: dict[str, Any], polled: bool) -> None:
    assert [m.id for m in await registry.pollable()] == [oven]
    await registry.change(oven, EquipmentChange.model_validate(change), ANNA)
    assert [m.id for m in await registry.pollable()] == ([oven] if polled else []), "seen at once in this process"


async def test_polls_ask_the_store_once_in_five_seconds(
    registry: EquipmentRegistry, oven: str, house: Services, clock: ManualClock
) -> None:
    counting = Counting(house.store)
    remembered: Any = registry._remembered
    remembered._store = counting.store
    await asyncio.gather(*(registry.pollable() for _ in range(20)))
    await asyncio.gather(*(registry.known(oven) for _ in range(3)))
    assert counting.calls["query"] == 1
    reads = counting.calls["read"]
    clock.advance(4.9)
    await registry.pollable()
    await registry.known(oven)
    assert (counting.calls["query"], counting.calls["read"]) == (1, reads)
    stored = await house.store.read("equipment", (oven,), oven)
    await house.store.replace("equipment", {**stored.document, "name": "Changed elsewhere"})
    clock.advance(0.1)
    assert [m.name for m in await registry.pollable()] == ["Changed elsewhere"]
    assert (await registry.known(oven)).name == "Changed elsewhere"


async def test_a_change_while_the_store_is_read_is_not_overlooked(
    registry: EquipmentRegistry, oven: str, house: Services
) -> None:
    """What was read before the change must not be remembered after it."""
    started, go_on = asyncio.Event(), asyncio.Event()
    remembered: Any = registry._remembered
    real: Callable[..., Any] = house.store.query

    class Slow:
        async def query(self, *args: Any, **kwargs: Any) -> Any:
            page = await real(*args, **kwargs)
            started.set()
            await go_on.wait()
            return page

    remembered._store = Slow()
    reading = asyncio.create_task(registry.pollable())
    await started.wait()
    await registry.change(oven, EquipmentChange(iot_enabled=False), ANNA)
    go_on.set()
    await reading
    remembered._store = house.store
    assert await registry.pollable() == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"endpoint": "http://inside.example"}, "endpoint"),
        (
            {"credentials": {"token_url": "http://inside.example/t", "client_id": "a", "client_secret": "b"}},
            "credentials.token_url",
        ),
    ],
)
async def test_a_name_that_leads_inside_is_refused_before_anything_is_stored(
    house: Services, oven: str, change: dict[str, Any], field: str
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.7", "169.254.169.254"] if host == "inside.example" else ["127.0.0.1"]

    targets = TargetPolicy(allow_private=True, allow_http=True, resolve=resolve)
    registry = EquipmentRegistry(house.store, house.vault, house.audit, targets, house.clock)
    with pytest.raises(UnsafeTarget, match=r"169\.254\.169\.254") as refused:
        await registry.configure_iot(oven, config(**change), ANNA)
    assert refused.value.problems[0].field == field
    assert (await token(house), await secrets(house)) == ("first", 1)


async def test_names_of_secrets_can_stand_in_every_vault(house: Services, registry: EquipmentRegistry) -> None:
    identity = "A_b-" + "x" * 60
    await registry.create(NewEquipment(**{**NEW.model_dump(exclude_unset=True), "id": identity}), ANNA)
    (kept,) = await house.vault.list()
    assert len(kept.name) <= 127
    assert kept.name.startswith("iot-A-b-xxx")


async def test_ids_tells_all(registry: EquipmentRegistry) -> None:
    for number in range(3):
        await registry.create(NewEquipment(name="x", id=f"m{number}"), ANNA)
    assert sorted(await registry.ids()) == ["m0", "m1", "m2"]
    with pytest.raises(Conflict):
        await registry.create(NewEquipment(name="x", id="m0"), ANNA)
