"""The host's side of the runtime check: starts the worker process, speaks to it in the host's encoding."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ROOT = Path(__file__).resolve().parents[2]

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True)
class HttpResult:
    """What the host would send to the caller."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class InvocationFailed(Exception):
    """The function failed: for HTTP the host's bare 500, for a queue an abandon, for a timer a failed run."""


@dataclass
class Worker:
    """A function app under Microsoft's worker library."""

    entry: str
    settings: Mapping[str, str]
    root: Path = ROOT
    python: str = sys.executable
    functions: dict[str, dict[str, Any]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Worker:
        self.process = subprocess.Popen(
            [self.python, "-m", "tests.runtime.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._write({"root": str(self.root), "entry": self.entry, "settings": dict(self.settings)})
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.logs = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()

    def _write(self, command: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        self._write(command)
        assert self.process.stdout
        assert self.process.stderr
        line = self.process.stdout.readline()
        if not line:
            raise InvocationFailed(f"the worker died: {self.process.stderr.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def index(self) -> dict[str, Any]:
        """Index the app. ``{"error": ...}`` when the host would see no functions at all."""
        self.about = self._ask({"op": "index"})
        self.functions = {f["name"]: f for f in self.about.get("functions", [])}
        return self.about

    def _invoke(self, name: str, inputs: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
        answer = self._ask(
            {
                "op": "invoke",
                "id": self.functions[name]["id"],
                "inputs": inputs,
                "metadata": metadata,
                "traceparent": TRACEPARENT,
            }
        )
        if "failure" in answer:
            raise InvocationFailed(answer["failure"] + "\n" + answer["trace"])
        return answer

    def http(
        self,
        name: str,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> HttpResult:
        """Call an HTTP function (the caller has found it by its route, as the host does)."""
        sent = {"host": "localhost:7071", "content-length": str(len(body)), **(headers or {})}
        parts: dict[str, Any] = {
            "method": method,
            "url": url,
            "query": dict(parse_qsl(urlsplit(url).query)),
            "headers": {k.lower(): v for k, v in sent.items()},
            "params": dict(params or {}),
        }
        if body:
            parts["body"] = base64.b64encode(body).decode()
        metadata = {k: ["string", v] for k, v in (params or {}).items()}
        metadata["Headers"] = ["json", json.dumps(sent)]
        metadata["Query"] = ["json", json.dumps(parts["query"])]
        answer = self._invoke(name, {self._trigger(name): ["http", parts]}, metadata)
        value = answer.get("return") or next(iter(answer["outputs"].values()))
        return HttpResult(value["status"], value["headers"], base64.b64decode(value["body"]))

    def timer(self, name: str, *, past_due: bool = False) -> None:
        """Let a timer fire."""
        info = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": {
                "Last": "2026-11-21T10:00:00+00:00",
                "Next": "2026-11-21T10:00:05+00:00",
                "LastUpdated": "2026-11-21T10:00:00+00:00",
            },
            "IsPastDue": past_due,
        }
        self._invoke(
            name,
            {self._trigger(name): ["json", json.dumps(info)]},
            {"timerTrigger": ["string", "2026-11-21T10:00:00Z"]},
        )

    def message(
        self,
        name: str,
        body: bytes,
        *,
        delivery_count: int = 1,
        message_id: str = "m:1",
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """Deliver a Service Bus message (cardinality one), with the metadata the extension sends."""
        carried = {"traceparent": TRACEPARENT} if properties is None else dict(properties)
        text = {
            "LockToken": "8a1d2b5e-0000-0000-0000-000000000001",
            "MessageId": message_id,
            "ContentType": "application/json",
            "CorrelationId": "c0ffee",
        }
        objects: dict[str, Any] = {
            "MessageReceiver": {},
            "MessageSession": {},
            "MessageActions": {},
            "SessionActions": {},
            "ReceiveActions": {},
            "Client": {
                "FullyQualifiedNamespace": "x.servicebus.windows.net",
                "IsClosed": False,
                "TransportType": 0,
                "Identifier": "i",
            },
            "DeliveryCount": delivery_count,
            "ExpiresAtUtc": "2026-11-22T10:00:00",
            "ExpiresAt": "2026-11-22T10:00:00+00:00",
            "EnqueuedTimeUtc": "2026-11-21T10:00:00",
            "EnqueuedTime": "2026-11-21T10:00:00+00:00",
            "SequenceNumber": 1,
            "ApplicationProperties": carried,
            "UserProperties": carried,
        }
        metadata = {k: ["string", v] for k, v in text.items()} | {
            k: ["json", json.dumps(v)] for k, v in objects.items()
        }
        self._invoke(name, {self._trigger(name): ["string", body.decode()]}, metadata)

    def _trigger(self, name: str) -> str:
        bindings = self.functions[name]["bindings"]
        return next(str(b["name"]) for b in bindings if b["type"].lower().endswith("trigger"))
