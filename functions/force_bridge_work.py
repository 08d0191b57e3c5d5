"""FORCE Bridge as a client: keeping our registrations there, and telling it tickets and events."""

from __future__ import annotations

import azure.functions as func

from functions.endpoint import Answer, Call, endpoint, queue_worker, timer_worker
from shared.access import Role
from shared.errors import InvalidInput
from shared.services import Services

bp = func.Blueprint()


@bp.service_bus_queue_trigger(arg_name="msg", queue_name="platform-calls", connection="ServiceBusConnection")
@queue_worker
async def call_platform(body: bytes, delivery_count: int, house: Services) -> None:
    """Tell a platform one thing."""
    await house.platforms.force_bridge.outbound.handle(body)


@bp.timer_trigger(schedule="25 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def keep_registrations(past_due: bool, house: Services) -> None:
    """Every minute: connections whose registrations are due to be looked at."""
    await house.platforms.force_bridge.keeper.round()


@bp.timer_trigger(schedule="55 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def sweep_platform_calls(past_due: bool, house: Services) -> None:
    """Every minute: wake calls whose message got lost."""
    await house.platforms.force_bridge.outbound.sweep()


@bp.route("api/v1/connections/{connection_id}/registrations", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_registrations(call: Call) -> Answer:
    """Our registrations at a FORCE Bridge server, and how they are, as the last round found them."""
    return Answer(await _registrations(call))


@bp.route(
    "api/v1/connections/{connection_id}/registrations/keep", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS
)
@endpoint(Role.ENGINEER, refuses=(502,))
async def keep_registrations_now(call: Call) -> Answer:
    """Compare what is declared with what the server has, now, and repair it."""
    house = call.services
    connection = await house.platforms.connections.get(call.route["connection_id"])
    _require_ours(connection.platform)
    done = await house.platforms.force_bridge.keeper.keep(connection, at_once=True)
    return Answer({"done": done, **await _registrations(call)})


async def _registrations(call: Call) -> dict[str, object]:
    connection = await call.services.platforms.connections.get(call.route["connection_id"])
    _require_ours(connection.platform)
    return await call.services.platforms.force_bridge.keeper.health(connection.id)


def _require_ours(platform: str) -> None:
    if platform != "force_bridge":
        raise InvalidInput("Only connections of the platform force_bridge have registrations.", field="connection_id")
