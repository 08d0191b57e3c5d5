"""Readings become alerts, once: whoever judges, whoever dies, whatever comes twice."""

from __future__ import annotations

import asyncio

import pytest

from shared.alerts.rule_forms import RuleForm
from shared.errors import Unavailable
from shared.signals import Reading
from shared.storage import Query
from tests.unit.alerts.conftest import ANNA, KilledError, Plant
from tests.unit.alerts.readings import CABINET, at, bad, cabinet, failed, reading


async def test_an_alert_tells_what_is_wrong(plant: Plant) -> None:
    rule = await plant.rule(severity="critical", on_delay_seconds=60, deadband=5)
    await plant.take(cabinet(0, 240), cabinet(30, 262), cabinet(60, 263), cabinet(90, 262))
    alert = await plant.the_alert()
    assert alert["message"] == "Horno Principal #1: cabinet 262 °C, limit 250 °C (above for 60 s)"
    assert alert["id"] == f"a:{rule.id}:20261121T100130000Z"
    assert (alert["alertType"], alert["severity"]) == ("temperature_deviation", "critical")
    assert (alert["state"], alert["status"]) == ("active_unacknowledged", "active")
    assert (alert["value"], alert["limit"], alert["unit"]) == (262, 250, "C")
    assert alert["readingIdAtRaise"] == "r:20261121T100130000Z:poll"
    assert alert["ruleText"] == (
        "cabinet above 250 °C; raised after 60 s; over when it is 5 °C inside the limit; critical"
    )
    assert (alert["triggeredAt"], alert["conditionSince"]) == ("2026-11-21T10:01:30.000Z", "2026-11-21T10:00:30.000Z")
    (event,) = plant.told.events.values()
    assert event.type == "ALERT_RAISED"
    assert (event.object_type, event.object_id, event.site, event.severity) == (
        "MACHINE",
        "OVEN-1",
        "madrid",
        "critical",
    )
    alert_id = f"OVEN-1:{rule.id}:20261121T100130000Z"
    assert event.data == {
        "alert_id": alert_id,
        "equipment_id": "OVEN-1",
        "equipment_name": "Horno Principal #1",
        "alert_type": "temperature_deviation",
        "severity": "critical",
        "status": "active",
        "message": alert["message"],
        "signal": CABINET,
        "value": 262,
        "compared_value": None,
        "unit": "C",
        "limit": 250,
        "triggered_at": "2026-11-21T10:01:30.000Z",
        "url": f"https://hub.example/api/v1/alerts/{alert_id}",
    }
    assert "unpublished" not in alert


async def test_it_clears_by_itself_with_peak_duration_and_gaps(plant: Plant) -> None:
    await plant.rule()
    await plant.take(cabinet(0, 260), cabinet(30, 287), bad(60), failed(90), cabinet(120, 251), cabinet(150, 250))
    alert = await plant.the_alert()
    assert (alert["state"], alert["status"]) == ("cleared_unacknowledged", "resolved")
    assert (alert["peak"], alert["durationSeconds"], alert["badReadings"]) == (287, 150, 2)
    assert alert["resolvedAt"] == alert["clearedAt"] == "2026-11-21T10:02:30.000Z"
    assert alert["readingIdAtClear"] == "r:20261121T100230000Z:poll"
    assert plant.told.types == ["ALERT_RAISED", "ALERT_RESOLVED"]
    resolved = list(plant.told.events.values())[-1]
    assert resolved.data["status"] == "resolved"
    assert (resolved.data["resolved_at"], resolved.data["duration_seconds"]) == ("2026-11-21T10:02:30.000Z", 150)
    assert resolved.data["by"] == "Ovenbridge"


async def test_a_reading_that_changes_nothing_costs_no_call(plant: Plant) -> None:
    await plant.rule(when={"signal": "status", "equals": "running"})
    await plant.take(reading(0, {CABINET: 180}, status="running"), reading(30, {CABINET: 181}, status="running"))
    plant.store.taken()
    for i in range(2, 3):
        await plant.alerts.evaluate(plant.oven, reading(30 * i, {CABINET: 180 + i}, status="running"))
    assert plant.store.taken() == []


