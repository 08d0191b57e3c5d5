"""Many askers, one fetch."""

from __future__ import annotations

import asyncio

import pytest

from shared.single_flight import SingleFlight


class Fetch:
    """Counts, and ends when it is let go."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.begun = 0
        self.let_go = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        answer = self.answers.pop(0)
        await self.let_go.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_one_fetch_for_all_who_ask_meanwhile_and_another_afterwards() -> None:
    flight: SingleFlight[int] = SingleFlight()
    fetch = Fetch(1, 2)
    askers = [asyncio.create_task(flight.join("key", fetch)) for _ in range(10)]
    await asyncio.sleep(0)
    assert len(flight) == 1
    fetch.let_go.set()
    assert await asyncio.gather(*askers) == [1] * 10
    assert await flight.join("key", fetch) == 2
    assert (fetch.begun, len(flight)) == (2, 0)


async def test_keys_do_not_wait_for_each_other() -> None:
    flight: SingleFlight[int] = SingleFlight()
    slow, quick = Fetch(1), Fetch(2)
    waiting = asyncio.create_task(flight.join("slow", slow))
    quick.let_go.set()
    assert await flight.join("quick", quick) == 2
    slow.let_go.set()
    assert await waiting == 1


async def test_a_failure_is_everybodys_and_is_not_remembered() -> None:
    flight: SingleFlight[int] = SingleFlight()
    fetch = Fetch(ValueError("away"), 2)
    fetch.let_go.set()
    results = await asyncio.gather(*(flight.join("key", fetch) for _ in range(3)), return_exceptions=True)
    assert [str(r) for r in results] == ["away"] * 3
    assert await flight.join("key", fetch) == 2


async def test_who_gives_up_leaves_the_others_their_answer() -> None:
    flight: SingleFlight[int] = SingleFlight()
    fetch = Fetch(1)
    hasty, patient = (asyncio.create_task(flight.join("key", fetch)) for _ in range(2))
    await asyncio.sleep(0)
    hasty.cancel()
    fetch.let_go.set()
    assert await patient == 1
    assert hasty.cancelled()


async def test_a_failure_that_nobody_waits_for_is_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    flight: SingleFlight[int] = SingleFlight()
    fetch = Fetch(ValueError("away"))
    alone = asyncio.create_task(flight.join("key", fetch))
    await asyncio.sleep(0)
    alone.cancel()
    fetch.let_go.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(flight) == 0
    assert "never retrieved" not in caplog.text


async def test_after_leave_a_new_fetch_begins_while_the_old_one_ends() -> None:
    flight: SingleFlight[int] = SingleFlight()
    old, new = Fetch(1), Fetch(2)
    before = asyncio.create_task(flight.join("key", old))
    await asyncio.sleep(0)
    flight.leave("key")
    after = asyncio.create_task(flight.join("key", new))
    await asyncio.sleep(0)
    old.let_go.set()
    assert await before == 1
    assert len(flight) == 1, "the end of the old one is not the end of the new one"
    new.let_go.set()
    assert await after == 2


async def test_close_breaks_off_what_is_under_way() -> None:
    flight: SingleFlight[int] = SingleFlight()
    waiting = asyncio.create_task(flight.join("key", Fetch(1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await flight.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(flight) == 0
