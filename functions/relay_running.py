"""Keeps the relay of this process at work."""

from __future__ import annotations

import azure.functions as func

from functions.endpoint import timer_worker
from shared.services import Services

bp = func.Blueprint()


# At the start of the host, too: a relay has one host, and starting it twice is harmless.
@bp.timer_trigger(schedule="*/5 * * * * *", arg_name="timer", run_on_startup=True, use_monitor=False)
@timer_worker
async def keep_relay_running(past_due: bool, house: Services) -> None:
    """Every five seconds: start what does not run. Sampling, sending and the rest live as tasks between the calls."""
    await house.plant.keep_running()
