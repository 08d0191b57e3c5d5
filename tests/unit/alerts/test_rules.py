"""Own rules, a profile's, the built-in ones: which counts, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared.alerts.model import Kind, Rule
from shared.alerts.rule_forms import RuleForm
from shared.alerts.rules import AlertRules, rule_view, split_rule_id
from shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from shared.services import Services
from tests.unit.alerts.conftest import ANNA, Plant


def form(**fields: Any) -> RuleForm:
    return RuleForm.model_validate(fields)


async def origins(plant: Plant) -> dict[str, str]:
    return {e.rule.id: e.origin for e in await plant.rules.effective(plant.oven)}


BUILTIN = {"builtin-connection_lost": "builtin", "builtin-equipment_error": "builtin", "builtin-stale": "builtin"}


async def test_every_machine_that_is_read_has_the_builtin_rules(plant: Plant) -> None:
    assert await origins(plant) == BUILTIN
    assert len(await plant.rules.rules_for(plant.oven)) == 3
    plant.oven = replace(plant.oven, iot_enabled=False)
    assert await origins(plant) == {}


async def test_silence_follows_the_poll_interval(plant: Plant) -> None:
    def after(rules: Sequence[Rule]) -> float | None:
        return next(r.after_seconds for r in rules if r.kind is Kind.STALE)

    assert after(await plant.rules.rules_for(plant.oven)) == 110
    slow = replace(plant.oven, poll_interval_seconds=300)
    assert after(await plant.rules.rules_for(slow)) == 920


async def test_a_profiles_rules_count_for_its_machines_and_their_own_go_before(plant: Plant) -> None:
    created = await plant.rules.create(
        "profile:deck_oven", form(kind="deviation", signal="temperature.deck1", limit=15), ANNA
    )
    plant.oven = replace(plant.oven, profile="deck_oven")
    rule_id = created.rule.id
    assert await origins(plant) == {**BUILTIN, rule_id: "profile:deck_oven"}
    changed = await plant.rules.change("OVEN-1", rule_id, form(limit=25), ANNA, profile="deck_oven", etag=None)
    assert (changed.origin, changed.replaces, changed.rule.limit) == ("equipment", "profile:deck_oven", 25)
    assert (await origins(plant))[rule_id] == "equipment"
    assert {r.limit for r in await plant.rules.rules_for(plant.oven) if r.id == rule_id} == {25}
    other = replace(plant.oven, id="OVEN-2")
    assert {r.limit for r in await plant.rules.rules_for(other) if r.id == rule_id} == {15}
    await plant.rules.delete("OVEN-1", rule_id, ANNA, etag=None)
    assert (await origins(plant))[rule_id] == "profile:deck_oven"


async def test_disabling_a_default_for_one_machine(plant: Plant) -> None:
    changed = await plant.rules.change("OVEN-1", "builtin-stale", form(enabled=False), ANNA, profile=None, etag=None)
    assert (changed.origin, changed.replaces, changed.own) == ("equipment", "builtin", True)
    assert "builtin-stale" not in {r.id for r in await plant.rules.rules_for(plant.oven)}
    assert (await origins(plant))["builtin-stale"] == "equipment"
    await plant.rules.delete("OVEN-1", "builtin-stale", ANNA, etag=None)
    assert await origins(plant) == BUILTIN
    with pytest.raises(Conflict, match='"enabled": false'):
        await plant.rules.delete("OVEN-1", "builtin-stale", ANNA, etag=None)


async def test_a_default_changed_for_a_profile(plant: Plant) -> None:
    await plant.rules.change("profile:x", "builtin-connection_lost", form(failures=5), ANNA, profile=None, etag=None)
    plant.oven = replace(plant.oven, profile="x")
    assert (await origins(plant))["builtin-connection_lost"] == "profile:x"
    assert {r.failures for r in await plant.rules.rules_for(plant.oven) if r.kind is Kind.CONNECTION_LOST} == {5}
    assert len(await plant.rules.effective_for_profile("x")) == 3


async def test_a_stale_etag_is_refused(plant: Plant) -> None:
    created = await plant.rules.create("OVEN-1", form(kind="high", signal="humidity", limit=80), ANNA)
    rule_id = created.rule.id
    changed = await plant.rules.change("OVEN-1", rule_id, form(limit=90), ANNA, profile=None, etag=created.etag)
    assert (changed.rule.version, changed.rule.limit) == (2, 90)
    with pytest.raises(PreconditionFailed):
        await plant.rules.change("OVEN-1", rule_id, form(limit=95), ANNA, profile=None, etag=created.etag)
    with pytest.raises(PreconditionFailed):
        await plant.rules.delete("OVEN-1", rule_id, ANNA, etag=created.etag)
    default = await plant.rules.get("OVEN-1", "builtin-stale", None)
    await plant.rules.change("OVEN-1", "builtin-stale", form(after_seconds=60), ANNA, profile=None, etag=default.etag)
    with pytest.raises(PreconditionFailed):
        await plant.rules.change(
            "OVEN-1", "builtin-stale", form(after_seconds=90), ANNA, profile=None, etag=default.etag
        )


async def test_every_change_is_an_audit_entry(plant: Plant, house: Services) -> None:
    created = await plant.rules.create("OVEN-1", form(kind="high", signal="humidity", limit=80), ANNA)
    await plant.rules.change("OVEN-1", created.rule.id, form(limit=90), ANNA, profile=None, etag=None)
    await plant.rules.delete("OVEN-1", created.rule.id, ANNA, etag=None)
    page = await house.audit.entries(stream="rule:OVEN-1", limit=10)
    entries = list(reversed(page.entries))
    assert [e.action for e in entries] == ["alert_rule.created", "alert_rule.changed", "alert_rule.deleted"]
    assert (entries[1].before["limit"], entries[1].after["limit"]) == (80, 90)
    assert {e.actor["id"] for e in entries} == {"token:anna"}


async def test_rules_are_read_once_a_minute_and_another_instances_change_counts_after(plant: Plant) -> None:
    other = AlertRules(plant.store, plant.house.audit, plant.clock)
    await other.rules_for(plant.oven)
    plant.store.taken()
    first = await other.rules_for(plant.oven)
    assert plant.store.taken() == []
    await plant.rules.create("OVEN-1", form(kind="high", signal="humidity", limit=80), ANNA)
    assert await other.rules_for(plant.oven) is first
    plant.clock.advance(60)
    assert len(await other.rules_for(plant.oven)) == 4
    plant.clock.advance(60)
    same = await other.rules_for(plant.oven)
    plant.clock.advance(60)
    assert await other.rules_for(plant.oven) is same


async def test_there_is_an_end_to_rules(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.alerts.rules.MAX_RULES", 2)
    for _ in range(2):
        await plant.rules.create("OVEN-1", form(kind="high", signal="humidity", limit=80), ANNA)
    with pytest.raises(Conflict, match="2 rules already"):
        await plant.rules.create("OVEN-1", form(kind="high", signal="humidity", limit=80), ANNA)


async def test_unknown_ids(plant: Plant) -> None:
    for nonsense in ("", "x", ":x", "x:"):
        with pytest.raises(NotFound):
            split_rule_id(nonsense)
    assert split_rule_id("profile:deck:R1") == ("profile:deck", "R1")
    with pytest.raises(NotFound):
        await plant.rules.get("OVEN-1", "nothing", None)
    with pytest.raises(NotFound):
        await plant.rules.delete("OVEN-1", "nothing", ANNA, etag=None)


async def test_what_the_api_shows(plant: Plant) -> None:
    created = await plant.rules.create(
        "OVEN-1", form(kind="high", signal="temperature.cabinet", limit=482, unit="F"), ANNA
    )
    view = rule_view(created)
    assert view["id"] == f"OVEN-1:{created.rule.id}"
    assert (view["limit"], view["unit"], view["limit_celsius"]) == (482, "F", 250)
    assert (view["equipment_id"], view["origin"], view["version"]) == ("OVEN-1", "equipment", 1)


async def test_a_store_that_is_away_is_no_empty_set_of_rules(plant: Plant) -> None:
    async def away(*_: object, **__: object) -> object:
        raise Unavailable("The store is away.")

    plant.house.store.query = away  # type: ignore[method-assign, assignment]
    with pytest.raises(Unavailable):
        await plant.rules.rules_for(plant.oven)
