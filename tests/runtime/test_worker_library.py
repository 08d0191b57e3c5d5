"""The check itself: what Microsoft's worker library says of apps that are broken, and of a small one that is not."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.runtime.host import InvocationFailed, Worker

pytestmark = pytest.mark.xdist_group("runtime")

BROKEN = {
    "import error": ("import no_such_package\n", "no_such_package"),
    "two apps": (
        "import azure.functions as func\napp = func.FunctionApp()\nother = func.FunctionApp()\n",
        "More than one",
    ),
    "no app": ("import azure.functions\n", "Could not find top level function app"),
    "same name twice": (
        """
        import azure.functions as func
        app = func.FunctionApp()
        @app.function_name("a")
        @app.route("x")
        async def x(req: func.HttpRequest) -> func.HttpResponse: ...
        @app.function_name("a")
        @app.route("y")
        async def y(req: func.HttpRequest) -> func.HttpResponse: ...
        """,
        "does not have a unique function name",
    ),
    "parameter without binding": (
        """
        import azure.functions as func
        app = func.FunctionApp()
        @app.route("x")
        async def x(req: func.HttpRequest, helper: str) -> func.HttpResponse: ...
        """,
        "helper",
    ),
}

SMALL = """
import azure.functions as func
app = func.FunctionApp()

@app.route("hello/{name}", methods=["POST"])
async def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.route_params["name"].encode() + b":" + req.get_body(), status_code=201)

@app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="ServiceBusConnection")
async def take(msg: func.ServiceBusMessage) -> None:
    assert msg.get_body() == b"good" and msg.message_id == "m:1", msg.get_body()

@app.timer_trigger(schedule="0 * * * * *", arg_name="timer")
async def tick(timer: func.TimerRequest) -> None:
    if timer.past_due:
        raise RuntimeError("late")
"""


def _app(folder: Path, source: str) -> Worker:
    (folder / "function_app.py").write_text(textwrap.dedent(source))
    return Worker("function_app.py", {}, root=folder)


@pytest.mark.parametrize("case", BROKEN, ids=lambda c: c.replace(" ", "-"))
def test_a_broken_entry_file_is_found(case: str, tmp_path: Path) -> None:
    source, says = BROKEN[case]
    with _app(tmp_path, source) as worker:
        about = worker.index()
    assert says in about.get("error", ""), about


def test_an_app_without_functions_lists_none(tmp_path: Path) -> None:
    with _app(tmp_path, "import azure.functions as func\napp = func.FunctionApp()\n") as worker:
        assert worker.index()["functions"] == []


def test_each_trigger_type_is_invoked_as_the_host_does(tmp_path: Path) -> None:
    with _app(tmp_path, SMALL) as worker:
        worker.index()
        answer = worker.http("hello", "POST", "http://x/api/hello/oven", params={"name": "oven"}, body=b"hot")
        assert (answer.status, answer.body) == (201, b"oven:hot")
        worker.message("take", b"good")
        with pytest.raises(InvocationFailed, match="AssertionError"):
            worker.message("take", b"bad")
        worker.timer("tick")
        with pytest.raises(InvocationFailed, match="late"):
            worker.timer("tick", past_due=True)
