"""Looking what a machine's server has, and telling both sides whose certificate is the right one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import azure.functions as func
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from functions.endpoint import Answer, Call, endpoint
from functions.equipment import expected_etag
from functions.iot import certificate_view, keep_credentials_here, test_body
from shared.access import Role
from shared.clock import iso
from shared.errors import Conflict, InvalidInput, RelaySilent

if TYPE_CHECKING:
    from shared.connectors import ConnectionTest
    from shared.connectors.discovery import DiscoveredDevice, Discovery
    from shared.connectors.opc_ua_application import ApplicationCertificate
    from shared.equipment import Equipment
    from shared.equipment.connection_test import ConnectionTester

bp = func.Blueprint()

DISCOVER_SECONDS = 30.0
"""A person waits for it, and browsing a large server takes a while."""


def _sha256(value: Any) -> Any:
    from shared.connectors.opc_ua_certificates import parse_pin

    if not isinstance(value, str):
        return value
    try:
        return parse_pin(value[:20_000], field="It").fingerprint
    except InvalidInput as err:
        raise ValueError(err.detail) from None


Fingerprint = Annotated[str, BeforeValidator(_sha256)]


class Trust(BaseModel):
    """Which certificate is the right one."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    fingerprint: Fingerprint = Field(description="SHA-256, as the connection test showed it.")


class Renewal(BaseModel):
    """Which certificate of ours is to be replaced; named, because every server has to trust the new one."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    replaces: Fingerprint = Field(description="SHA-256 of the certificate there is now.")


class CertificateQuery(BaseModel):
    """In which form."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    format: Literal["json", "pem", "der"] = Field("json", description="pem, der: the file itself.")


