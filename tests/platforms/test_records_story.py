"""The whole story over real sockets: a webhook of generation 2 comes three times, its signature is right, the CMS is
asked, the session is joined to its work order, and Salesforce is told once in effect, although the host is killed
(SIGKILL) while Salesforce has the call and has not answered.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.host_process import HostProcess, running
from tests.platforms.scope_ar import SECRET, SESSION_ID, TOKEN, lately, worklink
from tests.platforms.systems_of_record import system_of_record
from tests.platforms.test_scope_ar import ENVIRONMENT, ORDER, made, post, until

pytestmark = [pytest.mark.process, pytest.mark.timeout(150)]


async def prepare(host: HostProcess, graphql: str, salesforce: str) -> str:
    """Two connections, a source; the path of the webhooks."""
    cms: dict[str, Any] = {"id": "cms", "platform": "scope_ar", "options": {"url": graphql, "copy_captures": False}}
    await made(host, "/api/v1/connections", cms | {"credentials": {"token": TOKEN}})
    options = {
        "instance_url": salesforce,
        "object": "AR_Session__c",
        "external_id_field": "Session_Id__c",
        "fields": {"Name": "{title}", "Minutes__c": "{duration_seconds}", "Work_Order__c": "{work_order_id}"},
        "timeout_seconds": 3,
    }
    sf = {"id": "sf", "platform": "salesforce", "options": options}
    await made(host, "/api/v1/connections", sf | {"credentials": {"client_id": "app", "client_secret": "s3cret"}})
    source = {"id": "worklink", "kind": "scope_ar", "signing_secret": SECRET, "options": {"connection": "cms"}}
    return "/api/hooks/" + str((await made(host, "/api/v1/hook-sources", source))["url"]).partition("/api/hooks/")[2]


async def test_three_webhooks_a_kill_and_one_record_in_salesforce(tmp_path: Path) -> None:
    async with worklink() as cms, system_of_record() as salesforce:
        cms.nodes[SESSION_ID] = lately()
        async with running(tmp_path, env=ENVIRONMENT) as host:
            path = await prepare(host, cms.graphql, salesforce.url)
            status, tried = await host.call("POST", "/api/v1/connections/sf/test")
            assert (status, tried["success"]) == (200, True), tried
            salesforce.holding = asyncio.Event()
            salesforce.arrived.clear()
            assert await post(host, path, webhook_id="w-1") == 202
            assert await post(host, path, webhook_id="w-1") == 200
            assert await post(host, path, webhook_id="w-1", secret="not the secret") == 401
            async with asyncio.timeout(20):
                await salesforce.arrived.wait()
            await host.end(signal.SIGKILL)
            salesforce.holding.set()
            salesforce.holding = None

        async with running(tmp_path, env=ENVIRONMENT) as host:
            assert await post(host, path, webhook_id="w-1") == 200, "the third time"
            order = await until(host, ORDER, lambda order: len(order["sessions"]) == 1)
            (found,) = order["sessions"]
            told = await until(
                host,
                f"/api/v1/sessions/{found['id']}/records",
                lambda said: said["records"] and said["records"][0]["status"] == "recorded",
            )
            await host.end()
        (row,) = salesforce.rows.values()
        assert (row["Minutes__c"], row["Work_Order__c"]) == (1790.0, "WO-7/2+1")
        assert told["records"][0]["id"] == row["id"]
        upserts = [call[:3] for call in salesforce.calls if call[0] == "PATCH"]
        assert 1 <= len(upserts) <= 2
        assert len({json.dumps(call) for call in upserts}) == 1, "the same upsert, word for word"
