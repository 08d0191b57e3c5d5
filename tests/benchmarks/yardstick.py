"""The yardstick: the fastest plain in-memory program for the same job. aiohttp server and client, uvloop, no store.

An event is acknowledged at once and told to three targets from a queue in memory; what fails is tried again ten seconds
later, up to five times. Kill it and everything it had is gone: that is what durability is compared with.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections import deque

import aiohttp
import orjson
from aiohttp import web

from tests.benchmarks.wire import run_loop

WORKERS = 64


async def main() -> None:
    callbacks = [(uuid.uuid4().hex.upper(), url) for url in sys.argv[1:]]
    loop = asyncio.get_running_loop()
    waiting: deque[tuple[str, bytes, dict[str, str], int]] = deque()
    idle: deque[asyncio.Future[None]] = deque()

    def put(job: tuple[str, bytes, dict[str, str], int]) -> None:
        waiting.append(job)
        if idle:
            idle.popleft().set_result(None)

    async def take_event(request: web.BaseRequest) -> web.Response:
        event = orjson.loads(await request.read())
        now = str(int(time.time()))
        for name, url in callbacks:
            properties = {"callbackId": name, "timestamp": event.get("timestamp"), "data": event["data"]}
            properties |= {"objectId": event.get("objectId"), "objectType": "TOOL", "eventType": "EXTERNAL"}
            link = {"method": "GET", "embeddable": True, "href": f"http://127.0.0.1/callbacks/{name}"}
            body = orjson.dumps({"properties": properties, "_links": {"callback": link}})
            headers = {"Content-Type": "application/json", "webhook-id": uuid.uuid4().hex, "webhook-timestamp": now}
            put((url, body, headers, 0))
        return web.Response(status=204)

    async def work(session: aiohttp.ClientSession) -> None:
        while True:
            while not waiting:
                idle.append(future := loop.create_future())
                await future
            url, body, headers, attempt = waiting.popleft()
            try:
                async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                    confirmed = answer.status < 300
            except aiohttp.ClientError:
                confirmed = False
            if not confirmed and attempt < 5:
                loop.call_later(10, put, (url, body, headers, attempt + 1))

    server = await loop.create_server(web.Server(take_event, access_log=None), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await asyncio.gather(*(work(session) for _ in range(WORKERS)))


if __name__ == "__main__":
    run_loop(main)