@bp.route("api/v1/equipment/{equipment_id}/discover", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def discover_equipment(call: Call) -> Answer:
    """What there is at the stored address, or at the one in the body: known devices with ready mappings, or values."""
    from shared.connectors import ConnectionTest
    from shared.equipment import IotConnectionConfig

    house, equipment_id = call.services, call.route["equipment_id"]
    if call.raw.strip() not in (b"", b"{}"):
        config = call.body(IotConnectionConfig)
        equipment, form = await house.equipment.propose(equipment_id, config)
        if equipment.polled_from == "relay":
            keep_credentials_here(config)
    else:
        equipment, form = await _stored(call)
    if equipment.polled_from == "relay":
        found = await house.relay_hub.devices.discover(equipment, call.caller, DISCOVER_SECONDS)
    else:
        found = await _tester(call).discover(equipment, form)
    if isinstance(found, ConnectionTest):
        raise Conflict(f"The machine could not be asked: {found.error_details}")
    return Answer(_found(equipment, form, found))


@bp.route("api/v1/equipment/{equipment_id}/trust-certificate", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def trust_certificate(call: Call) -> Answer:
    """Trust the certificate that the machine's server shows, if it is the one named; then test the connection."""
    from shared.connectors import ConnectionTest
    from shared.equipment.trust import trust_certificate as trust

    asked = call.body(Trust)
    house, equipment_id = call.services, call.route["equipment_id"]
    equipment, form = await _stored(call)
    if equipment.polled_from == "relay":
        shown = await house.relay_hub.devices.certificate(equipment, call.caller, DISCOVER_SECONDS)
    else:
        shown = await _tester(call).certificate(equipment, form)
    if isinstance(shown, ConnectionTest):
        raise Conflict(f"Nothing was trusted, because the machine could not be asked: {shown.error_details}")
    if shown.fingerprint != asked.fingerprint:
        raise Conflict(
            f"Nothing was trusted: the server shows the certificate {shown.fingerprint} of {shown.subject} now, "
            "not the one you named. Compare again at the server."
        )
    equipment, etag = await trust(
        house.equipment, house.audit, equipment_id, asked.fingerprint, call.caller, etag=expected_etag(call)
    )
    tested = await _tested(call, equipment)
    await house.health.note_test(equipment_id, tested)
    body: dict[str, Any] = {
        "equipment_id": equipment_id,
        "fingerprint": asked.fingerprint,
        "compared": True,
        "server_certificate": certificate_view(shown) | {"trusted": True},
        "connection_test_result": test_body(tested),
    }
    return Answer(body, headers={"ETag": f'"{etag}"'})


async def _tested(call: Call, equipment: Equipment) -> ConnectionTest:
    """With the certificate that is trusted now. It is saved: a relay that falls silent is the outcome of the test."""
    from shared.connectors import ConnectionTest

    house = call.services
    if equipment.polled_from == "cloud":
        form = await house.equipment.connector_config(equipment)
        return await _tester(call).test(equipment, form)
    try:
        return await house.relay_hub.devices.test(equipment, call.caller)
    except RelaySilent as error:
        return ConnectionTest(False, "relay_silent", None, (), error.detail)


@bp.route("api/v1/opc-ua/certificate", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_opc_ua_certificate(call: Call) -> Answer:
    """Our own certificate, for the trusted ones of a server. Never its key."""
    asked = call.params(CertificateQuery)
    ours = await call.services.opc_ua_application.certificate()
    if asked.format == "json":
        return Answer(_ours(ours, call))
    data = ours.certificate.der if asked.format == "der" else ours.certificate_pem.encode()
    kind = "application/pkix-cert" if asked.format == "der" else "application/x-pem-file"
    name = f"ovenbridge-{ours.certificate.thumbprint[:8]}.{asked.format}"
    return Answer(data, headers={"Content-Disposition": f'attachment; filename="{name}"'}, content_type=kind)


@bp.route("api/v1/opc-ua/certificate/renew", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def renew_opc_ua_certificate(call: Call) -> Answer:
    """Make a new certificate and key of our own. Every server has to be told to trust it."""
    asked = call.body(Renewal)
    house = call.services
    before = await house.opc_ua_application.certificate()
    if before.certificate.fingerprint != asked.replaces:
        raise Conflict(
            f"Nothing was renewed: our certificate is {before.certificate.fingerprint} now, not the one you named. Has "
            "somebody else renewed it?"
        )
    async with house.audit.recorded(
        "opc-ua",
        actor=call.caller.actor,
        action="opc_ua.certificate_renewed",
        target="opc-ua",
        before={"fingerprint": before.certificate.fingerprint},
    ):
        ours = await house.opc_ua_application.renew()
    return Answer(_ours(ours, call))


def _ours(ours: ApplicationCertificate, call: Call) -> dict[str, Any]:
    return {
        "application_uri": ours.application_uri,
        "fingerprint": ours.certificate.fingerprint,
        "thumbprint_sha1": ours.certificate.thumbprint,
        "subject": ours.certificate.subject,
        "valid_from": iso(ours.certificate.not_before),
        "valid_until": iso(ours.certificate.not_after),
        "warning": ours.warning(call.services.clock.now()),
        "pem": ours.certificate_pem,
    }


async def _stored(call: Call) -> tuple[Equipment, dict[str, Any]]:
    house, equipment_id = call.services, call.route["equipment_id"]
    equipment, _ = await house.equipment.get(equipment_id)
    if equipment.protocol is None:
        raise Conflict(f"{equipment.name} has no IoT configuration yet: POST one to .../{equipment_id}/iot-config.")
    return equipment, await house.equipment.connector_config(equipment, fresh=True)


def _tester(call: Call) -> ConnectionTester:
    from shared.equipment.connection_test import ConnectionTester

    return ConnectionTester(call.services.connectors, DISCOVER_SECONDS)


def _found(equipment: Equipment, form: Mapping[str, Any], found: Discovery) -> dict[str, Any]:
    return {
        "equipment_id": equipment.id,
        "devices": [_device(device, form, equipment.protocol) for device in found.devices],
        "nodes": [
            {
                "at": node.at,
                "path": node.path,
                "data_type": node.data_type,
                "value": node.value,
                "unit": node.unit,
                "writable": node.writable,
            }
            for node in found.nodes
        ],
        "notes": list(found.notes),
    }


def _device(device: DiscoveredDevice, form: Mapping[str, Any], protocol: str | None) -> dict[str, Any]:
    """With a body that is ready for iot-config; credentials stay as they are."""
    from shared.connectors.profiles import profile_of

    options = {name: value for name, value in form["additional_config"].items() if name not in ("signals", "device")}
    ready = {
        "protocol": "opc_ua",
        "endpoint": form["endpoint"],
        "port": form["port"],
        "additional_config": options | {"signals": {key: dict(spec) for key, spec in device.signals.items()}},
    }
    profile = profile_of(protocol or "")
    if profile is not None and profile.cloud is not None:
        # The endpoint means the vendor's cloud, where this server is one of two: it stays, and the device is named.
        ready |= {"protocol": protocol, "additional_config": options | {"device": device.address}}
    return {
        "name": device.name,
        "type": device.type,
        "profile": device.profile,
        "address": device.address,
        "iot_config": {name: value for name, value in ready.items() if value is not None},
    }
