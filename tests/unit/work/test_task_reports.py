"""Tasks that somebody outside keeps: made when they are first heard of, and of each field the newest word counts."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.access.model import system
from shared.clock import ManualClock
from shared.services import Services
from shared.storage import Query, every
from shared.work.task_forms import NewTask, TaskChange
from shared.work.task_model import TaskStatus

CALLER = system("test")


async def report(house: Services, at: datetime, **said: object) -> tuple[dict[str, object], str]:
    new = NewTask.model_validate({"title": "Descale", "reference": "act/1"} | said)
    return await house.tasks.report("T1", new=new, said=TaskChange.model_validate(said), at=at, caller=CALLER)


async def told(house: Services) -> list[str]:
    found = [s.document["type"] async for s in every(house.store, "events", Query(limit=100))]
    return sorted(found)


async def test_a_task_is_made_when_it_is_first_heard_of(house: Services, clock: ManualClock) -> None:
    task, outcome = await report(house, clock.now(), status="in_progress")
    assert (outcome, task["status"], task["reference"]) == ("created", "in_progress", "act/1")
    again, outcome = await report(house, clock.now(), status="in_progress")
    assert (outcome, again) == ("unchanged", task)
    assert await told(house) == ["TASK_CREATED"]


async def test_of_each_field_the_newest_word_counts(house: Services, clock: ManualClock) -> None:
    first = clock.now()
    await report(house, first + timedelta(seconds=2), status="done")
    task, outcome = await report(house, first + timedelta(seconds=1), status="in_progress")
    assert (outcome, task["status"]) == ("late", "done")
    task, outcome = await report(house, first, assignee="urn:person:1", description="With acid.")
    assert (outcome, task["status"], task["assignee"]) == ("changed", "done", "urn:person:1")
    assert await told(house) == ["TASK_ASSIGNED", "TASK_CREATED"]


async def test_a_person_may_change_it_and_a_newer_word_counts_again(house: Services, clock: ManualClock) -> None:
    await report(house, clock.now(), status="open")
    await house.tasks.change("T1", TaskChange(status=TaskStatus.DONE), CALLER, etag=None)
    task, outcome = await report(house, clock.now(), status="open")
    assert (outcome, task["status"]) == ("unchanged", "done"), "the same message again undoes nobody's work"
    clock.advance(1)
    task, outcome = await report(house, clock.now(), status="in_progress")
    assert (outcome, task["status"]) == ("changed", "in_progress")
