"""Asking a device once, on a person's behalf, under a hard deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from shared.connectors import Capabilities, ConnectionTest, Connector, Connectors
from shared.connectors.base import ServerCertificate
from shared.connectors.discovery import Discovery
from shared.equipment.model import Equipment
from shared.errors import DeviceError, InvalidInput

__all__ = ["ConnectionTester"]

log = logging.getLogger("ovenbridge.equipment")

GRACE_SECONDS = 1.0
"""So long a cancelled test may take to let go of its connection. Then it is left behind."""

R = TypeVar("R")

_left_behind: set[asyncio.Task[Any]] = set()
"""The loop itself holds tasks only weakly."""


@dataclass(frozen=True, slots=True)
class ConnectionTester:
    """Tests connections, stored or proposed."""

    connectors: Connectors
    deadline_seconds: float
    """Hard: whatever the device's own timeout says."""

    async def test(self, equipment: Equipment, config: Mapping[str, Any]) -> ConnectionTest:
        """Read the device now and say what was found; never raises for a device's problem.

        Args:
            equipment: whose connection.
            config: as :meth:`EquipmentRegistry.connector_config` or ``propose`` gave it.

        Raises:
            InvalidInput: the configuration cannot be used.
        """

        async def ask(connector: Connector) -> ConnectionTest:
            return await connector.test_connection()

        return await self.ask(equipment, config, ask, _failed)

    async def capabilities(self, equipment: Equipment, config: Mapping[str, Any]) -> Capabilities | ConnectionTest:
        """What the device can tell, or the test that failed. Raises ``InvalidInput`` as :meth:`test`."""

        async def ask(connector: Connector) -> Capabilities | ConnectionTest:
            return await connector.get_capabilities()

        return await self.ask(equipment, config, ask, _failed)

    async def discover(self, equipment: Equipment, config: Mapping[str, Any]) -> Discovery | ConnectionTest:
        """What there is at the device's address, or why it could not be asked. Raises ``InvalidInput``."""

        async def ask(connector: Connector) -> Discovery | ConnectionTest:
            return await connector.discover(self.deadline_seconds * 0.9)

        return await self.ask(equipment, config, ask, _failed)

    async def certificate(self, equipment: Equipment, config: Mapping[str, Any]) -> ServerCertificate | ConnectionTest:
        """The certificate that the device shows, or why it could not be asked. Raises ``InvalidInput``."""

        async def ask(connector: Connector) -> ServerCertificate | ConnectionTest:
            return await connector.shown_certificate()

        return await self.ask(equipment, config, ask, _failed)

    async def ask(
        self,
        equipment: Equipment,
        config: Mapping[str, Any],
        ask: Callable[[Connector], Awaitable[R]],
        failed: Callable[[str, str, float | None], R],
    ) -> R:
        """Open the device, ``ask`` it, close it, before the deadline.

        Args:
            equipment: whose connection.
            config: as for :meth:`test`.
            ask: what to do with it.
            failed: makes the answer of a device's problem: ``DeviceError.code``, sentence, milliseconds.

        Raises:
            InvalidInput: as :meth:`test`, or by ``ask``.
        """
        protocol = equipment.protocol or ""
        connector = self.connectors.open(protocol=protocol, equipment_id=equipment.id, config=dict(config))
        begun = monotonic()
        task = asyncio.create_task(_asked(connector, ask))
        try:
            # Not asyncio.timeout: it would wait for as long as the test takes to unwind.
            done, _ = await asyncio.wait({task}, timeout=self.deadline_seconds)
            if not done:
                return await self._give_up(equipment, task, failed, (monotonic() - begun) * 1000)
            return task.result()
        except asyncio.CancelledError:
            task.cancel()
            raise
        except InvalidInput:
            raise
        except DeviceError as error:
            return failed(error.code, error.detail, None)
        except Exception as error:
            # Whatever a connector stumbles over is the outcome of the test; a person is waiting for it.
            log.exception("Asking %s failed unexpectedly", equipment.id)
            return failed("device_error", f"Asking it failed unexpectedly ({type(error).__name__}); see the log.", None)

    async def _give_up(
        self, equipment: Equipment, task: asyncio.Task[R], failed: Callable[[str, str, float | None], R], ms: float
    ) -> R:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=GRACE_SECONDS)
        if done and not task.cancelled():
            task.exception()  # looked at: how it ended no longer matters
        elif not done:
            log.error("A conversation with %s does not end although it was cancelled; it is left behind", equipment.id)
            _left_behind.add(task)
            task.add_done_callback(_ended)
        detail = (
            f"The device did not answer within {self.deadline_seconds:g} s. Check that it is on, and that its address "
            "and port are reachable from here."
        )
        return failed("timeout", detail, ms)


async def _asked(connector: Connector, ask: Callable[[Connector], Awaitable[R]]) -> R:
    try:
        return await ask(connector)
    finally:
        await connector.close()


def _ended(task: asyncio.Task[Any]) -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        task.exception()


def _failed(code: str, detail: str, ms: float | None) -> ConnectionTest:
    return ConnectionTest(False, code, round(ms, 1) if ms is not None else None, (), detail)
