"""What the Functions host would drop, and what would run but not as meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import azure.functions as func
import pytest

from local.check import Problem, check, examine
from local.functions import Function, QueueFunction, TimerFunction, load, read
from local.host_json import read_host_json
from local.settings_file import read_settings_file
from tests.api import cloud_functions
from tests.unit.local.test_settings_file import SAMPLE

ANONYMOUS = func.AuthLevel.ANONYMOUS


async def answer(req: func.HttpRequest) -> func.HttpResponse:
    """Any handler."""
    return func.HttpResponse()


async def on_message(msg: func.ServiceBusMessage) -> None:
    """Any queue handler."""


async def on_timer(timer: func.TimerRequest) -> None:
    """Any timer handler."""


def named(handler: Callable[..., Any], name: str) -> Callable[..., Any]:
    async def function(**given: Any) -> Any:
        return await handler(**given)

    function.__name__ = name
    function.__signature__ = __import__("inspect").signature(handler)  # type: ignore[attr-defined]
    return function


def app_of(*routes: tuple[str, str, list[str] | None]) -> tuple[Function, ...]:
    app = func.FunctionApp()
    for name, route, methods in routes:
        app.route(route, methods=methods, auth_level=ANONYMOUS)(named(answer, name))
    return read(app)


def said(problems: list[Problem]) -> list[str]:
    return [f"{'drops' if p.dropped else 'warns'} {p}" for p in problems]


def test_the_cloud_app_is_clean() -> None:
    """Nothing in the app is dropped or shadowed; names, routes, schedules and queues are the host's."""
    assert said(check(cloud_functions(), read_settings_file(SAMPLE).values)) == []


def test_the_sample_app_is_clean() -> None:
    functions = load("tests.unit.local.sample_app")
    assert said(check(functions, {})) == []
    assert len(functions) == 14


@pytest.mark.parametrize(
    ("routes", "problem"),
    [
        ([("Host", "a", ["GET"])], "drops Host: a function's name"),
        ([("a.b", "a", ["GET"])], "drops a.b: a function's name"),
        ([("a", "admin-x", ["GET"])], "drops a: the route `admin-x` begins with a reserved word"),
        ([("a", "Runtime/x", ["GET"])], "drops a: the route `Runtime/x` begins"),
        ([("a", "x", ["GET"]), ("b", "X/", ["GET", "PUT"])], "drops b: a has the same route"),
        ([("a", "x", None), ("b", "x", ["PUT"])], "drops b: a has the same route"),
        ([("a", "x/{id:uuid}", ["GET"])], "drops a: the route `x/{id:uuid}` is not usable"),
        ([("a", "x", ["GET"]), ("A", "y", ["GET"])], "drops A: another function has this name"),
        ([("get_x", "x/{id}", ["GET"]), ("list_x", "x/all", ["GET"])], "warns list_x: calls like /x/all go to get_x"),
        ([("a", "x/{*rest}", ["GET"]), ("b", "x/{id:int}/y", ["GET"])], "warns b: calls like /x/7/y go to a"),
    ],
)
def test_http_rules(routes: list[Any], problem: str) -> None:
    found = said(check(app_of(*routes), {}))
    assert len(found) == 1
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    "routes",
    [
        [("a", "x", ["GET"]), ("b", "x", ["PUT"])],
        [("a", "x/{id:int}", ["GET"]), ("b", "x/all", ["GET"])],
        [("a", "x/all", ["GET"]), ("b", "x/{id}", ["GET"])],
        [("a", "x/{id:length(32)}", ["GET"]), ("b", "x/{id:regex(^[0-9]{{1,9}}$)}", ["GET"])],
        [("a", "x/{id}", ["GET"]), ("b", "x/all", ["POST"])],
    ],
)
def test_what_is_fine_is_not_complained_about(routes: list[Any]) -> None:
    assert check(app_of(*routes), {}) == []


def timer(schedule: str) -> tuple[Function, ...]:
    app = func.FunctionApp()
    app.timer_trigger(schedule=schedule, arg_name="timer")(named(on_timer, "nightly"))
    return read(app)


def test_settings_in_schedules() -> None:
    assert said(check(timer("%NIGHTLY%"), {}))[0].startswith("drops nightly: the setting NIGHTLY")
    assert said(check(timer("%NIGHTLY%"), {"NIGHTLY": "at night"}))[0].startswith("drops nightly: the schedule")
    kept = examine(timer("%NIGHTLY%"), {"nightly": "0 0 3 * * *"}).functions[0]
    assert isinstance(kept, TimerFunction)
    assert kept.schedule == "0 0 3 * * *"


def queue(name: str = "relay-ingest", argument: str = "msg", **more: Any) -> tuple[Function, ...]:
    app = func.FunctionApp()
    app.service_bus_queue_trigger(arg_name=argument, queue_name=name, connection="ServiceBusConnection", **more)(
        named(on_message, "take")
    )
    return read(app)


def test_queue_rules() -> None:
    assert "no queue `other`" in said(check(queue("other"), {}))[0]
    assert "cardinality many" in said(check(queue(cardinality=func.Cardinality.MANY), {}))[0]
    kept = examine(queue("%QUEUE%"), {"QUEUE": "relay-ingest"}).functions[0]
    assert isinstance(kept, QueueFunction)
    assert kept.queue == "relay-ingest"


def test_binding_names_and_parameters() -> None:
    found = said(check(queue(argument="queue_message"), {}))
    assert "the binding name `queue_message` must be letters and digits" in found[0]
    assert "its parameters (msg) are not its bindings (queue_message)" in found[1]


def test_what_the_local_host_does_not_serve() -> None:
    app = func.FunctionApp()
    app.blob_trigger(arg_name="req", path="x", connection="y")(named(answer, "on_blob"))
    assert said(check(read(app), {})) == ["drops on_blob: the local host does not serve the trigger blobTrigger"]


def test_host_json_of_the_app() -> None:
    host = read_host_json()
    assert host.route_prefix == ""
    assert host.function_timeout_seconds == 300
    assert host.max_concurrent_calls == 64
