"""Telling of credentials that end soon, before an oven or a subscriber is lost to it."""

from __future__ import annotations

import azure.functions as func

from functions.endpoint import timer_worker
from shared.services import Services

bp = func.Blueprint()


@bp.timer_trigger(schedule="0 10 5 * * *", arg_name="timer", run_on_startup=False, use_monitor=True)
@timer_worker
async def warn_of_expiry(past_due: bool, house: Services) -> None:
    """Every day: log and count the secrets in the vault that expire within thirty days, or have expired."""
    await house.expiring.look()
