"""What the FORCE Bridge surface answers: a callback, a page of them, an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.callbacks.model import Callback
from shared.clock import iso
from shared.platforms.force_bridge.links import callback_link, page_links

__all__ = ["callback_answer", "error_code", "page_answer"]


def callback_answer(callback: Callback, base_url: str) -> dict[str, Any]:
    """A registration. The retry count stands under both of its spellings."""
    properties: dict[str, Any] = {
        "id": callback.id,
        "objectFilter": [{"name": "id", "value": value} for value in callback.object_filter],
        "eventType": callback.event_type,
        "eventName": callback.event_name,
        "url": callback.url,
        "creationDate": iso(callback.created_at),
        "maxRedeliveryAttempts": callback.max_retries,
        "maxRedeliverAttempts": callback.max_retries,
        "maxUnconfirmedMessages": callback.max_unconfirmed,
    }
    if callback.deliver_via is not None:
        properties["deliverVia"] = callback.deliver_via
    if callback.last_triggered_at is not None:
        properties["lastTriggeredDate"] = iso(callback.last_triggered_at)
    if callback.last_successful_at is not None:
        properties["lastSuccessfulDate"] = iso(callback.last_successful_at)
    return {"properties": properties, "_links": {"self": callback_link(base_url, callback.id)}}


def page_answer(callbacks: Sequence[Callback], base_url: str, offset: int, limit: int, total: int) -> dict[str, Any]:
    """A page of registrations."""
    return {
        "pagination": {
            "offset": offset,
            "total": total,
            "count": len(callbacks),
            "limit": limit,
            # Of lists that are paged by time; this one is paged by offset.
            "firstIdentifier": None,
            "lastIdentifier": None,
        },
        "_embedded": {"callbacks": [callback_answer(callback, base_url) for callback in callbacks]},
        "_links": page_links(base_url, offset, limit, total),
    }


def error_code(error: type[Exception]) -> str:
    """``INVALID_INPUT`` for ``InvalidInput``."""
    name = error.__name__
    return "".join(f"_{c}" if c.isupper() and i else c for i, c in enumerate(name)).upper()
