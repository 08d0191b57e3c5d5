"""Changing the secret that a callback signs with, without a notification that its receiver does not believe."""

from __future__ import annotations

from dataclasses import replace

from shared.access import Caller
from shared.audit import AuditLog
from shared.callbacks.directory import CONTAINER, Directory
from shared.callbacks.model import Callback, State
from shared.callbacks.sealed import Sealed
from shared.callbacks.signing import followed_by, new_signing_secret, secret_key
from shared.clock import Clock
from shared.errors import Conflict, PreconditionFailed
from shared.storage import DocumentStore

__all__ = ["Rotation"]

TRIES = 5


class Rotation:
    """Gives callbacks other secrets."""

    def __init__(
        self, store: DocumentStore, sealed: Sealed, directory: Directory, audit: AuditLog, clock: Clock
    ) -> None:
        self._store = store
        self._sealed = sealed
        self._directory = directory
        self._audit = audit
        self._clock = clock

    async def give(self, callback: Callback, secret: str | None, keep_old_seconds: int, caller: Caller) -> str:
        """The secret it signs with from now on; see ``Callbacks.give_secret``."""
        chosen = secret or new_signing_secret()
        secret_key(chosen)
        before = await self._sealed.destination(callback.id, callback.sealed_version)
        if before.signing and before.signing[0].text == chosen:
            return chosen
        async with self._audit.recorded(
            f"callback:{callback.id}",
            actor=caller.actor,
            action="callback.secret_changed",
            target=callback.id,
            after={"keep_old_seconds": keep_old_seconds},
        ):
            # The version first: of two who change it at once, only one goes on to the vault.
            version = await self._next_version(callback)
            signing = followed_by(before.signing, chosen, self._clock.now().timestamp(), keep_old_seconds)
            await self._sealed.keep(callback.id, replace(before, signing=signing, version=version))
        return chosen

    async def _next_version(self, callback: Callback) -> int:
        version = callback.sealed_version + 1
        for _ in range(TRIES):
            stored = await self._store.read(CONTAINER, (callback.id,), callback.id)
            document = stored.document
            if document.get("sealedVersion", 0) != callback.sealed_version or document["state"] == State.DELETING:
                break
            try:
                await self._store.replace(CONTAINER, {**document, "sealedVersion": version}, etag=stored.etag)
            except PreconditionFailed:
                continue  # how it is doing was written at the same moment
            finally:
                self._directory.changed()
            return version
        raise Conflict("Somebody else is changing this callback; try again.")
