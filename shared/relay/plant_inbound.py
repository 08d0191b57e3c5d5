"""What calls in on site: admitted by its secret address, kept on disk, brought to the hub's inbox in order.

What if the process dies here? Before it is on disk the sender has no answer and sends again. After the hub took it and
before it is forgotten here, it is brought once more, under the same id and with the time at which it came in: the hub
knows it by that.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from shared.clock import Clock
from shared.errors import NotFound, PayloadTooLarge, Unavailable
from shared.ids import new_id
from shared.inbox.model import Verdict
from shared.inbox.service import Accepted
from shared.inbox.source import HookSource
from shared.relay.messages import InboundBatch, LanMessage, LanSource
from shared.relay.plant_hub_link import HubLink
from shared.relay.plant_secrets import SiteSecrets
from shared.relay.plant_spool_inbound import InboundSpool
from shared.relay.site_binding import place_of
from shared.relay.uplink import HubAway, HubRefused, Uplink, UplinkError

__all__ = ["FetchLan", "PlantInbound", "PlantInboundSources"]

log = logging.getLogger("ovenbridge.relay")

MOST_AT_ONCE = 100
MOST_BYTES = 512 * 1024
MOST_REFUSED = 20
"""Messages set aside in a row. A hub that refuses every one of them is at fault itself, of another version for
instance; then they wait, for what is set aside is no more than looked at by a person."""
FETCH_SECONDS = 10.0
DISK_AGAIN_SECONDS = 5.0
MAX_HEADERS = 60
MAX_HEADER = 2_000
_NOT_KEPT = ("authorization", "cookie", "proxy-authorization", "connection", "transfer-encoding", "content-length")
"""Credentials of the way here, and what only this connection needs."""

FetchLan = Callable[[], Awaitable[int]]
"""Takes what waits at the brokers on site."""


class PlantInboundSources:
    """The hook sources that are assigned here, as ``shared.inbox.sources`` answers for them at the hub."""

    def __init__(self, secrets: SiteSecrets) -> None:
        self._secrets = secrets
        self._known: dict[str, HookSource] = {}
        self.problems: dict[str, str | None] = {}
        """Of brokers, by source: what the hub was not told yet."""
        self._told: dict[str, str | None] = {}

    def assign(self, sources: Sequence[LanSource]) -> None:
        """These, and no others."""
        self._known = {source.id: _source(source) for source in sources}

    def admit(self, id: str, token: str, now: datetime) -> HookSource | None:
        """The source, if the token is its own."""
        source = self._known.get(id)
        return source if source is not None and source.opens(token, now) else None

    async def of_kind(self, kind: str) -> Sequence[HookSource]:
        """Those of a kind that are fetched from a broker."""
        return [source for source in self._known.values() if source.kind == kind and source.broker is not None]

    async def broker_credentials(self, source: HookSource) -> Mapping[str, str]:
        """What lies on site for its broker. Raises ``MissingSecret``, ``Unavailable``."""
        broker = source.broker or {}
        if source.broker_ref is None:
            return {}
        place = place_of("mqtt", broker.get("endpoint"), broker.get("port"))
        return await self._secrets.credentials(source.broker_ref, place, fresh=True)

    async def note_broker(self, source: HookSource, error: str | None, *, used: bool) -> None:
        """Remember it for the hub, where a person looks."""
        if self._told.get(source.id, "") != error:
            self._told[source.id] = self.problems[source.id] = error


class PlantInbound:
    """The door on site, and the way from there to the hub."""

    def __init__(
        self, spool: InboundSpool, sources: PlantInboundSources, uplink: Uplink, relay_id: str, clock: Clock
    ) -> None:
        self.spool = spool
        self.sources = sources
        self._uplink = uplink
        self._relay_id = relay_id
        self._clock = clock
        self._at_once = MOST_AT_ONCE
        self._refused_in_a_row = 0
        self.link = HubLink("bringing what came in on site", clock)

    # In ----------------------------------------------------------------------------------------------------------

    async def receive(self, source_id: str, token: str, raw: bytes, headers: Mapping[str, str]) -> Accepted:
        """Take one message that was posted; on disk when it returns.

        Raises:
            NotFound: there is no such path; it does not say whether the source or the token is wrong.
            Unavailable: it cannot be kept; the sender tries again.
        """
        if self.sources.admit(source_id, token, self._clock.now()) is None:
            raise NotFound("There is nothing here. Check the address: it is shown once, when a hook source is created.")
        named = headers.get("webhook-id", "")
        # With the body: who does not sign must not stand in the way of who does.
        key = None if not named else hashlib.sha256(f"{named}\n".encode() + raw).hexdigest()
        return await self._keep(source_id, raw, headers, key)

    async def accept(
        self,
        source: str,
        raw: bytes,
        headers: Mapping[str, str],
        *,
        dedupe_key: str | None,
        verdict: Verdict,
        event: str | None = None,
        equipment_id: str | None = None,
    ) -> Accepted:
        """Take one that was fetched from a broker, as the hub's inbox does. What it means is judged there."""
        return await self._keep(source, raw, headers, dedupe_key)

    async def _keep(self, source: str, raw: bytes, headers: Mapping[str, str], key: str | None) -> Accepted:
        message = LanMessage.model_construct(
            id=new_id(), source=source, received_at=self._clock.now(), headers=_kept(headers), body=raw
        )
        new = await self.spool.put(message, sameness=key)
        return Accepted(message.id, duplicate=not new)

    # Out ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Bring it to the hub until cancelled."""
        while True:
            await self.spool.filled.wait()
            try:
                await self.bring()
            except Unavailable as error:
                log.error("What came in on site cannot be read from the disk right now: %s", error.detail)
                await asyncio.sleep(DISK_AGAIN_SECONDS)
            except UplinkError as error:
                await asyncio.sleep(self.link.failed(error))

    async def bring(self) -> int:
        """Bring the oldest of them; how many were settled.

        Raises:
            UplinkError: the hub does not have them; they are brought again.
            Unavailable: our disk. The hub may have them.
        """
        messages = await self.spool.next(most=self._at_once, most_bytes=MOST_BYTES)
        problems, self.sources.problems = self.sources.problems, {}
        if not messages and not problems:
            return 0
        try:
            batch = InboundBatch(relay_id=self._relay_id, messages=tuple(messages), brokers=problems)
            taken = await self._uplink.inbound(batch)
        except (HubRefused, PayloadTooLarge) as error:
            if len(messages) > 1:
                self._at_once = 1  # one of them holds up the others: look for it
                return 0
            if not messages:
                log.error("The hub refused to hear how brokers are: %s", error.detail)
                return 0
            if isinstance(error, HubRefused):
                if self._refused_in_a_row >= MOST_REFUSED:
                    raise HubAway(f"The hub refuses every message, they wait here. {error.detail}") from error
                self._refused_in_a_row += 1
            log.error("The hub refused a message for %s, it is set aside: %s", messages[0].source, error.detail)
            await self.spool.forget([(messages[0].id, error.detail[:1_000])])
            return 1
        except UplinkError:
            self.sources.problems = {**problems, **self.sources.problems}
            raise
        self.link.works()
        self._at_once = MOST_AT_ONCE
        self._refused_in_a_row = 0
        done: list[tuple[str, str | None]] = []
        for one in taken.messages:
            if one.status in ("rejected", "refused"):
                log.warning("The hub %s what came in on site (%s): %s", one.status, one.id, one.reason)
            done.append((one.id, one.reason or "refused" if one.status == "refused" else None))
        await self.spool.forget(done)
        return len(done)

    async def fetch_forever(self, fetch: FetchLan) -> None:
        """Take what waits at brokers on site, until cancelled."""
        while True:
            try:
                await fetch()
                if self.sources.problems:
                    await self.bring()
            except Unavailable as error:
                log.error("Notifications of brokers cannot be kept right now, they wait there: %s", error.detail)
            except UplinkError as error:
                log.info("How brokers are cannot be told right now: %s", error.detail)
            await asyncio.sleep(FETCH_SECONDS)


def _source(told: LanSource) -> HookSource:
    broker = dict(told.broker) if told.broker is not None else None
    ref = broker.pop("relay_credential_ref", None) if broker is not None else None
    return HookSource(
        id=told.id,
        name=told.id,
        kind=told.kind,
        event_name=None,
        equipment_id=None,
        identical_within_seconds=0,
        secret_ref=None,
        token_hash=told.token_hash,
        old_token_hash=told.old_token_hash,
        old_token_until=told.old_token_until,
        created_at=told.created_at,
        created_by="hub",
        rotated_at=None,
        expires_at=told.expires_at,
        revoked_at=None,
        last_used_at=None,
        broker=broker,
        broker_ref=ref,
    )


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, text in headers.items():
        if name.lower() not in _NOT_KEPT and len(name) <= 100 and len(kept) < MAX_HEADERS:
            kept[name.lower()] = text[:MAX_HEADER]
    return kept
