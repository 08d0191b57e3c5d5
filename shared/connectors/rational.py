"""Rational ovens in ConnectedCooking: live values over OPC UA, HACCP batches over REST, each where it is configured.

The connector reads live values, through the connector of OPC UA (or of REST, for a source of your own). Batches are
documentation and no telemetry: ``work/batch_import.py`` fetches them; here the connection test asks for one page.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared.connectors import opc_ua, rest_api
from shared.connectors.base import Capabilities, ConnectionTest, Connector, ServerCertificate, Setup
from shared.connectors.discovery import Discovery
from shared.connectors.rational_haccp import RationalHaccp
from shared.connectors.rational_plan import BatchPlan, RationalPlan, plan
from shared.errors import DeviceError, DeviceNotSupported
from shared.signals import Quality, Reading, SignalValue, Value

__all__ = ["RationalConnector", "check", "connector"]

BATCHES = "haccp_batches"
"""The feature that a connection test names."""


def check(setup: Setup) -> None:
    """Raise ``InvalidInput`` for a configuration that cannot work."""
    plan(setup.config, setup.profile, setup.equipment_id, setup.http.targets)


def connector(setup: Setup) -> Connector:
    """A connector for this oven. Raises ``InvalidInput``."""
    return RationalConnector(setup, plan(setup.config, setup.profile, setup.equipment_id, setup.http.targets))


class RationalConnector(Connector):
    """One oven of the vendor's cloud."""

    def __init__(self, setup: Setup, plan: RationalPlan) -> None:
        self._setup = setup
        self._plan = plan
        self._live: Connector | None = None
        if plan.live is not None:
            module = opc_ua if plan.live.connector == "opc_ua" else rest_api
            self._live = module.connector(
                replace(setup, config=plan.live.config, profile=plan.live.profile, owns_http=False)
            )

    async def test_connection(self) -> ConnectionTest:
        """Live values and batches, as far as each is configured; what is not is said."""
        live = await self._live.test_connection() if self._live is not None else None
        batches = self._plan.batches
        if batches is None:
            if live is None:
                return ConnectionTest(False, DeviceNotSupported.code, None, (), self._plan.why_no_live)
            return live
        refused = await self._refused(batches)
        if live is None:
            if refused is not None:
                return ConnectionTest(False, refused.code, None, (), refused.detail)
            return ConnectionTest(True, "connected", None, (BATCHES,), self._plan.why_no_live)
        said = " ".join(
            text for text in (live.error_details, f"Batches: {refused.detail}" if refused is not None else None) if text
        )
        features = live.supported_features if refused is not None else (*live.supported_features, BATCHES)
        return replace(live, supported_features=features, error_details=said or None)

    async def get_current_reading(self) -> Reading:
        """Read the live values once."""
        if self._live is not None:
            return await self._live.get_current_reading()
        now = self._setup.clock.now()
        reason, code = self._plan.why_no_live, DeviceNotSupported.code
        return Reading(self._setup.equipment_id, now, {}, Quality.BAD, reason=reason, error_code=code)

    async def read_now(self) -> Reading:
        """As its live connector does."""
        return await (self.get_current_reading() if self._live is None else self._live.read_now())

    async def get_capabilities(self) -> Capabilities:
        """Those of its live values."""
        if self._live is not None:
            return await self._live.get_capabilities()
        return Capabilities(
            supports_realtime=False,
            supports_humidity=False,
            supports_energy_monitoring=False,
            supports_remote_control=False,
            temperature_zones=(),
            signals=(),
        )

    async def write(self, key: str, value: Value) -> SignalValue:
        """As its live connector writes; the vendor's own server takes nothing."""
        return await self._there().write(key, value)

    async def discover(self, seconds: float) -> Discovery:
        """The devices this user sees."""
        return await self._there().discover(seconds)

    async def shown_certificate(self) -> ServerCertificate:
        """Of the OPC UA server."""
        return await self._there().shown_certificate()

    async def close(self) -> None:
        """Close the pool if it was made for this connector alone."""
        if self._live is not None:
            await self._live.close()
        if self._setup.owns_http:
            await self._setup.http.close()

    def _there(self) -> Connector:
        if self._live is None:
            raise DeviceNotSupported(self._plan.why_no_live)
        return self._live

    async def _refused(self, batches: BatchPlan) -> DeviceError | None:
        """Why batches cannot be asked for; ``None``: they can."""
        haccp = RationalHaccp(self._setup.http, self._setup.clock, self._setup.tokens)
        now = self._setup.clock.now()
        try:
            await haccp.page(batches, now - timedelta(days=1), 0, 1, entries=False, until=now)
        except DeviceError as error:
            return error
        return None
