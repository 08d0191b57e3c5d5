"""What a relay is told to do: derived from the registry, without secrets, with an etag that means what it says."""

from __future__ import annotations

from typing import Any

import pytest

from shared.equipment import EquipmentChange
from shared.errors import InvalidInput
from shared.platforms.operations1.profile import RequestProfile
from tests.unit.relay.conftest import ANNA, Hub


async def change(hub: Hub, equipment_id: str, **fields: Any) -> None:
    await hub.house.equipment.change(equipment_id, EquipmentChange.model_validate(fields), ANNA)


async def test_its_own_machines_and_no_others(hub: Hub) -> None:
    await hub.house.relays.create("hall-2", name="x", site=None, caller=ANNA)
    await hub.machine("OVEN-2")
    await hub.machine("OVEN-1", profile="deck_oven", supports_remote_control=True)
    await hub.machine("OVEN-3", "hall-2")
    await hub.machine("OVEN-4", None, iot_endpoint="http://127.0.0.1:9")
    await hub.machine("OVEN-5", iot_enabled=False)
    found = await hub.house.relay_hub.assignments.of("hall-1")
    assert [d.equipment_id for d in found.devices] == ["OVEN-1", "OVEN-2"]
    first = found.devices[0]
    assert (first.protocol, first.endpoint, first.poll_interval_seconds) == ("rest_api", "http://10.20.0.5:8080", 1)
    assert (first.profile, first.supports_remote_control) == ("deck_oven", True)
    assert first.timeout_seconds == hub.house.settings.poll_deadline_seconds


async def test_the_etag_changes_with_the_work_and_with_nothing_else(hub: Hub) -> None:
    await hub.machine("OVEN-1")
    etags = [(await hub.house.relay_hub.assignments.of("hall-1")).etag]
    await change(hub, "OVEN-1", location="moved a little")
    assert (await hub.house.relay_hub.assignments.of("hall-1")).etag == etags[0]
    for fields in (
        {"poll_interval_seconds": 2},
        {"iot_config": {"timeout": 3}},
        {"relay_credential_ref": "deck-password"},
        {"iot_enabled": False},
    ):
        await change(hub, "OVEN-1", **fields)
        etags.append((await hub.house.relay_hub.assignments.of("hall-1")).etag)
    assert len(set(etags)) == len(etags)


async def test_no_secret_is_told(hub: Hub) -> None:
    await hub.machine("OVEN-1", iot_credentials={"username": "baker", "password": "Gl0tt3rb0ck"})
    await hub.machine("OVEN-2", relay_credential_ref="deck-password")
    found = await hub.house.relay_hub.assignments.of("hall-1")
    assert "Gl0tt3rb0ck" not in found.model_dump_json()
    equipment, _ = await hub.house.equipment.get("OVEN-1")
    assert [d.credential_ref for d in found.devices] == [equipment.credential_ref, "deck-password"]
    assert [d.credential_owner for d in found.devices] == ["hub", "site"]


async def test_request_profiles_that_ask_for_its_machines(hub: Hub) -> None:
    await hub.machine("OVEN-1")
    await hub.machine("OVEN-4", None, iot_endpoint="http://127.0.0.1:9")
    for name, machine in (("floor", "OVEN-1"), ("office", "OVEN-4")):
        tags = {"core": {"equipment_id": machine, "signal": "temperature.core"}}
        profile = RequestProfile.model_validate({"tags": tags})
        await hub.house.external_requests.profiles.put(name, profile, etag=None, caller=ANNA)
    (found,) = (await hub.house.relay_hub.assignments.of("hall-1")).request_profiles
    assert found["id"] == "floor"
    assert RequestProfile.model_validate(found["profile"]).tags["core"].equipment_id == "OVEN-1"


async def test_a_machine_of_a_relay_is_not_polled_from_here_but_watched(hub: Hub) -> None:
    await hub.machine("OVEN-1")
    await hub.machine("OVEN-4", None, iot_endpoint="http://127.0.0.1:9")
    assert [m.id for m in await hub.house.equipment.pollable()] == ["OVEN-4"]
    assert sorted(m.id for m in await hub.house.equipment.watched()) == ["OVEN-1", "OVEN-4"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"relay_id": "nowhere"}, "relay_id"),
        ({"relay_id": None, "polled_from": "relay"}, "relay_id"),
        ({"polled_from": "cloud", "relay_id": "hall-1"}, "relay_id"),
        ({"polled_from": "cloud"}, "poll_interval_seconds"),
        ({"polled_from": "cloud", "poll_interval_seconds": 30, "relay_credential_ref": "x"}, "relay_credential_ref"),
    ],
)
async def test_who_reads_it_has_to_fit(hub: Hub, fields: dict[str, Any], field: str) -> None:
    await hub.machine("OVEN-1")
    with pytest.raises(InvalidInput) as refused:
        await change(hub, "OVEN-1", **fields)
    assert refused.value.problems[0].field == field


async def test_coming_back_to_the_cloud_takes_one_word_and_a_new_look_at_the_address(hub: Hub) -> None:
    await hub.machine("OVEN-1", relay_credential_ref="deck-password", poll_interval_seconds=10)
    await change(hub, "OVEN-1", polled_from="cloud")
    machine, _ = await hub.house.equipment.get("OVEN-1")
    assert (machine.polled_from, machine.relay_id, machine.relay_credential_ref) == ("cloud", None, None)
    await change(hub, "OVEN-1", relay_id="hall-1")
    assert (await hub.house.equipment.get("OVEN-1"))[0].polled_from == "relay"
    await change(hub, "OVEN-1", relay_id=None)
    assert (await hub.house.equipment.get("OVEN-1"))[0].polled_from == "cloud"
