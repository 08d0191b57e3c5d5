"""What the Modbus tests build their connectors with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.connectors import ConnectorFactory
from shared.connectors.modbus import ModbusConnector
from shared.connectors.modbus_line import Line, lines
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy

__all__ = ["Plant", "plant"]

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


class Plant:
    """Connectors of one process, in a plant's network."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))

    def connector(
        self, port: int, signals: dict[str, Any], *, host: str = "127.0.0.1", **options: Any
    ) -> ModbusConnector:
        """A connector for a unit on this port of loopback."""
        return self.open({"endpoint": host, "port": port, "additional_config": {"signals": signals, **options}})

    def open(self, config: dict[str, Any]) -> ModbusConnector:
        """A connector for this configuration."""
        made = ConnectorFactory.create_connector("modbus", "oven-1", config, http=self.http, clock=self.clock)
        assert isinstance(made, ModbusConnector)
        return made

    def line(self, port: int) -> Line:
        """The line to this port of loopback."""
        return lines().of(f"tcp 127.0.0.1:{port}")


@pytest.fixture
async def plant() -> AsyncIterator[Plant]:
    """Connectors, and nothing left open behind them."""
    made = Plant()
    yield made
    lines().close()
    await made.http.close()
