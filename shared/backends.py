"""The backends of this process: which of them runs, and what the rooms above share of the outside world.

Everything is built on first use, once per process, inside the running loop; heavy libraries are imported where they
are needed. ``services.py`` plugs the rooms together on top of this.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from shared.clock import Clock, SystemClock

if TYPE_CHECKING:
    from shared.azure_identity import AzureIdentity
    from shared.blobs import BlobStore
    from shared.messaging import Queue, QueueReceiver
    from shared.messaging.service_bus import ServiceBusQueue
    from shared.messaging.sqlite import SqliteQueue
    from shared.outgoing.http import OutgoingHttp
    from shared.outgoing.targets import TargetPolicy
    from shared.readiness import Readiness
    from shared.secrets import Vault
    from shared.secrets.expiry import ExpiryWatch
    from shared.settings import Settings
    from shared.sqlite_file import SqliteFile
    from shared.storage import DocumentStore

__all__ = ["Backends"]


class Backends:
    """Store, queues, vault, blobs, HTTP and who we are, as the settings choose them."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.crew: tuple[int, int] | None = None
        """Which of how many processes over one data folder this is (``python -m local --workers``); ``None``: alone."""

    @cached_property
    def _file(self) -> SqliteFile:
        from shared.sqlite_file import SqliteFile

        return SqliteFile.open(self.settings.data_dir / "ovenbridge.db", self.crew)

    @cached_property
    def identity(self) -> AzureIdentity:
        """Who we are in Azure."""
        from shared.azure_identity import AzureIdentity

        return AzureIdentity(self.settings.azure.client_id)

    @cached_property
    def store(self) -> DocumentStore:
        """Documents."""
        if self.settings.azure.cosmos.wanted:
            from shared.storage.cosmos import CosmosStore

            return CosmosStore(
                self.settings.azure.cosmos, self.identity, database=self.settings.cosmos_database, clock=self.clock
            )
        from shared.storage.sqlite import SqliteStore

        return SqliteStore(self._file, self.clock)

    @cached_property
    def _queue(self) -> ServiceBusQueue | SqliteQueue:
        if self.settings.azure.service_bus.wanted:
            from shared.messaging.service_bus import ServiceBusQueue

            return ServiceBusQueue(
                self.settings.azure.service_bus,
                self.identity,
                clock=self.clock,
                transport=self.settings.service_bus_transport,
            )
        from shared.messaging.sqlite import SqliteQueue

        return SqliteQueue(self._file, self.clock)

    @property
    def queue(self) -> Queue:
        """Where messages are sent."""
        return self._queue

    @property
    def receiver(self) -> QueueReceiver:
        """Where the local host receives them. In Azure the Functions host does."""
        return self._queue

    @cached_property
    def vault(self) -> Vault:
        """Credentials."""
        if self.settings.azure.key_vault.wanted:
            from shared.secrets.key_vault import KeyVault

            return KeyVault(self.settings.azure.key_vault, self.identity, clock=self.clock)
        from shared.secrets.file_vault import FileVault

        return FileVault(self.settings.data_dir / "vault", self.clock)

    @cached_property
    def anchor_blobs(self) -> BlobStore:
        """Where the audit log's anchors are kept."""
        if self.settings.azure.anchors.wanted:
            from shared.blobs.blob_storage import BlobStorage

            return BlobStorage(self.settings.azure.anchors, self.identity, container="audit-anchors")
        from shared.blobs.files import BlobFiles

        return BlobFiles(self.settings.data_dir / "audit-anchors")

    @cached_property
    def capture_blobs(self) -> BlobStore:
        """Where photos and films of sessions are kept."""
        if self.settings.azure.anchors.wanted:
            from shared.blobs.blob_storage import BlobStorage

            return BlobStorage(self.settings.azure.anchors, self.identity, container="session-captures")
        from shared.blobs.files import BlobFiles

        return BlobFiles(self.settings.data_dir / "session-captures")

    @cached_property
    def export_blobs(self) -> BlobStore:
        """Where the files of each day are kept, for BI tools."""
        if self.settings.azure.anchors.wanted:
            from shared.blobs.blob_storage import BlobStorage

            return BlobStorage(self.settings.azure.anchors, self.identity, container="work-exports")
        from shared.blobs.files import BlobFiles

        return BlobFiles(self.settings.data_dir / "work-exports")

    @cached_property
    def targets(self) -> TargetPolicy:
        """Which addresses we connect to."""
        from shared.outgoing.targets import TargetPolicy

        return TargetPolicy(
            allow_private=self.settings.allow_private_targets, allow_http=self.settings.allow_http_targets
        )

    @cached_property
    def http(self) -> OutgoingHttp:
        """All outgoing HTTP."""
        from shared.outgoing.http import OutgoingHttp

        return OutgoingHttp(self.targets)

    @cached_property
    def readiness(self) -> Readiness:
        """Whether the backends can be used."""
        from shared.readiness import Probe, Readiness

        probes = {"settings": Probe(lambda: self.settings, "Check the settings.")}
        if not self.settings.problem:
            probes |= {
                "store": Probe(lambda: self.store, "Check the document store: is it reachable, writable, not full?"),
                "vault": Probe(lambda: self.vault, "Check the vault: is it reachable, and may we read?"),
            }
        # A relay needs neither: it may send to one queue alone, and goes on while it cannot, which it says itself.
        if not self.settings.problem and not self.settings.relay_id:
            probes |= {
                "queue": Probe(lambda: self.queue, "Check the message queue: is it reachable, and may we send?"),
                "anchors": Probe(
                    lambda: self.anchor_blobs, "Check where audit anchors are kept: is it set, and may we read?"
                ),
            }
        return Readiness(probes, show_details=self.settings.serves_loopback, expiring=self.expiring.known)

    @cached_property
    def expiring(self) -> ExpiryWatch:
        """Which credentials in the vault end soon."""
        from shared.secrets.expiry import ExpiryWatch

        return ExpiryWatch(self.vault, self.clock)
