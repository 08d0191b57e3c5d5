"""Writing to a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, field_validator

from functions.endpoint import Answer, Call, endpoint
from functions.equipment import expected_etag
from functions.iot import read_soon
from shared.access import Role

if TYPE_CHECKING:
    from shared.collection.control import WriteOutcome

bp = func.Blueprint()

Word = Annotated[StrictStr, Field(max_length=500)]
Written = StrictBool | StrictInt | StrictFloat | Word


class WriteRequest(BaseModel):
    """What to write, and why."""

    model_config = ConfigDict(extra="forbid", defer_build=True, hide_input_in_errors=True)

    signal: str = Field(min_length=1, max_length=100, description="Its key in the mapping: temperature.setpoint")
    value: Written = Field(description="In the unit that readings show.")
    expected: Written | None = Field(None, description="Write only if this is what it says now.")
    reason: str = Field(min_length=1, max_length=500, description="Why, for the audit log.")

    @field_validator("reason", "value", "expected")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        if isinstance(value, str) and (not value.strip() or not value.isprintable()):
            raise ValueError("write one line that people can read")
        return value

    @field_validator("value", "expected")
    @classmethod
    def _fits(cls, value: Any) -> Any:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("write a number that fits into 64 bits")
        return value


@bp.route("api/v1/equipment/{equipment_id}/write", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def write_signal(call: Call) -> Answer:
    """Write one value to a machine that is open for it, and answer what the machine says then."""
    from shared.collection.control import WriteOrder

    asked = call.body(WriteRequest)
    house, equipment_id = call.services, call.route["equipment_id"]
    order = WriteOrder(asked.signal, asked.value, asked.reason.strip(), asked.expected)
    outcome = await house.control.write(equipment_id, order, call.caller.actor, etag=expected_etag(call))
    if outcome.before is not None:  # it was asked for, whatever the answer: let everybody see what the machine says now
        await read_soon(house, equipment_id)
    return Answer({"equipment_id": equipment_id, **_body(outcome)})


def _body(outcome: WriteOutcome) -> dict[str, Any]:
    shown = outcome.after or outcome.before
    return {
        "success": outcome.success,
        "status": outcome.status,
        "signal": outcome.order.signal,
        "before": None if outcome.before is None else outcome.before.value,
        "requested": outcome.order.value,
        "after": None if outcome.after is None else outcome.after.value,
        "unit": None if shown is None else shown.unit,
        "verified": outcome.verified,
        "response_time_ms": outcome.response_time_ms,
        "error_details": outcome.error_details,
    }