async def test_the_state_is_looked_at_again_after_a_minute_at_the_latest(plant: Plant) -> None:
    await plant.take(*(cabinet(30 * i, 180) for i in range(2)))
    plant.store.taken()
    await plant.take(*(cabinet(30 * i, 180) for i in range(2, 22)))
    calls = plant.store.taken()
    assert calls.count(("read", "alertStates")) == 10
    assert {c for c in calls if c[0] != "read"} == {("query", "alertRules")}


async def test_the_same_reading_twice_and_late_ones_make_one_alert(plant: Plant) -> None:
    await plant.rule()
    await plant.take(cabinet(0, 260), cabinet(0, 260), cabinet(30, 261), cabinet(10, 100), cabinet(0, 260))
    assert (await plant.the_alert())["state"] == "active_unacknowledged"
    assert plant.told.calls == 1


class TestRestart:
    async def test_a_late_reading_moves_nothing_after_a_restart(self, plant: Plant) -> None:
        """The newest judged time is only in memory; what was recorded tells that a reading is late."""
        await plant.rule()
        await plant.take(*(cabinet(30 * i, 180) for i in range(10)))
        await plant.take(cabinet(15, 300), by=plant.process())
        assert await plant.all_alerts() == []
        await plant.take(cabinet(300, 300))
        fresh = plant.process()
        await plant.take(cabinet(16, 100), by=fresh)
        await plant.take(cabinet(300, 300), by=fresh)
        assert (await plant.the_alert())["state"] == "active_unacknowledged"

    async def test_delays_go_on_after_a_restart(self, plant: Plant) -> None:
        await plant.rule(on_delay_seconds=60, off_delay_seconds=60)
        for i, value in enumerate((240, 260, 260, 260, 240, 240)):
            await plant.take(cabinet(30 * i, value), by=plant.process())
        assert (await plant.the_alert())["state"] == "active_unacknowledged"
        await plant.take(cabinet(180, 240), by=plant.process())
        assert (await plant.the_alert())["state"] == "cleared_unacknowledged"

    async def test_the_peak_survives_to_within_its_step(self, plant: Plant) -> None:
        await plant.rule()
        await plant.take(cabinet(0, 260), cabinet(30, 290))
        await plant.take(cabinet(60, 200), by=plant.process())
        assert (await plant.the_alert())["peak"] == 290

    async def test_a_reading_is_not_newer_than_itself_read_back(self, plant: Plant) -> None:
        """Times are stored in milliseconds; devices are read at any microsecond."""
        await plant.rule("connection_lost", failures=2, on_delay_seconds=0)
        for _ in range(3):
            await plant.take(failed(0.0007), by=plant.process())
        assert await plant.all_alerts() == []
        state = await plant.house.store.read("alertStates", ("OVEN-1",), "state")
        assert state.document["rules"]["builtin-connection_lost"]["failures"] == 1


