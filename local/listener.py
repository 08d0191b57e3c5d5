"""A listener of your own: shows every notification it receives. ``python -m local.listener --port 9000``

For trying out callbacks and for counting what arrived: one JSON line per notification on stdout, with its
``webhook-id``, so that ``| jq -r .webhook_id | sort | uniq -d`` names what came twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from typing import Any

from aiohttp import web

from shared import json_text
from shared.clock import SystemClock, iso


class Listener:
    """Takes notifications and prints them; can refuse the first few, to see retries."""

    def __init__(self, refuse_first: int = 0) -> None:
        self.refuse_first = refuse_first
        self.received = 0

    async def take(self, request: web.BaseRequest) -> web.Response:
        """Any method, any path."""
        raw = await request.read()
        self.received += 1
        refused = self.received <= self.refuse_first
        print(json.dumps(self._line(request, raw, refused), ensure_ascii=False), flush=True)
        return web.Response(status=503 if refused else 204)

    @staticmethod
    def _line(request: web.BaseRequest, raw: bytes, refused: bool) -> dict[str, Any]:
        line: dict[str, Any] = {
            "at": iso(SystemClock().now()),
            "path": request.path,
            "webhook_id": request.headers.get("webhook-id"),
            "refused": refused,
        }
        try:
            body = json_text.load(raw)
        except ValueError:
            line["text"] = raw[:1000].decode("utf-8", "replace")
            return line
        properties = body.get("properties", {}) if isinstance(body, dict) else {}
        line["event_type"] = properties.get("eventType")
        line["data"] = properties.get("data", body)
        return line


async def _serve(host: str, port: int, refuse_first: int) -> int:
    listener = Listener(refuse_first)
    runner = web.ServerRunner(web.Server(listener.take))
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as err:
        print(f"Port {port} cannot be listened on: {err.strerror}. Choose another with --port.", file=sys.stderr)
        await runner.cleanup()
        return 2
    print(f"Listening on http://{host}:{runner.addresses[0][1]} - Ctrl-C stops.", file=sys.stderr, flush=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    await stop.wait()
    await runner.cleanup()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.listener", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--port", type=int, default=9000, help="port to listen on; 0: any free one (default %(default)s)"
    )
    parser.add_argument("--refuse-first", type=int, default=0, help="answer 503 to so many, to see the retries")
    chosen = parser.parse_args()
    return asyncio.run(_serve(chosen.host, chosen.port, chosen.refuse_first))


if __name__ == "__main__":
    sys.exit(main())
