"""Relays: `/api/v1/relays`. People register and look after them; a relay's token opens its own routes and no others."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, field_validator

from functions.endpoint import Answer, Call, endpoint, timer_worker
from functions.workers import Arrived, message_worker
from shared import json_text
from shared.access import Caller, Role
from shared.clock import iso
from shared.errors import Conflict, Forbidden, InvalidInput, Unauthorized
from shared.services import Services

if TYPE_CHECKING:
    from datetime import datetime

    from shared.relay.hub_model import Relay
    from shared.relay.messages import CertificateEnd

bp = func.Blueprint()

RELAYS = "api/v1/relays"
ONE = RELAYS + "/{relay_id}"

MAX_INBOUND_BYTES = 1024 * 1024
MAX_READINGS_BYTES = 200 * 1024
"""As it travels: what the queue takes. Unpacked it may be 8 MB."""
MAX_WORDS_BYTES = 64 * 1024


COMMANDS_BY = (
    "How it hears of commands: `http`, by a long poll; `queue`, by its own queue `relay-{id}-commands` in Service Bus."
)


def _line(value: str | None) -> str | None:
    if value is not None and (not value.strip() or not value.isprintable()):
        raise ValueError("write one line that people can read, e.g. `Madrid, hall 2`")
    return value if value is None else value.strip()


class NewRelay(BaseModel):
    """A relay to be registered."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="Small letters, digits, `-`; at most 40.")
    name: str = Field(min_length=1, max_length=200, description="For people: where it stands.")
    site: str | None = Field(None, min_length=1, max_length=200, description="The plant.")
    commands_by: Literal["http", "queue"] = Field("http", description=COMMANDS_BY)

    _readable = field_validator("name", "site")(_line)


class RelayChange(BaseModel):
    """What is to be different. What is left out stays."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    name: str = Field("", min_length=1, max_length=200, description="For people: where it stands.")
    site: str | None = Field(None, min_length=1, max_length=200, description="The plant; null: none.")
    commands_by: Literal["http", "queue"] = Field("http", description=COMMANDS_BY)

    _readable = field_validator("name", "site")(_line)


class NewToken(BaseModel):
    """How a relay is given a new token."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    overlap_seconds: int = Field(
        3600,
        ge=0,
        le=7 * 86_400,
        description="So long is what comes by the queue still believed with the old token's key. 0: it was stolen.",
    )


class RelayQuery(BaseModel):
    """Which page of the list."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=2000)


class WaitQuery(BaseModel):
    """How long to wait."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    wait: float = Field(0, ge=0, le=20, description="Seconds.")


# For people ----------------------------------------------------------------------------------------------------------


