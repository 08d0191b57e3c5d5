"""A tiny app with every trigger the local host serves: `python -m local --entry tests.unit.local.sample_app`."""

from __future__ import annotations

import asyncio
import json
import time

import azure.functions as func

from shared.messaging import Outgoing
from shared.services import services

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

seen: dict[str, list[str]] = {"queue": [], "ticks": [], "nightly": []}
OPEN = func.AuthLevel.ANONYMOUS


def _json(body: object, status: int = 200) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body), status_code=status, mimetype="application/json")


@app.route("api/echo/{name:maxlength(40)?}", methods=["GET", "POST", "PUT"], auth_level=OPEN)
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    """What the function got to see."""
    body = req.get_body()
    return _json(
        {
            "method": req.method,
            "url": req.url,
            "headers": dict(req.headers),
            "params": dict(req.params),
            "route": dict(req.route_params),
            "length": len(body),
            "body": body[:200].decode("latin-1"),
        }
    )


@app.route("api/plain", methods=["GET"], auth_level=OPEN)
def plain_sync(req: func.HttpRequest) -> func.HttpResponse:
    """A sync function: runs in a thread."""
    response = func.HttpResponse("hello")
    response.headers.add("X-Twice", "1")
    response.headers.add("X-Twice", "2")
    response.headers.add("Set-Cookie", "a=1")
    response.headers.add("Set-Cookie", "b=2")
    return response


@app.route("api/keyed", methods=["GET"])
async def keyed(req: func.HttpRequest) -> func.HttpResponse:
    """Asks for a function key."""
    return _json("in")


@app.route("api/locked", methods=["GET"], auth_level=func.AuthLevel.ADMIN)
async def locked(req: func.HttpRequest) -> func.HttpResponse:
    """Asks for the master key."""
    return _json("in")


@app.route("api/fails", auth_level=OPEN)
async def fails(req: func.HttpRequest) -> func.HttpResponse:
    """Lets an exception escape."""
    raise RuntimeError("on purpose")


@app.route("api/nothing", auth_level=OPEN)
async def nothing(req: func.HttpRequest) -> func.HttpResponse:
    """Answers what no function may answer."""
    return None  # type: ignore[return-value]


@app.route("api/slow/{seconds:double}", methods=["GET"], auth_level=OPEN)
async def slow(req: func.HttpRequest) -> func.HttpResponse:
    """Answers late."""
    await asyncio.sleep(float(req.route_params["seconds"]))
    return _json("at last")


@app.route("api/blocks/{seconds:double}", methods=["GET"], auth_level=OPEN)
async def blocks(req: func.HttpRequest) -> func.HttpResponse:
    """Blocks the event loop, as no function should."""
    time.sleep(float(req.route_params["seconds"]))  # noqa: ASYNC251 - that is its purpose
    return _json("at last")


@app.route("api/stuck/{seconds:double}", methods=["GET"], auth_level=OPEN)
def stuck(req: func.HttpRequest) -> func.HttpResponse:
    """Hangs in a thread."""
    time.sleep(float(req.route_params["seconds"]))
    return _json("at last")


@app.route("api/send/{count:int}", methods=["POST"], auth_level=OPEN)
async def send(req: func.HttpRequest) -> func.HttpResponse:
    """Sends messages with the body of the request."""
    run = req.params.get("run", "r")
    count = int(req.route_params["count"])
    messages = [
        Outgoing(req.get_body(), f"{run}:{i}", correlation_id="c-1", properties={"n": "7"}) for i in range(count)
    ]
    await services().queue.send("relay-ingest", messages)
    return _json(count, 202)


@app.route("api/seen", methods=["GET"], auth_level=OPEN)
async def seen_so_far(req: func.HttpRequest) -> func.HttpResponse:
    """What the other functions saw."""
    dead = await services().receiver.dead_letters("relay-ingest", 100)
    return _json({**seen, "dead": [d.message.message_id for d in dead]})


@app.service_bus_queue_trigger(arg_name="msg", queue_name="relay-ingest", connection="ServiceBusConnection")
async def take(msg: func.ServiceBusMessage) -> None:
    """A queue function: the body says what happens."""
    body = msg.get_body().decode()
    if body.startswith("slow"):
        await asyncio.sleep(0.1)
    seen["queue"].append(f"{msg.message_id} {msg.delivery_count} {msg.correlation_id} {body}")
    if body.startswith("fail"):
        raise RuntimeError("on purpose")
    if body.startswith("hang"):
        await asyncio.sleep(60)


@app.timer_trigger(schedule="* * * * * *", arg_name="timer")
async def every_second(timer: func.TimerRequest) -> None:
    """Sub-minute: never past due."""
    seen["ticks"].append(str(timer.past_due))


@app.timer_trigger(schedule="0 0 3 * * *", arg_name="timer")
async def nightly(timer: func.TimerRequest) -> None:
    """Kept over restarts."""
    seen["nightly"].append(f"{timer.past_due}")
