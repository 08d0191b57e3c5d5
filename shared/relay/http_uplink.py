"""The hub over HTTPS, out of the plant through port 443: what every relay has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from shared.errors import InvalidInput, PayloadTooLarge
from shared.json_text import load_foreign
from shared.outgoing.answer import OutgoingAnswer
from shared.outgoing.failures import OutgoingError
from shared.outgoing.http import OutgoingHttp
from shared.relay.messages import (
    MAX_INBOUND_PACKED,
    Assignments,
    Command,
    CommandAnswer,
    Commands,
    Heartbeat,
    InboundBatch,
    InboundTaken,
    pack,
    unpack,
)
from shared.relay.uplink import HubAway, HubRefused, HubShut

__all__ = ["HttpUplink"]

Message = TypeVar("Message", Assignments, Commands, InboundTaken)

TIMEOUT_SECONDS = 15.0
SEND_SECONDS = 30.0
"""200 KB over a plant's line may take a while."""
MAX_WAIT_SECONDS = 20
MAX_ASSIGNMENTS_BYTES = 8 * 1024 * 1024
MAX_COMMANDS_BYTES = 4 * 1024 * 1024
LONGEST_RETRY_AFTER = 300.0

_REFUSED = frozenset((400, 411, 413, 415, 422))
_SHUT = frozenset((401, 403, 404))


class HttpUplink:
    """Implements :class:`shared.relay.uplink.Uplink` over the hub's routes ``/api/v1/relays/{id}/...``."""

    def __init__(self, http: OutgoingHttp, *, hub_url: str, relay_id: str, token: str) -> None:
        """Args:
        http: its policy must let the hub's address through; TLS certificates are always verified.
        hub_url: e.g. ``https://hub.example.com``.
        relay_id: as the hub registered it.
        token: the relay's own.
        """
        self._http = http
        self._hub = hub_url.rstrip("/")
        self._base = f"{self._hub}/api/v1/relays/{relay_id}"
        self.hub_date: str | None = None
        """The hub's time at its last answer, as HTTP writes it; ``None``: it does not say."""
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    async def assignments(self, etag: str | None) -> Assignments | None:
        """See the port."""
        headers = {} if etag is None else {"If-None-Match": f'"{etag}"'}
        answer = await self._ask(
            "GET", "/assignments", TIMEOUT_SECONDS, headers=headers, most=MAX_ASSIGNMENTS_BYTES, also=(304,)
        )
        return None if answer.status == 304 else self._understood(Assignments, answer)

    async def send(self, batch: bytes, message_id: str) -> None:
        """See the port. The hub makes the message's id of the batch itself; ours is for its logs."""
        await self._ask("POST", "/readings", SEND_SECONDS, content=batch, headers={"X-Message-Id": message_id})

    async def heartbeat(self, beat: Heartbeat) -> None:
        """See the port."""
        await self._ask("POST", "/heartbeat", TIMEOUT_SECONDS, content=pack(beat))

    async def commands(self, wait_seconds: float) -> Sequence[Command]:
        """See the port."""
        wait = max(0, min(MAX_WAIT_SECONDS, math.floor(wait_seconds)))
        answer = await self._ask("GET", f"/commands?wait={wait}", wait + TIMEOUT_SECONDS, most=MAX_COMMANDS_BYTES)
        if answer.status == 204:
            return ()
        return self._understood(Commands, answer).commands

    async def answer(self, answer: CommandAnswer) -> None:
        """See the port."""
        await self._ask("POST", f"/commands/{answer.id}/answer", TIMEOUT_SECONDS, content=pack(answer))

    async def inbound(self, batch: InboundBatch) -> InboundTaken:
        """See the port."""
        answer = await self._ask("POST", "/inbound", SEND_SECONDS, content=pack(batch, most=MAX_INBOUND_PACKED))
        return self._understood(InboundTaken, answer)

    async def close(self) -> None:
        """See the port."""
        await self._http.close()

    async def _ask(
        self,
        method: str,
        path: str,
        seconds: float,
        *,
        content: bytes = b"",
        headers: dict[str, str] | None = None,
        most: int = 65_536,
        also: tuple[int, ...] = (),
    ) -> OutgoingAnswer:
        typed = {"Content-Type": "application/json"} if content else {}
        try:
            answer = await self._http.send(
                method,
                self._base + path,
                headers={**self._headers, **typed, **(headers or {})},
                content=content,
                timeout_seconds=seconds,
                max_answer_bytes=most,
            )
        except OutgoingError as error:
            raise HubAway(f"The hub {self._hub} was not reached: {error.detail}") from error
        self.hub_date = answer.headers.get("Date")
        if answer.status in also or 200 <= answer.status < 300:
            return answer
        raise self._said_no(answer)

    def _said_no(self, answer: OutgoingAnswer) -> HubAway | HubShut | HubRefused:
        said = f"The hub answered {answer.status}: {_detail(answer)}"
        if answer.status in _REFUSED:
            return HubRefused(said)
        if answer.status in _SHUT:
            return HubShut(f"{said} Check HUB_URL, RELAY_ID and RELAY_TOKEN.")
        return HubAway(said, retry_after=_retry_after(answer))

    def _understood(self, model: type[Message], answer: OutgoingAnswer) -> Message:
        if answer.truncated:
            raise HubAway(f"The hub's answer is larger than a relay takes ({len(answer.body):,} bytes).")
        try:
            return unpack(model, answer.body)
        except (InvalidInput, PayloadTooLarge) as error:
            raise HubAway(f"The hub's answer cannot be read: {error.detail} Have both the same version?") from error


def _detail(answer: OutgoingAnswer) -> str:
    try:
        said = load_foreign(answer.body)
    except InvalidInput:
        return "no reason given."
    detail = said.get("detail") if isinstance(said, dict) else None
    return detail[:500] if isinstance(detail, str) else "no reason given."


def _retry_after(answer: OutgoingAnswer) -> float:
    try:
        seconds = float(answer.headers.get("Retry-After", "0"))
    except ValueError:  # a date: then our own back-off serves
        return 0.0
    return min(seconds, LONGEST_RETRY_AFTER) if seconds > 0 else 0.0
