"""The app's identity may create and read audit entries, nothing else (its Cosmos role, infra/): nothing of ours needs
more. Shown twice: by what the code says, and by everything that writes audit over a store that refuses the rest."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from local.functions import HttpFunction, TimerFunction
from shared import services as services_module
from shared.clock import ManualClock
from shared.errors import Forbidden
from shared.services import Services
from shared.settings import Settings
from shared.sqlite_file import SqliteFile
from shared.storage import BatchOperation, Document, PartitionKey, PatchOperation, Stored
from shared.storage.sqlite import SqliteStore
from tests.api import Api, Drained, cloud_functions, drain_queues, run_timer
from tests.unit.alerts.readings import cabinet
from tests.unit.callbacks.receiver import receiving

ROOT = Path(__file__).resolve().parents[3]
REFUSED = {"replace", "upsert", "patch", "delete", "batch"}
ALLOWED = {"create", "query", "read", "create_each", "buckets", "check", "close"}


class CreateOnlyAudit(SqliteStore):
    """Refuses on `audit` what the role refuses in Azure."""

    def _refuse(self, container: str) -> None:
        if container == "audit":
            raise Forbidden("The role allows to create and to read audit entries, nothing else.")

    async def replace(self, container: str, document: Document, *, etag: str | None = None) -> Stored:
        self._refuse(container)
        return await super().replace(container, document, etag=etag)

    async def upsert(self, container: str, document: Document) -> Stored:
        self._refuse(container)
        return await super().upsert(container, document)

    async def patch(
        self,
        container: str,
        partition: PartitionKey,
        id: str,
        operations: Sequence[PatchOperation],
        *,
        etag: str | None = None,
        when: Mapping[str, Any] | None = None,
    ) -> Stored:
        self._refuse(container)
        return await super().patch(container, partition, id, operations, etag=etag, when=when)

    async def delete(self, container: str, partition: PartitionKey, id: str, *, etag: str | None = None) -> None:
        self._refuse(container)
        await super().delete(container, partition, id, etag=etag)

    async def batch(
        self, container: str, partition: PartitionKey, operations: Sequence[BatchOperation]
    ) -> list[Stored | None]:
        self._refuse(container)
        return await super().batch(container, partition, operations)


@pytest.fixture
async def house(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Services]:
    """As in the other tests, over that store."""
    settings = Settings(
        data_dir=tmp_path / "data",
        allow_private_targets=True,
        allow_http_targets=True,
        access_mode="developer",
        serves_loopback=True,
    )
    built = Services(settings, clock)
    file = SqliteFile.open(settings.data_dir / "ovenbridge.db")
    built.__dict__["_file"] = file
    built.__dict__["store"] = CreateOnlyAudit(file, clock)
    services_module.use(built)
    try:
        yield built
    finally:
        services_module.use(None)
        await built.close()


async def test_the_store_of_this_test_refuses(house: Services) -> None:
    stored = await house.audit.append("token", actor={"id": "x"}, action="token.created", target="x")
    document = {"id": "token:000000000001", "stream": "token", "month": "2026-11"}
    key = ("token", "2026-11")
    for call in (
        house.store.replace("audit", document),
        house.store.upsert("audit", document),
        house.store.patch("audit", key, document["id"], []),
        house.store.delete("audit", key, document["id"]),
        house.store.batch("audit", key, []),
    ):
        with pytest.raises(Forbidden):
            await call
    assert (await house.audit.entries(stream="token")).entries == [stored]


WRITTEN = {
    "alert.acknowledged",
    "alert.commented",
    "alert.resolved",
    "alert.shelved",
    "alert.unshelved",
    "alert_rule.changed",
    "alert_rule.created",
    "alert_rule.deleted",
    "callback.created",
    "callback.deleted",
    "callback.disabled",
    "callback.enabled",
    "delivery.replayed",
    "deliveries.replayed",
    "equipment.changed",
    "equipment.created",
    "equipment.deleted",
    "hook.created",
    "hook.deleted",
    "hook.revoked",
    "hook.rotated",
    "inbox.replayed",
    "profile.changed",
    "profile.created",
    "profile.deleted",
    "token.created",
    "token.revoked",
}


async def test_everything_that_writes_audit_gets_by_with_create_and_query(
    house: Services, api: Api, clock: ManualClock
) -> None:
    for part in (machines, alerts, tokens, hooks, profiles, callbacks):
        await part(house, api, clock)
    for _ in range(2):
        for function in cloud_functions():
            if isinstance(function, TimerFunction):
                await run_timer(function.name, past_due=True)
        clock.advance(86_400)
    for path in ("audit", "audit/verify", "audit/verify?stream=token", "audit/anchors", "audit/anchors?kind=seal"):
        assert (await api.get(f"/api/v1/{path}")).status == 200
    page = await house.audit.entries(limit=1000)
    actions = {entry.action for entry in page.entries}
    assert actions >= WRITTEN, f"not tried: {sorted(WRITTEN - actions)}"
    assert (await api.get("/api/v1/audit/verify")).json()["intact"] is True


async def test_no_route_needs_more(house: Services, api: Api) -> None:
    """Whatever is sent to whichever route, nothing trips over the role."""
    for function in cloud_functions():
        if isinstance(function, HttpFunction):
            for method in function.methods or {"GET"}:
                answer = await api.call(method, "/" + plain_path(function.route), json={"name": "x", "id": "x"})
                assert b"The role allows" not in answer.body
                assert answer.status < 500, (method, function.route, answer.body)


def plain_path(route: str) -> str:
    parts = [part if not part.startswith("{") else "x" * 40 for part in route.split("/")]
    return "/".join(parts)


async def ok(answering: Awaitable[Any]) -> Any:
    answer = await answering
    assert answer.status < 300, answer.body
    return answer.json() if answer.body else None


async def drained(house: Services) -> None:
    done: Drained = await drain_queues(house)
    assert done.failures == []


async def machines(house: Services, api: Api, clock: ManualClock) -> None:
    for name in ("OVEN-1", "OVEN-2"):
        await ok(api.post("/api/v1/equipment", json={"id": name, "name": name}))
    await ok(api.patch("/api/v1/equipment/OVEN-2", json={"name": "Second"}))
    config = {"iot_enabled": True, "iot_protocol": "rest_api", "iot_endpoint": "http://127.0.0.1:9"}
    await api.post("/api/v1/equipment/OVEN-2/iot-config", json=config)
    await api.post("/api/v1/equipment/OVEN-2/test-connection")
    assert (await api.delete("/api/v1/equipment/OVEN-2")).status == 204


async def alerts(house: Services, api: Api, clock: ManualClock) -> None:
    rule = {"equipment_id": "OVEN-1", "signal": "temperature.cabinet", "kind": "high", "limit": 250}
    made = await ok(api.post("/api/v1/alert-rules", json=rule | {"on_delay_seconds": 0, "off_delay_seconds": 0}))
    oven, _ = await house.equipment.get("OVEN-1")
    await house.ingest.take(oven, cabinet(0, 262))
    (alert,) = (await ok(api.get("/api/v1/equipment/iot-alerts")))["alerts"]
    for act, body in (
        ("comment", {"comment": "seen"}),
        ("shelve", {"minutes": 30, "comment": "cleaning"}),
        ("unshelve", None),
        ("acknowledge", None),
        ("resolve", None),
    ):
        await ok(api.post(f"/api/v1/alerts/{alert['id']}/{act}", json=body))
    await ok(api.patch(f"/api/v1/alert-rules/{made['id']}", json={"limit": 260}))
    assert (await api.delete(f"/api/v1/alert-rules/{made['id']}")).status == 204


async def tokens(house: Services, api: Api, clock: ManualClock) -> None:
    made = await ok(api.post("/api/v1/tokens", json={"name": "x", "roles": ["viewer"]}))
    assert (await api.delete(f"/api/v1/tokens/{made['id']}")).status == 204


async def hooks(house: Services, api: Api, clock: ManualClock) -> None:
    made = await ok(api.post("/api/v1/hook-sources", json={"id": "press"}))
    message = await ok(api.post("/api/hooks/" + made["url"].split("/api/hooks/")[1], json={}))
    await drained(house)
    await ok(api.post(f"/api/v1/inbox/{message['id']}/replay"))
    await ok(api.post("/api/v1/hook-sources/press/rotate", json={}))
    await ok(api.post("/api/v1/hook-sources/press/revoke"))
    assert (await api.delete("/api/v1/hook-sources/press")).status == 204


async def profiles(house: Services, api: Api, clock: ManualClock) -> None:
    tags = {"core": {"equipment_id": "OVEN-1", "signal": "temperature.core"}}
    path = "/api/v1/request-profiles/haccp"
    await ok(api.put(path, json={"tags": tags}))
    await ok(api.put(path, json={"tags": tags, "answer": "list"}))
    assert (await api.delete(path)).status == 204


async def callbacks(house: Services, api: Api, clock: ManualClock) -> None:
    base = "/ffwebservices/api/v2"
    async with receiving() as receiver:
        receiver.answer = 410
        body = {"eventType": "EXTERNAL", "url": receiver.url, "maxRedeliverAttempts": 0, "objectFilter": []}
        name = (await ok(api.post(f"{base}/callbacks", json=body)))["properties"]["id"]
        for _ in range(2):
            await api.post(f"{base}/events", json={"eventType": "EXTERNAL", "data": {}})
            await drained(house)
        await ok(api.post(f"/api/v1/callbacks/{name}/enable"))
        (first, *_) = (await ok(api.get("/api/v1/deliveries?status=discarded")))["deliveries"]
        await ok(api.post(f"/api/v1/deliveries/{first['id']}/replay"))
        await drained(house)
        await ok(api.post("/api/v1/deliveries/replay", json={}))
        await drained(house)
        assert (await api.delete(f"{base}/callbacks/{name}")).status == 204


# What the code says ------------------------------------------------------------------------------------------------


def store_calls(path: Path) -> list[tuple[int, str, str]]:
    """Line, method and container of every call whose first argument names a container."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        first = node.args[0]
        named = first.value if isinstance(first, ast.Constant) else first.id if isinstance(first, ast.Name) else None
        if isinstance(named, str):
            found.append((node.lineno, node.func.attr, named))
    return found


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", sources("shared/audit"), ids=lambda p: p.stem if isinstance(p, Path) else "")
def test_the_room_calls_nothing_else(path: Path) -> None:
    for line, method, container in store_calls(path):
        if container == "CONTAINER":
            assert method in ALLOWED, f"{path}:{line} calls {method} on the audit log"
            assert method not in REFUSED


def test_nobody_else_knows_the_container() -> None:
    """Others ask `AuditLog`. The Cosmos adapter knows that it may only create there; the command line reads it out."""
    naming = {
        path.relative_to(ROOT).as_posix()
        for path in sources("shared", "functions", "local")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value == "audit"
    }
    room = {name for name in naming if name.startswith("shared/audit/")}
    assert naming - room <= {"shared/storage/cosmos_check.py", "local/__main__.py", "local/audit.py"}
    for line, method, container in store_calls(ROOT / "local" / "audit.py"):
        assert container != "audit", f"local/audit.py:{line} calls {method}"


def test_the_room_calls_it_at_all() -> None:
    """Or the two tests above would look at nothing."""
    methods = {
        m for path in sources("shared/audit") for _, m, container in store_calls(path) if container == "CONTAINER"
    }
    assert methods == {"create", "query"}
