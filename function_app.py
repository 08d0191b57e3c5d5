"""The cloud app: webhooks, external requests, equipment and alert API, polling, callback delivery."""

import azure.functions as func

from functions import (
    access,
    alert_rules,
    alerts,
    anchors,
    audit,
    batches,
    connections,
    control,
    credential_sets,
    deliveries,
    discovery,
    equipment,
    expiry,
    external_requests,
    force_bridge,
    health,
    hooks,
    iot,
    metrics,
    openapi,
    polling,
    relays,
    tasks,
    telemetry,
)

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for surface in (
    access,
    alert_rules,
    alerts,
    anchors,
    audit,
    batches,
    connections,
    control,
    credential_sets,
    deliveries,
    discovery,
    equipment,
    expiry,
    external_requests,
    force_bridge,
    health,
    hooks,
    iot,
    metrics,
    openapi,
    polling,
    relays,
    tasks,
    telemetry,
):
    app.register_functions(surface.bp)
