"""May notifications go there? Asked when a callback is registered; the address is vetted again at every attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from shared.callbacks.model import Credentials, NewCallback
from shared.callbacks.mqtt_target import MQTT_SCHEMES, is_mqtt, mqtt_target, with_userinfo
from shared.errors import InvalidInput
from shared.outgoing.targets import Target, TargetPolicy
from shared.outgoing.tls import check_ca

__all__ = ["TargetCheck"]

SCHEMES = ("https", "http")

IN_A_PLANT = TargetPolicy(allow_private=True, allow_http=True)
"""What may be said of a target that a relay connects to. What it may really connect to is decided there, by the relay's
own settings: the hub can look nothing up in a plant. Metadata and link-local addresses are refused here already."""


class TargetCheck:
    """Checks targets of callbacks."""

    def __init__(self, targets: TargetPolicy, knows_relay: Callable[[str], Awaitable[bool]] | None) -> None:
        self._targets = targets
        self._knows_relay = knows_relay

    async def checked(self, wanted: NewCallback) -> tuple[NewCallback, Target]:
        """The callback as it is kept, and its target.

        Raises:
            InvalidInput, UnsafeTarget: naming ``url``, ``deliverVia`` or a field of the credentials.
        """
        if wanted.deliver_via is not None:
            await self._check_relay(wanted.deliver_via)
        schemes = MQTT_SCHEMES if is_mqtt(wanted.url) else SCHEMES
        policy = self._targets if wanted.deliver_via is None else IN_A_PLANT
        if schemes is MQTT_SCHEMES:
            broker = mqtt_target(wanted.url, field="url", clear_text=policy.allow_http)
            _one_way_in(broker.username is not None, wanted.credentials)
            wanted = _of_a_broker(wanted)
        if wanted.deliver_via is None:
            target = await policy.check_resolves(wanted.url, field="url", schemes=schemes, allow_userinfo=True)
        else:
            target = policy.check_url(wanted.url, field="url", schemes=schemes, allow_userinfo=True)
        _one_way_in(target.userinfo is not None, wanted.credentials)
        if wanted.ca_certificate is not None:
            _check_ca(wanted.ca_certificate, target.scheme)
        return wanted, target

    async def _check_relay(self, relay_id: str) -> None:
        if self._knows_relay is None or not await self._knows_relay(relay_id):
            raise InvalidInput(
                f"deliverVia: there is no relay {relay_id[:64]}. Register it first with POST /api/v1/relays.",
                field="deliverVia",
            )


def _check_ca(pem: str, scheme: str) -> None:
    if scheme not in ("https", "mqtts"):
        raise InvalidInput(
            f"caCertificate has no effect with {scheme}://: use https:// or mqtts://, or leave it out.",
            field="caCertificate",
        )
    try:
        check_ca(pem)
    except InvalidInput as err:
        raise InvalidInput(err.detail.replace("ca_certificate", "caCertificate"), field="caCertificate") from err


def _one_way_in(in_the_url: bool, given: Credentials) -> None:
    if in_the_url and given.kind in ("basic", "bearer"):
        raise InvalidInput(
            "url carries a user name and password, and credentials are given too: use one of them.", field="url"
        )


def _of_a_broker(wanted: NewCallback) -> NewCallback:
    """A broker knows user name and password, and no headers. They are kept where the address is."""
    given = wanted.credentials
    for field, there in (("bearer", given.bearer is not None), ("headers", bool(given.headers))):
        if there:
            raise InvalidInput(
                f"{field} is for HTTP: an MQTT broker takes a user name and a password (basicAuth, or in the url).",
                field=field,
            )
    if given.username is None:
        return wanted
    url = with_userinfo(wanted.url, given.username, given.password or "")
    return replace(wanted, url=url, credentials=Credentials())
