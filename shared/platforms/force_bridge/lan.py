"""FORCE Bridge notifications on the plant's own network: messages under ``external/...`` of an MQTT broker.

The chapter lets a callback's ``url`` be ``mqtt://{host}:1883/external/{topic}``; the payload is the notification it
sends by HTTP (reference/platforms.md sections 4.3 and 4.4). They are fetched like the values of a device: a durable
session is taken on a timer, each message goes into the inbox, and only then it is acknowledged.

What if the process dies here? Before the inbox has a message, the broker sends it again. After that, too, and the inbox
knows it by what makes a notification the same one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from shared import json_text
from shared.clock import Clock
from shared.collection.backoff import pause_seconds
from shared.connectors.mqtt_opening import take_queue
from shared.connectors.mqtt_plan import MqttPlan, plan
from shared.connectors.profiles import profiles
from shared.errors import DeviceAuthenticationError, DeviceError, FieldProblem, InvalidInput, OvenbridgeError
from shared.inbox.service import Accepted
from shared.inbox.source import HookSource
from shared.outgoing.targets import TargetPolicy
from shared.platforms.force_bridge.kind import FETCHED
from shared.platforms.force_bridge.received import same_notification

if TYPE_CHECKING:
    from shared.connectors.mqtt_session import Arrival
    from shared.inbox.model import Verdict

__all__ = ["LanNotifications"]

log = logging.getLogger("ovenbridge.force_bridge")

ROOT = "external"
EVERY_SECONDS = 10
"""The timer's, for the back-off."""
KNOWN_FOR = timedelta(seconds=30)
"""So long the list of sources is believed; credentials longer."""
CREDENTIALS_FOR = timedelta(minutes=10)


@dataclass(slots=True)
class _Pause:
    failures: int
    until: datetime
    created: datetime
    """Of the source: one that was made anew is tried at once."""


class BrokerSources(Protocol):
    """Whose brokers are asked: the hub's ``HookSources``, or those that are assigned to a relay."""

    async def of_kind(self, kind: str) -> Sequence[HookSource]: ...

    async def broker_credentials(self, source: HookSource) -> Mapping[str, str]: ...

    async def note_broker(self, source: HookSource, error: str | None, *, used: bool) -> None: ...


class Keeps(Protocol):
    """Where messages go: the hub's ``Inbox``, or a relay's disk on the way there. Durable when it returns."""

    async def accept(
        self,
        source: str,
        raw: bytes,
        headers: Mapping[str, str],
        *,
        dedupe_key: str | None,
        verdict: Verdict,
        event: str | None = None,
        equipment_id: str | None = None,
    ) -> Accepted: ...


