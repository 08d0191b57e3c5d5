"""The dialect ``standard``: the body that Standard Webhooks recommends (type, timestamp, data), with what we know more.

Its headers ``webhook-id`` and ``webhook-timestamp`` come with every notification; the signature from ``signing.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared import json_text
from shared.callbacks.attempt import Notification
from shared.callbacks.model import Callback

__all__ = ["render"]


def render(callback: Callback, event: Mapping[str, Any], base_url: str) -> Notification:
    """Write the notification. ``event`` is the event's stored form; what is not known is null."""
    body = {
        "type": event["type"],
        "timestamp": event["ts"],
        "event_id": event["eventId"],
        "object_type": event["objectType"],
        "object_id": event.get("objectId"),
        "name": callback.name_for(event),
        "severity": event.get("severity"),
        "site": event.get("site"),
        "data": event["data"],
    }
    return Notification(json_text.dump(body), {})
