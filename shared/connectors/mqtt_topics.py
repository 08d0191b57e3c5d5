"""Topics, topic filters, and the addresses of MQTT signals. Pure.

An address is a path into the message (``temps.core``), ``$`` for a message that is nothing but its value, and before
either ``@<topic filter>`` and a space where only messages of that topic are meant: ``@oven/7/door state.open``,
``@oven/7/temperature $``. ``@oven/7/temperature`` alone means the same as the latter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.connectors.paths import BadAddress, Path, parse_path

__all__ = ["BadTopic", "matches", "parse_at", "parse_filter", "placeholders", "with_values"]

MAX_CHARACTERS = 500
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_WHOLE = Path(())
"""The message itself."""


class BadTopic(ValueError):
    """The text is no topic filter. The message shows the right form."""


def parse_filter(text: str) -> str:
    """The filter itself, if it is one we would subscribe to.

    Raises:
        BadTopic: what is wrong, and the right form.
    """
    if not text or len(text) > MAX_CHARACTERS:
        raise BadTopic(f"a topic filter has 1 to {MAX_CHARACTERS} characters: write bakery/oven/{{unit}}/telemetry")
    if not text.isprintable():
        raise BadTopic("a topic filter has no control characters")
    levels = text.split("/")
    if levels[0] == "$share":
        raise BadTopic(
            "a shared subscription ($share/...) would give its messages to others too: name the topic itself"
        )
    for number, level in enumerate(levels):
        if "#" in level and (level != "#" or number != len(levels) - 1):
            raise BadTopic("# stands alone in the last level: bakery/oven7/#")
        if "+" in level and level != "+":
            raise BadTopic("+ stands for one whole level: bakery/+/telemetry")
    if all(level in ("#", "+") for level in levels):
        raise BadTopic("this would subscribe to everything at the broker: name at least one level, such as bakery/#")
    return text


def matches(filter: str, topic: str) -> bool:
    """Does this topic fall under the filter (MQTT 5, section 4.7)?"""
    wanted, levels = filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("#", "+"):
        return False
    for number, level in enumerate(wanted):
        if level == "#":
            return True
        if number >= len(levels) or level not in ("+", levels[number]):
            return False
    return len(levels) == len(wanted)


def parse_at(text: str) -> tuple[str | None, Path]:
    """The topic filter of an address (``None``: any message of the device) and the path into the message.

    Raises:
        BadTopic: its topic is none.
        BadAddress: its path is none.
    """
    topic: str | None = None
    rest = text
    if text.startswith("@"):
        topic, _, rest = text[1:].partition(" ")
        topic = parse_filter(topic)
        rest = rest.strip() or "$"
    if rest == "$":
        return topic, _WHOLE
    try:
        return topic, parse_path(rest)
    except BadAddress as err:
        raise BadAddress(f"{err}; or $ for a message that is nothing but its value") from None


def placeholders(text: str) -> frozenset[str]:
    """The names in braces."""
    return frozenset(_PLACEHOLDER.findall(text))


def with_values(filter: str, values: Mapping[str, str]) -> str:
    """The filter with every ``{name}`` replaced.

    Raises:
        KeyError: a name without a value.
        BadTopic: a value that would change the filter's structure.
    """

    def fill(match: re.Match[str]) -> str:
        value = values[match[1]]
        if not value or set(value) & set("/+#") or not value.isprintable():
            raise BadTopic(f"{{{match[1][:40]}}} is filled with a value that cannot stand in one level of a topic")
        return value

    return parse_filter(_PLACEHOLDER.sub(fill, filter))
