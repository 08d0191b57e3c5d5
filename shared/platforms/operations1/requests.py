"""A worker asks from within a work instruction: answered from the last stored readings, never by a live poll."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shared import json_text
from shared.audit import AuditLog
from shared.clock import Clock
from shared.equipment.registry import EquipmentRegistry
from shared.errors import Conflict, FieldProblem, Forbidden, InvalidInput
from shared.inbox.service import Inbox
from shared.platforms.operations1.acting import Acting, OnSite, Work
from shared.platforms.operations1.actions import Action, Calculate
from shared.platforms.operations1.entered import entered_values
from shared.platforms.operations1.judgement import TagAnswer, judge
from shared.platforms.operations1.payload import Asked, read_payload
from shared.platforms.operations1.profile import TAG_PARTS, RequestProfile, TagSource
from shared.platforms.operations1.profiles import RequestProfiles
from shared.platforms.operations1.starting import Asking
from shared.platforms.operations1.templates import LEFT_OUT, fill
from shared.signals import Reading, SignalValue
from shared.storage import DocumentStore
from shared.telemetry.readings import Readings

__all__ = ["Considered", "ExternalRequests", "LatestValues", "NoUsableValue", "Reply", "consider"]

log = logging.getLogger("ovenbridge.requests")


class NoUsableValue(Conflict):
    """A tag has no value that may be given. ``problems`` names each with its reason, for the worker."""

    title = "No usable value"

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.problems = tuple(FieldProblem(tag, reason) for tag, reason in reasons.items())
        super().__init__(" ".join(f"{tag}: {reason}" for tag, reason in reasons.items()))


@dataclass(frozen=True, slots=True)
class Reply:
    """What the platform is answered."""

    body: Any
    unanswered: Mapping[str, str] = field(default_factory=dict)
    """Tags without a usable value, with the reason."""
    running: Mapping[str, str] = field(default_factory=dict)
    """Tags whose result comes later, with the id of their run: answered 202, and ``body`` holds what is known."""


class ExternalRequests:
    """Answers external requests, and owns their profiles."""

    def __init__(
        self,
        store: DocumentStore,
        readings: Readings,
        equipment: EquipmentRegistry,
        audit: AuditLog,
        inbox: Inbox,
        clock: Clock,
        acting: Callable[[], Acting],
    ) -> None:
        self.profiles = RequestProfiles(store, equipment, audit, clock, check=lambda one: acting().check(one))
        self._acting = acting
        self._readings = readings
        self._inbox = inbox
        self._clock = clock

    async def answer(
        self,
        profile_id: str,
        raw: bytes,
        headers: Mapping[str, str],
        *,
        asked_by: str = "somebody",
        may_act: bool = False,
    ) -> Reply:
        """Answer one request. ``may_act``: may this caller have something started, or another system called?

        Raises:
            NotFound: there is no such profile.
            InvalidInput: it is no JSON object, of a version that the profile refuses, or asks for nothing configured.
            NoUsableValue: a value is too old, bad or missing, and the profile wants that said.
            Forbidden: the profile does something, and this caller may only read.
        """
        profile = await self.profiles.current(profile_id)
        if profile.does_something and not may_act:
            raise Forbidden(
                f"The request profile {profile_id} starts something, or calls another system: that needs a function "
                "key of this app, or an API token with the role operator."
            )
        considered = await consider(
            profile_id,
            profile,
            raw,
            self._readings,
            self._clock,
            self._acting(),
            asked_by,
        )
        asked, reply = considered.asked, considered.reply
        if profile.keep_requests:
            effect = {
                "answer": None if considered.refused else reply.body,
                "unanswered": reply.unanswered,
                **({"running": dict(reply.running)} if reply.running else {}),
                "report": asked.report_id,
                "order": asked.order_id,
            }
            await self._inbox.keep(
                f"request-{profile_id}", raw, headers, event=asked.realm or "external-request", effect=effect
            )
        return considered.given()


class LatestValues(Protocol):
    """Where values come from: the store of the hub, or a relay's own last readings."""

    async def latest(self, equipment_id: str) -> Reading | None:
        """The newest reading, failed ones included."""
        ...

    async def latest_value(self, equipment_id: str, signal: str) -> tuple[SignalValue, datetime] | None:
        """The newest value of a signal with its time."""
        ...


@dataclass(frozen=True, slots=True)
class Considered:
    """A request, and what can be said to it."""

    asked: Asked
    reply: Reply
    refused: NoUsableValue | None

    def given(self) -> Reply:
        """The reply. Raises ``NoUsableValue`` where the profile wants that said."""
        if self.refused is not None:
            raise self.refused
        return self.reply


async def consider(
    profile_id: str,
    profile: RequestProfile,
    raw: bytes,
    readings: LatestValues,
    clock: Clock,
    acting: OnSite,
    asked_by: str,
) -> Considered:
    """What is asked, what is done about it, and what can be answered.

    Raises:
        InvalidInput: it is no JSON object, of a version that the profile refuses, or asks for nothing configured.
    """
    payload = json_text.load_foreign(raw)
    asked = read_payload(payload)
    names = _wanted(profile_id, profile, asked)
    actions = {name: profile.actions[name] for name in names if name in profile.actions}
    sources = {name: profile.tags[name] for name in names if name in profile.tags}
    told = await _look_up(
        sources | _inputs(profile, actions.values()), readings, clock, accept_uncertain=profile.accept_uncertain
    )
    answers = {name: told[name] for name in sources}
    if actions:
        work = Work(
            Asking(profile_id, asked.report_id, asked.order_id, asked.step_id, asked_by),
            entered_values(payload, profile.value_fields),
            told,
            profile.accept_uncertain,
        )
        answers |= await acting.act(actions, work)
    return _considered(profile_id, profile, asked, {name: answers[name] for name in names})


