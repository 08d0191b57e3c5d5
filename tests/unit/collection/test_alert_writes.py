"""What an order's end means for a response: done, again, failed, or unknown - never again where it may be done."""

from __future__ import annotations

from typing import Any, cast

import pytest

from shared.collection.alert_writes import AlertWrites
from shared.collection.control import RemoteControl, WriteOrder, WriteOutcome
from shared.collection.reach import WriteFailed, perhaps
from shared.errors import Conflict, InvalidInput, RelaySilent, TooManyRequests, Unavailable
from shared.relay.hub_commands import CommandBroker
from shared.relay.hub_control import PlantReach
from shared.signals import Quality, SignalValue
from tests.unit.alerts.readings import at

ORDER = WriteOrder("lamp", True, "why")
WAS = SignalValue(False)


def ended(success: bool, detail: str | None, before: SignalValue | None = WAS, after: SignalValue | None = None) -> Any:
    return WriteOutcome(success, "x", ORDER, before, after, 1.0, detail)


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (ended(True, None, after=SignalValue(True)), "done"),
        (ended(True, "reads back another value", after=SignalValue(False, Quality.UNCERTAIN)), "done"),
        (ended(False, "lamp was written, and cannot be read back: x."), "done"),
        (ended(False, "lamp was written, and reading it back failed: x."), "done"),
        (ended(False, "Nothing was written. It is away.", before=None), "again"),
        (ended(False, "Nothing was written. The order has expired."), "again"),
        (ended(False, "The device has no such register."), "failed"),
        (ended(False, f"The machine did not answer within 5 s. {perhaps('lamp')}"), "unknown"),
        (ended(False, "It broke off. lamp may have been written all the same: read it."), "unknown"),
        (RelaySilent("Nothing was written: the value was to be read first. It was fetched, so it may have"), "again"),
        (RelaySilent("Relay R did not answer. It was not fetched, and will not be done."), "again"),
        (RelaySilent("Relay R did not answer. It was fetched, so it may have been done."), "unknown"),
        (RelaySilent("Relay R is silent since 10:00."), "unknown"),
        (TooManyRequests("Somebody else writes.", retry_after=1), "again"),
        (Unavailable("The vault is away."), "again"),
        (Conflict("It is not open."), "failed"),
        (InvalidInput("Not such a value.", field="value"), "failed"),
    ],
)
async def test_what_an_end_means(end: Any, outcome: str) -> None:
    class Control:
        async def write(self, *_: Any, **__: Any) -> WriteOutcome:
            if isinstance(end, Exception):
                raise end
            return cast("WriteOutcome", end)

    writes = AlertWrites(lambda: cast("RemoteControl", Control()))
    acted = await writes.write("OVEN-1", "lamp", True, reason="why", actor={})
    assert acted.outcome == outcome, acted
    assert acted.detail


async def test_an_order_whose_answer_we_cannot_look_up_may_be_done() -> None:
    """Our store is away while the relay has it: saying "try again" would give it twice."""
    from shared.equipment.model import Equipment

    class Broker:
        async def ask(self, *_: Any, **__: Any) -> Any:
            raise Unavailable("The store is away.")

    oven = Equipment(id="OVEN-1", name="x", created_at=at(0), updated_at=at(0), relay_id="R", polled_from="relay")
    with pytest.raises(WriteFailed, match="It may have taken lamp all the same"):
        await PlantReach(cast("CommandBroker", Broker()), seconds=1).write(oven, "lamp", True, {})
