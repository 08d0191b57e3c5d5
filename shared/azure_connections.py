"""Which Azure services this deployment uses, as its settings name them.

The names are those of the Functions host's own bindings (an identity-based connection is a prefix and ``__``), so that
triggers and our SDK clients read the same settings. Contract: reference "Azure architecture", section 1.5.

Nothing here raises: an app with a missing or half-set connection still indexes and answers ``/api/health/ready``, which
names what is wrong. The service that needs the connection raises then (:meth:`AzureConnection.require`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shared.errors import Unavailable

__all__ = ["CONNECTION_FORMS", "AzureConnection", "AzureConnections", "ConnectionForm"]


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
class ConnectionForm:
    """How the settings of one connection are written: ``setting__part``, ``setting__credential``,
    ``setting__clientId``, or ``setting`` alone with a connection string."""

    setting: str
    part: str
    """What follows ``__``: the address of the service."""
    example: str
    service: str


_COSMOS = ConnectionForm(
    "CosmosConnection", "accountEndpoint", "https://<account>.documents.azure.com:443/", "Cosmos DB"
)
_SERVICE_BUS = ConnectionForm(
    "ServiceBusConnection", "fullyQualifiedNamespace", "<namespace>.servicebus.windows.net", "Service Bus"
)
_ANCHORS = ConnectionForm(
    "AuditAnchorsConnection", "blobServiceUri", "https://<account>.blob.core.windows.net", "the anchors' storage"
)

CONNECTION_FORMS = (_COSMOS, _SERVICE_BUS, _ANCHORS)


@dataclass(frozen=True, slots=True)
class AzureConnections:
    """All of them. The default: none, everything is embedded."""

    cosmos: AzureConnection = AzureConnection("CosmosConnection")
    service_bus: AzureConnection = AzureConnection("ServiceBusConnection")
    key_vault: AzureConnection = AzureConnection("KEY_VAULT_URI")
    anchors: AzureConnection = AzureConnection("AuditAnchorsConnection")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> AzureConnections:
        """Read them; names are matched whatever their case, as the host does.

        In Azure all of them are wanted whether or not their settings are there: an embedded backend would
        keep a plant's data on the disk of an instance, and lose it with the instance.
        """
        given = {name.casefold(): value.strip() for name, value in environment.items() if value.strip()}
        connections = cls(
            cosmos=_connection(_COSMOS, given),
            service_bus=_connection(_SERVICE_BUS, given),
            key_vault=_vault(given),
            anchors=_connection(_ANCHORS, given),
        )
        if _in_azure(given):
            connections = replace(
                connections,
                cosmos=_needed(connections.cosmos, _COSMOS),
                service_bus=_needed(connections.service_bus, _SERVICE_BUS),
                key_vault=_needed(connections.key_vault, None),
                anchors=_needed(connections.anchors, _ANCHORS),
            )
        return connections._with_one_identity()

    @classmethod
    def unusable(cls, problem: str) -> AzureConnections:
        """Settings that cannot be read: whoever wants a backend is told why."""
        return cls(
            *(
                AzureConnection(setting, wanted=True, problem=problem)
                for setting in ("CosmosConnection", "ServiceBusConnection", "KEY_VAULT_URI", "AuditAnchorsConnection")
            )
        )

    def require(self) -> None:
        """Raises ``Unavailable`` for the first that is wanted and cannot be used as it is set."""
        for connection in (self.cosmos, self.service_bus, self.key_vault, self.anchors):
            connection.require()

    @property
    def client_id(self) -> str:
        """Of the identity that the app signs in as; empty: whatever the environment offers."""
        every = (self.cosmos, self.service_bus, self.key_vault, self.anchors)
        return next((c.client_id for c in every if c.wanted and c.client_id and not c.connection_string), "")

    def _with_one_identity(self) -> AzureConnections:
        """The app signs in once, for all services: what asks for another identity would be given the wrong one."""
        one = self.client_id.casefold()
        first = next((c.setting for c in (self.cosmos, self.service_bus, self.key_vault) if c.client_id), "")

        def checked(connection: AzureConnection) -> AzureConnection:
            other = connection.client_id.casefold()
            fits = not connection.wanted or connection.connection_string or other in ("", one)
            if fits or connection.problem:
                return connection
            name = "AZURE_CLIENT_ID" if connection.setting == "KEY_VAULT_URI" else f"{connection.setting}__clientId"
            problem = (
                f"{name} names another identity than {first}__clientId. The app signs in as one: set both to the "
                "client id of its user-assigned identity."
            )
            return replace(connection, problem=problem)

        return replace(
            self,
            service_bus=checked(self.service_bus),
            key_vault=checked(self.key_vault),
            anchors=checked(self.anchors),
        )


def _in_azure(given: Mapping[str, str]) -> bool:
    """The platform names instance and host. The Functions host elsewhere names a host of its own machine."""
    host = given.get("website_hostname", "").rpartition(":")[0] or given.get("website_hostname", "")
    if not host:
        return "website_instance_id" in given
    try:
        return ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return host.casefold() != "localhost"


def _needed(connection: AzureConnection, form: ConnectionForm | None) -> AzureConnection:
    if connection.wanted:
        return connection
    what = "KEY_VAULT_URI=https://<vault>.vault.azure.net/"
    if form is not None:
        what = f"{form.setting}__{form.part}={form.example}, with __credential=managedidentity and __clientId"
    problem = f"{connection.setting} is not set. In Azure nothing is kept on the disk of an instance. Set {what}."
    return replace(connection, wanted=True, problem=problem)


def _connection(form: ConnectionForm, given: Mapping[str, str]) -> AzureConnection:
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


def _problem(form: ConnectionForm, text: str, address: str, parts: Mapping[str, str]) -> str:
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


_VAULT = re.compile(r"https://([A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?/?")


def _vault(given: Mapping[str, str]) -> AzureConnection:
    uri = given.get("key_vault_uri", "")
    problem = ""
    if uri and not _VAULT.fullmatch(uri):
        problem = "KEY_VAULT_URI is not usable: write https://<vault>.vault.azure.net/ and nothing behind it."
    client_id = given.get("azure_client_id", "")
    return AzureConnection("KEY_VAULT_URI", bool(uri), address=uri, client_id=client_id, problem=problem)
