"""Links of the FORCE Bridge surface. Clients of all prefixes are led to the one that servers of FORCE Bridge use."""

from __future__ import annotations

from typing import Any

__all__ = ["BASE", "callback_link", "page_links"]

BASE = "/ffwebservices/api/v2"


def _link(href: str) -> dict[str, Any]:
    return {"method": "GET", "embeddable": True, "href": href}


def callback_link(base_url: str, callback_id: str) -> dict[str, Any]:
    """To one callback."""
    return _link(f"{base_url}{BASE}/callbacks/{callback_id}")


def page_links(base_url: str, offset: int, limit: int, total: int) -> dict[str, Any]:
    """Around a page of callbacks: self, first, last, and next and prev where there are such."""

    def page(start: int) -> dict[str, Any]:
        return _link(f"{base_url}{BASE}/callbacks?limit={limit}&offset={start}")

    links = {"self": page(offset), "first": page(0), "last": page(max(0, (total - 1) // limit * limit))}
    if offset + limit < total:
        links["next"] = page(offset + limit)
    if offset > 0:
        links["prev"] = page(max(0, offset - limit))
    return links
