"""External requests that a relay answers on site, from its own last readings: with the hub away, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from shared.clock import Clock
from shared.errors import NotFound, Unavailable
from shared.platforms.operations1.acting import OnSite
from shared.platforms.operations1.machine_told import MachinesTold
from shared.platforms.operations1.profile import RequestProfile
from shared.platforms.operations1.requests import LatestValues, Reply, consider

__all__ = ["LocalRequests"]

Profiles = Callable[[str], Mapping[str, Any] | None]
"""A profile by name, as the hub stores it."""


class LocalRequests:
    """Answers like the hub's ``ExternalRequests``; nothing is kept."""

    def __init__(self, profiles: Profiles, readings: LatestValues, clock: Clock) -> None:
        self._profiles = profiles
        self._readings = readings
        self._clock = clock

    async def answer(self, profile_id: str, raw: bytes) -> Reply:
        """Answer one request.

        Raises:
            NotFound: this relay has no such profile.
            InvalidInput, NoUsableValue: as the hub.
        """
        given = self._profiles(profile_id)
        if given is None:
            raise NotFound(
                "This relay has no request profile of this name. It answers profiles that ask for machines it reads; "
                "they come from the hub with the assignments."
            )
        try:
            profile = RequestProfile.model_validate(given)
        except ValidationError as err:
            raise Unavailable(
                f"The request profile {profile_id} is of another version than this relay: update the relay."
            ) from err
        here = OnSite(MachinesTold(self._readings, self._clock))
        considered = await consider(profile_id, profile, raw, self._readings, self._clock, here, "a page on site")
        return considered.given()
