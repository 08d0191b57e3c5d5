"""Connections of the platform ``operations1``: where its REST API is, and in which version it is spoken to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.clock import Clock, parse_iso
from shared.errors import FieldProblem, InvalidInput, OvenbridgeError

if TYPE_CHECKING:
    from shared.outgoing.targets import TargetPolicy
    from shared.platforms.connections import ConnectionCheck, PlatformConnection, Secrets
    from shared.platforms.operations1.rest import RestClient

__all__ = ["RestOptions", "RestPlatform", "token_end"]

PLATFORM = "operations1"
BASE_URL = "https://api.operations1.app"
ACCEPT_VERSION = "2026-05-18"
"""The newest of the dates that the published examples name."""
SOON = timedelta(days=30)


class RestOptions(BaseModel):
    """The options of a connection."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str = Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9-]{0,62}$", description="The first part of `https://{tenant}.operations1.app`."
    )
    base_url: str = Field(BASE_URL, min_length=8, max_length=300)
    accept_version: str = Field(
        ACCEPT_VERSION,
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="Sent with every request as Accept-Version: the date of the API that your integration was tried "
        "with. `latest` is not taken: it changes by itself.",
    )
    page_size: int = Field(100, ge=10, le=200)
    max_pages: int = Field(50, ge=1, le=500, description="Of one list; what lies behind is left out, and it says so.")
    timeout_seconds: float = Field(15, ge=1, le=60, allow_inf_nan=False)
    lists: Literal["repeated", "commas"] = Field(
        "repeated",
        description="How several values of a filter are written: `a=1&a=2` or `a=1,2`. Unverified.",
    )

    @field_validator("base_url")
    @classmethod
    def _bare(cls, url: str) -> str:
        if "?" in url or "#" in url:
            raise ValueError("write it without a query, such as https://api.operations1.app")
        return url.rstrip("/")

    @property
    def root(self) -> str:
        """Before every path."""
        return f"{self.base_url}/tenants/{self.tenant}"


class RestPlatform:
    """Checks and tries connections; see ``Platform``."""

    def __init__(self, targets: TargetPolicy, rest: RestClient, clock: Clock) -> None:
        self._targets = targets
        self._rest = rest
        self._clock = clock

    async def check(self, options: Mapping[str, Any], credentials: Secrets | None) -> tuple[dict[str, Any], str]:
        """See ``Platform``."""
        try:
            checked = RestOptions.model_validate(dict(options))
        except ValidationError as err:
            raise problems_of(err, "options") from None
        target = await self._targets.check_resolves(checked.base_url, field="options.base_url")
        if credentials is not None:
            _check_credentials(credentials, self._clock.now())
        return checked.model_dump(mode="json"), target.origin

    async def test(self, connection: PlatformConnection, credentials: Secrets) -> ConnectionCheck:
        """See ``Platform``: asks for one page of orders."""
        from shared.platforms.connections import ConnectionCheck

        end = token_end(credentials)
        details: dict[str, Any] = {}
        if end is not None:
            details = {"token_days_left": (end - self._clock.now()) // timedelta(days=1)}
        try:
            page, took = await self._rest.try_out(connection, credentials)
        except OvenbridgeError as error:
            return ConnectionCheck(False, error.detail, None, details)
        said = f"It answers, and shows {page.total} orders." if page.total is not None else "It answers."
        if end is not None and end - self._clock.now() < SOON:
            said += f" Its token ends on {end:%Y-%m-%d}: make a new one under System Settings > Users."
        return ConnectionCheck(True, said, round(took, 1), {**details, "orders": page.total})


def token_end(credentials: Secrets) -> datetime | None:
    """When the token ends, where somebody said so."""
    said = credentials.get("expires_at")
    return None if not said else parse_iso(said)


def problems_of(err: ValidationError, prefix: str) -> InvalidInput:
    """What pydantic found, in our words; never a rejected value."""
    found = [
        FieldProblem(".".join((prefix, *(str(part) for part in one["loc"]))), one["msg"])
        for one in err.errors(include_url=False, include_context=False, include_input=False)
    ]
    return InvalidInput(f"{found[0].field}: {found[0].problem}", problems=found)


def _check_credentials(credentials: Secrets, now: datetime) -> None:
    others = sorted(credentials.keys() - {"token", "expires_at"})
    if others:
        raise InvalidInput(
            f"credentials.{others[0]} is unknown; there are token and expires_at.", field=f"credentials.{others[0]}"
        )
    token = credentials.get("token", "")
    if not token or len(token) > 8_000 or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInput(
            "credentials.token is the API token: System Settings > Users > New API user account > the key.",
            field="credentials.token",
        )
    try:
        end = token_end(credentials)
    except (ValueError, OverflowError):
        end = None
        if credentials.get("expires_at"):
            raise InvalidInput(
                "credentials.expires_at is a time such as 2027-03-31T00:00:00Z; it is shown with the token.",
                field="credentials.expires_at",
            ) from None
    if end is not None and end <= now:
        raise InvalidInput("This token has ended already; make a new one.", field="credentials.expires_at")
