"""Reads a device over OPC UA: connect, one batched read, disconnect; where it is read every second, the session stays.

A subscription would cost less and cannot be trusted: asyncua's died silently in many pulled cables, while everything
looked connected (reference/equipment.md 2.4). asyncua itself is imported with the first read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from shared.connectors.base import Capabilities, ConnectionTest, Connector, ServerCertificate, Setup
from shared.connectors.features import capabilities_of, features_of
from shared.connectors.inverse import raw_of
from shared.connectors.mapping import canonical_key
from shared.connectors.opc_ua_certificates import SeenCertificate
from shared.connectors.opc_ua_errors import ServerNotTrusted
from shared.connectors.opc_ua_kept import Kept
from shared.connectors.opc_ua_memory import OpcUaMemory
from shared.connectors.opc_ua_plan import NodeSignal, OpcUaPlan, plan
from shared.connectors.values import value_of, worst
from shared.errors import DeviceError, DeviceNotSupported, DeviceProtocolError, InvalidInput
from shared.signals import Quality, Reading, SignalValue, Value

if TYPE_CHECKING:
    from shared.connectors.discovery import Discovery
    from shared.connectors.opc_ua_nodes import Read
    from shared.connectors.opc_ua_session import Door
    from shared.connectors.opc_ua_talk import Talk

__all__ = ["OpcUaConnector", "check", "connector"]

NOTHING_MAPPED = (
    "Nothing is mapped yet: POST /api/v1/equipment/{id}/discover lists what the server has; put what it answers into "
    "additional_config.signals."
)


def check(setup: Setup) -> None:
    """Raise ``InvalidInput`` for a configuration that cannot work."""
    plan(setup.config, setup.profile, setup.equipment_id, setup.http.targets)


def connector(setup: Setup) -> Connector:
    """A connector for this device. Raises ``InvalidInput``."""
    return OpcUaConnector(setup, plan(setup.config, setup.profile, setup.equipment_id, setup.http.targets))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One read and what it was like."""

    reading: Reading
    hint: str | None = None
    certificate: SeenCertificate | None = None