def _inputs(profile: RequestProfile, actions: Iterable[Action]) -> dict[str, TagSource]:
    """Machines' values that calculations need."""
    needed = {tag for action in actions if isinstance(action, Calculate) for tag in action.needs().values()}
    return {tag: profile.tags[tag] for tag in needed if tag in profile.tags}


def _considered(profile_id: str, profile: RequestProfile, asked: Asked, answers: Mapping[str, TagAnswer]) -> Considered:
    unanswered = {tag: a.reason or "There is no value." for tag, a in answers.items() if not a.usable}
    running: dict[str, str] = {}
    if profile.on_running == "accepted":
        running = {tag: a.run_id for tag, a in answers.items() if a.running and a.run_id is not None}
    missing = {tag: why for tag, why in unanswered.items() if tag not in running}
    if missing:
        log.warning("The request profile %s has no usable value for: %s", profile_id, ", ".join(missing))
    refused = NoUsableValue(missing) if missing and profile.missing == "error" else None
    if running and refused is None:
        known = {tag: answer.value for tag, answer in answers.items() if answer.usable}
        return Considered(asked, Reply(known, unanswered, running), None)
    return Considered(asked, Reply(None if refused else _written(profile, asked, answers), unanswered), refused)


async def _look_up(
    wanted: Mapping[str, TagSource], readings: LatestValues, clock: Clock, *, accept_uncertain: bool
) -> dict[str, TagAnswer]:
    """All machines at once, each read once, however many tags are about it."""
    by_machine: dict[str, list[str]] = {}
    for tag, source in wanted.items():
        by_machine.setdefault(source.equipment_id, []).append(tag)
    parts = await asyncio.gather(
        *(
            _look_up_machine(machine, {tag: wanted[tag] for tag in tags}, readings, clock, accept_uncertain)
            for machine, tags in by_machine.items()
        )
    )
    found = {tag: answer for part in parts for tag, answer in part.items()}
    return {tag: found[tag] for tag in wanted}


async def _look_up_machine(
    machine: str, tags: Mapping[str, TagSource], readings: LatestValues, clock: Clock, accept_uncertain: bool
) -> dict[str, TagAnswer]:
    reading = await readings.latest(machine)
    now = clock.now()
    answers: dict[str, TagAnswer] = {}
    for tag, source in tags.items():
        found: tuple[SignalValue, datetime] | None = None
        if reading is not None and reading.values:
            value = reading.values.get(source.signal)
            # A pushed reading may tell of some signals only; the others stand in an earlier one.
            found = (value, reading.at) if value is not None else await readings.latest_value(machine, source.signal)
        answers[tag] = judge(source, reading, found, now, accept_uncertain=accept_uncertain)
    return answers


def _wanted(profile_id: str, profile: RequestProfile, asked: Asked) -> list[str]:
    if not profile.accepts(asked.versions):
        accepted, given = " or ".join(profile.accepted_versions or ()), " / ".join(asked.versions)[:60]
        raise InvalidInput(
            f"The request profile {profile_id} answers version {accepted}, and this is {given}.", field="version"
        )
    wanted = profile.wanted(asked.tags, whole=asked.whole)
    if not wanted:
        raise InvalidInput(
            f"None of the interaction tags in this request is configured in the profile {profile_id}. It knows: "
            f"{', '.join((*profile.tags, *profile.actions))[:500]}.",
            field="interactionTags",
        )
    return wanted


def _written(profile: RequestProfile, asked: Asked, answers: Mapping[str, TagAnswer]) -> Any:
    if profile.answer == "template":
        filled = fill(profile.template, _words(profile, asked, answers))
        return None if filled is LEFT_OUT else filled
    given = {tag: answer for tag, answer in answers.items() if answer.usable or profile.missing != "omit"}
    if profile.answer == "values":
        return {tag: answer.value for tag, answer in given.items()}
    if profile.answer == "list":
        return [{"tag": tag, "value": answer.value} for tag, answer in given.items()]
    return {
        tag: {
            "value": answer.value,
            "unit": answer.unit,
            "quality": answer.quality.value,
            "age_seconds": answer.age_seconds,
            "reason": answer.reason,
        }
        for tag, answer in given.items()
    }


def _words(profile: RequestProfile, asked: Asked, answers: Mapping[str, TagAnswer]) -> dict[str, Any]:
    words: dict[str, Any] = {
        "report_id": asked.report_id,
        "order_id": asked.order_id,
        "step_id": asked.step_id,
    }
    for tag, answer in answers.items():
        value = LEFT_OUT if answer.value is None and profile.missing == "omit" else answer.value
        parts = (value, answer.unit, answer.quality.value, answer.age_seconds, answer.reason)
        words |= {f"{tag}.{name}": part for name, part in zip(TAG_PARTS, parts, strict=True)}
        words[tag] = value
    return words
