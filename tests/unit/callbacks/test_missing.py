"""A receiver that is not there any more: 404, always."""

from __future__ import annotations

import pytest

from shared.callbacks.model import State
from tests.unit.callbacks.conftest import Stage


@pytest.mark.parametrize(
    ("answers", "ends", "state"),
    [
        ([404, 404, 404], True, State.DISABLED),
        ([404, 404, 404], False, State.ACTIVE),
        ([404, 500, 404], True, State.ACTIVE),
    ],
    ids=["gone", "nobody-said-so", "only-sometimes"],
)
async def test_it_is_disabled_after_the_last_attempt(
    stage: Stage, answers: list[int], ends: bool, state: State
) -> None:
    stage.receiver.answer = lambda _: answers[len(stage.receiver.seen) - 1]
    callback = await stage.register(max_retries=2, ends_when_missing=ends)
    await stage.publish()
    await stage.settle()
    await stage.pass_time(11, steps=3)
    assert len(stage.receiver.seen) == 3
    found = await stage.house.callbacks.get(callback.id)
    assert found.state is state
    assert (found.disabled_reason is not None) == (state is State.DISABLED)
