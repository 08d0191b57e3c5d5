"""Notifications brought by a relay, to receivers on its plant's own network.

The order that waits for the relay names the callback; address and credentials are put in when the relay fetches it over
its own authenticated connection (:meth:`PlantDelivery.fill`). So no secret is stored outside the vault.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from shared.callbacks.carrying import NotCarried, Reply
from shared.errors import NotFound, RelaySilent, Unavailable
from shared.relay.delivery_words import Delivered
from shared.relay.messages import Command

if TYPE_CHECKING:
    from shared.callbacks.sealed import Destination
    from shared.relay.hub_commands import CommandBroker
    from shared.relay.hub_registry import Relays

__all__ = ["PlantDelivery", "fill_with"]

ON_THE_WAY = 5.0
"""Seconds for the answer of a relay to come back: a receiver that confirms at the last moment has confirmed."""
ACTOR = {"id": "system:deliver_notification", "name": "deliver_notification", "how": "system"}

Destinations = Callable[[str], Awaitable["Destination"]]
"""By callback, out of the vault."""


class PlantDelivery:
    """The way of notifications through relays (``shared.callbacks.carrying.Via``)."""

    def __init__(self, broker: CommandBroker, relays: Relays) -> None:
        self._broker = broker
        self._relays = relays

    async def knows(self, relay_id: str) -> bool:
        """Is it registered?"""
        return await self._relays.exists(relay_id)

    async def carry(
        self, relay_id: str, callback_id: str, headers: Mapping[str, str], content: bytes, timeout_seconds: float
    ) -> Reply:
        """See the port."""
        body = {
            "callback_id": callback_id,
            "headers": dict(headers),
            "content": content.decode(),
            "timeout_seconds": timeout_seconds,
        }
        try:
            answer = await self._broker.ask(
                relay_id,
                "deliver",
                equipment_id=None,
                body=body,
                actor=ACTOR,
                seconds=timeout_seconds,
                answer_seconds=timeout_seconds + ON_THE_WAY,
                task="brings these notifications",
            )
        except NotFound as error:
            raise NotCarried(
                f"Relay {relay_id}, which brings these notifications, is registered no more: register it again under "
                "this id, or register the callback with another deliverVia.",
                reason="relay_unknown",
            ) from error
        except RelaySilent as error:
            raise NotCarried(error.detail, reason="relay_silent") from error
        except Unavailable as error:
            raise NotCarried(error.detail, reason="relay_not_told") from error
        if not answer.ok:
            code, detail = ("relay_error", "The relay could not deliver it, and does not say why.")
            if answer.error is not None:
                code, detail = answer.error.code, answer.error.detail
            raise NotCarried(f"At relay {relay_id}: {detail}", reason=code)
        return _reply(relay_id, answer.body)


def fill_with(destinations: Destinations) -> Callable[[Command], Awaitable[Command]]:
    """Puts address and credentials into an order that is being fetched.

    Raises (the function): NotFound, Unavailable: the vault has none, or is away.
    """

    async def fill(command: Command) -> Command:
        try:
            destination = await destinations(str(command.body.get("callback_id")))
        except NotFound as error:
            raise NotFound("The vault holds no address for this callback: delete it and register it again.") from error
        secret: dict[str, Any] = {"url": destination.url, "secret_headers": dict(destination.headers)}
        if destination.ca_pem is not None:
            secret["ca_certificate"] = destination.ca_pem
        return command.model_copy(update={"body": {**command.body, **secret}})

    return fill


def _reply(relay_id: str, body: Mapping[str, Any]) -> Reply:
    try:
        said = Delivered.model_validate(dict(body))
    except ValidationError as error:
        detail = f"The answer of relay {relay_id} cannot be read. Have hub and relay one version?"
        raise NotCarried(detail, reason="relay_error") from error
    return Reply(said.status, said.ms, said.answer.encode())
