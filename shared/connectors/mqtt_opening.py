"""The way to a broker, and taking the whole queue of a durable session there. paho is loaded at the first use."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from shared.connectors.mqtt_failures import translated
from shared.connectors.mqtt_plan import MqttPlan
from shared.errors import DeviceError
from shared.outgoing.failures import OutgoingError
from shared.outgoing.targets import TargetPolicy
from shared.outgoing.tls import tls_choice

if TYPE_CHECKING:
    from shared.connectors.mqtt_session import Arrival, Session

__all__ = ["FETCHING_SECONDS", "GRACE_SECONDS", "MOST_MESSAGES", "open_session", "take_queue", "tls_context"]

FETCHING_SECONDS = 5.0
"""After so long no further window is fetched, whatever is left in the queue: the next time takes it. With the storing
of the last window it stays below the shortest deadline of a poll, 10 s."""
MOST_MESSAGES = 5_000
"""At one time."""
GRACE_SECONDS = 1.0
"""So long the last acknowledgement may take to be heard."""


async def open_session(
    plan: MqttPlan, targets: TargetPolicy, client_id: str, *, durable: bool, until: float
) -> Session:
    """Connected and let in; ``until`` is on :func:`time.monotonic`.

    Raises:
        DeviceError: with a sentence.
    """
    from shared.connectors.mqtt_session import Session

    session = Session(plan, client_id, durable=durable)
    try:
        addresses = await targets.addresses(plan.host, plan.port)
        await session.connect(addresses, tls_context(plan), until=until)
    except (DeviceError, OutgoingError, OSError, ValueError) as err:
        session.abort()
        raise translated(plan, err) from err
    except BaseException:
        session.abort()
        raise
    return session


async def take_queue(
    plan: MqttPlan, targets: TargetPolicy, keep: Callable[[Sequence[Arrival]], Awaitable[None]]
) -> int:
    """Give all that waits to ``keep``, a window at a time, and acknowledge what it has kept; how many messages.

    Whatever ``keep`` raises goes through; what it had then comes again.

    Raises:
        DeviceError: the broker could not be reached, or refused us.
    """
    begun = monotonic()
    until = begun + plan.timeout_seconds
    session = await open_session(plan, targets, plan.client_id, durable=True, until=until)
    count = 0
    try:
        arrivals = await session.fetch(retained=False, until=until)
        while arrivals and count < MOST_MESSAGES and (not count or monotonic() < begun + FETCHING_SECONDS):
            await keep(arrivals)
            count += len(arrivals)
            session.acknowledge()
            arrivals = await session.fetch(retained=False, until=max(until, monotonic() + GRACE_SECONDS))
    finally:
        await session.leave()
    return count


def tls_context(plan: MqttPlan) -> ssl.SSLContext | None:
    """How the connection is encrypted; ``None``: it is not."""
    if not plan.tls:
        return None
    chosen = tls_choice(plan.verify, plan.ca_pem)
    if isinstance(chosen, ssl.SSLContext):
        return chosen
    context = ssl.create_default_context()
    if not chosen:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
