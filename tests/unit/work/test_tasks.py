"""Tasks through the API: made once, changed under an etag, listed newest first, told and audited."""

from __future__ import annotations

from typing import Any

import pytest

from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.events import Accepted, Event, EventLog
from shared.services import Services
from shared.storage import Query
from shared.work.tasks import Tasks
from tests.api import Api

TASKS = "/api/v1/tasks"


async def events(house: Services) -> list[dict[str, Any]]:
    """What was told, oldest first."""
    page = await house.store.query("events", Query(limit=1000))
    return sorted((s.document for s in page.items), key=lambda d: (d["recordedAt"], d["ts"]))


@pytest.fixture
async def oven(api: Api) -> str:
    answer = await api.post("/api/v1/equipment", json={"id": "OVEN-1", "name": "Horno 1", "site": "madrid"})
    assert answer.status == 201, answer.body
    return "OVEN-1"


async def test_a_task_is_made_and_told(api: Api, house: Services, oven: str) -> None:
    body = {
        "title": " Clean the burner ",
        "description": "It smells.",
        "kind": "cleaning",
        "equipment_id": oven,
        "alert_id": "OVEN-1:R1:20261121T100000000Z",
        "work_order_id": "WO-7",
        "reference": "act/17",
        "priority": "high",
        "assignee": "anna",
        "start_at": "2026-11-21T12:00:00+01:00",
        "due_at": "2026-11-21T14:00:00Z",
    }
    answer = await api.post(TASKS, json=body)
    assert answer.status == 201, answer.body
    made = answer.json()
    assert answer.headers["location"].endswith(f"/api/v1/tasks/{made['id']}")
    shown = await api.get(f"{TASKS}/{made['id']}")
    assert shown.json() == made
    assert shown.headers["etag"] == answer.headers["etag"]
    assert made["title"] == "Clean the burner"
    assert made["start_at"] == "2026-11-21T11:00:00.000Z"
    assert (made["status"], made["equipment_name"], made["site"]) == ("open", "Horno 1", "madrid")
    assert [line["action"] for line in made["history"]] == ["created"]
    (told,) = await events(house)
    assert (told["type"], told["objectType"], told["objectId"]) == ("TASK_CREATED", "MACHINE", oven)
    from shared.events.catalogue import CATALOGUE

    assert set(told["data"]) == set(CATALOGUE["TASK_CREATED"].data)
    assert told["data"]["assignee"] == "anna"
    assert "unpublished" not in (await house.store.read("tasks", (made["id"],), made["id"])).document
    (entry,) = (await house.audit.entries(stream=f"task:{made['id']}")).entries
    assert (entry.action, entry.after["title"]) == ("task.created", "Clean the burner")


@pytest.mark.parametrize("way", ["id", "key"])
async def test_asked_for_twice_it_is_made_once(api: Api, house: Services, way: str) -> None:
    headers = {"Idempotency-Key": "k-1"} if way == "key" else {}
    body = {"title": "Sweep"} | ({"id": "T-1"} if way == "id" else {})
    first = await api.post(TASKS, json=body, headers=headers)
    again = await api.post(TASKS, json=body, headers=headers)
    assert (first.status, again.status) == (201, 200)
    assert first.json() == again.json()
    other = await api.post(TASKS, json=body | {"title": "Mop"}, headers=headers)
    assert other.status == 409
    assert "another" in other.json()["detail"]
    assert [e["type"] for e in await events(house)] == ["TASK_CREATED"]
    both = await api.post(TASKS, json={"id": "T-2", "title": "x"}, headers={"Idempotency-Key": "k-2"})
    assert both.status == 400


async def test_repeating_does_not_undo_what_was_done_since(api: Api) -> None:
    await api.post(TASKS, json={"id": "T-1", "title": "Sweep"})
    await api.patch(f"{TASKS}/T-1", json={"status": "done"})
    again = await api.post(TASKS, json={"id": "T-1", "title": "Sweep"})
    assert (again.status, again.json()["status"]) == (200, "done")


