"""Alerts on somebody else's word: one for a series, whatever comes twice, late or after a death in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.access.model import system
from shared.alerts.handling import AlertFilter
from shared.alerts.model import AlertType, Severity
from shared.alerts.reported import Reported
from shared.clock import ManualClock
from shared.equipment.model import Equipment
from shared.errors import InvalidInput, Unavailable
from shared.services import Services
from tests.api import Api


@pytest.fixture
async def oven(api: Api, house: Services) -> Equipment:
    assert (await api.post("/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1"})).status == 201
    return (await house.equipment.get("OVEN-1"))[0]


def word(clock: ManualClock, key: str, *, holds: bool = True, **more: Any) -> Reported:
    said: dict[str, Any] = {"value": 95.0, "compared": 87.5, "unit": "C", "signal": "temperature.core"} | more
    return Reported(
        series="value-1",
        at=clock.now(),
        key=key,
        holds=holds,
        alert_type=AlertType.VALUE_MISMATCH,
        severity=Severity.WARNING,
        name="Entered value",
        message=f"Said by {key}.",
        **said,
    )


async def alerts(house: Services, *statuses: str) -> list[dict[str, Any]]:
    return list((await house.alerts.list(AlertFilter(statuses=statuses))).alerts)


async def types(api: Api, house: Services) -> list[str]:
    hours = [s.document async for s in _events(house)]
    return sorted(event["type"] for event in hours)


async def _events(house: Services) -> Any:
    from shared.storage import Query, every

    async for stored in every(house.store, "events", Query(limit=100)):
        yield stored


async def test_a_series_has_one_alert_until_it_is_over(
    api: Api, house: Services, oven: Equipment, clock: ManualClock
) -> None:
    assert await house.alerts.take(oven, word(clock, "0", holds=False)) is None
    first = await house.alerts.take(oven, word(clock, "1"))
    assert first == await house.alerts.take(oven, word(clock, "1")), "the same word again"
    clock.advance(60)
    assert await house.alerts.take(oven, word(clock, "2")) == first
    (alert,) = await alerts(house, "active")
    assert (alert["value"], alert["compared"], alert["alertType"]) == (95.0, 87.5, "value_mismatch")
    assert [line["action"] for line in alert["history"]] == ["raised", "reported"]
    shown = (await api.get(f"/api/v1/alerts/{first}")).json()
    assert (shown["value"], shown["compared_value"], shown["kind"]) == (95.0, 87.5, "reported")
    clock.advance(60)
    over = word(clock, "3", holds=False)
    assert await house.alerts.take(oven, over) == first == await house.alerts.take(oven, over)
    assert await alerts(house, "active") == []
    assert await types(api, house) == ["ALERT_RAISED", "ALERT_RESOLVED"]
    clock.advance(60)
    assert await house.alerts.take(oven, word(clock, "4")) not in (None, first)


async def test_what_comes_late_moves_nothing(house: Services, oven: Equipment, clock: ManualClock) -> None:
    late = word(clock, "late", holds=False)
    clock.advance(60)
    assert await house.alerts.take(oven, word(clock, "1"))
    assert await house.alerts.take(oven, late) is None
    assert len(await alerts(house, "active")) == 1


@pytest.mark.parametrize("anew", [True, False])
async def test_after_a_person_closed_it(house: Services, oven: Equipment, clock: ManualClock, anew: bool) -> None:
    first = await house.alerts.take(oven, word(clock, "1", anew=anew))
    assert first is not None
    await house.alerts.resolve(first, caller=system("test"))
    clock.advance(60)
    second = await house.alerts.take(oven, word(clock, "2", anew=anew))
    assert (second != first) is anew
    assert len(await alerts(house, "active")) == int(anew)


@pytest.mark.parametrize("newer_first", [False, True])
async def test_a_death_between_the_word_and_its_alert(
    house: Services, oven: Equipment, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, newer_first: bool
) -> None:
    async def dies(*_: object) -> None:
        raise Unavailable("The process dies here.")

    told = word(clock, "1")
    with monkeypatch.context() as death:
        death.setattr(type(house.alerts._reported._records), "open", dies)
        with pytest.raises(Unavailable):
            await house.alerts.take(oven, told)
    assert await alerts(house, "active") == []
    clock.advance(60)
    if newer_first:
        assert await house.alerts.take(oven, word(clock, "2"))
    await house.alerts.take(oven, told)
    (alert,) = await alerts(house, "active")
    assert alert["message"] == "Said by 1."


async def test_it_ends_with_its_machine(api: Api, house: Services, oven: Equipment, clock: ManualClock) -> None:
    await house.alerts.take(oven, word(clock, "1"))
    await house.alerts.watch([])
    assert len(await alerts(house, "active")) == 1, "a machine that nobody polls may be told of"
    assert (await api.delete("/api/v1/equipment/OVEN-1")).status == 204
    clock.advance(timedelta(minutes=2).total_seconds())
    await house.alerts.watch([])
    assert await alerts(house, "active") == []


async def test_a_shelf_silences_the_next_one(api: Api, house: Services, oven: Equipment, clock: ManualClock) -> None:
    first = await house.alerts.take(oven, word(clock, "1"))
    assert first is not None
    await house.alerts.shelve(first, minutes=30, caller=system("test"))
    clock.advance(60)
    await house.alerts.take(oven, word(clock, "2", holds=False))
    clock.advance(60)
    await house.alerts.take(oven, word(clock, "3"))
    (alert,) = await alerts(house, "active")
    assert alert["shelvedUntil"]
    assert (await types(api, house)).count("ALERT_RAISED") == 1


async def test_a_series_stands_in_ids(house: Services, oven: Equipment, clock: ManualClock) -> None:
    with pytest.raises(InvalidInput):
        await house.alerts.take(oven, replace(word(clock, "1"), series="a:b"))


async def test_what_becomes_worse_is_told_anew_and_wants_to_be_seen_again(
    api: Api, house: Services, oven: Equipment, clock: ManualClock
) -> None:
    first = await house.alerts.take(oven, word(clock, "1"))
    assert (await api.post(f"/api/v1/alerts/{first}/acknowledge", json={})).status == 200
    clock.advance(60)
    worse = replace(word(clock, "2"), severity=Severity.CRITICAL)
    assert await house.alerts.take(oven, worse) == first
    assert await house.alerts.take(oven, worse) == first, "the same word again"
    (alert,) = await alerts(house, "active")
    assert (alert["severity"], alert["state"]) == ("critical", "active_unacknowledged")
    assert await types(api, house) == ["ALERT_ACKNOWLEDGED", "ALERT_RAISED", "ALERT_RAISED"]
    clock.advance(60)
    assert await house.alerts.take(oven, word(clock, "3")) == first
    (alert,) = await alerts(house, "active")
    assert alert["severity"] == "warning"
    assert len(await types(api, house)) == 3, "becoming better is no news to wake people for"


async def test_worse_after_a_person_closed_it_is_a_new_alert(
    api: Api, house: Services, oven: Equipment, clock: ManualClock
) -> None:
    first = await house.alerts.take(oven, word(clock, "1"))
    assert (await api.post(f"/api/v1/alerts/{first}/resolve", json={})).status == 200
    clock.advance(60)
    assert await house.alerts.take(oven, word(clock, "2")) == first
    assert await alerts(house, "active") == []
    clock.advance(60)
    second = await house.alerts.take(oven, replace(word(clock, "3"), severity=Severity.CRITICAL))
    assert second != first
    assert len(await alerts(house, "active")) == 1


async def test_a_remembered_all_clear_keeps_a_late_word_from_opening(
    house: Services, oven: Equipment, clock: ManualClock
) -> None:
    late = word(clock, "1")
    clock.advance(1)
    assert await house.alerts.take(oven, replace(word(clock, "2", holds=False), remember=True)) is None
    assert await house.alerts.take(oven, late) is None
    assert await alerts(house, "active") == []
