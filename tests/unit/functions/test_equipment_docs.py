"""Every example of docs/api-equipment.md, run in its order; every answer shown there has the fields that come."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.clock import ManualClock
from shared.connectors.modbus_line import lines
from shared.services import Services
from tests.api import Api, ApiAnswer
from tests.unit.connectors.modbus_device import Device
from tests.unit.equipment.bench import Oven, oven

DOC = Path(__file__).resolve().parents[3] / "docs" / "api-equipment.md"
OVEN_URL = "http://127.0.0.1:8001"
MODBUS = "127.0.0.1:5020"
_FENCE = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Example:
    """A command of the page, the status it promises, and the answer shown below it."""

    words: list[str]
    status: int
    shown: Any = None


def examples() -> Iterator[Example]:
    last: Example | None = None
    for kind, text in _FENCE.findall(DOC.read_text("utf-8")):
        if kind == "json":
            assert last is not None
            last.shown = json.loads(text)
            continue
        for command in re.findall(r"^curl .*?# \d{3}$", text, re.MULTILINE | re.DOTALL):
            if last is not None:
                yield last
            promised = re.search(r"\s+# (\d{3})$", command)
            assert promised is not None
            last = Example(shlex.split(command[: promised.start()]), int(promised[1]))
    assert last is not None
    yield last


async def run(api: Api, words: list[str], there: Oven, variables: dict[str, str]) -> ApiAnswer:
    """What curl would do with these words."""
    method, url, headers, body = "GET", "", {}, None
    rest = iter([_filled(word, variables).replace(OVEN_URL, there.url) for word in words[1:]])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest)
        elif word != "-s":
            url = word
    assert url.startswith("http://127.0.0.1:7071/"), url
    return await api.call(method, url.removeprefix("http://127.0.0.1:7071"), body=body, headers=headers)


def _filled(word: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$([A-Z]+)", lambda found: variables[found[1]], word)


def same_form(shown: Any, came: Any, place: str = "") -> None:
    """The fields that the page shows are those that come; of maps with free keys those shown must come."""
    free = re.search(r"(signals|temperature_zones|iot_config|setpoints|additional)$", place)
    if isinstance(shown, dict):
        assert isinstance(came, dict), place
        assert (shown.keys() <= came.keys()) if free else (shown.keys() == came.keys()), (place, list(came))
        for key, value in shown.items():
            same_form(value, came[key], f"{place}.{key}")
    elif isinstance(shown, list) and shown and isinstance(shown[0], dict):
        assert len(came) == len(shown), place
        for one, other in zip(shown, came, strict=True):
            same_form(one, other, place + "[]")
    elif isinstance(shown, str) and shown.endswith("..."):
        assert isinstance(came, str), place  # another one at every run
        assert came.startswith(shown.removesuffix("...")), place
    elif isinstance(shown, str | bool) or shown is None:
        assert came == shown, place
    elif isinstance(shown, int | float):
        assert isinstance(came, int | float), place
        assert came == shown or "_ms" in place, place


async def test_the_page_is_true(api: Api, house: Services, clock: ManualClock) -> None:
    ran = 0
    async with (
        oven(
            says={"temperature_zones": {"cabinet": 180, "core": 72}, "humidity": 65.0, "operational_status": "running"}
        ) as there,
        Device(registers={0: 1800, 1: 1795}) as deck,
    ):
        variables = {"API": "http://127.0.0.1:7071/api/v1", "ETAG": ""}
        for example in examples():
            if "realtime-data" in str(example.words):
                await poll_once(house, clock)
            words = [word.replace(MODBUS, f"127.0.0.1:{deck.port}") for word in example.words]
            answer = await run(api, words, there, variables)
            assert answer.status == example.status, (example.words, answer.body)
            if "/iot-config" in str(example.words):
                variables["ETAG"] = answer.headers["etag"]
            if example.shown is not None:
                same_form(example.shown, answer.json())
            ran += 1
        lines().close()
    assert ran >= 15


async def poll_once(house: Services, clock: ManualClock) -> None:
    """The way of every reading, and a second and a half."""
    equipment, _ = await house.equipment.get("horno-1")
    form = await house.equipment.connector_config(equipment)
    connector = house.connectors.open(protocol=equipment.protocol or "", equipment_id=equipment.id, config=form)
    await house.ingest.take(equipment, await connector.get_current_reading())
    clock.advance(1.5)