async def test_changes_are_told_each_once(api: Api, house: Services, clock: ManualClock) -> None:
    made = await api.post(TASKS, json={"id": "T-1", "title": "Sweep"})
    clock.advance(1)
    begun = await api.patch(
        f"{TASKS}/T-1",
        json={"status": "in_progress", "assignee": "ben", "comment": "on it"},
        headers={"If-Match": made.headers["etag"]},
    )
    assert begun.status == 200, begun.body
    stale = await api.patch(f"{TASKS}/T-1", json={"status": "done"}, headers={"If-Match": made.headers["etag"]})
    assert stale.status == 412
    clock.advance(1)
    same = await api.patch(f"{TASKS}/T-1", json={"assignee": "ben"})
    assert same.headers["etag"] == begun.headers["etag"], "nothing was different"
    clock.advance(1)
    done = (await api.patch(f"{TASKS}/T-1", json={"status": "done", "assignee": None})).json()
    assert (done["ended_at"], done["ended_by"]) == ("2026-11-21T10:00:03.000Z", done["created_by"])
    assert [c["text"] for c in done["comments"]] == ["on it"]
    assert done["history"][1]["changes"] == {
        "status": {"from": "open", "to": "in_progress"},
        "assignee": {"from": None, "to": "ben"},
    }
    told = [(e["type"], e["data"].get("previous_status"), e["data"]["status"], e["data"]["assignee"])
            for e in await events(house)]  # fmt: skip
    assert sorted(told, key=str) == sorted(
        [
            ("TASK_CREATED", None, "open", None),
            ("TASK_STATUS_CHANGED", "open", "in_progress", "ben"),
            ("TASK_ASSIGNED", None, "in_progress", "ben"),
            ("TASK_STATUS_CHANGED", "in_progress", "done", None),
            ("TASK_ASSIGNED", None, "done", None),
        ],
        key=str,
    )
    entries = (await house.audit.entries(stream="task:T-1")).entries
    assert [e.action for e in entries] == ["task.changed", "task.changed", "task.created"]
    assert entries[1].after["comment"] == "on it"
    opened = (await api.patch(f"{TASKS}/T-1", json={"status": "open"})).json()
    assert (opened["ended_at"], opened["ended_by"]) == (None, None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"title": ""}, "title"),
        ({"title": "a\nb"}, "one line"),
        ({"title": "x", "status": "finished"}, "status"),
        ({"title": "x", "equipment_id": "NOPE"}, "There is no machine NOPE"),
        ({"title": "x", "id": "a/b"}, "id"),
        ({"title": "x", "due_at": "2026-01-01"}, "due_at"),
        ({"title": "x", "due_at": "0001-01-01T00:00:00+14:00"}, "calendar"),
        ({"title": "x", "start_at": "9999-12-31T23:59:59-14:00"}, "calendar"),
        ({"title": "x", "start_at": "2026-01-02T00:00:00Z", "due_at": "2026-01-01T00:00:00Z"}, "due_at lies before"),
        ({"title": "x", "nonsense": 1}, "nonsense"),
    ],
)
async def test_what_is_wrong_is_named(api: Api, body: dict[str, Any], said: str) -> None:
    answer = await api.post(TASKS, json=body)
    assert answer.status == 400
    assert said in answer.json()["detail"]


async def test_a_change_that_cannot_be(api: Api) -> None:
    await api.post(TASKS, json={"id": "T-1", "title": "x", "due_at": "2026-01-02T00:00:00Z"})
    assert (await api.patch(f"{TASKS}/T-1", json={})).status == 400
    assert (await api.patch(f"{TASKS}/T-1", json={"title": None})).status == 400
    assert (await api.patch(f"{TASKS}/T-1", json={"start_at": "2026-01-03T00:00:00Z"})).status == 400
    assert (await api.patch(f"{TASKS}/T-1", json={"equipment_id": "OVEN-1"})).status == 400
    assert (await api.patch(f"{TASKS}/NOPE", json={"status": "done"})).status == 404
    assert (await api.get(f"{TASKS}/NOPE")).status == 404


async def test_the_list_goes_newest_first_page_by_page(api: Api, clock: ManualClock, oven: str) -> None:
    for n in range(7):
        clock.advance(60)
        body = {"id": f"T-{n}", "title": "x", "equipment_id": oven if n % 2 else None, "assignee": "anna"}
        assert (await api.post(TASKS, json=body)).status == 201
    await api.patch(f"{TASKS}/T-5", json={"status": "done"})
    seen: list[str] = []
    continuation = ""
    while True:
        page = (await api.get(f"{TASKS}?assignee=anna&limit=2{continuation}")).json()
        seen += [task["id"] for task in page["tasks"]]
        if page["continuation"] is None:
            break
        continuation = f"&continuation={page['continuation']}"
    assert seen == ["T-6", "T-4", "T-3", "T-2", "T-1", "T-0"]

    async def ids(query: str) -> list[str]:
        return [task["id"] for task in (await api.get(f"{TASKS}?{query}")).json()["tasks"]]

    assert await ids("equipment_id=OVEN-1") == ["T-3", "T-1"]
    assert await ids("status=done") == ["T-5"]
    assert await ids("status=all&equipment_id=OVEN-1") == ["T-5", "T-3", "T-1"]
    assert await ids("since=2026-11-21T10:06:00Z") == ["T-6"]
    assert await ids("assignee=ben") == []
    assert (await api.get(f"{TASKS}?status=finished")).status == 400
    assert (await api.get(f"{TASKS}?continuation=xx")).status == 400


class Away:
    """A subscriber that is away, then there."""

    def __init__(self) -> None:
        self.away = True
        self.told: list[str] = []

    async def accept(self, event: Event) -> Accepted | int:
        if self.away:
            raise Unavailable("The queue is away.")
        self.told.append(event.type)
        return 1


async def test_what_could_not_be_told_is_told_later(house: Services, clock: ManualClock) -> None:
    from shared.access import system
    from shared.work.task_forms import NewTask, TaskChange

    away = Away()
    tasks = Tasks(
        house.store,
        house.equipment,
        EventLog(house.store, clock, (away,)),
        house.audit,
        clock,
        base_url="http://x",
    )
    made, _ = await tasks.create(NewTask(title="x", id="T-1"), system("test"))
    await tasks.change("T-1", TaskChange(assignee="ben"), system("test"), etag=made.etag)
    assert await tasks.tell() == 0
    away.away = False
    assert await tasks.tell() == 1
    assert away.told == ["TASK_CREATED", "TASK_ASSIGNED"]
    assert await tasks.tell() == 0
