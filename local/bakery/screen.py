"""What a person sees: where to look, what happens."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from local.bakery.devices import PROFILE_ID, RELAY_ID, SampleDevice
from local.bakery.hall import Hall
from local.bakery.hub import Hub, HubProblem, Machine
from local.bakery.plant import SampleOven
from local.bakery.relay import PAGE

__all__ = ["GOOD_BYE", "LiveView", "one_line", "plant_to_look_at", "where_to_look"]

GOOD_BYE = "Ctrl-C stops all of it; the data stays.\n"

REFRESH_SECONDS = 2.0
CLEAR_LINE = "\r\x1b[2K"


def where_to_look(base_url: str, ovens: Sequence[tuple[SampleOven, int]], data: Path, log_file: Path) -> str:
    """What to click and curl."""
    first, first_port = ovens[0]
    api = f"{base_url}/api/v1/equipment"
    control = f"http://127.0.0.1:{first_port}/control"
    width = max(len(oven.name) for oven, _ in ovens)
    lines = [
        "",
        f"Ovenbridge is running on {base_url}",
        f"  data in {data}, the host's log in {log_file}",
        "",
        "The ovens, read every 10 s:",
        *(f"  {o.id:<8}  {o.name:<{width}}  {o.dialect_name:<10}  http://127.0.0.1:{port}" for o, port in ovens),
        "",
        "Look:",
        f"  curl -s {api}/{first.id}/realtime-data",
        f"  curl -s '{api}/{first.id}/sensor-history?limit=5'",
        f"  curl -s {api}/{first.id}/connection-log",
        f"  curl -s '{api}/iot-alerts?status=active'",
        f"  curl -s {base_url}/api/health/ready",
        "",
        f"Make something happen ({first.name}):",
        f"""  curl -s {control} -d '{{"temperature": {first.limit + 12:g}}}'   # too hot: an alert within 10 s""",
        f"""  curl -s {control} -d '{{"temperature": null}}'  # it cools down, the alert clears""",
        f"""  curl -s {control} -d '{{"fault": "offline"}}'   # or hang, slow, error, sensor, drift, null""",
        "",
    ]
    return "\n".join(lines)


def plant_to_look_at(base_url: str, hall: Hall, unread: Sequence[SampleDevice]) -> str:
    """The devices that a relay reads, and what can be done with them."""
    api, devices = f"{base_url}/api/v1/equipment", hall.devices
    width = max(len(device.name) for device in devices)
    spoken = max(len(device.speaks) for device in devices)
    write = '{"signal": "temperature.deck1.setpoint", "value": 200, "reason": "trying it out"}'
    lines = [
        "",
        f"The plant, read every 5 s by the relay on {hall.relay_url}, its log in {hall.log_file}:",
        *(f"  {d.id:<9}  {d.name:<{width}}  {d.speaks:<{spoken}}  {hall.address(d)}" for d in devices),
        *(f"  {sentence}" for sentence in hall.left_out),
        *((f"  Not read yet, the relay's log may say why: {', '.join(d.id for d in unread)}",) if unread else ()),
        "",
        "Read, steer, and ask on site as a worker's page does:",
        f"  curl -s {api}/combi-1/realtime-data",
        f"  curl -s {api}/deck-1/write -H 'Content-Type: application/json' \\",
        f"    -d '{write}'",
        f"  curl -s {base_url}/api/v1/relays/{RELAY_ID}",
        f"  curl -s {hall.relay_url}/local/requests/{PROFILE_ID} -H 'Origin: {PAGE}' -d '{{}}'",
        "",
    ]
    return "\n".join(lines)


class LiveView:
    """One line that is kept up to date, and a line for everything that begins or ends."""

    def __init__(self, hub: Hub, ovens: Sequence[Machine]) -> None:
        self._hub = hub
        self._ovens = ovens
        self._alerts: dict[str, dict[str, Any]] | None = None
        self._connections: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                states = await asyncio.gather(*(self._hub.realtime(oven.id) for oven in self._ovens))
                events = self.changes(await self._hub.alerts(), dict(zip(self._ids(), states, strict=True)))
            except (httpx.HTTPError, HubProblem) as error:
                self._write([f"the hub does not answer: {error}"], "")
            else:
                width = shutil.get_terminal_size((200, 24)).columns - 1
                self._write(events, one_line(dict(zip(self._ids(), states, strict=True)), width))
            await asyncio.sleep(REFRESH_SECONDS)

    def _ids(self) -> list[str]:
        return [oven.id for oven in self._ovens]

    def changes(self, alerts: Sequence[dict[str, Any]], states: Mapping[str, dict[str, Any]]) -> list[str]:
        """What began and ended since the last look; nothing at the first."""
        now = {alert["id"]: alert for alert in alerts}
        lines: list[str] = []
        if self._alerts is not None:
            lines += [f"{'ALERT':<12}  {_told(a)}" for key, a in now.items() if key not in self._alerts]
            lines += [f"{'cleared':<12}  {_told(a)}" for key, a in self._alerts.items() if key not in now]
        self._alerts = now
        for equipment_id, state in states.items():
            status = str(state.get("connection_status", "unknown"))
            before = self._connections.get(equipment_id)
            if before not in (None, "unknown", status):
                lines.append(f"{status:<12}  {equipment_id}")
            self._connections[equipment_id] = status
        return lines

    def _write(self, events: Sequence[str], line: str) -> None:
        stamp = f"{datetime.now().astimezone():%H:%M:%S}"
        sys.stdout.write(CLEAR_LINE + "".join(f"{stamp}  {event}\n" for event in events) + line)
        sys.stdout.flush()


def one_line(states: Mapping[str, dict[str, Any]], width: int) -> str:
    """All machines in ``width`` characters, with their stages where these fit: a line that wraps cannot be cleared."""
    full = "   ".join(_short(equipment_id, state) for equipment_id, state in states.items())
    if len(full) <= width:
        return full
    return "  ".join(_short(equipment_id, state, brief=True) for equipment_id, state in states.items())[:width]


def _told(alert: Mapping[str, Any]) -> str:
    return f"{alert.get('equipment_id')}  {alert.get('severity')}: {alert.get('message')}"


def _short(equipment_id: str, state: Mapping[str, Any], *, brief: bool = False) -> str:
    if state.get("connection_status") != "connected":
        return f"{equipment_id} {state.get('connection_status', 'unknown')}"
    temperature = state.get("temperature")
    shown = "--" if temperature is None else f"{temperature:.0f}°"
    if brief:
        return f"{equipment_id} {shown}"
    progress = state.get("cycle_progress_percentage")
    done = f" {progress:.0f}%" if progress and state.get("cycle_stage") == "baking" else ""
    return f"{equipment_id} {shown} {state.get('cycle_stage') or '-'}{done}"
