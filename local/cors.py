"""CORS as the Functions host does it for local settings (``Host.CORS``) and in a container (``CORS_ALLOWED_ORIGINS``).

Any header and any method; a preflight is answered 204 before functions and keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import BrokenSettings

__all__ = ["Cors", "read_cors"]


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages of other origins may call."""

    origins: frozenset[str] = frozenset()
    """``*`` in it: all."""
    credentials: bool = False

    def allows(self, origin: str) -> bool:
        """May a page of this origin call?"""
        return "*" in self.origins or origin.lower() in self.origins

    def fields(self, origin: str) -> dict[str, str]:
        """Header fields for an answer to this origin."""
        if not self.allows(origin):
            return {}
        if "*" in self.origins:
            return {"Access-Control-Allow-Origin": "*"}
        found = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if self.credentials:
            found["Access-Control-Allow-Credentials"] = "true"
        return found

    def preflight(self, origin: str, headers: Mapping[str, str]) -> dict[str, str]:
        """Header fields for the 204 to a preflight."""
        found = self.fields(origin)
        if found:
            found["Access-Control-Allow-Methods"] = headers.get("Access-Control-Request-Method", "GET")
            if asked := headers.get("Access-Control-Request-Headers"):
                found["Access-Control-Allow-Headers"] = asked
        return found


def read_cors(host: Mapping[str, object], settings: Mapping[str, str]) -> Cors:
    """From the ``Host`` section of the settings file, or from the variables of the container host.

    Raises:
        BrokenSettings: ``*`` together with credentials (browsers and ASP.NET refuse that), or no list of origins.
    """
    origins = [o for o in str(host.get("CORS", "")).split(",") if o]
    credentials = host.get("CORSCredentials") is True
    if settings.get("FUNCTIONS_ENABLE_CORS_CONFIGURATION", "").lower() in ("1", "true"):
        origins += _container_origins(settings.get("CORS_ALLOWED_ORIGINS", "[]"))
        credentials = credentials or settings.get("CORS_SUPPORT_CREDENTIALS", "").lower() == "true"
    if credentials and "*" in origins:
        raise BrokenSettings("CORS may not allow every origin (*) together with credentials; name the origins.")
    return Cors(frozenset(o.lower().rstrip("/") for o in origins), credentials)


def _container_origins(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(o, str) for o in found):
        raise BrokenSettings('CORS_ALLOWED_ORIGINS must be a JSON list, e.g. ["https://tablet.example.com"].')
    return found
