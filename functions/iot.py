"""How one machine is reached: configuration, connection test, capabilities."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, endpoint
from functions.equipment import expected_etag
from shared.access import Role
from shared.clock import iso
from shared.errors import Conflict, InvalidInput, RelaySilent, Unavailable
from shared.services import Services

if TYPE_CHECKING:
    from shared.connectors import Capabilities, ConnectionTest
    from shared.connectors.base import ServerCertificate
    from shared.equipment import Equipment, IotConnectionConfig
    from shared.equipment.connection_test import ConnectionTester
    from shared.signals import Reading

bp = func.Blueprint()

log = logging.getLogger("ovenbridge.iot")


class ConfigQuery(BaseModel):
    """What to do about the connection test."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    test: bool = Field(True, description="false: save without testing.")
    require_connection: bool = Field(False, description="true: save only what can be reached.")


class CapabilitiesQuery(BaseModel):
    """Where from."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    refresh: bool = Field(False, description="true: ask the device now.")


@bp.route("api/v1/equipment/{equipment_id}/iot-config", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def configure_iot(call: Call) -> Answer:
    """Say how a machine is reached; saved, then tested. A failing test is said, and saved all the same."""
    from shared.equipment import IotConnectionConfig

    asked = call.params(ConfigQuery)
    if asked.require_connection and not asked.test:
        raise InvalidInput("test=false and require_connection=true exclude each other.", field="test")
    config = call.body(IotConnectionConfig)
    house, equipment_id = call.services, call.route["equipment_id"]
    tested: ConnectionTest | None = None
    if asked.require_connection:
        tested = await _tried(call, _test_proposed(call, equipment_id, config))
        if not tested.success:
            raise Conflict(f"Not saved, because the connection test failed: {tested.error_details}")
    equipment, etag = await house.equipment.configure_iot(equipment_id, config, call.caller, etag=expected_etag(call))
    if asked.test and tested is None:
        tested = await _tried(call, _test_stored(call, equipment))
    if tested is not None:
        await house.health.note_test(equipment_id, tested)
        if tested.success and equipment.iot_enabled and equipment.supports_realtime:
            await read_soon(house, equipment_id)
    body = {
        "success": True,
        "message": _saved(tested),
        "equipment_id": equipment_id,
        "connection_test_result": None if tested is None else test_body(tested),
        **_unverified(equipment.protocol),
    }
    return Answer(body, headers={"ETag": f'"{etag}"'})


async def read_soon(house: Services, equipment_id: str) -> None:
    """The configuration is saved; a queue that is away must not make that look like a failure."""
    try:
        await house.polling.soon(equipment_id)
    except Unavailable as error:
        log.warning("%s is read with the next plan, not at once: %s", equipment_id, error.detail)


@bp.route("api/v1/equipment/{equipment_id}/test-connection", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def test_connection(call: Call) -> Answer:
    """Test the stored connection, or the one in the body without saving it."""
    from shared.equipment import IotConnectionConfig

    house, equipment_id = call.services, call.route["equipment_id"]
    protocol: str | None
    if call.raw.strip() not in (b"", b"{}"):
        config = call.body(IotConnectionConfig)
        protocol = config.protocol
        tested = await _test_proposed(call, equipment_id, config)
    else:
        equipment, _ = await house.equipment.get(equipment_id)
        if equipment.protocol is None:
            raise Conflict(
                f"{equipment.name} has no IoT configuration yet: POST one to .../{equipment_id}/iot-config, or put one "
                "into the body of this call to test it before saving."
            )
        protocol = equipment.protocol
        tested = await _test_stored(call, equipment)
        # What is not saved says nothing about the machine's connection, so only this is logged.
        await house.health.note_test(equipment_id, tested)
    return Answer({"equipment_id": equipment_id, **test_body(tested), **_unverified(protocol)})


@bp.route("api/v1/equipment/{equipment_id}/capabilities", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_capabilities(call: Call) -> Answer:
    """What a machine can tell: as declared, as mapped, and as its last reading showed; `refresh=true` asks it now."""
    asked = call.params(CapabilitiesQuery)
    house = call.services
    equipment, _ = await house.equipment.get(call.route["equipment_id"])
    if asked.refresh:
        call.caller.require(Role.OPERATOR)
        return Answer(await _asked_now(call, equipment))
    latest = await house.readings.latest(equipment.id)
    return Answer(_capabilities(equipment, latest))


async def _asked_now(call: Call, equipment: Equipment) -> dict[str, Any]:
    from shared.connectors import ConnectionTest

    if equipment.protocol is None:
        raise Conflict(f"{equipment.name} has no IoT configuration yet, so it cannot be asked.")
    if equipment.polled_from == "relay":
        return await _asked_in_the_plant(call, equipment)
    form = await call.services.equipment.connector_config(equipment)
    found = await _tester(call).capabilities(equipment, form)
    if isinstance(found, ConnectionTest):
        raise Conflict(f"The machine could not be asked: {found.error_details}")
    return _body(equipment, found, "device", iso(call.services.clock.now()))


async def _asked_in_the_plant(call: Call, equipment: Equipment) -> dict[str, Any]:
    """What one read through its relay shows."""
    from shared.signals import Reading

    tested = await call.services.relay_hub.devices.test(equipment, call.caller)
    if not tested.success:
        raise Conflict(f"The machine could not be asked: {tested.error_details}")
    return _capabilities(equipment, Reading(equipment.id, call.services.clock.now(), tested.signals)) | {
        "source": "device"
    }


def _capabilities(equipment: Equipment, latest: Reading | None) -> dict[str, Any]:
    from shared.connectors import Capabilities
    from shared.signals import Quality
    from shared.telemetry.fields import zone_of

    mapped = equipment.iot_config.get("signals")
    keys = dict.fromkeys(mapped if isinstance(mapped, Mapping) else ())
    if latest is not None:
        keys |= dict.fromkeys(key for key, value in latest.values.items() if value.quality is not Quality.BAD)
    found = Capabilities(
        supports_realtime=latest is not None and bool(latest.values),
        supports_humidity="humidity" in keys,
        supports_energy_monitoring="energy.kwh" in keys,
        supports_remote_control=False,
        temperature_zones=tuple(zone for key in keys if (zone := zone_of(key)) is not None),
        signals=tuple(keys),
    )
    source = "configuration" if latest is None else "last_reading"
    return _body(equipment, found, source, None if latest is None else iso(latest.at))


def _body(equipment: Equipment, found: Capabilities, source: str, as_of: str | None) -> dict[str, Any]:
    return {
        "equipment_id": equipment.id,
        "supports_realtime": equipment.supports_realtime or found.supports_realtime,
        "supports_humidity": equipment.supports_humidity or found.supports_humidity,
        "supports_energy_monitoring": equipment.supports_energy_monitoring or found.supports_energy_monitoring,
        "supports_remote_control": equipment.supports_remote_control,
        "temperature_zones": list(found.temperature_zones),
        "signals": list(found.signals),
        "source": source,
        "as_of": as_of,
        **_unverified(equipment.protocol),
    }


def _unverified(protocol: str | None) -> dict[str, str]:
    """What nobody has run against the real thing is called so, wherever it is configured."""
    from shared.connectors.profiles import profile_of

    profile = profile_of(protocol or "")
    return {} if profile is None or profile.verified else {"unverified": profile.note}


async def _tried(call: Call, test: Awaitable[ConnectionTest]) -> ConnectionTest:
    """A test beside saving: that the relay is silent is its outcome, and no error of the whole call."""
    from shared.connectors import ConnectionTest

    try:
        return await test
    except RelaySilent as error:
        return ConnectionTest(False, "relay_silent", None, (), error.detail)


async def _test_proposed(call: Call, equipment_id: str, config: IotConnectionConfig) -> ConnectionTest:
    """A configuration that is not saved. Through a relay it goes without credentials: those are found on site."""
    house = call.services
    proposed, form = await house.equipment.propose(equipment_id, config)
    if proposed.polled_from == "cloud":
        return await _tester(call).test(proposed, form)
    keep_credentials_here(config)
    return await house.relay_hub.devices.test(proposed, call.caller)


def keep_credentials_here(config: IotConnectionConfig) -> None:
    """What a relay is asked is stored in the clear: no secret lies in it. Raises ``InvalidInput``."""
    if config.credentials:
        raise InvalidInput(
            "credentials are not sent to a relay with a test: save them first, or keep them on site and name them in "
            "relay_credential_ref.",
            field="credentials",
        )


async def _test_stored(call: Call, equipment: Equipment) -> ConnectionTest:
    """Whatever is wrong with a stored configuration is the outcome of its test."""
    from shared.connectors import ConnectionTest

    if equipment.polled_from == "relay":
        return await call.services.relay_hub.devices.test(equipment, call.caller)
    try:
        form = await call.services.equipment.connector_config(equipment, fresh=True)
        return await _tester(call).test(equipment, form)
    except InvalidInput as error:
        return ConnectionTest(False, "invalid_configuration", None, (), error.detail)


def _tester(call: Call) -> ConnectionTester:
    from shared.equipment.connection_test import ConnectionTester

    return ConnectionTester(call.services.connectors, call.services.settings.poll_deadline_seconds)


def _saved(tested: ConnectionTest | None) -> str:
    if tested is None:
        return "IoT configuration saved; the connection was not tested"
    if tested.success:
        return "IoT configuration saved successfully"
    return f"IoT configuration saved, but the connection test failed: {tested.error_details}"


def test_body(tested: ConnectionTest) -> dict[str, Any]:
    """The guide's result of a connection test, with every signal's value and quality."""
    from shared.telemetry.live import signal_view

    body: dict[str, Any] = {
        "success": tested.success,
        "status": tested.status,
        "response_time_ms": tested.response_time_ms,
        "supported_features": list(tested.supported_features),
        "error_details": tested.error_details,
        "signals": {key: signal_view(value) for key, value in tested.signals.items()},
    }
    if tested.server_certificate is not None:
        body["server_certificate"] = certificate_view(tested.server_certificate)
    return body


def certificate_view(certificate: ServerCertificate) -> dict[str, Any]:
    """A certificate that a device shows, for a person to compare."""
    return {
        "fingerprint": certificate.fingerprint,
        "thumbprint_sha1": certificate.thumbprint,
        "subject": certificate.subject,
        "valid_until": iso(certificate.valid_until),
        "trusted": certificate.trusted,
    }
