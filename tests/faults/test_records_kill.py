"""Killed at each step between a webhook and the system of record: told once in effect, and never left in silence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from shared.access import system
from shared.platforms.connections import NewConnection
from shared.services import Services
from shared.settings import Settings
from shared.storage import Document
from tests.faults.test_alert_responses import Killed, Script
from tests.faults.test_sessions_kill import World, documents
from tests.platforms.scope_ar import SESSION_ID, WorkLink, completed, worklink
from tests.platforms.systems_of_record import SystemOfRecord, system_of_record

QUEUES = ("inbound-events", "record-updates")


class Plant(World):
    """A disk, a CMS, a system of record; and processes that come and go."""

    def process(self, script: Script | None = None) -> Services:
        settings = Settings(data_dir=self.folder, allow_private_targets=True, allow_http_targets=True)
        house = Services(settings, self.clock)
        if script is not None:
            house.__dict__["store"] = script.wrap(house.store)
            house.__dict__["_queue"] = script.wrap(house._queue)
        return house

    async def connect(self, cms: WorkLink, told: SystemOfRecord, keyed: bool) -> None:
        await self.prepare(cms)
        house = self.process()
        body = {"text": "{title}"}
        if keyed:
            options: dict[str, Any] = {
                "instance_url": told.url,
                "object": "AR_Session__c",
                "fields": {"Name": "{title}"},
            }
            options |= {"external_id_field": "Session_Id__c"}
            new = NewConnection("sf", "salesforce", "sf", options, {"client_id": "app", "client_secret": "s3cret"})
        else:
            told.tokens.add("erp-token")
            create = {"path": "/orders/{work_order_id}/notes", "body": body}
            options = {"base_url": told.url, "create": create, "created_id_at": "result.number", "auth": "bearer"}
            new = NewConnection("sf", "rest_record", "erp", options, {"token": "erp-token"})
        await house.platforms.connections.create(new, caller=system("test"))
        await house.close()

    async def drain(self, house: Services) -> None:
        busy = True
        while busy:
            busy = False
            for queue, work in zip(QUEUES, (house.inbound.handle, self._update(house)), strict=True):
                while (await house.receiver.depth(queue)).active:
                    busy = True
                    for message in await house.receiver.receive(queue, 10):
                        await work(message.body, message.delivery_count)
                        await house.receiver.complete(queue, message)

    def _update(self, house: Services) -> Any:
        async def work(body: bytes, delivery_count: int) -> None:
            await house.platforms.records.keeping.work(body)

        return work

    async def recover(self) -> dict[str, list[Document]]:
        """The next process: the webhook comes twice more; timers run."""
        house = self.process()
        try:
            await self.live(house)
            for _ in range(4):
                self.clock.advance(130)
                await house.inbound.sweep()
                await self.drain(house)
                await house.work.sessions.tell()
                await house.platforms.records.keeping.sweep()
                await self.drain(house)
            await self.live(house)
            return {name: await documents(house, name) for name in ("sessions", "recordUpdates")}
        finally:
            await house.close()


@pytest.mark.parametrize("keyed", [True, False], ids=["salesforce", "plain create"])
async def test_killed_at_every_step(tmp_path: Path, keyed: bool) -> None:
    async with worklink() as cms, system_of_record() as told:
        cms.nodes[SESSION_ID] = completed()
        template = Plant(tmp_path / "template")
        await template.connect(cms, told, keyed)
        steps = await whole(template, tmp_path / "whole")
        (called,) = told.calls
        assert ("Session_Id__c" in called[1]) is keyed
        owed = [n for n, step in enumerate(steps) if "record" in step or "sessions" in step]
        assert len(owed) >= 5, steps
        unknown = 0
        for at in owed:
            for after in (False, True):
                told.rows.clear()
                told.calls.clear()
                world = Plant(tmp_path / f"{at}-{after}", template.token)
                shutil.copytree(template.folder, world.folder)
                await die(world, Script(at, after))
                unknown += check(await world.recover(), told, keyed, f"{'after' if after else 'before'} {steps[at]}")
        assert unknown == (0 if keyed else 2), "in doubt: before or after the call, nobody knows"


async def whole(template: Plant, folder: Path) -> list[str]:
    world = Plant(folder, template.token)
    shutil.copytree(template.folder, folder)
    script = Script()
    house = world.process(script)
    await world.live(house)
    await house.close()
    return script.changes


async def die(world: Plant, script: Script) -> None:
    house = world.process(script)
    with pytest.raises(Killed):
        await world.live(house)
    script.dead, script.at = False, -1
    await house.close()


def check(found: dict[str, list[Document]], told: SystemOfRecord, keyed: bool, place: str) -> bool:
    (record,) = found["sessions"]
    (update,) = found["recordUpdates"]
    assert "unpublished" not in record, place
    assert update["recordId"] == record["id"], place
    assert "wakeAt" not in update, place
    if update["status"] == "unknown":
        assert not keyed, place
        assert len(told.calls) <= 1, f"{place}: a call that may have had its effect is not made again"
        return True
    assert update["status"] == "recorded", f"{place}: {update}"
    assert len(told.rows) == 1, f"{place}: once in effect"
    assert len(told.calls) <= (2 if keyed else 1), place
    return False
