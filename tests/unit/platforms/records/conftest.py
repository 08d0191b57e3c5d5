"""A record that ended, and connections to systems that listen on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.services import Services
from shared.storage import Document
from shared.work.sessions_found import FoundRecord
from tests.api import Api
from tests.platforms.systems_of_record import SystemOfRecord, system_of_record

STARTED = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)


def found(**more: Any) -> FoundRecord:
    """What a platform tells of a session that ended."""
    told: dict[str, Any] = {
        "kind": "session",
        "source": "somewhere",
        "account": "plant",
        "external_id": "l1Zb/8+K=",
        "as_of": STARTED + timedelta(minutes=35),
        "asked": True,
        "state": "completed",
        "ended": True,
        "started_at": STARTED,
        "ended_at": STARTED + timedelta(minutes=30),
        "title": "Clean the “steam” generator",
        "work_order_id": "WO-7/2+1",
        "external_data": {"work_order_id": "WO-7/2+1", "system": "service"},
    }
    return FoundRecord(**(told | more))


@pytest.fixture
async def system() -> AsyncIterator[SystemOfRecord]:
    """It listens."""
    async with system_of_record() as served:
        yield served


@pytest.fixture
def connect(api: Api, system: SystemOfRecord) -> Callable[..., Awaitable[Any]]:
    """Make a connection through the API; what it answered."""

    async def make(platform: str, *, credentials: Any = None, id: str = "erp", **options: Any) -> Any:
        given: dict[str, dict[str, Any]] = {
            "salesforce": {
                "instance_url": system.url,
                "object": "AR_Session__c",
                "external_id_field": "Session_Id__c",
                "fields": {
                    "Name": "{title}",
                    "Minutes__c": "{duration_seconds}",
                    "Work_Order__r": {"Number__c": "{work_order_id}"},
                },
            },
            "dataverse": {
                "environment_url": system.url,
                "login_url": system.url,
                "tenant_id": "contoso.example",
                "entity_set": "new_arsessions",
                "key": {"new_sessionid": "{record_id}"},
                "columns": {
                    "new_title": "{title}",
                    "new_workorder@odata.bind": "/msdyn_workorders(msdyn_name='{work_order_id}')",
                },
            },
            "rest_record": {
                "base_url": f"{system.url}/api",
                "create": {
                    "path": "/orders/{work_order_id}/notes",
                    "body": {"text": "{summary}", "seconds": "{duration_seconds}", "by": "Ovenbridge: {external_id}"},
                },
                "created_id_at": "result.number",
                "auth": "bearer",
            },
        }
        if credentials is None:
            credentials = {"client_id": "app", "client_secret": "s3cret"}
            if platform == "rest_record":
                credentials = {"token": "erp-token"}
                system.tokens.add("erp-token")
        body = {"id": id, "platform": platform, "options": given[platform] | options, "credentials": credentials}
        return await api.post("/api/v1/connections", json=body)

    return make


@pytest.fixture
def tell(house: Services, drain: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Document]]:
    """A session is recorded, and the queue worked off."""

    async def take(**more: Any) -> Document:
        taken = await house.work.sessions.take(found(**more))
        done = await drain(queues=("record-updates",))
        assert not done.failures, done.failures
        return taken.record

    return take
