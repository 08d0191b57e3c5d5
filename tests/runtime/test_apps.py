"""Our function apps under Microsoft's worker library: indexed, held against the host's rules, invoked.

Runs on the Python it is started with: `make test` does so on 3.11 and, where there is one, on 3.13.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.host import InvocationFailed, Worker

pytestmark = pytest.mark.xdist_group("runtime")

LISTED = Path(__file__).with_name("functions.json")
SECRET = "hunter2-is-no-secret-code"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    settings = {
        "DATA_DIR": str(tmp_path_factory.mktemp("cloud")),
        "ACCESS_MODE": "developer",
        "SERVES_LOOPBACK": "true",
        "ALLOW_PRIVATE_TARGETS": "true",
        "ALLOW_HTTP_TARGETS": "true",
        "LOG_LEVEL": "DEBUG",
    }
    with Worker("function_app.py", settings) as worker:
        worker.index()
        yield worker
    assert SECRET not in worker.logs, "a key from the address came into the log"


def told(worker: Worker) -> list[dict[str, Any]]:
    """What the host is told of each function, without what differs between versions of the library."""
    functions = []
    for name, function in sorted(worker.functions.items()):
        trigger = next(b for b in function["bindings"] if b["type"].lower().endswith("trigger"))
        entry: dict[str, Any] = {"name": name, "trigger": trigger["type"]}
        for key in (
            "route",
            "methods",
            "authLevel",
            "queueName",
            "connection",
            "schedule",
            "useMonitor",
            "runOnStartup",
        ):
            if key in trigger:
                entry[key] = trigger[key]
        functions.append(entry)
    return functions


def test_the_cloud_app_is_the_committed_list_of_functions(cloud: Worker) -> None:
    """Changed on purpose? Write the list anew: python -m tests.runtime.write_list"""
    assert cloud.about.get("error") is None
    assert told(cloud) == json.loads(LISTED.read_text())["function_app"]


def test_the_relay_app_is_the_committed_list_of_functions(tmp_path: Path) -> None:
    with Worker(
        "relay_app.py", {"DATA_DIR": str(tmp_path), "ACCESS_MODE": "developer", "SERVES_LOOPBACK": "1"}
    ) as relay:
        relay.index()
        assert told(relay) == json.loads(LISTED.read_text())["relay_app"]
        health = relay.http("health", "GET", "http://localhost:7071/api/health")
    assert (health.status, health.json()["status"]) == (200, "ok")


def test_an_http_function_is_invoked(cloud: Worker) -> None:
    body = json.dumps({"id": "oven-1", "name": "Horno"}).encode()
    made = cloud.http(
        "create_equipment",
        "POST",
        f"http://localhost:7071/api/v1/equipment?code={SECRET}",
        headers={"Content-Type": "application/json", "X-Functions-Key": SECRET},
        body=body,
    )
    assert made.status == 201, made.body
    assert made.json()["id"] == "oven-1"
    assert {k.lower() for k in made.headers} >= {"etag", "location", "x-correlation-id"}
    url = "http://localhost:7071/api/v1/equipment/oven-1/realtime-data"
    live = cloud.http("get_realtime_data", "GET", url, params={"equipment_id": "oven-1"})
    assert live.json()["quality"] == "bad"


def test_an_http_function_answers_a_problem_and_never_fails(cloud: Worker) -> None:
    refused = cloud.http(
        "create_equipment", "POST", "http://localhost:7071/api/v1/equipment", body=b'{"name": "x", "nonsense": 1}'
    )
    assert refused.status == 400
    assert refused.json()["problems"][0]["field"] == "nonsense"


def test_a_timer_fires_also_when_past_due(cloud: Worker) -> None:
    cloud.timer("plan_polls")
    cloud.timer("plan_polls", past_due=True)
    cloud.timer("watch_alerts")


def test_a_queue_function_takes_a_message_also_at_a_high_delivery_count(cloud: Worker) -> None:
    body = json.dumps({"callbackId": "none", "deliveryId": "d:none", "attempt": 0}).encode()
    cloud.message("deliver_notification", body)
    cloud.message("deliver_notification", body, delivery_count=9)


def test_a_poison_message_fails_so_that_the_queue_can_give_it_up(cloud: Worker) -> None:
    with pytest.raises(InvocationFailed):
        cloud.message("deliver_notification", b"no json")
