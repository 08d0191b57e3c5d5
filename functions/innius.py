"""Webhooks as innius has them: `/api/v1/webhooks`, on company or machine level, and the key they are signed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, endpoint, timer_worker
from shared.access import Role
from shared.errors import InvalidInput, NotFound
from shared.platforms.innius.answers import KeyList, TestSent, WebhookList, WebhookRow
from shared.services import Services

if TYPE_CHECKING:
    from shared.callbacks.model import Callback

bp = func.Blueprint()


class WebhookQuery(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    limit: int = Field(100, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=1_000_000)


class NoQuery(BaseModel):
    """Nothing can be asked for."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


@bp.route("api/v1/webhooks", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER, answers={201: WebhookRow})
async def create_webhook(call: Call) -> Answer:
    """Register; the answer brings the public key that calls are checked by."""
    from shared.platforms.innius.webhooks import WantedWebhook

    wanted = call.body(WantedWebhook)
    machine = wanted.machine()
    if machine is not None:
        field = "machinetrn" if wanted.machinetrn is not None else "equipment_id"
        try:
            await call.services.equipment.get(machine)
        except NotFound as err:
            raise InvalidInput(
                f"{field}: there is no such machine. Give its equipment id, `urn:ovenbridge:machine:<equipment id>`, "
                "or its own trn with an entry in machinetrns.",
                field=field,
            ) from err
    # The key first: without it there would be a registration that cannot be answered.
    await call.services.platforms.innius.keys.signing()
    callback = await call.services.callbacks.create(wanted.wanted(machine), caller=call.caller)
    await call.services.platforms.innius.telling.begin(callback)
    location = f"{call.services.settings.base_url}/api/v1/webhooks/{callback.id}"
    return Answer(await _shown(call, callback), 201, {"Location": location})


@bp.route("api/v1/webhooks", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, answers={200: WebhookList})
async def list_webhooks(call: Call) -> Answer:
    """All registrations, oldest first, by limit and offset."""
    from shared.platforms.innius.webhooks import DIALECT

    query = call.params(WebhookQuery)
    page = await call.services.callbacks.list(offset=query.offset, limit=query.limit, dialect=DIALECT)
    return Answer({"webhooks": [await _shown(call, one) for one in page.items], "total": page.total})


@bp.route("api/v1/webhooks/{webhook_id:length(32)}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, answers={200: WebhookRow})
async def get_webhook(call: Call) -> Answer:
    """One registration. Its credentials are never shown."""
    return Answer(await _shown(call, await _find(call)))


@bp.route("api/v1/webhooks/{webhook_id:length(32)}", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def delete_webhook(call: Call) -> Answer:
    """Unregister; what waits for it is discarded with that reason."""
    await call.services.callbacks.delete((await _find(call)).id, caller=call.caller)
    return Answer(status=204)


@bp.route("api/v1/webhooks/{webhook_id:length(32)}/test", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR, answers={202: TestSent})
async def try_webhook(call: Call) -> Answer:
    """Send a signed call with the event `TEST`; nothing happened."""
    delivery = await call.services.callbacks.test((await _find(call)).id, caller=call.caller)
    return Answer({"delivery_id": delivery}, 202)


@bp.route("api/v1/webhooks/keys", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, answers={200: KeyList})
async def list_webhook_keys(call: Call) -> Answer:
    """The public keys that a receiver should trust now: the one that signs first."""
    call.params(NoQuery)
    return Answer(await _keys(call))


@bp.route("api/v1/webhooks/keys/rotate", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ADMIN, answers={200: KeyList})
async def rotate_webhook_key(call: Call) -> Answer:
    """Announce a new key: listed at once, signing after a while; the old one stays listed for a while after that."""
    from shared.platforms.innius.webhooks import NewKey

    asked = call.body(NewKey) if call.raw else NewKey.model_validate({})
    await call.services.platforms.innius.keys.rotate(
        announce_seconds=asked.announce_seconds, keep_old_seconds=asked.keep_old_seconds, caller=call.caller
    )
    return Answer(await _keys(call))


class MachinesQuery(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    sensors: bool = Field(False, description="With their sensors, the first 100 machines: a call for each.")


@bp.route("api/v1/innius/{connection_id}/machines", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER, refuses=(429, 502))
async def list_innius_machines(call: Call) -> Answer:
    """The company's machines at innius, for `options.machines` of a hook source."""
    query = call.params(MachinesQuery)
    connection = await call.services.platforms.connections.get(call.route["connection_id"])
    if connection.platform != "innius":
        raise InvalidInput(f"{connection.id} is no connection to innius.", field="connection_id")
    return Answer(
        {"machines": await call.services.platforms.innius.rest.machines(connection, with_sensors=query.sensors)}
    )


@bp.timer_trigger(schedule="*/15 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def tell_webhooks(past_due: bool, house: Services) -> None:
    """Sensors that were added or removed; what a process that died left untold."""
    await house.platforms.innius.telling.round()


async def _find(call: Call) -> Callback:
    from shared.platforms.innius.webhooks import DIALECT

    missing = NotFound("There is no such webhook; GET /api/v1/webhooks lists what there is.")
    try:
        callback = await call.services.callbacks.get(call.route["webhook_id"])
    except NotFound:
        raise missing from None
    if callback.dialect != DIALECT:
        raise missing
    return callback


async def _shown(call: Call, callback: Callback) -> dict[str, Any]:
    from shared.platforms.innius.webhooks import answer

    keys = await call.services.platforms.innius.keys.listed()
    return answer(callback, keys, call.services.clock.now())


async def _keys(call: Call) -> dict[str, Any]:
    from shared.platforms.innius.keys import shown

    keys = await call.services.platforms.innius.keys.listed()
    return {"public_key": keys[0].public, "public_keys": shown(keys, call.services.clock.now())}
