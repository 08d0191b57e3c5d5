"""Reads a device over HTTP and JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.connectors.base import Capabilities, ConnectionTest, Connector, Setup
from shared.connectors.device_errors import device_error
from shared.connectors.extract import Extract, extract
from shared.connectors.features import capabilities_of, features_of
from shared.connectors.rest_answers import MAX_ANSWER_BYTES, json_of, refusal
from shared.connectors.rest_plan import RestPlan, plan
from shared.connectors.values import worst
from shared.errors import DeviceError, DeviceNotSupported, DeviceProtocolError
from shared.outgoing.answer import OutgoingAnswer
from shared.outgoing.failures import OutgoingError
from shared.signals import Quality, Reading

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

    async def test_connection(self) -> ConnectionTest:
        """Ask ``status_endpoint`` first where there is one, then read the values."""
        status_ms: float | None = None
        if self._plan.status_url is not None and self._plan.unreadable is None:
            try:
                status_ms = (await self._answer(self._plan.status_url, "status_endpoint")).elapsed_ms
            except DeviceError as err:
                return ConnectionTest(False, err.code, None, (), err.detail)
        read = await self._read()
        reading = read.reading
        response_ms = status_ms if status_ms is not None else reading.response_ms
        if reading.error_code is not None:
            return ConnectionTest(False, reading.error_code, response_ms, (), reading.reason, reading.values)
        features = features_of(reading.values)
        return ConnectionTest(True, "connected", response_ms, features, read.hint, reading.values)

    async def get_current_reading(self) -> Reading:
        """Read the values once."""
        return (await self._read()).reading

    async def get_capabilities(self) -> Capabilities:
        """The mapping's signals, and what one read adds to them."""
        reading = (await self._read()).reading
        mapped = () if self._plan.signals is None else tuple(signal.key for signal in self._plan.signals)
        return capabilities_of(mapped, reading)

    async def close(self) -> None:
        """Close the pool if it was made for this connector alone."""
        if self._setup.owns_http:
            await self._setup.http.close()

    async def _read(self) -> _Read:
        begun = self._setup.clock.now()
        failed = Reading(self._setup.equipment_id, begun, {}, Quality.BAD)
        try:
            if self._plan.unreadable is not None:
                raise DeviceNotSupported(self._plan.unreadable)
            answer = await self._answer(self._plan.data_url, None)
            document = json_of(answer, self._plan.where, self._plan.data_path)
        except DeviceError as err:
            return _Read(replace(failed, reason=err.detail, error_code=err.code, retry_after_seconds=err.retry_after))
        found = extract(document, self._plan)
        return _Read(_reading(failed, found, answer), found.hint)

    async def _answer(self, url: str, asked: str | None) -> OutgoingAnswer:
        """One answer of status 2xx. A token that is refused is fetched anew, once."""
        headers = dict(self._plan.headers)
        oauth = self._plan.oauth
        token: str | None = None
        if oauth is not None:
            token = await self._setup.tokens.token(oauth, self._setup.http)
            headers["Authorization"] = f"Bearer {token}"
        answer = await self._send(url, headers)
        if answer.status == 401 and oauth is not None:
            token = await self._setup.tokens.token(oauth, self._setup.http, refused=token)
            answer = await self._send(url, headers | {"Authorization": f"Bearer {token}"})
        path = asked or self._plan.data_path
        refused = refusal(answer, self._plan.where, path, self._setup.clock.now())
        if refused is not None:
            raise refused
        return answer

    async def _send(self, url: str, headers: dict[str, str]) -> OutgoingAnswer:
        try:
            return await self._setup.http.send(
                "GET",
                url,
                headers=headers,
                content=b"",
                timeout_seconds=self._plan.timeout_seconds,
                max_answer_bytes=MAX_ANSWER_BYTES,
                verify=self._plan.verify,
                ca_pem=self._plan.ca_pem,
            )
        except OutgoingError as err:
            raise device_error(err) from err


def _reading(failed: Reading, found: Extract, answer: OutgoingAnswer) -> Reading:
    read = replace(failed, values=found.values, response_ms=round(answer.elapsed_ms, 3))
    if found.nothing is not None:
        return replace(read, reason=found.nothing, error_code=DeviceProtocolError.code)
    return replace(read, quality=worst([value.quality for value in found.values.values()]))
