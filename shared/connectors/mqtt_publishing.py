"""Publishing one message to an MQTT 5 broker and waiting until it has it (QoS 1, PUBACK). No thread, nothing left over.

Connect, publish, go: as the broker is read. paho is loaded at the first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from shared.connectors.mqtt_failures import refused_publish, translated
from shared.connectors.mqtt_opening import tls_context
from shared.connectors.mqtt_plan import MqttPlan
from shared.errors import DeviceError, DeviceTimeout
from shared.ids import new_id
from shared.outgoing.failures import OutgoingError
from shared.outgoing.targets import TargetPolicy

if TYPE_CHECKING:
    from shared.connectors.mqtt_session import Session

__all__ = ["Publication", "publish"]


@dataclass(frozen=True, slots=True)
class Publication:
    """A message."""

    topic: str
    payload: bytes = field(repr=False)
    content_type: str
    properties: Mapping[str, str] = field(repr=False)
    """MQTT 5 user properties."""


async def publish(
    message: Publication,
    targets: TargetPolicy,
    *,
    host: str,
    port: int,
    tls: bool,
    username: str | None,
    password: str | None,
    timeout_seconds: float,
    ca_pem: str | None = None,
) -> float:
    """Bring it to the broker; it has the message when this returns. How many milliseconds that took.

    The address is vetted, and the vetted one is connected to. Certificates are verified. Should the connection break
    before the acknowledgement, the broker may have the message all the same.

    Raises:
        DeviceError: the broker was not reached, did not let us in, or did not take the message; with a sentence.
        UnsafeTarget: an address we do not connect to.
    """
    from shared.connectors.mqtt_session import Session

    begun = monotonic()
    until = begun + timeout_seconds
    # Of its own each time: two at once with one name would throw each other out. 23 characters: all brokers take them.
    name = f"ovenbridge-{new_id()[:12]}"
    plan = _plan(host, port, tls, name, username, password, timeout_seconds, ca_pem)
    session = Session(plan, name, durable=False)
    try:
        addresses = await targets.addresses(host, port)
        await session.connect(addresses, tls_context(plan), until=until)
        await _publish(session, plan, message, until)
        ms = (monotonic() - begun) * 1000
    except (DeviceError, OutgoingError, OSError, ValueError) as err:
        session.abort()
        raise translated(plan, err) from err
    except BaseException:
        session.abort()
        raise
    await session.leave()
    return ms


async def _publish(session: Session, plan: MqttPlan, message: Publication, until: float) -> None:
    code = await session.publish(message.topic, message.payload, message.content_type, message.properties, until=until)
    if code is None:
        raise DeviceTimeout(f"The broker {plan.where} did not acknowledge the message in time; it may have it.")
    if code.is_failure:
        raise refused_publish(plan, message.topic, code.value, str(code))


def _plan(
    host: str,
    port: int,
    tls: bool,
    name: str,
    username: str | None,
    password: str | None,
    seconds: float,
    ca_pem: str | None,
) -> MqttPlan:
    shown = f"[{host}]" if ":" in host else host
    return MqttPlan(
        host=host,
        port=port,
        where=f"{shown}:{port}",
        tls=tls,
        verify=True,
        ca_pem=ca_pem,
        client_id=name,
        username=username,
        password=password,
        filters=(),
        paths=(),
        signals=None,
        timestamp=None,
        temperature_unit="C",
        partial=False,
        session_expiry=0,
        timeout_seconds=seconds,
    )
