"""Which credentials go with a connection: kept, given or removed. The one place that decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.equipment.addresses import address_of
from shared.equipment.changes import connection_of
from shared.equipment.checks import Names, check_connection
from shared.equipment.credentials import CredentialSets
from shared.equipment.model import Equipment
from shared.equipment.shared_credentials import SharedCredentials, named_set
from shared.errors import InvalidInput, NotFound
from shared.outgoing.targets import TargetPolicy

__all__ = ["Proposal", "Settled", "settle"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a caller said about credentials."""

    keep: bool
    """Nothing: the stored ones stay."""
    values: Mapping[str, Any] = field(repr=False)
    """New ones; empty: none from now on."""
    names: Names

    @classmethod
    def of(cls, values: Mapping[str, Any] | None, *, given: bool, names: Names) -> Proposal:
        """From a body's field; ``null`` and ``{}`` remove."""
        return cls(keep=not given, values=dict(values or {}), names=names)


@dataclass(frozen=True, slots=True)
class Settled:
    """What was decided."""

    ref: str | None
    """The stored set that goes on; with ``new`` there is none yet."""
    values: Mapping[str, Any] = field(repr=False)
    new: bool
    """``values`` have to be put into the vault."""
    changed: bool
    """Given anew, or removed."""


async def settle(
    before: Equipment | None,
    after: Equipment,
    proposal: Proposal,
    sets: CredentialSets,
    shared: SharedCredentials,
    targets: TargetPolicy,
) -> Settled:
    """Decide, then check the connection as a whole. Nothing is stored; of kept credentials ``values`` is empty where
    nothing had to be checked.

    Stored credentials never go to another address than the one they were given for: whoever may change the address
    may not read the credentials, and must not be able to by having them sent to a listener.

    Raises:
        InvalidInput, UnsafeTarget: in the caller's words.
    """
    old = before.credential_ref if before is not None else None
    if not proposal.keep and (name := named_set(proposal.values, field=proposal.names.credentials)) is not None:
        return await _settle_shared(old, after, name, proposal.names, sets, shared, targets)
    if not proposal.keep:
        await check_connection(after, proposal.values, targets, proposal.names)
        new = bool(proposal.values)
        return Settled(None, proposal.values, new=new, changed=new or old is not None)
    if old is not None and (after.protocol is None or after.endpoint is None):
        await check_connection(after, {}, targets, proposal.names)
        return Settled(None, {}, new=False, changed=True)
    if before is not None and old is not None:
        _same_address(before, after, proposal.names)
    if before is not None and connection_of(before) == connection_of(after):
        # A new name for an oven must not fail because its address does not resolve today, or the vault is away.
        return Settled(old, {}, new=False, changed=False)
    values = await _stored(old, sets, proposal.names)
    await check_connection(after, values, targets, proposal.names)
    return Settled(old, values, new=False, changed=False)


async def _settle_shared(
    old: str | None,
    after: Equipment,
    name: str,
    names: Names,
    sets: CredentialSets,
    shared: SharedCredentials,
    targets: TargetPolicy,
) -> Settled:
    if after.protocol is None or after.endpoint is None:
        await check_connection(after, {"set": name}, targets, names)
    found = await shared.for_address(name, _url(after, names), field=names.credentials)
    values = await _stored(found.ref, sets, names)
    await check_connection(after, values, targets, names)
    return Settled(found.ref, values, new=False, changed=old != found.ref)


def _same_address(before: Equipment, after: Equipment, names: Names) -> None:
    old, new = _url(before, names), _url(after, names)
    if old != new:
        raise InvalidInput(
            f"The address changes from {old} to {new}, and stored credentials are never sent to another "
            f"address than the one they were given for: give {names.credentials} again, or null to remove them.",
            field=names.credentials,
        )


def _url(equipment: Equipment, names: Names) -> str:
    if equipment.protocol is None or equipment.endpoint is None:
        return "none"
    return address_of(equipment.protocol, equipment.endpoint, equipment.port, field=names.endpoint).url


async def _stored(ref: str | None, sets: CredentialSets, names: Names) -> Mapping[str, Any]:
    try:
        return await sets.load(ref)
    except NotFound:
        raise InvalidInput(
            f"The stored credentials are no longer in the vault: give {names.credentials} again, or null for none.",
            field=names.credentials,
        ) from None
