"""Trusting the certificate that a machine's server shows: a person's act, and an entry of its own in the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.audit.log import AuditLog
from shared.equipment.forms import EquipmentChange
from shared.equipment.model import Equipment
from shared.equipment.registry import EquipmentRegistry

if TYPE_CHECKING:
    from shared.access.model import Caller

__all__ = ["trust_certificate"]


async def trust_certificate(
    registry: EquipmentRegistry,
    audit: AuditLog,
    equipment_id: str,
    fingerprint: str,
    caller: Caller,
    *,
    etag: str | None = None,
) -> tuple[Equipment, str]:
    """Pin this certificate, and no other, for this machine.

    Raises:
        NotFound, PreconditionFailed: no such machine; the etag is stale.
        InvalidInput: its protocol pins no certificates.
    """
    before, _ = await registry.get(equipment_id)
    async with audit.recorded(
        f"equipment:{equipment_id}",
        actor=caller.actor,
        action="equipment.certificate_trusted",
        target=equipment_id,
        before={"server_cert": before.iot_config.get("server_cert")},
        after={"server_cert": fingerprint},
    ):
        change = EquipmentChange(iot_config={"server_cert": fingerprint})
        return await registry.change(equipment_id, change, caller, etag=etag)
