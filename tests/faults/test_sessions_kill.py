"""Killed at each step between a webhook and its session: never lost, one record, told once, its photo copied."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.access import system
from shared.clock import ManualClock
from shared.inbox.kinds import SourceKeys
from shared.inbox.source import NewHookSource
from shared.platforms.connections import NewConnection
from shared.services import Services
from shared.settings import Settings
from shared.storage import Document, Query
from tests.faults.test_alert_responses import Killed, Script
from tests.platforms.scope_ar import SECRET, SESSION_ID, TOKEN, WorkLink, completed, generation_2, worklink

PHOTO = b"\xff\xd8\xff\xe0 a photo"


class Follower:
    """A system of record: takes each revision once."""

    def __init__(self) -> None:
        self.taken: dict[tuple[str, int], Document] = {}

    async def accept(self, record: Document) -> None:
        self.taken.setdefault((record["id"], record["revision"]), record)


class World:
    """A disk, a CMS; and processes that come and go."""

    def __init__(self, folder: Path, token: str = "") -> None:
        self.clock = ManualClock(datetime(2026, 11, 21, 10, tzinfo=UTC))
        self.folder = folder
        self.token = token
        self.follower = Follower()

    def process(self, script: Script | None = None) -> Services:
        """A process over the same disk."""
        settings = Settings(data_dir=self.folder, allow_private_targets=True, allow_http_targets=True)
        house = Services(settings, self.clock)
        house.platforms.__dict__["on_session"] = (self.follower,)
        if script is not None:
            house.__dict__["store"] = script.wrap(house.store)
            house.__dict__["_queue"] = script.wrap(house._queue)
            house.__dict__["capture_blobs"] = script.wrap(house.capture_blobs)
        return house

    async def prepare(self, cms: WorkLink) -> None:
        """A connection and a source."""
        house, caller = self.process(), system("test")
        connection = NewConnection("cms", "scope_ar", "cms", {"url": cms.graphql}, {"token": TOKEN})
        await house.platforms.connections.create(connection, caller=caller)
        options = house.platforms.kinds.get("scope_ar").check({"connection": "cms"}, SourceKeys((SECRET,)))
        source = NewHookSource("worklink", "worklink", "scope_ar", options=options)
        _, self.token = await house.hook_sources.create(source, signing_secret=SECRET, caller=caller)
        await house.close()

    async def live(self, house: Services) -> None:
        """The webhook comes in, and what is due in the queue is done."""
        raw, headers = generation_2(webhook_id="w-1")
        lower = {name.lower(): value for name, value in headers.items()}
        await house.hooks.receive("worklink", self.token, raw, lower)
        await self.drain(house)

    async def drain(self, house: Services) -> None:
        while (await house.receiver.depth("inbound-events")).active:
            for message in await house.receiver.receive("inbound-events", 10):
                await house.inbound.handle(message.body, message.delivery_count)
                await house.receiver.complete("inbound-events", message)

    async def recover(self) -> dict[str, list[Document]]:
        """The next process: the sender got no answer, or says it again; timers run."""
        house = self.process()
        try:
            await self.live(house)
            for _ in range(4):
                self.clock.advance(130)
                await house.inbound.sweep()
                await self.drain(house)
                await house.work.sessions.tell()
            return {name: await documents(house, name) for name in ("sessions", "events", "inbound")}
        finally:
            await house.close()


async def documents(house: Services, container: str) -> list[dict[str, Any]]:
    return [s.document for s in (await house.store.query(container, Query(limit=1000))).items]


async def test_killed_at_every_step(tmp_path: Path) -> None:
    async with worklink() as cms:
        cms.nodes[SESSION_ID] = completed()
        cms.files["/files/1"] = ("image/jpeg", PHOTO)
        cms.captures[SESSION_ID] = [{"id": "c", "type": "PHOTO", "photo": {"fileUrl": f"{cms.url}/files/1"}}]
        template = World(tmp_path / "template")
        await template.prepare(cms)
        steps = await whole(template, tmp_path / "whole")
        assert any("create session-" in step for step in steps), "the photo's blob is one of the steps"
        for at in range(len(steps)):
            for after in (False, True):
                place = f"{'after' if after else 'before'} {at}: {steps[at]}"
                world = World(tmp_path / f"{at}-{after}", template.token)
                shutil.copytree(template.folder, world.folder)
                await die(world, Script(at, after))
                check(await world.recover(), world, place)


async def whole(template: World, folder: Path) -> list[str]:
    """What changes when nobody dies."""
    world = World(folder, template.token)
    shutil.copytree(template.folder, folder)
    script = Script()
    house = world.process(script)
    await world.live(house)
    await house.close()
    return script.changes


async def die(world: World, script: Script) -> None:
    house = world.process(script)
    with pytest.raises(Killed):
        await world.live(house)
    script.dead, script.at = False, -1
    await house.close()


def check(found: dict[str, list[Document]], world: World, place: str) -> None:
    (record,) = found["sessions"]
    assert (record["state"], record["workOrderId"]) == ("completed", "WO-7/2+1"), place
    assert "unpublished" not in record, place
    assert [one["status"] for one in record["captures"]] == ["copied"], place
    assert [one["status"] for one in found["inbound"]] == ["handled"], place
    told = {event["eventId"] for event in found["events"] if event["type"] == "SESSION_RECORDED"}
    assert len(told) == 1, place
    assert (record["id"], record["revision"]) in world.follower.taken, f"{place}: who follows has the last revision"
    blobs = [path for path in (world.folder / "session-captures").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in blobs] == [PHOTO], place
