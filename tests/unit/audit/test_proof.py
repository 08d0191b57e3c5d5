"""The daily check: what it looks at, what it records and says, what it makes good."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from shared.audit import proof
from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.metrics import AUDIT_CHAIN_OK
from shared.services import Services
from shared.storage import Query

ACTOR = {"id": "token:1", "name": "Anna", "how": "api_token"}
DAY = 86_400.0


@pytest.fixture
def recorded() -> Iterator[list[float]]:
    values: list[float] = []

    def listen(value: float, _attributes: dict[str, str]) -> None:
        values.append(value)

    AUDIT_CHAIN_OK.listeners.append(listen)
    yield values
    AUDIT_CHAIN_OK.listeners.remove(listen)


async def add(house: Services, stream: str, **said: str) -> None:
    await house.audit.append(stream, actor=ACTOR, action="equipment.changed", target="x", after=said)


async def spoil(house: Services, stream: str) -> None:
    page = await house.store.query("audit", Query(), partition=(stream,))
    await house.store.replace("audit", {**page.items[0].document, "target": "y"})


async def test_what_moved_lately_is_checked_and_recorded(house: Services, recorded: list[float]) -> None:
    for n in range(5):
        await add(house, f"equipment:{n}")
    await house.anchoring.anchor()
    found = await house.audit_proof.check_daily()
    assert (found.intact, found.streams, found.entries, found.left) == (True, 5, 5, 0)
    assert recorded == [1.0]


async def test_what_does_not_hold_is_recorded_and_said_without_contents(
    house: Services, recorded: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    await add(house, "equipment:0", note="a word that stays inside")
    await house.anchoring.anchor()
    await spoil(house, "equipment:0")
    with caplog.at_level(logging.INFO):
        found = await house.audit_proof.check_daily()
    assert (found.intact, recorded) == (False, [0.0])
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith("The audit log does not hold, stream equipment:0: Entry 1 does not match its own hash")
    assert "stays inside" not in caplog.text


async def test_every_old_stream_has_its_turn_within_four_weeks(
    house: Services, clock: ManualClock, recorded: list[float]
) -> None:
    streams = [f"equipment:{n}" for n in range(60)]
    for stream in streams:
        await add(house, stream)
    await house.anchoring.anchor()
    await house.anchoring.seal()
    clock.advance(10 * DAY)
    counts = []
    for stream in streams[:3]:
        await spoil(house, stream)
    broken: set[str] = set()
    for _ in range(proof.ROUND_DAYS):
        clock.advance(DAY)
        await house.anchoring.seal()
        found = await house.audit_proof.check_daily()
        counts.append(found.streams)
        broken |= {verdict.stream for verdict in found.broken}
    assert sum(counts) == 60, "each once"
    assert max(counts) < 12, "a share a day"
    assert broken == set(streams[:3])
    assert recorded.count(0.0) <= 3


async def test_every_old_anchor_has_its_turn_within_four_weeks(
    house: Services, clock: ManualClock, recorded: list[float]
) -> None:
    for _ in range(3):
        await add(house, "token")
        await house.anchoring.anchor()
        await house.anchoring.seal()
        clock.advance(DAY)
    path = house.settings.data_dir / "audit-anchors" / "anchor-000000002.json"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b" ")
    for _ in range(proof.ROUND_DAYS):
        clock.advance(DAY)
        await house.audit_proof.check_daily()
    assert recorded.count(0.0) == 1


async def test_a_check_stops_in_time_and_goes_on_elsewhere(
    house: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        await add(house, f"equipment:{n}")
    await house.anchoring.anchor()
    monkeypatch.setattr(proof, "DAILY_SECONDS", -1.0)
    first = await house.audit_proof.check_daily()
    assert (first.streams, first.left) == (0, 20)
    one, other = (proof._in_todays_order([f"equipment:{n}" for n in range(20)], day) for day in ("2026-11-21", "x"))
    assert (sorted(one), one == other) == (sorted(other), False)


async def test_entries_that_no_anchor_holds_are_anchored(
    house: Services, clock: ManualClock, recorded: list[float]
) -> None:
    """A clock that was days behind: neither the hourly nor the daily look sees the entry."""
    await add(house, "token")
    await house.anchoring.anchor()
    clock.advance(3 * DAY)
    await add(house, "equipment:A")
    await house.anchoring.anchor()
    clock.advance(-2 * DAY)
    await add(house, "equipment:A")
    clock.advance(2 * DAY + 3600)
    await house.anchoring.anchor()
    await house.anchoring.seal()
    before = await house.audit_proof.verify("equipment:A")
    assert before.anchored is not None
    assert (before.entries, before.anchored.seq) == (2, 1)
    assert (await house.audit_proof.check_daily()).anchored_late == 1
    after = await house.audit_proof.verify("equipment:A")
    assert after.anchored is not None
    assert (after.anchored.seq, after.doubt and after.doubt.kind) == (2, "backdated")
    assert (await house.audit_proof.check_daily()).anchored_late == 0


async def test_anchors_that_do_not_hold_count_too(house: Services, recorded: list[float]) -> None:
    await add(house, "token")
    await house.anchoring.anchor()
    (house.settings.data_dir / "audit-anchors" / "anchor-000000001.json").rename(
        house.settings.data_dir / "audit-anchors" / "anchor-000000002.json"
    )
    await house.audit_proof.check_daily()
    assert recorded == [0.0]


async def test_nothing_is_recorded_when_nothing_could_be_read(house: Services, recorded: list[float]) -> None:
    await add(house, "token")
    await house.anchoring.anchor()

    async def away(_prefix: str = "") -> None:
        raise Unavailable("The anchors are away.")

    house.audit_proof._shelf.contents = away  # type: ignore[method-assign,assignment]
    with pytest.raises(Unavailable):
        await house.audit_proof.check_daily()
    assert recorded == []
