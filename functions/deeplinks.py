"""Links into WorkLink: `/api/v1/deeplinks`, its templates, and one for an alert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, endpoint
from shared.access import Role

if TYPE_CHECKING:
    from shared.platforms.scope_ar.deeplinks import Deeplink

bp = func.Blueprint()


class NoQuery(BaseModel):
    """Nothing is asked for in the query."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class AlertLinkQuery(BaseModel):
    """What the link of an alert opens; by default the catalog of the oven's id as asset."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    asset: str | None = Field(None, min_length=1, max_length=500)
    catalog: str | None = Field(None, min_length=1, max_length=500)
    work_order_id: str | None = Field(None, min_length=1, max_length=255)
    connection: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")


@bp.route("api/v1/deeplinks", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def build_deeplink(call: Call) -> Answer:
    """A link that opens instructions, a scenario or a contact, and carries what it belongs to. Nothing is stored."""
    from shared.platforms.scope_ar.deeplinks import WantedDeeplink

    return Answer(_shown(await call.services.platforms.scope_ar.links.build(call.body(WantedDeeplink))))


@bp.route("api/v1/deeplinks/templates", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_deeplink_templates(call: Call) -> Answer:
    """The links that were copied from the CMS."""
    call.params(NoQuery)
    return Answer((await call.services.platforms.scope_ar.links.templates()).model_dump())


@bp.route("api/v1/deeplinks/templates", methods=["PUT"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def put_deeplink_templates(call: Call) -> Answer:
    """Keep links copied from the CMS, with {id} where the id goes; all of them, anew."""
    from shared.platforms.scope_ar.deeplinks import DeeplinkTemplates

    kept = await call.services.platforms.scope_ar.links.keep(call.body(DeeplinkTemplates), caller=call.caller)
    return Answer(kept.model_dump())


@bp.route("api/v1/alerts/{alert_id}/deeplink", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_alert_deeplink(call: Call) -> Answer:
    """A link to the instructions of an alert's oven. Its session is noted with the alert when it ends."""
    from shared.platforms.scope_ar.deeplinks import WantedDeeplink

    asked = call.params(AlertLinkQuery)
    alert = await call.services.alerts.get(call.route["alert_id"])
    asset = asked.asset if asked.catalog is None else None
    wanted: dict[str, Any] = {
        "catalog": asked.catalog,
        "asset": asset or (None if asked.catalog else alert["equipmentId"]),
        "work_order_id": asked.work_order_id,
        "equipment_id": alert["equipmentId"],
        "alert_id": call.route["alert_id"],
        "connection": asked.connection,
    }
    return Answer(_shown(await call.services.platforms.scope_ar.links.build(WantedDeeplink.model_validate(wanted))))


def _shown(link: Deeplink) -> dict[str, Any]:
    return {
        "deep_link": link.deep_link,
        "deferred_link": link.deferred_link,
        "external_data": dict(link.external_data),
    }
