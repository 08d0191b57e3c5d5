"""What goes wrong with Key Vault, in sentences that say what to do.

They name the setting ``KEY_VAULT_URI`` and the role, never the vault, a tenant or a value: anybody may read them.
Contract: the REST reference of Key Vault (codes of ``error`` and ``innererror``).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from shared.errors import InvalidInput, NotFound, OvenbridgeError, Unavailable

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError

__all__ = ["Occupied", "is_passing", "retry_after", "slow", "translated", "unavailable"]

ROLE: Final = "Key Vault Secrets Officer"
WHERE: Final = "the vault of KEY_VAULT_URI"
LONGEST_RETRY_AFTER = 3600.0

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same call may work a moment later."""

_VERBS: Final = {
    "getSecret": "read",
    "setSecret": "write",
    "readMetadata": "list",
    "delete": "delete",
    "recover": "recover",
}
_ACTION = re.compile(r"vaults/(?:deleted)?secrets/(\w+)")


class Occupied(Exception):
    """The name is taken by a secret that was deleted, or the vault is at work on it (409)."""

    def __init__(self, deleted: bool) -> None:
        super().__init__("deleted" if deleted else "busy")
        self.deleted = deleted
        """It waits in the soft delete; otherwise it is being deleted or recovered just now."""


def unavailable(sentence: str, *, after: float = 5.0) -> Unavailable:
    """Said to anybody as it is."""
    return Unavailable(sentence, retry_after=after, advice=sentence)


def slow(seconds: float, *, signing_in: bool) -> Unavailable:
    """Our patience is over."""
    if signing_in:
        return unavailable(f"The sign-in for {WHERE} did not answer within {seconds:g} s; we try again.")
    return unavailable(
        f"{WHERE[0].upper()}{WHERE[1:]} did not answer within {seconds:g} s. If that lasts, check its firewall and "
        "private endpoint."
    )


def is_passing(error: Exception) -> bool:
    """May the same call work a moment later?"""
    from azure.core.exceptions import (
        ClientAuthenticationError,
        HttpResponseError,
        ServiceRequestError,
        ServiceResponseError,
    )

    if isinstance(error, ClientAuthenticationError):
        return False
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return error.status_code in PASSING
    if isinstance(error, ServiceRequestError):
        return _reason(error) not in ("certificate", "name")
    # A broken answer is an HttpResponseError without status.
    return isinstance(error, ServiceResponseError | HttpResponseError)


def retry_after(error: Exception) -> float | None:
    """Seconds the vault asks us to stay away; ``None``: it did not say."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    said = str(headers.get("Retry-After", "")).strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if seconds == seconds else None


def translated(error: Exception) -> OvenbridgeError | Occupied:
    """What a failure of the SDK means."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError

    if isinstance(error, ClientAuthenticationError) and error.response is None:
        return unavailable(error.message, after=10.0)  # our own sentence: see shared/azure_identity.py
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return _refused(error, error.status_code)
    if isinstance(error, ServiceRequestError):
        return _unreachable(error)
    if isinstance(error, ValueError):
        # The SDK checks whom the challenge speaks for, so that nobody else gets our token.
        return _no_vault()
    return unavailable(f"The connection to {WHERE} broke; we try again.")


def _refused(error: HttpResponseError, status: int) -> OvenbridgeError | Occupied:
    code, inner, said = _codes(error)
    if status == 401:
        return unavailable(
            f"{WHERE[0].upper()}{WHERE[1:]} does not accept our token: is it in the tenant of the app's identity?",
            after=30.0,
        )
    if status == 403:
        return _forbidden(inner, said)
    if status == 404:
        return NotFound("The vault has no such secret.") if code == "SecretNotFound" else _no_vault()
    if status == 409:
        return Occupied(deleted=inner == "ObjectIsDeletedButRecoverable")
    if status == 429:
        asked = retry_after(error)
        return unavailable(
            f"{WHERE[0].upper()}{WHERE[1:]} is asked too often (429) and wants a pause.", after=asked or 10.0
        )
    if status in (400, 413) and "too long" in said.lower():
        return InvalidInput("The secret is too long for the vault; store less in it.", field="value")
    if status in PASSING:
        return unavailable(f"{WHERE[0].upper()}{WHERE[1:]} is out of order at the moment ({status}).")
    return unavailable(f"{WHERE[0].upper()}{WHERE[1:]} refused the call ({status} {code or 'without a code'}).")


def _forbidden(inner: str, said: str) -> OvenbridgeError:
    if inner == "SecretDisabled" or "disabled secret" in said:
        return NotFound("The secret is disabled in the vault: enable its newest version, or give it anew.")
    if inner in ("ForbiddenByFirewall", "ForbiddenByConnection"):
        return unavailable(
            f"The firewall of {WHERE} does not let us in: allow the app's network, or give the vault a private "
            "endpoint in it.",
            after=30.0,
        )
    found = _ACTION.search(said)
    action = found[1] if found else "getSecret"
    return unavailable(
        f"The app's identity may not {_VERBS.get(action, 'use')} secrets in {WHERE}. Give it the role {ROLE} on the "
        f"vault, or one of your own that allows secrets/{action}. A new role takes some minutes to work; no restart "
        "is needed.",
        after=30.0,
    )


def _no_vault() -> Unavailable:
    return unavailable(
        "What answers at KEY_VAULT_URI is not a Key Vault we may sign in to: write https://<vault>.vault.azure.net/.",
        after=30.0,
    )


def _unreachable(error: Exception) -> Unavailable:
    reason = _reason(error)
    if reason == "name":
        return unavailable(
            f"The host name of {WHERE} cannot be resolved: check its spelling, and with a private endpoint the zone "
            "privatelink.vaultcore.azure.net.",
            after=30.0,
        )
    if reason == "certificate":
        return unavailable(
            f"The certificate of {WHERE} is not accepted: something between us and the vault replaces it (a proxy "
            "that looks into TLS), or the address is wrong.",
            after=30.0,
        )
    return unavailable(
        f"{WHERE[0].upper()}{WHERE[1:]} cannot be reached: check its firewall, private endpoint, and our way out on "
        "port 443."
    )


def _reason(error: Exception) -> str:
    import aiohttp

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientConnectorDNSError):
            return "name"
        if isinstance(cause, aiohttp.ClientSSLError):
            return "certificate"
        cause = cause.__cause__ or cause.__context__
    return "connection"


def _codes(error: HttpResponseError) -> tuple[str, str, str]:
    """Code, inner code and sentence of the vault; empty when the answer is not the vault's."""
    body: Any = error.error
    inner = getattr(body, "innererror", None) or {}
    return (
        str(getattr(body, "code", "") or ""),
        str(inner.get("code", "")) if isinstance(inner, dict) else "",
        str(getattr(body, "message", "") or ""),
    )
