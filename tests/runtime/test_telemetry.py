"""Under Microsoft's worker library with Microsoft's exporter: what would arrive at Application Insights.

The worker configures OpenTelemetry as it does in Azure (``PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY``), and sends to
a server of ours. Our part must neither configure it a second time nor lose the trace that the host is in.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.runtime.host import TRACEPARENT, Worker

pytestmark = [pytest.mark.xdist_group("runtime"), pytest.mark.process]

SECRET = "hunter2Tr0ub4dor"
_, TRACE, HOST_SPAN, _ = TRACEPARENT.split("-")


class Ingestion:
    """Takes what the exporter sends."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path.endswith("/track"):
                    with outer.changed:
                        outer.items += json.loads(body) if body[:1] == b"[" else map(json.loads, body.splitlines())
                        outer.changed.notify_all()
                said = json.dumps({"itemsReceived": 1, "itemsAccepted": 1, "errors": []}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.items if item["data"]["baseType"] == kind]

    def wait(self, until: Callable[[], bool], seconds: float = 30.0) -> None:
        """Until it has arrived."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not until():
                left = deadline - time.monotonic()
                assert left > 0, "it did not arrive"
                self.changed.wait(left)


@pytest.fixture(scope="module")
def ingestion() -> Iterator[Ingestion]:
    made = Ingestion()
    yield made
    made.close()


@pytest.fixture(scope="module")
def app(ingestion: Ingestion, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    settings = {
        "DATA_DIR": str(tmp_path_factory.mktemp("telemetry")),
        "ACCESS_MODE": "developer",
        "SERVES_LOOPBACK": "true",
        "ALLOW_PRIVATE_TARGETS": "true",
        "ALLOW_HTTP_TARGETS": "true",
        "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true",
        "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=00000000-0000-0000-0000-000000000001;"
        f"IngestionEndpoint={ingestion.url};LiveEndpoint={ingestion.url}",
        "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
        "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
        "OTEL_TRACES_SAMPLER": "always_on",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "django,fastapi,flask,httpx,psycopg2,requests,urllib,urllib3",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
    }
    with Worker("function_app.py", settings) as worker:
        worker.index()
        assert "get_metrics" in worker.functions
        yield worker


def spans(ingestion: Ingestion, name: str) -> list[dict[str, Any]]:
    return [item for item in ingestion.of_type("RemoteDependencyData") if item["data"]["baseData"]["name"] == name]


def test_a_call_is_part_of_the_host_s_request_and_no_second_request(app: Worker, ingestion: Ingestion) -> None:
    url = f"http://localhost:7071/api/v1/equipment/nobody?code={SECRET}"
    answer = app.http("read_equipment", "GET", url, params={"equipment_id": "nobody"})
    assert answer.status == 404
    assert answer.json()["correlation_id"] == TRACE
    ingestion.wait(lambda: bool(spans(ingestion, "read_equipment")))
    (span,) = spans(ingestion, "read_equipment")
    assert span["tags"]["ai.operation.id"] == TRACE
    assert span["tags"]["ai.operation.parentId"] == HOST_SPAN
    said = span["data"]["baseData"]["properties"]
    assert (said["faas.trigger"], said["ovenbridge.correlation_id"]) == ("http", TRACE)
    assert ingestion.of_type("RequestData") == [], "the host counts requests; ours would count each twice"


def test_a_message_belongs_to_the_trace_it_carries(app: Worker, ingestion: Ingestion) -> None:
    """Also when the host's context is another one, as it is with a host that does not trace."""
    sender = "00-11111111111111111111111111111111-2222222222222222-01"
    body = json.dumps({"callbackId": "none", "deliveryId": "d:none", "attempt": 0}).encode()
    app.message("deliver_notification", body, properties={"traceparent": sender})
    app.message("deliver_notification", body)

    def found() -> list[dict[str, Any]]:
        return [
            item
            for kind in ("RequestData", "RemoteDependencyData")
            for item in ingestion.of_type(kind)
            if item["data"]["baseData"]["name"] == "deliver_notification"
        ]

    ingestion.wait(lambda: len(found()) == 2)
    parents = {(item["tags"]["ai.operation.id"], item["tags"]["ai.operation.parentId"]) for item in found()}
    assert parents == {("1" * 32, "2" * 16), (TRACE, HOST_SPAN)}


def test_our_measures_arrive_with_their_attributes(app: Worker, ingestion: Ingestion) -> None:
    app.timer("plan_polls")

    def measured() -> list[dict[str, Any]]:
        return [
            item["data"]["baseData"]
            for item in ingestion.of_type("MetricData")
            if item["data"]["baseData"]["metrics"][0]["name"] == "function.duration"
            and item["data"]["baseData"]["properties"]["function"] == "plan_polls"
        ]

    ingestion.wait(lambda: bool(measured()))
    first = measured()[0]
    assert first["properties"]["outcome"] == "ok"
    assert first["metrics"][0]["count"] == 1, "what alerts call ItemCount"
    assert 0 < first["metrics"][0]["min"] <= first["metrics"][0]["max"]


def test_no_key_of_an_address_arrives(app: Worker, ingestion: Ingestion) -> None:
    assert ingestion.items
    assert SECRET not in json.dumps(ingestion.items)
