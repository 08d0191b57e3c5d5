"""The keys with which relays sign what they put into the queue: in the vault, one secret for each token."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from shared.errors import NotFound
from shared.relay.signing import SigningKey
from shared.secrets import Vault

__all__ = ["RelayKeys"]

MOST_REMEMBERED = 2_000


class RelayKeys:
    """Reads each key from the vault once per process: what stands under a name never changes."""

    def __init__(self, vault: Callable[[], Vault]) -> None:
        self._vault = vault
        self._known: OrderedDict[str, SigningKey] = OrderedDict()

    async def keep(self, key: SigningKey) -> None:
        """Durable when it returns. Doing it twice is no error: the same token makes the same key."""
        await self._vault().set(_name(key.id), key.value.hex())
        self._remember(key)

    async def find(self, key_id: str) -> SigningKey | None:
        """The key; ``None``: it is not there. Raises ``Unavailable``: the vault is away."""
        known = self._known.get(key_id)
        if known is not None:
            return known
        try:
            secret = await self._vault().get(_name(key_id))
            key = SigningKey(key_id, bytes.fromhex(secret.value))
        except (NotFound, ValueError):
            return None
        self._remember(key)
        return key

    async def forget(self, key_id: str) -> None:
        """Remove it, here and from the vault."""
        self._known.pop(key_id, None)
        await self._vault().delete(_name(key_id))

    def _remember(self, key: SigningKey) -> None:
        self._known[key.id] = key
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)


def _name(key_id: str) -> str:
    return f"relay-key-{key_id}"
