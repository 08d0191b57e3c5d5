"""From the settings of a relay to a relay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from shared.clock import Clock
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.relay.http_uplink import HttpUplink
from shared.relay.plant_certificates import CertificateWatch
from shared.relay.plant_inbound import FetchLan, PlantInbound
from shared.relay.plant_relay import PlantRelay, RelayIdentity
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.connectors import Connectors
    from shared.connectors.opc_ua_application import OpcUaApplication
    from shared.messaging.service_bus import ServiceBusQueue
    from shared.messaging.sqlite import SqliteQueue
    from shared.relay.uplink import Uplink
    from shared.secrets import Vault

__all__ = ["plant_relay"]


def plant_relay(
    settings: Settings,
    clock: Clock,
    *,
    connectors: Callable[[], Connectors],
    vault: Callable[[], Vault],
    http: Callable[[], OutgoingHttp],
    fetcher: Callable[[PlantInbound], FetchLan] | None = None,
    queue: Callable[[], ServiceBusQueue | SqliteQueue] | None = None,
    opc_ua: Callable[[], OpcUaApplication] | None = None,
) -> PlantRelay:
    """The relay of this process; nothing is opened before it is kept running.

    ``queue``: where Service Bus is configured, the other way to the hub. ``opc_ua``: who we are to OPC UA
    servers.
    """
    needed = {"HUB_URL": settings.hub_url, "RELAY_ID": settings.relay_id, "RELAY_TOKEN": settings.relay_token}
    identity = RelayIdentity(
        relay_id=settings.relay_id,
        folder=settings.data_dir / "relay",
        spool_max_bytes=settings.spool_max_mb * 1024 * 1024,
        spool_max_days=settings.spool_max_days,
        missing=tuple(name for name, value in needed.items() if not value),
    )

    def uplink() -> Uplink:
        # Where the hub is was configured by who runs the relay, not said by a caller: it may be private.
        policy = TargetPolicy(allow_private=True, allow_http=settings.hub_url.startswith("http://"))
        relay_id, token = settings.relay_id, settings.relay_token
        by_http = HttpUplink(OutgoingHttp(policy), hub_url=settings.hub_url, relay_id=relay_id, token=token)
        if queue is None:
            return by_http
        from shared.relay.queue_uplink import QueueUplink

        both = queue()
        return QueueUplink(by_http, both, both, relay_id=relay_id, token=token, clock=clock)

    async def opc_ua_end() -> datetime | None:
        return None if opc_ua is None else await opc_ua().known_end()

    certificates = CertificateWatch(
        clock,
        https_file=Path(settings.tls_certificate_file) if settings.tls_certificate_file else None,
        opc_ua_end=opc_ua_end,
    )
    return PlantRelay(
        identity,
        clock,
        connectors=connectors,
        vault=vault,
        uplink=uplink,
        http=http,
        fetcher=fetcher,
        certificates=certificates,
    )
