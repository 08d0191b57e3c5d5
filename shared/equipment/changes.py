"""From what a caller wrote to the machine as it will be. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.clock import iso
from shared.equipment.forms import EquipmentChange, EquipmentFields, IotConnectionConfig, NewEquipment
from shared.equipment.model import Equipment
from shared.equipment.place import placed
from shared.equipment.shared_credentials import SHARED

__all__ = ["changed", "configured", "connection_of", "created", "difference", "replaced", "shown"]

_ATTRIBUTE = {"iot_protocol": "protocol", "iot_endpoint": "endpoint", "iot_port": "port"}
"""API field -> attribute, where they differ."""

_DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields_of(Equipment) if f.name != "iot_config"} | {
    "iot_config": {}
}
_SHOWN = (
    "id",
    "name",
    "site",
    "type",
    "model",
    "manufacturer",
    "serial_number",
    "firmware_version",
    "location",
    "profile",
    "iot_enabled",
    "iot_protocol",
    "iot_endpoint",
    "iot_port",
    "iot_config",
    "supports_realtime",
    "supports_humidity",
    "supports_energy_monitoring",
    "supports_remote_control",
    "poll_interval_seconds",
    "polled_from",
    "relay_id",
    "relay_credential_ref",
    "temperature_zones",
    "shared",
)


def created(new: NewEquipment, equipment_id: str, now: datetime) -> Equipment:
    """A machine that was not there before."""
    blank = Equipment(id=equipment_id, name=new.name, created_at=now, updated_at=now)
    return _apply(blank, new)


def replaced(before: Equipment, new: NewEquipment, now: datetime) -> Equipment:
    """The whole machine anew; fields left out get their defaults. Its credentials are decided elsewhere."""
    blank = Equipment(
        id=before.id,
        name=new.name,
        created_at=before.created_at,
        updated_at=now,
        credential_ref=before.credential_ref,
        credentials_set_at=before.credentials_set_at,
    )
    return _apply(blank, new)


def changed(before: Equipment, change: EquipmentChange, now: datetime) -> Equipment:
    """A merge patch (RFC 7396): what is left out stays, ``null`` removes, ``iot_config`` is merged."""
    name = change.name if "name" in change.model_fields_set else before.name
    return _apply(replace(before, name=name, updated_at=now), change)


def configured(before: Equipment, config: IotConnectionConfig, now: datetime) -> Equipment:
    """The guide's IoT configuration: the whole connection anew."""
    realtime, interval = config.supports_realtime, config.poll_interval_seconds
    return replace(
        before,
        protocol=config.protocol,
        endpoint=config.endpoint,
        port=config.port,
        iot_config=config.additional_config or {},
        iot_enabled=config.enabled,
        supports_realtime=before.supports_realtime if realtime is None else realtime,
        poll_interval_seconds=before.poll_interval_seconds if interval is None else interval,
        updated_at=now,
    )


def connection_of(equipment: Equipment) -> tuple[Any, ...]:
    """What decides how the machine is read: has to be checked anew when it changes."""
    return (
        equipment.protocol,
        equipment.endpoint,
        equipment.port,
        equipment.iot_config,
        equipment.iot_enabled,
        equipment.polled_from,
    )


def shown(equipment: Equipment) -> dict[str, Any]:
    """The machine in the words of the API, without what changes by itself. Never credentials."""
    body = {name: getattr(equipment, _ATTRIBUTE.get(name, name)) for name in _SHOWN}
    body["iot_config"] = dict(equipment.iot_config)
    ref = equipment.credential_ref
    body["iot_credentials_set"] = ref is not None
    body["iot_credential_set"] = ref.removeprefix(SHARED) if ref is not None and ref.startswith(SHARED) else None
    set_at = equipment.credentials_set_at
    body["iot_credentials_set_at"] = iso(set_at) if set_at is not None else None
    body["created_at"] = iso(equipment.created_at)
    body["updated_at"] = iso(equipment.updated_at)
    return body


def difference(
    before: Equipment | None, after: Equipment | None, *, credentials_changed: bool
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What the audit log keeps: of a change only the fields that changed, of a beginning or an end all of them."""
    old = _audited(before)
    new = _audited(after)
    if old is not None and new is not None:
        names = [name for name in old if old[name] != new[name]]
        old, new = {name: old[name] for name in names}, {name: new[name] for name in names}
    if new is not None and credentials_changed:
        new["credentials_changed"] = True
    return old, new


def _audited(equipment: Equipment | None) -> dict[str, Any] | None:
    if equipment is None:
        return None
    left_out = ("created_at", "updated_at", "iot_credentials_set_at")
    return {name: value for name, value in shown(equipment).items() if name not in left_out}


def _apply(base: Equipment, given: EquipmentFields) -> Equipment:
    values: dict[str, Any] = {}
    for name in given.model_fields_set - {"id", "name", "iot_credentials"}:
        attribute = _ATTRIBUTE.get(name, name)
        value = getattr(given, name)
        if name == "iot_config" and value is not None:
            value = _merged(base.iot_config, value)
        values[attribute] = _DEFAULTS[attribute] if value is None else value
    after = placed(replace(base, **values), given)
    if given.iot_enabled is not None:
        return after
    mentioned = "iot_enabled" in given.model_fields_set
    if mentioned or after.protocol is None or base.protocol is None:
        return replace(after, iot_enabled=after.protocol is not None)
    return after


def _merged(target: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            result[name] = _merged(result.get(name), value)
        else:
            result[name] = value
    return result
