"""The equipment registry: which machines there are, and how each is read.

Order of a change that brings new credentials: audit entry, vault (under a new name), document (under its etag); then
the set that is no longer named is removed. Until the document is written nothing has changed; then everything has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shared.audit.log import AuditLog
from shared.clock import Clock
from shared.equipment.changes import changed, configured, created, difference, replaced
from shared.equipment.checks import GUIDE, RESOURCE, Names, connector_form
from shared.equipment.connection import Proposal, settle
from shared.equipment.credentials import CredentialSets
from shared.equipment.forms import EquipmentChange, IotConnectionConfig, NewEquipment
from shared.equipment.listing import EquipmentFilter, EquipmentPage, list_page
from shared.equipment.model import Equipment
from shared.equipment.place import KnowsRelay, check_place
from shared.equipment.remembered import Remembered
from shared.equipment.shared_credentials import SharedCredentials
from shared.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from shared.ids import new_id
from shared.outgoing.targets import TargetPolicy
from shared.secrets import Vault
from shared.storage import DocumentStore, Equals, Query, Stored, every

if TYPE_CHECKING:
    from shared.access.model import Caller

__all__ = ["EquipmentRegistry", "Saved"]

CONTAINER = "equipment"

Machines = list[Equipment]
Ids = list[str]
# Named here: inside the class `list` is the method.

ATTEMPTS = 5
"""Tries to change a machine that others change at the same time, where the caller gave no etag."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A machine as it stands in the registry now."""

    equipment: Equipment
    etag: str
    created: bool = False


