"""`python -m local --workers 2`: it stops whole, a worker that dies comes back, a kill of any process loses nothing."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from pathlib import Path

import pytest

from tests.benchmarks.wire import Client
from tests.faults.host_process import HostProcess, running
from tests.faults.test_delivery_kill9 import CALLBACKS, EVENTS, _check_ids, _Publisher, _register, _until_all_arrived
from tests.unit.callbacks.receiver import receiving

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

QUICK = {"DELIVERY_RETRY_SECONDS": "1"}


def workers_of(host: HostProcess) -> list[int]:
    """The process ids of its workers."""
    listed = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text("ascii")
    return [int(pid) for pid in listed.split()]


async def gone(pid: int, seconds: float = 10.0) -> bool:
    """Has this process ended?"""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        loop.add_reader(handle, ended.set)
        async with asyncio.timeout(seconds):
            await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return True


async def pids_that_answer(port: int, connections: int) -> set[str]:
    """Which processes answer on so many connections."""
    clients = [await Client.connect(port) for _ in range(connections)]
    said = [await client.ask("GET", "/admin/host/status") for client in clients]
    for client in clients:
        client.close()
    return {json.loads(body)["id"] for _, body in said}


def port_of(host: HostProcess) -> int:
    return int(host.url.rpartition(":")[2])


async def test_connections_go_round_and_all_of_it_stops(tmp_path: Path) -> None:
    async with running(tmp_path, "--workers", "3") as host:
        first, second = workers_of(host)
        assert len(await pids_that_answer(port_of(host), 9)) == 3
        code, seconds = await host.end()
        assert (code, seconds < 10) == (0, True)
        assert await gone(first)
        assert await gone(second)
        assert b"Traceback" not in await host.errors


async def test_a_worker_that_dies_is_said_and_started_again(tmp_path: Path) -> None:
    async with running(tmp_path, "--workers", "2") as host:
        (worker,) = workers_of(host)
        os.kill(worker, signal.SIGKILL)
        assert await gone(worker)
        assert len(await pids_that_answer(port_of(host), 4)) == 1, "nobody is sent to it meanwhile"
        async with asyncio.timeout(20):
            while len(await pids_that_answer(port_of(host), 4)) < 2:  # noqa: ASYNC110 - another process starts
                await asyncio.sleep(0.05)
        assert workers_of(host) != [worker]
        assert (await host.end())[0] == 0
        assert b"worker 1 ended (signal 9) and is started again" in await host.errors


async def test_workers_end_with_the_first_process(tmp_path: Path) -> None:
    async with running(tmp_path, "--workers", "2") as host:
        (worker,) = workers_of(host)
        await host.end(signal.SIGKILL)
        assert await gone(worker)
    async with running(tmp_path, "--workers", "2") as host:
        assert (await host.end())[0] == 0


@pytest.mark.long
async def test_a_kill_of_any_process_loses_nothing(tmp_path: Path) -> None:
    """A worker, then the first process: each killed at a random moment in the middle of 500 events."""
    seed = int(os.environ.get("SEED", str(random.randrange(10**6))))
    chance = random.Random(seed)
    print(f"seed {seed}")
    publisher = _Publisher()
    async with receiving() as receiver:
        ids: list[str] = []
        for victim in ("worker", "first"):
            receiver.answer = lambda _: 200 if chance.random() < 0.3 else 503
            async with running(tmp_path, "--workers", "2", env=QUICK) as host:
                ids = ids or await _register(port_of(host), receiver)
                publishing = asyncio.create_task(publisher.publish(port_of(host)))
                await publisher.answered.wait()
                await asyncio.sleep(chance.uniform(0.05, 0.8))
                os.kill(workers_of(host)[0] if victim == "worker" else host.process.pid, signal.SIGKILL)
                await publishing
                if victim == "worker":
                    await host.end(signal.SIGKILL)
        receiver.answer = 200
        async with running(tmp_path, env=QUICK) as host:  # one process: it takes over what was the others'
            await publisher.publish(port_of(host))
            assert publisher.acknowledged == set(range(EVENTS))
            wanted = {(f"/c{c}", n) for c in range(CALLBACKS) for n in range(EVENTS)}
            missing = await _until_all_arrived(receiver, wanted, 100)
            assert not missing, f"seed {seed}: {len(missing)} of {len(wanted)} never arrived"
            assert (await host.end())[0] == 0
    _check_ids(receiver, ids, seed)


async def test_a_relay_is_one_process(tmp_path: Path) -> None:
    from tests.faults.host_process import refusal

    code, _, said = await refusal("--app", "relay", "--workers", "2", "--data", str(tmp_path))
    assert (code, said.strip()) == (2, "--workers: a relay is one process; leave the option out.")
    code, _, said = await refusal("--workers", "0", "--data", str(tmp_path))
    assert (code, "1 to 16" in said) == (2, True)
