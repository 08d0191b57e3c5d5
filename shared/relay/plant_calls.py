"""Requests to platforms on this plant's network, with the hub's words and this relay's rules.

Which addresses may be connected to is this relay's own setting; metadata and link-local ones never. What is in the
command is used once and kept nowhere, and the answer is sealed before it leaves.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from shared.callbacks.carrying import NotCarried
from shared.errors import InvalidInput
from shared.outgoing.failures import OutgoingError
from shared.outgoing.http import OutgoingHttp
from shared.relay.call_words import Call, Called, seal

__all__ = ["SiteCalls"]

MAX_ANSWER = 2 * 1024 * 1024
MAX_SEALED = 180_000
"""Of what travels to the hub, compressed and sealed."""
ROOM = 0.98
"""Of the time there is, so that a server's silence is said in its own words and not by the command's end."""
KEPT = ("content-type", "retry-after")


class SiteCalls:
    """Calls from here."""

    def __init__(self, http: OutgoingHttp) -> None:
        self._http = http

    async def call(self, body: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """One request; the body of the answer.

        Args:
            body: of the command.
            seconds: until it expires. What is not done by then is broken off.

        Raises:
            InvalidInput: the command cannot be read.
            NotCarried: there was no answer, or one that is too large to travel.
        """
        try:
            order = Call.model_validate(dict(body))
            content = base64.b64decode(order.content, validate=True)
        except (ValidationError, ValueError) as err:
            raise InvalidInput("The request cannot be read. Have hub and relay one version?", field="body") from err
        try:
            answer = await self._http.send(
                order.method,
                order.url,
                headers=order.headers,
                content=content,
                timeout_seconds=min(order.timeout_seconds, seconds * ROOM),
                max_answer_bytes=MAX_ANSWER,
                ca_pem=order.ca_certificate,
                once=order.once,
            )
        except OutgoingError as err:
            raise NotCarried(err.detail, reason=err.kind) from err
        said = Called(
            status=answer.status,
            headers={name: answer.headers[name] for name in KEPT if name in answer.headers},
            content=base64.b64encode(answer.body).decode("ascii"),
            truncated=answer.truncated,
            ms=answer.elapsed_ms,
        )
        sealed = seal(bytes.fromhex(order.answer_key), said.model_dump_json().encode())
        if len(sealed) > MAX_SEALED:
            raise NotCarried("The platform's answer is too large to travel to the hub.", reason="too_large")
        return {"sealed": sealed}
