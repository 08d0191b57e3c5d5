"""The developer on a laptop: nobody signs in, because only this machine can reach the address.

A web page in the developer's browser can reach it too. Two things keep it out: the ``Host`` must be a loopback name
(a page of ``evil.example`` whose name was made to resolve to 127.0.0.1 still says ``evil.example``), and an
``Origin``, which a browser sends with everything that could change something, must be a loopback one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from shared.errors import Forbidden, Unauthorized

__all__ = ["refuse_strangers"]

_PASSED_ON = ("x-forwarded-for", "forwarded", "x-forwarded-host")


def refuse_strangers(headers: Mapping[str, str]) -> None:
    """Is this call made on this machine, for this machine?

    Raises:
        Forbidden: a browser page from elsewhere, or a name that is not this machine's.
        Unauthorized: a proxy or tunnel passed it on, so anybody may have sent it.
    """
    host = headers.get("host")
    # Every browser and every HTTP/1.1 client sends a Host; without one it is no page's doing.
    if host and not _is_loopback_authority(host):
        raise Forbidden(
            "This is a development host: it answers calls to localhost or 127.0.0.1 only. To be reached by another "
            "name, start it with ACCESS_MODE=tokens and send an API token."
        )
    origin = headers.get("origin")
    if origin is not None and not _is_loopback_origin(origin):
        raise Forbidden(
            "A web page from elsewhere may not use this development host. Start it with ACCESS_MODE=tokens and send an "
            "API token."
        )
    if any(name in headers for name in _PASSED_ON):
        raise Unauthorized(
            "A proxy or tunnel passed this call on, and this development host trusts local callers only. Start it with "
            "ACCESS_MODE=tokens and send `Authorization: Bearer <API token>`."
        )


@lru_cache(maxsize=64)
def _is_loopback_origin(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and _is_loopback_name(parts.hostname or "")
    except ValueError:
        return False


@lru_cache(maxsize=64)
def _is_loopback_authority(host: str) -> bool:
    try:
        return _is_loopback_name(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _is_loopback_name(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
