"""Webhooks of Operations1: any realm is taken, the configured ones have an effect, once.

No signature, no message id and no retry policy is published: the address is secret, a shared secret may be asked for
beside it, and the same happening is known by what is told (``happenings.py``).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from pydantic import ValidationError

from shared.alerts.model import Severity
from shared.clock import iso
from shared.errors import FieldProblem, InvalidInput, NotFound
from shared.events import Event, EventLog
from shared.events.catalogue import (
    MACHINE,
    NONE,
    REPORT_COMPLETED,
    VALUE_ENTERED,
    WORK_ORDER,
    WORK_ORDER_COMPLETED,
    WORK_ORDER_UPDATED,
)
from shared.ids import digest_id
from shared.inbox.kinds import Look, SourceKeys, signed_in
from shared.inbox.model import InboundMessage, Verdict
from shared.inbox.source import HookSource
from shared.platforms.operations1.entered import entered_values
from shared.platforms.operations1.happenings import Happenings, Said, Told, noted
from shared.platforms.operations1.profile import RequestProfile
from shared.platforms.operations1.values_told import Check, JudgedValue, ValueMessage, ValuesTold
from shared.platforms.operations1.webhook import Envelope, digest_of, read_envelope
from shared.platforms.operations1.webhook_options import Meaning, WebhookOptions

__all__ = ["WebhookKind"]

EVENTS: dict[Meaning, str] = {
    "order_completed": WORK_ORDER_COMPLETED,
    "order_updated": WORK_ORDER_UPDATED,
    "report_completed": REPORT_COMPLETED,
}
MIN_SECRET = 16


class CurrentProfiles(Protocol):
    """Request profiles by name."""

    async def current(self, profile_id: str) -> RequestProfile: ...


class WebhookKind:
    """The kind ``operations1``."""

    def __init__(self, events: EventLog, happenings: Happenings, values: ValuesTold, profiles: CurrentProfiles) -> None:
        self._events = events
        self._happenings = happenings
        self._values = values
        self._profiles = profiles

    # At the door -------------------------------------------------------------------------------------------------

    def check(self, options: Mapping[str, Any], keys: SourceKeys) -> dict[str, Any]:
        """See ``Kind``."""
        try:
            checked = WebhookOptions.model_validate(dict(options))
        except ValidationError as err:
            raise _problems(err) from None
        if (checked.proof is not None) != bool(keys.signing):
            raise InvalidInput(
                "options.proof says where the sender shows the signing_secret: give both, or neither.",
                field="options.proof" if keys.signing else "signing_secret",
            )
        if any(len(secret) < MIN_SECRET for secret in keys.signing):
            raise InvalidInput(f"A shared secret has at least {MIN_SECRET} characters.", field="signing_secret")
        return checked.model_dump(mode="json", by_alias=True)

    def look(self, source: HookSource, keys: SourceKeys, raw: bytes, headers: Mapping[str, str], now: datetime) -> Look:
        """See ``Kind``."""
        return self.look_with_query(source, keys, raw, headers, {}, now)

    def look_with_query(
        self,
        source: HookSource,
        keys: SourceKeys,
        raw: bytes,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        now: datetime,
    ) -> Look:
        """See ``Kind``, and the query of the address, where the shared secret may stand."""
        options = WebhookOptions.model_validate(source.options)
        reason = signed_in(keys, headers) or _not_proven(options, keys, headers, query)
        verdict: Verdict = "rejected" if reason else "verified" if keys.signing or keys.credentials else "unsigned"
        try:
            envelope = read_envelope(raw)
        except InvalidInput:
            # It is kept as it came, and says in the inbox what is wrong with it: the sender could not mend it.
            key = f"body:{hashlib.sha256(raw).hexdigest()}"
            return Look(verdict, reason, None, key, options.same_within_seconds, source.equipment_id)
        # What is not accepted must not stand in the way of the same in a version that is.
        counts = "accepted" if options.accepts(envelope.versions) else "ignored"
        machines = {check.equipment_id for check in options.tags.values()}
        is_value = options.realms.get(envelope.realm) == "value_entered"
        machine = next(iter(machines)) if is_value and len(machines) == 1 else None
        return Look(
            verdict,
            reason,
            envelope.realm,
            f"{counts}:{digest_of(envelope)}",
            options.same_within_seconds,
            source.equipment_id or machine,
            _ids(options, envelope)["work_order_id"],
        )

    # Off the queue -----------------------------------------------------------------------------------------------

    async def handle(self, source: HookSource, message: InboundMessage) -> Mapping[str, Any]:
        """See ``Kind``."""
        options = WebhookOptions.model_validate(source.options)
        envelope = read_envelope(message.raw)
        if not options.accepts(envelope.versions):
            given, accepted = " / ".join(envelope.versions) or "none", ", ".join(options.accepted_versions or ())
            return {"ignored": f"Version {given} is none of accepted_versions: {accepted}."}
        meaning = options.realms.get(envelope.realm)
        if meaning is None:
            return {"ignored": f"What the realm {envelope.realm} means is not configured: options.realms."}
        if meaning == "value_entered":
            return await self._value(source, options, envelope, message)
        return await self._order(source, options, envelope, message, meaning)

    async def _order(
        self, source: HookSource, options: WebhookOptions, envelope: Envelope, message: InboundMessage, meaning: Meaning
    ) -> Mapping[str, Any]:
        ids = _ids(options, envelope)
        about = ids["report_id"] if meaning == "report_completed" else ids["order_id"]
        if about is None:
            return {"ignored": "It names no order and no report: there is nothing to tell of."}
        state = envelope.text("state")
        said: Said = "new"
        if not message.replays:

            def decide(told: Told) -> tuple[Told, Said]:
                return noted(
                    told,
                    content=state if meaning != "order_updated" else digest_of(envelope),
                    digest=digest_of(envelope),
                    version=envelope.version,
                    key=message.id,
                    at=message.received_at,
                    within=timedelta(seconds=options.same_within_seconds),
                    lasting=False,
                )

            scope = options.tenant or source.id
            said = await self._happenings.once(f"seen:{digest_id(scope, meaning, about)}", decide)
        if said == "known":
            return {"ignored": "The same was told before, in another version or once more.", **ids}
        event = Event(
            id=digest_id(message.id, str(message.replays)),
            type=EVENTS[meaning],
            timestamp=message.received_at,
            object_type=WORK_ORDER if ids["work_order_id"] else NONE,
            object_id=ids["work_order_id"],
            name=source.event_name or envelope.text("name"),
            data={
                "source": source.id,
                "realm": envelope.realm,
                **ids,
                "name": envelope.text("name"),
                "state": state,
                "assignee": envelope.text("assigneeUserName") or envelope.id("assigneeId"),
                "report_ids": ",".join(envelope.ids("progressIds", "reportIds")) or None,
                "received_at": iso(message.received_at),
                "inbox_id": message.id,
            },
            correlation_id=message.correlation_id,
        )
        await self._events.publish(event)
        return {"eventId": event.id, "eventType": event.type, **ids}

    async def _value(
        self, source: HookSource, options: WebhookOptions, envelope: Envelope, message: InboundMessage
    ) -> Mapping[str, Any]:
        ids = _ids(options, envelope)
        entered = entered_values(envelope.data, options.value_fields, told_by_webhook=True)
        checks = await self._checks(options)
        if not checks:
            return {"ignored": "No tag is configured to be compared: options.tags or options.profile.", **ids}
        if not checks.keys() & entered.keys():
            return {"ignored": "It holds no value of a tag that is compared.", **ids}
        judged = await self._values.take(
            ValueMessage(
                scope=options.tenant or source.id,
                report_id=ids["report_id"],
                work_order_id=ids["work_order_id"],
                version=envelope.version,
                key=f"{message.id}:{message.replays}",
                received_at=message.received_at,
                replayed=message.replays > 0,
                within=timedelta(seconds=options.same_within_seconds),
            ),
            entered,
            checks,
        )
        for one in judged:
            if one.comparison is not None:
                await self._events.publish(_value_event(source, envelope, message, ids, one))
        return {"values": [_effect(one) for one in judged], **ids}

    async def _checks(self, options: WebhookOptions) -> dict[str, Check]:
        checks: dict[str, Check] = {}
        if options.profile is not None and options.tolerance is not None:
            try:
                profile = await self._profiles.current(options.profile)
            except NotFound as err:
                raise InvalidInput(f"options.profile: {err.detail}") from err
            for tag, wanted in profile.tags.items():
                checks[tag] = Check(wanted, options.tolerance, Severity(options.severity), options.accept_uncertain)
        for tag, check in options.tags.items():
            checks[tag] = Check.of(
                check,
                tolerance=options.tolerance,
                max_age=options.max_age_seconds,
                severity=options.severity,
                uncertain=options.accept_uncertain,
            )
        return checks


def _ids(options: WebhookOptions, envelope: Envelope) -> dict[str, str | None]:
    meaning = options.realms.get(envelope.realm)
    is_order = meaning in ("order_completed", "order_updated")
    order = envelope.id("orderId", "id") if is_order else envelope.id("orderId")
    custom = envelope.custom_order_id
    report = None if is_order else envelope.id("progressId", "reportId", "id")
    work_order = custom if options.work_order == "custom_order_id" and custom else order
    return {"work_order_id": work_order, "order_id": order, "custom_order_id": custom, "report_id": report}


def _not_proven(
    options: WebhookOptions, keys: SourceKeys, headers: Mapping[str, str], query: Mapping[str, str]
) -> str | None:
    if options.proof is None or not keys.signing:
        return None
    place, name = options.proof.place, options.proof.name
    given = (headers.get(name.lower()) if place == "header" else query.get(name)) or ""
    if not given:
        return f"The {place} {name} with the shared secret is missing."
    right = False
    for secret in keys.signing:
        right |= hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode())
    return None if right else f"The shared secret in the {place} {name} is wrong."


def _value_event(
    source: HookSource, envelope: Envelope, message: InboundMessage, ids: Mapping[str, str | None], one: JudgedValue
) -> Event:
    found = one.comparison
    return Event(
        id=digest_id(message.id, str(message.replays), one.tag),
        type=VALUE_ENTERED,
        timestamp=message.received_at,
        object_type=MACHINE,
        object_id=one.check.source.equipment_id,
        name=source.event_name or one.tag,
        data={
            "source": source.id,
            "realm": envelope.realm,
            "tag": one.tag,
            "value": None if found is None else found.entered,
            "equipment_id": one.check.source.equipment_id,
            "equipment_name": one.equipment_name,
            "signal": one.check.source.signal,
            "machine_value": None if found is None else found.machine,
            "unit": "" if found is None else found.unit,
            "agrees": None if found is None else found.agrees,
            "reason": None if found is None else found.reason,
            "alert_id": one.alert_id,
            "work_order_id": ids["work_order_id"],
            "report_id": ids["report_id"],
            "received_at": iso(message.received_at),
            "inbox_id": message.id,
        },
        correlation_id=message.correlation_id,
    )


_NOT_JUDGED: dict[Said, str] = {
    "known": "It was told before.",
    "late": "A newer value of this tag came first.",
}


def _effect(one: JudgedValue) -> dict[str, Any]:
    found = one.comparison
    if found is None:
        return {"tag": one.tag, "judged": False, "reason": _NOT_JUDGED.get(one.said)}
    return {
        "tag": one.tag,
        "judged": found.agrees is not None,
        "entered": found.entered,
        "machine": found.machine,
        "unit": found.unit,
        "agrees": found.agrees,
        "reason": found.reason,
        "alert_id": one.alert_id,
    }


def _problems(err: ValidationError) -> InvalidInput:
    found = [
        FieldProblem(".".join(("options", *(str(part) for part in one["loc"]))), one["msg"])
        for one in err.errors(include_url=False, include_context=False, include_input=False)
    ]
    return InvalidInput(f"{found[0].field}: {found[0].problem}", problems=found)
