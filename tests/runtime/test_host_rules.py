"""The host's own rules (reference: functions-runtime.md section 3): a function it would drop fails here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from local.check import check
from local.functions import load, read
from local.host_json import read_host_json

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = json.loads((ROOT / "local.settings.sample.json").read_text("utf-8"))["Values"]


@pytest.mark.parametrize("entry", ["function_app", "relay_app"])
def test_the_host_takes_every_function(entry: str) -> None:
    problems = check(load(entry, read_host_json().route_prefix), SETTINGS)
    assert [str(p) for p in problems] == []


def _broken(**trigger: Any) -> func.FunctionApp:
    app = func.FunctionApp()

    @app.function_name(trigger.pop("name", "fine"))
    @app.route(**trigger)
    async def handler(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(b"")

    @app.function_name("other")
    @app.route(route="taken", methods=["GET", "POST"])
    async def other(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(b"")

    return app


@pytest.mark.parametrize(
    "trigger",
    [
        {"route": "admin/things"},
        {"route": "runtime-data"},
        {"route": "taken", "methods": ["POST"]},
        {"route": "x/{unclosed"},
        {"route": "fine", "name": "9lives"},
        {"route": "fine", "name": "host"},
    ],
    ids=["admin", "runtime", "same-route", "template", "name", "host"],
)
def test_a_planted_fault_is_found(trigger: dict[str, Any]) -> None:
    assert check(read(_broken(**trigger)), SETTINGS), f"nobody noticed {trigger}"


@pytest.mark.parametrize("queue", ["no-such-queue", "%NO_SUCH_SETTING%"])
def test_a_queue_that_does_not_exist_is_found(queue: str) -> None:
    app = func.FunctionApp()

    @app.service_bus_queue_trigger(arg_name="msg", queue_name=queue, connection="ServiceBusConnection")
    async def take(msg: func.ServiceBusMessage) -> None: ...

    assert check(read(app), SETTINGS)


def test_a_bad_schedule_is_found() -> None:
    app = func.FunctionApp()

    @app.timer_trigger(schedule="every now and then", arg_name="timer")
    async def tick(timer: func.TimerRequest) -> None: ...

    assert check(read(app), SETTINGS)
