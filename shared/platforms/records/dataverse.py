"""Dataverse (Dynamics 365 Field Service and relatives): upsert by an alternate key, which is idempotent by its nature.

Read: "Upsert a table row" and "Perform conditional operations" of the Dataverse Web API. ``PATCH`` on an alternate key
creates or updates; ``If-Match: *`` never creates (404 where there is none); 204 with ``OData-EntityId``; service
protection answers 429 with ``Retry-After``; errors are ``{"error": {"code", "message"}}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import Field, field_validator, model_validator

from shared.errors import InvalidInput
from shared.outgoing.answer import OutgoingAnswer
from shared.outgoing.targets import TargetPolicy
from shared.platforms.connections import ConnectionCheck, PlatformConnection, Secrets
from shared.platforms.records.answers import at, parsed, refused, short
from shared.platforms.records.calling import (
    CredentialForm,
    SystemCalls,
    TokenRequest,
    addresses,
    checked,
    checked_credentials,
    json_body,
)
from shared.platforms.records.places import fill, fill_path, odata_key
from shared.platforms.records.port import Intended, Outcome, RecordOptions, checked_template

__all__ = ["Dataverse", "DataverseOptions"]

NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"
ODATA = {"OData-Version": "4.0", "OData-MaxVersion": "4.0"}
_ENTITY = re.compile(r"\(([0-9a-fA-F-]{36})\)\s*$")


class DataverseOptions(RecordOptions):
    """Where, and what becomes of a session or a call there."""

    environment_url: str = Field(
        min_length=1, max_length=300, description="`https://<org>.crm4.dynamics.com`: the environment's address."
    )
    tenant_id: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,99}$", description="Of the Microsoft Entra tenant: its id or domain."
    )
    login_url: str = Field(
        "https://login.microsoftonline.com", max_length=300, description="Another one in national clouds."
    )
    api_version: str = Field("v9.2", pattern=r"^v9\.[0-9]$")
    entity_set: str = Field(pattern=NAME, description="The plural name in addresses, e.g. `new_arsessions`.")
    key: dict[str, str] = Field(
        min_length=1, max_length=5, description="The alternate key: {'new_sessionid': '{record_id}'}."
    )
    create: bool = Field(True, description="May a row be created? false (If-Match: *): only one that is there.")
    columns: dict[str, Any] = Field(
        min_length=1,
        max_length=200,
        description="Column -> value with places. A lookup: {'new_workorder@odata.bind': "
        "\"/msdyn_workorders(msdyn_name='{work_order_id}')\"}; the values in it are quoted as OData wants.",
    )

    @field_validator("columns", "key")
    @classmethod
    def _fillable(cls, value: dict[str, Any]) -> dict[str, Any]:
        return dict(checked_template(value))

    @model_validator(mode="after")
    def _not_twice(self) -> DataverseOptions:
        for name in self.key:
            if not re.fullmatch(NAME, name):
                raise ValueError("key: the logical names of the columns of the alternate key")
            if name in self.columns:
                raise ValueError(f"{name} is the key: the address says it, columns must not say it again")
        return self


class DataverseCredentials(CredentialForm):
    """Of the app registration, which is an application user of the environment."""

    client_id: str = Field(min_length=1, max_length=1000)
    client_secret: str = Field(min_length=1, max_length=4000)


class Dataverse:
    """Implements ``Platform`` and ``RecordSystem``."""

    def __init__(self, caller: SystemCalls, targets: TargetPolicy) -> None:
        self._caller = caller
        self._targets = targets

    async def check(self, options: Mapping[str, Any], credentials: Secrets | None) -> tuple[dict[str, Any], str]:
        """See the port."""
        found = checked(DataverseOptions, options, "options")
        checked_credentials(DataverseCredentials, credentials)
        if ".." in found.tenant_id:
            raise InvalidInput("That is no tenant.", field="options.tenant_id")
        return found.model_dump(mode="json"), await addresses(
            self._targets, environment_url=found.environment_url, login_url=found.login_url
        )

    async def test(self, connection: PlatformConnection, credentials: Secrets) -> ConnectionCheck:
        """Who are we there, and is the table with its key columns there?"""
        options = DataverseOptions.model_validate(connection.options)
        token = _token(options, credentials)
        answer = await self._caller.ask(connection, f"{_base(options)}/WhoAmI", token=token, headers=ODATA)
        if not isinstance(answer, ConnectionCheck) and answer.status == 200:
            query = f"?$select={','.join(options.key)}&$top=1"
            url = f"{_base(options)}/{options.entity_set}{quote(query, safe='?$=&,')}"
            answer = await self._caller.ask(connection, url, token=token, headers=ODATA)
        if isinstance(answer, ConnectionCheck):
            return answer
        if answer.status != 200:
            return ConnectionCheck(False, f"Dataverse answers {answer.status}: {_said(answer)}", answer.elapsed_ms)
        return ConnectionCheck(True, f"Dataverse answers; {options.entity_set} can be read.", answer.elapsed_ms)

    def intend(
        self, connection: PlatformConnection, words: Mapping[str, Any], created_id: str | None
    ) -> Intended | None:
        """See the port."""
        options = DataverseOptions.model_validate(connection.options)
        key = ",".join(f"{name}='{fill_path(value, words, odata_key)}'" for name, value in options.key.items())
        headers = ODATA | ({} if options.create else {"If-Match": "*"})
        body = json_body(fill(options.columns, words, keep_empty=options.keep_empty))
        return Intended("PATCH", f"{_base(options)}/{options.entity_set}({key})", body, headers)

    async def send(self, connection: PlatformConnection, credentials: Secrets, intended: Intended) -> Outcome:
        """See the port."""
        options = DataverseOptions.model_validate(connection.options)
        answer = await self._caller.call(connection, intended, token=_token(options, credentials), headers={})
        if isinstance(answer, Outcome):
            return answer
        if answer.status in (200, 201, 204):
            found = _ENTITY.search(answer.headers.get("OData-EntityId") or "")
            what = "created" if answer.status == 201 else "has"
            sentence = f"Dataverse {what} it."
            given = found[1] if found else None
            return Outcome("recorded", sentence, answer.status, given, elapsed_ms=answer.elapsed_ms)
        return refused(answer, _said(answer), self._caller.now(), repeatable=True)


def _said(answer: OutgoingAnswer) -> str:
    error = at(parsed(answer), "error")
    if not isinstance(error, dict):
        return ""
    return short(" ".join(str(error[name]) for name in ("code", "message") if error.get(name)))


def _base(options: DataverseOptions) -> str:
    return f"{options.environment_url.rstrip('/')}/api/data/{options.api_version}"


def _token(options: DataverseOptions, credentials: Secrets) -> TokenRequest:
    return TokenRequest(
        f"{options.login_url.rstrip('/')}/{options.tenant_id}/oauth2/v2.0/token",
        {
            "grant_type": "client_credentials",
            "client_id": credentials.get("client_id", ""),
            "client_secret": credentials.get("client_secret", ""),
            "scope": f"{options.environment_url.rstrip('/')}/.default",
        },
    )