class TestSeveralInstances:
    async def test_they_take_turns_and_make_one_alert(self, plant: Plant) -> None:
        await plant.rule(on_delay_seconds=60, off_delay_seconds=60)
        both = (plant.process(), plant.process())
        values = [240, 260, 261, 262, 263, 240, 240, 240, 240]
        for i, value in enumerate(values):
            await plant.take(cabinet(30 * i, value), by=both[i % 2])
        alert = await plant.the_alert()
        assert (alert["triggeredAt"], alert["clearedAt"]) == ("2026-11-21T10:01:30.000Z", "2026-11-21T10:03:30.000Z")
        assert plant.told.types == ["ALERT_RAISED", "ALERT_RESOLVED"]

    async def test_what_one_saw_restarts_the_delay_of_the_other(self, plant: Plant) -> None:
        """One instance sees only values above, the other the good ones between: nothing was above for 60 s."""
        await plant.rule(on_delay_seconds=60)
        one, other = plant.process(), plant.process()
        await plant.take(cabinet(-30, 240), by=one)
        await plant.take(cabinet(-29, 240), by=other)
        for s in range(0, 300, 20):
            await plant.take(cabinet(s, 260), by=one)
            await plant.take(cabinet(s + 10, 240), by=other)
        assert await plant.all_alerts() == []

    async def test_the_same_for_the_off_delay(self, plant: Plant) -> None:
        await plant.rule(off_delay_seconds=60)
        one, other = plant.process(), plant.process()
        await plant.take(cabinet(0, 260), by=one)
        for s in range(10, 300, 20):
            await plant.take(cabinet(s, 240), by=one)
            await plant.take(cabinet(s + 10, 260), by=other)
        assert (await plant.the_alert())["state"] == "active_unacknowledged"

    async def test_both_at_once_decide_once(self, plant: Plant) -> None:
        await plant.rule()
        many = [plant.process() for _ in range(5)]
        await plant.house.readings.record(cabinet(0, 260))
        await asyncio.gather(*(one.evaluate(plant.oven, cabinet(0, 260)) for one in many))
        assert len(await plant.all_alerts()) == 1
        assert list(plant.told.types) == ["ALERT_RAISED"]

    async def test_what_another_one_raised_is_seen_after_a_gap(self, plant: Plant) -> None:
        await plant.rule()
        one, other = plant.process(), plant.process()
        await plant.take(cabinet(0, 240), by=other)
        await plant.take(cabinet(10, 260), by=one)
        await plant.take(cabinet(55, 240), by=other)
        assert (await plant.the_alert())["state"] == "cleared_unacknowledged"

    async def test_what_somebody_wrote_in_between_is_not_lost(self, plant: Plant) -> None:
        rule = await plant.rule(off_delay_seconds=60)
        await plant.take(cabinet(0, 260))
        alert_id, other = await plant.the_id(), plant.process()
        plant.store.meanwhile[("replace", "alertStates")] = lambda: other.shelve(alert_id, minutes=60, caller=ANNA)
        await plant.take(cabinet(30, 240))
        state = await plant.house.store.read("alertStates", ("OVEN-1",), "state")
        assert rule.id in state.document["shelves"]
        assert "clearingSince" in state.document["rules"][rule.id]

    async def test_a_remark_in_between_does_not_make_it_told_twice(self, plant: Plant) -> None:
        await plant.rule()
        other = plant.process()

        async def remark() -> None:
            await other.comment(await plant.the_id(), caller=ANNA, comment="on my way")

        plant.store.meanwhile[("replace", "alerts")] = remark
        await plant.take(cabinet(0, 260))
        alert = await plant.the_alert()
        assert [c["text"] for c in alert["comments"]] == ["on my way"]
        assert "unpublished" not in alert
        assert plant.told.types == ["ALERT_RAISED"]

    async def test_a_haccp_hold_is_judged_over_what_both_recorded(self, plant: Plant) -> None:
        await plant.rule("reach", signal="temperature.core", limit=74, hold_seconds=60)
        one, other = plant.process(), plant.process()

        def step(s: float, status: str, value: float) -> Reading:
            return reading(s, {"temperature.core": value}, status=status)

        await plant.take(step(0, "idle", 20), by=one)
        for s in range(10, 130, 20):
            await plant.take(step(s, "running", 75), by=one)
            await plant.take(step(s + 10, "running", 70), by=other)
        await plant.take(step(140, "idle", 70), by=one)
        alert = await plant.the_alert()
        assert alert["alertType"] == "haccp_not_reached"
        assert "did not reach 74 °C for 60 s" in alert["message"]


