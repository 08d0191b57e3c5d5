"""Credential sets that many machines share: an account with a vendor's cloud, the reader's user of a plant's devices.

A set belongs to one address (scheme, host, port) and never leaves it: whoever may name a set for a machine may not have
it sent to a listener of theirs. Its values change as new versions of one secret, so a password that the vendor made us
change is changed once; every machine has it within ten minutes, or at once when the device refuses the old one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared import json_text
from shared.audit.log import AuditLog
from shared.clock import Clock, iso, parse_iso
from shared.equipment.addresses import address_of
from shared.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from shared.outgoing.targets import TargetPolicy
from shared.secrets import Vault
from shared.storage import Document, DocumentStore, Query, every

if TYPE_CHECKING:
    from shared.access.model import Caller

__all__ = ["SHARED", "NewSharedCredentials", "SharedCredentials", "SharedSet", "named_set"]

CONTAINER = "credentialSets"
SHARED = "set-"
"""How the secrets begin."""
ID = r"^[a-z0-9][a-z0-9-]{0,62}$"

Sets = list["SharedSet"]
Ids = list[str]
# Named here: inside the class `list` is the method.


@dataclass(frozen=True, slots=True)
class NewSharedCredentials:
    """A set as it is wanted."""

    id: str
    name: str
    protocol: str
    """Of the machines that use it: decides how ``endpoint`` is read."""
    endpoint: str
    port: int | None
    values: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SharedSet:
    """A set without its values."""

    id: str
    name: str
    address: str
    """``https://api.vendor.example``: where it may be sent."""
    created_at: datetime
    changed_at: datetime
    changed_by: str

    @property
    def ref(self) -> str:
        """The name of its secret, as machines' documents hold it."""
        return SHARED + self.id

    @classmethod
    def from_document(cls, document: Document) -> SharedSet:
        """The set back from its stored form."""
        return cls(
            id=document["id"],
            name=document["name"],
            address=document["address"],
            created_at=parse_iso(document["createdAt"]),
            changed_at=parse_iso(document["changedAt"]),
            changed_by=document["changedBy"],
        )


def named_set(values: Mapping[str, Any], *, field: str) -> str | None:
    """The set that a machine's credentials name: ``{"set": "vendor-madrid"}``.

    Raises:
        InvalidInput: other credentials stand beside it, or it is no name of a set.
    """
    if "set" not in values:
        return None
    wanted = values["set"]
    if len(values) > 1:
        raise InvalidInput(f"{field}.set names a shared set: leave the other credentials out.", field=f"{field}.set")
    if not isinstance(wanted, str) or re.fullmatch(ID, wanted) is None:
        raise InvalidInput(f"{field}.set is the id of a credential set, such as vendor-madrid.", field=f"{field}.set")
    return wanted


class SharedCredentials:
    """The sets of this deployment."""

    def __init__(
        self, store: DocumentStore, vault: Vault, audit: AuditLog, targets: TargetPolicy, clock: Clock
    ) -> None:
        self._store = store
        self._vault = vault
        self._audit = audit
        self._targets = targets
        self._clock = clock

    async def put(self, new: NewSharedCredentials, caller: Caller) -> tuple[SharedSet, bool]:
        """Make a set, or give an existing one new values; whether it is new.

        Raises:
            InvalidInput, UnsafeTarget: no address we would connect to, or no values.
            Conflict: the set belongs to another address.
        """
        if not new.values:
            raise InvalidInput("credentials is empty: give what the vendor asks for.", field="credentials")
        address = address_of(new.protocol, new.endpoint, new.port, field="endpoint")
        await address.vet(self._targets, field="endpoint")
        stored = await self._find(new.id)
        if stored is not None and stored.address != address.url:
            raise Conflict(
                f"{new.id} belongs to {stored.address}, and credentials never go to another address than the one they "
                "were given for: make another set for the new address."
            )
        now = iso(self._clock.now())
        document: Document = {
            "id": new.id,
            "name": new.name,
            "address": address.url,
            "createdAt": iso(stored.created_at) if stored else now,
            "changedAt": now,
            "changedBy": caller.id,
        }
        action = "credential_set.changed" if stored else "credential_set.created"
        said = {"name": new.name, "address": address.url, "credentials_changed": True}
        async with self._audit.recorded(
            f"credential_set:{new.id}", actor=caller.actor, action=action, target=new.id, after=said
        ):
            if stored is None:
                # The address first: until it stands, no machine can name the set.
                await self._create(document)
            await self._vault.set(SHARED + new.id, json_text.dump(dict(new.values)).decode())
            if stored is not None:
                await self._store.upsert(CONTAINER, document)
        return SharedSet.from_document(document), stored is None

    async def get(self, id: str) -> SharedSet:
        """One set. Raises ``NotFound``."""
        found = await self._find(id)
        if found is None:
            raise NotFound(f"There is no credential set {id[:64]}; GET /api/v1/credential-sets lists what there is.")
        return found

    async def list(self) -> Sets:
        """All sets, by id."""
        found = [SharedSet.from_document(s.document) async for s in every(self._store, CONTAINER, Query(limit=1000))]
        return sorted(found, key=lambda one: one.id)

    async def users(self, id: str) -> Ids:
        """The machines that use it. Reads the registry: for people, not for every poll."""
        query = Query(limit=1000, select=("id", "credentialRef"))
        machines = every(self._store, "equipment", query)
        return sorted([m.document["id"] async for m in machines if m.document.get("credentialRef") == SHARED + id])

    async def delete(self, id: str, caller: Caller) -> None:
        """Forget a set with its values.

        Raises:
            NotFound: there is none.
            Conflict: machines use it.
        """
        found = await self.get(id)
        used_by = await self.users(id)
        if used_by:
            more = f" and {len(used_by) - 3} more" if len(used_by) > 3 else ""
            raise Conflict(f"{id} is used by {', '.join(used_by[:3])}{more}: give them other credentials first.")
        async with self._audit.recorded(
            f"credential_set:{id}",
            actor=caller.actor,
            action="credential_set.deleted",
            target=id,
            before={"name": found.name, "address": found.address},
        ):
            await self._store.delete(CONTAINER, (id,), id)
            await self._vault.delete(found.ref)

    async def for_address(self, id: str, address: str, *, field: str) -> SharedSet:
        """The set, for a machine at this address.

        Raises:
            InvalidInput: there is none, or it belongs to another address.
        """
        found = await self._find(id)
        if found is None:
            raise InvalidInput(f"There is no credential set {id}: make it first.", field=f"{field}.set")
        if found.address != address:
            raise InvalidInput(
                f"{id} belongs to {found.address} and is never sent to {address}: make a set for that address.",
                field=f"{field}.set",
            )
        return found

    async def _create(self, document: Document) -> None:
        try:
            await self._store.create(CONTAINER, document)
        except Conflict:
            raise PreconditionFailed(
                f"Somebody else has just made {document['id']}: read it, then repeat the change."
            ) from None

    async def _find(self, id: str) -> SharedSet | None:
        try:
            return SharedSet.from_document((await self._store.read(CONTAINER, (id,), id)).document)
        except (NotFound, InvalidInput):
            return None
