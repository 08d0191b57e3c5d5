"""Any system of record with a REST API: what to send is a mapping."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.errors import InvalidInput
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
from shared.platforms.records.places import fill, fill_path, names_in
from shared.platforms.records.port import Intended, Outcome, RecordOptions, checked_template

__all__ = ["RestRecord", "RestRecordOptions"]

HEADER = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"
OURS = frozenset(("authorization", "content-length", "content-type", "host", "connection", "transfer-encoding"))
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,1000}")


def _path(value: str) -> str:
    checked_template(value)
    plain = re.sub(r"\{[^{}]*\}", "x", value)
    if not value.startswith("/") or value.startswith("//") or re.search(r"[\s#\\?]|/\.{1,2}(/|$)", plain):
        raise ValueError("a path begins with one / and has no blanks, no #, no ? and no /../")
    return value


Path = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_path)]


class RequestMapping(BaseModel):
    """One call."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True, frozen=True)

    method: Literal["POST", "PUT", "PATCH"] = "POST"
    path: Path = Field(description="e.g. `/orders/{work_order_id}/notes`; each value is percent-encoded.")
    query: dict[str, str] = Field(default_factory=dict, max_length=20)
    body: dict[str, Any] | list[Any] | None = Field(
        None, description="JSON with places: {'minutes': '{duration_seconds}', 'text': 'By {title}'}."
    )
    success: tuple[int, ...] = Field((200, 201, 202, 204), min_length=1, max_length=20)
    repeatable: bool | None = Field(
        None, description="May the same call be made twice with the effect of one? Absent: PUT may, others may not."
    )

    @field_validator("query", "body")
    @classmethod
    def _fillable(cls, value: Any) -> Any:
        return checked_template(value)

    @field_validator("success")
    @classmethod
    def _no_doubt(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(not (200 <= one < 300 or one == 409) for one in value):
            raise ValueError("a success is 2xx, or 409 where that means that it is there already")
        return value


class RestRecordOptions(RecordOptions):
    """The mapping."""

    base_url: str = Field(min_length=1, max_length=500, description="e.g. `https://erp.example.com/api`.")
    create: RequestMapping
    update: RequestMapping | None = Field(
        None, description="How later changes are told, with `{created_id}`; absent: they are not."
    )
    created_id_at: str | None = Field(
        "id", max_length=200, description="Where the answer says what it created: `id`, `result.sys_id`."
    )
    idempotency_header: str | None = Field(
        None,
        pattern=HEADER,
        description="A header by which the system knows a repetition, such as Idempotency-Key. Then calls are repeated "
        "without fear.",
    )
    auth: Literal["none", "basic", "bearer", "header", "oauth2"] = "none"
    auth_header: str = Field("X-API-Key", pattern=HEADER, description="For auth=header.")
    token_url: str | None = Field(None, max_length=500, description="For auth=oauth2 (client credentials).")
    scope: str | None = Field(None, max_length=500)
    headers: dict[str, str] = Field(default_factory=dict, max_length=20, description="Always sent; no secrets here.")
    test_path: Path | None = Field(None, description="Asked with GET when the connection is tried.")

    @field_validator("headers")
    @classmethod
    def _plain(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not re.fullmatch(HEADER, name) or name.lower() in OURS or not _HEADER_VALUE.fullmatch(text):
                raise ValueError(f"{name[:50]} cannot be set here")
        return value

    @model_validator(mode="after")
    def _whole(self) -> RestRecordOptions:
        if (self.auth == "oauth2") != (self.token_url is not None):
            raise ValueError("token_url goes with auth=oauth2")
        parts = urlsplit(self.base_url)
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError("base_url has no query, no fragment and no user in it")
        if "{" in self.base_url:
            raise ValueError("base_url has no places")
        uses = [name for name in _all_names(self.create) if name == "created_id"]
        if uses:
            raise ValueError("create cannot use {created_id}: there is none yet")
        return self


class RestCredentials(CredentialForm):
    """What the chosen ``auth`` needs."""

    username: str | None = Field(None, max_length=1000)
    password: str | None = Field(None, max_length=8000)
    token: str | None = Field(None, max_length=8000, pattern=r"^[\x21-\x7e]+$")
    client_id: str | None = Field(None, max_length=1000)
    client_secret: str | None = Field(None, max_length=8000)


_NEEDS = {
    "none": (),
    "basic": ("username", "password"),
    "bearer": ("token",),
    "header": ("token",),
    "oauth2": ("client_id", "client_secret"),
}


class RestRecord:
    """Implements ``Platform`` and ``RecordSystem``."""

    def __init__(self, caller: SystemCalls, targets: TargetPolicy) -> None:
        self._caller = caller
        self._targets = targets

    async def check(self, options: Mapping[str, Any], credentials: Secrets | None) -> tuple[dict[str, Any], str]:
        """See the port."""
        found = checked(RestRecordOptions, options, "options")
        checked_credentials(RestCredentials, credentials)
        if credentials is not None:
            for name in _NEEDS[found.auth]:
                if not credentials.get(name):
                    raise InvalidInput(f"auth={found.auth} needs credentials.{name}.", field=f"credentials.{name}")
            if ":" in credentials.get("username", ""):
                raise InvalidInput("A user name with a colon cannot be sent.", field="credentials.username")
        urls = {"base_url": found.base_url} | ({"token_url": found.token_url} if found.token_url else {})
        return found.model_dump(mode="json"), await addresses(self._targets, **urls)

    async def test(self, connection: PlatformConnection, credentials: Secrets) -> ConnectionCheck:
        """See the port."""
        options = RestRecordOptions.model_validate(connection.options)
        url = options.base_url.rstrip("/") + (options.test_path or "/")
        answer = await self._caller.ask(
            connection, url, token=_token(options, credentials), headers=_auth(options, credentials)
        )
        if isinstance(answer, ConnectionCheck):
            return answer
        ms = answer.elapsed_ms
        if answer.status in (401, 403):
            return ConnectionCheck(False, f"It answers {answer.status}: check the credentials.", ms)
        if options.test_path is not None and not 200 <= answer.status < 300:
            return ConnectionCheck(False, f"It answers {answer.status} to GET {options.test_path}.", ms)
        if options.test_path is None:
            said = f"It can be reached (it answers {answer.status} to its base address); set test_path to know more."
            return ConnectionCheck(answer.status < 500, said, ms)
        return ConnectionCheck(True, f"It answers {answer.status} to GET {options.test_path}.", ms)

    def intend(
        self, connection: PlatformConnection, words: Mapping[str, Any], created_id: str | None
    ) -> Intended | None:
        """See the port."""
        options = RestRecordOptions.model_validate(connection.options)
        creates = created_id is None
        mapping = options.create if creates else options.update
        if mapping is None:
            return None
        url = options.base_url.rstrip("/") + fill_path(mapping.path, words)
        filled = {name: fill_path(value, words) for name, value in mapping.query.items()}
        if filled:
            url += "?" + "&".join(f"{quote(name, safe='')}={value}" for name, value in filled.items())
        body = None if mapping.body is None else json_body(fill(mapping.body, words, keep_empty=options.keep_empty))
        headers = dict(options.headers)
        sure = mapping.method == "PUT" if mapping.repeatable is None else mapping.repeatable
        if options.idempotency_header is not None:
            headers[options.idempotency_header] = str(words["idempotency_key"])
            sure = True
        return Intended(mapping.method, url, body, headers, repeatable=sure, creates=creates)

    async def send(self, connection: PlatformConnection, credentials: Secrets, intended: Intended) -> Outcome:
        """See the port."""
        options = RestRecordOptions.model_validate(connection.options)
        mapping = options.create if intended.creates or options.update is None else options.update
        answer = await self._caller.call(
            connection, intended, token=_token(options, credentials), headers=_auth(options, credentials)
        )
        if isinstance(answer, Outcome):
            return answer
        if answer.status not in mapping.success:
            said = at(parsed(answer), "error.message") or at(parsed(answer), "message") or at(parsed(answer), "error")
            words = short(said) if isinstance(said, str) else ""
            return refused(answer, words, self._caller.now(), repeatable=intended.repeatable)
        found = at(parsed(answer), options.created_id_at) if options.created_id_at else None
        created = found if isinstance(found, str | int) and not isinstance(found, bool) else None
        return Outcome(
            "recorded",
            f"It answered {answer.status}.",
            answer.status,
            None if created is None else str(created)[:255],
            elapsed_ms=answer.elapsed_ms,
        )


def _auth(options: RestRecordOptions, credentials: Secrets) -> dict[str, str]:
    if options.auth == "basic":
        pair = f"{credentials.get('username', '')}:{credentials.get('password', '')}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
    if options.auth == "bearer":
        return {"Authorization": f"Bearer {credentials.get('token', '')}"}
    if options.auth == "header":
        return {options.auth_header: credentials.get("token", "")}
    return {}


def _token(options: RestRecordOptions, credentials: Secrets) -> TokenRequest | None:
    if options.auth != "oauth2" or options.token_url is None:
        return None
    form = {"grant_type": "client_credentials"} | ({"scope": options.scope} if options.scope else {})
    return TokenRequest(
        options.token_url,
        form | {"client_id": credentials.get("client_id", ""), "client_secret": credentials.get("client_secret", "")},
    )


def _all_names(mapping: RequestMapping) -> list[str]:
    return [*names_in(mapping.path), *names_in(mapping.query), *names_in(mapping.body)]
