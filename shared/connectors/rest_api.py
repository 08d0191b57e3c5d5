"""Reads and writes a device over HTTP and JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.connectors.base import Capabilities, ConnectionTest, Connector, Setup
from shared.connectors.extract import Extract, extract
from shared.connectors.features import capabilities_of, features_of
from shared.connectors.mapping import canonical_key
from shared.connectors.rest_pages import Answer, read_answer
from shared.connectors.rest_plan import RestPlan, plan
from shared.connectors.rest_shared import Page, SharedReads
from shared.connectors.rest_talk import RestTalk
from shared.connectors.rest_writing import order_of, write_signal
from shared.connectors.values import worst
from shared.errors import DeviceError, DeviceNotSupported, DeviceProtocolError, DeviceThrottled
from shared.signals import Quality, Reading, SignalValue, Value

__all__ = ["RestConnector", "check", "connector"]


def check(setup: Setup) -> None:
    """Raise ``InvalidInput`` for a configuration that cannot work."""
    plan(setup.config, setup.profile, setup.equipment_id, setup.http.targets)


def connector(setup: Setup) -> Connector:
    """A connector for this device. Raises ``InvalidInput``."""
    return RestConnector(setup, plan(setup.config, setup.profile, setup.equipment_id, setup.http.targets))


@dataclass(frozen=True, slots=True)
class _Read:
    """One read and what it was like."""

    reading: Reading
    hint: str | None = None


class RestConnector(Connector):
    """One device behind a URL. Cheap to make: the pool, the TLS contexts and the tokens are shared."""

    def __init__(self, setup: Setup, plan: RestPlan) -> None:
        self._setup = setup
        self._plan = plan
        self._talk = RestTalk(setup, plan)
        self._shared = setup.shared or SharedReads(setup.clock)

    async def test_connection(self) -> ConnectionTest:
        """Ask ``status_endpoint`` first where there is one, then read the values; nobody else's answer will do."""
        status_ms: float | None = None
        if self._plan.status_url is not None and self._plan.unreadable is None:
            try:
                status_ms = await self._status(self._plan.status_url)
            except DeviceError as err:
                return ConnectionTest(False, err.code, None, (), err.detail)
        read = await self._read(insist=True)
        reading = read.reading
        response_ms = status_ms if status_ms is not None else reading.response_ms
        if reading.error_code is not None:
            return ConnectionTest(False, reading.error_code, response_ms, (), reading.reason, reading.values)
        features = features_of(reading.values)
        said = " ".join(part for part in (read.hint, self._plan.note) if part) or None
        return ConnectionTest(True, "connected", response_ms, features, said, reading.values)

    async def get_current_reading(self) -> Reading:
        """Read the values once; an answer that holds several machines is shared with the others of the account."""
        return (await self._read(insist=False)).reading

    async def read_now(self) -> Reading:
        """Read the values once, with a call of our own."""
        return (await self._read(insist=True)).reading

    async def get_capabilities(self) -> Capabilities:
        """The mapping's signals, and what one read adds to them."""
        reading = (await self._read(insist=True)).reading
        mapped = () if self._plan.signals is None else tuple(signal.key for signal in self._plan.signals)
        found = capabilities_of(mapped, reading)
        writable = any(signal.spec.writable for signal in self._plan.signals or ())
        return replace(found, supports_remote_control=writable)

    async def close(self) -> None:
        """Close the pool if it was made for this connector alone."""
        if self._setup.owns_http:
            await self._setup.http.close()

    async def write(self, key: str, value: Value) -> SignalValue:
        """Write one signal and read it back. Never repeated by itself. See :meth:`Connector.write`."""
        if self._plan.unreadable is not None:
            raise DeviceNotSupported(self._plan.unreadable)
        signal = order_of(self._plan, canonical_key(key))
        self._shared.check(self._plan.account)
        try:
            return await write_signal(self._talk, signal, value, self.read_now)
        except DeviceThrottled as err:
            self._shared.hold(self._plan.account, err.retry_after)
            raise
        finally:
            self._shared.forget(self._plan.account)

    async def _status(self, url: str) -> float:
        """Milliseconds it took to answer."""
        self._shared.check(self._plan.account)
        try:
            return (await self._talk.answer(url, "status_endpoint")).elapsed_ms
        except DeviceThrottled as err:
            self._shared.hold(self._plan.account, err.retry_after)
            raise

    async def _read(self, *, insist: bool) -> _Read:
        """``insist``: somebody wants to know now; what others read a moment ago is no answer to that."""
        begun = self._setup.clock.now()
        failed = Reading(self._setup.equipment_id, begun, {}, Quality.BAD)
        plan = self._plan
        fresh_for = 0.0 if insist else plan.share_seconds
        times = replace(plan.times, now=begun)
        try:
            if plan.unreadable is not None:
                raise DeviceNotSupported(plan.unreadable)
            answer = await read_answer(plan, self._setup.http.targets, times, lambda url: self._page(url, fresh_for))
        except DeviceError as err:
            return _Read(replace(failed, reason=err.detail, error_code=err.code, retry_after_seconds=err.retry_after))
        where = answer.where
        found = extract(where.whole, plan, times=times, moved=plan.moved, item=where)
        return _Read(_reading(replace(failed, at=answer.at), found, answer), found.hint)

    async def _page(self, url: str, fresh_for: float) -> Page:
        plan = self._plan
        return await self._shared.read(
            plan.account, plan.page_key(url), self._setup.equipment_id, fresh_for, lambda: self._talk.page(url)
        )


def _reading(failed: Reading, found: Extract, answer: Answer) -> Reading:
    read = replace(failed, values=found.values, response_ms=round(answer.elapsed_ms, 3))
    if found.nothing is not None:
        return replace(read, reason=found.nothing, error_code=DeviceProtocolError.code)
    return replace(read, quality=worst([value.quality for value in found.values.values()]))
