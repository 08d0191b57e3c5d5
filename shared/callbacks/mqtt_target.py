"""``mqtt://host:1883/external/topic``: a callback's target that is a topic of a broker (FORCE Bridge chapter 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from shared.errors import InvalidInput, UnsafeTarget
from shared.outgoing.urls import split_url

__all__ = ["MQTT_SCHEMES", "MqttTarget", "is_mqtt", "mqtt_target", "with_userinfo"]

MQTT_SCHEMES = ("mqtt", "mqtts")
ROOT = "external/"
MAX_TOPIC_BYTES = 1_024


@dataclass(frozen=True, slots=True)
class MqttTarget:
    """Where a notification is published."""

    host: str
    port: int
    tls: bool
    topic: str
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)


def is_mqtt(url: str) -> bool:
    """Is it the address of a broker?"""
    return url[:7].lower().startswith(("mqtt://", "mqtts:/"))


def mqtt_target(url: str, *, field: str, clear_text: bool = True) -> MqttTarget:
    """Take it apart. The topic is percent-decoded, as the path of any URL.

    Raises:
        InvalidInput: it is no such URL, or its topic is none that may be published to.
        UnsafeTarget: it is not encrypted, and ``clear_text`` is off.
    """
    parts = split_url(url, field=field, schemes=MQTT_SCHEMES, allow_userinfo=True)
    if parts.scheme == "mqtt" and not clear_text:
        raise UnsafeTarget(
            f"{field} uses mqtt://, which is sent in the clear: use mqtts://, or set ALLOW_HTTP_TARGETS=true where the "
            "network is your own.",
            field=field,
        )
    user, colon, password = (parts.userinfo or "").partition(":")
    return MqttTarget(
        parts.host,
        parts.port,
        parts.scheme == "mqtts",
        _topic(parts.rest, field),
        unquote(user) if parts.userinfo else None,
        unquote(password) if colon else None,
    )


def with_userinfo(url: str, username: str, password: str) -> str:
    """The same address with credentials in it, for the vault."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{quote(username, safe='')}:{quote(password, safe='')}@{rest}"


def _topic(rest: str, field: str) -> str:
    if "?" in rest:
        raise InvalidInput(f"{field}: a topic has no query (?...): leave it out, or write %3F.", field=field)
    try:
        topic = unquote(rest[1:], errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput(f"{field}: the topic is no UTF-8 text; check its percent signs.", field=field) from None
    if not topic.startswith(ROOT) or topic.endswith("/"):
        raise InvalidInput(
            f"{field}: the topic of an MQTT target begins with `external`: mqtt://{{host}}:1883/external/{{any topic}}",
            field=field,
        )
    if "+" in topic or "#" in topic:
        raise InvalidInput(f"{field}: a message goes to one topic: leave the wildcards + and # out.", field=field)
    if not topic.isprintable() or len(topic.encode()) > MAX_TOPIC_BYTES:
        raise InvalidInput(f"{field}: a topic is printable and has at most {MAX_TOPIC_BYTES:,} bytes.", field=field)
    return topic
