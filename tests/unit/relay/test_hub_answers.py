"""What a relay found out comes back in the hub as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.connectors import ConnectionTest
from shared.connectors.base import ServerCertificate
from shared.json_text import dump, load
from shared.relay import answers
from shared.relay.answers import UnreadableAnswer, read_signals, signals_body
from shared.signals import Quality, SignalValue

AT = datetime(2026, 11, 21, 9, 59, 58, tzinfo=UTC)


def test_a_connection_test_survives_the_way() -> None:
    tested = ConnectionTest(
        True,
        "connected",
        12.5,
        ("temperature",),
        None,
        {
            "temperature.deck": SignalValue(180.5, unit="C", raw=356.9, raw_unit="F", source_time=AT),
            "temperature.core": SignalValue(None, Quality.BAD, "The sensor is broken.", unit="C"),
            "door.open": SignalValue(False),
        },
        ServerCertificate("ab" * 32, "cd" * 20, "CN=oven", AT, trusted=False),
    )
    assert answers.test_from(load(dump(answers.test_body(tested)))) == tested


def test_each_value_keeps_its_own_time() -> None:
    signals = {"a": SignalValue(1, source_time=AT), "b": SignalValue(2)}
    assert read_signals(load(dump(signals_body(signals)))) == signals


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"success": "perhaps", "status": "connected"},
        {"success": True, "status": "connected", "signals": {"a": 1}},
        {"success": True, "status": "connected", "signals": {"a": {"v": {"deep": 1}}}},
        {"success": True, "status": "connected", "signals": {"a": {"v": 1, "q": "splendid"}}},
        {"success": True, "status": "connected", "signals": {"a": {"v": 1, "st": "yesterday"}}},
    ],
)
def test_what_is_none_of_our_words_is_not_believed(body: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAnswer):
        answers.test_from(body)
