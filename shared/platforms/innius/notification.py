"""The dialect ``innius``: the article's body, its event in a header, and a signature over the very bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from shared import json_text
from shared.callbacks.attempt import Notification
from shared.callbacks.model import Callback
from shared.platforms.innius.keys import SigningKeys
from shared.platforms.innius.signature import sign
from shared.platforms.innius.webhooks import trn_for
from shared.platforms.innius.words import EVENT_HEADER, SIGNATURE_HEADER

__all__ = ["SignedNotifications", "body_for"]

REMEMBERED = 256
"""The same body goes to several receivers: signed once."""


class SignedNotifications:
    """Writes and signs."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys
        self._signed: OrderedDict[tuple[str, bytes], str] = OrderedDict()

    async def render(self, callback: Callback, event: Mapping[str, Any], base_url: str) -> Notification:
        """``event`` is the event's stored form. Raises ``Unavailable``: the key cannot be read now."""
        body = json_text.dump(body_for(callback, event))
        name, key = await self._keys.signing()
        signature = self._signed.get((name, body))
        if signature is None:
            signature = self._signed[name, body] = sign(key, body)
            if len(self._signed) > REMEMBERED:
                self._signed.popitem(last=False)
        return Notification(body, {EVENT_HEADER: event.get("name") or event["type"], SIGNATURE_HEADER: signature})


def body_for(callback: Callback, event: Mapping[str, Any]) -> dict[str, Any]:
    """The event's data with the machine by the name that this receiver has for it."""
    machine = event.get("objectId")
    data: dict[str, Any] = event["data"]
    if "machinetrn" not in data:
        return data
    return {**data, "machinetrn": "" if machine is None else trn_for(callback, machine)}
