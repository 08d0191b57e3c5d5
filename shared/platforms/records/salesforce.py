"""Salesforce: upsert by an external id field, which is idempotent by its nature.

Read: "Upsert Records Using sObject Rows by External ID" of the REST API developer guide. 201 created, 200 or 204
updated, 300 when several records match; the external id stands in the path and must not stand in the body;
``updateOnly=true`` never creates. Errors are a list of ``{"message", "errorCode"}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

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
from shared.platforms.records.places import fill, fill_path
from shared.platforms.records.port import Intended, Outcome, RecordOptions, checked_template

__all__ = ["Salesforce", "SalesforceOptions"]

NAME = r"^[A-Za-z][A-Za-z0-9_]{0,79}$"
DESCRIBE_BYTES = 8_388_608
LIMIT_CODES = ("REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT")
"""403 with the first of them is a limit of the day, not a refusal; 400 with a locked row passes by itself."""
LIMIT_PAUSE = 900.0


class SalesforceOptions(RecordOptions):
    """Where, and what becomes of a session or a call there."""

    instance_url: str = Field(
        min_length=1, max_length=300, description="`https://<my domain>.my.salesforce.com`, from Setup > My Domain."
    )
    login_url: str | None = Field(
        None,
        max_length=300,
        description="Where tokens come from; absent: instance_url. With grant=refresh_token often "
        "https://login.salesforce.com.",
    )
    grant: Literal["client_credentials", "refresh_token"] = Field(
        "client_credentials",
        description="As the connected app allows. refresh_token: without rotation of refresh tokens.",
    )
    api_version: str = Field("v62.0", pattern=r"^v[0-9]{2,3}\.0$")
    object: str = Field(pattern=NAME, description="e.g. `AR_Session__c`, or `WorkOrder`.")
    external_id_field: str = Field(pattern=NAME, description="Marked External ID and Unique in Salesforce.")
    external_id: str = Field(
        "{record_id}", min_length=1, max_length=200, description="Its value; `{work_order_id}` to fill in an order."
    )
    create: bool = Field(
        True, description="May a record be created? false (updateOnly): only one that is there is filled in."
    )
    fields: dict[str, Any] = Field(
        min_length=1,
        max_length=200,
        description="Field -> value with places. A related record by its own external id: "
        "{'Work_Order__r': {'Number__c': '{work_order_id}'}}.",
    )

    @field_validator("fields")
    @classmethod
    def _fillable(cls, value: dict[str, Any]) -> dict[str, Any]:
        return dict(checked_template(value))

    @field_validator("external_id")
    @classmethod
    def _fillable_too(cls, value: str) -> str:
        return str(checked_template(value))

    @model_validator(mode="after")
    def _not_twice(self) -> SalesforceOptions:
        forbidden = {"id", self.external_id_field.lower()}
        if any(name.lower() in forbidden for name in self.fields):
            raise ValueError(f"Salesforce refuses Id and {self.external_id_field} in fields: the address names it")
        return self


class SalesforceCredentials(CredentialForm):
    """Of the connected app."""

    client_id: str = Field(min_length=1, max_length=1000)
    client_secret: str | None = Field(None, max_length=1000)
    refresh_token: str | None = Field(None, max_length=4000)


class Salesforce:
    """Implements ``Platform`` and ``RecordSystem``."""

    def __init__(self, caller: SystemCalls, targets: TargetPolicy) -> None:
        self._caller = caller
        self._targets = targets

    async def check(self, options: Mapping[str, Any], credentials: Secrets | None) -> tuple[dict[str, Any], str]:
        """See the port."""
        found = checked(SalesforceOptions, options, "options")
        checked_credentials(SalesforceCredentials, credentials)
        needed = "refresh_token" if found.grant == "refresh_token" else "client_secret"
        if credentials is not None and not credentials.get(needed):
            raise InvalidInput(f"grant={found.grant} needs credentials.{needed}.", field=f"credentials.{needed}")
        return found.model_dump(mode="json"), await addresses(
            self._targets, instance_url=found.instance_url, login_url=found.login_url or found.instance_url
        )

    async def test(self, connection: PlatformConnection, credentials: Secrets) -> ConnectionCheck:
        """Ask what the object is like: are the fields of the mapping there, and is the key one?"""
        options = SalesforceOptions.model_validate(connection.options)
        url = f"{_base(options)}/sobjects/{options.object}/describe"
        answer = await self._caller.ask(
            connection, url, token=_token(options, credentials), headers={}, most=DESCRIBE_BYTES
        )
        if isinstance(answer, ConnectionCheck):
            return answer
        if answer.status != 200:
            return ConnectionCheck(False, f"Salesforce answers {answer.status}: {_said(answer)}", answer.elapsed_ms)
        known = {one["name"]: one for one in at(parsed(answer), "fields") or () if isinstance(one, dict)}
        related = {one.get("relationshipName") for one in known.values()}
        missing = [name for name in options.fields if name not in known and name not in related]
        key = known.get(options.external_id_field)
        if key is None or not (key.get("externalId") or key.get("idLookup")):
            sentence = f"{options.object}.{options.external_id_field} is no External ID field there."
            return ConnectionCheck(False, sentence, answer.elapsed_ms)
        if missing:
            sentence = f"{options.object} has no {', '.join(missing[:5])} there (or we may not see it)."
            return ConnectionCheck(False, sentence, answer.elapsed_ms)
        sentence = f"Salesforce answers; {options.object} and its fields are there."
        return ConnectionCheck(True, sentence, answer.elapsed_ms, {"unique": bool(key.get("unique"))})

    def intend(
        self, connection: PlatformConnection, words: Mapping[str, Any], created_id: str | None
    ) -> Intended | None:
        """See the port."""
        options = SalesforceOptions.model_validate(connection.options)
        value = fill_path(options.external_id, words)
        url = f"{_base(options)}/sobjects/{options.object}/{options.external_id_field}/{value}"
        if not options.create:
            url += "?updateOnly=true"
        return Intended("PATCH", url, json_body(fill(options.fields, words, keep_empty=options.keep_empty)))

    async def send(self, connection: PlatformConnection, credentials: Secrets, intended: Intended) -> Outcome:
        """See the port."""
        options = SalesforceOptions.model_validate(connection.options)
        answer = await self._caller.call(connection, intended, token=_token(options, credentials), headers={})
        if isinstance(answer, Outcome):
            return answer
        if answer.status in (200, 201, 204):
            found = at(parsed(answer), "id")
            what = "created" if answer.status == 201 else "updated"
            given = str(found)[:255] if found else None
            return Outcome("recorded", f"Salesforce {what} it.", answer.status, given, elapsed_ms=answer.elapsed_ms)
        return _judged(options, answer, self._caller)


def _judged(options: SalesforceOptions, answer: OutgoingAnswer, caller: SystemCalls) -> Outcome:
    if answer.status == 300:
        sentence = f"Several records have this {options.external_id_field}: mark the field Unique and remove doubles."
        return Outcome("failed", sentence, 300, elapsed_ms=answer.elapsed_ms)
    code = at(parsed(answer), "0.errorCode")
    if code in LIMIT_CODES and answer.status in (400, 403, 500, 503):
        pause = LIMIT_PAUSE if code == LIMIT_CODES[0] else None
        sentence = f"Salesforce answered {answer.status}: {_said(answer)}"
        return Outcome(
            "later", sentence, answer.status, retry_after=pause, busy=pause is not None, elapsed_ms=answer.elapsed_ms
        )
    return refused(answer, _said(answer), caller.now(), repeatable=True)


def _said(answer: OutgoingAnswer) -> str:
    found = parsed(answer)
    first = found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}
    return short(" ".join(str(first[name]) for name in ("errorCode", "message") if first.get(name)))


def _base(options: SalesforceOptions) -> str:
    return f"{options.instance_url.rstrip('/')}/services/data/{options.api_version}"


def _token(options: SalesforceOptions, credentials: Secrets) -> TokenRequest:
    form = {"grant_type": options.grant, "client_id": credentials.get("client_id", "")}
    for name in ("client_secret", "refresh_token"):
        if credentials.get(name) and (name != "refresh_token" or options.grant == "refresh_token"):
            form[name] = credentials[name]
    return TokenRequest((options.login_url or options.instance_url).rstrip("/") + "/services/oauth2/token", form, True)
