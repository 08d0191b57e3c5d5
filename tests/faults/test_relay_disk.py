"""Disks that are full, at the relay and then at the hub, as the kernel says it to the process: nothing is lost that was
taken, what could not be taken is counted and told, and nobody has to restart anything."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.faults.host_process import HostProcess, running
from tests.faults.test_relay import farm, free_port, register, until_all, until_asked

pytestmark = [pytest.mark.process, pytest.mark.soak]

OPEN = resource.RLIM_INFINITY


def may_write(host: HostProcess, size: int) -> None:
    """How large a file of this process may become: beyond it every write fails."""
    resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE, (size, OPEN))


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - other processes count
            await asyncio.sleep(0.2)


async def lost(hub: HostProcess) -> int:
    status, state = await hub.call("GET", "/api/v1/relays/hall-1")
    assert status == 200, state
    return int(state["readings_lost"] or 0)


async def test_full_disks(tmp_path: Path) -> None:
    async with farm() as ovens, running(tmp_path / "hub", port=free_port()) as hub:
        env = await register(hub, str(ovens.base_url))
        async with running(tmp_path / "relay", "--app", "relay", env=env) as relay:
            await until_all(hub, lambda found: all(len(one) >= 2 for one in found))

            may_write(relay, 1)

            async def relay_says_so() -> bool:
                status, ready = await relay.call("GET", "/api/health/ready")
                return "disk" in str(ready) and status in (200, 503)

            await until(relay_says_so)
            await until_asked(ovens, 10)
            may_write(relay, OPEN)
            before = datetime.now().astimezone()
            await until_all(hub, lambda found: all(one[-1] > before for one in found))

            async def hub_knows() -> bool:
                return await lost(hub) > 0

            await until(hub_knows)

            may_write(hub, 1)
            full = datetime.now().astimezone()
            await until_asked(ovens, 40)
            may_write(hub, OPEN)
            again = datetime.now().astimezone()
            found = await until_all(hub, lambda found: all(one[-1] > again for one in found))
            for n, one in enumerate(found):
                meanwhile = [at for at in one if full < at < again]
                assert len(meanwhile) >= 5, "while the hub's disk was full the relay kept them"
                assert len(set(one)) == len(one), f"oven {n}: none twice"
            assert (await relay.end())[0] == 0
        assert (await hub.end())[0] == 0
