"""The request profiles of this deployment: read often, changed seldom, every change audited."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.access import Caller
from shared.audit import AuditLog
from shared.clock import Clock, iso
from shared.equipment.registry import EquipmentRegistry
from shared.errors import FieldProblem, InvalidInput, NotFound, PreconditionFailed
from shared.platforms.operations1.profile import RequestProfile
from shared.storage import Document, DocumentStore, Query, every

__all__ = ["ProfilePage", "RequestProfiles"]

CONTAINER = "requestProfiles"
CACHE_FOR = timedelta(seconds=5)
CACHED = 1_000


@dataclass(frozen=True, slots=True)
class ProfilePage:
    """A page of profiles by id."""

    profiles: dict[str, RequestProfile]
    continuation: str | None


class RequestProfiles:
    """Creates, reads, changes and deletes profiles."""

    def __init__(
        self,
        store: DocumentStore,
        equipment: EquipmentRegistry,
        audit: AuditLog,
        clock: Clock,
        *,
        check: Callable[[RequestProfile], Awaitable[None]],
    ) -> None:
        self._store = store
        self._equipment = equipment
        self._audit = audit
        self._clock = clock
        self._check = check
        self._cache: OrderedDict[str, tuple[datetime, RequestProfile]] = OrderedDict()

    async def get(self, profile_id: str) -> tuple[RequestProfile, str]:
        """A profile and its etag. Raises ``NotFound``."""
        try:
            stored = await self._store.read(CONTAINER, (profile_id,), profile_id)
        except NotFound as err:
            raise NotFound(
                f"There is no request profile of this name; create it with PUT /api/v1/request-profiles/{profile_id}."
            ) from err
        return _from_document(stored.document), stored.etag

    async def list(self, *, limit: int = 100, continuation: str | None = None) -> ProfilePage:
        """A page of profiles."""
        page = await self._store.query(CONTAINER, Query(limit=limit, continuation=continuation))
        found = {item.document["id"]: _from_document(item.document) for item in page.items}
        return ProfilePage(found, page.continuation)

    async def every(self) -> dict[str, dict[str, Any]]:
        """All profiles by id, as they are written."""
        query = Query(limit=100)
        found = [item.document async for item in every(self._store, CONTAINER, query, at_most=CACHED)]
        return {document["id"]: document["profile"] for document in found}

    async def put(
        self, profile_id: str, profile: RequestProfile, *, etag: str | None, caller: Caller
    ) -> tuple[str, bool]:
        """Create or replace a profile; its new etag, and whether it is new.

        Raises:
            InvalidInput: a tag names a machine that is not registered, or an action can never be done.
            PreconditionFailed: an etag is given, and it is stale or there is no such profile.
        """
        await self._check_machines(profile)
        await self._check(profile)
        before, current = await self._standing(profile_id)
        if etag is not None and etag != current:
            raise PreconditionFailed("Somebody else changed this profile first. Read it again, then repeat the change.")
        document: Document = {
            "id": profile_id,
            "updatedAt": iso(self._clock.now()),
            "updatedBy": caller.id,
            "profile": profile.stored(),
        }
        recorded = self._audit.recorded(
            f"profile:{profile_id}",
            actor=caller.actor,
            action="profile.created" if before is None else "profile.changed",
            target=f"profile:{profile_id}",
            before=before,
            after=document["profile"],
        )
        async with recorded:
            if current is None:
                stored = await self._store.create(CONTAINER, document)
            else:
                # With the etag just read: what the audit entry calls "before" is what is replaced.
                stored = await self._store.replace(CONTAINER, document, etag=current)
        self._cache.pop(profile_id, None)
        return stored.etag, current is None

    async def delete(self, profile_id: str, *, etag: str | None, caller: Caller) -> None:
        """Delete a profile. Raises ``NotFound``, ``PreconditionFailed``."""
        profile, current = await self.get(profile_id)
        if etag is not None and etag != current:
            raise PreconditionFailed("Somebody else changed this profile first. Read it again, then delete it.")
        recorded = self._audit.recorded(
            f"profile:{profile_id}",
            actor=caller.actor,
            action="profile.deleted",
            target=f"profile:{profile_id}",
            before=profile.model_dump(mode="json"),
        )
        async with recorded:
            await self._store.delete(CONTAINER, (profile_id,), profile_id, etag=current)
        self._cache.pop(profile_id, None)

    async def current(self, profile_id: str) -> RequestProfile:
        """The profile for answering, at most seconds old. Raises ``NotFound``."""
        now = self._clock.now()
        known = self._cache.get(profile_id)
        if known is None or now - known[0] >= CACHE_FOR:
            profile, _ = await self.get(profile_id)
            known = self._cache[profile_id] = (now, profile)
            if len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        return known[1]

    async def _standing(self, profile_id: str) -> tuple[dict[str, Any] | None, str | None]:
        try:
            profile, etag = await self.get(profile_id)
        except NotFound:
            return None, None
        return profile.model_dump(mode="json"), etag

    async def _check_machines(self, profile: RequestProfile) -> None:
        problems: list[FieldProblem] = []
        for machine in dict.fromkeys(source.equipment_id for source in profile.tags.values()):
            try:
                await self._equipment.get(machine)
            except NotFound:
                problems += [
                    FieldProblem(f"tags.{tag}.equipment_id", f"There is no equipment {machine}; register it first.")
                    for tag, source in profile.tags.items()
                    if source.equipment_id == machine
                ]
        if problems:
            raise InvalidInput(f"{problems[0].field}: {problems[0].problem}", problems=problems)


def _from_document(document: Document) -> RequestProfile:
    return RequestProfile.model_validate(document["profile"])