@bp.route(RELAYS, methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def create_relay(call: Call) -> Answer:
    """Register a relay. The answer shows its token once; afterwards only its hash is known."""
    wanted = call.body(NewRelay)
    if wanted.commands_by == "queue":
        await call.services.relay_hub.commands.check_queue(wanted.id)
    relay, token = await call.services.relays.create(
        wanted.id, name=wanted.name, site=wanted.site, commands_by=wanted.commands_by, caller=call.caller
    )
    location = f"{call.services.settings.base_url}/{RELAYS}/{relay.id}"
    return Answer({**_view(call, relay), "token": token}, 201, {"Location": location})


@bp.route(RELAYS, methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_relays(call: Call) -> Answer:
    """Relays with their state, in no particular order."""
    query = call.params(RelayQuery)
    page = await call.services.relays.list(limit=query.limit, continuation=query.continuation)
    return Answer({"relays": [_view(call, relay) for relay in page.relays], "continuation": page.continuation})


@bp.route(ONE, methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_relay(call: Call) -> Answer:
    """One relay: when it was heard of last, what waits on its disk, which machines it reads."""
    house, relay_id = call.services, call.route["relay_id"]
    relay = await house.relays.get(relay_id)
    assigned = await house.relay_hub.assignments.of(relay_id)
    told = relay.heartbeat.assignments_etag if relay.heartbeat is not None else None
    return Answer(
        {
            **_view(call, relay),
            "equipment": [device.equipment_id for device in assigned.devices],
            "assignments_in_force": told == assigned.etag,
        }
    )


@bp.route(ONE, methods=["PATCH"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def change_relay(call: Call) -> Answer:
    """Change a relay's name or site, or how it hears of commands."""
    house, relay_id = call.services, call.route["relay_id"]
    wanted = call.body(RelayChange)
    given = {name: getattr(wanted, name) for name in wanted.model_fields_set}
    if given.get("commands_by") == "queue":
        await house.relay_hub.commands.check_queue(relay_id)
    relay = await house.relays.edit(relay_id, lambda r: replace(r, **given), call.caller)
    return Answer(_view(call, relay))


@bp.route(ONE + "/token", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def rotate_relay_token(call: Call) -> Answer:
    """Give a relay a new token, shown once. The old one stops working; what the relay reads meanwhile it keeps."""
    wanted = call.body(NewToken) if call.raw else NewToken.model_validate({})
    relay, token = await call.services.relays.rotate(
        call.route["relay_id"], call.caller, overlap=timedelta(seconds=wanted.overlap_seconds)
    )
    return Answer({**_view(call, relay), "token": token})


@bp.route(ONE, methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def delete_relay(call: Call) -> Answer:
    """Forget a relay and its token. Its machines have to be given to another, or to the cloud, first."""
    house, relay_id = call.services, call.route["relay_id"]
    await house.relays.get(relay_id)
    machines = sorted(machine.id for machine in await house.equipment.of_relay(relay_id))
    if machines:
        raise Conflict(
            f"{len(machines)} machines are read by this relay: {', '.join(machines[:10])}"
            f"{' ...' if len(machines) > 10 else ''}. Give them another relay_id, or polled_from cloud, first."
        )
    callbacks = await house.callbacks.through(relay_id)
    if callbacks:
        raise Conflict(
            f"{len(callbacks)} callbacks are delivered through this relay: {', '.join(callbacks[:10])}"
            f"{' ...' if len(callbacks) > 10 else ''}. Delete them, or register them with another deliverVia, first."
        )
    sources = sorted(source.id for source in await house.hook_sources.of_relay(relay_id))
    if sources:
        raise Conflict(f"Hook sources of this relay: {', '.join(sources[:10])}. Delete them first.")
    await house.relays.delete(relay_id, call.caller)
    return Answer(status=204)


# For the relay -------------------------------------------------------------------------------------------------------


@bp.route(ONE + "/assignments", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None)
async def get_relay_assignments(call: Call) -> Answer:
    """What a relay has to do. With `If-None-Match`: 304 while that is the same. Engineers may look, too."""
    relay_id = await _own_relay(call, or_role=Role.ENGINEER)
    found = await call.services.relay_hub.assignments.of(relay_id)
    headers = {"ETag": f'"{found.etag}"'}
    if found.etag in {tag.strip().strip('"') for tag in call.headers.get("if-none-match", "").split(",")}:
        return Answer(status=304, headers=headers)
    data = json_text.canonical(found.model_dump(mode="json"))
    if "gzip" in call.headers.get("accept-encoding", ""):
        data, headers["Content-Encoding"] = gzip.compress(data, mtime=0), "gzip"
    return Answer(data, headers=headers)


@bp.route(ONE + "/heartbeat", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None, max_body_bytes=MAX_WORDS_BYTES)
async def send_relay_heartbeat(call: Call) -> Answer:
    """A sign of life, with what waits on the relay's disk."""
    from shared.relay.messages import Heartbeat, unpack

    relay_id = await _own_relay(call)
    await call.services.relay_hub.watch.heard(relay_id, unpack(Heartbeat, call.raw))
    return Answer(status=204)


@bp.timer_trigger(schedule="*/30 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def watch_relays(past_due: bool, house: Services) -> None:
    """Every half minute: which relays are silent, and who has to be told."""
    await house.relay_hub.watch.look()


@bp.route(ONE + "/commands", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None)
async def get_relay_commands(call: Call) -> Answer:
    """What is wanted of a relay now; `wait`: seconds to wait for the first, at most 20. Each is given out once."""
    wait = call.params(WaitQuery).wait
    relay_id = await _own_relay(call)
    found = await call.services.relay_hub.commands.give(relay_id, wait)
    return Answer(json_text.canonical(found.model_dump(mode="json")))


@bp.route(ONE + "/commands/{command_id:length(32)}/answer", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None)
async def answer_relay_command(call: Call) -> Answer:
    """What came of a command. The first answer counts; sending it again is no error."""
    from shared.relay.messages import CommandAnswer, unpack

    relay_id = await _own_relay(call)
    answer = unpack(CommandAnswer, call.raw)
    if answer.id != call.route["command_id"]:
        raise InvalidInput("id differs from the one in the address.", field="id")
    await call.services.relay_hub.commands.answered(relay_id, answer)
    return Answer(status=204)


@bp.route(ONE + "/inbound", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None, max_body_bytes=MAX_INBOUND_BYTES)
async def send_relay_inbound(call: Call) -> Answer:
    """Take what came in at a relay into the inbox. The answer says what became of each; sent twice it is taken once."""
    from shared.relay.messages import InboundBatch, unpack

    relay_id = await _own_relay(call)
    taken = await call.services.relay_hub.inbound.take(relay_id, unpack(InboundBatch, call.raw))
    return Answer(json_text.canonical(taken.model_dump(mode="json")))


@bp.route(ONE + "/readings", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None, max_body_bytes=MAX_READINGS_BYTES)
async def send_relay_readings(call: Call) -> Answer:
    """Take a batch of readings: 202 as soon as it is kept durably. Sent twice it is taken once."""
    relay_id = await _own_relay(call)
    token = call.services.access.presented(call.headers) or ""
    batch = await call.services.relay_hub.intake.accept(relay_id, call.raw, token=token)
    return Answer({"message_id": batch.message_id, "last_seq": batch.last_seq}, 202)


@bp.service_bus_queue_trigger(arg_name="msg", queue_name="relay-ingest", connection="ServiceBusConnection")
@message_worker
async def take_relay_readings(message: Arrived, house: Services) -> None:
    """Take the readings of one batch that its relay has signed, in order for each machine."""
    from shared.relay.signing import SIGNATURE

    await house.relay_hub.intake.arrived(
        message.body,
        message_id=message.message_id,
        signature=message.properties.get(SIGNATURE),
        enqueued_at=message.enqueued_at,
        delivery_count=message.delivery_count,
    )


async def _own_relay(call: Call, *, or_role: Role | None = None) -> str:
    """The relay of this route, which is calling. The door is here and not in `endpoint`: there a caller needs a role,
    and a relay has none.

    Raises:
        Unauthorized, Forbidden: somebody else is calling.
        NotFound: it is registered no more.
    """
    house, relay_id = call.services, call.route["relay_id"]
    house.settings.require()
    caller = await house.access.identify(call.headers, key_checked=False)
    if caller is None:
        raise Unauthorized("Say which relay you are: send the header `Authorization: Bearer <token of the relay>`.")
    own = _is_relay(caller, relay_id)
    if own or caller.may(Role.VIEWER):  # who may see the relays may hear that there is none of this name
        await house.relays.get(relay_id)
    if not own and (or_role is None or not caller.may(or_role)):
        raise Forbidden(f"Only relay {relay_id[:64]} itself may do this, with its own token.")
    return relay_id


def _is_relay(caller: Caller, relay_id: str) -> bool:
    return caller.how == "relay_token" and caller.id == f"relay:{relay_id}"


def _view(call: Call, relay: Relay) -> dict[str, Any]:
    now = call.services.clock.now()
    standing, beat, refused = relay.standing(now), relay.heartbeat, relay.refused
    last = iso(relay.heartbeat_at) if relay.heartbeat_at is not None else None
    return {
        "id": relay.id,
        "name": relay.name,
        "site": relay.site,
        "commands_by": relay.commands_by,
        "created_at": iso(relay.created_at),
        "status": standing,
        "last_heartbeat_at": last,
        "silent_since": last if standing == "silent" else None,
        "clock_offset_seconds": relay.clock_offset_seconds,
        "version": beat.version if beat else None,
        "started_at": iso(beat.started_at) if beat else None,
        "spool": beat.spool.model_dump(mode="json") if beat else None,
        "devices": beat.devices.model_dump(mode="json") if beat else None,
        "certificates": [_certificate(end, now) for end in beat.certificates] if beat else [],
        "readings_lost": beat.lost_total if beat else None,
        "readings_refused": {
            "count": refused.count,
            "last_at": iso(refused.last_at) if refused.last_at is not None else None,
            "last_equipment_id": refused.last_equipment_id,
            "last_reason": refused.last_reason,
        },
        "batches_not_believed": {
            "count": relay.doubted.count,
            "last_at": iso(relay.doubted.last_at) if relay.doubted.last_at is not None else None,
            "last_reason": relay.doubted.last_reason,
        },
    }


def _certificate(end: CertificateEnd, now: datetime) -> dict[str, Any]:
    from shared.relay.messages import certificate_due

    due = certificate_due(end, now)
    return {
        "name": end.name,
        "expires_at": iso(end.not_after),
        "days_left": (end.not_after - now) // timedelta(days=1),
        "status": "ok" if due is None else "expired" if due == 0 else "expires_soon",
    }
