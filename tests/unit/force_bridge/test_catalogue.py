"""The catalogue of event types, all 76 of them (reference/platforms.md section 4.7)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.events.catalogue import ALERT_RAISED
from shared.platforms.force_bridge.catalogue import RESERVED, TYPES, close_to, known_types
from tests.api import Api

CHAPTER = Path(__file__).resolve().parents[4] / "shared" / "customer" / "force-bridge-callbacks.txt"


def test_there_are_76() -> None:
    assert len(TYPES) == 76
    assert RESERVED.keys() <= TYPES
    assert len(known_types() & TYPES) == 73


@pytest.mark.skipif(not CHAPTER.exists(), reason="the chapter is not beside this checkout")
def test_every_type_of_the_chapters_tables_is_known() -> None:
    tables = CHAPTER.read_text("utf-8").split("3.2.2. Event Types")[1].split("3.2.3.")[0]
    named = set(re.findall(r"^([A-Z]+(?:_[A-Z]+)+)\b", tables, re.MULTILINE))
    assert len(named) > 35
    assert named <= TYPES


@pytest.mark.parametrize("name", sorted(TYPES))
async def test_each_can_be_registered_for_unless_it_is_reserved(api: Api, name: str) -> None:
    answer = await api.post(
        "/ffwebservices/api/v2/callbacks", json={"eventType": name, "url": "http://127.0.0.1:9000/x"}
    )
    if name not in RESERVED:
        assert (answer.status, answer.json()["properties"]["eventType"]) == (201, name)
        return
    assert answer.status == 400
    assert answer.json()["problems"][0]["field"] == "eventType"
    assert "reserved for internal events" in answer.json()["message"]


async def test_our_own_types_too(api: Api) -> None:
    for name in sorted(known_types() - TYPES):
        answer = await api.post(
            "/ffwebservices/api/v2/callbacks", json={"eventType": name, "url": "http://127.0.0.1:9000/x"}
        )
        assert answer.status == 201, name
    assert ALERT_RAISED in known_types()
    assert "TEST" not in known_types(), "a test goes to one callback, nobody subscribes to it"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("OPERATION_PHASE_CHANGE", "OPERATION_PHASE_CHANGED"),
        ("alert_raised", "ALERT_RAISED"),
        ("WORKPLACE_STATE_CHANGED", "WORKPLACE_OPERATING_STATE_CHANGED"),
    ],
)
async def test_close_matches_are_named(api: Api, written: str, meant: str) -> None:
    answer = await api.post("/ffwebservices/api/v2/callbacks", json={"eventType": written, "url": "http://127.0.0.1/x"})
    assert answer.status == 400
    assert meant in answer.json()["problems"][0]["problem"]


def test_nothing_is_close_to_nonsense() -> None:
    assert close_to("§" * 1000) == []
