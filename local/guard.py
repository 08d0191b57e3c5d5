"""Keeps web pages away from a host that takes every caller for the developer.

With ``ACCESS_MODE=developer`` the loopback address is the only fence, and a browser on this machine stands inside it:
any web page could send requests here, or have its own name resolve to 127.0.0.1 (DNS rebinding), and a tunnel would
let the whole internet in. So in that mode the host answers to loopback names only, and not to pages of other origins
unless CORS names them. The Functions host has no such rule.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from local.cors import Cors

__all__ = ["DeveloperGuard", "is_loopback_name"]


def is_loopback_name(name: str) -> bool:
    """``localhost``, ``*.localhost`` or a loopback address, without a port."""
    name = name.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class DeveloperGuard:
    """Refuses what does not come from this machine's own programs."""

    cors: Cors
    _good: str = ""
    """The last ``Host`` that was fine, because nearly all are the same."""

    def refuses(self, headers: Mapping[str, str]) -> str | None:
        """A sentence about why not, or ``None``."""
        host = headers.get("Host", "")
        if host != self._good:
            if not is_loopback_name(_without_port(host)):
                return (
                    "Every caller is the developer here, so this host answers to localhost only. To be called by "
                    "another name set ACCESS_MODE=tokens and use API tokens."
                )
            self._good = host
        origin = headers.get("Origin")
        if origin is None or origin == f"http://{host}" or self.cors.allows(origin):
            return None
        if is_loopback_name(urlsplit(origin).hostname or ""):
            return None
        return "A web page of another origin may not call the developer's host; name it in Host.CORS of the settings."


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0]
    return host.partition(":")[0]
