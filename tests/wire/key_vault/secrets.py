"""The secrets of one vault: versions, attributes, soft delete, recovery, purge. No HTTP here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Refused", "Secret", "Secrets", "Version"]

MAX_VALUE = 25_600
"""Characters of a value."""
RECOVERABLE_DAYS = 90
_ATTRIBUTES = ("enabled", "exp", "nbf")


class Refused(Exception):
    """What the vault says instead: status, code, code of the inner error, sentence."""

    def __init__(self, status: int, code: str, message: str, inner: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.inner = inner


@dataclass(slots=True)
class Version:
    """One value."""

    id: str
    value: str
    created: int
    updated: int
    content_type: str | None = None
    tags: dict[str, str] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Secret:
    """A name with its values, the newest last."""

    name: str
    versions: list[Version] = field(default_factory=list)
    deleted: int | None = None
    """Seconds since 1970."""
    settled: float = 0.0
    """Until then (monotonic) the vault is at work deleting or recovering it."""

    @property
    def busy(self) -> bool:
        """Is the vault still at work on it?"""
        return time.monotonic() < self.settled


class Secrets:
    """All of them. Names differ by more than case."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.by_name: dict[str, Secret] = {}
        self.settling_seconds = 0.0
        """How long deleting and recovering take after they were accepted."""
        self.purge_protection = True
        self._now = now

    # The living --------------------------------------------------------------------------------------------------

    def set(self, name: str, body: dict[str, Any]) -> tuple[Secret, Version]:
        """A new version."""
        value = body.get("value")
        if not isinstance(value, str):
            raise Refused(400, "BadParameter", "The request body is invalid: value is required.")
        if len(value) > MAX_VALUE:
            raise Refused(400, "BadParameter", f"Secret value is too long, the maximum is {MAX_VALUE} characters.")
        known = self.by_name.get(name.lower())
        if known is not None:
            _refuse_unsettled(known)
        secret = self.by_name.setdefault(name.lower(), Secret(name))
        now = self._now()
        version = Version(secrets.token_hex(16), value, now, now, body.get("contentType"), body.get("tags"))
        version.attributes = _attributes(body)
        secret.versions.append(version)
        return secret, version

    def get(self, name: str, version: str = "") -> tuple[Secret, Version]:
        """One version, or the newest; whatever its times say, but not when it is disabled."""
        secret = self._living(name)
        found = [v for v in secret.versions if version in ("", v.id)]
        if not found:
            raise _missing(name)
        if found[-1].attributes.get("enabled") is False:
            raise Refused(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")
        return secret, found[-1]

    def change(self, name: str, version: str, body: dict[str, Any]) -> tuple[Secret, Version]:
        """Other attributes for a version."""
        secret = self._living(name)
        found = [v for v in secret.versions if version in ("", v.id)]
        if not found:
            raise _missing(name)
        found[-1].attributes |= _attributes(body)
        found[-1].tags = body.get("tags", found[-1].tags)
        found[-1].content_type = body.get("contentType", found[-1].content_type)
        found[-1].updated = self._now()
        return secret, found[-1]

    def living(self) -> list[Secret]:
        """By name."""
        found = [s for s in self.by_name.values() if s.deleted is None and not s.busy]
        return sorted(found, key=lambda secret: secret.name)

    def versions(self, name: str) -> list[Version]:
        """Of one secret; the oldest first."""
        return list(self._living(name).versions)

    # The deleted -------------------------------------------------------------------------------------------------

    def delete(self, name: str) -> Secret:
        """Soft: the name is taken until the secret is purged."""
        known = self.by_name.get(name.lower())
        if known is not None and known.busy:
            _refuse_unsettled(known)
        secret = self._living(name)
        secret.deleted = self._now()
        secret.settled = time.monotonic() + self.settling_seconds
        return secret

    def deleted(self) -> list[Secret]:
        """By name."""
        found = [s for s in self.by_name.values() if s.deleted is not None and not s.busy]
        return sorted(found, key=lambda secret: secret.name)

    def get_deleted(self, name: str) -> Secret:
        """One that was deleted."""
        secret = self.by_name.get(name.lower())
        if secret is None or secret.deleted is None or secret.busy:
            raise Refused(404, "SecretNotFound", f"Deleted Secret not found: {name}")
        return secret

    def recover(self, name: str) -> Secret:
        """Back, with all its versions."""
        secret = self.by_name.get(name.lower())
        if secret is not None and secret.busy:
            _refuse_unsettled(secret)
        secret = self.get_deleted(name)
        secret.deleted = None
        secret.settled = time.monotonic() + self.settling_seconds
        return secret

    def purge(self, name: str) -> None:
        """For good."""
        secret = self.get_deleted(name)
        if self.purge_protection:
            raise Refused(403, "Forbidden", "Operation purge is not allowed: purge protection is on.")
        del self.by_name[secret.name.lower()]

    def _living(self, name: str) -> Secret:
        secret = self.by_name.get(name.lower())
        if secret is None or secret.deleted is not None or secret.busy:
            raise _missing(name)
        return secret


def _missing(name: str) -> Refused:
    said = (
        f"A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret you may "
        "be able to recover it using the correct recovery command."
    )
    return Refused(404, "SecretNotFound", said)


def _refuse_unsettled(secret: Secret) -> None:
    if secret.deleted is not None and secret.busy:
        said = f"Secret {secret.name} is currently being deleted and cannot be re-created; retry later."
        raise Refused(409, "Conflict", said, "ObjectIsBeingDeleted")
    if secret.deleted is not None:
        said = (
            f"Secret {secret.name} is currently in a deleted but recoverable state, and its name cannot be reused; in "
            "this state, the secret can only be recovered or purged."
        )
        raise Refused(409, "Conflict", said, "ObjectIsDeletedButRecoverable")
    if secret.busy:
        said = f"Secret {secret.name} is currently being recovered and cannot be re-created; retry later."
        raise Refused(409, "Conflict", said, "ObjectIsBeingRecovered")


def _attributes(body: dict[str, Any]) -> dict[str, Any]:
    given = body.get("attributes") or {}
    return {name: given[name] for name in _ATTRIBUTES if given.get(name) is not None}
