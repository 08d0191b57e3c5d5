"""Writing one signal of a REST device: range-checked before, sent once, read back after."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace

from shared.connectors.inverse import raw_of
from shared.connectors.path_templates import url_below
from shared.connectors.rest_answers import order_refusal
from shared.connectors.rest_order import OrderBody, in_text, typed
from shared.connectors.rest_plan import MappedSignal, RestPlan
from shared.connectors.rest_talk import RestTalk
from shared.connectors.values import value_of
from shared.errors import DeviceError, DeviceProtocolError, InvalidInput
from shared.outgoing.failures import OutgoingError
from shared.signals import Quality, Reading, SignalValue, Value

__all__ = ["ReadBack", "order_of", "write_signal"]

LOOK_AGAIN_SECONDS = 0.4

ReadBack = Callable[[], Awaitable[Reading]]
"""Reads the device anew. Raises ``DeviceError``."""


async def write_signal(talk: RestTalk, signal: MappedSignal, value: Value, read_back: ReadBack) -> SignalValue:
    """Write, and look until it is there or the vendor has had its time (``write.settle``).

    Raises:
        InvalidInput: naming ``value``: it does not fit the mapping, or cannot be spelled.
        DeviceError: the sentence says whether it may have been written all the same.
    """
    plan = talk.plan
    order = plan.orders[signal.key]
    spec = order.spec
    raw = raw_of(signal.key, value, signal.spec, temperature_unit=plan.temperature_unit)
    told = typed(signal.key, raw, spec, mapped=signal.spec.map is not None)
    body = OrderBody.of(spec, told, plan.names)
    names = {**plan.names, "value": in_text(told)}
    url = url_below(plan.base, order.template, names, "value")
    await _send(talk, signal.key, spec.method, url, body)
    wanted = value_of(signal.key, told, signal.spec, temperature_unit=plan.temperature_unit).value
    return await _look(signal.key, wanted, spec.settle, read_back)


async def _send(talk: RestTalk, key: str, method: str, url: str, body: OrderBody | None) -> None:
    plan = talk.plan
    left = False

    def sending() -> None:
        nonlocal left
        left = True

    try:
        answer = await talk.let_in(
            method,
            url,
            content=b"" if body is None else body.content,
            content_type=None if body is None else body.content_type,
            once=True,
            sending=sending,
        )
    except DeviceError as err:
        if not left or _never_arrived(err):
            raise type(err)(f"{err.detail} {key} was not written.", retry_after=err.retry_after) from err
        raise type(err)(f"{err.detail} {key} may have been written all the same: read it before trying again.") from err
    path = url[len(plan.base.origin) :].partition("?")[0] or "/"
    refused = order_refusal(answer, plan.where, f"{method} {path}", key, talk.setup.clock.now())
    if refused is not None:
        raise refused


def _never_arrived(err: DeviceError) -> bool:
    cause = err.__cause__
    return isinstance(cause, OutgoingError) and cause.kind in ("dns", "refused", "tls", "unsafe")


async def _look(key: str, wanted: Value, settle: float, read_back: ReadBack) -> SignalValue:
    loop = asyncio.get_running_loop()
    until = loop.time() + settle
    while True:
        try:
            reading = await read_back()
        except DeviceError as err:
            raise type(err)(f"{key} was written, and reading it back failed: {err.detail}") from None
        found = reading.values.get(key)
        if reading.error_code is not None or found is None:
            raise DeviceProtocolError(
                f"{key} was written, and reading it back failed: {reading.reason or 'it is not in the answer.'}"
            )
        if _same(found.value, wanted):
            return found
        if loop.time() + LOOK_AGAIN_SECONDS > until:
            return replace(
                found,
                quality=Quality.UNCERTAIN if found.quality is not Quality.BAD else Quality.BAD,
                reason="the device took the order and reads back another value: it may have a limit of its own, or be "
                "slow (write.settle)",
            )
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


def _same(found: Value, wanted: Value) -> bool:
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, int | float) and isinstance(wanted, int | float):
        return math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-6)
    return found == wanted


def order_of(plan: RestPlan, key: str) -> MappedSignal:
    """The signal, if its mapping lets it be written.

    Raises:
        InvalidInput: naming ``signal``.
    """
    found = next((signal for signal in plan.signals or () if signal.key == key), None)
    if found is None:
        raise InvalidInput(f"{key[:100]} is no signal of this device.", field="signal")
    if not found.spec.writable or key not in plan.orders:
        raise InvalidInput(
            f"{key} cannot be written: its mapping does not say writable, which its engineer decides.", field="signal"
        )
    return found
