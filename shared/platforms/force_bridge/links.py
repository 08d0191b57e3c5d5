"""Links of the FORCE Bridge surface. Clients of all prefixes are led to the one that servers of FORCE Bridge use."""

from __future__ import annotations

from typing import Any

__all__ = ["BASE", "callback_link", "notification_link", "page_links"]

BASE = "/ffwebservices/api/v2"


def _link(href: str, title: str | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {"method": "GET"}
    if title is not None:
        said["title"] = title
    return {**said, "embeddable": False, "href": href}


def callback_link(base_url: str, callback_id: str) -> dict[str, Any]:
    """To one callback, in the answers of the API."""
    return _link(f"{base_url}{BASE}/callbacks/{callback_id}")


def notification_link(base_url: str, callback_id: str) -> dict[str, Any]:
    """The same in a notification, where the chapter (3.2.3) has it embeddable."""
    return {**callback_link(base_url, callback_id), "embeddable": True}


def page_links(base_url: str, offset: int, limit: int, total: int) -> dict[str, Any]:
    """Around a page of callbacks: self, first, last, and next and prev where there are such."""

    def page(start: int, title: str) -> dict[str, Any]:
        return _link(f"{base_url}{BASE}/callbacks?offset={start}&limit={limit}", title)

    last = max(0, (total - 1) // limit * limit)
    links = {"self": page(offset, "The current page"), "first": page(0, "First page"), "last": page(last, "Last page")}
    if offset + limit < total:
        links["next"] = page(offset + limit, "Next page")
    if offset > 0:
        links["prev"] = page(max(0, offset - limit), "Previous page")
    return links