class EquipmentRegistry:
    """The machines."""

    def __init__(
        self,
        store: DocumentStore,
        vault: Vault,
        audit: AuditLog,
        targets: TargetPolicy,
        clock: Clock,
        *,
        knows_relay: KnowsRelay | None = None,
    ) -> None:
        """``knows_relay``: is there a relay with this id? Left out: nobody asks."""
        self._store = store
        self._knows_relay = knows_relay
        self._audit = audit
        self._targets = targets
        self._clock = clock
        self._credentials = CredentialSets(vault, clock)
        self.shared_credentials = SharedCredentials(store, vault, audit, targets, clock)
        self._remembered = Remembered(store, clock)

    # Reading -----------------------------------------------------------------------------------------------------

    async def get(self, equipment_id: str) -> tuple[Equipment, str]:
        """A machine and its etag. Raises ``NotFound``."""
        stored = await self._read(equipment_id)
        return Equipment.from_document(stored.document), stored.etag

    async def known(self, equipment_id: str) -> Equipment:
        """A machine as it was at most five seconds ago; for live data. Raises ``NotFound``."""
        try:
            return await self._remembered.get(equipment_id)
        except (NotFound, InvalidInput):
            raise _no_such(equipment_id) from None

    async def list(
        self, wanted: EquipmentFilter | None = None, *, limit: int = 100, continuation: str | None = None
    ) -> EquipmentPage:
        """A page of machines, in no particular order. Raises ``InvalidInput`` for a continuation that is not ours."""
        return await list_page(self._store, wanted or EquipmentFilter(), limit=limit, continuation=continuation)

    async def ids(self) -> Ids:
        """All machines, for work over all of them."""
        query = Query(limit=1000, select=("id",))
        return [item.document["id"] async for item in every(self._store, CONTAINER, query)]

    async def pollable(self) -> Machines:
        """Machines that are polled by this app: enabled, realtime, reached from the cloud. Cached five seconds."""
        return await self._remembered.pollable()

    async def watched(self) -> Machines:
        """Machines that are read by anybody, from here or by a relay: whose silence means something."""
        return await self._remembered.watched()

    async def of_relay(self, relay_id: str) -> Machines:
        """The machines that are assigned to a relay, whether they are to be read or not."""
        query = Query((Equals("relayId", relay_id),), limit=1000)
        found = [Equipment.from_document(item.document) async for item in every(self._store, CONTAINER, query)]
        return [machine for machine in found if machine.polled_from == "relay"]

    async def connector_config(self, equipment: Equipment, *, fresh: bool = False) -> dict[str, Any]:
        """The configuration as connectors take it, with the credentials out of the vault (cached ten minutes).

        Args:
            equipment: as :meth:`pollable` or :meth:`get` gave it.
            fresh: ask the vault again; for after the device refused the credentials.

        Raises:
            NotFound: the machine is gone.
            InvalidInput: its credentials are gone from the vault.
            Unavailable: the vault is away.
        """
        try:
            return connector_form(equipment, await self._credentials.load(equipment.credential_ref, fresh=fresh))
        except NotFound:
            current, _ = await self.get(equipment.id)
        if current.credential_ref == equipment.credential_ref:
            raise InvalidInput(
                "Its credentials are no longer in the vault: give them again.", field="iot_credentials"
            ) from None
        # The credentials were changed a moment ago and the caller still holds the machine as it was.
        self._remembered.forget(equipment.id)
        return connector_form(current, await self._credentials.load(current.credential_ref))

    # Changing ----------------------------------------------------------------------------------------------------

    async def create(self, new: NewEquipment, caller: Caller) -> tuple[Equipment, str]:
        """Register a machine.

        Raises:
            Conflict: there is one with this id.
            InvalidInput, UnsafeTarget: its connection is not one we would save; nothing was stored.
        """
        equipment_id = new.id or new_id()
        if new.id is not None and await self._find(new.id) is not None:
            raise _exists(new.id)
        saved = await self._create(new, equipment_id, caller)
        return saved.equipment, saved.etag

    async def put(
        self, equipment_id: str, new: NewEquipment, caller: Caller, *, etag: str | None = None, only_new: bool = False
    ) -> Saved:
        """Register a machine under this id, or replace the one that is there. Stored credentials stay unless given.

        Raises:
            PreconditionFailed: the etag is stale, or ``only_new`` and it exists.
            InvalidInput, UnsafeTarget: as :meth:`create`.
        """
        if new.id not in (None, equipment_id):
            raise InvalidInput("id differs from the one in the address: leave it out.", field="id")
        if await self._find(equipment_id) is None:
            if etag is not None:
                raise PreconditionFailed(f"There is no machine {equipment_id}, so there is nothing with this etag.")
            try:
                return await self._create(new, equipment_id, caller)
            except Conflict:
                if only_new:
                    raise PreconditionFailed(f"Somebody else has just registered {equipment_id}.") from None
        elif only_new:
            raise PreconditionFailed(f"There is a machine {equipment_id} already (If-None-Match: *).")
        proposal = Proposal.of(new.iot_credentials, given="iot_credentials" in new.model_fields_set, names=RESOURCE)
        now = self._clock.now()
        return await self._change(equipment_id, lambda m: replaced(m, new, now), proposal, "changed", caller, etag)

    async def change(
        self, equipment_id: str, change: EquipmentChange, caller: Caller, *, etag: str | None = None
    ) -> tuple[Equipment, str]:
        """Change some fields (merge patch).

        Raises:
            NotFound, PreconditionFailed: no such machine; the etag is stale.
            InvalidInput, UnsafeTarget: as :meth:`create`.
        """
        given = "iot_credentials" in change.model_fields_set
        proposal = Proposal.of(change.iot_credentials, given=given, names=RESOURCE)
        now = self._clock.now()
        saved = await self._change(equipment_id, lambda m: changed(m, change, now), proposal, "changed", caller, etag)
        return saved.equipment, saved.etag

    async def configure_iot(
        self, equipment_id: str, config: IotConnectionConfig, caller: Caller, *, etag: str | None = None
    ) -> tuple[Equipment, str]:
        """Replace how a machine is reached. Raises as :meth:`change`."""
        now = self._clock.now()
        proposal = _proposed(config, GUIDE)
        saved = await self._change(
            equipment_id, lambda m: configured(m, config, now), proposal, "iot_configured", caller, etag
        )
        return saved.equipment, saved.etag

    async def propose(self, equipment_id: str, config: IotConnectionConfig) -> tuple[Equipment, dict[str, Any]]:
        """How a machine would be read with this configuration, checked, nothing stored: for a test before saving.

        Returns:
            The machine as it would be, and the configuration as connectors take it.

        Raises:
            NotFound: no such machine.
            InvalidInput, UnsafeTarget: as :meth:`configure_iot`.
        """
        before, _ = await self.get(equipment_id)
        after = configured(before, config, self._clock.now())
        proposal = _proposed(config, GUIDE)
        settled = await settle(before, after, proposal, self._credentials, self.shared_credentials, self._targets)
        values = settled.values if settled.new else await self._credentials.load(settled.ref)
        # Credentials that would go with this configuration, and no others: a relay looks for them by this name.
        return replace(after, credential_ref=settled.ref), connector_form(after, values)

    async def delete(self, equipment_id: str, caller: Caller, *, etag: str | None = None) -> None:
        """Remove a machine and its credentials. Readings, alerts and rules stay, readings until they expire.

        Raises:
            NotFound, PreconditionFailed: no such machine; the etag is stale.
        """
        before, current = await self.get(equipment_id)
        if etag is not None and etag != current:
            raise _stale(equipment_id)
        old, _ = difference(before, None, credentials_changed=False)
        stream = f"equipment:{equipment_id}"
        async with self._audit.recorded(
            stream, actor=caller.actor, action="equipment.deleted", target=equipment_id, before=old
        ):
            await self._store.delete(CONTAINER, (equipment_id,), equipment_id, etag=current)
        self._remembered.forget(equipment_id)
        await self._credentials.forget(before.credential_ref)

    async def sweep_credentials(self) -> int:
        """Remove credentials that a change left behind when its process died; how many sets."""
        return await self._credentials.sweep(self._refs)

    # Inside ------------------------------------------------------------------------------------------------------

    async def _create(self, new: NewEquipment, equipment_id: str, caller: Caller) -> Saved:
        proposal = Proposal.of(new.iot_credentials, given=True, names=RESOURCE)
        after = created(new, equipment_id, self._clock.now())
        return await self._save(None, after, proposal, "created", caller)

    async def _change(
        self,
        equipment_id: str,
        step: Callable[[Equipment], Equipment],
        proposal: Proposal,
        action: str,
        caller: Caller,
        etag: str | None,
    ) -> Saved:
        for attempt in range(ATTEMPTS):
            before, current = await self.get(equipment_id)
            if etag is not None and etag != current:
                raise _stale(equipment_id)
            try:
                return await self._save(Saved(before, current), step(before), proposal, action, caller)
            except PreconditionFailed:
                if etag is not None or attempt == ATTEMPTS - 1:
                    raise _stale(equipment_id) from None
        raise _stale(equipment_id)

    async def _save(
        self, before: Saved | None, after: Equipment, proposal: Proposal, action: str, caller: Caller
    ) -> Saved:
        old = before.equipment if before is not None else None
        await check_place(old, after, self._knows_relay)
        settled = await settle(old, after, proposal, self._credentials, self.shared_credentials, self._targets)
        now = self._clock.now()
        given = settled.new or (settled.changed and settled.ref is not None)
        after = replace(
            after,
            credential_ref=settled.ref,
            credentials_set_at=now if given else after.credentials_set_at if settled.ref else None,
        )
        announced = replace(after, credential_ref="new") if settled.new else after
        was, will = difference(old, announced, credentials_changed=settled.changed)
        fresh: str | None = None
        async with self._audit.recorded(
            f"equipment:{after.id}",
            actor=caller.actor,
            action=f"equipment.{action}",
            target=after.id,
            before=was,
            after=will,
        ):
            if settled.new:
                fresh = await self._credentials.keep(after.id, settled.values)
                after = replace(after, credential_ref=fresh)
            try:
                stored = await self._write(before, after)
            except (Conflict, PreconditionFailed, NotFound):
                # Certainly not written. After any other failure it may have been: the sweep will see.
                await self._credentials.forget(fresh)
                raise
        self._remembered.forget(after.id)
        if old is not None and old.credential_ref != after.credential_ref:
            await self._credentials.forget(old.credential_ref)
        return Saved(after, stored.etag, created=before is None)

    async def _write(self, before: Saved | None, after: Equipment) -> Stored:
        if before is not None:
            return await self._store.replace(CONTAINER, after.to_document(), etag=before.etag)
        try:
            return await self._store.create(CONTAINER, after.to_document())
        except Conflict:
            raise _exists(after.id) from None

    async def _find(self, equipment_id: str) -> Stored | None:
        try:
            return await self._store.read(CONTAINER, (equipment_id,), equipment_id)
        except NotFound:
            return None

    async def _read(self, equipment_id: str) -> Stored:
        try:
            return await self._store.read(CONTAINER, (equipment_id,), equipment_id)
        except (NotFound, InvalidInput):
            raise _no_such(equipment_id) from None

    async def _refs(self) -> set[str]:
        query = Query(limit=1000, select=("credentialRef",))
        found = [item.document.get("credentialRef") async for item in every(self._store, CONTAINER, query)]
        return {ref for ref in found if ref is not None}


def _proposed(config: IotConnectionConfig, names: Names) -> Proposal:
    values: Mapping[str, Any] | None = config.credentials
    return Proposal.of(values, given="credentials" in config.model_fields_set, names=names)


def _no_such(equipment_id: str) -> NotFound:
    return NotFound(f"There is no equipment {equipment_id[:64]}; GET /api/v1/equipment lists what there is.")


def _exists(equipment_id: str) -> Conflict:
    return Conflict(
        f"There is equipment {equipment_id} already: change it with PATCH, or choose another id.",
    )


def _stale(equipment_id: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"{equipment_id} was changed by somebody else in the meantime: read it again, then repeat the change."
    )
