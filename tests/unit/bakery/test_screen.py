"""What a person sees while the bakery runs."""

from __future__ import annotations

from pathlib import Path

from local.bakery.devices import DEVICES
from local.bakery.hub import Hub
from local.bakery.plant import OVENS
from local.bakery.screen import LiveView, one_line, where_to_look


def alert(number: int) -> dict[str, str]:
    return {"id": f"a{number}", "equipment_id": f"horno-{number}", "severity": "critical", "message": "too hot"}


async def test_tells_what_begins_and_ends() -> None:
    async with Hub("http://127.0.0.1:9") as hub:
        view = LiveView(hub, OVENS)
        up, down = {"horno-1": {"connection_status": "connected"}}, {"horno-1": {"connection_status": "disconnected"}}
        assert view.changes([alert(1)], up) == [], "what was there before is no news"
        assert view.changes([alert(1), alert(2)], up) == ["ALERT         horno-2  critical: too hot"]
        assert view.changes([alert(2)], down) == ["cleared       horno-1  critical: too hot", "disconnected  horno-1"]
        assert view.changes([alert(2)], down) == []


async def test_the_first_reading_is_no_change() -> None:
    async with Hub("http://127.0.0.1:9") as hub:
        view = LiveView(hub, OVENS)
        assert view.changes([], {"horno-1": {}}) == []
        assert view.changes([], {"horno-1": {"connection_status": "connected"}}) == []


def test_where_to_look_can_be_copied() -> None:
    text = where_to_look("http://127.0.0.1:7071", [(OVENS[0], 40001)], Path("/d"), Path("/d/host.log"))
    assert "\n  curl -s http://127.0.0.1:7071/api/v1/equipment/horno-1/realtime-data\n" in text
    assert """curl -s http://127.0.0.1:40001/control -d '{"temperature": 270}'""" in text
    assert max(len(line) for line in text.splitlines()) < 115


def test_eight_machines_fit_into_a_terminal() -> None:
    state = {"connection_status": "connected", "temperature": 223.4, "cycle_stage": "preheating"}
    states = {machine.id: state for machine in (*OVENS, *DEVICES)}
    assert len(states) == 8
    assert one_line(states, 400).count("preheating") == 8
    line = one_line(states, 119)
    assert (len(line) <= 119, line.count("223°")) == (True, 8)
    assert len(one_line(states, 60)) == 60
    assert "disconnected" in one_line({"deck-1": {"connection_status": "disconnected"}}, 10**6)
