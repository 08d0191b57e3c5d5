"""Somebody who signed in with Microsoft Entra, as App Service authentication ("Easy Auth") tells it.

The platform puts the claims into ``X-MS-CLIENT-PRINCIPAL`` (base64 of ``{"auth_typ", "claims": [{"typ", "val"}]}``)
and strips such headers from what comes in from outside - but only where it is switched on. So nobody may ask this
module before :func:`platform_strips_headers` said yes. Contract: learn.microsoft.com "Work with user identities in
Azure App Service authentication"; reference "Azure architecture" 4.1.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.access.model import Caller, Role
from shared.errors import Forbidden, Unauthorized
from shared.settings import Settings

__all__ = ["PRINCIPAL", "platform_strips_headers", "principal"]

PRINCIPAL = "x-ms-client-principal"
MAX_PRINCIPAL_CHARACTERS = 65_536

_ID = ("http://schemas.microsoft.com/identity/claims/objectidentifier", "oid")
_NAME = ("name", "preferred_username", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name", "app_displayname")
_APP = ("azp", "appid")
_TENANT = ("http://schemas.microsoft.com/identity/claims/tenantid", "tid")
_ROLES = ("roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role")
"""How the claims are called: with and without the platform's mapping to long names."""

ROLES = {role.value: role for role in Role}
"""App roles of the Entra registration are called Viewer, Operator, Engineer, Auditor and Admin; case does not count."""


class _Claim(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    typ: str
    val: str


class _Principal(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    auth_typ: Literal["aad"]
    claims: list[_Claim] = Field(max_length=1_000)

    def first(self, names: Sequence[str]) -> str | None:
        return next((claim.val for name in names for claim in self.claims if claim.typ == name and claim.val), None)

    def all(self, names: Sequence[str]) -> set[str]:
        return {claim.val for claim in self.claims if claim.typ in names}


def platform_strips_headers(settings: Settings) -> bool:
    """Does App Service authentication stand before us? Only there an ``X-MS-CLIENT-PRINCIPAL`` is the platform's word.

    ``WEBSITE_AUTH_ENABLED`` is set by the platform; that ``WEBSITE_HOSTNAME`` is there too and that we are not the
    local host keeps a copied environment file from opening a laptop or a relay.
    """
    return settings.website_auth_enabled and bool(settings.website_hostname) and not settings.serves_loopback


def principal(headers: Mapping[str, str], settings: Settings) -> Caller:
    """The caller that the platform vouches for. Without one of our app roles they may do nothing.

    Args:
        headers: of a call that holds :data:`PRINCIPAL`, where :func:`platform_strips_headers`.
        settings: for the tenant, and for our own address.

    Raises:
        Unauthorized: the header cannot be read, or the sign-in was not with Entra.
        Forbidden: another tenant, or a page from elsewhere uses the session cookie of a person.
    """
    said = _read(headers[PRINCIPAL])
    if settings.entra_tenant_id and said.first(_TENANT) != settings.entra_tenant_id:
        raise Forbidden("This account belongs to another organisation. Sign in with one of the tenant of Ovenbridge.")
    _refuse_other_pages(headers, settings)
    who = said.first(_ID)
    if who is None:
        raise Unauthorized("The sign-in does not say who it is (no object id). Sign in again.")
    roles = frozenset(ROLES[value.casefold()] for value in said.all(_ROLES) if value.casefold() in ROLES)
    name = said.first(_NAME) or (f"the application {app}" if (app := said.first(_APP)) else who)
    return Caller(id=f"entra:{who}", name=name[:200], roles=roles, how="entra")


def _read(header: str) -> _Principal:
    if len(header) > MAX_PRINCIPAL_CHARACTERS:
        raise Unauthorized("The sign-in has too many claims to be read. Assign app roles instead of groups.")
    try:
        return _Principal.model_validate_json(base64.b64decode(header, validate=True))
    except (binascii.Error, ValidationError, ValueError) as err:
        raise Unauthorized("The sign-in cannot be read. Sign in again with Microsoft Entra.") from err


def _refuse_other_pages(headers: Mapping[str, str], settings: Settings) -> None:
    """A browser sends the session cookie along with what any page asks for; with it comes that page's ``Origin``."""
    origin = headers.get("origin")
    if origin is None or "authorization" in headers:
        return
    own = {urlsplit(settings.base_url).netloc.casefold(), settings.website_hostname.casefold()}
    if urlsplit(origin).scheme != "https" or urlsplit(origin).netloc.casefold() not in own:
        raise Forbidden("A web page from elsewhere may not use your session. Open Ovenbridge itself.")
