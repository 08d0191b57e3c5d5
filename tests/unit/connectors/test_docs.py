"""docs/equipment-mapping.md is true: its configurations are accepted and its answers give the values it shows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.connectors import ConnectorFactory
from shared.connectors.credentials import Credentials
from shared.connectors.extract import extract
from shared.connectors.mapping import SignalSpec
from shared.connectors.modbus_config import ModbusOptions
from shared.connectors.mqtt_config import MqttCredentials, MqttOptions
from shared.connectors.opc_ua_config import OpcUaCredentials, OpcUaOptions
from shared.connectors.profiles import fields, profile_of, profiles
from shared.connectors.rest_config import RestOptions
from shared.connectors.rest_items import ItemSpec
from shared.connectors.rest_order import WriteSpec
from shared.connectors.rest_pages import read_answer
from shared.connectors.rest_paging import Paging
from shared.connectors.rest_plan import plan
from shared.connectors.rest_shared import Page
from shared.outgoing.targets import TargetPolicy

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "equipment-mapping.md").read_text("utf-8")
BLOCKS = [(kind, json.loads(text)) for kind, text in re.findall(r"```json (\w+)\n(.*?)```", PAGE, re.DOTALL)]
CONFIGS = [block for kind, block in BLOCKS if kind == "config"]
EXAMPLES = [
    (BLOCKS[n][1], BLOCKS[n + 1][1], BLOCKS[n + 2][1])
    for n in range(len(BLOCKS) - 2)
    if [kind for kind, _ in BLOCKS[n : n + 3]] == ["config", "answer", "values"]
]


def test_every_block_is_one_we_know() -> None:
    assert PAGE.count("```json") == len(BLOCKS) >= 8
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: str(c["endpoint"]))
def test_the_configurations_are_accepted(config: dict[str, Any]) -> None:
    ConnectorFactory.check(config["protocol"], config)


@pytest.mark.parametrize(
    ("config", "answer", "values"), EXAMPLES, ids=["without", "with", "item", "pages", "moved fields"]
)
async def test_the_answers_give_the_values_shown(config: dict[str, Any], answer: Any, values: dict[str, Any]) -> None:
    profile = profile_of(config["protocol"])
    assert profile is not None
    targets = TargetPolicy(allow_private=False, allow_http=False)
    worked_out = plan(config, profile, "oven-1", targets)
    times = replace(worked_out.times, now=NOW)

    async def ask(url: str) -> Page:
        return Page(answer, NOW, 1.0, 1_000)

    where = (await read_answer(worked_out, targets, times, ask)).where
    found = extract(where.whole, worked_out, times=times, moved=worked_out.moved, item=where)
    assert {key: value.value for key, value in found.values.items()} == values
    assert (found.nothing, found.hint) == (None, None)
    assert {value.reason for value in found.values.values()} <= {None, "sensor sentinel 32767"}


def test_every_option_and_field_is_on_the_page() -> None:
    named = [*SignalSpec.model_fields, *RestOptions.model_fields, *Credentials.model_fields, *profiles()]
    named += [*Paging.model_fields, *ItemSpec.model_fields, *WriteSpec.model_fields]
    named += [*OpcUaOptions.model_fields, *OpcUaCredentials.model_fields]
    named += [*ModbusOptions.model_fields]
    named += [*MqttOptions.model_fields, *MqttCredentials.model_fields]
    named += [spec.at for spec in fields().signals.values()] + list(fields().signals)
    missing = [name for name in named if name != "at" and f"`{name}`" not in PAGE and f".{name}`" not in PAGE]
    assert missing == []


MAKERS = (Path(__file__).resolve().parents[3] / "docs" / "equipment.md").read_text("utf-8")


@pytest.mark.parametrize(
    "config",
    [json.loads(text) for text in re.findall(r"```json config\n(.*?)```", MAKERS, re.DOTALL)],
    ids=lambda c: f"{c['protocol']} {c['endpoint']}",
)
def test_the_configurations_of_the_makers_are_accepted(config: dict[str, Any]) -> None:
    ConnectorFactory.check(config["protocol"], {k: v for k, v in config.items() if k != "poll_interval_seconds"})


@pytest.mark.parametrize("maker", ["Rational", "Wachtel", "SALVA", "Farjas", "COLBAKE", "Sveba Dahlen"])
def test_every_maker_of_the_guide_has_a_way_an_example_and_an_honest_word(maker: str) -> None:
    sections = [" ".join(part.split()) for part in MAKERS.split("\n## ")[1:] if part.startswith(maker)]
    assert len(sections) == 1
    assert "```json config" in sections[0]
    assert re.search(r"Verified(:| against| as)", sections[0])
    assert "ot verified: " in sections[0]
    assert f"| {maker} | `" in MAKERS.partition("\n## ")[0]


def test_the_links_within_the_page_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).strip().replace(" ", "-")
        for line in MAKERS.splitlines()
        if line.startswith("## ")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", MAKERS)) <= headings
