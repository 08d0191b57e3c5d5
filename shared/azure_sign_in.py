"""Why Azure gives us no token, in sentences that say what to do. No names of accounts, tenants or machines in them."""

from __future__ import annotations

import os
import re
from typing import Final

__all__ = ["sign_in_problem"]

NO_IDENTITY: Final = (
    "No Azure identity was found. In Azure assign a user-assigned identity to the app and set its client id; on a "
    "relay set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_CERTIFICATE_PATH; on a laptop run `az login`."
)
NOT_ASSIGNED: Final = (
    "Azure gives the app no token: the identity with this client id is not assigned to it. Assign the user-assigned "
    "identity to the app, or correct __clientId of the connections and AZURE_CLIENT_ID."
)
AILING: Final = (
    "The platform's identity endpoint gives no token at the moment: it answers with an error, or not in time. That "
    "passes by itself, as a rule within a minute."
)
UNREACHABLE: Final = (
    "Entra did not sign the app in: check that this machine reaches login.microsoftonline.com on port 443 (name "
    "resolution, firewall, proxy)."
)
CERTIFICATE_FILE: Final = (
    "The certificate of AZURE_CLIENT_CERTIFICATE_PATH cannot be read: it must be a PEM or PKCS12 file with its private "
    "key, readable for this process."
)
CERTIFICATE_REFUSED: Final = (
    "Entra does not accept the certificate of AZURE_CLIENT_CERTIFICATE_PATH: it has expired, or is not registered for "
    "the app of AZURE_CLIENT_ID, or the clock of this machine is wrong."
)
CLIENT_EXPIRED: Final = (
    "The app's client secret has expired. Create a new one and set AZURE_CLIENT_SECRET, or better: sign in with a "
    "certificate (AZURE_CLIENT_CERTIFICATE_PATH)."
)
CLIENT_WRONG: Final = (
    "AZURE_CLIENT_SECRET is not a secret of the app registration; its value is needed, not the secret's id."
)
NO_APP: Final = "Entra knows no app of AZURE_CLIENT_ID in the tenant of AZURE_TENANT_ID: correct one of them."
NO_TENANT: Final = "AZURE_TENANT_ID names no tenant of Entra: correct it."
CHOICE: Final = "AZURE_TOKEN_CREDENTIALS has a value that is not known: remove it, or set it to `prod`."

_SAID: Final = {
    r"No (MSI|(User )?Assigned|User Assigned or Delegated).*found|has not been assigned": NOT_ASSIGNED,
    "AADSTS7000222": CLIENT_EXPIRED,
    "AADSTS7000215": CLIENT_WRONG,
    "AADSTS700027|AADSTS7000277|AADSTS700024": CERTIFICATE_REFUSED,
    "AADSTS700016|AADSTS70001:": NO_APP,
    "AADSTS90002|AADSTS900021|AADSTS900023": NO_TENANT,
    "AZURE_TOKEN_CREDENTIALS": CHOICE,
}
"""What the platform or Entra said, and what that means. The first that fits counts."""


def sign_in_problem(error: BaseException) -> str:
    """The sentence for what ``DefaultAzureCredential`` raised, when it was built or when it was asked."""
    said = str(error)
    for pattern, sentence in _SAID.items():
        if re.search(pattern, said):
            return sentence
    if code := re.search(r"AADSTS\d+", said):
        return f"Entra refuses to sign the app in ({code[0]}): look the code up in Entra's documentation."
    if isinstance(error, TimeoutError) or "failed to retrieve a token" in said:
        return _nothing_came()
    if isinstance(error, OSError | ValueError) and "AZURE_CLIENT_CERTIFICATE_PATH" in os.environ:
        return CERTIFICATE_FILE
    return f"The sign-in to Azure failed ({type(error).__name__}); the log has the details."


def _nothing_came() -> str:
    if "IDENTITY_ENDPOINT" in os.environ:
        return AILING
    if all(os.environ.get(name) for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID")):
        return UNREACHABLE
    return NO_IDENTITY
