"""The dialect ``flat``: the fields that the connector declares for a trigger, no more and no fewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared import json_text
from shared.callbacks.attempt import Notification
from shared.callbacks.model import Callback
from shared.platforms.power_automate.triggers import ANYTHING, TRIGGERS

__all__ = ["DIALECT", "render"]

DIALECT = "flat"


def render(callback: Callback, event: Mapping[str, Any], base_url: str) -> Notification:
    """Write the notification. ``event`` is the event's stored form."""
    trigger = TRIGGERS.get(callback.about.get("trigger", ""), ANYTHING)
    return Notification(json_text.dump(trigger.body(event)), {})
