"""Access tokens for FORCE Bridge clients: OAuth 2.0 client credentials, in the two dialects they speak.

The client is an API token: its id is the client id, the token itself the secret. Errors are those of RFC 6749, with
FORCE Bridge's `code`, `message` and `status` beside them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, endpoint
from functions.force_bridge import PREFIXES
from shared.errors import Forbidden, InvalidInput, OvenbridgeError, Unauthorized, UnsupportedMediaType

bp = func.Blueprint()

ROOTS = tuple(dict.fromkeys(prefix.partition("/")[0] for prefix in PREFIXES if not prefix.startswith("api/")))
"""Clients that are given the server's address without the version ask there."""

MAX_BODY = 16_384
FORM = "application/x-www-form-urlencoded"
SCOPE = "read write"
_VISIBLE = re.compile(r"[\x21-\x7e]{1,1000}")
_ERRORS = {401: "invalid_client", 403: "invalid_request", 413: "invalid_request", 429: "temporarily_unavailable"}


class InUrl(BaseModel):
    """What some clients put into the address."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    grant_type: str | None = Field(None, max_length=100, description="`client_credentials`")
    client_id: str | None = Field(None, max_length=100, description="The id of an API token.")
    client_secret: str | None = Field(
        None, max_length=200, repr=False, description="That token. Refused here unless ALLOW_SECRET_IN_URL is set."
    )
    scope: str | None = Field(None, max_length=200, description="Not looked at.")


class UnsupportedGrant(InvalidInput):
    """Another grant than client credentials."""


def refusal(error: OvenbridgeError) -> Answer:
    """With the fields of RFC 6749 section 5.2, of FORCE Bridge, and of a problem document as everywhere here."""
    from functions.force_bridge import refusal as as_force

    answer = as_force(error)
    word = "unsupported_grant_type" if isinstance(error, UnsupportedGrant) else _ERRORS.get(error.status)
    word = word or ("invalid_request" if error.status < 500 else "server_error")
    headers = dict(answer.headers)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Basic realm="Ovenbridge", charset="UTF-8"'
    said = {"error": word, "error_description": error.detail, **answer.body}
    return Answer(said, answer.status, headers, answer.content_type)


async def _issue(call: Call) -> Answer:
    call.services.settings.require()
    in_url = call.params(InUrl).model_dump(exclude_none=True)
    given = in_url | _form(call)
    if "client_secret" in in_url and not call.services.settings.allow_secret_in_url:
        raise Forbidden(
            "A secret does not belong into a URL, where logs keep it: send it by POST as a form, or with Basic "
            "authentication, and replace this one. For a client that cannot, set ALLOW_SECRET_IN_URL=true."
        )
    if given.get("grant_type") != "client_credentials":
        raise UnsupportedGrant("Send grant_type=client_credentials; there is no other way in here.", field="grant_type")
    client_id, secret = _basic(call.headers) or (given.get("client_id", ""), given.get("client_secret", ""))
    if not (_VISIBLE.fullmatch(client_id) and _VISIBLE.fullmatch(secret)):
        raise Unauthorized(
            "Say who you are, by Basic authentication or with client_id and client_secret: the id of an API token, and "
            "that token."
        )
    issued = await call.services.access.issue(client_id, secret, call.headers)
    said = {"access_token": issued.token, "token_type": "bearer", "expires_in": issued.expires_in, "scope": SCOPE}
    return Answer(said, headers={"Pragma": "no-cache"})


def _form(call: Call) -> dict[str, str]:
    if not call.raw:
        return {}
    kind = call.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if kind != FORM:
        raise UnsupportedMediaType(f"This takes {FORM}, not {kind[:80]}.")
    try:
        pairs = parse_qsl(call.raw.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError as err:  # also UnicodeDecodeError
        raise InvalidInput("The body is no form: name=value&name=value, percent-encoded.", field="body") from err
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidInput(f"{name[:50]} stands twice in the form.", field=name[:50])
        found[name] = value
    return found


def _basic(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """RFC 6749 section 2.3.1; ids and tokens of ours are the same with and without its form encoding."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise Unauthorized("The header Authorization holds no Basic credentials.") from None
    client_id, _, secret = pair.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


async def issue_access_token(call: Call) -> Answer:
    """An access token for client credentials: `Authorization: Basic client:secret` and a form."""
    return await _issue(call)


async def issue_ffauth_token(call: Call) -> Answer:
    """The same as ffauth has it. By GET the secret stands in the URL: only where ALLOW_SECRET_IN_URL is set."""
    return await _issue(call)


for _number, _prefix in enumerate((*PREFIXES, *ROOTS)):
    _function = endpoint(None, refusal=refusal, max_body_bytes=MAX_BODY, refuses=(401, 403, 429))(issue_access_token)
    _route = bp.route(f"{_prefix}/oauth/token", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
    bp.function_name(f"force_access_token_{_number + 1}")(_route(_function))

for _method in ("GET", "POST"):
    _function = endpoint(None, refusal=refusal, max_body_bytes=MAX_BODY, refuses=(401, 403, 429))(issue_ffauth_token)
    _route = bp.route("ffauth/oauth2.0/accessToken", methods=[_method], auth_level=func.AuthLevel.ANONYMOUS)
    bp.function_name(f"force_ffauth_token_{_method.lower()}")(_route(_function))
