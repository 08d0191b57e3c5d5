"""Every query of docs/audit.md, through Microsoft's SDK, over documents as the app writes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.services import Services
from shared.signals import Quality, Reading, SignalValue
from shared.storage import Query, every
from shared.topology import topology
from tests.api import Api
from tests.unit.audit import test_create_only as scenes
from tests.unit.audit.auditor_queries import QUERIES, AuditorQuery
from tests.wire.cosmos import CosmosServer

Rows = list[dict[str, Any]]


@pytest.fixture
async def cosmos(house: Services, api: Api, clock: ManualClock) -> AsyncIterator[CosmosServer]:
    """An account with the documents of a busy morning."""
    for scene in (scenes.machines, scenes.alerts, scenes.callbacks):
        await scene(house, api, clock)
    core = {"temperature.core": SignalValue(72.5, unit="C")}
    await house.readings.record(Reading("OVEN-1", clock.now() - timedelta(minutes=1), core, Quality.GOOD))
    with pytest.raises(ValueError, match="on purpose"):
        async with house.audit.recorded("token", actor={"id": "developer"}, action="token.created", target="x"):
            raise ValueError("on purpose")
    with CosmosServer() as server:
        server.create_topology()
        for container in topology().containers:
            found = every(house.store, container, Query(limit=1000), at_most=10_000)
            server.seed(container, [stored.document async for stored in found])
        yield server


@asynccontextmanager
async def asking(server: CosmosServer) -> AsyncIterator[Callable[[AuditorQuery], Any]]:
    from azure.cosmos.aio import CosmosClient

    async with CosmosClient(server.endpoint, server.key) as client:
        database = client.get_database_client("ovenbridge")

        async def ask(query: AuditorQuery) -> Rows:
            parameters: list[dict[str, object]] = [{"name": n, "value": v} for n, v in query.parameters.items()]
            container = database.get_container_client(query.container)
            return [row async for row in container.query_items(query.sql, parameters=parameters)]

        yield ask


def each_in_order(rows: Rows) -> bool:
    return [row["seq"] for row in rows] == list(range(1, len(rows) + 1))


EXPECTED: dict[str, Callable[[Rows], bool]] = {
    "Who changed this machine in November?": lambda rows: (
        each_in_order(rows) and rows[0]["action"] == "equipment.created" and rows[0]["actor"]["id"] == "developer"
    ),
    "What did this person do?": lambda rows: {"alert.acknowledged", "callback.created"} <= {r["action"] for r in rows},
    "Where does the chain stand (to note it, or to compare it with an anchor)?": lambda rows: (
        len(rows) == 1 and len(rows[0]["hash"]) == 64
    ),
    "Which changes were announced and then failed?": lambda rows: (
        [(r["stream"], r["action"]) for r in rows] == [("token", "token.created.failed")]
    ),
    "HACCP: what did the core of the batch measure, between two times of a day?": lambda rows: (
        [(r["ts"], r.get("core")) for r in rows]
        == [("2026-11-21T09:59:00.000Z", 72.5), ("2026-11-21T10:00:00.000Z", None)]
    ),
    "Which alerts were not acknowledged within 15 minutes?": lambda rows: rows == [],
    "Which notifications were given up, and why?": lambda rows: (
        len(rows) == 2 and rows[0]["discardReason"] in ("gone", "callback_disabled") and rows[0]["eventId"]
    ),
    "When was this machine out of reach?": lambda rows: [r["eventType"] for r in rows] == ["connected"],
}


async def test_each_gives_what_it_says(cosmos: CosmosServer) -> None:
    assert set(EXPECTED) == {query.title for query in QUERIES}
    async with asking(cosmos) as ask:
        for query in QUERIES:
            rows = await ask(query)
            assert EXPECTED[query.title](rows), (query.title, rows)


async def test_an_alert_that_nobody_looked_at_is_found(cosmos: CosmosServer) -> None:
    (query,) = [q for q in QUERIES if q.title.startswith("Which alerts")]
    (alert,) = cosmos.documents("alerts")
    late = alert | {"id": "late", "acknowledgedAt": "2026-11-21T10:16:30.000Z"}
    in_time = alert | {"id": "in-time", "acknowledgedAt": "2026-11-21T10:14:00.000Z"}
    never = {k: v for k, v in alert.items() if k != "acknowledgedAt"} | {"id": "never"}
    null = alert | {"id": "null", "acknowledgedAt": None}
    cosmos.seed("alerts", [late, in_time, never, null])
    async with asking(cosmos) as ask:
        assert sorted(row["id"] for row in await ask(query)) == ["late", "never", "null"]
