"""What the clock does: silence, shelves, machines that are gone; and what it never does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.alerts.rule_forms import RuleForm
from shared.signals import Quality, SignalValue
from shared.storage import Query
from tests.unit.alerts.conftest import ANNA, Plant
from tests.unit.alerts.readings import CABINET, at, bad, cabinet, failed, reading


async def silent_until(plant: Plant, seconds: float) -> None:
    """The timer runs every ten seconds; nothing comes."""
    while plant.clock.now() < at(seconds):
        plant.clock.advance(10)
        await plant.watch()


async def silence_is_fine(plant: Plant) -> None:
    """Without the built-in stale rule."""
    form = RuleForm.model_validate({"enabled": False})
    await plant.rules.change("OVEN-1", "builtin-stale", form, ANNA, profile=None, etag=None)


class TestSilence:
    async def test_it_is_told_after_three_intervals_and_a_timeout_and_ends_with_the_next_reading(
        self, plant: Plant
    ) -> None:
        await plant.take(cabinet(0, 180))
        await silent_until(plant, 110)
        assert await plant.all_alerts() == []
        await silent_until(plant, 120)
        alert = await plant.the_alert()
        assert alert["alertType"] == "data_stale"
        assert alert["message"] == "Horno Principal #1: no new data for 2 min (last at 10:00:00 UTC)"
        assert (alert["ruleId"], alert["triggeredAt"]) == ("builtin-stale", "2026-11-21T10:02:00.000Z")
        await silent_until(plant, 400)
        await plant.take(cabinet(405, 180))
        assert (await plant.the_alert())["state"] == "cleared_unacknowledged"
        assert plant.told.types == ["ALERT_RAISED", "ALERT_RESOLVED"]

    async def test_an_instance_that_never_saw_a_reading_judges_the_same(self, plant: Plant) -> None:
        """In Azure the timer runs in another process than the polls."""
        timer = plant.process()
        for i in range(10):
            await plant.take(cabinet(30 * i, 180))
            await plant.watch(timer)
        assert await plant.all_alerts() == []
        plant.clock.set(at(270 + 111))
        await plant.watch(timer)
        assert (await plant.the_alert())["conditionSince"] == "2026-11-21T10:04:30.000Z"
        await plant.take(cabinet(400, 180))
        assert (await plant.the_alert())["state"] == "cleared_unacknowledged"

    async def test_it_looks_only_when_silence_is_possible(self, plant: Plant) -> None:
        await plant.take(cabinet(0, 180))
        await plant.watch()
        plant.store.taken()
        for _ in range(4):
            plant.clock.advance(10)
            await plant.watch()
        assert ("read", "alertStates") not in plant.store.taken()

    async def test_a_process_that_starts_gives_everything_its_time_anew(self, plant: Plant) -> None:
        await plant.take(cabinet(0, 180))
        plant.clock.set(at(3600))
        late = plant.process()
        await plant.watch(late)
        assert await plant.all_alerts() == []
        plant.clock.set(at(3600 + 111))
        await plant.watch(late)
        assert (await plant.the_alert())["alertType"] == "data_stale"

    async def test_a_machine_that_never_answered_is_silent_since_it_was_set_up(self, plant: Plant) -> None:
        plant.oven = replace(plant.oven, updated_at=at(50))
        await silent_until(plant, 160)
        assert await plant.all_alerts() == []
        await silent_until(plant, 180)
        assert (await plant.the_alert())["conditionSince"] == "2026-11-21T10:00:50.000Z"

    async def test_that_it_cannot_be_reached_is_told_once_not_twice(self, plant: Plant) -> None:
        await plant.take(cabinet(-30, 180), *(failed(30 * i) for i in range(20)))
        await plant.watch()
        plant.clock.advance(60)
        await plant.watch()
        assert [a["alertType"] for a in await plant.all_alerts()] == ["connection_lost"]

    async def test_nor_is_silence_told_before_the_connection_is_given_up(self, plant: Plant) -> None:
        """Failing devices are polled less often; three short intervals pass before two failures and a minute do."""
        plant.oven = replace(plant.oven, poll_interval_seconds=10)
        await plant.take(cabinet(0, 180))
        for s in (10, 20, 40, 80):
            await silent_until(plant, s)
            await plant.take(failed(s))
        await silent_until(plant, 120)
        assert [a["alertType"] for a in await plant.all_alerts()] == ["connection_lost"]

    async def test_when_nobody_tries_any_more_it_is_silence(self, plant: Plant) -> None:
        await plant.take(cabinet(0, 180), failed(30))
        await silent_until(plant, 130)
        assert await plant.all_alerts() == []
        await silent_until(plant, 200)
        assert [a["alertType"] for a in await plant.all_alerts()] == ["data_stale"]

    async def test_of_one_signal(self, plant: Plant) -> None:
        await plant.rule("stale", signal="temperature.core", after_seconds=60)
        await plant.take(reading(0, {"temperature.core": 70.0, CABINET: 180}))
        for i in range(1, 6):
            lost = SignalValue(None, Quality.BAD, "probe unplugged")
            await plant.take(reading(30 * i, {"temperature.core": lost, CABINET: 180}))
            await plant.watch()
        alert = await plant.the_alert()
        assert (alert["signal"], alert["conditionSince"]) == ("temperature.core", "2026-11-21T10:00:00.000Z")
        await plant.take(reading(180, {"temperature.core": 71.0}))
        assert (await plant.the_alert())["state"] == "cleared_unacknowledged"


async def test_the_clock_never_completes_a_delay(plant: Plant) -> None:
    await plant.rule(on_delay_seconds=60, off_delay_seconds=60)
    await plant.take(cabinet(0, 260))
    plant.clock.set(at(90))
    await plant.watch()
    assert await plant.all_alerts() == []


class TestShelves:
    async def test_a_shelf_ends_and_what_is_still_active_is_told_again(self, plant: Plant) -> None:
        await silence_is_fine(plant)
        await plant.rule()
        await plant.take(cabinet(0, 260))
        await plant.alerts.shelve(await plant.the_id(), minutes=10, caller=ANNA, comment="technician is there")
        plant.clock.set(at(599))
        await plant.watch()
        assert plant.told.types == ["ALERT_RAISED", "ALERT_SHELVED"]
        plant.clock.set(at(600))
        await plant.watch()
        await plant.watch()
        assert plant.told.types == ["ALERT_RAISED", "ALERT_SHELVED", "ALERT_RAISED"]
        assert "shelvedUntil" not in await plant.the_alert()

    async def test_what_is_raised_anew_under_the_shelf_is_silent_until_its_end(self, plant: Plant) -> None:
        await silence_is_fine(plant)
        rule = await plant.rule()
        await plant.take(cabinet(0, 260))
        await plant.alerts.shelve(await plant.the_id(), minutes=10, caller=ANNA)
        await plant.take(cabinet(30, 200), cabinet(60, 260), by=plant.process())
        assert plant.told.types == ["ALERT_RAISED", "ALERT_SHELVED", "ALERT_RESOLVED"]
        plant.clock.set(at(600))
        await plant.watch()
        assert plant.told.types[3:] == ["ALERT_RAISED"]
        newest = (await plant.all_alerts())[-1]
        assert newest["id"] == f"a:{rule.id}:20261121T100100000Z"
        raised = list(plant.told.events.values())[-1]
        assert raised.data["triggered_at"] == "2026-11-21T10:01:00.000Z"

    async def test_flapping_under_the_shelf_is_never_told(self, plant: Plant) -> None:
        await silence_is_fine(plant)
        await plant.rule()
        await plant.take(cabinet(0, 260))
        await plant.alerts.shelve(await plant.the_id(), minutes=60, caller=ANNA)
        await plant.take(*(cabinet(30 * i, 200 if i % 2 else 260) for i in range(1, 21)))
        assert plant.told.types == ["ALERT_RAISED", "ALERT_SHELVED", "ALERT_RESOLVED"]
        assert len(await plant.all_alerts()) == 11

    async def test_shelving_anew_moves_the_end(self, plant: Plant) -> None:
        await silence_is_fine(plant)
        await plant.rule()
        await plant.take(cabinet(0, 260))
        alert_id = await plant.the_id()
        await plant.alerts.shelve(alert_id, minutes=10, caller=ANNA)
        plant.clock.set(at(300))
        await plant.alerts.shelve(alert_id, minutes=10, caller=ANNA)
        plant.clock.set(at(700))
        await plant.watch()
        assert plant.told.types == ["ALERT_RAISED", "ALERT_SHELVED", "ALERT_SHELVED"]
        plant.clock.set(at(900))
        await plant.watch()
        assert plant.told.types[-1] == "ALERT_RAISED"

    async def test_shelved_anew_at_the_very_moment_it_ends(self, plant: Plant) -> None:
        await silence_is_fine(plant)
        await plant.rule()
        await plant.take(cabinet(0, 260))
        alert_id, other = await plant.the_id(), plant.process()
        await plant.alerts.shelve(alert_id, minutes=10, caller=ANNA)
        plant.clock.set(at(600))
        plant.store.meanwhile[("read", "alerts")] = lambda: other.shelve(alert_id, minutes=10, caller=ANNA)
        await plant.watch()
        assert plant.told.types == ["ALERT_RAISED", "ALERT_SHELVED", "ALERT_SHELVED"]
        assert (await plant.the_alert())["shelvedUntil"] == "2026-11-21T10:20:00.000Z"


class TestGone:
    async def test_a_machine_that_was_removed_takes_its_alerts_along(self, plant: Plant) -> None:
        await plant.rule()
        await plant.take(cabinet(0, 260))
        await plant.house.store.delete("equipment", ("OVEN-1",), "OVEN-1")
        plant.clock.advance(120)
        await plant.alerts.watch([])
        alert = await plant.the_alert()
        assert (alert["state"], alert["clearReason"]) == ("cleared_unacknowledged", "The machine was removed.")

    async def test_a_machine_that_is_no_longer_read_loses_the_builtin_rules(self, plant: Plant) -> None:
        await plant.take(failed(0), failed(30), failed(60))
        plant.oven = replace(plant.oven, iot_enabled=False)
        await plant.house.store.replace("equipment", plant.oven.to_document())
        plant.clock.advance(120)
        await plant.alerts.watch([])
        assert (await plant.the_alert())["state"] == "cleared_unacknowledged"

    async def test_a_machine_read_by_a_relay_keeps_its_alerts(self, plant: Plant) -> None:
        await plant.rule()
        await plant.take(cabinet(0, 260))
        plant.clock.advance(120)
        await plant.alerts.watch([])
        assert (await plant.the_alert())["state"] == "active_unacknowledged"

    async def test_a_rule_that_was_deleted_ends_its_alert_also_on_a_silent_machine(self, plant: Plant) -> None:
        rule = await plant.rule()
        await plant.take(cabinet(0, 260))
        await plant.rules.delete("OVEN-1", rule.id, ANNA, etag=None)
        plant.clock.advance(70)
        await plant.watch()
        assert (await plant.the_alert())["state"] == "cleared_unacknowledged"


@pytest.mark.parametrize("machines", [40])
async def test_one_tick_over_many_machines(plant: Plant, machines: int) -> None:
    ovens = [replace(plant.oven, id=f"OVEN-{i}", name=f"Oven {i}") for i in range(machines)]
    await plant.alerts.watch(ovens)
    plant.clock.advance(200)
    await plant.alerts.watch(ovens)
    assert len(await plant.all_alerts()) == machines
    page = await plant.house.store.query("alertStates", Query(limit=1000))
    assert len(page.items) == machines


async def test_disabled_stale_rule_is_silent_about_silence(plant: Plant) -> None:
    await silence_is_fine(plant)
    await plant.take(cabinet(0, 180), bad(30))
    await silent_until(plant, 600)
    assert await plant.all_alerts() == []
