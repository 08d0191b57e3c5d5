"""Which Azure services this deployment uses, as its settings name them.

The names are those of the Functions host's own bindings (an identity-based connection is a prefix and ``__``), so that
triggers and our SDK clients read the same settings. Contract: reference "Azure architecture", section 1.5.

Nothing here raises: an app with a missing or half-set connection still indexes and answers ``/api/health/ready``, which
names what is wrong. The service that needs the connection raises then (:meth:`AzureConnection.require`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.errors import Unavailable

__all__ = ["AzureConnection", "AzureConnections"]


@dataclass(frozen=True, slots=True)
class AzureConnection:
    """How one service is reached: by identity (``address``) or, for emulators, by a connection string."""

    setting: str
    """The prefix: ``CosmosConnection``."""
    wanted: bool = False
    """Any of its settings is there: the embedded backend must not take its place in silence."""
    address: str = ""
    """``https://account.documents.azure.com:443/``, ``namespace.servicebus.windows.net``, a vault's or blob URL."""
    connection_string: str = field(default="", repr=False)
    client_id: str = ""
    """Of the user-assigned identity; empty: whatever ``DefaultAzureCredential`` finds."""
    problem: str = ""
    """What is missing or contradictory, and what to write. Empty: usable as far as one can tell without asking."""

    def require(self) -> AzureConnection:
        """This connection. Raises ``Unavailable`` with the sentence when it cannot be used as it is set."""
        if self.problem:
            raise Unavailable(self.problem, retry_after=30.0, advice=self.problem)
        return self


@dataclass(frozen=True, slots=True)
class _Form:
    setting: str
    part: str
    """What follows ``__``: the address of the service."""
    example: str
    service: str


_COSMOS = _Form("CosmosConnection", "accountEndpoint", "https://<account>.documents.azure.com:443/", "Cosmos DB")
_SERVICE_BUS = _Form(
    "ServiceBusConnection", "fullyQualifiedNamespace", "<namespace>.servicebus.windows.net", "Service Bus"
)
_ANCHORS = _Form(
    "AuditAnchorsConnection", "blobServiceUri", "https://<account>.blob.core.windows.net", "the anchors' storage"
)


@dataclass(frozen=True, slots=True)
class AzureConnections:
    """All of them. The default: none, everything is embedded."""

    cosmos: AzureConnection = AzureConnection("CosmosConnection")
    service_bus: AzureConnection = AzureConnection("ServiceBusConnection")
    key_vault: AzureConnection = AzureConnection("KEY_VAULT_URI")
    anchors: AzureConnection = AzureConnection("AuditAnchorsConnection")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> AzureConnections:
        """Read them; names are matched whatever their case, as the host does."""
        given = {name.casefold(): value.strip() for name, value in environment.items() if value.strip()}
        return cls(
            cosmos=_connection(_COSMOS, given),
            service_bus=_connection(_SERVICE_BUS, given),
            key_vault=_vault(given),
            anchors=_connection(_ANCHORS, given),
        )


def _connection(form: _Form, given: Mapping[str, str]) -> AzureConnection:
    prefix = form.setting.casefold()
    text = given.get(prefix, "")
    parts = {name.removeprefix(f"{prefix}__"): value for name, value in given.items() if name.startswith(f"{prefix}__")}
    address = parts.get(form.part.casefold(), "")
    return AzureConnection(
        form.setting,
        wanted=bool(text or parts),
        address=address,
        connection_string=text,
        client_id=parts.get("clientid", given.get("azure_client_id", "")),
        problem=_problem(form, text, address, parts),
    )


def _problem(form: _Form, text: str, address: str, parts: Mapping[str, str]) -> str:
    by_identity = f"{form.setting}__{form.part}={form.example}"
    if text and address:
        return f"{form.setting} and {form.setting}__{form.part} are both set. Keep one: {by_identity} (by identity)."
    if text and "=" not in text:
        return f"{form.setting} is no connection string. To reach {form.service} by identity, set {by_identity}."
    if parts and not text and not address:
        return f"{form.setting} is half set: {form.setting}__{form.part} is missing. Set {by_identity}."
    if "credential" in parts and parts["credential"].casefold() != "managedidentity":
        return f"{form.setting}__credential must be `managedidentity`, or be left out."
    if parts.get("credential") and not parts.get("clientid") and not text:
        return (
            f"{form.setting} is half set: {form.setting}__clientId is missing. With __credential=managedidentity, set "
            "it to the client id of the app's user-assigned identity."
        )
    return ""


def _vault(given: Mapping[str, str]) -> AzureConnection:
    uri = given.get("key_vault_uri", "")
    problem = ""
    if uri and not uri.startswith("https://"):
        problem = "KEY_VAULT_URI is not usable: write https://<vault>.vault.azure.net/."
    client_id = given.get("azure_client_id", "")
    return AzureConnection("KEY_VAULT_URI", bool(uri), address=uri, client_id=client_id, problem=problem)
