"""Reads a device whose data arrives by MQTT: on every poll the queue of a durable session is taken, and nobody stays.

Between two polls the broker keeps the messages (MQTT 5, fixed client id, clean start off, QoS 1). They are acknowledged
only after the caller has stored them; a process that dies before gets them again, under the same ids.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from shared.connectors.base import Capabilities, ConnectionTest, Connector, Setup
from shared.connectors.features import capabilities_of, features_of
from shared.connectors.mqtt_memory import memory
from shared.connectors.mqtt_opening import FETCHING_SECONDS, GRACE_SECONDS, MOST_MESSAGES, open_session
from shared.connectors.mqtt_plan import MqttPlan, plan
from shared.connectors.values import bad
from shared.errors import DeviceError, DeviceTimeout
from shared.ids import new_id
from shared.signals import Quality, Reading, SignalValue

if TYPE_CHECKING:
    from shared.connectors.mqtt_readings import Fetched
    from shared.connectors.mqtt_session import Arrival, Session

__all__ = ["MqttConnector", "check", "connector"]

log = logging.getLogger("ovenbridge.connectors")

ALONE = timedelta(seconds=120)
"""If nobody fetched for longer, a value without a time may be old."""


def check(setup: Setup) -> None:
    """Raise ``InvalidInput`` for a configuration that cannot work."""
    plan(setup.config, setup.profile, setup.equipment_id, setup.http.targets)


def connector(setup: Setup) -> Connector:
    """A connector for this device. Raises ``InvalidInput``."""
    return MqttConnector(setup, plan(setup.config, setup.profile, setup.equipment_id, setup.http.targets))


class MqttConnector(Connector):
    """One device behind a broker. Cheap to make; it connects when it is asked."""

    acknowledges = True

    def __init__(self, setup: Setup, plan: MqttPlan) -> None:
        self._setup = setup
        self._plan = plan
        self._session: Session | None = None
        self._begun = self._until = 0.0
        self._waiting: list[Arrival] = []
        self._taken: list[Fetched] = []
        self._count = 0
        self._waited: str | None = None
        self._remembered = memory.of(plan.where, plan.client_id)

    # The queue ---------------------------------------------------------------------------------------------------

    async def get_readings(self) -> list[Reading]:
        """What has come since it was acknowledged last; empty: the broker answers, and nothing came.

        Store them, then :meth:`acknowledge`. What could not be reached is one reading of quality ``bad``.
        """
        begun = monotonic()
        try:
            if self._session is None:
                self._until, self._begun = begun + self._plan.timeout_seconds, begun
                self._session = await open_session(
                    self._plan, self._setup.http.targets, self._plan.client_id, durable=True, until=self._until
                )
                self._note_session(self._session)
                self._waiting = await self._session.fetch(retained=False, until=self._until)
        except DeviceError as err:
            return [self._failed(err, begun)]
        return self._read(self._waiting)

    async def acknowledge(self) -> bool:
        """What :meth:`get_readings` answered is stored. ``True``: more has come, ask again.

        If the connection is gone, nothing is lost: the messages come again, and make the same readings.
        """
        session = self._session
        if session is None:
            return False
        session.acknowledge()
        if not self._waiting:
            self._finish()
            return False
        try:
            # Asked in any case: it shows that the broker heard the acknowledgements.
            self._waiting = await session.fetch(retained=False, until=max(self._until, monotonic() + GRACE_SECONDS))
        except DeviceError as err:
            log.info("%s: the connection ended before all was acknowledged: %s", self._setup.equipment_id, err.detail)
            return False
        if not self._waiting:
            self._finish()
            return False
        return monotonic() < self._begun + FETCHING_SECONDS and self._count < MOST_MESSAGES

    def _read(self, arrivals: Sequence[Arrival]) -> list[Reading]:
        from shared.connectors.mqtt_readings import fetched

        now = self._setup.clock.now()
        found = fetched(arrivals, self._plan, self._setup.equipment_id, now, waited=self._waited)
        self._taken.append(found)
        self._count += len(arrivals)
        return list(found.readings)

    def _finish(self) -> None:
        """The queue is empty."""
        from shared.connectors.mqtt_readings import may_have_lost

        now = self._setup.clock.now()
        lost = may_have_lost([time for found in self._taken for time in found.times], now)
        hint = next((found.hint for found in self._taken if found.hint is not None), None)
        if lost is not None or hint is not None:
            self._note(lost or hint or "")
        self._remembered.fetched_at = now

    def _note_session(self, session: Session) -> None:
        before, now = self._remembered.fetched_at, self._setup.clock.now()
        if session.present:
            if before is None or now - before > ALONE:
                since = "somebody last fetched" if before is None else f"{before:%Y-%m-%d %H:%M:%S} UTC"
                self._waited = f"it may have waited at the broker since {since}: give timestamp_at"
        elif before is not None:
            self._note(
                f"The broker {self._plan.where} had forgotten our session; what was sent since {before:%H:%M:%S} UTC "
                "is lost. Let it keep sessions over a restart (mosquitto: persistence true), longer than our absence."
            )

    def _note(self, text: str) -> None:
        if text != self._remembered.note:
            log.warning("%s: %s", self._setup.equipment_id, text)
        self._remembered.note = text

    # A look, without touching the queue --------------------------------------------------------------------------

    async def test_connection(self) -> ConnectionTest:
        """Connect beside the queue, subscribe, and show what stands at the broker or comes next."""
        begun = monotonic()
        try:
            reading, answered_ms, hint = await self._look()
        except DeviceError as err:
            return ConnectionTest(False, err.code, None, (), err.detail)
        topics = ", ".join(self._plan.filters[:5])
        if reading is None:
            hint = f"connected; no message yet on {topics} (waited {monotonic() - begun:.0f} s)."
            values = {key: bad("no message yet") for key in self._mapped}
            return ConnectionTest(True, "connected", answered_ms, (), self._hint(hint), values)
        if reading.error_code is not None:
            return ConnectionTest(False, reading.error_code, answered_ms, (), reading.reason, reading.values)
        values = {key: bad("no message with it yet") for key in self._mapped} | dict(reading.values)
        return ConnectionTest(True, "connected", answered_ms, features_of(values), self._hint(hint), values)

    async def get_current_reading(self) -> Reading:
        """What stands at the broker, or the next message; the queue is left alone."""
        begun = monotonic()
        try:
            reading, answered_ms, _ = await self._look()
            if reading is None:
                raise DeviceTimeout(
                    f"The broker {self._plan.where} answers, but no message came on "
                    f"{', '.join(self._plan.filters[:5])} within {self._plan.timeout_seconds:g} s."
                )
        except DeviceError as err:
            return self._failed(err, begun)
        return replace(reading, response_ms=answered_ms)

    async def get_capabilities(self) -> Capabilities:
        """The mapping's signals, and what a message adds to them."""
        found = capabilities_of(self._mapped, await self.get_current_reading())
        return replace(found, supports_realtime=found.supports_realtime or bool(self._mapped))

    async def close(self) -> None:
        """Leave the broker. What was not acknowledged comes again."""
        session, self._session = self._session, None
        if session is not None:
            await session.leave()
        if self._setup.owns_http:
            await self._setup.http.close()

    @property
    def _mapped(self) -> tuple[str, ...]:
        return () if self._plan.signals is None else tuple(signal.mapped.key for signal in self._plan.signals)

    async def _look(self) -> tuple[Reading | None, float, str | None]:
        """What the newest messages say together (``None``: there was none), ms until we were in, and a hint."""
        from shared.connectors.mqtt_readings import fetched

        begun = monotonic()
        self._until = begun + self._plan.timeout_seconds
        # A name of its own each time: two people who test at once must not throw each other out.
        name = f"{self._plan.client_id}-look-{new_id()[:6]}"
        session = await open_session(self._plan, self._setup.http.targets, name, durable=False, until=self._until)
        try:
            answered_ms = round((monotonic() - begun) * 1000, 3)
            arrivals = await session.fetch(retained=True, until=self._until)
            merged, hint = None, None
            while True:
                found = fetched(arrivals, self._plan, self._setup.equipment_id, self._setup.clock.now())
                hint = found.hint or hint
                for reading in found.readings:
                    merged = reading if merged is None else _merged(merged, reading)
                seen = merged is not None and merged.error_code is None
                if seen and merged is not None and set(self._mapped) <= merged.values.keys():
                    break
                arrivals = await session.next(until=self._until)
                if not arrivals:
                    break
        finally:
            await session.leave()
        return (None if merged is None else replace(merged, source="poll")), answered_ms, hint

    def _hint(self, hint: str | None) -> str | None:
        parts = [part for part in (hint, self._remembered.note) if part]
        return " ".join(dict.fromkeys(parts)) or None

    def _failed(self, err: DeviceError, begun: float) -> Reading:
        at = self._setup.clock.now()
        ms = round((monotonic() - begun) * 1000, 3)
        return Reading(
            self._setup.equipment_id,
            at,
            {},
            Quality.BAD,
            reason=err.detail,
            error_code=err.code,
            response_ms=ms,
            retry_after_seconds=err.retry_after,
        )


def _merged(before: Reading, after: Reading) -> Reading:
    """Several messages seen as one: the newer value of every signal."""
    from shared.connectors.values import worst

    values: dict[str, SignalValue] = {**before.values, **after.values}
    if after.error_code is not None and before.error_code is None:
        return before
    return replace(after, values=values, quality=worst([value.quality for value in values.values()]))
