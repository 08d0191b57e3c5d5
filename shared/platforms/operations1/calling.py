"""Telling another system, such as a pick-by-light: tried several times within a worker's patience, done once.

The same ``Idempotency-Key`` stands in every try of one press, and of every press of the same step: a receiver that
respects it is safe also where an answer was lost.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from shared import json_text
from shared.audit.log import AuditLog
from shared.clock import Clock
from shared.connectors.credentials import Credentials
from shared.equipment.shared_credentials import SHARED, SharedCredentials
from shared.errors import InvalidInput, NotFound, OvenbridgeError
from shared.outgoing.http import OutgoingAnswer, OutgoingError, OutgoingHttp
from shared.platforms.operations1.actions import Call
from shared.platforms.operations1.judgement import TagAnswer
from shared.platforms.operations1.runs import STARTING_TAKES, Runs, answer_of, begun_at, run_id_of
from shared.platforms.operations1.starting import Asking
from shared.platforms.operations1.templates import fill
from shared.secrets import Vault
from shared.signals import Quality, Value
from shared.storage import Document, Stored

if TYPE_CHECKING:
    from shared.outgoing.targets import TargetPolicy

__all__ = ["Callers"]

MAX_ANSWER_BYTES = 65_536
ALL_TRIES_SECONDS = 15.0
PAUSES = (0.5, 1.0, 2.0, 4.0)
LOOKS_EVERY = 0.25
MAX_TEXT = 1_000
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Callers:
    """Calls other systems."""

    def __init__(
        self,
        runs: Runs,
        http: OutgoingHttp,
        vault: Vault,
        credentials: SharedCredentials,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._runs = runs
        self._http = http
        self._vault = vault
        self._credentials = credentials
        self._audit = audit
        self._clock = clock

    @property
    def targets(self) -> TargetPolicy:
        """Which addresses are called."""
        return self._http.targets

    async def check(self, action: Call, *, field: str) -> None:
        """Raises ``InvalidInput``, ``UnsafeTarget``: it can never be called; names the field."""
        target = await self.targets.check_resolves(action.url, field=f"{field}.url")
        if action.credentials is not None:
            await self._credentials.for_address(action.credentials, target.origin, field=f"{field}.credentials")

    async def call(self, tag: str, action: Call, asking: Asking, entered: Mapping[str, Value]) -> TagAnswer:
        """Call it, once for a report's step."""
        if asking.report_id is None:
            reason = "This request names no report (progressId), so nobody was called."
            return TagAnswer(None, "", Quality.BAD, None, reason)

        def may_again(run: Document) -> bool:
            if run["status"] in ("failed", "unknown"):
                return True  # the receiver knows it by its key
            pause = action.again_after_seconds
            return pause is not None and self._clock.now() - begun_at(run) >= timedelta(seconds=pause)

        said = {
            "profile": asking.profile_id,
            "tag": tag,
            "report": asking.report_id,
            "order": asking.order_id,
            "step": asking.step_id,
            "action": {"do": "call"},
        }
        run_id = run_id_of(asking.profile_id, tag, asking.report_id, asking.step_id)
        key = await self._key(run_id)
        run, ours = await self._runs.begin(run_id, {**said, "key": key}, may_again)
        if ours:
            run = await self._tell(tag, action, asking, entered, run, f"{run_id}-{key}")
        return await self._settled(run)

    # Inside ------------------------------------------------------------------------------------------------------

    async def _key(self, run_id: str) -> int:
        """What failed, or may have arrived, is told again under its own key; a new happening gets a new one."""
        try:
            known = (await self._runs.read(run_id)).document
        except NotFound:
            return 1
        key: int = known.get("key", 1)
        return key if known["status"] in ("failed", "unknown", "starting") else key + 1

    async def _tell(
        self, tag: str, action: Call, asking: Asking, entered: Mapping[str, Value], run: Stored, key: str
    ) -> Stored:
        words: dict[str, Any] = {
            "report_id": asking.report_id,
            "order_id": asking.order_id,
            "step_id": asking.step_id,
            "profile": asking.profile_id,
            "tag": tag,
        }
        body = (
            fill(action.body, words | {f"entered.{name}": value for name, value in entered.items()})
            if action.body is not None
            else {**words, "entered": dict(entered)}
        )
        try:
            headers = {**action.headers, **await self._secrets(action)}
            headers |= {"Content-Type": "application/json", "Idempotency-Key": key}
            async with self._audit.recorded(
                f"profile:{asking.profile_id}",
                actor=asking.actor,
                action="request.called",
                target=self.targets.check_url(action.url, field="url").display,
                after={"tag": tag, "report": asking.report_id, "idempotency_key": key},
            ):
                answer = await self._tries(action, headers, json_text.dump(body))
        except OvenbridgeError as error:
            return await self._runs.note(run, status="failed", reason=error.detail)
        try:
            value = _result(action, answer)
        except InvalidInput as error:
            # It was told; only what it answered is of no use.
            return await self._runs.note(run, status="failed", reason=error.detail)
        return await self._runs.note(run, status="done", value=value, reason=None)

    async def _tries(self, action: Call, headers: Mapping[str, str], content: bytes) -> OutgoingAnswer:
        last = asyncio.get_running_loop().time() + ALL_TRIES_SECONDS
        for number in range(action.attempts):
            more = number + 1 < action.attempts
            pause = PAUSES[min(number, len(PAUSES) - 1)]
            try:
                answer = await self._http.send(
                    action.method,
                    action.url,
                    headers=headers,
                    content=content,
                    timeout_seconds=action.timeout_seconds,
                    max_answer_bytes=MAX_ANSWER_BYTES,
                    once=True,
                )
            except OutgoingError as error:
                if not more or error.kind == "unsafe" or _too_late(last, pause + action.timeout_seconds):
                    raise InvalidInput(f"It was not told, as far as we know. {error.detail}") from error
            else:
                if answer.status not in AGAIN:
                    return answer
                pause = max(pause, _asked_pause(answer))
                if not more or _too_late(last, pause + action.timeout_seconds):
                    return answer
            await asyncio.sleep(pause)
        raise InvalidInput("It was not told.")  # pragma: no cover - attempts is at least one

    async def _secrets(self, action: Call) -> dict[str, str]:
        if action.credentials is None:
            return {}
        origin = self.targets.check_url(action.url, field="url").origin
        await self._credentials.for_address(action.credentials, origin, field="credentials")
        try:
            secret = await self._vault.get(SHARED + action.credentials)
            known = Credentials.model_validate(json_text.load(secret.value))
        except (NotFound, ValidationError):
            known = None
        if known is None or known.client_id is not None:
            raise InvalidInput(
                f"The credential set {action.credentials} cannot be used for a call: it may hold api_key, "
                "api_key_header, token, username and password."
            )
        return known.headers()

    async def _settled(self, run: Stored) -> TagAnswer:
        """Somebody else may be at it: wait as long as they may take."""
        last = asyncio.get_running_loop().time() + ALL_TRIES_SECONDS
        while run.document["status"] == "starting" and asyncio.get_running_loop().time() < last:
            if self._clock.now() - begun_at(run.document) > STARTING_TAKES:
                break
            await asyncio.sleep(LOOKS_EVERY)
            run = await self._runs.read(run.document["id"].removeprefix("run:"))
        return answer_of(run.document, self._clock.now())


def _too_late(last: float, needed: float) -> bool:
    return asyncio.get_running_loop().time() + needed > last


def _asked_pause(answer: OutgoingAnswer) -> float:
    said = next((v for k, v in answer.headers.items() if k.lower() == "retry-after"), "")
    return float(said) if said.isascii() and said.isdecimal() and len(said) < 6 else 0.0


def _result(action: Call, answer: OutgoingAnswer) -> Value:
    if not 200 <= answer.status < 300:
        said = "a redirect, which is never followed: write the final address" if 300 <= answer.status < 400 else "no"
        if answer.status in (401, 403):
            said = "no: check the credential set"
        raise InvalidInput(f"The receiver answered {answer.status}, {said}.")
    if action.result is None:
        return "sent"
    try:
        found = json_text.load_foreign(answer.body)
    except InvalidInput as err:
        raise InvalidInput("The receiver was told, but answered no JSON.") from err
    for part in action.result[1:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and re.fullmatch("[0-9]{1,6}", name) and int(name) < len(found):
            found = found[int(name)]
        else:
            found = None
    if not isinstance(found, bool | int | float | str):
        raise InvalidInput(f"The receiver was told, but its answer has no value at {action.result}.")
    return found[:MAX_TEXT] if isinstance(found, str) else found
