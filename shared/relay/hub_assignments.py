"""What a relay has to do, derived from the equipment registry: nothing is stored twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.errors import NotFound
from shared.ids import digest_id
from shared.json_text import canonical
from shared.relay.messages import Assignments, Device, LanSource

if TYPE_CHECKING:
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry
    from shared.relay.hub_model import CommandsBy
    from shared.relay.hub_registry import Relays

__all__ = ["RelayAssignments", "device_of"]

ListProfiles = Callable[[], Awaitable[Mapping[str, Mapping[str, Any]]]]
"""All request profiles by id."""
ListHookSources = Callable[[str], Awaitable[Sequence[LanSource]]]
"""Who may call in at a relay."""


def device_of(equipment: Equipment, *, timeout_seconds: float) -> Device:
    """A machine as a relay needs it. Credentials only by name."""
    return Device(
        equipment_id=equipment.id,
        name=equipment.name,
        protocol=equipment.protocol or "",
        profile=equipment.profile,
        endpoint=equipment.endpoint,
        port=equipment.port,
        credential_ref=equipment.relay_credential_ref or equipment.credential_ref,
        credential_owner="hub" if equipment.relay_credential_ref is None and equipment.credential_ref else "site",
        iot_config=dict(equipment.iot_config),
        poll_interval_seconds=equipment.poll_interval_seconds,
        timeout_seconds=timeout_seconds,
        supports_remote_control=equipment.supports_remote_control,
    )


class RelayAssignments:
    """Makes the assignments of a relay."""

    def __init__(
        self,
        equipment: EquipmentRegistry,
        profiles: ListProfiles,
        relays: Relays,
        *,
        timeout_seconds: float,
        hook_sources: ListHookSources,
    ) -> None:
        self._equipment = equipment
        self._profiles = profiles
        self._relays = relays
        self._timeout = timeout_seconds
        self._hook_sources = hook_sources

    async def of(self, relay_id: str) -> Assignments:
        """What this relay has to do now. The etag is made of the content: the same work has the same one."""
        machines = await self._equipment.of_relay(relay_id)
        read = sorted((m for m in machines if _is_read(m)), key=lambda machine: machine.id)
        devices = tuple(device_of(machine, timeout_seconds=self._timeout) for machine in read)
        profiles = await self._profiles_for([machine.id for machine in machines])
        commands_by = await self._commands_by(relay_id)
        said: dict[str, Any] = {"devices": [d.model_dump(mode="json") for d in devices], "profiles": profiles}
        if commands_by != "http":
            said["commands_by"] = commands_by
        hook_sources = tuple(await self._hook_sources(relay_id))
        if hook_sources:
            said["hook_sources"] = [source.model_dump(mode="json") for source in hook_sources]
        return Assignments(
            relay_id=relay_id,
            etag=digest_id(canonical(said)),
            devices=devices,
            request_profiles=tuple(profiles),
            commands_by=commands_by,
            hook_sources=hook_sources,
        )

    async def _commands_by(self, relay_id: str) -> CommandsBy:
        try:
            return (await self._relays.get(relay_id)).commands_by
        except NotFound:
            return "http"

    async def _profiles_for(self, machines: Sequence[str]) -> list[dict[str, Any]]:
        """External requests that ask for one of these machines."""
        if not machines:
            return []
        return [
            {"id": profile_id, "profile": dict(profile)}
            for profile_id, profile in sorted((await self._profiles()).items())
            if any(
                asked.get("equipment_id") in machines
                for asked in (*profile["tags"].values(), *profile.get("actions", {}).values())
            )
        ]


def _is_read(machine: Equipment) -> bool:
    return machine.iot_enabled and machine.supports_realtime and machine.protocol is not None
