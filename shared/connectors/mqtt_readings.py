"""From messages to readings. Pure.

A message that says when it was measured is a reading of that time, and has the same id whenever it comes: recording it
twice is once. Messages that do not say it have no time of their own, and nobody can give them one afterwards: the
newest value of each signal becomes one reading of the time when it was fetched, uncertain where it may have waited.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

from shared import json_text
from shared.connectors.extract import extract
from shared.connectors.mqtt_plan import MqttPlan
from shared.connectors.mqtt_session import Arrival
from shared.connectors.mqtt_topics import matches
from shared.connectors.paths import Path, PathMissing
from shared.connectors.rest_plan import MappedSignal
from shared.connectors.values import worst
from shared.errors import DeviceProtocolError, InvalidInput
from shared.ids import digest_id
from shared.signals import Quality, Reading, SignalValue

__all__ = ["Fetched", "fetched", "may_have_lost"]

FUTURE = timedelta(minutes=5)
"""A device's clock may be so far ahead."""
PAST = timedelta(days=31)
"""An older time is a clock that was never set."""
RETAINED = "it stood at the broker (retained); since when is not known: give timestamp_at"
AGAIN = "the broker sent it a second time, and it does not say when it was measured: give timestamp_at"

FEW = 10
"""From fewer messages nobody can tell how often they come."""
SILENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What some messages said."""

    readings: tuple[Reading, ...]
    """In order of time."""
    hint: str | None = None
    """What a person should know although values were found."""
    times: tuple[datetime, ...] = ()
    """Of measurement, as the messages said it; retained ones are left out."""


@dataclass(frozen=True, slots=True)
class _Document:
    signals: tuple[MappedSignal, ...] | None
    timestamp: Path | None
    temperature_unit: str


@dataclass(frozen=True, slots=True)
class _Heard:
    """One message."""

    arrival: Arrival
    values: dict[str, SignalValue]
    nothing: str | None
    hint: str | None
    at: datetime | None
    """When it was measured, as far as that can be believed."""


def fetched(
    arrivals: Sequence[Arrival], plan: MqttPlan, equipment_id: str, now: datetime, *, waited: str | None = None
) -> Fetched:
    """The readings of these messages.

    Args:
        arrivals: in the order they came.
        plan: of the device.
        equipment_id: whose readings they become.
        now: when they were fetched.
        waited: why messages without a time may be old; ``None``: they are not.
    """
    heard = [one for arrival in arrivals if (one := _heard(arrival, plan, now)) is not None]
    timed = {reading.source + str(reading.at): reading for reading in _timed(heard, equipment_id, now)}
    readings = sorted(timed.values(), key=lambda reading: reading.at)
    untimed = [one for one in heard if one.at is None]
    if untimed:
        readings.append(_snapshot(untimed, equipment_id, now, waited))
    hint = next((one.hint or one.nothing for one in heard if one.hint or one.nothing), None)
    if arrivals and not heard:
        hint = _for_nobody(arrivals, plan)
    times = tuple(one.at for one in heard if one.at is not None and not one.arrival.retained)
    return Fetched(tuple(readings), hint, times)


def may_have_lost(times: Sequence[datetime], now: datetime) -> str | None:
    """Many messages came at once, and the newest is far older than it should be: what came after it is not there.

    Brokers bound the queue of a session; mosquitto drops the newest messages beyond its limit.
    """
    ordered = sorted(set(times))
    if len(ordered) < FEW:
        return None
    gap = median((after - before).total_seconds() for before, after in pairwise(ordered))
    silent = (now - ordered[-1]).total_seconds()
    if silent <= max(10 * gap, SILENCE.total_seconds()):
        return None
    return (
        f"Of {len(times)} messages that had waited the newest is {silent:.0f} s old, though they come every {gap:.2g} "
        "s: the broker's queue was full and dropped what came later, or the device has stopped sending. Let the broker "
        "keep more (mosquitto: max_queued_messages)."
    )


def _heard(arrival: Arrival, plan: MqttPlan, now: datetime) -> _Heard | None:
    """``None``: the message is not of this device, or empty (a retained one was removed)."""
    document = _document(arrival.payload)
    signals = _applicable(arrival.topic, document, plan)
    if not arrival.payload.strip() or signals == ():
        return None
    found = extract(document, _Document(signals, plan.timestamp, plan.temperature_unit))
    at = next((value.source_time for value in found.values.values()), None)
    values, hint = dict(found.values), found.hint
    if at is not None and not now - PAST <= at <= now + FUTURE:
        hint = f"the device says that it measured at {at:%Y-%m-%d %H:%M} UTC: set its clock"
        at = None
    if hint is not None:
        values = _doubted(values, hint)
    return _Heard(arrival, values, found.nothing, hint, at)


def _applicable(topic: str, document: Any, plan: MqttPlan) -> tuple[MappedSignal, ...] | None:
    """The signals to be read from a message of this topic; ``None``: the guide's names."""
    of_device = any(matches(path, topic) for path in plan.paths)
    if plan.signals is None:
        return None if of_device else ()
    chosen = tuple(
        signal.mapped
        for signal in plan.signals
        if (of_device if signal.topic is None else matches(signal.topic, topic))
    )
    return tuple(mapped for mapped in chosen if _is_there(mapped, document)) if plan.partial else chosen