class LanNotifications:
    """Fetches what waits at the brokers of all sources of this kind that come in where it runs."""

    def __init__(
        self,
        sources: BrokerSources,
        inbox: Keeps,
        targets: TargetPolicy,
        clock: Clock,
        *,
        known_for: timedelta = KNOWN_FOR,
    ) -> None:
        """``known_for``: how long the list of sources is believed."""
        self._known_for = known_for
        self._sources = sources
        self._inbox = inbox
        self._targets = targets
        self._clock = clock
        self._known: tuple[datetime, Sequence[HookSource]] | None = None
        self._credentials: dict[tuple[str, str], tuple[datetime, Mapping[str, str]]] = {}
        self._pauses: dict[str, _Pause] = {}

    def check(
        self,
        source_id: str,
        broker: Mapping[str, Any],
        credentials: Mapping[str, str],
        targets: TargetPolicy | None = None,
    ) -> None:
        """Raise ``InvalidInput`` naming ``broker.…`` for what cannot work. Nothing is sent. ``targets``: the policy
        where it is fetched, if that is not here."""
        try:
            self._plan(source_id, broker, credentials, targets)
        except InvalidInput as err:
            raise _in_words(err) from None

    async def fetch(self) -> int:
        """Take every queue; how many messages. A source that fails is left alone for a while, the others go on.

        Raises:
            Unavailable: our own store or vault is away. The messages wait.
        """
        due = [source for source in await self._open_sources() if self._is_due(source)]
        outcomes = await asyncio.gather(*(self._fetch(source) for source in due), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return sum(outcome for outcome in outcomes if isinstance(outcome, int))

    def _is_due(self, source: HookSource) -> bool:
        pause = self._pauses.get(source.id)
        return pause is None or pause.until <= self._clock.now() or pause.created != source.created_at

    async def _fetch(self, source: HookSource) -> int:
        async def keep(arrivals: Sequence[Arrival]) -> None:
            for arrival in arrivals:
                await self._accept(source, arrival)

        try:
            worked_out = self._plan(source.id, source.broker or {}, await self._credentials_of(source))
            count = await take_queue(worked_out, self._targets, keep)
        except (DeviceError, InvalidInput) as err:
            await self._failed(source, err)
            return 0
        self._pauses.pop(source.id, None)
        await self._sources.note_broker(source, None, used=count > 0)
        return count

    async def _accept(self, source: HookSource, arrival: Arrival) -> None:
        if not arrival.payload.strip():
            return  # a retained message was removed
        key, event = same_notification(arrival.payload)
        await self._inbox.accept(
            source.id,
            arrival.payload,
            {"mqtt-topic": arrival.topic},
            dedupe_key=key,
            verdict="unsigned",
            event=event,
            equipment_id=source.equipment_id,
        )

    async def _open_sources(self) -> list[HookSource]:
        now = self._clock.now()
        if self._known is None or now - self._known[0] >= self._known_for:
            self._known = (now, await self._sources.of_kind(FETCHED))
        return [source for source in self._known[1] if source.is_open(now) and source.relay_id is None]

    async def _credentials_of(self, source: HookSource) -> Mapping[str, str]:
        if source.broker_ref is None:
            return {}
        now = self._clock.now()
        # By the address, too: on a relay a name is looked up for one address, and holds for no other.
        key = (source.broker_ref, json_text.dump([source.broker]).decode())
        known = self._credentials.get(key)
        if known is None or now - known[0] >= CREDENTIALS_FOR:
            known = (now, await self._sources.broker_credentials(source))
            self._credentials[key] = known
        return known[1]

    async def _failed(self, source: HookSource, err: OvenbridgeError) -> None:
        now = self._clock.now()
        before = self._pauses.get(source.id)
        failures = 1 if before is None else before.failures + 1
        code = DeviceAuthenticationError.code if isinstance(err, DeviceAuthenticationError) else None
        seconds = pause_seconds(source.id, now, failures=failures, interval_seconds=EVERY_SECONDS, error_code=code)
        self._pauses[source.id] = _Pause(failures, now + timedelta(seconds=seconds), source.created_at)
        if source.broker_ref is not None:
            for key in [key for key in self._credentials if key[0] == source.broker_ref]:
                del self._credentials[key]
        log.warning("The notifications of %s could not be fetched: %s", source.id, err.detail)
        await self._sources.note_broker(source, err.detail, used=False)

    def _plan(
        self,
        source_id: str,
        broker: Mapping[str, Any],
        credentials: Mapping[str, str],
        targets: TargetPolicy | None = None,
    ) -> MqttPlan:
        not_options = ("endpoint", "port", "relay_credential_ref")
        options = {key: value for key, value in broker.items() if key not in not_options}
        config = {
            "endpoint": broker.get("endpoint"),
            "port": broker.get("port"),
            "credentials": dict(credentials),
            "additional_config": {"path": f"{ROOT}/#", **options},
        }
        worked_out = plan(config, profiles()["mqtt"], f"hook-{source_id}", targets or self._targets)
        for topic in worked_out.filters:
            if topic.split("/")[0] != ROOT:
                raise InvalidInput(
                    f"additional_config.path: notifications come under {ROOT}/..., such as {ROOT}/bakery/#.",
                    field="additional_config.path",
                )
        return worked_out


def _in_words(err: InvalidInput) -> InvalidInput:
    def ours(text: str) -> str:
        for prefix in ("additional_config.", "credentials."):
            text = text.replace(prefix, "broker.")
        return text

    problems = [
        FieldProblem(field if field.startswith("broker.") else f"broker.{field}", ours(problem.problem))
        for problem in err.problems
        for field in (ours(problem.field),)
    ]
    return type(err)(ours(err.detail), problems=problems)
