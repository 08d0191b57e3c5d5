"""Which messages tell of the same happening: pure; and whatever comes to the door is judged without an error."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.inbox.kinds import SourceKeys
from shared.inbox.source import HookSource
from shared.json_text import dump
from shared.platforms.operations1.happenings import REMEMBERED, Said, Told, noted
from shared.platforms.operations1.hook_kind import WebhookKind
from shared.platforms.operations1.webhook_options import WebhookOptions

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
WITHIN = timedelta(seconds=600)


def tell(told: Told, content: Any, version: str, seconds: float, *, lasting: bool = True) -> tuple[Told, Said]:
    return noted(
        told,
        content=content,
        digest=f"{content}",
        version=version,
        key=f"{content}{version}{seconds}",
        at=NOON + timedelta(seconds=seconds),
        within=WITHIN,
        lasting=lasting,
    )


def test_what_is_handled_late_moves_nothing() -> None:
    told, _ = tell([], 87, "1", 10)
    assert tell(told, 95, "1", 0)[1] == "late"
    assert tell(told, 95, "1", 0, lasting=False)[1] == "new", "an order's end is no state that a later one replaces"


def test_versions_are_one_within_the_window_only() -> None:
    told, _ = tell([], 95, "1", 0)
    told, _ = tell(told, 87, "1", 1)
    assert tell(told, 95, "2", 600)[1] == "known"
    assert tell(told, 95, "2", 601)[1] == "new"


def test_the_same_again_in_one_version() -> None:
    told, _ = tell([], "done", "1", 0, lasting=False)
    assert tell(told, "done", "1", 5, lasting=False)[1] == "known"
    assert tell(told, "done", "1", 601, lasting=False)[1] == "new"
    assert tell(told, "done", "1", 99_999)[1] == "known", "a state that is told again is no news, however late"


@given(st.lists(st.sampled_from([87, 95, 99]), max_size=12), st.randoms(use_true_random=False))
def test_two_versions_of_any_entries_are_judged_once_each(values: list[int], mixed: random.Random) -> None:
    """The old and the new webhook, each in its order, mixed in any way."""
    entries = [value for place, value in enumerate(values) if place == 0 or values[place - 1] != value][:REMEMBERED]
    waiting = {"1": list(enumerate(entries)), "2": list(enumerate(entries))}
    told: Told = []
    judged = 0
    second = 0.0
    while any(waiting.values()):
        version = mixed.choice([name for name, left in waiting.items() if left])
        _, value = waiting[version].pop(0)
        second += 1
        told, said = tell(told, value, version, second)
        judged += said == "new"
    assert judged == len(entries)
    assert len(told) <= REMEMBERED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["realm", "data", "version", "id", "interactionTags", "name", "value", "archived", "orderId"]
            ),
            inside,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(
    JSON.map(lambda value: dump(value) if not _too_large(value) else b"{}") | st.binary(max_size=40),
    st.sampled_from(["", "Basic x", "Basic eDp5", "Bearer \udcff"]),
)
def test_whatever_comes_is_judged(raw: bytes, login: str) -> None:
    kind = WebhookKind(None, None, None, None)  # type: ignore[arg-type]
    source = _source(WebhookOptions().model_dump(mode="json", by_alias=True))
    keys = SourceKeys((), ({"username": "x", "password": "y"},))
    seen = kind.look(source, keys, raw, {"authorization": login}, NOON)
    assert seen.verdict == ("verified" if login == "Basic eDp5" else "rejected")
    assert seen.dedupe_key


def _too_large(value: Any) -> bool:
    if isinstance(value, int):
        return not -(2**63) <= value < 2**64
    if isinstance(value, list):
        return any(_too_large(one) for one in value)
    return isinstance(value, dict) and any(_too_large(one) for one in value.values())


def _source(options: dict[str, Any]) -> HookSource:
    return HookSource.from_document(
        {
            "id": "op1",
            "name": "op1",
            "platform": "operations1",
            "options": options,
            "tokenHash": "",
            "createdAt": "2026-11-21T10:00:00.000Z",
            "createdBy": "test",
        }
    )
