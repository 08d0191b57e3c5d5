"""What Azure Storage says no with, in sentences that tell an operator what to do.

Never the SDK's own text: it holds the request's address and, for some failures, the string that was signed.
"""

from __future__ import annotations

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ServiceRequestError,
    ServiceResponseError,
)

from shared.errors import Conflict, NotFound, OvenbridgeError, Unavailable

__all__ = ["translated"]

EXISTS = {"BlobAlreadyExists", "BlobImmutableDueToPolicy", "UnauthorizedBlobOverwrite", "ConditionNotMet"}
"""Codes that a create gets where there is a blob of that name. With ``If-None-Match: *`` the first; the others come
from an immutability policy, from a right that only allows to create, and from a proxy that judges the condition."""

LATER_SECONDS = 30.0
"""Somebody has to change a setting or a role: asking sooner does not help."""


def translated(err: AzureError | TimeoutError, *, name: str, container: str, setting: str) -> OvenbridgeError:
    """Our error for one of the SDK's.

    Args:
        err: what was raised.
        name: of the blob; empty or a prefix when the container was asked.
        container: of the blobs.
        setting: the connection's prefix.
    """
    if isinstance(err, HttpResponseError) and err.status_code is not None:
        return _refused(err, err.status_code, name, container, setting)
    if type(err).__name__ == "AzureSigningError":
        # Not among the SDK's public names.
        return Unavailable(f"The account key in {setting} is not usable; copy it again.", retry_after=LATER_SECONDS)
    if isinstance(err, ClientAuthenticationError):
        # Of our own making (azure_identity.py): a sentence.
        return Unavailable(f"{setting}: {err.message}", retry_after=LATER_SECONDS)
    if isinstance(err, ServiceRequestError | ServiceResponseError | TimeoutError):
        return Unavailable(
            f"The blob service of {setting} did not answer. Check its address, network rules and private endpoint."
        )
    return Unavailable(f"The blob service of {setting} could not be used ({type(err).__name__}).")


def _refused(err: HttpResponseError, status: int, name: str, container: str, setting: str) -> OvenbridgeError:
    code = _code(err)
    if code in EXISTS or (isinstance(err, ResourceExistsError) and not code):
        return Conflict(f"There is a blob {name} already.")
    if status == 404 and code == "ContainerNotFound":
        return Unavailable(
            f"The blob container {container} is missing in the account of {setting}. Deploy infra/main.bicep, which "
            "makes it.",
            retry_after=LATER_SECONDS,
        )
    if status == 404:
        return NotFound(f"There is no blob {name}.")
    if status in (401, 403):
        return Unavailable(_no_right(code, container, setting), retry_after=LATER_SECONDS)
    if status == 400 and code == "InvalidHeaderValue":
        return Unavailable(f"The blob service of {setting} does not know our protocol version; update the emulator.")
    return Unavailable(
        f"The blob service of {setting} answered {status}{f' ({code})' if code else ''}; trying again later.",
        retry_after=_retry_after(err),
    )


def _no_right(code: str, container: str, setting: str) -> str:
    if code == "KeyBasedAuthenticationNotPermitted":
        return (
            f"The account of {setting} takes no account keys. Use the app's identity: set {setting}__blobServiceUri "
            f"in place of {setting}."
        )
    if code in ("AuthorizationFailure", "AuthenticationFailed"):
        return (
            f"The blob service of {setting} refused us ({code}): the account key is wrong, or its firewall does not "
            "let this app in. Check the key, the network rules and the private endpoint."
        )
    return (
        f"The blob service of {setting} refused us{f' ({code})' if code else ''}. Give the app's identity the role "
        f"`Storage Blob Data Contributor`, or one that may read and add blobs, on the container {container} "
        "(infra/main.bicep does); a new role takes some minutes to work."
    )


def _code(err: HttpResponseError) -> str:
    code = getattr(err, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _retry_after(err: HttpResponseError) -> float:
    headers = getattr(err.response, "headers", None) or {}
    text = str(headers.get("Retry-After", ""))
    return min(max(float(text), 1.0), 60.0) if text.isdecimal() else 5.0