class TestDying:
    """The process dies at a store call; another one goes on. One alert, told once, none lost."""

    async def test_the_next_reading_carries_out_what_was_decided(self, plant: Plant) -> None:
        await plant.rule()
        plant.store.die_at = ("create", "alerts")
        with pytest.raises(KilledError):
            await plant.take(cabinet(0, 260))
        await plant.take(cabinet(30, 261), by=plant.process())
        assert (await plant.the_alert())["triggeredAt"] == "2026-11-21T10:00:00.000Z"
        assert plant.told.types == ["ALERT_RAISED"]

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(
        "place",
        [("create", "alertStates"), ("create", "alerts"), ("replace", "alerts"), ("replace", "alertStates")],
        ids="-".join,
    )
    @pytest.mark.parametrize("then", ["repeat", "next", "watch"])
    async def test_while_raising(self, plant: Plant, place: tuple[str, str], after: bool, then: str) -> None:
        await plant.rule()
        plant.store.die_at, plant.store.die_after = place, after
        with pytest.raises(KilledError):
            await plant.take(cabinet(0, 260))
        survivor = plant.process()
        if then == "watch":
            await plant.watch(survivor)
        else:
            await plant.take(cabinet(0 if then == "repeat" else 30, 260), by=survivor)
        nothing_was_decided = place == ("create", "alertStates") and not after
        if nothing_was_decided and then == "watch":
            assert await plant.all_alerts() == []
            return
        await plant.watch(survivor)
        alert = await plant.the_alert()
        assert "unpublished" not in alert
        assert plant.told.types == ["ALERT_RAISED"]
        page = await plant.house.store.query("alertStates", Query())
        assert all("unfinished" not in stored.document for stored in page.items)

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("place", [("replace", "alertStates"), ("replace", "alerts")], ids="-".join)
    async def test_while_clearing(self, plant: Plant, place: tuple[str, str], after: bool) -> None:
        await plant.rule()
        await plant.take(cabinet(0, 260))
        plant.store.die_at, plant.store.die_after = place, after
        with pytest.raises(KilledError):
            await plant.take(cabinet(30, 200))
        survivor = plant.process()
        await plant.take(cabinet(30, 200), by=survivor)
        await plant.watch(survivor)
        assert (await plant.the_alert())["state"] == "cleared_unacknowledged"
        assert plant.told.types == ["ALERT_RAISED", "ALERT_RESOLVED"]

    async def test_a_subscriber_that_is_away_is_told_later(self, plant: Plant) -> None:
        await plant.rule()
        plant.told.away = True
        await plant.take(cabinet(0, 260), cabinet(30, 200))
        assert (await plant.the_alert())["unpublished"]
        await plant.watch()
        assert plant.told.types == []
        plant.told.away = False
        await plant.watch(plant.process())
        assert plant.told.types == ["ALERT_RAISED", "ALERT_RESOLVED"]
        assert next(iter(plant.told.events.values())).data["status"] == "active"
        assert "unpublished" not in await plant.the_alert()


class TestRuleChanges:
    async def test_disabling_a_rule_ends_its_alert_with_the_reason(self, plant: Plant) -> None:
        rule = await plant.rule()
        await plant.take(cabinet(0, 260))
        form = RuleForm.model_validate({"enabled": False})
        await plant.rules.change("OVEN-1", rule.id, form, ANNA, profile=None, etag=None)
        await plant.take(cabinet(30, 260))
        alert = await plant.the_alert()
        assert alert["state"] == "cleared_unacknowledged"
        assert "disabled, removed or replaced" in alert["clearReason"]

    async def test_a_new_limit_counts_at_the_next_reading_and_the_alert_keeps_its_version(self, plant: Plant) -> None:
        rule = await plant.rule()
        await plant.take(cabinet(0, 260))
        form = RuleForm.model_validate({"limit": 270})
        await plant.rules.change("OVEN-1", rule.id, form, ANNA, profile=None, etag=None)
        await plant.take(cabinet(30, 260))
        alert = await plant.the_alert()
        assert (alert["state"], alert["ruleVersion"], alert["limit"]) == ("cleared_unacknowledged", 1, 250)


async def test_builtin_rules_watch_connection_and_error(plant: Plant) -> None:
    await plant.take(failed(0), failed(30))
    assert await plant.all_alerts() == []
    await plant.take(failed(60))
    alert = await plant.the_alert()
    assert alert["alertType"] == "connection_lost"
    assert alert["message"] == (
        "Horno Principal #1: cannot be read since 10:00:00 UTC (3 attempts): The device did not answer in time."
    )
    await plant.take(reading(90, status="Error"))
    lost, error = await plant.all_alerts()
    assert lost["state"] == "cleared_unacknowledged"
    assert (error["alertType"], error["message"]) == ("equipment_error", "Horno Principal #1: status is Error")


async def test_a_store_that_is_away_is_said_and_nothing_is_lost(plant: Plant) -> None:
    await plant.rule()
    await plant.rules.rules_for(plant.oven)
    real = plant.house.store.read

    async def away(*_: object, **__: object) -> object:
        raise Unavailable("The store is away.")

    plant.house.store.read = away  # type: ignore[method-assign, assignment]
    with pytest.raises(Unavailable):
        await plant.take(cabinet(0, 260))
    plant.house.store.read = real  # type: ignore[method-assign]
    await plant.take(cabinet(0, 260))
    assert (await plant.the_alert())["triggeredAt"] == "2026-11-21T10:00:00.000Z"
    assert at(0) == plant.clock.now()
