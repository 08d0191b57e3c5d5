"""The key that our own webhooks are signed with: made once, kept in the vault, changed with notice.

A receiver has the public half, and there is one signature in the header. So a new key is announced before it signs, and
the one before stays listed after that: whoever trusts both meanwhile misses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from shared.access import Caller
from shared.access.model import system
from shared.audit.log import AuditLog
from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from shared.ids import new_id
from shared.platforms.innius.signature import public_text
from shared.secrets import Vault
from shared.storage import Document, DocumentStore, Stored

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["PublicKey", "SigningKeys", "shown"]

CONTAINER = "webhookStates"
DOCUMENT = "innius-keys"
BITS = 2_048
KNOWN_FOR = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key as receivers see it."""

    id: str
    public: str
    """Base64 of its PKIX form."""
    signs_from: datetime
    until: datetime | None
    """Listed until then; ``None``: until it is followed by another."""

    @classmethod
    def of(cls, stored: dict[str, Any]) -> PublicKey:
        """Back from its stored form."""
        until = stored.get("until")
        return cls(stored["id"], stored["public"], parse_iso(stored["signsFrom"]), parse_iso(until) if until else None)

    def stored(self) -> dict[str, Any]:
        """For the document."""
        until = iso(self.until) if self.until else None
        return {"id": self.id, "public": self.public, "signsFrom": iso(self.signs_from), "until": until}


def shown(keys: Sequence[PublicKey], now: datetime) -> list[dict[str, Any]]:
    """Keys for answers, as :meth:`SigningKeys.listed` gives them: the first one signs."""
    return [
        {
            "public_key": key.public,
            "status": "signing" if place == 0 else "next" if key.signs_from > now else "previous",
            "signs_from": iso(key.signs_from),
            "until": iso(key.until) if key.until else None,
        }
        for place, key in enumerate(keys)
    ]


class SigningKeys:
    """The keys of this deployment."""

    def __init__(self, store: DocumentStore, vault: Vault, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._audit = audit
        self._clock = clock
        self._known: tuple[datetime, list[PublicKey]] | None = None
        self._private: dict[str, RSAPrivateKey] = {}

    async def listed(self) -> list[PublicKey]:
        """Those that a receiver should trust now: the one that signs first. Made, if there is none.

        Raises:
            Unavailable: store or vault are away.
        """
        now = self._clock.now()
        if self._known is None or now - self._known[0] >= KNOWN_FOR:
            stored = await self._read() or await self._make_first()
            self._known = (now, [PublicKey.of(one) for one in stored.document["keys"]])
        live = [key for key in self._known[1] if key.until is None or now < key.until]
        return sorted(live, key=lambda key: (key.signs_from > now, -key.signs_from.timestamp()))

    async def signing(self) -> tuple[str, RSAPrivateKey]:
        """The key that signs now, with its id.

        Raises:
            Unavailable: store or vault are away.
        """
        chosen = (await self.listed())[0]
        if chosen.id not in self._private:
            from cryptography.hazmat.primitives.serialization import load_pem_private_key

            try:
                text = (await self._vault.get(_secret(chosen.id))).value
            except NotFound as err:
                raise Unavailable("The vault has lost the key that webhooks are signed with: change it.") from err
            self._private[chosen.id] = cast("RSAPrivateKey", load_pem_private_key(text.encode(), None))
        return chosen.id, self._private[chosen.id]

    async def rotate(self, *, announce_seconds: int, keep_old_seconds: int, caller: Caller) -> list[PublicKey]:
        """Announce a new key; it signs after a while, and the one before stays listed for a while after that.

        Raises:
            Conflict: one is announced already, or somebody else is changing them.
        """
        self._known = None
        await self.listed()
        stored, now = await self._read(), self._clock.now()
        if stored is None:
            raise Unavailable("The keys are being made. Try again.", retry_after=1.0)
        keys = [PublicKey.of(one) for one in stored.document["keys"]]
        if any(key.signs_from > now for key in keys):
            raise Conflict("A new key is announced already and does not sign yet: one change at a time.")
        begins = now + timedelta(seconds=announce_seconds)
        ends = begins + timedelta(seconds=keep_old_seconds)
        kept = [PublicKey(k.id, k.public, k.signs_from, k.until or ends) for k in keys if not k.until or k.until > now]
        made = await self._made(begins)
        async with self._audit.recorded(
            "webhook-keys",
            actor=caller.actor,
            action="webhook_key.rotated",
            target=made.id,
            after={"signs_from": iso(begins), "old_until": iso(ends)},
        ):
            document = {**stored.document, "keys": [key.stored() for key in (*kept, made)]}
            try:
                await self._store.replace(CONTAINER, document, etag=stored.etag)
            except PreconditionFailed:
                await self._vault.delete(_secret(made.id))
                raise Conflict("Somebody else has just changed the keys; look at them first.") from None
        for gone in {key.id for key in keys} - {key.id for key in kept}:
            await self._vault.delete(_secret(gone))
        self._known = None
        return await self.listed()

    async def _read(self) -> Stored | None:
        try:
            return await self._store.read(CONTAINER, (DOCUMENT,), DOCUMENT)
        except NotFound:
            return None

    async def _make_first(self) -> Stored:
        made = await self._made(self._clock.now())
        document: Document = {"id": DOCUMENT, "kind": "keys", "keys": [made.stored()]}
        actor = system("innius_webhooks").actor
        try:
            async with self._audit.recorded("webhook-keys", actor=actor, action="webhook_key.made", target=made.id):
                return await self._store.create(CONTAINER, document)
        except Conflict:
            await self._vault.delete(_secret(made.id))
            return await self._store.read(CONTAINER, (DOCUMENT,), DOCUMENT)

    async def _made(self, signs_from: datetime) -> PublicKey:
        """A new pair, its private half in the vault before anybody hears of it."""
        key_id = new_id()
        text, public = await asyncio.to_thread(_generate)
        await self._vault.set(_secret(key_id), text)
        return PublicKey(key_id, public, signs_from, None)


def _generate() -> tuple[str, str]:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(public_exponent=65_537, key_size=BITS)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode(), public_text(key.public_key())


def _secret(key_id: str) -> str:
    return f"innius-key-{key_id}"
