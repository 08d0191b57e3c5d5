"""Bringing a notification to a receiver on this plant's network, with the hub's words and this relay's rules.

Which addresses may be connected to is this relay's own setting; metadata and link-local ones never. The credentials in
the command are used once and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from shared.callbacks.carrying import Carrier, Parcel
from shared.errors import InvalidInput
from shared.observability import redact
from shared.relay.delivery_words import Deliver, Delivered

__all__ = ["SiteDelivery"]

SHOWN = 2_000
"""Bytes of an answer that travel to the hub."""
ROOM = 0.98
"""Of the time there is, so that the receiver's silence is said in its own words and not by the command's end."""


class SiteDelivery:
    """Delivers from here."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    async def deliver(self, body: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """One attempt; the body of the answer.

        Args:
            body: of the command.
            seconds: until it expires. What is not done by then is broken off.

        Raises:
            InvalidInput: the command cannot be read.
            NotCarried: there was no answer.
        """
        try:
            order = Deliver.model_validate(dict(body))
        except ValidationError as err:
            raise InvalidInput("The order cannot be read. Have hub and relay one version?", field="body") from err
        timeout = min(order.timeout_seconds, seconds * ROOM)
        headers = {**order.headers, **order.secret_headers}
        reply = await self._carrier.carry(
            Parcel(order.url, headers, order.content.encode(), timeout, order.ca_certificate)
        )
        answer = redact(reply.body[:SHOWN].decode("utf-8", "replace"))
        return Delivered(status=reply.status, ms=reply.ms, answer=answer[:SHOWN]).model_dump(mode="json")
