"""From browse names to signals, by the profiles of OPC 30200."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.mapping import SIGNAL_KEY, SignalSpec
from shared.connectors.opc_ua_model import match
from shared.connectors.profiles import DeviceModel, profile_of

PROFILES = ["opc30200-combi", "opc30200-oven"]


def model(name: str) -> DeviceModel:
    profile = profile_of(name)
    assert profile is not None
    assert profile.opc_ua is not None
    return profile.opc_ua


def keys(name: str, *paths: str) -> dict[str, str]:
    return {one.key: one.path for one in match(model(name), paths)}


@pytest.mark.parametrize("first", [0, 1])
def test_chambers_count_from_nought_or_one(first: int) -> None:
    path = f"CombiSteamer/ActualTemperatureChamber_{first}"
    second = f"CombiSteamer/ActualTemperatureChamber_{first + 1}"
    assert keys("opc30200-combi", second, path) == {
        "temperature.cabinet": path,
        f"temperature.chamber{first + 1}": second,
    }


def test_ten_comes_after_two() -> None:
    paths = [f"CombiSteamer/ActualTemperatureChamber_{n}" for n in (10, 2)]
    assert keys("opc30200-combi", *paths)["temperature.cabinet"].endswith("_2")


def test_an_oven_with_one_chamber_has_a_cabinet() -> None:
    paths = ["Chamber_1/ActualChamberTemperature_1", "Chamber_1/SetChamberTemperature", "Chamber_1/OperationMode"]
    assert keys("opc30200-oven", *paths) == {
        "temperature.cabinet": paths[0],
        "temperature.setpoint": paths[1],
        "status": paths[2],
        "cycle.stage": paths[2],
    }


def test_an_oven_with_decks() -> None:
    found = keys(
        "opc30200-oven",
        *(f"Chamber_{deck}/ActualTopTemperature_{probe}" for deck in (1, 2) for probe in (1, 2)),
        "Chamber_1/IsDoorOpen",
        "Chamber_2/IsDoorOpen",
    )
    assert list(found) == [
        "temperature.deck1.top",
        "temperature.deck1.top.probe2",
        "temperature.deck2.top",
        "temperature.deck2.top.probe2",
        "door.open",
        "deck2.door_open",
    ]


def test_what_the_type_does_not_have_is_left_out() -> None:
    assert keys("opc30200-combi", "CombiSteamer/Colour", "IsDoorOpen", "CombiSteamer/IsDoorOpen/EURange") == {}


@pytest.mark.parametrize("name", PROFILES)
def test_the_profiles_are_mappings(name: str) -> None:
    for rule in model(name).signals:
        SignalSpec.model_validate({"at": "i=1", **rule.spec})
        for key in (rule.key, rule.single, rule.others):
            if key is not None:
                assert SIGNAL_KEY.fullmatch(key.replace("{1}", "1").replace("{2}", "2")), key


@given(st.sampled_from(PROFILES), st.lists(st.text("Chamber_0123/ActualTempIs<>.", max_size=40), max_size=30))
def test_any_names_give_proper_keys_once(name: str, paths: list[str]) -> None:
    found = match(model(name), paths)
    assert len({one.key for one in found}) == len(found)
    assert all(SIGNAL_KEY.fullmatch(one.key) for one in found)
