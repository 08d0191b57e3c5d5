"""Operations1's own API, asked for a flow or an alert's rule: `/api/v1/operations1/...`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from functions.endpoint import Answer, Call, UtcTime, endpoint
from shared.access import Role
from shared.clock import iso
from shared.errors import InvalidInput
from shared.ids import digest_id

bp = func.Blueprint()

ConnectionId = Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
Id = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
State = Literal["in-edit", "not-started", "in-progress", "cancelled", "paused", "problem", "done", "scheduled"]


class WantedOrder(BaseModel):
    """An order to create. Which fields the platform demands beside `customOrderId` is unverified."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    custom_order_id: Id | None = Field(
        None,
        description="How your system calls it: the same id never makes a second order. Absent: made of the header "
        "Idempotency-Key.",
    )
    connection_id: ConnectionId | None = Field(None, description="May be left out where there is one connection.")
    name: str | None = Field(None, max_length=500)
    template_id: int | None = None
    description: str | None = Field(None, max_length=10_000)
    priority: int | None = Field(None, ge=1, le=10, description="5 is normal.")
    execution_mode: Literal["parallel", "sequence"] | None = None
    start_date: UtcTime | None = None
    due_date: UtcTime | None = None
    assignee_id: int | None = None
    variables: dict[str, str | None] | None = Field(
        None, max_length=100, description="Such as batch and oven: shown in the instructions."
    )
    fields: dict[str, Any] = Field(
        default_factory=dict, max_length=50, description="Anything else the platform takes, under its own names."
    )

    def order(self, idempotency_key: str) -> dict[str, Any]:
        """As the platform takes it."""
        custom = self.custom_order_id
        if custom is None and not idempotency_key:
            raise InvalidInput(
                "Give a custom_order_id, or the header Idempotency-Key: without one nobody could tell whether the "
                "order is there already.",
                field="custom_order_id",
            )
        named: Mapping[str, Any] = {
            "customOrderId": custom or f"OB-{digest_id(idempotency_key)[:20]}",
            "name": self.name,
            "templateId": self.template_id,
            "description": self.description,
            "priority": self.priority,
            "executionMode": self.execution_mode,
            "startDate": iso(self.start_date) if self.start_date else None,
            "dueDate": iso(self.due_date) if self.due_date else None,
            "assigneeId": self.assignee_id,
            "variables": self.variables,
        }
        given = {name: value for name, value in named.items() if value is not None}
        twice = sorted(self.fields.keys() & given.keys())
        if twice:
            raise InvalidInput(f"{twice[0]} is given twice: once in fields, once by itself.", field="fields")
        return {**self.fields, **given}


class OrdersQuery(BaseModel):
    """Which orders."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    connection_id: ConnectionId | None = None
    custom_order_id: Id | None = None
    state: State | None = None
    updated_since: UtcTime | None = None
    limit: int = Field(100, ge=1, le=1_000)

    def filters(self) -> dict[str, Any]:
        """As the platform names them."""
        found: dict[str, Any] = {}
        if self.custom_order_id is not None:
            found["customOrderIds"] = [self.custom_order_id]
        if self.state is not None:
            found["states"] = [self.state]
        if self.updated_since is not None:
            found |= {"updatedAtMin": iso(self.updated_since), "orderBy": "updatedAt"}
        return found


class ReportQuery(BaseModel):
    """Where."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    connection_id: ConnectionId | None = None


class OrderLine(BaseModel):
    """An order."""

    order_id: str | None = Field(description="Of the platform.")
    custom_order_id: str | None
    name: str | None
    state: str | None
    order: dict[str, Any] = Field(description="As the platform tells of it.")


class MadeOrder(OrderLine):
    """An order that is there now."""

    created: bool = Field(description="Was it made by this call?")


class OrderList(BaseModel):
    """Orders."""

    orders: list[OrderLine]
    total: int | None = Field(description="How many there are; null: the platform does not say.")
    complete: bool = Field(description="Are these all?")


class ReportAnswer(BaseModel):
    """A report."""

    report_id: str
    state: str | None
    report: dict[str, Any] = Field(description="As the platform tells of it.")


@bp.route("api/v1/operations1/orders", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR, answers={200: MadeOrder, 201: MadeOrder}, refuses=(404, 429, 502))
async def create_operations1_order(call: Call) -> Answer:
    """Create an order, once for a custom_order_id: 201 when it was made now, 200 when it was there already."""
    wanted = call.body(WantedOrder)
    room = call.services.platforms.operations1
    connection = await room.connection(wanted.connection_id)
    found = await room.orders.create(
        connection, wanted.order(call.headers.get("idempotency-key", "")), actor=call.caller.actor
    )
    said = {"created": found.created, **_line(found.order)}
    return Answer(said, 201 if found.created else 200)


@bp.route("api/v1/operations1/orders", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, answers={200: OrderList}, refuses=(404, 429, 502))
async def list_operations1_orders(call: Call) -> Answer:
    """Orders as the platform has them now."""
    query = call.params(OrdersQuery)
    room = call.services.platforms.operations1
    connection = await room.connection(query.connection_id)
    page = await room.rest.orders(connection, query.filters(), at_most=query.limit)
    return Answer({"orders": [_line(one) for one in page.items], "total": page.total, "complete": page.complete})


@bp.route("api/v1/operations1/reports/{report_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, answers={200: ReportAnswer}, refuses=(429, 502))
async def get_operations1_report(call: Call) -> Answer:
    """One report as the platform has it now."""
    query = call.params(ReportQuery)
    room = call.services.platforms.operations1
    connection = await room.connection(query.connection_id)
    report_id = call.route["report_id"]
    if len(report_id) > 100 or not report_id.isascii() or not report_id.isprintable():
        raise InvalidInput("A report's id is short and plain, such as 880011.", field="report_id")
    report = await room.rest.report(connection, report_id)
    return Answer(
        {"report_id": str(report.get("id", report_id)), "state": _text(report.get("state")), "report": report}
    )


def _line(order: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "order_id": _text(order.get("id")),
        "custom_order_id": _text(order.get("customOrderId")),
        "name": _text(order.get("name")),
        "state": _text(order.get("state")),
        "order": dict(order),
    }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
