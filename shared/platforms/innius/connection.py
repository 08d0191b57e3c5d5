"""A connection to the innius REST API: what it needs, and whether it works.

Public is the way from company to machines to sensors to values, the form of the answers and the paging. Paths and the
header that proves who asks are not: they are options, with defaults that nobody has verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.connectors.paths import BadAddress, parse_path
from shared.errors import FieldProblem, InvalidInput, OvenbridgeError
from shared.platforms.connections import ConnectionCheck, PlatformConnection, Secrets

if TYPE_CHECKING:
    from shared.outgoing.targets import TargetPolicy
    from shared.platforms.innius.rest import InniusRest

__all__ = ["InniusApi", "RestOptions"]

Place = Annotated[str, Field(min_length=1, max_length=200)]


class RestOptions(BaseModel):
    """Of a connection."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(min_length=1, max_length=500, description="Where the API is, without a path of ours; unverified.")
    company_id: str = Field(min_length=1, max_length=200)
    machines_path: str = Field(
        "/companies/{company_id}/machines", max_length=300, pattern=r"^/[\x21-\x7e]*$", description="Unverified."
    )
    sensors_path: str = Field(
        "/machines/{machine}/sensors", max_length=300, pattern=r"^/[\x21-\x7e]*$", description="Unverified."
    )
    auth_header: str = Field("Authorization", pattern=r"^[A-Za-z0-9-]{1,100}$", description="Unverified.")
    auth_scheme: str = Field("Bearer", max_length=50, pattern=r"^[\x21-\x7e]*$", description="Empty: none; unverified.")
    items: Place = Field("data", description="Path of the list in an answer; deeper than `data` is unverified.")
    next_key: Place = Field("next_key", description="Path of what the next page begins with; its place is unverified.")
    machine_id: Place = Field("id", description="Of a machine, for `sensors_path`; unverified.")
    machine_trn: Place = Field("trn", description="Of a machine, as webhooks name it; unverified.")
    name: Place = Field("name", description="Of a machine or a sensor; unverified.")
    sensor_id: Place = Field("id", description="Of a sensor, as webhooks name it; unverified.")
    page_size: int = Field(100, ge=1, le=1_000)
    timeout_seconds: float = Field(20.0, gt=0, le=60)

    @field_validator("items", "next_key", "machine_id", "machine_trn", "name", "sensor_id")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        try:
            parse_path(value)
        except BadAddress as err:
            raise ValueError(str(err)) from None
        return value

    @field_validator("url")
    @classmethod
    def _alone(cls, value: str) -> str:
        if "?" in value or "#" in value or "@" in value:
            raise ValueError("give scheme and host, perhaps a path: no query, no user name")
        return value.rstrip("/")

    @field_validator("machines_path", "sensors_path")
    @classmethod
    def _fillable(cls, value: str) -> str:
        rest = value.replace("{company_id}", "").replace("{machine}", "")
        if "{" in rest or "}" in rest:
            raise ValueError("{company_id} and {machine} are filled in, nothing else")
        return value


class InniusApi:
    """The platform ``innius``."""

    def __init__(self, targets: TargetPolicy, rest: InniusRest) -> None:
        self._targets = targets
        self._rest = rest

    async def check(self, options: Mapping[str, Any], credentials: Secrets | None) -> tuple[dict[str, Any], str]:
        """See the port."""
        try:
            wanted = RestOptions.model_validate(dict(options))
        except ValidationError as err:
            problems = [
                FieldProblem(".".join(("options", *map(str, e["loc"])))[:200], e["msg"].removeprefix("Value error, "))
                for e in err.errors(include_url=False, include_input=False, include_context=False)[:20]
            ]
            raise InvalidInput(f"{problems[0].field}: {problems[0].problem}", problems=problems) from err
        target = await self._targets.check_resolves(wanted.url, field="options.url")
        if credentials is not None:
            _check(credentials)
        return wanted.model_dump(mode="json"), target.origin

    async def test(self, connection: PlatformConnection, credentials: Secrets) -> ConnectionCheck:
        """See the port: asks for the first machines."""
        try:
            found, elapsed_ms = await self._rest.first_machines(connection, credentials)
        except OvenbridgeError as error:
            return ConnectionCheck(False, error.detail)
        return ConnectionCheck(True, f"The API answered with {len(found)} machines on its first page.", elapsed_ms)


def _check(credentials: Secrets) -> None:
    for name in credentials:
        if name != "token":
            raise InvalidInput(
                "There is one credential: token.", field=f"credentials.{name[:40] if name.isprintable() else '?'}"
            )
    token = credentials.get("token", "")
    if not token or len(token) > 8_000 or not token.isascii() or not token.isprintable():
        raise InvalidInput("credentials.token: a token is one line of ASCII characters.", field="credentials.token")