def _is_there(mapped: MappedSignal, document: Any) -> bool:
    try:
        mapped.path.find(document)
    except PathMissing:
        return False
    return True


def _document(payload: bytes) -> Any:
    """JSON, or a text where it is none: many devices say ``185.3``, some say ``open``."""
    try:
        return json_text.load_foreign(payload)
    except InvalidInput:
        return payload.decode("utf-8", "replace").strip()


def _timed(heard: Iterable[_Heard], equipment_id: str, now: datetime) -> Iterable[Reading]:
    for one in heard:
        if one.at is not None:
            name = digest_id(one.arrival.topic, one.arrival.payload)[:12]
            yield _reading(equipment_id, one.at, one.values, one.nothing, f"mqtt-{name}", now)


def _snapshot(untimed: Sequence[_Heard], equipment_id: str, now: datetime, waited: str | None) -> Reading:
    values: dict[str, SignalValue] = {}
    usable = [one for one in untimed if one.nothing is None]
    for one in usable or untimed[-1:]:
        why = RETAINED if one.arrival.retained else AGAIN if one.arrival.again else waited
        values |= one.values if why is None else _doubted(one.values, why)
    name = digest_id(*(part for one in untimed for part in (one.arrival.topic, one.arrival.payload)))[:12]
    return _reading(equipment_id, now, values, None if usable else untimed[-1].nothing, f"mqtt-{name}", now)


def _reading(
    equipment_id: str, at: datetime, values: dict[str, SignalValue], nothing: str | None, source: str, now: datetime
) -> Reading:
    reading = Reading(
        equipment_id, at, values, worst([v.quality for v in values.values()]), source=source, received_at=now
    )
    if nothing is None:
        return reading
    return replace(
        reading, quality=Quality.BAD, reason=f"A message cannot be used: {nothing}", error_code=DeviceProtocolError.code
    )


def _doubted(values: dict[str, SignalValue], why: str) -> dict[str, SignalValue]:
    return {
        key: replace(value, quality=Quality.UNCERTAIN, reason=why) if value.quality is Quality.GOOD else value
        for key, value in values.items()
    }


def _for_nobody(arrivals: Sequence[Arrival], plan: MqttPlan) -> str | None:
    strange = next((a.topic for a in arrivals if not any(matches(f, a.topic) for f in plan.filters)), None)
    if strange is not None:
        return (
            f"Messages of {strange[:100]} came, which is not subscribed to now: the session {plan.client_id} is still "
            "subscribed to it. Give another client_id."
        )
    return None
