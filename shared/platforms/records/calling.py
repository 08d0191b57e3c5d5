"""What calls to all systems of record have in common: addresses that were allowed, tokens, one renewal, time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from shared import json_text
from shared.clock import Clock
from shared.errors import InvalidInput
from shared.outgoing.answer import OutgoingAnswer
from shared.outgoing.failures import OutgoingError
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.platforms.connections import ConnectionCheck, PlatformConnection
from shared.platforms.records.answers import no_answer
from shared.platforms.records.port import Intended, Outcome
from shared.platforms.records.tokens import NoToken, Tokens

__all__ = ["CredentialForm", "SystemCalls", "TokenRequest", "addresses", "checked", "checked_credentials", "json_body"]

Options = TypeVar("Options", bound=BaseModel)
APART = ", "
"""Between the addresses of a connection that has several: its credentials may go to these and to no other."""


class CredentialForm(BaseModel):
    """Base of the credentials of a system."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Where a token comes from, and with what."""

    url: str
    form: Mapping[str, str]
    tells_instance: bool = False
    """Its answer says where the API is (``instance_url``): believed only where that is an address we were given."""


def checked(model: type[Options], given: Mapping[str, Any], field: str) -> Options:
    """The options (or credentials) as a model. Raises ``InvalidInput`` naming ``<field>.<name>``."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in (field, *first["loc"]))
        raise InvalidInput(f"{place}: {first['msg'].removeprefix('Value error, ')}.", field=place) from None


def checked_credentials(model: type[Options], given: Mapping[str, str] | None) -> None:
    """Raises ``InvalidInput``: they are not what this system takes. ``None``: those that are kept stay."""
    if given is not None:
        checked(model, given, "credentials")


async def addresses(targets: TargetPolicy, **urls: str) -> str:
    """The address of a connection that calls these; keyword: the field's name, for errors."""
    found = [(await targets.check_resolves(url, field=f"options.{name}")).origin for name, url in urls.items()]
    return APART.join(sorted(dict.fromkeys(found)))


def json_body(value: Any) -> bytes:
    """A body to send; the same bytes for the same value."""
    return json_text.canonical(value)


class SystemCalls:
    """Makes the calls."""

    def __init__(self, http: OutgoingHttp, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._tokens = Tokens(http, clock)

    def now(self) -> datetime:
        """The clock's time."""
        return self._clock.now()

    async def call(
        self,
        connection: PlatformConnection,
        intended: Intended,
        *,
        token: TokenRequest | None,
        headers: Mapping[str, str],
        most: int = 65_536,
    ) -> OutgoingAnswer | Outcome:
        """The answer, or what became of the call where there is none.

        A token that is refused is renewed and the call made once more: a 401 says that nothing was done.
        """
        seconds = float(connection.options.get("timeout_seconds", 15.0))
        value: str | None = None
        for last in (False, True):
            try:
                if token is not None:
                    self._may(connection, token.url)
                    found = await self._tokens.get(token.url, token.form, timeout_seconds=seconds, refused=value)
                    value = found.value
                    told = found.said.get("instance_url") if token.tells_instance else None
                    if problem := _elsewhere(connection, told):
                        return Outcome("failed", problem)
            except NoToken as err:
                return Outcome("later", err.sentence, err.status, retry_after=err.pause, busy=err.pause is not None)
            except OutgoingError as err:
                return Outcome("later", f"No token could be fetched: {err.detail}")
            answer = await self._send(connection, intended, headers, value, seconds, most)
            if isinstance(answer, Outcome) or answer.status != 401 or token is None or last:
                return answer
        raise AssertionError("unreachable")

    async def _send(
        self,
        connection: PlatformConnection,
        intended: Intended,
        headers: Mapping[str, str],
        token: str | None,
        seconds: float,
        most: int,
    ) -> OutgoingAnswer | Outcome:
        sent = {"Accept": "application/json", **intended.headers, **headers}
        if intended.body is not None:
            sent["Content-Type"] = "application/json; charset=utf-8"
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        try:
            self._may(connection, intended.url)
            return await self._http.send(
                intended.method,
                intended.url,
                headers=sent,
                content=intended.body or b"",
                timeout_seconds=seconds,
                max_answer_bytes=most,
                once=not intended.repeatable,
            )
        except OutgoingError as err:
            return no_answer(err, repeatable=intended.repeatable)

    def _may(self, connection: PlatformConnection, url: str) -> None:
        """Credentials go to the addresses that they were given for, whatever a document says by now."""
        origin = self._http.targets.check_url(url, field="url").origin
        if origin not in connection.address.split(APART):
            raise OutgoingError(
                f"The credentials of this connection were not given for {origin}: save the connection anew.",
                kind="unsafe",
            )

    async def ask(
        self,
        connection: PlatformConnection,
        url: str,
        *,
        token: TokenRequest | None,
        headers: Mapping[str, str],
        most: int = 65_536,
    ) -> OutgoingAnswer | ConnectionCheck:
        """A harmless question, for tests of a connection."""
        found = await self.call(connection, Intended("GET", url, None), token=token, headers=headers, most=most)
        return ConnectionCheck(False, found.sentence) if isinstance(found, Outcome) else found


def _elsewhere(connection: PlatformConnection, told: Any) -> str | None:
    if not isinstance(told, str) or told.rstrip("/").lower() in connection.address.split(APART):
        return None
    return (
        "The token is for another instance than options.instance_url names: enter the address that Setup > My Domain "
        "shows, then save the connection with its credentials."
    )
