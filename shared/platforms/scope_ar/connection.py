"""A connection to the GraphQL API: what it needs, and whether it works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.errors import FieldProblem, InvalidInput, OvenbridgeError
from shared.platforms.connections import ConnectionCheck, PlatformConnection, Secrets
from shared.platforms.scope_ar.options import ConnectionOptions, checked
from shared.platforms.scope_ar.queries import PROBE_QUERY
from shared.platforms.scope_ar.sign_in import sign_in_url

if TYPE_CHECKING:
    from shared.outgoing.targets import TargetPolicy
    from shared.platforms.scope_ar.graphql import GraphAnswer, GraphQl

__all__ = ["ScopeAr"]

_CREDENTIALS = ("token", "username", "password", "extra_header")
MAX_CREDENTIAL = 4_096


class ScopeAr:
    """The platform ``scope_ar``."""

    def __init__(self, targets: TargetPolicy, graphql: GraphQl) -> None:
        self._targets = targets
        self._graphql = graphql

    async def check(self, options: Mapping[str, Any], credentials: Secrets | None) -> tuple[dict[str, Any], str]:
        """See the port. Credentials go to the host of ``url``, so the sign-in has to be there, too."""
        wanted = checked(ConnectionOptions, options)
        target = await self._targets.check_resolves(wanted.url, field="options.url")
        if wanted.sign_in_url is not None:
            sign_in = self._targets.check_url(sign_in_url(wanted), field="options.sign_in_url")
            if sign_in.origin != target.origin:
                raise InvalidInput(
                    f"options.sign_in_url: the sign-in is at the host of url, {target.origin}.",
                    field="options.sign_in_url",
                )
        if credentials is not None:
            _check_credentials(wanted, credentials)
        return wanted.model_dump(mode="json"), target.origin

    async def test(self, connection: PlatformConnection, credentials: Secrets) -> ConnectionCheck:
        """See the port: signs in if need be, and asks which fields sessions and calls have."""
        try:
            answer = await self._graphql.ask_with(connection, credentials, PROBE_QUERY, {})
        except OvenbridgeError as error:
            return ConnectionCheck(False, error.detail)
        details: dict[str, Any] = {}
        for name in ("session", "call"):
            fields = _fields(answer, name)
            if fields:
                details[f"{name}_fields"] = fields
        if answer.problems:
            details["problems"] = list(answer.problems)
        if not details.get("session_fields"):
            return ConnectionCheck(
                True, "The API answered; it does not say which fields there are.", answer.elapsed_ms, details
            )
        return ConnectionCheck(True, "The API answered, and sessions can be asked for.", answer.elapsed_ms, details)


def _check_credentials(options: ConnectionOptions, credentials: Secrets) -> None:
    problems = [
        FieldProblem(f"credentials.{name[:40]}", "There is no such credential: token, or username and password.")
        for name in credentials
        if name not in _CREDENTIALS
    ]
    for name in _CREDENTIALS:
        value = credentials.get(name)
        if value is not None and (not value or len(value) > MAX_CREDENTIAL or not value.isprintable()):
            problems.append(FieldProblem(f"credentials.{name}", "It is empty, too long, or holds line breaks."))
    if "token" in credentials and "username" in credentials:
        problems.append(FieldProblem("credentials.token", "Give a token, or a user name and a password; not both."))
    elif "token" not in credentials and not ("username" in credentials and "password" in credentials):
        problems.append(FieldProblem("credentials.token", "Give a token, or a user name and a password."))
    elif not credentials.get("token", "").isascii():
        problems.append(FieldProblem("credentials.token", "A token has ASCII characters only."))
    if options.extra_header is not None and not credentials.get("extra_header", "").isascii():
        problems.append(FieldProblem("credentials.extra_header", "A header has ASCII characters only."))
    if (options.extra_header is None) != ("extra_header" not in credentials):
        problems.append(
            FieldProblem("credentials.extra_header", "Give options.extra_header and credentials.extra_header together.")
        )
    if problems:
        raise InvalidInput(f"{problems[0].field}: {problems[0].problem}", problems=problems)


def _fields(answer: GraphAnswer, name: str) -> list[str]:
    described = answer.data.get(name)
    fields = described.get("fields") if isinstance(described, dict) else None
    if not isinstance(fields, list):
        return []
    return sorted(str(one["name"])[:100] for one in fields[:500] if isinstance(one, dict) and "name" in one)
