"""All of Azure that the app uses, on this machine: Cosmos DB, Service Bus, Key Vault, the managed identity, and blobs.

The app signs in with the real ``DefaultAzureCredential`` where the SDK lets a local server take part: Cosmos DB and Key
Vault over TLS with tokens of the managed identity. Service Bus and Azurite are reached by the connection strings that
Microsoft's own emulators have. The identity may do what ``infra/modules`` gives it: everything in every container, but
only create and read in ``audit``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Self

from shared.azure_connections import AzureConnections
from shared.clock import Clock
from shared.topology import topology
from tests.wire.azurite import Azurite
from tests.wire.cosmos import CosmosServer
from tests.wire.cosmos.roles import CONTRIBUTOR, CREATE_ONLY
from tests.wire.identity import ManagedIdentityServer
from tests.wire.key_vault import KeyVaultServer
from tests.wire.service_bus import ServiceBusServer

__all__ = ["AzureWire"]

AUDIT = "audit"


class AzureWire:
    """``with AzureWire() as azure:`` starts all of it on free ports.

    Args:
        clock: whose time counts for documents, messages and secrets.
        blobs: an Azurite to use for audit anchors (several tests share one: it weighs 145 MB); ``None``: the anchors
            stay in files.
        own_environment: also set the variables of the identity and of the certificate in this process, where the SDKs
            look for them; they are put back at the end.
    """

    def __init__(
        self, *, clock: Clock | None = None, blobs: Azurite | None = None, own_environment: bool = True
    ) -> None:
        self.cosmos = CosmosServer(clock=clock, tls=True)
        self.service_bus = ServiceBusServer(clock=clock)
        self.key_vault = KeyVaultServer(clock=clock)
        self.identity = ManagedIdentityServer()
        self._blobs = blobs
        self._own_environment = own_environment
        self._before: dict[str, str | None] = {}

    def start(self) -> Self:
        """Start all servers; they listen when this returns."""
        self.cosmos.start()
        self.service_bus.start()
        self.key_vault.start()
        self.identity.start()
        self.cosmos.create_topology()
        self.cosmos.roles[self.identity.oid] = {
            name: CREATE_ONLY if name == AUDIT else CONTRIBUTOR for name in topology().containers
        }
        if self._own_environment:
            for name, value in self.environment.items():
                if not name.startswith(("CosmosConnection", "ServiceBusConnection", "KEY_VAULT", "AuditAnchors")):
                    self._before[name] = os.environ.get(name)
                    os.environ[name] = value
        return self

    def stop(self) -> None:
        """Stop all servers; what they hold is gone."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()
        self.identity.stop()
        self.key_vault.close()
        self.service_bus.stop()
        self.cosmos.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    async def make_blob_containers(self) -> None:
        """What ``infra/main.bicep`` makes beside the containers of the topology."""
        if self._blobs is not None:
            await self._blobs.make_container("audit-anchors")

    @property
    def environment(self) -> dict[str, str]:
        """The settings of an app that runs on all this."""
        said = {
            **self.identity.environment,
            **self.key_vault.settings,
            "CosmosConnection__accountEndpoint": f"{self.cosmos.secure_endpoint}/",
            "CosmosConnection__credential": "managedidentity",
            "CosmosConnection__clientId": self.identity.client_id,
            "ServiceBusConnection": self.service_bus.connection_string,
        }
        return {**said, **(self._blobs.settings if self._blobs is not None else {})}

    @property
    def connections(self) -> AzureConnections:
        """The same for ``Settings(azure=...)``."""
        return AzureConnections.from_environment(self.environment)


def run(command: list[str], environment: Mapping[str, str]) -> int:
    """Run a program over a started Azure; its exit code. Without one, say the settings and serve until Ctrl-C."""
    blobs = Azurite()
    blobs.start()
    try:
        with AzureWire(blobs=blobs, own_environment=False) as azure:
            asyncio.run(azure.make_blob_containers())
            if command:
                return _child(command, {**environment, **azure.environment})
            print(*(f"{name}={value}" for name, value in azure.environment.items()), sep="\n", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
            return 0
    finally:
        blobs.stop()


def _child(command: list[str], environment: Mapping[str, str]) -> int:
    """Ctrl-C reaches the child, too: it stops in its own time, and we wait for it."""
    process = subprocess.Popen(command, env=dict(environment))
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
