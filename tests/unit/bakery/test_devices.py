"""What the plant's devices say about their physics, and that the hub understands it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.bakery import combi, deck, hall
from local.bakery.children import Child
from local.bakery.devices import DEVICES, SampleDevice
from local.bakery.family import Family, Start
from local.bakery.hall import Hall, HallOptions
from local.bakery.physics import STAGES, OvenSimulation
from local.bakery.proofer import telemetry
from local.bakery.proofing import ProoferSimulation
from local.bakery.relay import relay_environment
from local.bakery.screen import plant_to_look_at
from shared.connectors import ConnectorFactory
from shared.connectors.profiles import profiles


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.id)
def test_the_hub_takes_its_configuration(device: SampleDevice) -> None:
    config = device.iot_config(4840)
    wanted = {key: config[key] for key in ("endpoint", "port", "additional_config")} | {"credentials": {}}
    ConnectorFactory.check(config["protocol"], wanted)


def test_one_signal_alone_may_be_written() -> None:
    open_for_writing = [
        (device.id, key)
        for device in DEVICES
        for key, spec in device.config.get("signals", {}).items()
        if isinstance(spec, dict) and spec.get("writable")
    ]
    assert open_for_writing == [("deck-1", "temperature.deck1.setpoint")]
    assert [device.id for device in DEVICES if device.remote_control] == ["deck-1"]


@given(st.integers(0, 2**32), st.floats(0, 20_000))
@settings(max_examples=30, deadline=None)
def test_registers_say_what_the_oven_is(seed: int, seconds: float) -> None:
    oven = OvenSimulation(seed)
    oven.advance(seconds)
    registers = deck.measured(oven)
    assert all(0 <= one <= 0xFFFF for one in registers)
    temperature, core, humidity, stage, progress, left, high, low, bits = registers
    assert temperature / 10 == pytest.approx(oven.temperature, abs=0.051)
    assert core / 10 == pytest.approx(oven.core if oven.core is not None else 31, abs=0.1)
    assert humidity / 10 == pytest.approx(oven.humidity, abs=0.051)
    assert deck.SIGNALS["cycle.stage"]["map"][str(stage)] == oven.stage  # type: ignore[index]
    assert deck.SIGNALS["status"]["map"][str(stage)] == oven.status  # type: ignore[index]
    assert (progress, left) == (round(oven.progress or 0), round((oven.minutes_left or 0) * 60))
    assert (high << 16 | low) / 100 == pytest.approx(oven.energy, abs=0.0051)
    assert (bool(bits & 1), bool(bits & 2)) == (oven.door_open, oven.power > 0)
    assert deck.measured(oven, broken_sensor=True)[1] == 32767


def test_every_stage_is_a_mode_that_the_profile_knows() -> None:
    model = profiles()["opc30200-combi"].opc_ua
    assert model is not None
    known = {signal.key: signal.spec["map"] for signal in model.signals if signal.path.endswith("CombiSteamerMode")}
    oven = OvenSimulation(3)
    seen = {}
    for _ in range(400):
        oven.advance(60)
        seen[oven.stage] = str(combi.mode(oven))
    assert set(seen) == set(STAGES)
    assert {known["status"][seen[stage]] for stage in ("idle", "preheating", "cleaning")} == {
        "standby",
        "preheating",
        "cleaning",
    }
    assert known["status"][seen["baking"]] == "cooking"
    assert known["status"][str(combi.mode(oven, fault="error"))] == "error"
    paths = {signal.path.replace("_*", "_1").partition("/")[2] for signal in model.signals}
    assert {point.name for point in combi.POINTS} <= paths, "each variable is one that the profile reads"


def test_a_set_point_by_hand_holds_until_the_oven_is_idle_again() -> None:
    oven = OvenSimulation(3)
    while oven.stage != "preheating":
        oven.advance(1)
    oven.by_hand = 150.0
    stages = [oven.stage]
    while stages[-1] != "idle":
        assert len(stages) < 8, stages
        assert oven.set_point == 150.0
        oven.advance(1)
        if oven.stage != stages[-1]:
            stages.append(oven.stage)
            if oven.stage == "unloading":
                assert oven.temperature < 160, "it bakes at what was set"
    assert "baking" in stages
    assert oven.set_point == 160.0, "its own again"


@given(st.integers(0, 2**32), st.lists(st.floats(0, 3_000), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_a_proofer_is_the_same_however_often_one_looks(seed: int, pieces: list[float]) -> None:
    at_once, in_pieces = ProoferSimulation(seed), ProoferSimulation(seed)
    steps = 0.0
    for piece in pieces:
        in_pieces.advance(float(int(piece)))
        steps += int(piece)
        assert 20 < in_pieces.temperature < 40
        assert 40 < in_pieces.humidity < 80
    at_once.advance(steps)
    at = datetime.now(UTC)
    assert telemetry(at_once, at) == telemetry(in_pieces, at)


def test_a_proofer_is_filled_and_emptied() -> None:
    proofer = ProoferSimulation(1)
    seen: list[str] = []
    for _ in range(4_500):
        proofer.advance(1)
        if not seen or seen[-1] != proofer.stage:
            seen.append(proofer.stage)
        assert (proofer.trolleys == 0) == (proofer.stage == "empty")
    assert seen[:5] == ["empty", "filling", "proofing", "emptying", "empty"]


def test_a_proofers_message() -> None:
    proofer = ProoferSimulation(1)
    at = datetime(2026, 11, 21, 10, tzinfo=UTC)
    told = json.loads(json.dumps(telemetry(proofer, at)))
    assert told == {
        "ts": "2026-11-21T10:00:00.000Z",
        "climate": {"temp": 31.0, "rh": 70.0},
        "door": "closed",
        "stage": "empty",
        "minutes_left": 0.0,
        "trolleys": 0,
    }
    assert telemetry(proofer, at, broken_sensor=True)["climate"]["temp"] is None


def test_the_relay_is_not_given_the_hubs_settings() -> None:
    environment = {
        "PATH": "/bin",
        "LOG_LEVEL": "DEBUG",
        "RELAY_TOKEN": "old",
        "DATA_DIR": "/hub",
        "KEY_VAULT_URI": "https://vault",
        "CosmosConnection__accountEndpoint": "https://cosmos",
        "ServiceBusConnection": "Endpoint=...",
    }
    assert relay_environment(environment) == {"PATH": "/bin", "LOG_LEVEL": "DEBUG"}


class Started(Family):
    """Starts nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[str] = []

    async def begin(self, name: str, start: Start, port: int = 0) -> Child:
        self.begun.append(name)
        child = Child(name, None, 40_000 + len(self.begun))  # type: ignore[arg-type]
        self._members[name] = (start, child)
        return child


@pytest.mark.parametrize("broker", [None, "/usr/sbin/mosquitto"])
async def test_without_a_broker_the_proofer_is_left_out_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str | None
) -> None:
    monkeypatch.setattr(hall, "find_broker", lambda: broker)
    family = Started()
    plant = Hall(HallOptions(tmp_path / "plant", None, 7, 12.0, calm=True), family)
    await plant.start_devices()
    await family.begin(hall.RELAY, partial(_never))
    text = plant_to_look_at("http://127.0.0.1:7071", plant, [])
    assert ("proofer-1" in text) == (broker is not None)
    assert ("apt-get install mosquitto" in text) == (broker is None)
    assert ("Proofer #1" in family.begun) == (broker is not None)
    assert max(len(line) for line in text.splitlines()) < 125 + len(str(tmp_path))


async def _never(port: int) -> Any:
    raise AssertionError(port)
