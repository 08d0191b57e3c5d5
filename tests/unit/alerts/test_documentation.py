"""`docs/alerts.md` says what is so: every example is a valid rule, every word is one of ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from functions.call import parse
from shared import json_text
from shared.alerts.defaults import BUILT_IN_RULES
from shared.alerts.handling import LOOKED_AT
from shared.alerts.model import ERROR_WORDS, MAX_SHELF_MINUTES, RUNNING_WORDS, AlertState, AlertType, Kind, status_of
from shared.alerts.presets import PRESETS
from shared.alerts.response_call import NOT_TAKEN
from shared.alerts.response_model import (
    ACTIONS,
    DEFAULT_COOLDOWN_SECONDS,
    MAX_PER_HOUR,
    MAX_RESPONSES,
    ResponseStatus,
    Trigger,
)
from shared.alerts.response_templates import NAMES
from shared.alerts.response_work import LATE_WRITE_SECONDS, MAX_ATTEMPTS, PAUSES
from shared.alerts.rule_forms import NewRule, read_form

TEXT = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text("utf-8")
EXAMPLES = [json_text.load(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]


@pytest.mark.parametrize("body", EXAMPLES, ids=lambda b: f"{b.get('kind') or b['preset']}-{b.get('profile', 'own')}")
def test_every_example_is_a_rule(body: dict[str, object]) -> None:
    rule = read_form(parse(NewRule, body), id="R1", scope="OVEN-1")
    assert rule.kind == body.get("kind", rule.kind)


def test_every_kind_has_an_example() -> None:
    assert {b["kind"] for b in EXAMPLES if "kind" in b} | {"high"} == {k.value for k in Kind}


def test_every_word_is_explained() -> None:
    words = [*AlertType, *AlertState, *PRESETS, *(rule.id for rule in BUILT_IN_RULES)]
    assert [word for word in words if f"`{word}`" not in TEXT] == []
    for state in AlertState:
        assert re.search(rf"\| `{state}` \| `{status_of(state)}` \|", TEXT)
    for preset in re.findall(r"`(us-food-code-[a-z0-9-]+)`", TEXT):
        assert preset in PRESETS


def test_numbers_are_those_of_the_code() -> None:
    assert f"at most {MAX_SHELF_MINUTES} minutes" in TEXT
    assert f"at most {LOOKED_AT:,} matches" in TEXT
    assert all(word in TEXT for word in (*ERROR_WORDS, *RUNNING_WORDS))


def test_responses_are_explained() -> None:
    for word in (*Trigger, *ResponseStatus, *ACTIONS):
        assert f"| `{word}`" in TEXT, word
    assert re.findall(r"`\{([a-z_.]+)\}`", TEXT.partition("**Placeholders**")[2].partition("**Secrets**")[0]) == [
        *NAMES
    ]
    assert f"at most {MAX_RESPONSES} `responses`" in TEXT
    assert f"(default {DEFAULT_COOLDOWN_SECONDS:g})" in TEXT
    assert f"{MAX_PER_HOUR} times an hour" in TEXT
    assert f"**Tries**: {MAX_ATTEMPTS} at most" in TEXT
    assert PAUSES == (15, 60, 300, 900)
    assert f"never later than {LATE_WRITE_SECONDS / 60:g} min" in TEXT
    for status in sorted(NOT_TAKEN):
        assert f"`{status}`" in TEXT
