"""Requests to platforms on a plant's own network, made by its relay."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from pydantic import ValidationError

from shared import json_text
from shared.errors import InvalidInput, NotFound, Unavailable
from shared.outgoing.answer import OutgoingAnswer
from shared.relay.call_words import Call, Called, new_key, seal, unseal
from shared.relay.messages import Command

if TYPE_CHECKING:
    from shared.relay.hub_commands import CommandBroker
    from shared.secrets import Vault

__all__ = ["CallKey", "PlantCalls", "fill_calls"]

KEY_NAME = "relay-call-key"
ON_THE_WAY = 5.0
"""Seconds for the answer of a relay to come back."""
ACTOR = {"id": "system:call_platform", "name": "call_platform", "how": "system"}


class CallKey:
    """With which requests are sealed while they wait: one of this deployment, in the vault."""

    def __init__(self, vault: Callable[[], Vault]) -> None:
        self._vault = vault
        self._key: bytes | None = None

    async def get(self) -> bytes:
        """Made when it is first needed. Raises ``Unavailable``: the vault is away."""
        if self._key is None:
            vault = self._vault()
            try:
                found = (await vault.get(KEY_NAME)).value
            except NotFound:
                await vault.set(KEY_NAME, secrets.token_hex(32))
                # Two who make it at once agree on the later one; what was sealed with the other is asked for again.
                found = (await vault.get(KEY_NAME)).value
            self._key = bytes.fromhex(found)
        return self._key

    def forget(self) -> None:
        """It may have been made anew."""
        self._key = None


class PlantCalls:
    """The way of requests through relays."""

    def __init__(self, broker: CommandBroker, key: CallKey) -> None:
        self._broker = broker
        self._key = key

    async def __call__(
        self,
        relay_id: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
        *,
        timeout_seconds: float,
        ca_pem: str | None,
    ) -> OutgoingAnswer:
        """One request, once; what was answered.

        Raises:
            NotFound: there is no such relay.
            RelaySilent: it is not there, or did not answer in time.
            Unavailable: it could not be made; the sentence says why.
        """
        own = new_key()
        call = Call(
            method=method,
            url=url,
            headers=dict(headers),
            content=base64.b64encode(content).decode("ascii"),
            ca_certificate=ca_pem,
            timeout_seconds=timeout_seconds,
            once=method == "POST",
            answer_key=own.hex(),
        )
        sealed = seal(await self._key.get(), call.model_dump_json().encode())
        answer = await self._broker.ask(
            relay_id,
            "call",
            equipment_id=None,
            body={"sealed": sealed},
            actor=ACTOR,
            seconds=timeout_seconds,
            answer_seconds=timeout_seconds + ON_THE_WAY,
            task="reaches this platform",
        )
        if not answer.ok:
            self._key.forget()
            why = "it does not say why." if answer.error is None else answer.error.detail
            raise Unavailable(f"At relay {relay_id}: {why}", retry_after=10.0)
        try:
            said = Called.model_validate(json_text.load(unseal(own, str(answer.body.get("sealed")))))
        except (InvalidInput, ValidationError, ValueError) as error:
            detail = f"The answer of relay {relay_id} cannot be read. Have hub and relay one version?"
            raise Unavailable(detail, retry_after=60.0) from error
        body = base64.b64decode(said.content)
        return OutgoingAnswer(said.status, said.headers, body, said.ms, said.truncated)


def fill_calls(key: CallKey) -> Callable[[Command], Awaitable[Command]]:
    """Opens a request that is being fetched.

    Raises (the function): InvalidInput, Unavailable: it cannot be opened, or the vault is away.
    """

    async def fill(command: Command) -> Command:
        sealed = str(command.body.get("sealed"))
        try:
            opened = unseal(await key.get(), sealed)
        except InvalidInput:
            key.forget()
            opened = unseal(await key.get(), sealed)
        return command.model_copy(update={"body": json_text.load(opened)})

    return fill
