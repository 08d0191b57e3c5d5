"""A session that ended is told to a system of record: once in effect, whatever dies or answers in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.platforms.records.updates import UpdateStore, wake
from shared.services import Services
from shared.storage import Document, SetPath
from tests.api import Api
from tests.platforms.systems_of_record import SystemOfRecord, says, system_of_record
from tests.unit.platforms.records.conftest import STARTED, found

Connect = Callable[..., Awaitable[Any]]
Tell = Callable[..., Awaitable[Document]]
Drain = Callable[..., Awaitable[Any]]
Tick = Callable[..., Awaitable[None]]


async def records(api: Api, record: Document) -> list[dict[str, Any]]:
    answer = await api.get(f"/api/v1/sessions/{record['id']}/records")
    assert answer.status == 200, answer.body
    return list(answer.json()["records"])


async def test_salesforce_is_told_by_an_upsert(api: Api, connect: Connect, tell: Tell, system: SystemOfRecord) -> None:
    assert (await connect("salesforce")).status == 201
    record = await tell()
    [(method, path, body, headers)] = system.calls
    assert method == "PATCH"
    assert path == f"/services/data/v62.0/sobjects/AR_Session__c/Session_Id__c/{record['id']}"
    assert body == {
        "Name": "Clean the “steam” generator",
        "Minutes__c": 1800.0,
        "Work_Order__r": {"Number__c": "WO-7/2+1"},
    }
    assert headers["authorization"] == "Bearer token-1"
    [shown] = await records(api, record)
    assert (shown["status"], shown["attempts"], shown["error"]) == ("recorded", 1, None)
    assert shown["id"] == next(iter(system.rows.values()))["id"]
    whole = (await api.get(f"/api/v1/sessions/{record['id']}")).json()
    short = {"connection": "erp", "status": "recorded", "id": shown["id"], "attempts": 1, "error": None}
    assert whole["records"] == [short]
    assert "s3cret" not in (await api.get("/api/v1/connections/erp")).body.decode()


async def test_dataverse_is_told_by_an_upsert(api: Api, connect: Connect, tell: Tell, system: SystemOfRecord) -> None:
    assert (await connect("dataverse")).status == 201
    record = await tell(work_order_id="O'Neil/7")
    [(method, path, body, _)] = system.calls
    assert (method, path) == ("PATCH", f"/api/data/v9.2/new_arsessions(new_sessionid='{record['id']}')")
    assert body["new_workorder@odata.bind"] == "/msdyn_workorders(msdyn_name='O%27%27Neil%2F7')"
    assert system.token_requests[0]["scope"] == f"{system.url}/.default"
    assert system.token_requests[0]["path"] == "/contoso.example/oauth2/v2.0/token"
    [shown] = await records(api, record)
    assert shown["status"] == "recorded"
    assert shown["id"] == next(iter(system.rows.values()))["id"]


async def test_rest_is_told_by_its_mapping(api: Api, connect: Connect, tell: Tell, system: SystemOfRecord) -> None:
    assert (await connect("rest_record")).status == 201
    record = await tell()
    [(method, path, body, _)] = system.calls
    assert (method, path) == ("POST", "/api/orders/WO-7%2F2%2B1/notes")
    assert body["seconds"] == 1800.0
    assert body["by"] == "Ovenbridge: l1Zb/8+K="
    [shown] = await records(api, record)
    assert (shown["status"], shown["id"]) == ("recorded", "N1")


async def test_the_same_again_is_no_call(connect: Connect, tell: Tell, system: SystemOfRecord) -> None:
    await connect("salesforce")
    for minute in range(3):
        await tell(as_of=STARTED + timedelta(minutes=35 + minute))
    assert len(system.calls) == 1


async def test_what_changed_is_told_again(connect: Connect, tell: Tell, system: SystemOfRecord) -> None:
    await connect("salesforce")
    await tell()
    await tell(title="Clean it", as_of=STARTED + timedelta(minutes=50))
    assert [body["Name"] for _, _, body, _ in system.calls] == ["Clean the “steam” generator", "Clean it"]
    assert len(system.rows) == 1
    # A change that the mapping does not show is none there.
    await tell(title="Clean it", idle_seconds=4.0, as_of=STARTED + timedelta(minutes=55))
    assert len(system.calls) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"ended": False, "ended_at": None, "state": "started"},
        {"work_order_id": None, "external_data": None},
        {"kind": "call"},
    ],
    ids=["running", "no order", "a call"],
)
async def test_others_are_left_alone(
    api: Api, connect: Connect, tell: Tell, system: SystemOfRecord, more: dict[str, Any]
) -> None:
    await connect("salesforce", kinds=["session"])
    record = await tell(**more)
    assert system.calls == []
    kind = record["kind"]
    assert (await api.get(f"/api/v1/{kind}s/{record['id']}/records")).json() == {"records": []}


async def test_only_where(connect: Connect, tell: Tell, system: SystemOfRecord) -> None:
    await connect("salesforce", only_where={"external_data.system": ["other"]})
    await connect("salesforce", id="second", only_where={"external_data.system": ["service"]})
    await tell()
    assert len(system.calls) == 1


async def test_a_missing_value_is_said_and_told_later(
    api: Api, connect: Connect, tell: Tell, system: SystemOfRecord
) -> None:
    await connect("salesforce", external_id="{batch_id}")
    record = await tell()
    [shown] = await records(api, record)
    assert (shown["status"], shown["error"]) == ("skipped", "It has no batch_id.")
    await tell(batch_id="B-9", as_of=STARTED + timedelta(minutes=50))
    assert system.calls[0][1].endswith("/Session_Id__c/B-9")


# Failures ------------------------------------------------------------------------------------------------------------


async def test_a_limit_is_waited_for_by_everybody(
    api: Api, connect: Connect, tell: Tell, drain: Drain, system: SystemOfRecord, clock: ManualClock
) -> None:
    await connect("dataverse")
    limit = {"error": {"code": "0x80072322", "message": "Number of requests exceeded the limit of 6000"}}
    system.script.append(says(429, limit, Retry_After="300"))
    first = await tell()
    second = await tell(external_id="other")
    assert system.calls == []
    [shown] = await records(api, first)
    assert shown["status"] == "waiting"
    assert "0x80072322 Number of requests" in shown["error"]
    clock.advance(299)
    await drain()
    assert system.calls == []
    clock.advance(2)
    await drain()
    assert len(system.calls) == 2
    assert {(await records(api, one))[0]["status"] for one in (first, second)} == {"recorded"}


async def test_a_token_that_ran_out_is_renewed_once(connect: Connect, tell: Tell, system: SystemOfRecord) -> None:
    await connect("salesforce")
    await tell()
    system.tokens.clear()
    await tell(external_id="another")
    assert len(system.token_requests) == 2
    assert len(system.rows) == 2


async def test_refused_credentials_are_no_flood_and_heal(
    api: Api, connect: Connect, tell: Tell, drain: Drain, system: SystemOfRecord, clock: ManualClock
) -> None:
    await connect("salesforce", credentials={"client_id": "app", "client_secret": "old"})
    record = await tell()
    [shown] = await records(api, record)
    assert shown["status"] == "waiting"
    assert "401 (invalid_client)" in shown["error"]
    assert len(system.token_requests) == 1
    answer = await api.patch(
        "/api/v1/connections/erp", json={"credentials": {"client_id": "app", "client_secret": "s3cret"}}
    )
    assert answer.status == 200
    clock.advance(15)
    await drain()
    assert (await records(api, record))[0]["status"] == "recorded"


async def test_an_error_of_the_mapping_is_final_until_replayed(
    api: Api, connect: Connect, tell: Tell, drain: Drain, system: SystemOfRecord, clock: ManualClock
) -> None:
    await connect("salesforce")
    no_field = [{"message": "No such column 'Minutes__c'", "errorCode": "INVALID_FIELD"}]
    system.script.append(says(400, no_field))
    record = await tell()
    [shown] = await records(api, record)
    assert shown["status"] == "failed"
    assert "INVALID_FIELD No such column" in shown["error"]
    clock.advance(7200)
    await drain()
    assert system.calls == []
    listed = (await api.get("/api/v1/record-updates?status=failed&connection=erp")).json()
    assert [one["record_id"] for one in listed["updates"]] == [record["id"]]
    answer = await api.post("/api/v1/record-updates/replay", json={"connection": "erp"})
    assert (answer.status, answer.json()["replayed"]) == (202, 1)
    await drain()
    assert (await records(api, record))[0]["status"] == "recorded"
    assert (await api.get("/api/v1/record-updates?status=failed")).json()["updates"] == []


async def test_attempts_are_bounded(
    api: Api, connect: Connect, tell: Tell, drain: Drain, system: SystemOfRecord, clock: ManualClock
) -> None:
    await connect("salesforce", max_attempts=3)
    system.script += [says(503)] * 9
    record = await tell()
    for _ in range(6):
        clock.advance(3600)
        await drain()
    [shown] = await records(api, record)
    assert (shown["status"], shown["attempts"], len(system.script)) == ("failed", 3, 6)
    assert "last of 3 attempts" in shown["error"]


async def test_several_matches_are_explained(api: Api, connect: Connect, tell: Tell, system: SystemOfRecord) -> None:
    await connect("salesforce")
    system.script.append(says(300, ["/a", "/b"]))
    record = await tell()
    assert "Several records have this Session_Id__c" in (await records(api, record))[0]["error"]


@pytest.mark.parametrize("platform", ["salesforce", "dataverse"])
async def test_only_what_is_there_is_filled_in(
    api: Api, connect: Connect, tell: Tell, system: SystemOfRecord, platform: str
) -> None:
    await connect(platform, create=False)
    record = await tell()
    assert (await records(api, record))[0]["status"] == "failed"
    assert system.rows == {}


async def test_a_token_for_another_instance_goes_nowhere(
    api: Api, connect: Connect, tell: Tell, system: SystemOfRecord
) -> None:
    system.instance_url = "https://evil.example"
    await connect("salesforce")
    record = await tell()
    [shown] = await records(api, record)
    assert shown["status"] == "failed"
    assert "another instance" in shown["error"]


async def test_a_vault_that_is_away_leaves_nothing_in_doubt(
    api: Api,
    house: Services,
    connect: Connect,
    tell: Tell,
    drain: Drain,
    system: SystemOfRecord,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await connect("rest_record")

    async def away(name: str) -> Any:
        raise Unavailable("The vault is away.")

    with monkeypatch.context() as patched:
        patched.setattr(house.vault, "get", away)
        record = await tell()
    [shown] = await records(api, record)
    assert (shown["status"], shown["attempts"], system.calls) == ("waiting", 0, [])
    clock.advance(31)
    await drain()
    assert (await records(api, record))[0]["status"] == "recorded"


async def test_history_floods_nobody(
    api: Api, connect: Connect, tell: Tell, drain: Drain, system: SystemOfRecord
) -> None:
    await connect("salesforce")
    old = STARTED - timedelta(days=3)
    record = await tell(started_at=old, ended_at=old + timedelta(minutes=5))
    assert (await records(api, record), system.calls) == ([], [])
    assert (await api.post(f"/api/v1/sessions/{record['id']}/records/erp/replay")).status == 202
    await drain()
    assert len(system.rows) == 1


# Doubt ---------------------------------------------------------------------------------------------------------------


async def test_an_upsert_whose_answer_was_lost_is_made_again(
    api: Api, connect: Connect, tell: Tell, drain: Drain, system: SystemOfRecord, clock: ManualClock
) -> None:
    await connect("salesforce")
    system.swallow = 1
    record = await tell()
    assert (await records(api, record))[0]["status"] == "waiting"
    clock.advance(11)
    await drain()
    assert (await records(api, record))[0]["status"] == "recorded"
    assert [row["times"] for row in system.rows.values()] == [2]


async def test_a_create_whose_answer_was_lost_is_not_made_again(
    api: Api, connect: Connect, tell: Tell, drain: Drain, tick: Tick, system: SystemOfRecord, clock: ManualClock
) -> None:
    await connect("rest_record")
    system.swallow = 1
    record = await tell()
    for _ in range(4):
        clock.advance(3600)
        await tick("sweep_record_updates")
        await drain()
    await tell(title="Changed since", as_of=STARTED + timedelta(minutes=50))
    [shown] = await records(api, record)
    assert shown["status"] == "unknown"
    assert "Whether it was recorded is not known" in shown["error"]
    assert len(system.rows) == 1
    answer = await api.post(f"/api/v1/sessions/{record['id']}/records/erp/settle", json={"external_id": "N1"})
    assert (answer.status, answer.json()["status"], answer.json()["id"]) == (200, "recorded", "N1")
    again = await api.post(f"/api/v1/sessions/{record['id']}/records/erp/settle", json={})
    assert again.status == 409


async def test_with_an_idempotency_key_a_create_is_made_again_word_for_word(
    api: Api, connect: Connect, tell: Tell, drain: Drain, system: SystemOfRecord, clock: ManualClock
) -> None:
    await connect(
        "rest_record",
        idempotency_header="Idempotency-Key",
        update={"method": "PUT", "path": "/notes/{created_id}", "body": {"text": "{title}"}},
    )
    system.swallow = 1
    record = await tell()
    # It changes while nobody knows: the repetition is the first call, word for word; then the change is told.
    await tell(title="Changed since", as_of=STARTED + timedelta(minutes=50))
    clock.advance(11)
    await drain()
    assert [method for method, *_ in system.calls] == ["POST", "POST", "PUT"]
    assert system.calls[0][2] == system.calls[1][2]
    assert system.calls[0][3]["idempotency-key"] == system.calls[1][3]["idempotency-key"]
    assert list(system.rows) == ["N1"]
    assert system.rows["N1"]["text"] == "Changed since"
    [shown] = await records(api, record)
    assert (shown["status"], shown["id"]) == ("recorded", "N1")


async def test_a_replay_tells_again_and_anew_creates_another(
    api: Api, connect: Connect, tell: Tell, drain: Drain, system: SystemOfRecord
) -> None:
    await connect("rest_record")
    record = await tell()
    path = f"/api/v1/sessions/{record['id']}/records/erp/replay"
    assert (await api.post(path)).status == 202
    await drain()
    assert len(system.rows) == 1, "it is there; without an update in the mapping nothing is told"
    assert (await api.post(path, json={"anew": True})).status == 202
    await drain()
    assert len(system.rows) == 2


async def test_a_replay_tells_what_was_before_the_connection(
    api: Api, connect: Connect, tell: Tell, drain: Drain, system: SystemOfRecord
) -> None:
    record = await tell()
    await connect("salesforce")
    assert (await api.post(f"/api/v1/sessions/{record['id']}/records/erp/replay")).status == 202
    await drain()
    assert len(system.rows) == 1
    assert (await api.post(f"/api/v1/sessions/{record['id']}/records/none/replay")).status == 404
    assert (await api.post("/api/v1/sessions/session-none/records/erp/replay")).status == 404


async def test_a_connection_that_is_off_or_gone_is_said(
    api: Api, house: Services, connect: Connect, drain: Drain, system: SystemOfRecord, clock: ManualClock
) -> None:
    await connect("salesforce")
    taken = await house.work.sessions.take(found())
    assert (await api.patch("/api/v1/connections/erp", json={"enabled": False})).status == 200
    clock.advance(11)
    await drain()
    [shown] = await records(api, taken.record)
    assert (shown["status"], system.calls) == ("failed", [])
    assert "switched off" in shown["error"]


async def test_a_connection_of_another_version(
    api: Api, house: Services, connect: Connect, tell: Tell, drain: Drain, system: SystemOfRecord
) -> None:
    options = (await connect("salesforce")).json()["options"]
    fewer = {name: value for name, value in options.items() if name not in ("needs", "max_attempts", "keep_empty")}
    await house.store.patch("platformConnections", ("erp",), "erp", [SetPath("options", fewer)])
    await tell()
    assert len(system.rows) == 1
    more = options | {"from_the_future": 1}
    await house.store.patch("platformConnections", ("erp",), "erp", [SetPath("options", more)])
    house.platforms.connections._known.clear()
    record = await tell(external_id="other")
    [shown] = await records(api, record)
    assert (shown["status"], "save it anew" in shown["error"]) == ("failed", True)


# Death ---------------------------------------------------------------------------------------------------------------


class Dies:
    """A store that stops writing after so many changes of updates, as a killed process does."""

    def __init__(self, house: Services, after: int) -> None:
        self.left = after
        self._store = house.store
        self._real = {name: getattr(self._store, name) for name in ("create", "replace")}
        for name, real in self._real.items():
            setattr(self._store, name, self._counting(real))

    def _counting(self, real: Any) -> Any:
        async def write(container: str, *args: Any, **how: Any) -> Any:
            if container == "recordUpdates":
                if self.left == 0:
                    raise Unavailable("killed")
                self.left -= 1
            return await real(container, *args, **how)

        return write

    def revive(self) -> None:
        for name, real in self._real.items():
            setattr(self._store, name, real)


@pytest.mark.parametrize("keyed", [True, False], ids=["upsert", "plain create"])
@pytest.mark.parametrize("step", range(4))
async def test_killed_at_each_write(
    api: Api,
    house: Services,
    connect: Connect,
    drain: Drain,
    tick: Tick,
    system: SystemOfRecord,
    clock: ManualClock,
    step: int,
    keyed: bool,
) -> None:
    await connect("salesforce" if keyed else "rest_record")
    death = Dies(house, step)
    record = (await house.work.sessions.take(found())).record
    await drain(queues=("record-updates",))
    death.revive()
    for _ in range(5):
        clock.advance(120)
        await house.work.sessions.tell()
        await house.work.sessions.take(found(as_of=clock.now()))  # the webhook comes again
        await tick("sweep_record_updates")
        await drain(queues=("record-updates",))
    [shown] = await records(api, record)
    assert len(system.rows) == 1
    if keyed or step != 2:
        assert shown["status"] == "recorded"
    else:
        # It died after the call and before writing down what became of it: that call is not made a second time.
        assert (shown["status"], len(system.calls)) == ("unknown", 1)


async def test_two_workers_make_one_call(
    api: Api, house: Services, connect: Connect, drain: Drain, system: SystemOfRecord, clock: ManualClock
) -> None:
    await connect("rest_record")
    system.holding = asyncio.Event()
    record = (await house.work.sessions.take(found())).record
    update = await UpdateStore(house.store, house.clock).find(record["id"], "erp")
    assert update is not None
    body = wake(update.document).body
    keeping = house.platforms.records.keeping
    first = asyncio.create_task(keeping.work(body))
    second = asyncio.create_task(keeping.work(body))
    async with asyncio.timeout(5):
        await system.arrived.wait()
        await keeping.work(body)  # who comes later lets go at once
    done, _ = await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert len(done) == 1
    assert (await records(api, record))[0]["status"] == "sending", "and judges nothing"
    system.holding.set()
    await asyncio.gather(first, second)
    system.holding = None
    clock.advance(60)
    await drain()
    [shown] = await records(api, record)
    assert (shown["status"], shown["attempts"], len(system.rows)) == ("recorded", 1, 1)


async def test_credentials_go_nowhere_else_whatever_the_document_says(
    api: Api, house: Services, connect: Connect, tell: Tell, system: SystemOfRecord
) -> None:
    made = (await connect("rest_record")).json()
    async with system_of_record() as other:
        other.tokens.add("erp-token")
        changed = made["options"] | {"base_url": other.url}
        await house.store.patch("platformConnections", ("erp",), "erp", [SetPath("options", changed)])
        record = await tell()
        assert (other.calls, system.calls) == ([], [])
    [shown] = await records(api, record)
    assert "were not given for" in shown["error"]