class OpcUaConnector(Connector):
    """One device behind an OPC UA server. Cheap to make; a read is a connection of its own, but for frequent ones."""

    def __init__(self, setup: Setup, plan: OpcUaPlan) -> None:
        self._setup = setup
        self._plan = plan
        self._memory = setup.opc_ua or OpcUaMemory()
        self._kept = Kept()

    async def test_connection(self) -> ConnectionTest:
        """Read everything once; a server that is there with nothing mapped yet is a success with a hint."""
        outcome = await self._outcome(mapping_needed=False)
        reading = outcome.reading
        shown = None if outcome.certificate is None else _shown(outcome.certificate, self._plan)
        if reading.error_code is not None:
            return ConnectionTest(
                False, reading.error_code, reading.response_ms, (), reading.reason, reading.values, shown
            )
        features = features_of(reading.values)
        return ConnectionTest(True, "connected", reading.response_ms, features, outcome.hint, reading.values)

    async def get_current_reading(self) -> Reading:
        """Read the device once."""
        return (await self._outcome(mapping_needed=True)).reading

    async def get_capabilities(self) -> Capabilities:
        """The mapping's signals, and what one read adds to them."""
        outcome = await self._outcome(mapping_needed=True)
        found = capabilities_of([signal.key for signal in self._plan.signals or ()], outcome.reading)
        return replace(found, supports_remote_control=any(s.spec.writable for s in self._plan.signals or ()))

    async def discover(self, seconds: float) -> Discovery:
        """Devices of known types with ready mappings, or the values there are."""
        from shared.connectors.opc_ua_browse import Limits
        from shared.connectors.opc_ua_devices import discover

        limits = Limits(until=monotonic() + seconds * 0.8)  # the rest is for reading units and values
        return await self._talk().run(lambda door: discover(door, limits), doing="discover", seconds=seconds)

    async def shown_certificate(self) -> ServerCertificate:
        """The certificate of the endpoint that is configured; of any, where that has none."""
        offers = await self._talk().offers()
        fitting = [offer for offer in offers if offer.policy == self._plan.policy and offer.certificate is not None]
        for offer in (*fitting, *offers):
            if offer.certificate is not None:
                return _shown(offer.certificate, self._plan)
        raise DeviceNotSupported(f"{self._plan.where} shows no certificate: it offers no security.")

    async def write(self, key: str, value: Value) -> SignalValue:
        """Write one writable signal and answer what the server says of it afterwards."""
        signal = self._writable(key)
        unit, spec = self._plan.temperature_unit, signal.spec
        raw = raw_of(signal.key, value, spec, temperature_unit=unit)

        from shared.connectors.opc_ua_nodes import plain
        from shared.connectors.opc_ua_write import Order, same, write_node

        order = Order(signal.key)
        try:
            answer = await self._talk().run(lambda door: write_node(door, signal, raw, order), doing="write")
        except DeviceError as err:
            raise order.told(err) from err
        found = value_of(signal.key, plain(answer.Value), spec, temperature_unit=unit)
        if same(raw, answer) or found.quality is Quality.BAD:
            return found
        return replace(
            found,
            quality=Quality.UNCERTAIN,
            reason=f"{value} was written, and the server says {found.value} afterwards",
        )

    async def close(self) -> None:
        """Leave the session that is kept, and close the pool if it was made for this connector alone."""
        await self._kept.close()
        if self._setup.owns_http:
            await self._setup.http.close()

    # Inside ------------------------------------------------------------------------------------------------------

    def _writable(self, key: str) -> NodeSignal:
        known = canonical_key(key)
        found = next((signal for signal in self._plan.signals or () if signal.key == known), None)
        if found is None:
            raise InvalidInput(f"{key[:100]} is not in the mapping of this machine.", field="signal")
        if not found.spec.writable:
            raise InvalidInput(
                f"{key} cannot be written: its mapping does not say writable, which its engineer decides.",
                field="signal",
            )
        return found

    def _talk(self) -> Talk:
        try:
            from shared.connectors.opc_ua_talk import Talk
        except ModuleNotFoundError as err:
            raise DeviceNotSupported(
                f"The package {err.name} is not installed here: pip install -r requirements.txt, or let a relay read "
                "this device (polled_from relay)."
            ) from err
        return Talk(self._setup, self._plan, self._memory)

    async def _outcome(self, *, mapping_needed: bool) -> _Outcome:
        failed = Reading(self._setup.equipment_id, self._setup.clock.now(), {}, Quality.BAD)
        begun = monotonic()
        unmapped = self._plan.signals is None and self._setup.profile.opc_ua is None
        try:
            if unmapped and mapping_needed:
                raise DeviceNotSupported(NOTHING_MAPPED.replace("{id}", self._setup.equipment_id))
            talk = self._talk()
            # A person who tests wants to see the whole way work.
            read = await (talk.read(self._read, self._kept) if mapping_needed else talk.run(self._read))
        except DeviceError as err:
            certificate = err.certificate if isinstance(err, ServerNotTrusted) else None
            reading = replace(failed, reason=err.detail, error_code=err.code, retry_after_seconds=err.retry_after)
            return _Outcome(reading, certificate=certificate)
        warning = None if talk.application is None else talk.application.warning(self._setup.clock.now())
        hint = NOTHING_MAPPED.replace("{id}", self._setup.equipment_id) if unmapped else None
        hints = " ".join(text for text in (hint, warning) if text)
        return _Outcome(_reading(failed, read, (monotonic() - begun) * 1000), hints or None)

    async def _read(self, door: Door) -> Read:
        from shared.connectors.opc_ua_nodes import Read, read_namespaces, read_signals

        signals = self._plan.signals or await self._modelled(door)
        if not signals:
            await read_namespaces(door)  # proves that the session can read
            return Read({}, all_gone=False)
        read = await read_signals(door, self._plan.url, signals, self._memory, self._plan.temperature_unit)
        if read.all_gone:
            self._memory.mappings.pop(self._shelf, None)
        return read

    async def _modelled(self, door: Door) -> tuple[NodeSignal, ...]:
        """The nodes of a device whose type the profile knows, found by browsing once."""
        if self._setup.profile.opc_ua is None:
            return ()
        known = self._memory.mappings.get(self._shelf)
        if known is not None:
            return known
        from shared.connectors.opc_ua_browse import Limits
        from shared.connectors.opc_ua_devices import device_signals

        limits = Limits(until=monotonic() + self._plan.timeout_seconds)
        found = await device_signals(door, self._setup.profile, self._plan.device, limits)
        return self._memory.keep(self._memory.mappings, self._shelf, found)

    @property
    def _shelf(self) -> tuple[str, ...]:
        # With the user's name: what one may see, another may not.
        user = self._plan.credentials.username or self._plan.credentials.user_certificate or ""
        return (self._plan.url, self._setup.profile.names[0], str(self._plan.device or ""), user)


def _reading(failed: Reading, read: Read, elapsed_ms: float) -> Reading:
    done = replace(failed, values=read.values, response_ms=round(elapsed_ms, 3))
    if read.values and read.all_gone:
        reasons = sorted({value.reason or "" for value in read.values.values()})
        return replace(
            done,
            reason=f"Not one of the {len(read.values)} mapped signals is on the server: {reasons[0]}.",
            error_code=DeviceProtocolError.code,
        )
    return replace(done, quality=worst([value.quality for value in read.values.values()]))


def _shown(certificate: SeenCertificate, plan: OpcUaPlan) -> ServerCertificate:
    return ServerCertificate(
        certificate.fingerprint,
        certificate.thumbprint,
        certificate.subject,
        certificate.not_after,
        trusted=certificate.fingerprint in {pin.fingerprint for pin in plan.pins},
    )
