"""The notification as the chapter has it (3.2.3): properties and a link to the callback, in HAL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared import json_text
from shared.callbacks.attempt import Notification
from shared.callbacks.model import Callback
from shared.platforms.force_bridge.links import notification_link

__all__ = ["render"]


def render(callback: Callback, event: Mapping[str, Any], base_url: str) -> Notification:
    """The dialect ``force``. ``event`` is the event's stored form."""
    properties: dict[str, Any] = {
        "callbackId": callback.id,
        "timestamp": event["ts"],
        "data": event["data"],
    }
    if "objectId" in event:
        properties["objectId"] = event["objectId"]
    properties["objectType"] = event["objectType"]
    properties["eventType"] = event["type"]
    if (name := callback.name_for(event)) is not None:
        properties["eventName"] = name
    body = {"properties": properties, "_links": {"callback": notification_link(base_url, callback.id)}}
    return Notification(json_text.dump(body), {})
