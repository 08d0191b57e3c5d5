"""A secret on a relay, and the machines it is for.

Whoever may change machines at the hub names secrets of the relay, and says at which address a machine is. So that
nobody has a password sent to a listener of theirs, a secret says itself where it may go:
``{"for": ["10.0.0.5:4840"], "credentials": {...}}``. That is written on site, by who has the secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared import json_text
from shared.equipment.addresses import address_of
from shared.errors import InvalidInput
from shared.json_text import load_foreign
from shared.outgoing.urls import split_url

__all__ = ["KeptSecret", "Place", "credentials_of", "kept_secret", "place_of", "written"]

MOST_PLACES = 50


@dataclass(frozen=True, slots=True)
class Place:
    """A host, or one port of it."""

    host: str
    port: int | None = None
    """``None``: any."""

    def __str__(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port is None else f"{shown}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """``10.0.0.5``, ``combi-1.plant.local:4840``, ``[fd00::5]:4840``. Raises ``InvalidInput``."""
        try:
            parts = split_url(f"https://{text}", field="for", schemes=("https",))
        except InvalidInput:
            parts = None
        if parts is None or parts.rest:
            raise InvalidInput(
                f"A secret is for a host, or one port of it, such as 10.0.0.5 or combi-1.plant.local:4840, not for "
                f"{text[:100]!r}.",
                field="for",
            )
        return cls(parts.host, parts.port if parts.port_written else None)

    def covers(self, other: Place) -> bool:
        """Is the other this one, or a port of it?"""
        return self.host == other.host and self.port in (None, other.port)


@dataclass(frozen=True, slots=True)
class KeptSecret:
    """A credential set as it is kept on site."""

    credentials: Mapping[str, Any] = field(repr=False)
    places: tuple[Place, ...] | None
    """Where it may be sent; ``None``: it does not say."""


def kept_secret(text: str) -> KeptSecret:
    """Read one. Raises ``InvalidInput``, without the text."""
    found = _object(text)
    if "for" not in found:
        return KeptSecret(found, None)
    said = found["for"]
    named: Sequence[Any] = [said] if isinstance(said, str) else said if isinstance(said, list) else ()
    credentials = found.get("credentials")
    if set(found) != {"for", "credentials"} or not isinstance(credentials, dict) or not credentials:
        raise InvalidInput('A secret with `for` is {"for": ["10.0.0.5:4840"], "credentials": {...}}, and nothing else.')
    if not named or len(named) > MOST_PLACES or not all(isinstance(one, str) for one in named):
        raise InvalidInput(f'`for` is a list of 1 to {MOST_PLACES} hosts, such as ["10.0.0.5:4840"].')
    return KeptSecret(credentials, tuple(Place.parse(one) for one in named))


def credentials_of(text: str) -> dict[str, Any]:
    """A bare credential set from its JSON text. Raises ``InvalidInput``, without the text."""
    found = _object(text)
    if "for" in found:
        raise InvalidInput("Give the credentials alone, and where they may go with --for.")
    return found


def written(secret: KeptSecret) -> str:
    """As it is kept."""
    places = [str(place) for place in secret.places or ()]
    return json_text.dump({"for": places, "credentials": dict(secret.credentials)}).decode()


def place_of(protocol: str, endpoint: str | None, port: int | None) -> Place:
    """Where a machine is. Raises ``InvalidInput``: it has no address that could be compared."""
    if endpoint is None:
        raise InvalidInput("endpoint is missing: without an address no credentials are used.", field="endpoint")
    address = address_of(protocol, endpoint, port, field="endpoint")
    parts = split_url(address.url, field="endpoint", schemes=address.schemes)
    return Place(parts.host, parts.port)


def _object(text: str) -> dict[str, Any]:
    try:
        found = load_foreign(text.encode())
    except InvalidInput:
        found = None
    if not isinstance(found, dict) or not found:
        raise InvalidInput('Credentials are a JSON object such as {"username": "...", "password": "..."}.')
    return found
