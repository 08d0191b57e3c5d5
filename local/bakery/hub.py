"""The bakery as a client of the hub: it registers its machines with the same API everybody uses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, TypeVar

import httpx

__all__ = ["Hub", "HubProblem", "Machine"]

CALL_SECONDS = 15.0


class Machine(Protocol):
    """What is registered: an oven, or a device of the plant."""

    @property
    def id(self) -> str:
        """Stable over restarts."""

    def equipment(self) -> dict[str, Any]:
        """The body that registers it."""

    def iot_config(self, port: int) -> dict[str, Any]:
        """The body that connects it."""

    def rules(self) -> list[dict[str, Any]]:
        """The bodies of its alert rules."""


Some = TypeVar("Some", bound=Machine)


class HubProblem(Exception):
    """The hub said no; the text is for people."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What registering an oven did."""

    created: bool
    moved: bool
    """Its port changed since the last time."""


class Hub:
    """The API of the hub at one address; use as ``async with``."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._http = httpx.AsyncClient(base_url=base_url, timeout=CALL_SECONDS, trust_env=False)

    async def __aenter__(self) -> Hub:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The answer's JSON; ``None`` for 404. Raises ``HubProblem``."""
        answer = await self._http.get(path, params=params)
        return None if answer.status_code == 404 else _json(answer)

    async def ready(self) -> bool:
        """Does it take calls?"""
        try:
            answer = await self._http.get("/api/health/ready", timeout=5.0)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    async def send(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON. Raises ``HubProblem``."""
        return _json(await self._http.request(method, path, json=body))

    async def admits(self, path: str, token: str) -> bool:
        """Does this token open this route?"""
        answer = await self._http.get(path, headers={"Authorization": f"Bearer {token}"})
        return answer.status_code == 200

    async def register(self, oven: Machine, port: int, *, test: bool = True) -> Registered:
        """Make sure that the machine is known, under its port of today, with its rules. Raises ``HubProblem``."""
        path = f"/api/v1/equipment/{oven.id}"
        known = await self.get(path)
        if known is None:
            _json(await self._http.post("/api/v1/equipment", json=oven.equipment()))
        moved = known is not None and known.get("iot_port") != port
        if known is None or moved:
            config, wanted = oven.iot_config(port), {"test": str(test).lower()}
            _json(await self._http.post(f"{path}/iot-config", params=wanted, json=config))
        await self._ensure_rules(oven)
        return Registered(created=known is None, moved=moved)

    async def _ensure_rules(self, oven: Machine) -> None:
        listed = await self.get("/api/v1/alert-rules", {"equipment_id": oven.id}) or {}
        there = {(rule.get("signal"), rule["kind"]) for rule in listed.get("rules", ())}
        for rule in oven.rules():
            if (rule["signal"], rule["kind"]) not in there:
                _json(await self._http.post("/api/v1/alert-rules", json=rule))

    async def realtime(self, equipment_id: str) -> dict[str, Any]:
        """The newest values of one oven; empty before the first."""
        return await self.get(f"/api/v1/equipment/{equipment_id}/realtime-data") or {}

    async def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are not over."""
        found: list[dict[str, Any]] = []
        for status in ("active", "acknowledged"):
            answer = await self.get("/api/v1/equipment/iot-alerts", {"status": status})
            found += (answer or {}).get("alerts", [])
        return found

    async def wait_for_readings(self, ovens: Sequence[Some], seconds: float, *, since: str = "") -> list[Some]:
        """Wait until every machine is connected and was read (since then); those that were not in time."""
        missing = list(ovens)
        until = time.monotonic() + seconds
        while missing and time.monotonic() < until:
            states = await asyncio.gather(*(self.realtime(oven.id) for oven in missing))
            missing = [
                oven
                for oven, state in zip(missing, states, strict=True)
                if state.get("connection_status") != "connected"
                or state.get("temperature") is None
                or state["timestamp"] < since
            ]
            if missing:
                await asyncio.sleep(0.5)
        return missing


def _json(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json() if answer.content else None
    try:
        detail = answer.json().get("detail", answer.text)
    except ValueError:
        detail = answer.text
    request = answer.request
    raise HubProblem(f"{request.method} {request.url.path} answered {answer.status_code}: {detail[:400]}")
