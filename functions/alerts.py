"""Alerts: `/api/v1/equipment/iot-alerts`, `/api/v1/alerts/{id}[/acknowledge ...]`, and the timer that watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from functions.endpoint import Answer, Call, UtcTime, endpoint, queue_worker, timer_worker
from shared.access import Role
from shared.services import Services

if TYPE_CHECKING:
    from shared.alerts.handling import AlertFilter

bp = func.Blueprint()

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]

OPEN = ("active", "acknowledged")
"""What is listed when nobody says which: what still needs somebody."""

MAX_SHELF_MINUTES = 24 * 60


def _one_of(value: str | None, enumeration: str) -> str | None:
    """A comma list of the words of an enumeration of ``shared.alerts.model``, or ``all``."""
    if value is None or value == "all":
        return value
    from shared.alerts import model

    words = [word.value for word in getattr(model, enumeration)]
    if unknown := [part for part in value.split(",") if part not in words]:
        raise ValueError(f"there is no {unknown[0][:40]!r}; choose of {', '.join(words)} (a comma list), or all")
    return value


class AlertQuery(BaseModel):
    """Which alerts. Words may be a comma list; ``all`` is every one of them."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    status: str | None = Field(None, description="active, acknowledged, resolved; default: active,acknowledged.")
    state: str | None = Field(None, description="active_unacknowledged, cleared_unacknowledged ...")
    severity: str | None = Field(None, description="info, warning, critical.")
    type: str | None = Field(None, description="temperature_deviation, connection_lost ...")
    equipment_id: str | None = Field(None, min_length=1, max_length=64)
    since: UtcTime | None = Field(None, description="Triggered at or after; without an offset it is UTC.")
    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=2000)

    @field_validator("status")
    @classmethod
    def _status(cls, value: str | None) -> str | None:
        return _one_of(value, "Status")

    @field_validator("state")
    @classmethod
    def _state(cls, value: str | None) -> str | None:
        return _one_of(value, "AlertState")

    @field_validator("severity")
    @classmethod
    def _severity(cls, value: str | None) -> str | None:
        return _one_of(value, "Severity")

    @field_validator("type")
    @classmethod
    def _type(cls, value: str | None) -> str | None:
        return _one_of(value, "AlertType")

    def filter(self) -> AlertFilter:
        """As the room takes it. Who asks for a state gets it, whatever status it counts as."""
        from shared.alerts.handling import AlertFilter

        statuses = OPEN if self.status is None and self.state is None else _words(self.status)
        return AlertFilter(
            statuses=statuses,
            states=_words(self.state),
            severities=_words(self.severity),
            types=_words(self.type),
            equipment_id=self.equipment_id,
            since=self.since,
        )


def _words(value: str | None) -> tuple[str, ...]:
    return () if value is None or value == "all" else tuple(dict.fromkeys(value.split(",")))


class Remark(BaseModel):
    """Why, in a few words."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    comment: Text | None = None


class Comment(BaseModel):
    """A remark on an alert."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    comment: Text


class Shelve(BaseModel):
    """For how long, and why."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    minutes: Annotated[
        float, Field(strict=True, gt=0, le=MAX_SHELF_MINUTES, description="At most 1440, a day.", allow_inf_nan=False)
    ]
    comment: Text | None = None


def _remark(call: Call) -> str | None:
    """The comment of a call that may have no body at all."""
    return call.body(Remark).comment if call.raw else None


@bp.route("api/v1/equipment/iot-alerts", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_iot_alerts(call: Call) -> Answer:
    """Alerts, newest first; unless asked otherwise those that are active or acknowledged."""
    from shared.alerts.view import alert_line

    query = call.params(AlertQuery)
    page = await call.services.alerts.list(query.filter(), limit=query.limit, continuation=query.continuation)
    now = call.services.clock.now()
    body: dict[str, Any] = {
        "alerts": [alert_line(alert, now) for alert in page.alerts],
        "continuation": page.continuation,
    }
    if page.truncated:
        body["truncated"] = True
        body["hint"] = "More alerts match than can be put in order; narrow by equipment_id, since, status or severity."
    return Answer(body)


@bp.route("api/v1/alerts/{alert_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_alert(call: Call) -> Answer:
    """One alert with all that an auditor needs."""
    return await _details(call, await call.services.alerts.get(call.route["alert_id"]))


@bp.route("api/v1/alerts/{alert_id}/acknowledge", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def acknowledge_alert(call: Call) -> Answer:
    """Somebody has seen it. Twice keeps the first."""
    comment = _remark(call)
    alerts = call.services.alerts
    return await _details(call, await alerts.acknowledge(call.route["alert_id"], caller=call.caller, comment=comment))


@bp.route("api/v1/alerts/{alert_id}/resolve", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def resolve_alert(call: Call) -> Answer:
    """Somebody closes it, although its condition may go on."""
    comment = _remark(call)
    alerts = call.services.alerts
    return await _details(call, await alerts.resolve(call.route["alert_id"], caller=call.caller, comment=comment))


@bp.route("api/v1/alerts/{alert_id}/shelve", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def shelve_alert(call: Call) -> Answer:
    """Silence it, and new ones of the same rule on this machine, for so many minutes."""
    asked = call.body(Shelve)
    alert = await call.services.alerts.shelve(
        call.route["alert_id"], minutes=asked.minutes, caller=call.caller, comment=asked.comment
    )
    return await _details(call, alert)


@bp.route("api/v1/alerts/{alert_id}/unshelve", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def unshelve_alert(call: Call) -> Answer:
    """End the silence now."""
    comment = _remark(call)
    alerts = call.services.alerts
    return await _details(call, await alerts.unshelve(call.route["alert_id"], caller=call.caller, comment=comment))


@bp.route("api/v1/alerts/{alert_id}/comment", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def comment_alert(call: Call) -> Answer:
    """Add a remark."""
    comment = call.body(Comment).comment
    alerts = call.services.alerts
    return await _details(call, await alerts.comment(call.route["alert_id"], caller=call.caller, comment=comment))


@bp.timer_trigger(schedule="*/10 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def watch_alerts(past_due: bool, house: Services) -> None:
    """Every ten seconds: silence, shelves that end, alerts not told of yet."""
    await house.alerts.watch(await house.equipment.watched())


@bp.service_bus_queue_trigger(arg_name="msg", queue_name="alert-responses", connection="ServiceBusConnection")
@queue_worker
async def respond_to_alert(body: bytes, delivery_count: int, house: Services) -> None:
    """Do what a rule wants done about its alert."""
    await house.responding.work.handle(body)


@bp.timer_trigger(schedule="45 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def sweep_alert_responses(past_due: bool, house: Services) -> None:
    """Every minute: wake responses whose message got lost."""
    await house.responding.work.sweep()


async def _details(call: Call, alert: dict[str, Any]) -> Answer:
    from shared.alerts.view import alert_details

    shown = alert_details(alert, call.services.clock.now())
    return Answer({**shown, "responses": await call.services.responding.work.of_alert(shown["id"])})
