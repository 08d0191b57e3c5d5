"""Talking to a REST device: its credentials, one token renewed once, every failure a ``DeviceError``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.connectors.base import Setup
from shared.connectors.device_errors import device_error
from shared.connectors.rest_answers import MAX_ANSWER_BYTES, json_of, refusal
from shared.connectors.rest_plan import RestPlan
from shared.connectors.rest_shared import Page
from shared.outgoing.answer import OutgoingAnswer
from shared.outgoing.failures import OutgoingError

__all__ = ["RestTalk"]


@dataclass(frozen=True, slots=True)
class RestTalk:
    """One device's way out."""

    setup: Setup
    plan: RestPlan

    async def page(self, url: str) -> Page:
        """Ask for one document. Raises ``DeviceError``."""
        begun = self.setup.clock.now()
        answer = await self.answer(url, self.plan.data_path)
        document = json_of(answer, self.plan.where, self.plan.data_path)
        link = _joined(answer, "Link")
        return Page(document, begun, answer.elapsed_ms, len(answer.body), link)

    async def answer(self, url: str, asked: str) -> OutgoingAnswer:
        """One answer of status 2xx; ``asked`` names the path in errors. Raises ``DeviceError``."""
        answer = await self.let_in("GET", url)
        refused = refusal(answer, self.plan.where, asked, self.setup.clock.now())
        if refused is not None:
            raise refused
        return answer

    async def let_in(
        self,
        method: str,
        url: str,
        *,
        content: bytes = b"",
        content_type: str | None = None,
        once: bool = False,
        sending: Callable[[], None] = lambda: None,
    ) -> OutgoingAnswer:
        """Whatever it answers. A token that is refused is fetched anew, once.

        Args:
            method: of HTTP.
            url: vetted, with its query.
            content: the body.
            content_type: of the body.
            once: it is an order: never sent a second time, except where the first was refused for its token.
            sending: called when it leaves.

        Raises:
            DeviceError: there is no answer, or no token.
        """
        headers = dict(self.plan.headers)
        if content_type is not None:
            headers["Content-Type"] = content_type
        oauth = self.plan.oauth
        token: str | None = None
        if oauth is not None:
            token = await self.setup.tokens.token(oauth, self.setup.http)
            headers["Authorization"] = f"Bearer {token}"
        sending()
        answer = await self._send(method, url, headers, content, once=once)
        if answer.status == 401 and oauth is not None:
            token = await self.setup.tokens.token(oauth, self.setup.http, refused=token)
            headers["Authorization"] = f"Bearer {token}"
            answer = await self._send(method, url, headers, content, once=once)
        return answer

    async def _send(
        self, method: str, url: str, headers: dict[str, str], content: bytes, *, once: bool
    ) -> OutgoingAnswer:
        try:
            return await self.setup.http.send(
                method,
                url,
                headers=headers,
                content=content,
                timeout_seconds=self.plan.timeout_seconds,
                max_answer_bytes=MAX_ANSWER_BYTES,
                verify=self.plan.verify,
                ca_pem=self.plan.ca_pem,
                once=once,
            )
        except OutgoingError as err:
            raise device_error(err) from err


def _joined(answer: OutgoingAnswer, name: str) -> str | None:
    """All headers of this name as one (RFC 9110 section 5.3)."""
    if name not in answer.headers:
        return None
    every = getattr(answer.headers, "getall", None)
    return answer.headers[name] if every is None else ", ".join(every(name))
