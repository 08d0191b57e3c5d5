"""What brokers refuse with, in words (MQTT 5, section 2.4)."""

from __future__ import annotations

from shared.connectors.device_errors import device_error
from shared.connectors.mqtt_plan import MqttPlan
from shared.errors import (
    DeviceAuthenticationError,
    DeviceConnectionError,
    DeviceError,
    DeviceNotSupported,
    DeviceProtocolError,
    DeviceThrottled,
    DeviceTlsError,
)
from shared.outgoing.failures import explain

__all__ = ["ended", "refused_connect", "refused_publish", "refused_topic", "translated"]

_CLIENT_ID = 0x85
_TAKEN_OVER = 0x8E
_TOO_LARGE = 0x95

_REFUSALS: dict[int, tuple[type[DeviceError], str]] = {
    0x84: (DeviceNotSupported, "speaks no MQTT 5, which keeps the messages while nobody fetches them: update it"),
    0x86: (DeviceAuthenticationError, "refused the user name or the password: correct them in credentials"),
    0x87: (
        DeviceAuthenticationError,
        "does not let us in: correct the user name and the password in credentials, or allow this user there",
    ),
    0x8A: (DeviceAuthenticationError, "has banned this client: lift the ban there"),
    0x8C: (DeviceAuthenticationError, "wants another way to sign in than user name and password"),
    0x88: (DeviceConnectionError, "says that it is not available at the moment"),
    0x89: (DeviceThrottled, "says that it is too busy"),
    0x8B: (DeviceConnectionError, "is shutting down"),
    0x97: (DeviceThrottled, "says that our quota is used up"),
    0x98: (DeviceConnectionError, "closed the connection by an act of its administrator"),
    0x9C: (DeviceConnectionError, "has moved: give its new address"),
    0x9D: (DeviceConnectionError, "has moved: give its new address"),
    0x9F: (DeviceThrottled, "says that we connect too often"),
}


def refused_connect(plan: MqttPlan, code: int, name: str) -> DeviceError:
    """The broker answered CONNECT with this reason code."""
    if code == _CLIENT_ID:
        return DeviceProtocolError(
            f"The broker {plan.where} does not accept the client id {plan.client_id}: give one it allows in "
            "additional_config.client_id."
        )
    return _by_code(plan, code, name, "refused the connection")


def refused_topic(plan: MqttPlan, topic: str, code: int, name: str) -> DeviceError:
    """The broker answered SUBSCRIBE with this reason code."""
    if code in (0x80, 0x87):
        return DeviceAuthenticationError(
            f"The broker {plan.where} does not let this user subscribe to {topic}: allow it in its access list."
        )
    if code in (0x8F, 0xA2):
        return DeviceProtocolError(f"The broker {plan.where} does not accept the topic filter {topic}: check path.")
    return _by_code(plan, code, name, f"refused the subscription to {topic}")


def refused_publish(plan: MqttPlan, topic: str, code: int, name: str) -> DeviceError:
    """The broker answered PUBLISH with this reason code."""
    if code == 0x87:
        return DeviceAuthenticationError(
            f"The broker {plan.where} does not let this user publish to {topic}: allow it in its access list."
        )
    if code == 0x90:
        return DeviceProtocolError(f"The broker {plan.where} does not accept the topic {topic}: choose another.")
    return _by_code(plan, code, name, f"did not take a message for {topic}")


def ended(plan: MqttPlan, code: int | None, name: str, *, greeted: bool) -> DeviceError:
    """The connection ended; ``code`` is the broker's reason, where it gave one."""
    if code == _TAKEN_OVER:
        return DeviceConnectionError(
            f"Somebody else connected to {plan.where} with the client id {plan.client_id}, and the broker let this "
            "side go: is the device read from two places? Give each its own additional_config.client_id."
        )
    if code == _TOO_LARGE:
        return DeviceProtocolError(f"The broker {plan.where} found a packet of ours too large.")
    if code is not None:
        return _by_code(plan, code, name, "closed the connection")
    if not greeted:
        other = "mqtt://" if plan.tls else "mqtts://"
        return DeviceConnectionError(
            f"{plan.where} closed the connection without an answer: is an MQTT broker behind that port, or is it "
            f"{other} there?"
        )
    return DeviceConnectionError(f"The broker {plan.where} broke off the connection.")


def translated(plan: MqttPlan, err: Exception) -> DeviceError:
    """Whatever was raised on the way to the broker."""
    if isinstance(err, DeviceError):
        return err
    found = device_error(explain(err, plan.where))
    if isinstance(found, DeviceTlsError):
        return DeviceTlsError(found.detail.replace("Is it https:// at that port?", "Is it mqtts:// at that port?"))
    return found


def _by_code(plan: MqttPlan, code: int, name: str, did: str) -> DeviceError:
    known = _REFUSALS.get(code)
    if known is None:
        return DeviceConnectionError(f"The broker {plan.where} {did} ({name}, 0x{code:02X}).")
    kind, words = known
    return kind(f"The broker {plan.where} {words}.")
