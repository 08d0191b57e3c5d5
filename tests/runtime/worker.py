"""One function app under Microsoft's own worker library, in this process: the child that ``host.py`` talks to.

Reads one JSON command a line from stdin, answers one JSON line on stdout:
``index`` -> what the host would be told; ``invoke`` -> what the host would get back.
One app per process: the library keeps its registry in module globals.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import threading
import types
import uuid
from pathlib import Path
from typing import Any

from tests.runtime import messages as protos

INDEX_TIMEOUT_SECONDS = 30


def _prepare(root: str, entry: str, settings: dict[str, str]) -> None:
    os.environ.update(
        {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "FUNCTIONS_WORKER_RUNTIME_VERSION": f"{sys.version_info[0]}.{sys.version_info[1]}",
            "FUNCTIONS_EXTENSION_VERSION": "~4",
            "AzureWebJobsScriptRoot": root,
            "FUNCTIONS_APPLICATION_DIRECTORY": root,
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "PYTHON_THREADPOOL_THREAD_COUNT": "1000",
            "PYTHON_SCRIPT_FILE_NAME": entry,
            **settings,
        }
    )
    os.chdir(root)
    sys.path.insert(0, root)


def _typed(value: Any) -> protos.TypedData:
    kind, content = value
    if kind == "bytes":
        content = base64.b64decode(content)
    return protos.TypedData(**{kind: content})


def _read(data: protos.TypedData) -> Any:
    kind = data.WhichOneof("data")
    if kind is None:
        return None
    if kind == "http":
        body = data.http.body
        raw = body.bytes if body.WhichOneof("data") == "bytes" else (body.string or body.json).encode()
        return {
            "status": int(data.http.status_code or 200),
            "headers": dict(data.http.headers),
            "body": base64.b64encode(raw).decode(),
        }
    return {kind: getattr(data, kind)}


class Child:
    """The library on an event loop of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        import azure_functions_runtime as runtime

        self.runtime = runtime
        runtime.start_threadpool_executor()

    def _run(self, coroutine: Any, timeout: float) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def index(self, root: str) -> dict[str, Any]:
        """Import the entry file and say what the host would learn. A SystemExit in it never answers: a timeout."""
        init = types.SimpleNamespace(capabilities={}, function_app_directory=root)
        request = types.SimpleNamespace(
            request=types.SimpleNamespace(worker_init_request=init),
            properties={"host": "127.0.0.1", "protos": protos},
        )
        answer = self._run(self.runtime.worker_init_request(request), INDEX_TIMEOUT_SECONDS)
        if answer.result.status != protos.StatusResult.Success:
            return {"error": answer.result.exception.message}
        listed = self._run(self.runtime.functions_metadata_request(None), INDEX_TIMEOUT_SECONDS)
        return {
            "python": answer.worker_metadata.runtime_version,
            "library": answer.worker_metadata.worker_version,
            "functions": [
                {"name": f.name, "id": f.function_id, "bindings": [json.loads(raw) for raw in f.raw_bindings]}
                for f in listed.function_metadata_results
            ],
        }

    def invoke(self, command: dict[str, Any]) -> dict[str, Any]:
        """Call one function as the host would."""
        inputs = []
        for name, value in command["inputs"].items():
            if value[0] == "http":
                parts = dict(value[1])
                body = parts.pop("body", None)
                http = protos.RpcHttp(**parts)
                if body is not None:
                    http.body = protos.TypedData(bytes=base64.b64decode(body))
                data = protos.TypedData(http=http)
            else:
                data = _typed(value)
            inputs.append(protos.ParameterBinding(name=name, data=data))
        request = protos.InvocationRequest(
            invocation_id=str(uuid.uuid4()), function_id=command["id"], input_data=inputs
        )
        request.trace_context.trace_parent = command.get("traceparent", "")
        for key, value in command.get("metadata", {}).items():
            request.trigger_metadata[key].CopyFrom(_typed(value))
        wrapped = types.SimpleNamespace(
            request=types.SimpleNamespace(invocation_request=request), properties={"protos": protos}
        )
        answer = self._run(self.runtime.invocation_request(wrapped), 60)
        if answer.result.status != protos.StatusResult.Success:
            return {"failure": answer.result.exception.message, "trace": answer.result.exception.stack_trace}
        result: dict[str, Any] = {"outputs": {o.name: _read(o.data) for o in answer.output_data}}
        if answer.HasField("return_value"):
            result["return"] = _read(answer.return_value)
        return result


def main() -> None:
    start = json.loads(sys.stdin.readline())
    library = str(Path(__file__).resolve().parents[2] / ".runtime-library")
    if sys.version_info < (3, 13):
        sys.path.append(library)
    _prepare(start["root"], start["entry"], start["settings"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the app prints goes to stderr, not between our answers
    child = Child()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = child.index(start["root"]) if command["op"] == "index" else child.invoke(command)
        except TimeoutError:
            answer = {"error": "no answer in time"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
