"""Topic filters and the addresses of MQTT signals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from shared.connectors.mqtt_topics import BadTopic, matches, parse_at, parse_filter, placeholders, with_values
from shared.connectors.paths import BadAddress

LEVELS = st.sampled_from(["a", "b", "$SYS", "", "oven 7"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)
FILTERS = st.builds(
    lambda levels, end: "/".join([*levels, *end]),
    st.lists(st.one_of(LEVELS, st.just("+")), min_size=1, max_size=5),
    st.sampled_from([[], ["#"]]),
).filter(bool)


@given(FILTERS, TOPICS)
def test_a_topic_falls_under_a_filter_as_paho_has_it(wanted: str, topic: str) -> None:
    assert matches(wanted, topic) is topic_matches_sub(wanted, topic)


@pytest.mark.parametrize(
    ("wanted", "topic", "falls"),
    [
        ("bakery/oven/7/telemetry", "bakery/oven/7/telemetry", True),
        ("bakery/oven/7", "bakery/oven/7/telemetry", False),
        ("bakery/oven/7/telemetry", "bakery/oven/7", False),
        ("bakery/+/7/#", "bakery/oven/7", True),
        ("bakery/#", "bakery", True),
        ("bakery/+", "bakery/", True),
        ("+/x", "$SYS/x", False),
        ("#", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("bakery/oven", "Bakery/oven", False),
    ],
)
def test_filters(wanted: str, topic: str, falls: bool) -> None:
    assert matches(wanted, topic) is falls


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "1 to 500"),
        ("x" * 501, "1 to 500"),
        ("a/#/b", "# stands alone"),
        ("a/b#", "# stands alone"),
        ("a/b+/c", "one whole level"),
        ("#", "everything"),
        ("+/+/#", "everything"),
        ("$share/group/a", "shared subscription"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
    ],
)
def test_filters_that_are_none(text: str, words: str) -> None:
    with pytest.raises(BadTopic, match=words):
        parse_filter(text)


@pytest.mark.parametrize(
    ("text", "topic", "path"),
    [
        ("temps.core", None, "temps.core"),
        ("$", None, ""),
        ("@oven/7/temperature", "oven/7/temperature", ""),
        ("@oven/7/temperature $", "oven/7/temperature", ""),
        ("@oven/7/door state.open", "oven/7/door", "state.open"),
        ("@oven/+/x   ['odd key'].v", "oven/+/x", "['odd key'].v"),
        ("['$']", None, "$"),
    ],
)
def test_addresses(text: str, topic: str | None, path: str) -> None:
    found_topic, found_path = parse_at(text)
    assert (found_topic, str(found_path)) == (topic, path)


def test_the_whole_message_is_its_value() -> None:
    assert parse_at("$")[1].find(185.3) == 185.3


@pytest.mark.parametrize("text", ["", "@", "@ a", "@a/# b..c", "a..b", "@a/#/b c"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises((BadTopic, BadAddress)):
        parse_at(text)


def test_names_are_filled_in() -> None:
    assert with_values("bakery/{site}/oven/{unit}/#", {"site": "madrid", "unit": "7"}) == "bakery/madrid/oven/7/#"
    assert placeholders("a/{x}/{y z}") == {"x", "y z"}
    with pytest.raises(KeyError):
        with_values("a/{x}", {})


@pytest.mark.parametrize("value", ["", "a/b", "+", "#", "x#", "a\nb"])
def test_a_value_never_changes_the_structure(value: str) -> None:
    with pytest.raises(BadTopic):
        with_values("a/{x}", {"x": value})
